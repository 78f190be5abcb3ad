#!/usr/bin/env python3
"""Counts the kinds of instructions on the fast path of each entry point, and compares them with a checked-in table.

    fast_path_test.py --library libhakmem.so --machine x86_64 --compiler gcc-12 --golden fast_path.txt [--update]

The fast path is what runs when no conditional jump is taken: the compiler is told which way is likely, and puts it
there.
--update writes this machine's and compiler's part of the table anew. Exit status 77: the table has no such part.
SPDX-License-Identifier: MIT"""
import argparse
import re
import subprocess
import sys

ENTRIES = ["malloc", "free", "calloc", "realloc", "_Znwm", "_ZdlPv", "_ZdlPvm"]
# `lock`: instructions that lock the bus or begin an exclusive access. `total` counts each instruction once.
KINDS = ["call", "jcc", "jmp", "cmp", "load", "store", "rmw", "lock", "push", "div", "total"]
# What no compiler may need, whatever else it makes of the two hottest functions.
NEVER = {"malloc": ["call", "lock", "push", "div"], "free": ["call", "lock", "push", "div"]}
SKIPPED = 77
STEPS_MAX = 200


def x86_kinds(name, operands):
    """The kinds of one instruction in Intel syntax: brackets mean memory, the first operand is the destination."""
    prefix, _, rest = name.partition(" ")
    locked = prefix == "lock"
    if prefix in ("lock", "rep", "bnd", "notrack"):
        name = rest or operands.split(" ")[0]
    parts = operands.split(",")
    to_memory = "[" in parts[0]
    from_memory = any("[" in part for part in parts[1:])
    kinds = []
    if name.startswith("call"):
        kinds.append("call")
    elif name.startswith("jmp"):
        kinds.append("jmp")
    elif name.startswith("j"):
        kinds.append("jcc")
    elif name in ("push", "pop"):
        kinds.append("push")
    elif name in ("div", "idiv"):
        kinds.append("div")
    elif name in ("cmp", "test", "bt", "comisd", "ucomisd"):
        kinds.append("cmp")
        kinds += ["load"] if to_memory or from_memory else []
    elif name.startswith(("lea", "nop", "endbr", "ret")):
        pass
    elif to_memory:
        kinds.append("store" if name.startswith(("mov", "set")) else "rmw")
    elif from_memory:
        kinds.append("load")
    if locked or (name == "xchg" and (to_memory or from_memory)):
        kinds.append("lock")
    return kinds


def arm_kinds(name, operands):
    if name in ("bl", "blr"):
        return ["call"]
    if name in ("b", "br"):
        return ["jmp"]
    if name.startswith("b.") or name in ("cbz", "cbnz", "tbz", "tbnz"):
        return ["jcc"]
    if name in ("cmp", "cmn", "tst", "ccmp", "ccmn"):
        return ["cmp"]
    if name in ("udiv", "sdiv"):
        return ["div"]
    if re.match(r"(ldx|ldax|stx|stlx|cas|swp|ldadd|ldclr|ldset|ldeor)", name):
        return ["rmw", "lock"]
    if name.startswith(("ldr", "ldp", "ldur", "ldar")):
        return ["load"] if "sp" not in operands else ["push"]
    if name.startswith(("str", "stp", "stur", "stlr")):
        return ["store"] if "sp" not in operands else ["push"]
    return []


def disassemble(library):
    """{address: (name, operands)} of the whole text."""
    syntax = ["-M", "intel"] if is_x86(library) else []
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", *syntax, library],
                          check=True, capture_output=True, text=True).stdout
    instructions = {}
    for address, code in re.findall(r"^\s+([0-9a-f]+):\t(.*)$", text, re.MULTILINE):
        words = code.split("#")[0].split("//")[0].replace("\t", " ").strip()
        words = re.sub(r"^(lock|rep|repz|bnd|notrack) +", r"\1_", words)
        name, _, operands = words.partition(" ")
        instructions[int(address, 16)] = (name.replace("_", " "), operands.strip())
    return instructions


def is_x86(library):
    header = subprocess.run(["readelf", "-h", library], check=True, capture_output=True, text=True).stdout
    return "X86-64" in header


def function_addresses(library):
    listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return {name: int(address, 16) for address, name in re.findall(r"^([0-9a-f]+) [TW] (\S+)$", listing, re.MULTILINE)}


def fast_path(instructions, start, kinds_of):
    """Counts from `start` to the return, or to a jump out of the library that ends the path."""
    following = dict(zip(sorted(instructions), sorted(instructions)[1:]))
    counts = dict.fromkeys(KINDS, 0)
    address = start
    for _ in range(STEPS_MAX):
        name, operands = instructions[address]
        counts["total"] += 1
        for kind in kinds_of(name, operands):
            counts[kind] += 1
        if name.startswith("ret"):
            return counts
        target = re.match(r"([0-9a-f]+) <", operands)
        if name in ("jmp", "b") and target and int(target.group(1), 16) in instructions:
            address = int(target.group(1), 16)
        elif name in ("jmp", "b", "br"):
            return counts
        else:
            address = following[address]
    sys.exit(f"fast_path_test: no return within {STEPS_MAX} instructions from {start:#x}")


def table_lines(counts):
    lines = ["{:<10}".format("entry") + "".join(f"{kind:>7}" for kind in KINDS)]
    lines += [f"{entry:<10}" + "".join(f"{counts[entry][kind]:>7}" for kind in KINDS) for entry in ENTRIES]
    return lines


def golden_read(path):
    """{"x86_64 gcc-12": its lines}, and the comment at the top."""
    parts = {}
    comment = []
    part = None
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("["):
                part = parts.setdefault(line.strip("[]"), [])
            elif part is None:
                comment.append(line)
            elif line.strip():
                part.append(line)
    return parts, comment


def golden_write(path, parts, comment):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(comment).rstrip() + "\n")
        for part in sorted(parts):
            file.write(f"\n[{part}]\n" + "".join(line + "\n" for line in parts[part]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("library", "machine", "compiler", "golden"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()

    instructions = disassemble(options.library)
    addresses = function_addresses(options.library)
    kinds_of = x86_kinds if is_x86(options.library) else arm_kinds
    counts = {entry: fast_path(instructions, addresses[entry], kinds_of) for entry in ENTRIES}
    seen = table_lines(counts)

    part = f"{options.machine} {options.compiler}"
    parts, comment = golden_read(options.golden)
    if options.update:
        parts[part] = seen
        golden_write(options.golden, parts, comment)
    failed = False
    for entry, kinds in NEVER.items():
        for kind in kinds:
            if counts[entry][kind] > 0:
                print(f"fast_path_test: {entry}: expected no {kind} on the fast path, saw {counts[entry][kind]}")
                failed = True
    if part in parts and [line.split() for line in parts[part]] != [line.split() for line in seen]:
        print(f"fast_path_test: [{part}] expected\n" + "\n".join(parts[part]) + "\nsaw\n" + "\n".join(seen))
        failed = True
    if part not in parts and not failed:
        print(f"skipped: {options.golden} has no part [{part}]; the target golden_update adds it:\n" + "\n".join(seen))
        return SKIPPED
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
