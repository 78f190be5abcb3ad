#!/usr/bin/env python3
"""HAKMEM_RECORD: what is left of a process that was killed says who held its memory; and no file is harmed.

usage: record_file_test.py HAKMEM

SPDX-License-Identifier: MIT"""
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

HAKMEM = sys.argv.pop(1)

# Holds 60 MB, some time after it has taken them, when it is killed.
HOLD = """
import os, signal, sys, time
held = [bytes(1000 + i % 3000) for i in range(30000)]
if "fork" in sys.argv and os.fork() == 0:
    more = [bytes(2000) for i in range(30000)]
    time.sleep(0.4)
    some = [str(i) for i in range(100000)]
    os.kill(os.getpid(), signal.SIGKILL)
if "fork" in sys.argv:
    os.wait()
time.sleep(0.4)
some = [str(i) for i in range(100000)]
if "end" not in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
print("done")
"""


def megabytes(text):
    value, unit = re.match(r"([\d.]+) ([KMG])iB", text).groups()
    return float(value) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit]


class Records(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def run_held(self, record, *arguments, limit=None):
        """The program, on hakmem, with its record there, and so many samples that 3 % is one standard error."""
        environment = dict(os.environ, HAKMEM_RECORD=str(record), HAKMEM_SAMPLE="64K", PYTHONMALLOC="malloc")
        before = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
        return subprocess.run([HAKMEM, "run", "--", sys.executable, "-S", "-c", HOLD, *arguments], env=environment,
                              cwd=self.folder.name, preexec_fn=before, capture_output=True, text=True, timeout=60, check=False)

    def held(self, record):
        """Megabytes of live blocks, as `hakmem heap` has it."""
        done = subprocess.run([HAKMEM, "heap", str(record)], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return megabytes(re.search(r": ([\d.]+ [KMG]iB) in live blocks", done.stdout).group(1)), done.stdout

    def test_killed_process(self):
        done = self.run_held("record")
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGKILL, ""))
        size, table = self.held(self.path / "record")
        self.assertTrue(60 < size < 120, table)
        self.assertIn("bytes", table.lower())  # the function that holds most is one of Python's for bytes
        why = subprocess.run([HAKMEM, "why", str(self.path / "record")], capture_output=True, text=True, check=False)
        self.assertEqual(why.returncode, 0, why.stderr)
        self.assertRegex(why.stdout, "killed")
        self.assertGreater(megabytes(re.search(r"([\d.]+ [KMG]iB)\s+100 %", why.stdout).group(1)), 60, why.stdout)
        self.assertEqual((self.path / "record").stat().st_mode & 0o777, 0o600)

    def test_ended_process(self):
        done = self.run_held("record", "end")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "done\n", ""))
        why = subprocess.run([HAKMEM, "why", str(self.path / "record")], capture_output=True, text=True, check=False)
        self.assertNotRegex(why.stdout, "killed")

    def test_children_have_their_own(self):
        self.run_held("record.%p.%e", "fork")
        sizes = sorted(self.held(file)[0] for file in self.path.iterdir())
        self.assertEqual(len(sizes), 2)
        self.assertGreater(sizes[1], sizes[0] + 40)  # the child has what its parent had, and more
        self.assertTrue(all(re.fullmatch(r"record\.\d+\.python3.*", file.name) for file in self.path.iterdir()))

    def test_a_child_does_not_touch_its_parents(self):
        self.run_held("record", "fork")
        self.assertTrue(self.held(self.path / "record")[0] < 120)

    def test_the_last_one_is_kept(self):
        self.run_held("record")
        first = (self.path / "record").read_bytes()
        self.run_held("record", "end")
        self.assertEqual((self.path / "record.old").read_bytes(), first)

    def test_nothing_is_harmed(self):
        (self.path / "target").write_text("mine")
        (self.path / "link").symlink_to("target")
        os.link(self.path / "target", self.path / "second")
        os.mkfifo(self.path / "pipe")
        for name in ("link", "second", "pipe", ".", "none/record", "/dev/null", "/dev/full"):
            done = self.run_held(name, "end")
            self.assertEqual((done.returncode, done.stdout), (0, "done\n"), name)
            self.assertRegex(done.stderr, r"^hakmem: warning: .*: no record is kept there: .*\n$", name)
        self.assertEqual((self.path / "target").read_text(), "mine")
        self.assertTrue((self.path / "link").is_symlink())

    def test_no_room(self):
        done = self.run_held("record", "end", limit=1 << 20)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"))
        self.assertIn("no record is kept there", done.stderr)
        self.assertFalse((self.path / "record").exists())

    def test_profile_of_the_dead(self):
        self.run_held("record")
        done = subprocess.run([HAKMEM, "heap", "--format=json", str(self.path / "record")], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        json.loads(done.stdout)


if __name__ == "__main__":
    unittest.main()
