#!/usr/bin/env python3
"""Tests of what was allocated in total, freed or not: allocated_test.py HAKMEM ALLOCATED, the built tool and allocated.c,
which runs on hakmem and knows itself what it has allocated.
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

PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
FEW = {"HAKMEM_SAMPLE": "1K"}  # bytes between samples: then a hundred rounds have enough of each kind
OFF_MOST = 0.1  # of an estimate,
COUNT_OFF_MOST = 0.25  # and of one of blocks, of which there are some hundred small ones


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def exact(text):
    """Function to its bytes and blocks."""
    return {name: (int(count), int(blocks)) for name, count, blocks in map(str.split, text.splitlines())}


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.record = pathlib.Path(directory.name, "record").resolve()

    def by_function(self, value, *arguments):
        """What each of the program's functions has, by their stacks."""
        result = run("heap", "--format", "folded", "--value", value, *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        sums = {}
        for line in result.stdout.splitlines():
            stack, _, count = line.rpartition(" ")
            for name in set(re.findall(r"\w+_(?:make|work)\b", stack)):
                sums[name] = sums.get(name, 0) + int(count)
        return sums

    def must_be_near(self, estimated, known, off=OFF_MOST):
        for name, count in known.items():
            self.assertLess(abs(estimated.get(name, 0) - count), off * count, (name, estimated, known))

    def started(self, environment, *options):
        process = subprocess.Popen([TOOL, "run", *options, "--", PROGRAM], stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, **environment})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def refused(self, status, line, *arguments):
        result = run("heap", *arguments)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result)
        self.assertRegex(result.stderr.splitlines()[0], f"^hakmem: {line}$")
        self.assertLessEqual(len(result.stderr.splitlines()), 2)


class Counted(Case):
    def counted(self, off=OFF_MOST, **environment):
        environment = {**os.environ, **FEW, "HAKMEM_ALLOCATED": "1", "HAKMEM_RECORD": str(self.record), **environment}
        result = subprocess.run([TOOL, "run", "--", PROGRAM, "100"], capture_output=True, text=True, timeout=120, check=True,
                                env=environment)
        known = exact(result.stdout)
        self.must_be_near(self.by_function("allocated", self.record), {name: sums[0] for name, sums in known.items()}, off)
        self.must_be_near(self.by_function("allocations", self.record), {name: sums[1] for name, sums in known.items()},
                          COUNT_OFF_MOST)
        return known

    def test_each_function_and_every_way_to_allocate(self):
        known = self.counted()
        lines = run("heap", "--value", "allocated", self.record).stdout.splitlines()
        self.assertRegex(" ".join(lines[:2]), r"heap of process \d+ \(views_allocated\): [\d.]+ MiB allocated in [\d.]+ s, [\d.]+ "
                         ".iB a second")
        self.assertLessEqual(max(map(len, lines)), 80)
        data = json.loads(run("heap", "--format", "json", self.record).stdout)
        self.assertGreater(data["counted"], 0)
        total = sum(row.get("allocated", 0) for row in data["rows"])
        self.assertAlmostEqual(total / sum(sums[0] for sums in known.values()), 1, delta=OFF_MOST)

    def test_where_blocks_are_hardened(self):
        self.counted(0.35, HAKMEM_HARDEN="1")  # the program sees what it asked for, not the size classes

    def test_where_calls_are_counted_one_by_one(self):
        self.counted(HAKMEM_STATS="all", HAKMEM_EXPLAIN="0")

    def test_what_was_not_counted(self):
        subprocess.run([TOOL, "run", "--", PROGRAM, "5"], capture_output=True, timeout=60, check=True,
                       env={**os.environ, **FEW, "HAKMEM_RECORD": str(self.record)})
        self.refused(1, f"what '{self.record}' allocates in total was not counted", "--value", "allocated", self.record)
        self.refused(1, f"'{self.record}' is what a process has left: only one that runs can count", "--for", "1", self.record)

    def test_where_blocks_are_checked_nothing_is(self):
        process = self.started({"HAKMEM_ALLOCATED": "1"}, "--check")
        until = time.monotonic() + 20
        while run("why", process.pid).returncode != 0 and time.monotonic() < until:
            time.sleep(0.2)  # until there is a record
        self.refused(1, f"what '{process.pid}' allocates in total was not counted", "--value", "allocated", process.pid)


