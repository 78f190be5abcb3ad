#!/usr/bin/env python3
"""The lab at work: lab_test.py WORKLOADS PAIR HAKMEM LIAR, the built programs and libraries. Times mean nothing here;
what is tested is that allocators which do not serve, crash, hang or lie are caught, and that results arrive where they
should.
SPDX-License-Identifier: MIT"""
import contextlib
import csv
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import fixture

import allocators
import machine
import measure
import process
import rows

WORKLOADS, PAIR, HAKMEM, LIAR = (os.path.abspath(path) for path in sys.argv[1:5])
LAB = [sys.executable, "-B", os.path.join(fixture.LAB, "lab.py")]
TOOL = os.path.join(os.path.dirname(HAKMEM), "hakmem")
TRACED = os.path.join(os.path.dirname(WORKLOADS), "libhakmem-traced.so")
PLACES = ["--tool", TOOL, "--hakmem", HAKMEM, "--workloads", WORKLOADS]
FAST = ["--rounds", "2", "--part", "0.02", "--scale", "0.02"]

THIN = pathlib.Path(__file__).resolve().with_name("thin.c")
# Libraries that are no allocator, or a bad one; C source by name.
LIBRARIES = {
    "empty": "int empty_nothing;",
    "crash": "#include <signal.h>\n__attribute__((constructor)) static void crash(void) { raise(SIGSEGV); }",
    "hang": "#include <unistd.h>\n__attribute__((constructor)) static void hang(void) { for (;;) pause(); }",
    # Serves malloc, but leaves free to libc.
    "half": "#include <stddef.h>\nvoid *__libc_malloc(size_t);\nvoid *malloc(size_t n) { return __libc_malloc(n); }",
}


def setUpModule():
    global FOLDER
    keeper = tempfile.TemporaryDirectory(prefix="hakmem-lab-test-")
    unittest.addModuleCleanup(keeper.cleanup)
    FOLDER = pathlib.Path(keeper.name)
    for name, source in LIBRARIES.items():
        (FOLDER / f"{name}.c").write_text(source, encoding="utf-8")
        build(name, FOLDER / f"{name}.c")
    build("thin", THIN)
    process.become_subreaper()
    process.TOOL = TOOL


def build(name, source, *options):
    subprocess.run(["cc", "-O1", "-fno-builtin", "-shared", "-fPIC", *options, "-o", library(name), source], check=True)


def library(name):
    return str(FOLDER / f"lib{name}.so")


def run(*arguments, **options):
    return subprocess.run([*LAB, *map(str, arguments)],
                          capture_output=True,
                          text=True,
                          timeout=240,
                          check=False,
                          **options)


def bench(output, *arguments):
    """Runs a bench; its results and the finished process."""
    finished = run("bench", *PLACES, *FAST, "--output", output, *arguments)
    with open(output / "results.json", encoding="utf-8") as file:
        return json.load(file), finished


def statuses(results, row):
    runs = next(one["runs"] for one in results["rows"] if one["id"] == row)
    return {allocator: {run["status"] for run in found} for allocator, found in runs.items()}


