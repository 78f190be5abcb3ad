#!/usr/bin/env python3
"""What a tracer in the kernel hears of a program's samples: bpftrace_test.py HAKMEM LIBRARY PROGRAM, the last being
program.c. Skipped, with the reason, where it cannot attach.
SPDX-License-Identifier: MIT"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import common

PROGRAM, LIBRARY, TOOL = (str(pathlib.Path(sys.argv.pop()).resolve()) for _ in range(3))

# How many began and ended in each process; and what is live in it: by address, the size and the weight.
SCRIPT = """
usdt:LIBRARY:otel_memory:alloc { @began[pid] = count(); @size[pid, arg0] = arg1; @weight[pid, arg0] = arg2; }
usdt:LIBRARY:otel_memory:free { @ended[pid] = count(); delete(@size[pid, arg0]); delete(@weight[pid, arg0]); }
"""


def why_not():
    """What keeps bpftrace from attaching here; None: nothing."""
    if not shutil.which("bpftrace"):
        return "there is no bpftrace here (Debian: bpftrace)"
    if os.geteuid() != 0:
        return "bpftrace is for root only"
    if not pathlib.Path("/sys/bus/event_source/devices/uprobe").exists():
        return "the kernel has no uprobes"
    trial = subprocess.run(["bpftrace", "-e", f"uprobe:{LIBRARY}:hak_version {{ }} BEGIN {{ exit(); }}"],
                           capture_output=True, text=True, check=False, timeout=60)
    return f"bpftrace cannot attach here: {trial.stderr.strip()}" if trial.returncode else None


class Traced(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-probes-")
        self.addCleanup(keeper.cleanup)
        self.blocks = pathlib.Path(keeper.name, "blocks")

    def started(self, *arguments, **options):
        process = subprocess.Popen(arguments, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        for stream in (process.stdin, process.stdout):
            self.addCleanup(stream.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def program(self):
        """One that has begun, and waits."""
        environment = {**os.environ, "LD_PRELOAD": LIBRARY, "HAKMEM_SAMPLE": str(common.SAMPLE)}
        process = self.started(PROGRAM, self.blocks, env=environment)
        self.assertEqual(process.stdout.readline(), "begun\n")
        return process

    def tracer(self, *arguments):
        return self.started("bpftrace", "-f", "json", "-e", SCRIPT.replace("LIBRARY", LIBRARY), *arguments,
                            stderr=subprocess.DEVNULL, env={**os.environ, "BPFTRACE_MAP_KEYS_MAX": "65536"})

    def semaphores(self, process):
        """Their values in the process."""
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:
            base = next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(LIBRARY))
        with open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
            values = {}
            for name, probe in common.probes(LIBRARY).items():
                memory.seek(base + probe["semaphore"])
                values[name] = int.from_bytes(memory.read(2), sys.byteorder)
        return values

    def wait_for(self, process, value):
        """Until both semaphores are that."""
        until = time.monotonic() + 60
        while (seen := self.semaphores(process)) != {"alloc": value, "free": value}:
            self.assertLess(time.monotonic(), until, f"semaphores are {seen}")
            time.sleep(0.05)

    def let_work(self, process):
        process.stdin.write("work\n")
        process.stdin.flush()
        self.assertRegex(process.stdout.readline(), r"done \d+\n")

    def ended(self, tracer):
        """Ends it: its maps."""
        tracer.send_signal(signal.SIGINT)
        output = tracer.communicate(timeout=60)[0]
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return {name: values for line in lines if line["type"] == "map" for name, values in line["data"].items()}

    def live(self, maps, process):
        """(size, weight) of what is live in the process, by what the tracer heard."""
        mine = f"{process.pid},"
        return [(size, maps["@weight"][key]) for key, size in maps["@size"].items() if key.startswith(mine)]

    def check(self, *arguments_of_tracer):
        process = self.program()
        self.assertEqual(self.semaphores(process), {"alloc": 0, "free": 0})
        before = common.heap_live(TOOL, process.pid)
        tracer = self.tracer(*(str(process.pid) if word == "PID" else word for word in arguments_of_tracer))
        self.wait_for(process, 1)
        self.let_work(process)
        live_by_record = common.heap_live(TOOL, process.pid) - before
        maps = self.ended(tracer)
        self.wait_for(process, 0)
        live = self.live(maps, process)
        self.assertGreater(len(live), 1000)
        self.assertEqual(sum(weight for _, weight in live), live_by_record)
        self.assertTrue(common.is_near(live_by_record, sum(common.told_blocks(self.blocks).values()), live))
        return process, maps

    def test_one_process(self):
        self.check("-p", "PID")

    def test_all_processes_and_children(self):
        """The kernel raises the semaphores of all who map the file. A child ends its parent's samples, begins none."""
        process, maps = self.check("--usdt-file-activation")
        child = [int(key) for key in maps["@ended"] if int(key) != process.pid]
        self.assertEqual(len(child), 1)
        self.assertGreater(maps["@ended"][str(child[0])], 1000)
        self.assertNotIn(str(child[0]), maps["@began"])


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()
