#!/usr/bin/env python3
"""Tests of the views on processes that run on hakmem: live_test.py HAKMEM HABITS, the built tool and habits.c.
SPDX-License-Identifier: MIT"""
import functools
import json
import pathlib
import re
import subprocess
import sys
import time
import unittest

import tool

HABITS = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
MIB = 1 << 20
OLD_ENOUGH = 15  # seconds; of processes below 10 no growth is told, and of their history a second may be missing
shown = functools.partial(tool.shown, TOOL)


class Live(unittest.TestCase):
    """One process for each habit; all of them begin at once."""

    @classmethod
    def setUpClass(cls):
        cls.processes = {}
        for habit in ("leak", "cache", "steady", "sparse", "untouched", "mapped", "stacks", "asleep"):
            process = subprocess.Popen([TOOL, "run", "--", HABITS, habit], stdout=subprocess.PIPE)
            cls.addClassCleanup(process.stdout.close)
            cls.addClassCleanup(process.wait)
            cls.addClassCleanup(process.kill)
            cls.processes[habit] = process
        begun = time.monotonic()
        for process in cls.processes.values():
            assert process.stdout.readline() == b"ready\n"
        time.sleep(max(0, begun + OLD_ENOUGH - time.monotonic()))

    def why(self, habit):
        """What `hakmem why` says of the habit, as one line; one screen of it."""
        lines = shown("why", self.processes[habit].pid).splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)
        return " ".join(" ".join(lines).split())

    def bill(self, habit):
        return json.loads(shown("stats", "--json", self.processes[habit].pid))

    def test_the_bill_adds_up_to_what_the_kernel_reports(self):
        for habit, process in self.processes.items():
            before = self.resident(process.pid)
            figures = self.bill(habit)
            after = self.resident(process.pid)
            self.assertEqual(sum(figures["bill"].values()), figures["resident"])
            self.assertGreaterEqual(figures["resident"], before - MIB // 4, habit)
            self.assertLessEqual(figures["resident"], after + MIB // 4, habit)

    def resident(self, process):
        rollup = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        return int(re.search(r"Rss:\s+(\d+) kB", rollup)[1]) * 1024

    def test_a_leak(self):
        text = self.why("leak")
        self.assertRegex(text, r"Verdict: It is live, and grows by \d+\.\d MiB a minute. Hardly anything that came by "
                               r"(block_make|leak_on) was ever freed: a leak, or a cache that is not full yet.")
        minute = float(re.search(r"grows by ([\d.]+) MiB a minute", text)[1])
        self.assertTrue(100 < minute < 400, minute)

    def test_a_cache_that_fills(self):
        self.assertRegex(self.why("cache"), r"Verdict: It is live, and grows by \d+\.\d MiB a minute, most by \w+, whose "
                                            r"blocks are freed, too")

    def test_what_does_not_change(self):
        self.assertIn("Verdict: It is live, and has hardly changed for 1", self.why("steady"))
        bill = self.bill("steady")["bill"]
        self.assertTrue(63 * MIB < bill["live"] < 66 * MIB, bill)

    def test_what_came_at_the_start(self):
        """Of a process that has not called malloc since, and is small."""
        live = self.bill("asleep")["live"]
        self.assertTrue(4.4 * MIB < live < 5.3 * MIB, live)

    def test_fragmentation(self):
        text = self.why("sparse")
        self.assertRegex(text, r"Verdict: \d+\.\d MiB is fragmentation: free, but pages of memory that live blocks keep")
        figures = self.bill("sparse")
        self.assertTrue(figures["live"] < 10 * MIB, figures)
        self.assertTrue(figures["bill"]["free_in_pages"] > 40 * MIB, figures)

    def test_what_was_never_touched(self):
        text = self.why("untouched")
        self.assertRegex(text, r"live blocks \(57\d\.\d MiB with untouched\)")
        bill = self.bill("untouched")["bill"]
        self.assertTrue(63 * MIB < bill["live"] < 66 * MIB, bill)

    def test_mappings_of_the_program(self):
        self.assertRegex(self.why("mapped"), r"Verdict: It is not the heap: \d+ % is not hakmem's, and of that most is in "
                                             r"mappings")
        self.assertTrue(64 * MIB <= self.bill("mapped")["bill"]["other"] < 66 * MIB)

    def test_stacks(self):
        self.assertRegex(self.why("stacks"), r"Verdict: It is not the heap: \d+ % is not hakmem's, and of that most is in "
                                             r"stacks")
        self.assertTrue(64 * MIB <= self.bill("stacks")["bill"]["stacks"] < 66 * MIB)

    def test_top_has_all(self):
        table = shown("top", "--once")
        for process in self.processes.values():
            self.assertRegex(table, rf"(?m)^ +{process.pid} .* views_habit$")


unittest.main()
