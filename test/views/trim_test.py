#!/usr/bin/env python3
"""Tests of `hakmem trim`: trim_test.py HAKMEM PROGRAM TRIMMED, the built tool, program.c, whose record nobody keeps, and
trimmed.c, on hakmem.
SPDX-License-Identifier: MIT"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TRIMMED = str(pathlib.Path(sys.argv.pop()).resolve())
PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
NOBODY = 65534
MIB = 1 << 20


def run(*arguments, **options):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options)


class Case(unittest.TestCase):
    def started(self, *command, **options):
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def refused(self, line, *arguments, status=1, **options):
        result = run("trim", *arguments, **options)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result)
        self.assertRegex(result.stderr.splitlines()[0], f"^hakmem: {line}$")
        self.assertLessEqual(len(result.stderr.splitlines()), 2)

    def purged(self, process):
        return json.loads(run("stats", "--json", process.pid).stdout)["statistics"]["purged"]


class Running(Case):
    def trimmed(self, *arguments, options=()):
        return self.started(TOOL, "run", *options, "--", TRIMMED, *arguments)

    def paused(self, process):
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), b"pauses\n")

    def given(self, text):
        """MiB that went back."""
        lines = text.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        match = re.search(r"^views_trimmed, process \d+: ([\d.]+) ([KM])iB of free memory went back; [\d.]+ MiB resident "
                          r"before, [\d.]+ MiB after\.", " ".join(lines))
        self.assertTrue(match, text)
        return float(match[1]) / (1 if match[2] == "M" else 1024)

    def test_a_busy_program(self):
        """Twice something goes back; between, the program may have had no time to make anything of it free."""
        process = self.trimmed()
        before = self.purged(process)
        times = 0
        for _ in range(20):
            result = run("trim", process.pid)
            self.assertEqual((result.returncode, result.stderr), (0, ""), result)
            self.assertNotIn("threads", result.stdout)
            times += self.given(result.stdout) >= 1
            if times == 2:
                break
        self.assertEqual(times, 2)
        self.assertGreater(self.purged(process), before + MIB)

    def test_where_blocks_are_checked(self):
        """No thread has a cache there, whose upkeep would see to it."""
        process = self.trimmed(options=["--check"])
        for _ in range(20):
            result = run("trim", process.pid)
            if result.returncode == 0:
                break
            time.sleep(0.2)  # until there is a record
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        self.assertIn("live blocks", run("why", process.pid).stdout)

    def test_what_idle_threads_keep_is_said(self):
        result = run("trim", self.trimmed("threads").pid)
        self.assertRegex(" ".join(result.stdout.split()), r"It has 4 threads, which had [\d.]+ .iB of free blocks for "
                         "themselves when this was asked. Each gives its own back when it next needs more; idle ones keep theirs.")

    def test_the_request_to_an_idle_program_stays(self):
        for asks in (True, False):
            process = self.trimmed()
            self.paused(process)
            before = self.purged(process)
            if asks:
                self.refused(f"process {process.pid} has not got to it in 0.5 s: it is idle, or its threads have all that they ask for",
                             "--wait", "0.5", process.pid)
                self.assertEqual(self.purged(process), before)
            process.send_signal(signal.SIGUSR1)
            time.sleep(1.5)
            went = self.purged(process) - before
            self.assertEqual(went > 8 * MIB, asks, went)  # now and then 2 go by themselves

    def test_nobody_waits(self):
        process = self.trimmed()
        self.paused(process)
        result = run("trim", "--wait", "0", process.pid)
        self.assertEqual((result.returncode, result.stdout), (0, f"Process {process.pid} was asked.\n"), result)

    def test_a_program_that_ends(self):
        process = self.trimmed()
        self.paused(process)
        with subprocess.Popen([TOOL, "trim", str(process.pid)], stderr=subprocess.PIPE, text=True) as asking:
            time.sleep(0.5)
            process.kill()
            process.wait()
            _, text = asking.communicate(timeout=30)
        self.assertEqual((asking.returncode, text), (1, f"hakmem: process {process.pid} has ended before it got to it\n"))


class Refused(Case):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.record = pathlib.Path(directory.name, "program.record").resolve()

    def test_who_is_none(self):
        self.refused("there is no process 999999999", 999999999)
        self.refused(r"process \d+ does not run on hakmem, or on a version that keeps no record", os.getpid())

    def test_what_is_left_of_a_process(self):
        process = self.started(PROGRAM, self.record)
        process.kill()
        process.wait()
        self.refused(f"'{self.record}' is what a process has left: only one that runs can give memory back", self.record)

    def test_a_library_that_takes_no_requests(self):
        process = self.started(PROGRAM)
        self.refused(f"process {process.pid} runs on hakmem 0.1.0, which takes no requests", process.pid)

    def test_a_record_that_nobody_looks_at(self):
        process = self.started(PROGRAM, env={**os.environ, "REQUESTS": "1"})
        self.refused(f"process {process.pid} has not got to it in 0.2 s: .*", "--wait", "0.2", process.pid)

    def test_a_record_that_cannot_be_written(self):
        process = self.started(PROGRAM, self.record, env={**os.environ, "REQUESTS": "sealed"})
        self.refused(f"process {process.pid} cannot be asked: .*", process.pid)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_another_user(self):
        process = self.started(PROGRAM, env={**os.environ, "REQUESTS": "1"})
        self.refused(rf"process {process.pid} may not be read: it has the rights of another user \(0\); root may, and who has "
                     "CAP_SYS_PTRACE", process.pid, preexec_fn=lambda: os.setuid(NOBODY))

    def test_wrong_usage(self):
        self.refused("trim: no process given", status=2)
        self.refused("trim: one process at a time", 1, 2, status=2)
        self.refused("trim: no option '--fast'", "--fast", 1, status=2)
        for wait in ("", "x", "-1", "nan", "1s"):
            self.refused("trim: --wait takes seconds", "--wait", wait, 1, status=2)
        self.refused("trim: --wait takes seconds", "--wait", status=2)


if __name__ == "__main__":
    unittest.main()
