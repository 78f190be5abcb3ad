#!/usr/bin/env python3
"""Heaps by name in the views: heaps_test.py HAKMEM HEAPS, the built tool and heaps.c, which has two.
SPDX-License-Identifier: MIT"""
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import tool

HEAPS = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
MIB = 1 << 20
shown = functools.partial(tool.shown, TOOL)


class Heaps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.record = pathlib.Path(folder.name, "record")
        cls.process = subprocess.Popen([HEAPS], stdout=subprocess.PIPE, env={"HAKMEM_RECORD": str(cls.record)})
        cls.addClassCleanup(cls.process.communicate)
        cls.addClassCleanup(cls.process.kill)
        assert cls.process.stdout.readline() == b"ready\n"

    def test_json_has_exact_sums(self):
        figures = json.loads(shown("stats", "--json", self.process.pid))
        sessions, queue = figures["heaps"]
        self.assertEqual(sessions["name"], "sessions")
        self.assertEqual(sessions["blocks"], 100001)
        self.assertEqual(sessions["live"], 100000 * 320 + 50 * MIB)
        self.assertEqual(sessions["refused"], 0)
        self.assertEqual(queue, {"name": 'a "queue"', "live": MIB, "blocks": 1024, "peak": MIB, "limit": MIB,
                                 "held": queue["held"], "refused": 1})
        self.assertEqual(figures["statistics"]["heaps"], 2)
        self.assertEqual(figures["statistics"]["bytes.heaps"], sessions["live"] + MIB)

    def test_mappings_of_heaps_are_live_in_the_bill(self):
        """50 MiB of the heap are a mapping, which no sample tells of: neither freed, nor somebody else's."""
        figures = json.loads(shown("stats", "--json", self.process.pid))
        self.assertGreater(figures["live"], 80 * MIB)
        self.assertGreater(figures["bill"]["live"], 78 * MIB)
        self.assertLess(figures["bill"]["other"], 8 * MIB)

    def test_why_names_them_as_owners(self):
        for what in (self.process.pid, self.record):
            self.assertRegex(shown("why", what), r'\n +[78]\d\.\d MiB  heap "sessions"\n')

    def test_stats_shows_a_table(self):
        text = shown("stats", self.process.pid)
        self.assertRegex(text, r'\n   80\.5 MiB   100001    80\.5 MiB        none        0  sessions\n')
        self.assertRegex(text, r'\n    1\.0 MiB     1024     1\.0 MiB     1\.0 MiB        1  a "queue"\n')

    def test_metrics_have_a_label(self):
        text = shown("stats", "--openmetrics", self.process.pid)
        name = r'\{process="\d+",program="views_heaps",heap='
        self.assertRegex(text, "\nhakmem_heap_live_bytes" + name + r'"sessions"\} 84428800' + "\n")
        self.assertRegex(text, "\nhakmem_heap_refused_total" + name + r'"a \\"queue\\""\} 1' + "\n")

    def test_profile_has_them_as_ways(self):
        for what in (self.process.pid, self.record):
            self.assertRegex(shown("heap", what), r'\n +80\.5 MiB .* heap "sessions"\n')
        self.assertRegex(shown("heap", "--format", "folded", self.process.pid), r'(?m)^heap "sessions" 84428800$')

    def test_profile_is_read_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "profile.json")
            shown("heap", self.process.pid, "-o", path)
            self.assertRegex(shown("heap", path), r'\n +80\.5 MiB .* heap "sessions"\n')

    def test_the_process_itself_tells(self):
        program = subprocess.run(
            [sys.executable, "-c", "import ctypes, os; h = ctypes.CDLL(None); h.hak_heap_create.restype = ctypes.c_void_p;"
             "h.hak_heap_malloc.restype = ctypes.c_void_p; heap = ctypes.c_void_p(h.hak_heap_create(b'mine'));"
             "h.hak_heap_malloc(heap, ctypes.c_size_t(5000000)); h.hak_stats_print(2)"],
            env={"LD_PRELOAD": str(pathlib.Path(TOOL).parent / "libhakmem.so")}, capture_output=True, text=True, timeout=60, check=True)
        self.assertRegex(program.stderr, r"heap by name\n +4\.\d MiB +1 +4\.\d MiB +4\.\d MiB +none +0  mine\n")
        self.assertEqual([line for line in program.stderr.splitlines() if len(line) > 80], [])


if __name__ == "__main__":
    unittest.main()