class BadAllocators(unittest.TestCase):
    """Each is found out on a workload and on a real program."""

    @classmethod
    def setUpClass(cls):
        named = {name: library(name) for name in ("empty", "crash", "half")} | {"liar": LIAR}
        arguments = [part for name, path in named.items() for part in ("--lib", f"{name}={path}")]
        cls.results, cls.finished = bench(FOLDER / "bad", "--only", "random-app-1,lua", "--allocators", "hakmem,glibc",
                                          *arguments)
        cls.page = (FOLDER / "bad" / "report.html").read_text(encoding="utf-8")

    def test_good_ones_are_good(self):
        for row in ("random-app-1", "lua-trees"):
            for allocator in ("hakmem", "glibc"):
                self.assertEqual(statuses(self.results, row)[allocator], {"ok"}, self.finished.stderr)

    def test_library_that_is_no_allocator(self):
        for row in ("random-app-1", "lua-trees"):
            self.assertEqual(statuses(self.results, row)["empty"], {"service"})
        self.assertIn("malloc was answered by", self.finished.stderr)

    def test_library_that_leaves_free_to_libc(self):
        for row in ("random-app-1", "lua-trees"):
            self.assertEqual(statuses(self.results, row)["half"], {"service"})

    def test_crash(self):
        for row in ("random-app-1", "lua-trees"):
            self.assertEqual(statuses(self.results, row)["crash"], {"crash"})
        self.assertIn("ended by SIGSEGV", self.page)

    def test_wrong_content(self):
        self.assertEqual(statuses(self.results, "random-app-1")["liar"], {"wrong"})

    def test_failures_are_shown_everywhere(self):
        self.assertEqual(self.finished.returncode, 1)
        self.assertIn("random-app-1 on crash: crashed", self.finished.stdout)
        self.assertIn("not served by it", self.page)
        with open(FOLDER / "bad" / "results.csv", encoding="utf-8", newline="") as file:
            found = {
                line["allocator"]: line["status"]
                for line in csv.DictReader(file)
                if line["row"] == "lua-trees" and not line["metric"]}
        self.assertEqual({name: status.partition(":")[0] for name, status in found.items() if name != "liar"},
                         {"empty": "service", "half": "service", "crash": "crash"})

    def test_service_is_recorded(self):
        row = next(one for one in self.results["rows"] if one["id"] == "random-app-1")
        for run_found in row["runs"]["hakmem"]:
            self.assertEqual(os.path.realpath(run_found["service"]["malloc"][0]), os.path.realpath(HAKMEM))
        self.assertGreater(sum(row["proofs"]["hakmem"]["layers"].values()), 1000)
        row = next(one for one in self.results["rows"] if one["id"] == "lua-trees")
        self.assertEqual(os.path.realpath(row["proofs"]["hakmem"]["service"]["malloc"][0]), os.path.realpath(HAKMEM))
        self.assertGreater(row["proofs"]["hakmem"]["layers"]["ring"], 100)


class Minutes(unittest.TestCase):
    """A time in which hardly anything can be done: each row on each allocator once, and no more."""

    @classmethod
    def setUpClass(cls):
        finished = run("bench", *PLACES, "--part", "0.02", "--scale", "0.02", "--minutes", "0.1", "--only",
                       "random-app-1,thread-churn-1,lua", "--allocators", "hakmem,glibc", "--output", FOLDER / "short")
        cls.finished = finished
        with open(FOLDER / "short" / "results.json", encoding="utf-8") as file:
            cls.results = json.load(file)

    def test_no_row_is_left_out(self):
        self.assertEqual(self.finished.returncode, 0, self.finished.stderr)
        for row in ("random-app-1", "thread-churn-1", "lua-trees"):
            self.assertEqual(statuses(self.results, row), {"hakmem": {"ok"}, "glibc": {"ok"}})

    def test_rounds_are_and_that_is_said(self):
        done, wanted = self.results["rounds"], self.results["rounds_wanted"]
        self.assertEqual(wanted, 5)
        self.assertTrue(1 <= done < wanted, done)
        self.assertIn(f"{done} of 5 rounds: there is no time for another one", self.finished.stderr)
        self.assertIn(f"{done} of 5 rounds: there was no time for more.", self.finished.stdout)
        self.assertIn("there was no time for more", (FOLDER / "short" / "report.html").read_text(encoding="utf-8"))

    def test_the_machine_comes_first(self):
        self.assertTrue(self.finished.stderr.startswith("What this machine takes\n"), self.finished.stderr)
        self.assertTrue(self.finished.stdout.startswith("What this machine takes\n"))
        self.assertGreater(self.results["machine"]["costs"]["page_fault"], 0)


class Tails(unittest.TestCase):
    """Each call by itself, and why the slowest were slow."""

    @classmethod
    def setUpClass(cls):
        cls.results, cls.finished = bench(FOLDER / "tails", "--only", "thread-churn-1,realloc-vectors,lua",
                                          "--allocators", "hakmem,glibc")
        cls.tails = {row["id"]: row["tails"] for row in cls.results["rows"]}

    def test_of_every_workload_and_allocator(self):
        both = {"hakmem", "glibc"}
        self.assertEqual({row: set(found) for row, found in self.tails.items()},
                         {"thread-churn-1": both, "realloc-vectors": both, "lua-trees": set()})
        for found in self.tails["realloc-vectors"].values():
            self.assertEqual(set(found["calls"]), {"malloc", "free", "realloc"})

    @unittest.skipUnless(os.path.exists(TRACED), "no traced library")
    def test_causes_by_name(self):
        found = self.tails["thread-churn-1"]["hakmem"]["causes"]["malloc"]["slowest"]
        names = {name for slow in found for name, _, _ in slow["steps"]}
        self.assertIn("ring_refill", names)
        self.assertNotIn("?", {file for slow in found for _, file, _ in slow["steps"]})
        self.assertNotIn("causes", self.tails["thread-churn-1"]["glibc"])

    def test_on_the_page_and_on_the_terminal(self):
        self.assertIn("Each call by itself", self.finished.stdout)
        html = (FOLDER / "tails" / "report.html").read_text(encoding="utf-8")
        self.assertIn("Slow calls of every row", html)
        self.assertEqual("Why malloc was slow in hakmem" in html, os.path.exists(TRACED))
        self.assertEqual("refill or overflow of a ring" in html, os.path.exists(TRACED))

    def test_not_asked_for(self):
        results, _ = bench(FOLDER / "untimed", "--only", "thread-churn-1", "--allocators", "hakmem", "--no-tails")
        self.assertEqual(results["rows"][0]["tails"], {})


