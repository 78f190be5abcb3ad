#!/usr/bin/env python3
"""Tests of what `hakmem why` tells of guarded samples: guarded_test.py HAKMEM PROGRAM, the built tool and test/detect's
guarded_program.c, which misuses one and is linked with the library.
SPDX-License-Identifier: MIT"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
GUARDED = {"HAKMEM_SAMPLE": "1K", "HAKMEM_GUARD": "1"}


class Guarded(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def program(self, misuse, **settings):
        """The process of a misuse, in the directory, and the address that it is going to touch."""
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        process = subprocess.Popen([PROGRAM, misuse], cwd=self.directory, env={**os.environ, **GUARDED, **settings},
                                   stdout=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().strip()

    def core(self, misuse):
        """The core file that the misuse leaves."""
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
        if not re.fullmatch(r"core(\.?%[pe])*", pattern):
            self.skipTest("core files go elsewhere here")
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
            self.skipTest("core files are forbidden here")
        process, _ = self.program(misuse)
        self.assertEqual(process.wait(timeout=60), -signal.SIGSEGV)
        core, = self.directory.glob("core*")
        return core

    def why(self, *arguments):
        result = subprocess.run([TOOL, "why", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        for line in result.stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)
        return result.stdout

    def assert_story(self, text, sentence, *parts):
        """The sentence comes first, then the parts in their order."""
        self.assertRegex(" ".join(text.split()), "^" + sentence)
        self.assertRegex(text, r"(?s)" + ".*".join(parts))

    def test_a_use_after_free(self):
        self.assert_story(self.why(self.core("use_after_free")),
                          r"Use after free: 0x[0-9a-f]+ is 5 bytes into a block of 112 bytes that had been freed\.",
                          r"\nUsed:\n  block_use", r"\n  main", r"\nAllocated by thread \d+", r"\n  block_make", r"\nFreed by thread \d+",
                          r"\n  block_drop", r"(?:resident|samples\s+say)")

    def test_an_overflow_and_an_underflow(self):
        core = self.core("overflow")
        self.assert_story(self.why(core), r"Overflow: 0x[0-9a-f]+ is right behind the end of a block of 112 bytes that was "
                          r"live\.", r"\nUsed:\n  block_use", r"\nAllocated by thread", r"\n  block_make")
        self.assertNotIn("\nFreed", self.why(core))
        core.unlink()
        self.assert_story(self.why(self.core("underflow")), r"Underflow: 0x[0-9a-f]+ is 1 byte before the start of a block")

    def test_another_fault(self):
        self.assertNotRegex(self.why(self.core("elsewhere")), "Overflow|Underflow|Use after free|Allocated by")

    def test_a_process_that_was_killed(self):
        """The kernel's log has the address."""
        record = self.directory / "record"
        process, address = self.program("overflow", HAKMEM_RECORD=str(record))
        process.wait(timeout=60)
        self.assert_story(self.why("--at", address, record), "Overflow: " + address + " is right behind the end",
                          r"\nAllocated by thread", r"\n  block_make")
        self.assertNotIn("Used:", self.why("--at", address, record))
        self.assertNotIn("Overflow", self.why(record))

    def test_a_process_that_runs(self):
        process, address = self.program("wait")
        self.assert_story(self.why("--at", address.removeprefix("0x"), process.pid), "Overflow: " + address)
        for wrong in ("0x1000", "ffffffffffffffff"):
            result = subprocess.run([TOOL, "why", "--at", wrong, str(process.pid)], capture_output=True, text=True, timeout=60,
                                    check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ""), result)
            self.assertRegex(result.stderr, r"^hakmem: 0x[0-9a-f]+ lies at no guarded block of '\d+'\n$")

    @unittest.skipUnless(shutil.which("gdb"), "gdb is not here")
    def test_a_core_file_of_gdbs(self):
        core = self.directory / "of-gdb"
        done = subprocess.run(["gdb", "-batch", "-nx", "-ex", "run", "-ex", f"gcore {core}", "--args", PROGRAM, "use_after_free"],
                              env={**os.environ, **GUARDED}, capture_output=True, text=True, timeout=120, check=False)
        self.assertTrue(core.exists(), done)
        self.assert_story(self.why(core), "Use after free: 0x[0-9a-f]+ is 5 bytes into a block of 112 bytes that had been freed",
                          r"\nUsed:\n  block_use", r"\n  block_make", r"\n  block_drop")

    def test_wrong_usage(self):
        for arguments in (["--at"], ["--at", "there", "1"], ["--at", "0x", "1"]):
            result = subprocess.run([TOOL, "why", *arguments], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((result.returncode, result.stdout), (2, ""), result)
            self.assertIn("--at takes an address", result.stderr)


if __name__ == "__main__":
    unittest.main()
