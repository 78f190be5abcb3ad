#!/usr/bin/env python3
"""Bad input and bad moments: trouble_test.py TOOL, the built command `hakmem`. Whatever happens, people see a line and
no traceback, nothing stays behind, and who asks for the status learns the truth.
SPDX-License-Identifier: MIT"""
import concurrent.futures
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import fixture  # noqa: F401 (finds the lab)

import ending
import text

TOOL = os.path.abspath(sys.argv.pop())
COMPARE = [TOOL, "compare", "-n", "1", "--with", ""]
# From the first instruction to the middle of a program's run, over Python's start and the lab's.
MOMENTS = (0, 0.003, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6, 1, 1.5)
NUMBERS = itertools.count()


def run(*arguments, **options):
    return subprocess.run([*COMPARE, *arguments], stdin=options.pop("stdin", subprocess.DEVNULL),
                          stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, timeout=100,
                          check=False, **options)


def commands():
    """Of all processes."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().split(b"\0"))
        except OSError:
            pass
    return found


class Quiet(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-trouble-")
        self.addCleanup(keeper.cleanup)
        self.folder = pathlib.Path(keeper.name)

    def must(self, found, status, line=b""):
        self.assertNotIn(b"Traceback", found.stderr)
        self.assertNotIn(b"error of the lab", found.stderr)
        self.assertEqual(found.returncode, status, found.stderr)
        self.assertIn(line, (found.stderr.splitlines() or [b""])[-1])
        return found

    def script(self, name, content):
        path = os.fsencode(self.folder) + b"/" + name
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o755)
        return path


class Signals(Quiet):
    def interrupted(self, number, moment):
        """(status, what was said, whether anything stayed)"""
        # Long enough that it never ends by itself, and to be told from all others.
        seconds = f"{1000 + next(NUMBERS)}.{os.getpid()}"
        with subprocess.Popen([*COMPARE, "--", "sleep", seconds], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as lab:
            time.sleep(moment)
            lab.send_signal(number)
            _, errors = lab.communicate(timeout=60)
        return lab.returncode, errors, [one for one in commands() if one[:2] == [b"sleep", seconds.encode()]]

    def test_at_every_moment(self):
        cases = list(itertools.product((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), MOMENTS))
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for case, (status, errors, left) in zip(cases, threads.map(lambda case: self.interrupted(*case), cases)):
                self.assertEqual(status, -case[0], (case, errors))
                self.assertNotIn(b"Traceback", errors, case)
                self.assertEqual(left, [], case)

    def test_what_is_ignored_stays_ignored(self):
        with subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMPARE, "--", "sleep", "0.3"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as lab:
            for _ in range(8):
                time.sleep(0.1)
                lab.send_signal(signal.SIGHUP)
            lab.communicate(timeout=60)
        self.assertEqual(lab.returncode, 0)

    def test_one_signal_after_another(self):
        """As service managers and closing terminals send them."""
        with subprocess.Popen([*COMPARE, "--", "sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as lab:
            time.sleep(2)
            lab.send_signal(signal.SIGTERM)
            lab.send_signal(signal.SIGHUP)
            _, errors = lab.communicate(timeout=60)
        self.assertNotIn(b"Traceback", errors)
        self.assertIn(lab.returncode, (-signal.SIGTERM, -signal.SIGHUP))

    def test_one_that_waits_in_a_held_block(self):
        self.addCleanup(setattr, ending.State, "received", None)
        with self.assertRaises(KeyboardInterrupt):
            with ending.held():
                ending.take(signal.SIGTERM, None)
                reached = True
        self.assertTrue(reached)
        self.assertEqual(ending.status(), 143)


class Bytes(Quiet):
    """That are not UTF-8."""

    def test_argument_and_report(self):
        report = os.fsencode(self.folder) + b"/r\xff"
        self.must(run("--report", report, "--", "printf", b"%s", b"a\xffb"), 0)
        with open(report + b"/report.html", encoding="utf-8") as file:
            self.assertIn("a\\xffb", file.read())

    def test_program_and_its_words(self):
        program = self.script(b"p\xfe", b"#!/bin/sh\nprintf 'last \\377\\033[2J words\\n' >&2\nexit 3\n")
        found = self.must(run("--", program), 1)
        self.assertIn(rb"p\xfe", found.stdout)
        self.assertIn(b"ends with status 3", found.stdout)
        self.assertIn(rb"last \xff\x1b[2J words", found.stdout)

    def test_environment_arrives_as_it_was(self):
        """Python changes its own where there is no locale."""
        environment = {b"PATH": os.environb[b"PATH"], b"ODD": b"\xff\xfe"}
        found = self.must(run("--", "sh", "-c", 'test "$ODD" = "$(printf "\\377\\376")" && test -z "$LC_CTYPE"',
                              env=environment), 0)
        self.assertNotIn(b"exit status", found.stdout)

    def test_terminals_of_other_encodings(self):
        self.assertEqual("−1 µs–\udcff é".encode("ascii", errors=text.ESCAPED), b"-1 us-\\xff ?")
        self.assertEqual("−é\udcff".encode("latin-1", errors=text.ESCAPED), b"-\xe9\\xff")

    def test_control_characters_are_shown(self):
        self.assertEqual(text.shown("a\x1b[1mé\x07"), "a\\x1b[1mé\\x07")


class Machine(Quiet):
    def test_programs_that_are_none(self):
        self.must(run("--", "no-such-program"), 127, b"there is no program 'no-such-program'")
        self.must(run("--", ""), 127, b"there is no program ''")
        self.must(run("--", self.folder), 126, b"is not a program that can be executed")
        program = self.script(b"orphan", b"#!/no/such/interpreter\n")
        self.must(run("--", program), 127, b"cannot be executed: No such file or directory")

    def test_input(self):
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        found = run("--", "true", stdin=directory)
        self.assertEqual((found.returncode, found.stderr), (125, b"hakmem: standard input is a directory\n"))

    def test_output(self):
        with open("/dev/full", "wb") as full:
            self.must(run("--", "true", stdout=full), 125, b"hakmem: No space left on device")
            self.must(run("--help", stdout=full), 125, b"hakmem: No space left on device")
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as broken:
            self.must(run("--", "true", stdout=broken), 125, b"hakmem: Broken pipe")

    def test_errors_that_nobody_takes(self):
        for where in (">/dev/full", ">&-"):
            found = subprocess.run(["sh", "-c", f'exec "$@" 2{where}', "sh", *COMPARE, "--", "true"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
            self.assertEqual(found.returncode, 0)
            self.assertIn(b"true: 1 round", found.stdout)

    def test_folders(self):
        self.must(run("--report", "/proc/nosuch", "--", "true"), 2, b"cannot write to '/proc/nosuch'")
        (self.folder / "file").write_text("")
        self.must(run("--report", self.folder / "file", "--", "true"), 2, b"cannot write to")
        nowhere = {**os.environ, "TMPDIR": "/proc/nosuch"}
        self.must(run("--", "true", env=nowhere, cwd="/proc/self/fdinfo"), 0)
        report = self.folder / "full"
        report.mkdir()
        (report / "report.html").symlink_to("/dev/full")
        found = run("--report", report, "--", "true")
        self.must(found, 125, os.fsencode(report) + b"/report.html: No space left on device")
        self.assertIn(b"true: 1 round", found.stdout)

    def test_folder_that_is_gone(self):
        gone = self.folder / "gone"
        gone.mkdir()
        found = subprocess.run(["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *COMPARE, "--", "true"], cwd=gone,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.must(found, 125, b"No such file or directory")

    def test_little_memory(self):
        """Also where Python has none for its own modules."""
        for kilobytes in (30000, 60000):
            found = subprocess.run(["sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh", *COMPARE, "--", "true"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   check=False)
            self.assertNotIn(b"Traceback", found.stderr)


if __name__ == "__main__":
    unittest.main()
