(* Work for OCaml: what its runtime takes from malloc: large arrays, strings, channels, a child.
   SPDX-License-Identifier: MIT *)
let () =
  let kept = Array.make 200 Bytes.empty in
  let sum = ref 0 in
  for i = 1 to 100_000 do
    let block = Bytes.make (i * 7919 mod 30_000 + 1) (Char.chr (i mod 256)) in
    sum := !sum + Char.code (Bytes.get block (Bytes.length block - 1));
    kept.(i mod 200) <- block
  done;
  let table = Hashtbl.create 10 in
  for i = 1 to 200_000 do Hashtbl.replace table (string_of_int (i * 7919 mod 100_003)) i done;
  Printf.printf "%d %d\n%!" !sum (Hashtbl.length table);
  match Unix.fork () with
  | 0 ->
    Gc.compact ();
    Printf.printf "%d in the child\n%!" (Array.length (Array.init 1_000_000 string_of_int));
    Unix._exit 0
  | child -> Printf.printf "%b\n" (snd (Unix.waitpid [] child) = Unix.WEXITED 0)
