#!/usr/bin/env python3
"""The notes of the probes, as they are in files: notes_test.py SOURCES LIBRARY ARCHIVE SINGLE COMPILER, the folder of
the project, the libraries, a program that compiled the single file in, and the compiler of these. Cross compilers and
musl's are tried where they are.
SPDX-License-Identifier: MIT"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import common

COMPILER, SINGLE, ARCHIVE, LIBRARY, SOURCES = (sys.argv.pop() for _ in range(5))
PROBE, REFERENCE = f"{SOURCES}/src/insight/probe.c", f"{SOURCES}/test/probes/reference.c"
VALUES = {"X86-64": {"alloc": "8@%rdi 8@%rsi 8@%rdx", "free": "8@%rdi"},
          "AArch64": {"alloc": "8@x0 8@x1 8@x2", "free": "8@x0"}}
AS_LIBRARY = ["-O2", "-fPIC", f"-I{SOURCES}/src", "-nostdlib", "-shared"]
OTHERS = ["aarch64-linux-gnu-gcc", "musl-gcc", "gcc", "clang"]


def sections(path):
    """{name: (address, size, type, flags)}"""
    pattern = r"^\s+\[\s*\d+\] (\S+)\s+(\w+)\s+(\w+) \w+ (\w+) \w+\s+(\w*)\s+\d+"
    return {name: (int(address, 16), int(size, 16), kind, flags) for name, kind, address, size, flags in
            re.findall(pattern, common.readelf("--sections", path), re.MULTILINE)}


def compiled(compiler, output, *arguments):
    subprocess.run([compiler, *map(str, arguments), "-o", output], check=True, capture_output=True, text=True)
    return output


def sdt_folder():
    """Where systemtap's header is; None without it."""
    result = subprocess.run(["cc", "-E", "-xc", "-"], input="#include <sys/sdt.h>\n", capture_output=True, text=True,
                            check=False)
    found = re.search(r'"(\S+)/sys/sdt\.h"', result.stdout)
    return found.group(1) if found else None


def notes_without_addresses(path, folder):
    """The bytes of the notes by "stapsdt", in order, with zeros for the three addresses of each."""
    raw = pathlib.Path(folder, "notes")
    subprocess.run(["objcopy", "-I", "elf64-little", "-O", "binary", "--only-section=.note.stapsdt",
                    "--set-section-flags", ".note.stapsdt=alloc", path, raw], check=True)
    data, notes = raw.read_bytes(), []
    while data:
        owner, contents = (int.from_bytes(data[i:i + 4], "little") for i in (0, 4))
        begin = 12 + (owner + 3) // 4 * 4
        end = begin + (contents + 3) // 4 * 4
        notes.append(data[:begin] + bytes(24) + data[begin + 24:end])
        data = data[end:]
    return sorted(notes)


class Notes(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-probes-")
        self.addCleanup(keeper.cleanup)
        self.directory = pathlib.Path(keeper.name)

    def check(self, path):
        """Both probes, once each, with the values where they belong, and addresses that lie where tracers need them."""
        machine = re.search(r"Machine:.*?(X86-64|AArch64)", common.readelf("--file-header", path)).group(1)
        probes, table = common.probes(path), sections(path)
        self.assertEqual({name: probe["values"] for name, probe in probes.items()}, VALUES[machine])
        semaphores, size, kind, flags = table[".probes"]
        self.assertEqual((size, kind, flags), (4, "PROGBITS", "WA"))
        self.assertEqual({probe["semaphore"] for probe in probes.values()}, {semaphores, semaphores + 2})
        code = [(start, start + length) for start, length, _, flags in table.values() if "X" in flags]
        for probe in probes.values():
            self.assertEqual(probe["base"], table[".stapsdt.base"][0])
            self.assertTrue(any(start <= probe["place"] < end for start, end in code), probe)

    def linked(self, name, *arguments):
        source = self.directory / "main.c"
        source.write_text("#include <stdlib.h>\nint main(int n, char **v) { return v && malloc((size_t)n) == 0; }\n")
        return compiled(COMPILER, self.directory / name, source, *arguments)

    def test_library(self):
        self.check(LIBRARY)

    def test_library_without_symbols(self):
        stripped = self.directory / "stripped.so"
        subprocess.run(["strip", "-s", LIBRARY, "-o", stripped], check=True)
        self.check(stripped)

    def test_single_file(self):
        self.check(SINGLE)

    def test_archive(self):
        for way in ([], ["-static"], ["-Wl,--gc-sections"]):
            self.check(self.linked("program", "-fno-builtin", ARCHIVE, *way))

    def test_archive_beside_others_probes(self):
        """Whoever comes first, there is one .stapsdt.base, and it is everybody's."""
        if not sdt_folder():
            self.skipTest("no sys/sdt.h (Debian: systemtap-sdt-dev)")
        source, other = self.directory / "other.c", self.directory / "other.o"
        source.write_text("#include <sys/sdt.h>\nvoid other(int n) { STAP_PROBE1(other, it, n); }\n")
        compiled(COMPILER, other, "-O2", "-c", source, "-idirafter", sdt_folder())
        for objects in ([other, ARCHIVE], [ARCHIVE, other]):
            self.check(self.linked("program", "-fno-builtin", "-Wl,-u,malloc", *objects))

    def test_every_compiler(self):
        """Among them one for the other machine."""
        for compiler in filter(shutil.which, OTHERS):
            for way in ([], ["-O0"], ["-O3", "-flto"]):
                with self.subTest(compiler=compiler, way=way):
                    self.check(compiled(compiler, self.directory / "probes.so", PROBE, *AS_LIBRARY, *way))

    def test_same_as_systemtaps(self):
        """To the byte, but for addresses."""
        if not sdt_folder():
            self.skipTest("no sys/sdt.h (Debian: systemtap-sdt-dev)")
        for compiler in filter(shutil.which, OTHERS):
            with self.subTest(compiler=compiler):
                theirs = compiled(compiler, self.directory / "theirs.so", REFERENCE, *AS_LIBRARY,
                                  "-idirafter", sdt_folder())
                ours = compiled(compiler, self.directory / "ours.so", PROBE, *AS_LIBRARY)
                self.check(theirs)
                notes = notes_without_addresses(ours, self.directory)
                self.assertEqual(len(notes), 2)
                self.assertEqual(notes, notes_without_addresses(theirs, self.directory))


if __name__ == "__main__":
    unittest.main()