class Asked(Case):
    def until(self, holds):
        end = time.monotonic() + 40
        while not holds():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)

    def is_at_rest(self, process):
        """Whether it counts nothing, though it goes on."""
        before = self.by_function("allocated", process)
        time.sleep(1)
        return before == self.by_function("allocated", process)

    def shares(self, sums):
        return {name: count / sum(sums.values()) for name, count in sums.items()}

    def test_a_program_that_runs_is_asked_twice(self):
        process = self.started(FEW)
        pid = process.pid
        self.refused(1, f"what '{pid}' allocates in total was not counted", "--value", "allocated", pid)
        sums = [self.by_function("allocated", "--for", "1", pid) for _ in range(2)]
        both = self.by_function("allocated", pid)
        process.send_signal(signal.SIGTERM)
        known = self.shares({name: count for name, (count, _) in exact(process.stdout.read()).items()})
        for part in sums:
            self.must_be_near(self.shares(part), known)
        for name, count in both.items():
            self.assertGreaterEqual(count, sums[0][name] + sums[1][name])
        self.assertLess(sum(both.values()), 2.5 * sum(map(sum, (part.values() for part in sums))))

    def test_ctrl_c_ends_it_sooner(self):
        process = self.started(FEW)
        with subprocess.Popen([TOOL, "heap", "--for", "50", str(process.pid)], stdout=subprocess.PIPE, text=True) as asking:
            self.until(lambda: run("heap", "--value", "allocated", process.pid).returncode == 0)  # it counts
            asking.send_signal(signal.SIGINT)
            text, _ = asking.communicate(timeout=30)
        self.assertEqual(asking.returncode, 0)
        self.assertIn("same_make", text)
        self.until(lambda: self.is_at_rest(process.pid))

    def test_nobody_waits_any_more(self):
        process = self.started(FEW)
        with subprocess.Popen([TOOL, "heap", "--for", "1000", str(process.pid)], stdout=subprocess.DEVNULL) as asking:
            self.until(lambda: run("heap", "--value", "allocated", process.pid).returncode == 0)
            asking.kill()
        self.until(lambda: self.is_at_rest(process.pid))

    def test_a_program_that_ends(self):
        process = self.started(FEW)
        with subprocess.Popen([TOOL, "heap", "--for", "1000", str(process.pid)], stderr=subprocess.PIPE, text=True) as asking:
            self.until(lambda: run("heap", "--value", "allocated", process.pid).returncode == 0)
            process.kill()
            process.wait()
            _, text = asking.communicate(timeout=30)
        self.assertEqual((asking.returncode, text), (1, f"hakmem: there is no process {process.pid}\n"))

    def test_a_program_that_is_idle(self):
        process = self.started({})
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), "pauses\n")
        self.refused(1, f"process {process.pid} has not got to it: it is idle, or its threads have all that they ask for", "--for",
                     "0.5", process.pid)

    def test_wrong_usage(self):
        for seconds in ("", "x", "-1", "0", "nan", "1s"):
            self.refused(2, f"heap: --for takes seconds, not '{seconds}'", "--for", seconds, 1)
        self.refused(2, "heap: '--for' takes a value", 1, "--for")
        self.refused(2, "heap: --for looks at one process, --diff at two profiles", "--for", "1", "--diff", "a.json", 1)
        self.refused(1, "there is no process 999999999", "--for", "1", 999999999)


if __name__ == "__main__":
    unittest.main()
