#!/usr/bin/env python3
"""Tests of names for code that a process has made: made_test.py HAKMEM MADE, the built tool and made.c.
SPDX-License-Identifier: MIT"""
import os
import pathlib
import subprocess
import sys
import unittest

from tool import shown

PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())


class Made(unittest.TestCase):
    def setUp(self):
        environment = {**os.environ, "HAKMEM_SAMPLE": "256K"}  # whole stacks from the start
        self.process = subprocess.Popen([TOOL, "run", "--", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)
        self.addCleanup(self.process.communicate, timeout=60)
        self.word = self.process.stdout.readline()

    def test_functions_in_no_file_have_names(self):
        if self.word == "none\n":
            self.skipTest("no code is known for this machine")
        self.assertEqual(self.word, "ready\n")
        self.assertRegex(shown(TOOL, "heap", self.process.pid), r"blocks_make( \(made.c:\d+\))? < makeAll < main\b")
        self.assertIn(";makeAll;blocks_make ", shown(TOOL, "heap", "--format", "folded", self.process.pid))
        self.assertIn('"function":"makeAll"', shown(TOOL, "heap", "--format", "json", self.process.pid))
        self.assertIn("blocks_make < makeAll < main", shown(TOOL, "why", self.process.pid))


if __name__ == "__main__":
    unittest.main()
