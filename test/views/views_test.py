#!/usr/bin/env python3
"""Tests of the commands that look at processes: views_test.py HAKMEM PROGRAM, the built tool and program.c.

PROGRAM has a record without being on hakmem, so that its figures are known.
SPDX-License-Identifier: MIT
"""
import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())
TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
NOBODY = 65534
MIB = 1 << 20


def run(*arguments, **options):
    """The finished `hakmem arguments...`."""
    command = [TOOL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


class Case(unittest.TestCase):
    """A test with a directory of its own and processes that end with it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name).resolve()

    def program(self, *arguments, **options):
        """PROGRAM, when its record is there."""
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def record(self):
        """The record that a process left that was killed."""
        path = self.directory / "program.record"
        process = self.program(path)
        process.kill()
        process.wait()
        return path

    def shown(self, *arguments):
        """What the command writes; it succeeds, without a word on stderr, and in 80 columns."""
        result = run(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        if "--json" not in arguments and "--openmetrics" not in arguments:
            for line in result.stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)
        self.assertNotIn("\033", result.stdout)
        return result.stdout

    def refused(self, status, line, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result)
        self.assertRegex(result.stderr.splitlines()[0], "^hakmem: " + line)
        self.assertLessEqual(len(result.stderr.splitlines()), 2)


def resident(process):
    """Bytes, as the kernel counts them."""
    status = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Why(Case):
    def test_of_a_process(self):
        process = self.program()
        text = self.shown("why", process.pid)
        self.assertLessEqual(len(text.splitlines()), 24)
        self.assertRegex(text, r"^fixture, process %d on hakmem 0.1.0, up 1 min" % process.pid)
        self.assertIn("100 %  resident, as the kernel says", text)
        self.assertIn("The process is small", text)

    def test_of_one_that_was_killed(self):
        text = self.shown("why", self.record())
        self.assertLessEqual(len(text.splitlines()), 24)
        self.assertRegex(text, r"(?m)^ +80.0 MiB +80 %  live blocks: in the program's hands$")
        self.assertRegex(text, r"(?m)^ +40.0 MiB  fixture\+0x100 < fixture\+0x200$")
        self.assertIn("grew from 10.0 MiB to 80.0 MiB in the last 1 min", " ".join(text.split()))
        self.assertIn("a leak, or a cache", " ".join(text.split()))

    def test_of_a_core_file(self):
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
        if not re.fullmatch(r"core(\.?%[pe])*", pattern):
            self.skipTest("core files go elsewhere here")
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        if hard == 0:
            self.skipTest("core files are forbidden here")
        process = self.program(cwd=self.directory,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)))
        process.send_signal(signal.SIGQUIT)
        process.wait()
        core, = self.directory.glob("core*")
        text = self.shown("why", core)
        self.assertRegex(text, r"(?m)^ +80.0 MiB +80 %  live blocks: in the program's hands$")

    def test_wrong_usage(self):
        self.refused(2, "why: one process, record or core file is to be given", "why")
        self.refused(2, "why: one process, record or core file is to be given", "why", 1, 2)
        self.refused(2, "why: no option '--fast'", "why", "--fast", 1)
        self.refused(1, "there is no process 999999999", "why", 999999999)
        self.refused(1, r"process \d+ does not run on hakmem", "why", os.getpid())
        self.refused(1, "cannot open './no such file': No such file or directory", "why", "./no such file")

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_what_would_give_the_right_is_said(self):
        process = self.program()
        os.chmod(self.directory, 0o755)
        for command in ("why", "stats"):
            self.refused(1, r"process \d+ may not be read: it has the rights of another user \(0\); root may, and who has "
                            "CAP_SYS_PTRACE$", command, process.pid, preexec_fn=lambda: os.setuid(NOBODY))

    def test_a_child_that_has_the_record_of_its_parent(self):
        read, write = os.pipe()
        process = self.program("fork", pass_fds=[write], env={**os.environ, "PIPE": str(write)})
        child = int(os.read(read, 20))
        self.addCleanup(os.kill, child, signal.SIGKILL)
        os.close(read)
        os.close(write)
        self.assertNotEqual(child, process.pid)
        self.refused(1, f"process {child} has recorded nothing yet since it was forked", "why", child)


class Stats(Case):
    def test_as_text(self):
        process = self.program()
        lines = self.shown("stats", process.pid).splitlines()
        self.assertLessEqual(len(lines), 13)
        self.assertEqual(lines[1], "    0.0 KiB    0 %  live blocks (80.0 MiB with untouched); peak 90.0 MiB")
        self.assertRegex(lines[-1], r"100 %  resident, as the kernel says; peak \d+\.\d MiB$")
        every = self.shown("stats", "--all", process.pid)
        self.assertRegex(every, r"(?m)^  bytes.free_clean +36.0 MiB  free runs not resident$")
        self.assertRegex(every, r"(?m)^  threads +0  threads with rings$")

    def test_as_json(self):
        process = self.program()
        before = resident(process.pid)
        figures = json.loads(self.shown("stats", "--json", process.pid))
        self.assertEqual((figures["process"], figures["state"], figures["peak"]), (process.pid, "running", 90 * MIB))
        self.assertEqual(sum(figures["bill"].values()), figures["resident"])
        # The kernel's own count is a little behind: it adds up pages for each processor.
        self.assertLess(abs(figures["resident"] - before), MIB)
        self.assertGreaterEqual(figures["peak_resident"], figures["resident"])
        self.assertEqual(figures["statistics"]["bytes.live"], 80 * MIB)
        of_the_dead = json.loads(self.shown("stats", "--json", self.record()))
        self.assertEqual((of_the_dead["state"], of_the_dead["resident"]), ("not ended", 100 * MIB))
        self.assertEqual(sum(of_the_dead["bill"].values()), 100 * MIB)

    def test_as_openmetrics(self):
        lines = self.shown("stats", "--openmetrics", self.record()).splitlines()
        self.assertEqual(lines[-1], "# EOF")
        family = None
        seen = set()
        for line in lines[:-1]:
            kind = re.fullmatch(r"# (TYPE|UNIT|HELP) (\w+) (.*)", line)
            if kind and kind[1] == "TYPE":
                family, is_counter = kind[2], kind[3] == "counter"
                self.assertNotIn(family, seen)
                seen.add(family)
            elif kind:
                self.assertEqual(kind[2], family)
                self.assertTrue(kind[1] == "HELP" or family.endswith("_" + kind[3]))
            else:
                sample = re.fullmatch(r'(\w+)\{process="\d+",program="fixture"(,item="\w+")?\} (\d+)', line)
                self.assertEqual(sample[1], family + "_total" * is_counter)
        self.assertLessEqual({"hakmem_resident_bytes", "hakmem_live_bytes", "hakmem_malloc_depot", "hakmem_threads"}, seen)

    def test_watching_ends_with_the_process(self):
        process = self.program()
        watch = subprocess.Popen([TOOL, "stats", "--json", "--watch", "0.1", str(process.pid)], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3):
            self.assertEqual(json.loads(watch.stdout.readline())["process"], process.pid)
        process.kill()
        process.wait()
        output, errors = watch.communicate(timeout=10)
        self.assertEqual((watch.returncode, errors), (1, f"hakmem: there is no process {process.pid}\n"))
        for line in output.splitlines():
            json.loads(line)

    def test_output_that_nobody_takes(self):
        process = self.program()
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([TOOL, "stats", str(process.pid)], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 125)
        watch = subprocess.run(f"{TOOL} stats --watch 0.1 {process.pid} | head -1", shell=True, timeout=20, check=False,
                               capture_output=True)
        self.assertEqual((watch.returncode, watch.stderr), (0, b""))

    def test_wrong_usage(self):
        self.refused(2, "stats: no process, record or core file given", "stats")
        self.refused(2, "stats: --watch takes seconds", "stats", "--watch", "soon", 1)
        self.refused(2, "stats: --watch takes seconds", "stats", "--watch")
        self.refused(2, "stats: no option '-x'", "stats", "-x")


class Top(Case):
    def test_once(self):
        process = self.program()
        lines = self.shown("top", "--sort", "growth").splitlines()
        self.assertRegex(lines[0], "^ +PID +RESIDENT +LIVE +FREE +PEAK +GROWTH/m +LIMIT +PRESS +PROGRAM$")
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertTrue(any(re.match(rf" +{process.pid} +[\d.]+M +80.0M +12.0M +90.0M +\+[67]\d.\dM +\S+ +(\d+\.\d|-) fixture$", line)
                            for line in lines), lines)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_where_nothing_may_be_looked_at(self):
        self.program()
        result = run("top", preexec_fn=lambda: os.setuid(NOBODY))
        self.assertRegex(result.stdout, r"(?m)^no process that may be looked at runs on hakmem\n\d+ process(es)? may not be "
                                        "looked at; root may, and who has CAP_SYS_PTRACE$")

    def test_wrong_usage(self):
        self.refused(2, "top: --sort takes the name of a column, not 'size'", "top", "--sort", "size")
        self.refused(2, "top: --every takes seconds", "top", "--every", "0")
        self.refused(2, "top: takes no argument '4711'", "top", "4711")
        self.refused(2, "top: no option '--all'", "top", "--all")

    def on_terminal(self, keys, environment=None, end=None):
        """What `hakmem top` writes to a terminal, and how it ends: status, the terminal's modes before and after."""
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(environment or {})
            os.execv(TOOL, [TOOL, "top", "--every", "30"])
        self.addCleanup(os.close, terminal)
        output = self.read(terminal, lambda text: b"o program" in text)
        for key in keys:
            os.write(terminal, key)
            output += self.read(terminal, lambda text: b"o program" in text)
        if end:
            os.kill(child, end)
        else:
            os.write(terminal, b"q")
        output += self.read(terminal, lambda text: b"\033[?1049l" in text)
        return output, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def read(self, terminal, is_enough):
        text = b""
        until = time.monotonic() + 20
        while not is_enough(text):
            self.assertTrue(select.select([terminal], [], [], max(0, until - time.monotonic()))[0], text)
            text += os.read(terminal, 1 << 16)
        return text

    def test_on_a_terminal(self):
        process = self.program()
        output, status = self.on_terminal([b"l", b" "])
        self.assertEqual(status, 0)
        self.assertTrue(output.startswith(b"\033[?1049h\033[?25l"))
        self.assertTrue(output.endswith(b"\033[?25h\033[?1049l"))
        self.assertEqual(output.count(b"\033[H\033[J"), 3)
        self.assertIn(str(process.pid).encode(), output)
        self.assertIn(b"\033[1mRESIDENT\033[0m", output)
        self.assertIn(b"\033[1m    LIVE\033[0m", output)

    def test_without_colours(self):
        output, status = self.on_terminal([], {"NO_COLOR": "1"})
        self.assertEqual(status, 0)
        self.assertNotIn(b"\033[1m", output)

    def test_interrupted(self):
        output, status = self.on_terminal([], end=signal.SIGINT)
        self.assertEqual(status, -signal.SIGINT)
        self.assertTrue(output.endswith(b"\033[?25h\033[?1049l"))


class Help(Case):
    def test_each_command_has_one(self):
        for command in ("why", "stats", "top"):
            text = run(command, "--help")
            self.assertEqual((text.returncode, text.stderr), (0, ""))
            self.assertIn("usage: hakmem " + command, text.stdout)
            self.assertIn(command, run("--help").stdout)


unittest.main()
