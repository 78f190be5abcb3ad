#!/usr/bin/env python3
"""hakmem-scale: every measurement for sizes that show only that it works, what it refuses, and how it ends.

    scale_test.py PROGRAM LIBRARY

SPDX-License-Identifier: MIT"""
import json
import os
import resource
import signal
import subprocess
import sys
import time
import unittest

PROGRAM, LIBRARY = sys.argv[1:3]
MEASUREMENTS = ["runs", "stall", "free", "fork", "generations", "mallinfo", "growth", "huge", "idle", "threads"]
LINE_WIDTH = 80
GIB = 1 << 30


def environment_with(library):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("HAKMEM") and name != "LD_PRELOAD"}
    if library is not None:
        environment["LD_PRELOAD"] = library
    return environment


def program_run(*arguments, library=None, address_space=None):
    def limits_set():
        if address_space is not None:
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    return subprocess.run([PROGRAM, *arguments], env=environment_with(library), capture_output=True, text=True,
                          timeout=240, preexec_fn=limits_set)


def rows_of(run):
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def session_members(session):
    """The processes of a session that have not ended."""
    members = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, _, of_process = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of_process) == session and state not in "ZX":
            members.append(int(name))
    return members


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Tables(unittest.TestCase):
    def tables_check(self, library, name):
        run = program_run("all", "--tiny", "--json", library=library)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        lines = [line for line in run.stdout.splitlines() if not line.startswith("{")]
        self.assertLessEqual(max(map(len, lines)), LINE_WIDTH)
        rows = rows_of(run)
        self.assertEqual(list(dict.fromkeys(row["measurement"] for row in rows)), MEASUREMENTS)
        for measurement in MEASUREMENTS:
            self.assertTrue(any(line.startswith(f"{measurement}, on {name}") for line in lines), measurement)
            mine = [row for row in rows if row["measurement"] == measurement and "note" not in row]
            self.assertTrue(mine, measurement)
            for row in mine:
                self.row_check(row, name)
                self.assertTrue(any(line.startswith(f"  {row['row']} ") for line in lines), row)
        return rows

    def row_check(self, row, name):
        self.assertTrue(row["allocator"].startswith(name), row)
        self.assertNotIn("failed", row)
        if "skipped" in row:
            return
        numbers = {key: value for key, value in row.items() if key not in ("measurement", "allocator", "row")}
        self.assertGreaterEqual(len(numbers), 2, row)
        for key, value in numbers.items():
            if value is not None and key != "growth_kb":
                self.assertGreaterEqual(value, 0, row)

    def test_all_on_the_library(self):
        rows = self.tables_check(LIBRARY, os.path.basename(LIBRARY))
        self.assertEqual([row for row in rows if "skipped" in row], [])

    def test_all_without_it(self):
        self.tables_check(None, "libc.")

    def test_a_curve_ends_where_it_is_told(self):
        run = program_run("runs", "--tiny", "--max", "100M", "--json", library=LIBRARY)
        self.assertEqual([row["row"] for row in rows_of(run)], ["64 MiB", "100 MiB"])
        run = program_run("idle", "--tiny", "--threads", "3", "--json", library=LIBRARY)
        self.assertEqual([row["row"] for row in rows_of(run)], ["3 threads without malloc", "3 threads"])
        run = program_run("generations", "--times", "2", "--json", library=LIBRARY)
        self.assertEqual([row["row"] for row in rows_of(run) if "note" not in row],
                         ["generation 0", "generation 1", "generation 2"])


class Limits(unittest.TestCase):
    def test_more_memory_than_there_is(self):
        for measurement in "stall", "free", "mallinfo":
            run = program_run(measurement, "--tiny", "--max", "100T", "--json", library=LIBRARY)
            self.assertEqual(run.returncode, 0, run.stdout)
            self.assertRegex(rows_of(run)[-1]["skipped"], r"^needs \d+ TiB, and \d+ % of the available memory is ")

    def test_less_address_space(self):
        run = program_run("runs", "--tiny", "--max", "4G", "--json", address_space=2 * GIB, library=LIBRARY)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("address space, and ulimit -v leaves", rows_of(run)[-1]["skipped"])
        run = program_run("growth", "--json", address_space=2 * GIB, library=LIBRARY)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("NULL: Cannot allocate memory", rows_of(run)[-1]["note"])


class Usage(unittest.TestCase):
    def test_the_list(self):
        for arguments in [], ["--help"]:
            run = program_run(*arguments)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            for measurement in [*MEASUREMENTS, "all"]:
                self.assertRegex(run.stdout, rf"(?m)^  {measurement} +\w.{{20,}}$")

    def test_wrong_usage_is_refused(self):
        for arguments, complaint in (
                (["all", "nothing"], "no measurement 'nothing'"), (["--tiny"], "no measurement is named"),
                (["runs", "--what"], "no option '--what'"), (["runs", "--max"], "--max takes a size"),
                (["runs", "--max", "10X"], "--max takes a size"), (["runs", "--max", "0"], "--max takes a size"),
                (["threads", "--threads", "-1"], "--threads takes a whole number"),
                (["generations", "--times", "1.5"], "--times takes a whole number"),
                (["growth", "--seconds", "long"], "--seconds takes a number"),
                (["runs", "--times", "3"], "no measurement that is named takes --times"),
                (["runs", "--tiny", "--full"], "--full contradicts")):
            run = program_run(*arguments)
            self.assertEqual((run.returncode, run.stdout), (2, ""), arguments)
            self.assertRegex(run.stderr, rf"^hakmem-scale: .*{complaint}")
            self.assertEqual(run.stderr.count("\n"), 1)


class Ends(unittest.TestCase):
    def start(self, *arguments):
        process = subprocess.Popen([PROGRAM, *arguments], env=environment_with(LIBRARY), stdout=subprocess.PIPE,
                                   text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def test_nothing_stays_when_it_is_interrupted(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
            process = self.start("generations", "--times", "500")
            self.assertTrue(wait_until(lambda process=process: len(session_members(process.pid)) >= 4))
            process.send_signal(number)
            self.assertEqual(process.wait(), -number)
            self.assertTrue(wait_until(lambda process=process: not session_members(process.pid)), number)

    def test_a_case_that_crashes_is_a_row(self):
        process = self.start("threads", "--threads", "1", "--seconds", "100", "--json")

        def others():
            return [pid for pid in session_members(process.pid) if pid != process.pid]
        # By this a case begins; before, it is still a copy of the first process.
        self.assertTrue(wait_until(lambda: others() and oom_score_of(others()[0]) == 1000))
        os.kill(others()[0], signal.SIGSEGV)
        output = process.communicate()[0]
        self.assertEqual(process.returncode, 1)
        self.assertRegex(json.loads(output.splitlines()[-1])["failed"], "^ended by signal 11 ")


def oom_score_of(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
