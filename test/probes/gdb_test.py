#!/usr/bin/env python3
"""What a debugger hears of a program's samples, which needs nothing of the kernel: gdb_test.py HAKMEM LIBRARY PROGRAM,
the last being program.c.
SPDX-License-Identifier: MIT"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import common

PROGRAM, LIBRARY, TOOL = (str(pathlib.Path(sys.argv.pop()).resolve()) for _ in range(3))
LISTEN = pathlib.Path(__file__).resolve().parent / "listen.py"


def heard(directory, **environment):
    """What listen.py has noted; the blocks that the program had; the bytes that it has allocated in total."""
    output, blocks = directory / "heard.json", directory / "blocks"
    names = {"PROBES_LIBRARY": LIBRARY, "PROBES_TOOL": TOOL, "PROBES_OUTPUT": output}
    result = subprocess.run(["gdb", "-nx", "-batch", "-x", LISTEN, "--args", PROGRAM, blocks], input="work\nend\n",
                            text=True, capture_output=True, timeout=200, check=False,
                            env={**os.environ, **names, **environment})
    assert output.exists(), result.stdout + result.stderr
    total = next(int(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("done "))
    return json.loads(output.read_text()), common.told_blocks(blocks), total


class Listened(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory(prefix="hakmem-probes-") as directory:
            cls.seen, cls.blocks, cls.total = heard(pathlib.Path(directory))
        cls.events = cls.seen["events"]
        cls.allocated = [event["values"] for event in cls.events if event["probe"] == "alloc"]

    def live(self):
        """{address: (size, weight)} of blocks that were allocated and not freed; fails where an event is senseless."""
        live = {}
        for event in self.events:
            address = event["values"][0]
            if event["probe"] == "alloc":
                self.assertNotIn(address, live)
                live[address] = tuple(event["values"][1:])
            else:
                self.assertIn(address, live)
                del live[address]
        return live

    def test_live_sum_is_that_of_the_record(self):
        self.assertEqual(sum(weight for _, weight in self.live().values()), self.seen["live"])

    def test_samples_are_blocks_of_the_program(self):
        """With their sizes; but for one that libc may have."""
        live = self.live()
        self.assertGreater(len(live), 1000)
        strangers = [address for address in live if address not in self.blocks]
        self.assertLessEqual(len(strangers), 1)
        for address in live.keys() & self.blocks.keys():
            self.assertEqual(live[address][0], self.blocks[address])

    def test_weights_estimate_what_is_live(self):
        live = self.live().values()
        self.assertTrue(common.is_near(sum(weight for _, weight in live), sum(self.blocks.values()), live))

    def test_weights_estimate_what_was_allocated(self):
        samples = [(size, weight) for _, size, weight in self.allocated]
        self.assertTrue(common.is_near(sum(weight for _, weight in samples), self.total, samples))

    def test_resized_blocks_are_freed_and_allocated(self):
        """Blocks of 1 to 4 MiB that grew by 1 MiB: every one is a sample, at both sizes."""
        large = [(event["probe"], event["values"]) for event in self.events if event["probe"] == "free" or
                 event["values"][1] >= 1 << 20]
        live, sizes = {}, []
        for probe, values in large:
            if probe == "alloc":
                live[values[0]] = values[1]
                sizes.append(values[1] >> 20)
            else:
                live.pop(values[0], None)
        self.assertEqual(sizes, [1, 2, 2, 3, 3, 4, 4, 5])
        self.assertEqual(sorted(size >> 20 for size in live.values()), [2, 3, 4, 5])

    def test_values_are_in_the_registers_of_a_call(self):
        for event in self.events:
            self.assertEqual(event["values"], event["registers"])
            self.assertEqual(event["argc"], {"alloc": 3, "free": 1}[event["probe"]])
            self.assertEqual(event["argc"], len(event["values"]))

    def test_stack_leads_to_the_program(self):
        stacks = [event["stack"] for event in self.events if event["stack"]]
        self.assertTrue(stacks)
        for stack in stacks:
            self.assertIn("main", stack)

    def test_semaphores_count_the_debugger(self):
        self.assertEqual({event["semaphore"] for event in self.events}, {1})


class NotListened(unittest.TestCase):
    def test_nothing_is_run_while_nobody_listens(self):
        """Breakpoints at the same addresses, but without the semaphores."""
        with tempfile.TemporaryDirectory(prefix="hakmem-probes-") as directory:
            seen, _, _ = heard(pathlib.Path(directory), PROBES_PLAIN="1")
        self.assertGreater(seen["live"], 0)
        self.assertEqual(seen["events"], [])


if __name__ == "__main__":
    if not shutil.which("gdb") or subprocess.run(["gdb", "-nx", "-batch", "-ex", "python print(1)"], check=False,
                                                 capture_output=True).stdout != b"1\n":
        print("skipped: there is no gdb with Python here (Debian: gdb)")
        sys.exit(77)
    unittest.main()