class Rows(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory(dir=FOLDER)
        self.addCleanup(keeper.cleanup)
        self.place = pathlib.Path(keeper.name)

    def test_hang(self):
        row = rows.workload_rows(WORKLOADS, rows.Pace(1, 0.02, 0, 0.1, 1),
                                 lambda _, variant: variant["id"] == "random-400")[0]
        row.limit = lambda: 0.5
        [found] = row.run([(allocators.Allocator("hang", library("hang")), self.place)])
        self.assertEqual((found["status"], found["detail"]), ("hang", "did not end within 0 s"))

    def test_pair(self):
        [row] = rows.pair_rows(PAIR, [64])
        [good] = row.run([(allocators.Allocator("hakmem", HAKMEM), None)])
        self.assertTrue(20 < good["metrics"]["value"] < 200, good)
        [bad] = row.run([(allocators.Allocator("empty", library("empty")), None)])
        self.assertEqual(bad["status"], "service")

    def test_differing_output_is_wrong(self):
        measured = [{"deterministic": True, "runs": {name: [fixture.run_of(n, 1.0, checksum=sum_) for n in range(2)]
                                                     for name, sum_ in (("a", "1"), ("b", "1"), ("c", "2"))}}]
        measure.checksums_judge(measured)
        self.assertEqual({name: runs[0]["status"]
                          for name, runs in measured[0]["runs"].items()}, {"a": "ok", "b": "ok", "c": "wrong"})

    def test_variants_are_known(self):
        listed = json.loads(process.capture([WORKLOADS, "--list"]))
        quick = rows.workload_rows(WORKLOADS, rows.Pace(1, 1, 0, 0, 1), lambda _, variant: variant["quick"])
        self.assertEqual({row.workload["name"] for row in quick}, {workload["name"] for workload in listed})


class Processes(unittest.TestCase):
    def run_one(self, *argv, limit=20, **options):
        with tempfile.TemporaryDirectory(dir=FOLDER) as place:
            return process.run(list(argv), dict(os.environ), place, limit, **options)

    def test_peak_is_the_programs_own(self):
        """And not that of this Python, which is far above what `true` needs."""
        self.assertLess(self.run_one("true").metrics["peak"], 6 << 20)
        ballast = "x = bytearray(80 << 20); import time; time.sleep(1)"
        outcome = self.run_one("/usr/bin/python3", "-c", ballast)
        self.assertTrue(80 << 20 < outcome.metrics["peak"] < 110 << 20, outcome.metrics)
        self.assertGreater(max(size for _, size in outcome.samples), 80 << 20)

    def test_exit_code_and_signal(self):
        self.assertEqual(self.run_one("sh", "-c", "exit 7").exit_code, 7)
        crashed = self.run_one("sh", "-c", "echo last words >&2; kill -ABRT $$")
        self.assertEqual((crashed.status, crashed.detail, crashed.errors),
                         ("crash", "ended by SIGABRT", "last words\n"))

    def test_nothing_stays_behind(self):
        before = set(process.children_of(os.getpid()))
        outcome = self.run_one("sh", "-c", "sleep 100 & setsid sleep 100 & sleep 100", limit=0.3)
        self.assertEqual(outcome.status, "hang")
        self.assertEqual(set(process.children_of(os.getpid())), before)

    def test_cpu_time_of_children_counts(self):
        outcome = self.run_one("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; true")
        self.assertGreater(outcome.metrics["cpu"], 0.01)
        self.assertLessEqual(outcome.metrics["cpu"], outcome.metrics["wall"] * 1.2 + 0.05)

    def test_mapped_library_is_seen(self):
        options = {"library": HAKMEM, "preload": {"LD_PRELOAD": HAKMEM}}
        self.assertIs(self.run_one("sleep", "1", **options).mapped, True)
        self.assertIs(self.run_one("sleep", "2", library=HAKMEM).mapped, False)
        self.assertIsNone(self.run_one("true", library=HAKMEM).mapped)

    def test_what_is_counted_is_the_program(self):
        """Page faults, which every machine can count, are exactly those that the kernel tells of at the end: none of
        the launcher's are among them."""
        self.addCleanup(setattr, process, "COUNTED", process.COUNTED)
        process.COUNTED = "1:2"
        for argv in (["true"], ["sh", "-c", "/bin/true; /bin/true"]):
            metrics = self.run_one(*argv).metrics
            faults = metrics["minor_faults"] + metrics["major_faults"]
            self.assertLess(abs(metrics["instructions"] - faults), 12, metrics)

    def test_nothing_of_the_launcher_counts(self):
        """A program without any libc: its start takes a handful of page faults, and no time."""
        source = FOLDER / "nothing.c"
        source.write_text("void _start(void) { __asm__ volatile(NOTHING); for (;;) {} }", encoding="utf-8")
        ends = {"x86_64": "mov $60, %eax\\n xor %edi, %edi\\n syscall", "aarch64": "mov x8, 93\\n mov x0, 0\\n svc 0"}
        if os.uname().machine not in ends:
            self.skipTest("no code for this machine")
        subprocess.run(["cc", "-O1", "-static", "-nostdlib", f'-DNOTHING="{ends[os.uname().machine]}"', source, "-o",
                        FOLDER / "nothing"], check=True)
        runs = [self.run_one(str(FOLDER / "nothing")).metrics for _ in range(5)]
        self.assertLess(min(run["minor_faults"] for run in runs), 12, runs)
        self.assertLess(min(run["cpu"] for run in runs), 0.004, runs)

    def test_a_script_without_a_first_line(self):
        script = FOLDER / "script"
        script.write_text("exit 5\n", encoding="utf-8")
        script.chmod(0o755)
        self.assertEqual(self.run_one(str(script)).exit_code, 5)

    def test_whoever_waits_hears_of_it(self):
        heard = []
        self.addCleanup(setattr, process.Running, "on_wait", staticmethod(process.Running.on_wait))
        process.Running.on_wait = heard.append
        self.run_one("sleep", "0.5")
        self.assertGreater(len(heard), 5)
        self.assertTrue(0.3 < heard[-1] < 0.7, heard)


class Disturbance(unittest.TestCase):
    def load(self, everyone, ours, clock):
        return machine.Load(everyone, ours, clock)

    def test_share(self):
        quiet = self.load(100, 50, 1000), self.load(101, 51, 1001)
        self.assertEqual(machine.others_share(*quiet), 0)
        self.assertFalse(machine.is_disturbed(*quiet))
        busy = self.load(100, 50, 1000), self.load(101.5, 51, 1001)
        self.assertAlmostEqual(machine.others_share(*busy), 0.5)
        self.assertTrue(machine.is_disturbed(*busy))

    def test_clock_ticks_do_not_disturb_short_runs(self):
        self.assertFalse(machine.is_disturbed(self.load(100, 50, 1000), self.load(100.03, 50, 1000.1)))

    def test_this_machine_can_be_read(self):
        before = machine.load_now()
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        after = machine.load_now()
        self.assertGreater(after.ours - before.ours, 0.05)
        self.assertGreaterEqual(after.everyone, before.everyone)

    def test_memory_is_compacted_only_when_asked_for(self):
        asked = FOLDER / "compact_memory"
        original = machine.COMPACTION
        self.addCleanup(setattr, machine, "COMPACTION", original)
        machine.COMPACTION = str(asked)
        self.measured_with([0] * 8)
        self.assertFalse(asked.exists())
        self.assertFalse(machine.describe(False)["compacted"])
        self.measured_with([0] * 8, compacts=True)
        self.assertEqual(asked.read_text(), "1")
        self.assertTrue(machine.describe(True)["compacted"])
        machine.COMPACTION = str(FOLDER / "there is no such folder" / "compact_memory")
        self.assertFalse(machine.describe(True)["compacted"])

    def measured_with(self, shares, **options):
        """A measurement of one row whose tries are disturbed as given: the values that stay, which count the tries."""
        class Restless(rows.Row):
            id, seconds, tries = "restless", 0.01, 0

            def prove(self, pairs):
                return [dict(rows.NO_PROOF) for _ in pairs]

            def run(self, pairs):
                self.tries += 1
                return [fixture.run_of(1, self.tries) for _ in pairs]

        loads = [load for start, share in enumerate(shares)
                 for load in (self.load(0, 0, start), self.load(share, 0, start + 1))]
        original = machine.load_now
        machine.load_now = iter(loads).__next__
        self.addCleanup(setattr, machine, "load_now", original)
        measurement = measure.Measurement([Restless()], [allocators.Allocator("a", "/a.so")], 8, **options)
        measurement.run()
        return [(found["metrics"]["value"], found["disturbed"]) for found in measurement.runs["restless"]["a"]]

    def test_disturbed_runs_are_repeated(self):
        """The second round is disturbed once, and its second try is what counts."""
        found = self.measured_with([0, 0.5, 0.01, 0, 0, 0, 0, 0, 0])
        self.assertEqual(found, [(1, False), (3, False), *((value, False) for value in range(4, 10))])

    def test_the_least_disturbed_try_is_kept(self):
        found = self.measured_with([0.5, 0.3, 0.9, 0, 0, 0, 0, 0, 0, 0])
        self.assertEqual(found[0], (2, True))
        self.assertEqual(found[1], (4, False))

    def test_a_busy_machine_does_not_make_it_endless(self):
        """Of 9 tasks, a quarter more tries at most."""
        found = self.measured_with([0.5] * 10)
        self.assertEqual((len(found), {disturbed for _, disturbed in found}), (8, {True}))


class Interruption(unittest.TestCase):
    def interrupted(self, number, *arguments):
        """Sends the signal in the second round: (output, what the terminal showed)."""
        terminal, side = pty.openpty()
        with subprocess.Popen([*LAB, *arguments], stdout=subprocess.PIPE, stderr=side, text=True) as lab:
            os.close(side)
            shown = b""
            while b"round 2 " not in shown:
                shown += os.read(terminal, 4096)
            lab.send_signal(number)
            out, _ = lab.communicate(timeout=60)
        with contextlib.suppress(OSError):
            shown += os.read(terminal, 65536)
        os.close(terminal)
        self.assertEqual(lab.returncode, -number, shown)
        return out, shown.decode()

    def test_what_was_measured_is_kept(self):
        output = FOLDER / "interrupted"
        out, err = self.interrupted(
            signal.SIGINT, "bench", *PLACES, "--rounds", "50", "--part", "0.02", "--only", "random-400",
            "--allocators", "hakmem,glibc", "--output", str(output))
        self.assertIn("interrupted", err)
        with open(output / "results.json", encoding="utf-8") as file:
            results = json.load(file)
        self.assertTrue(results["interrupted"])
        self.assertTrue(0 < results["rounds"] < 50, results["rounds"])
        self.assertIn("Random mixed", out)
        self.assertIn("interrupted", (output / "report.html").read_text(encoding="utf-8"))

    def test_losing_the_terminal_keeps_it_too(self):
        output = FOLDER / "lost"
        lab, terminal = pty.fork()
        if lab == 0:
            os.execv(LAB[0], [*LAB, "bench", *PLACES, "--rounds", "50", "--part", "0.02", "--only",
                              "random-400", "--allocators", "hakmem,glibc", "--output", str(output)])
        shown, until = b"", time.monotonic() + 60
        while b"round 2" not in shown and time.monotonic() < until:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        os.waitpid(lab, 0)
        self.assertRegex(shown.decode(), r"\[\d+/\d+\] round 1 of 50 · random-400 · (hakmem|glibc) · \d+ s left")
        with open(output / "results.json", encoding="utf-8") as file:
            self.assertTrue(json.load(file)["interrupted"])

    def test_being_told_to_end_is_the_same(self):
        out, _ = self.interrupted(signal.SIGTERM, "compare", *PLACES, "-n", "50", "--with", "", "--", "sleep", "0.1")
        self.assertRegex(out, r"(?m)^hakmem +\d")


class Trouble(unittest.TestCase):
    """What people do wrong, and what machines do, ends in a line and not in a traceback."""

    SMALL = ["bench", *PLACES, *FAST, "--only", "random-400", "--allocators", "hakmem,glibc"]

    def wrong(self, arguments, line, status=2):
        found = run(*arguments)
        self.assertEqual((found.returncode, found.stdout), (status, ""), found.stderr)
        self.assertIn(line, found.stderr.splitlines()[-1])

    def test_wrong_options_of_bench(self):
        for arguments, line in ((["--rounds", "0"], "--rounds: takes a whole number from 1 on, not '0'"),
                                (["--part", "-1"], "--part: takes a number above 0, up to 100, not '-1'"),
                                (["--scale", "nan"], "--scale: takes a number above 0, up to 100, not 'nan'"),
                                (["--only", ","], "--only: takes a name, or several with commas between them"),
                                (["--allocators", "foo"], "no allocator 'foo'"),
                                (["--lib", "x=/nothing"], "--lib x=/nothing: there is no file '/nothing'"),
                                (["--lib", f"glibc={LIAR}"], "two allocators are called 'glibc'"),
                                (["--only", "nosuch"], "nothing to measure"),
                                (["--output", "/proc/nosuch"], "cannot write to '/proc/nosuch'")):
            self.wrong([*self.SMALL, "--output", FOLDER / "wrong", *arguments], line)

    def test_results_that_are_none(self):
        self.wrong(["report", "/nothing"], "cannot read '/nothing'")
        (FOLDER / "none.json").write_text("{}", encoding="utf-8")
        self.wrong(["report", FOLDER / "none.json"], "does not hold results of this version of the lab")

    def test_relative_paths(self):
        """As the Makefile gives them; the programs run in folders of their own."""
        found = run("bench", "--tool", os.path.relpath(TOOL, FOLDER), "--hakmem", os.path.relpath(HAKMEM, FOLDER),
                    "--workloads", os.path.relpath(WORKLOADS, FOLDER), *FAST, "--only", "random-400", "--allocators", "hakmem",
                    "--output", "relative", cwd=FOLDER)
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertTrue((FOLDER / "relative" / "report.html").exists())

    def test_output_that_cannot_be_written(self):
        output = FOLDER / "unheard"
        with open("/dev/full", "w", encoding="utf-8") as full:
            found = subprocess.run([*LAB, *self.SMALL, "--output", output], stdout=full, stderr=subprocess.PIPE,
                                   text=True, check=False)
        self.assertEqual(found.returncode, 125)
        self.assertEqual(found.stderr.splitlines()[-1], "hakmem: No space left on device")
        self.assertTrue((output / "report.html").exists())

    def test_closed_output(self):
        found = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *LAB, "compare", *PLACES, "--", "true"],
                               stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual((found.returncode, found.stderr), (125, "hakmem: standard output is closed\n"))

    def test_full_disk(self):
        """The table appears, and the file is named that found no room."""
        output = FOLDER / "full"
        output.mkdir()
        (output / "results.csv").symlink_to("/dev/full")
        found = run(*self.SMALL, "--output", output)
        self.assertEqual(found.returncode, 125)
        self.assertEqual(found.stderr.splitlines()[-1], f"hakmem: {output}/results.csv: No space left on device")
        self.assertIn("Random mixed", found.stdout)


