"""world_test.py HAKMEM LIAR NOISY - `make world` itself: that a program passes on hakmem, and fails on a library that
returns wrong memory, on one that speaks as hakmem does when it ends a program, and on one that is not loaded; and that
an interrupted run leaves neither processes nor files.
SPDX-License-Identifier: MIT"""
import ast
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import paths
import memory
import world

HAKMEM, LIAR, NOISY = map(os.path.abspath, sys.argv[1:4])
PROGRAMS = ("perl", "sqlite")


def command(library, output, *more):
    return [sys.executable, "-B", os.path.join(paths.SOURCE, "world.py"), "--library", library, "--output", output,
            "--only", *PROGRAMS, *more]


def packages(purpose):
    with open(os.path.join(paths.SOURCE, "packages.txt"), encoding="utf-8") as file:
        return set(re.findall(rf"^{purpose} +(\S+)$", file.read(), re.MULTILINE))


def needed(function, seen=()):
    """The packages that a work and the functions of this folder that it calls say they need."""
    seen = {function, *seen}
    found = {call.args[1].value for call in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
             if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "need"
             and len(call.args) == 2 and isinstance(call.args[1], ast.Constant)}
    for called in inspect.getclosurevars(function).globals.values():
        if inspect.isfunction(called) and os.path.dirname(inspect.getfile(called)) == paths.SOURCE and called not in seen:
            found |= needed(called, seen)
    return found


class PackagesTest(unittest.TestCase):
    """What is missing is installed before the run: for `--quick`, on a machine that has nothing more."""

    def test_what_programs_need_is_listed(self):
        quick = packages("world-quick")
        listed = quick | packages("world") | {"tar"}  # of every Debian
        for entry in world.PROGRAMS.values():
            with self.subTest(entry.name):
                self.assertLessEqual(needed(entry.work), quick if entry.is_quick else listed)


class WorldTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="world-test-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)  # users without rights run the programs
        self.folder = folder.name

    def run_world(self, library):
        """(exit status, what the terminal shows), and the same verdicts in the files."""
        result = subprocess.run(command(library, self.folder), capture_output=True, text=True, check=False,
                                env=os.environ | {"TMPDIR": self.folder})
        last = result.stdout.splitlines()[-1]
        for name in ("table.md", "report.html"):
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                self.assertIn(last, file.read())
        self.assertLessEqual(max(map(len, result.stdout.split("written:")[0].split("\n\n")[1].splitlines())), 80)
        return result.returncode, result.stdout

    def test_hakmem_passes(self):
        status, text = self.run_world(HAKMEM)
        self.assertTrue(text.endswith("\n2 passed, 0 failed\n"), text)
        self.assertEqual(status, 0)

    def test_wrong_memory_fails(self):
        status, text = self.run_world(LIAR)
        self.assertTrue(text.endswith("\n0 passed, 2 failed\n"), text)
        self.assertEqual(status, 1)

    def test_words_on_stderr_fail(self):
        status, text = self.run_world(NOISY)
        self.assertTrue(text.endswith("\n0 passed, 2 failed\n"), text)
        self.assertIn("says: hakmem: fatal: free(0x1)", text)
        self.assertEqual(status, 1)

    def test_library_that_is_not_loaded_fails(self):
        place = os.path.join(self.folder, "libhakmem.so")
        with open(place, "w", encoding="ascii") as file:
            file.write("not a library")
        status, text = self.run_world(place)
        self.assertTrue(text.endswith("\n0 passed, 2 failed\n"), text)
        self.assertEqual(status, 1)

    def test_interrupt_leaves_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            world = subprocess.Popen(command(HAKMEM, self.folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     env=os.environ | {"TMPDIR": self.folder})
            while len(below := memory.descendants(world.pid)) < 4:
                time.sleep(0.05)
            world.send_signal(number)
            self.assertIn(b"interrupted", world.communicate(timeout=60)[1])
            self.assertEqual(world.returncode, 130)
            self.assertEqual([pid for pid in below if os.path.exists(f"/proc/{pid}")], [])
            self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
