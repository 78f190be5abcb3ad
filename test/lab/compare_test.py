#!/usr/bin/env python3
"""`hakmem compare` with programs: compare_test.py TOOL HAKMEM, the built command and library. That equals are equal,
that failures and other output come first, servers, what programs read of it, and nothing that only root could do.
SPDX-License-Identifier: MIT"""
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import fixture  # noqa: F401 (finds the lab)

import allocators
import compare
import console
import process
import stats
import telling

HAKMEM, TOOL = (os.path.realpath(sys.argv.pop()) for _ in range(2))
WIDTH = 80

THIN = pathlib.Path(__file__).resolve().with_name("thin.c")
# Answers each connection with a line, and keeps some memory for each; exits at SIGTERM with status 0.
SERVER = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
kept = []
with socket.socket(socket.AF_UNIX) as door:
    door.bind(sys.argv[1])
    door.listen()
    while True:
        with door.accept()[0] as visitor:
            kept.append(bytearray(200000))
            visitor.sendall(b"yes")
"""
CLIENT = """
import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(sys.argv[1])
        assert visitor.recv(9) == b"yes"
"""


def setUpModule():
    global FOLDER, THIN_LIBRARY, SLOW_LIBRARY
    keeper = tempfile.TemporaryDirectory(prefix="hakmem-compare-test-")
    unittest.addModuleCleanup(keeper.cleanup)
    FOLDER = pathlib.Path(os.path.realpath(keeper.name))
    THIN_LIBRARY, SLOW_LIBRARY = (
        built(f"lib{name}.so", THIN, "-shared", "-fPIC", "-fno-builtin", f"-DDAWDLE={count}")
        for name, count in (("thin", 0), ("slow", 3000)))
    (FOLDER / "server.py").write_text(SERVER, encoding="utf-8")
    (FOLDER / "client.py").write_text(CLIENT, encoding="utf-8")
    process.TOOL = TOOL


def built(name, source, *options):
    subprocess.run(["cc", "-w", "-O1", FOLDER / source, "-o", FOLDER / name, *options], check=True)
    return str(FOLDER / name)


def run(*arguments, **options):
    """The finished compare, whose lines fit and are no traceback."""
    found = subprocess.run([TOOL, "compare", *map(str, arguments)], stdin=options.pop("stdin", subprocess.DEVNULL),
                           capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=280, check=False,
                           **options)
    for line in found.stdout.splitlines():
        assert len(line) <= WIDTH or "LD_PRELOAD" in line or "--json" in arguments or "/" in line, line
    assert "Traceback" not in found.stderr and "error of the lab" not in found.stderr, found.stderr
    return found


def paragraphs(found):
    return [re.sub(r"\s+", " ", part).strip() for part in found.stdout.split("\n\n")]


class Equals(unittest.TestCase):
    def test_the_same_library_twice(self):
        """Of a short program, some times: seldom one that differs, in any figure. The stated rate is for all pairs
        together, so that two in ten for this one would be less likely than one in thirty."""
        options = compare.options_parse(["--hakmem", HAKMEM, "--tool", TOOL, "-n", "10", "--", "true"])
        chosen = [allocators.Allocator("hakmem", HAKMEM), allocators.allocator_find("glibc", None),
                  allocators.Allocator("again", HAKMEM)]
        false = 0
        for _ in range(10):
            row = compare.CommandRow(options, chosen[1], None)
            one = compare.Comparison(options, row, chosen, console.Console())
            one.measure()
            self.assertEqual(one.found, [])
            found = one.conclude(self.figures(one, chosen)).verdicts
            false += any(found.versus(figure, "hakmem", "again").differs for figure in ("wall", "cpu", "peak",
                                                                                        "minor_faults"))
        self.assertLessEqual(false, 1)

    def figures(self, one, chosen):
        results = compare.bench.results_make(one.measurement, chosen, compare.rows.Pace(10, 1, 0, 0, 1), full=False)
        [found] = compare.summary.summarize({**results, "demands": one.demands._asdict()})
        return found

    def test_the_slow_one_is_named(self):
        found = run("-n", "9", "--with", f"slow={SLOW_LIBRARY}", "--", "/usr/bin/python3", "-c",
                    "import json\nfor i in range(40): json.dumps([{str(i): [i]} for i in range(100)])",
                    env={**os.environ, "PYTHONMALLOC": "malloc"})
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertRegex(found.stdout, r"(?m)^  slow +[\d.]+ times that of glibc")
        self.assertNotRegex(found.stdout, r"(Fastest|Least processor time): .*slow")
        self.assertNotIn("libslow", found.stdout.splitlines()[-1])


class Text(unittest.TestCase):
    def test_table_verdicts_and_advice(self):
        found = run("-n", "8", "--with", "", "--", "sleep", "0.05")
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertRegex(found.stdout, r"(?m)^glibc +[\d.]+ m?s +[\d.]+ [mµ]s +[\d.]+ MiB")
        self.assertRegex(found.stdout, r"(?m)^Time, by ")
        self.assertRegex(found.stdout, r"(?m)^Peak memory:\n  hakmem  ")
        self.assertRegex(paragraphs(found)[-1], r"^(keep glibc: |ENV LD_PRELOAD=/)")
        self.assertNotIn("rows", found.stdout)

    def test_too_few_rounds(self):
        found = run("-n", "1", "--with", "", "--", "true")
        self.assertIn("true: 1 round on each of 2 allocators", found.stdout)
        self.assertIn("Too few rounds for verdicts: with these allocators they take 8 at least.", paragraphs(found))
        self.assertNotIn("no difference", found.stdout)

    def test_input_is_given_to_every_run(self):
        (FOLDER / "input").write_text("hay\nneedle\n", encoding="utf-8")
        with open(FOLDER / "input", encoding="utf-8") as source:
            self.assertEqual(run("-n", "1", "--with", "", "--", "grep", "-q", "needle", stdin=source).returncode, 0)

    def test_report(self):
        run("-n", "8", "--with", "", "--report", FOLDER / "report", "--", "sleep", "0.1")
        page = (FOLDER / "report" / "report.html").read_text(encoding="utf-8")
        for wrong in ("1 rows", "0 of the", "of a hundred rows"):
            self.assertNotIn(wrong, page)
        self.assertIn("of the run in the middle by time", page)
        self.assertRegex(page, "<h1>sleep 0.1: (keep glibc: |hakmem instead of glibc)")
        with open(FOLDER / "report" / "results.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["demands"]["bounds"], 0.05)

    def test_wrong_usage(self):
        for arguments, line in (([], "no program given"), (["--ready", "true", "--", "true"], "belong together"),
                                (["--stop", "SIGNONE", "--", "true"], "takes a signal such as SIGTERM, not 'SIGNONE'"),
                                (["--bounds", "0", "--", "true"], "takes percent, above 0 and up to 100, not '0'"),
                                (["--limit", "x", "--", "true"], "takes seconds, above 0 and up to 1000000, not 'x'"),
                                (["--status", "1,256", "--", "true"], "takes numbers from 0 to 255"),
                                (["--fail-if", "rss", "--", "true"], "takes a condition such as 'rss > 1.05 * glibc'"),
                                (["--fail-if", "rss > 1.05 * none", "--", "true"], "no 'none' is measured here"),
                                (["--with", "nomalloc", "--", "true"], "no allocator 'nomalloc'")):
            found = run(*arguments)
            self.assertEqual((found.returncode, found.stdout), (2, ""), arguments)
            self.assertIn(line, found.stderr)
        self.assertEqual(run("--", "no-such-program").returncode, 127)
        self.assertEqual(run("--", "/etc/passwd").returncode, 126)

    def test_help_fits(self):
        self.assertEqual([line for line in run("--help").stdout.splitlines() if len(line) > WIDTH], [])


class Failures(unittest.TestCase):
    def test_on_all_there_is_no_verdict(self):
        found = run("--with", "", "--", "sh", "-c", "echo why >&2; exit 3")
        self.assertEqual(found.returncode, 1)
        self.assertEqual(paragraphs(found)[0].rpartition(": ")[2], "fails on every allocator")
        self.assertIn("with status 3. Nothing is compared.", found.stdout)
        self.assertIn("    why", found.stdout.splitlines())
        self.assertNotRegex(found.stdout, "wall time|keep glibc|ENV")
        found = run("--with", "", "--", "sh", "-c", "kill -SEGV $$")
        self.assertEqual(found.returncode, 1)
        self.assertIn("is ended by SIGSEGV", found.stdout)

    def test_a_status_that_means_success(self):
        found = run("-n", "1", "--status", "0,3", "--with", "", "--", "sh", "-c", "exit 3")
        self.assertEqual(found.returncode, 0)
        self.assertIn("wall time", found.stdout)

    def test_one_that_never_ends(self):
        """Is told so soon, and what it needs."""
        began = time.monotonic()
        found = run("--limit", "1", "--with", "", "--", "sleep", "1000")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(found.returncode, 1)
        self.assertTrue(found.stdout.startswith("sleep 1000: does not end\n"), found.stdout)
        self.assertIn("did not end within 1 s", found.stdout)
        self.assertRegex(" ".join(paragraphs(found)), "If it is a server, .* it needs --ready and --load")

    def test_a_long_first_run_is_spoken_of(self):
        found = run("-n", "1", "--limit", "11", "--with", "", "--", "sleep", "1000")
        self.assertIn("The first run goes on; it is ended after 11 s (--limit).", found.stderr)
        self.assertRegex(found.stderr, r"checking who answers · \w+ · \d+ s so far")

    def test_other_output_on_one_only(self):
        program = 'echo same; case "$LD_PRELOAD" in *thin*) echo other;; *) echo usual;; esac'
        found = run("-n", "9", "--with", f"thin={THIN_LIBRARY}", "--", "sh", "-c", program)
        self.assertEqual(found.returncode, 3)
        text = paragraphs(found)
        self.assertTrue(text[0].endswith(": writes something else on thin"), text)
        self.assertIn("The first difference is in line 2: glibc: usual thin: other", text)
        self.assertNotRegex(found.stdout, "(Fastest|Least).*thin")
        found = run("-n", "1", "--any-output", "--with", f"thin={THIN_LIBRARY}", "--", "sh", "-c", program)
        self.assertEqual(found.returncode, 0)

    def test_output_that_always_differs(self):
        found = run("-n", "2", "--with", "", "--", "sh", "-c", "echo $$; date +%N")
        self.assertEqual(found.returncode, 0, found.stdout)
        self.assertIn("What the program writes is not the same in each run, and is not compared.", paragraphs(found))

    def test_now_and_then_on_one_only(self):
        """A program that fails in a later round."""
        counter = FOLDER / "later"
        program = f'case "$LD_PRELOAD" in *thin*) echo >>{counter}; test $(wc -l <{counter}) -ne 4;; esac'
        found = run("-n", "5", "--with", f"thin={THIN_LIBRARY}", "--", "sh", "-c", program)
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertRegex(" ".join(paragraphs(found)),
                         r"On thin the program ends with status 1 in one of \d runs, which the others did in none")

    def test_by_chance_on_glibc(self):
        """Its own failure is looked at a second time."""
        counter = FOLDER / "once"
        program = f'test -n "$LD_PRELOAD" || {{ echo >>{counter}; test $(wc -l <{counter}) -ne 1; }}'
        found = run("-n", "1", "--with", "", "--", "sh", "-c", program)
        self.assertEqual(found.returncode, 0, found.stdout)

    def test_on_its_own_allocator_only(self):
        """It is not advised to keep that."""
        found = run("-n", "9", "--with", f"thin={THIN_LIBRARY}", "--", "sh", "-c", 'test -n "$LD_PRELOAD"')
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertIn("fails on glibc", paragraphs(found)[0])
        self.assertNotIn("keep glibc", found.stdout)
        self.assertRegex(found.stdout, r"(?m)^  thin +.*hakmem|no difference|cannot tell")

    def test_library_that_is_no_allocator(self):
        (FOLDER / "empty.c").write_text("int nothing;", encoding="utf-8")
        found = run("-n", "1", "--with", "empty=" + built("libempty.so", "empty.c", "-shared"), "--", "ls", "/")
        self.assertEqual(found.returncode, 1)
        self.assertRegex(" ".join(paragraphs(found)), "empty: malloc was answered by .*libc")


class Servers(unittest.TestCase):
    def served(self, *options, load=40):
        self.socket = FOLDER / f"socket{next(NUMBERS)}"
        client = f"/usr/bin/python3 {FOLDER}/client.py {self.socket}"
        # The socket of the run before would be in the way of the next one's.
        return run("--with", "", "--idle", "0.2", "--ready", f"{client} 1", "--load",
                   f"{client} {load} && rm {self.socket}", *options, "--", "/usr/bin/python3", FOLDER / "server.py",
                   self.socket)

    def test_a_server(self):
        found = self.served("-n", "2", "--json")
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        one = json.loads(found.stdout)["allocators"]["glibc"]["figures"]
        self.assertGreater(one["peak"]["median"], 40 * 200000)
        self.assertGreater(one["idle"]["median"], 40 * 200000)
        self.assertTrue(0 < one["cpu"]["median"] < 5, one)
        self.assertGreater(one["minor_faults"]["median"], 40 * 200000 / 4096 * 0.5)

    def test_text(self):
        found = self.served("-n", "1", load=1)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertRegex(found.stdout, "memory, idle")
        self.assertRegex(" ".join(paragraphs(found)), "Wall time is that of the load")

    def test_one_that_ends_by_the_signal(self):
        found = run("-n", "1", "--with", "", "--idle", "0.1", "--stop", "int", "--ready", "true", "--load", "true",
                    "--", "sleep", "1000")
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)

    def test_what_goes_wrong(self):
        for arguments, told in (
                ((["--ready", "false", "--load", "true", "--limit", "0.5"], "sleep 9"),
                 "was not ready within 0.5 s (false)"),
                ((["--ready", "true", "--load", "echo broken >&2; exit 7"], "sleep 9"),
                 "was under a load that ended with status 7 (echo broken >&2; exit 7): broken"),
                ((["--ready", "true", "--load", "sleep 9", "--limit", "0.5"], "sleep 9"),
                 "was under load for more than 0.5 s (sleep 9)"),
                ((["--ready", "false", "--load", "true"], "exit 4"), "ended before it was ready, with status 4"),
                ((["--ready", "true", "--load", "sleep 1"], "sleep 0.5; kill -SEGV $$"),
                 "ended under the load, by SIGSEGV")):
            options, program = arguments
            found = run("--with", "", *options, "--", "sh", "-c", program)
            self.assertEqual(found.returncode, 1, found.stdout)
            self.assertIn(told, " ".join(paragraphs(found)))

    def test_one_that_fails_on_one_only(self):
        found = run("-n", "1", "--with", f"thin={THIN_LIBRARY}", "--idle", "0.1", "--ready", "true", "--load",
                    "sleep 0.3", "--", "sh", "-c", 'case "$LD_PRELOAD" in *thin*) sleep 0.1; exit 9;; esac; sleep 100')
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertIn("On thin the program ended under the load, with status 9", " ".join(paragraphs(found)))


NUMBERS = itertools.count()


class Programs(unittest.TestCase):
    """What other programs read."""

    def test_json(self):
        found = run("-n", "8", "--with", "", "--json", "--", "true")
        self.assertEqual(found.returncode, 0, found.stderr)
        one = json.loads(found.stdout)
        self.assertEqual((one["format"], one["program"], one["rounds"], one["status"], one["findings"]),
                         (telling.JSON_FORMAT, ["true"], 8, 0, []))
        self.assertIn(one["advice"]["outcome"], ("same", "worse", "open", "trade", "better"))
        versus = one["allocators"]["hakmem"]["versus_own"]["peak"]
        self.assertIn(versus["verdict"], ("less", "more", "no difference", "cannot tell"))
        self.assertTrue(versus["low"] <= versus["ratio"] <= versus["high"], versus)
        self.assertEqual(one["error_rate"], stats.FAMILY_ERROR)

    def test_json_of_failures(self):
        found = run("--with", "", "--json", "--", "sh", "-c", "exit 3")
        one = json.loads(found.stdout)
        self.assertEqual((found.returncode, one["status"], set(one["failures"])), (1, 1, {"hakmem", "glibc"}))
        found = run("-n", "1", "--with", f"thin={THIN_LIBRARY}", "--json", "--", "sh", "-c",
                    'case "$LD_PRELOAD" in *thin*) exit 9;; esac')
        one = json.loads(found.stdout)
        self.assertEqual((found.returncode, one["findings"][0]["allocator"]), (3, "thin"))

    def test_conditions(self):
        ballast = built("ballast", self.ballast(), "-fno-builtin")
        for condition, status, state in (("thin.rss > 1.5 * glibc", 4, "holds"),
                                         ("rss > 1.5 * glibc", 0, "does not hold"),
                                         ("thin.rss < 1.5 * glibc", 0, "does not hold"),
                                         ("idle > glibc", 0, "cannot tell")):
            found = run("-n", "9", "--with", f"thin={THIN_LIBRARY}", "--fail-if", condition, "--", ballast)
            self.assertEqual(found.returncode, status, found.stdout)
            self.assertRegex(" ".join(paragraphs(found)), re.escape(f"--fail-if '{condition}': {state} ("))
        found = run("-n", "8", "--with", f"thin={THIN_LIBRARY}", "--json", "--fail-if", "rss > 9 * glibc", "--fail-if",
                    "thin.rss > 1.5 * glibc", "--", ballast)
        self.assertEqual([one["holds"] for one in json.loads(found.stdout)["conditions"]], [False, True])
        self.assertEqual(found.returncode, 4)

    def ballast(self):
        """Takes ten times the memory on the thin allocator."""
        (FOLDER / "ballast.c").write_text(
            '#include <stdlib.h>\n#include <string.h>\nint main(void) { char *p = getenv("LD_PRELOAD");\n'
            'size_t n = p && strstr(p, "thin") ? 40 << 20 : 4 << 20; memset(malloc(n), 1, n); return 0; }',
            encoding="utf-8")
        return "ballast.c"

    def test_advice_is_a_line_to_paste(self):
        (FOLDER / "slow.c").write_text('#include <stdlib.h>\nint main(void) { for (volatile int i = 0; i < '
                                       '(getenv("LD_PRELOAD") ? 1000000 : 20000000); i++); return 0; }',
                                       encoding="utf-8")
        found = run("-n", "10", "--with", f"thin={THIN_LIBRARY}", "--json", "--", built("slow", "slow.c"))
        advice = json.loads(found.stdout)["advice"]
        self.assertEqual(advice["outcome"], "better", found.stdout)
        library = advice["line"].removeprefix("ENV LD_PRELOAD=")
        self.assertIn(library, (os.path.realpath(HAKMEM), THIN_LIBRARY))


class Root(unittest.TestCase):
    """Whoever starts it as root loses nothing by that."""

    def test_nothing_is_installed_or_written(self):
        """With an apt-get that tells of its being called."""
        called = FOLDER / "called"
        for name in ("apt-get", "dpkg"):
            program = FOLDER / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho {name} >>{called}\n", encoding="utf-8")
            program.chmod(0o755)
        environment = {**os.environ, "PATH": f"{FOLDER}/bin:{os.environ['PATH']}"}
        trace = FOLDER / "trace"
        for arguments in (["compare", "-n", "1", "--", "true"],
                          ["bench", "--only", "no-such-row", "--output", str(FOLDER / "bench")]):
            subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=openat,execve", TOOL, *arguments],
                           env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
            text = trace.read_text(encoding="utf-8", errors="replace")
            self.assertIn("lab.py", text)
            self.assertNotIn("compact_memory", text)
        self.assertFalse(called.exists())

    def test_what_can_be_asked_for_is_said(self):
        for command, options in (("compare", ["--compact"]), ("bench", ["--compact", "--install"])):
            text = subprocess.run([TOOL, command, "--help"], capture_output=True, text=True, check=True).stdout
            for option in options:
                self.assertIn(option, text)


if __name__ == "__main__":
    unittest.main()