class Check(unittest.TestCase):
    """In a repository whose library is a thin malloc that can be made slow."""

    CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(thin C)\nadd_library(hakmem SHARED thin.c)\n" \
            "target_compile_options(hakmem PRIVATE -O1 -fno-builtin)\n"

    @classmethod
    def setUpClass(cls):
        cls.tree = FOLDER / "tree"
        cls.tree.mkdir()
        (cls.tree / "CMakeLists.txt").write_text(cls.CMAKE, encoding="utf-8")
        shutil.copy(THIN, cls.tree)
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "thin"]):
            subprocess.run(["git", "-C", cls.tree, *command], check=True)

    def check(self, now):
        return run("check", "--tool", TOOL, "--hakmem", now, "--workloads", WORKLOADS, "--source", self.tree, "--only", "random-400",
                   "--rounds", "5", "--part", "0.05")

    def test_slower_fails(self):
        build("slower", THIN, "-DDAWDLE=3000")
        found = self.check(library("slower"))
        self.assertEqual(found.returncode, 1, found.stderr)
        self.assertRegex(found.stdout, r"random-400 +throughput.* WORSE")
        self.assertIn("measured again", found.stderr)

    def test_same_passes(self):
        found = self.check(library("thin"))
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertIn("Nothing is worse", found.stdout)
        worktrees = subprocess.run(["git", "-C", self.tree, "worktree", "list"],
                                   capture_output=True,
                                   text=True,
                                   check=True).stdout
        self.assertEqual(len(worktrees.splitlines()), 1)

    def test_unknown_commit(self):
        found = run("check", *PLACES, "--source", self.tree, "--against", "nosuch")
        self.assertEqual(found.returncode, 2)
        self.assertIn("nosuch", found.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
