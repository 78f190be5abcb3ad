#!/usr/bin/env python3
"""Tests of `hakmem heap`, `hakmem leaks` and `hakmem serve`: heap_test.py HAKMEM SOURCES, the path of the built tool and
the folder of the project. Records are those of holder.c, built in every way that leaves symbols somewhere else.
SPDX-License-Identifier: MIT"""
import ctypes.util
import functools
import gzip
import http.server
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

SOURCES = pathlib.Path(sys.argv.pop()).resolve()
TOOL = pathlib.Path(sys.argv.pop()).resolve()
HERE = SOURCES / "test/views"
CALM = {**os.environ, "DEBUGINFOD_URLS": "", "COLUMNS": "100"}


def run(*arguments, **options):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                          env={**CALM, **options.pop("environment", {})}, **options)


def compiled(program, *options):
    """holder.c as that program; its stack is followed by frame pointers or tables, as libc's backtrace does."""
    includes = [f"-I{SOURCES}/{folder}" for folder in ("include", "src", "test/views")]
    subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", *options, *includes, HERE / "holder.c", HERE / "fixture.c", "-o",
                    program], check=True)
    return program


class Directory(unittest.TestCase):
    """With a record of a holder that was built with debug information, and a folder for more."""

    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-heap-")
        cls.addClassCleanup(keeper.cleanup)
        cls.directory = pathlib.Path(keeper.name).resolve()
        cls.record = cls.recorded(compiled(cls.directory / "holder", "-g"), cls.directory / "record")

    @classmethod
    def recorded(cls, program, record):
        subprocess.run([program, record], check=True)
        return record

    def shown(self, *arguments, **options):
        """What `hakmem heap` prints, with nothing to complain about."""
        result = run("heap", *arguments, **options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def folded(self, record):
        return self.shown("--format", "folded", record).splitlines()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Symbols(Directory):
    """Names come from wherever they are, and only if they are the right ones."""

    WAYS = [("main;burst_make;xmalloc", 10), ("main;entry_make;xmalloc", 12), ("main;request_make;xmalloc", 12), ("main;session_make;xmalloc", 40),
            ("main;table_fill;buffer_make_[i]", 30)]

    def ways(self, record):
        """Stacks without what libc calls main by, and their sizes in MiB."""
        found = [line.rsplit(" ", 1) for line in self.folded(record)]
        return [(re.sub(r"^.*;main;", "main;", way), int(size) >> 20) for way, size in found]

    def test_debug_information(self):
        self.assertEqual(self.ways(self.record), self.WAYS)
        self.assertRegex(self.shown(self.record), r"buffer_make \(holder\.c:\d+\) < table_fill")

    def test_without_an_index_of_addresses(self):
        """As clang and rustc leave it out."""
        program = compiled(self.directory / "unindexed", "-g")
        subprocess.run(["objcopy", "--remove-section", ".debug_aranges", program], check=True)
        self.assertEqual(self.ways(self.recorded(program, self.directory / "unindexed.record")), self.WAYS)

    def test_table_of_symbols_only(self):
        """No inlined functions then, and no lines."""
        program = compiled(self.directory / "plain")
        record = self.recorded(program, self.directory / "plain.record")
        self.assertEqual(self.ways(record), self.WAYS[:4] + [("main;table_fill", 30)])
        self.assertNotIn(".c:", self.shown(record))

    def test_stripped(self):
        """Places in the file, and not the nearest of the names that are left."""
        program = compiled(self.directory / "stripped", "-s", "-rdynamic")
        record = self.recorded(program, self.directory / "stripped.record")
        lines = self.folded(record)
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertRegex(line, r";main;stripped\+0x[0-9a-f]+;?\S* \d+$")
        self.assertRegex(self.shown(record), r"74\.0 MiB .*  stripped\+0x[0-9a-f]+ < \.\. < main")

    def test_place_in_a_file_is_right(self):
        """What a stripped program's place is, the symbols of the same program tell."""
        program = compiled(self.directory / "whole")
        stripped = self.directory / "whole.stripped"
        self.recorded(program, self.directory / "whole.record")
        subprocess.run(["strip", "-s", program, "-o", stripped], check=True)
        symbols = subprocess.run(["nm", "-S", program], check=True, capture_output=True, text=True).stdout
        start, size = re.search(r"^(\w+) (\w+) t session_make$", symbols, re.M).groups()
        os.replace(stripped, program)
        places = [int(place, 16) for line in self.folded(self.directory / "whole.record")
                  for place in re.findall(r"whole\+0x([0-9a-f]+)", line)]
        self.assertTrue(any(int(start, 16) < place <= int(start, 16) + int(size, 16) for place in places))

    def separate(self, name, *options):
        """A stripped holder and its debug information in a file of its own."""
        program, debug = compiled(self.directory / name, "-g", *options), self.directory / (name + ".debug")
        subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
        subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", program], check=True)
        return program, debug

    def test_separate_debug_file(self):
        program, _ = self.separate("separate")
        self.assertEqual(self.ways(self.recorded(program, self.directory / "separate.record")), self.WAYS)

    def test_debug_file_from_a_debuginfod(self):
        if not ctypes.util.find_library("debuginfod"):
            self.skipTest("no libdebuginfod")
        program, debug = self.separate("remote")
        record = self.recorded(program, self.directory / "remote.record")
        build_id = re.search(r"Build ID: (\w+)", subprocess.run(["readelf", "-n", debug], check=True, text=True,
                                                                capture_output=True).stdout).group(1)
        served = self.directory / "served/buildid" / build_id
        served.mkdir(parents=True)
        debug.rename(served / "debuginfo")
        handler = functools.partial(QuietHandler, directory=self.directory / "served")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            environment = {"DEBUGINFOD_URLS": f"http://127.0.0.1:{server.server_port}",
                           "DEBUGINFOD_CACHE_PATH": str(self.directory / "cache")}
            self.assertIn("buffer_make_[i]", self.shown("--format", "folded", record, environment=environment))
            server.shutdown()

    def test_debug_file_of_another_build(self):
        program, debug = self.separate("mismatch")
        compiled(debug, "-g", "-O2", "-Wl,--build-id=0x0123456789")
        lines = self.folded(self.recorded(program, self.directory / "mismatch.record"))
        self.assertTrue(all("session_make" not in line for line in lines), lines)

    def test_debug_file_without_build_ids(self):
        """Then its contents decide."""
        program, debug = self.separate("unnumbered", "-Wl,--build-id=none")
        record = self.recorded(program, self.directory / "unnumbered.record")
        self.assertEqual(self.ways(record), self.WAYS)
        with open(debug, "ab") as file:
            file.write(b"more")
        self.assertTrue(all("session_make" not in line for line in self.folded(record)))

    def test_debug_file_that_is_none(self):
        """Nobody writes into the FIFO, and nobody waits for that."""
        program, debug = self.separate("fifo")
        debug.unlink()
        os.mkfifo(debug)
        lines = self.folded(self.recorded(program, self.directory / "fifo.record"))
        self.assertTrue(all("session_make" not in line for line in lines), lines)

    def test_shared_debug_file(self):
        """What dwz moved to a file that several programs have in common."""
        if not shutil.which("dwz"):
            self.skipTest("no dwz")
        shared = self.directory / "shared.debug"
        programs = [compiled(self.directory / name, "-g") for name in ("first", "second")]
        subprocess.run(["dwz", "-m", shared, "-M", shared, *programs], check=True)
        record = self.recorded(programs[0], self.directory / "first.record")
        self.assertEqual(self.ways(record), self.WAYS)
        shared.unlink()
        os.mkfifo(shared)
        self.assertIn("session_make", self.shown(record), "its table of symbols has that")

    def test_rebuilt_file(self):
        """The record knows the build id: what has another one by now has the wrong names."""
        program = compiled(self.directory / "rebuilt", "-g")
        record = self.recorded(program, self.directory / "rebuilt.record")
        self.assertEqual(self.ways(record), self.WAYS)
        compiled(program, "-g", "-DREBUILT", "-O0")
        self.assertTrue(all(re.search(r"rebuilt\+0x[0-9a-f]+ \d+$", line) for line in self.folded(record)))

    def test_file_that_is_gone(self):
        program = compiled(self.directory / "gone", "-g")
        record = self.recorded(program, self.directory / "gone.record")
        program.unlink()
        self.assertTrue(all(re.search(r"gone\+0x[0-9a-f]+ \d+$", line) for line in self.folded(record)))


def rows(text):
    """Of a table, below its title and the names of its columns."""
    return text.split("\n\n", 1)[1].splitlines()[1:]


class Table(Directory):
    def test_who_wants_the_memory(self):
        """Past the wrapper, most first, with callers."""
        lines = self.shown(self.record).splitlines()
        self.assertRegex(lines[0], r"^heap of process \d+ \(holder\): 104\.0 MiB in live blocks, by 64 samples$")
        self.assertEqual(lines[2].split()[:3], ["live", "share", "oldest"])
        owners = [(" ".join(line.split()[:2]), re.search(r"% +\S+ \S+  (\w+)", line).group(1)) for line in lines[3:]]
        self.assertEqual(owners, [("40.0 MiB", "session_make"), ("30.0 MiB", "buffer_make"), ("12.0 MiB", "entry_make"),
                                ("12.0 MiB", "request_make"), ("10.0 MiB", "burst_make")])
        self.assertIn("buffer_make (holder.c:", lines[4])
        self.assertIn(" < table_fill", lines[4])
        self.assertIn("38.5 %", lines[3])

    def test_values(self):
        for value, figure in {"peak": "208.0 MiB", "pinned": "130.0 MiB", "ended": "168.0 MiB",
                              "blocks": "1703936"}.items():
            self.assertIn(f": {figure} ", self.shown("--value", value, self.record).splitlines()[0])
        lives = rows(self.shown("--value", "life", self.record))
        self.assertRegex(lives[0], r"^ +1\.9 GiB s .* entry_make ")

    def test_few_blocks(self):
        """Of which nine tenths are none when they are rounded down."""
        few = self.directory / "few.json"
        profile = json.loads(self.shown(self.record, "--format", "json"))
        for row in profile["rows"]:
            row.update({name: 1 for name in ("blocks", "life") if name in row})
        few.write_text(json.dumps(profile), encoding="utf-8")
        lines = rows(self.shown("--value", "blocks", few))
        self.assertEqual(sorted(line.split()[0] for line in lines), ["1", "1", "1", "1", "2"])
        self.assertIn(" < main", lines[0])
        self.shown("--value", "life", few)

    def test_threads(self):
        lines = rows(self.shown("--by-thread", self.record))
        self.assertEqual([" ".join(line.split()[:2]) for line in lines if "session_make" in line], ["20.0 MiB"] * 2)
        self.assertRegex(lines[0], r" 11: buffer_make")

    def test_width_and_length(self):
        for width in (80, 60):
            for line in self.shown(self.record, environment={"COLUMNS": str(width)}).splitlines()[1:]:
                self.assertLessEqual(len(line), width)
        for value in ("pinned", "life", "peak"):
            for line in self.shown("--value", value, self.record, environment={"COLUMNS": "80"}).splitlines():
                self.assertLessEqual(len(line), 80)
        lines = rows(self.shown("--top", "1", self.record))
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[1], r"64\.0 MiB .* 4 others")

    def test_growth(self):
        before = self.directory / "before.json"
        self.shown(self.record, "-o", before)
        self.assertIn("Nothing has changed.", self.shown("--diff", before, self.record))
        text = before.read_text(encoding="utf-8")
        before.write_text(re.sub(r'("thread":11,"live":)20971520', r"\g<1>1048576", text), encoding="utf-8")
        grown = rows(self.shown("--diff", before, self.record))
        self.assertEqual(len(grown), 1)
        self.assertRegex(grown[0], r"\+ 19\.0 MiB +21\.0 MiB +40\.0 MiB  session_make")
        shrunk = rows(self.shown("--diff", self.record, before))
        self.assertRegex(shrunk[0], r"- 19\.0 MiB +40\.0 MiB +21\.0 MiB  session_make")


BEGAN_MONOTONIC = 32 # struct record_header


class Leaks(Directory):
    def test_what_grows_and_does_not_end(self):
        """Not what was made at the beginning or just now, nor what ends after a long life."""
        result = run("leaks", self.record)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        leaks = rows(result.stdout)
        self.assertEqual(len(leaks), 2, leaks)
        self.assertRegex(leaks[0], r"^ +40\.0 MiB .* 0 %  session_make \(holder\.c:\d+\) < main")
        self.assertRegex(leaks[1], r"^ +12\.0 MiB .* 91 %  request_make ")

    def test_none(self):
        """That is no promise that nothing grows: hakmem why goes by other signs."""
        short = self.directory / "short.record"
        short.write_bytes(self.record.read_bytes())
        with open(short, "r+b") as file:
            file.seek(BEGAN_MONOTONIC)
            began = struct.pack("<Q", int((time.monotonic() + 3600) * 1000)) # so that all samples are of one moment
            file.write(began)
        self.assertIn("Of no stack it is sure that it grows without an end.", run("leaks", short).stdout)

    def test_narrow(self):
        for line in run("leaks", self.record, environment={"COLUMNS": "80"}).stdout.splitlines():
            self.assertLessEqual(len(line), 80)


def fields(message):
    """A protocol buffer's (number, value)s; bytes as they are."""
    place = 0

    def number():
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        key = number()
        value = number()
        if key & 7 == 2:
            place += value
            value = message[place - value:place]
        yield key >> 3, value


def numbers(packed):
    """Those of a list, each made a field of its own."""
    parts = re.findall(rb"[\x80-\xff]*[\x00-\x7f]", packed)
    return [value for _, value in fields(b"".join(b"\x08" + part for part in parts))]


class Pprof(Directory):
    def setUp(self):
        self.path = self.directory / "heap.pb.gz"
        self.shown(self.record, "-o", self.path)

    def test_contents(self):
        """By profile.proto: types, stacks with their values, mappings with build ids, inlined lines."""
        parts = {}
        for number, value in fields(gzip.decompress(self.path.read_bytes())):
            parts.setdefault(number, []).append(value)
        strings = [text.decode() for text in parts[6]]
        self.assertEqual(strings[0], "")
        types = [[strings[value] for _, value in fields(part)] for part in parts[1]]
        self.assertEqual(types[:2], [["inuse_space", "bytes"], ["inuse_objects", "count"]])
        functions = {dict(fields(part))[1]: dict(fields(part)) for part in parts[5]}
        places = {dict(fields(part))[1]: [dict(fields(line)) for number, line in fields(part) if number == 4]
                  for part in parts[4]}
        found = {}
        for part in parts[2]:
            sample = dict(fields(part))
            way = [strings[functions[line[1]][2]] for place in numbers(sample[1]) for line in places[place]]
            found[tuple(way[:3])] = numbers(sample[2])[:3]
        mib = 1 << 20
        self.assertEqual(found[("buffer_make", "table_fill", "main")], [30 * mib, 30 * mib // 64, 60 * mib])
        self.assertEqual(found[("xmalloc", "session_make", "main")], [40 * mib, 40 * mib // 64, 80 * mib])
        mappings = [dict(fields(part)) for part in parts[3]]
        ids = {strings[mapping[5]].rsplit("/", 1)[-1]: strings[mapping[6]] for mapping in mappings}
        self.assertRegex(ids["holder"], r"^[0-9a-f]{40}$")
        self.assertEqual(strings[parts[14][0]], "inuse_space")

    def test_opened_by_pprof(self):
        go = shutil.which("go")
        if go is None:
            self.skipTest("no go")
        environment = {**CALM, "HOME": str(self.directory), "PPROF_TMPDIR": str(self.directory)}
        result = subprocess.run([go, "tool", "pprof", "-sample_index=peak_space", "-top", self.path], timeout=60,
                                capture_output=True, text=True, check=False, env=environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^ +148MB .* xmalloc$")
        self.assertRegex(result.stdout, r"60MB .* buffer_make \(inline\)")

    def test_threads_are_labels(self):
        threads = self.directory / "threads.pb.gz"
        self.shown(self.record, "--by-thread", "-o", threads)
        whole = gzip.decompress(threads.read_bytes())
        samples = [list(fields(value)) for number, value in fields(whole) if number == 2]
        labelled = [dict(fields(value))[3] for sample in samples for number, value in sample if number == 3]
        self.assertLessEqual({11, 12}, set(labelled))


class Json(Directory):
    def test_round_trip(self):
        """What was written can be read, and says the same; also as a page."""
        first = self.directory / "first.json"
        self.shown(self.record, "-o", first)
        self.assertEqual(self.shown(first, "--format", "json"), first.read_text(encoding="utf-8"))
        self.assertEqual(self.shown(first), self.shown(self.record))
        profile = json.loads(first.read_text(encoding="utf-8"))
        self.assertEqual(sum(row.get("live", 0) for row in profile["rows"]), 104 << 20)

    def test_damaged(self):
        """Whatever is in a file: an answer, or one line and status 1; never a crash."""
        text = self.shown(self.record, "--format", "json")
        path = self.directory / "damaged.json"
        for change in (lambda s: s[:len(s) // 2], lambda s: "{}", lambda s: "[]", lambda s: "",
                       lambda s: s.replace('"stacks":[\n[', '"stacks":[\n[999999,'),
                       lambda s: s.replace('"stacks":[\n[', '"stacks":[\n[-1,'),
                       lambda s: s.replace('"stack":0', '"stack":77777'),
                       lambda s: s.replace('"version":1', '"version":2'),
                       lambda s: re.sub(r'"stacks":\[\n\[[^]]*\]', '"stacks":[\n[]', s)):
            path.write_text(change(text), encoding="utf-8")
            result = run("heap", path)
            self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (1, "", 1), result.stderr)
            self.assertRegex(result.stderr, r"^hakmem: '.*damaged\.json' is no ")
        for change in (lambda s: s.replace('"mapping":0', '"mapping":99'), lambda s: s.replace('"line":', '"line":-'),
                       lambda s: s.replace('"function":"main"', '"function":null')):
            path.write_text(change(text), encoding="utf-8")
            for format_ in ("table", "folded", "pprof", "html"):
                self.assertEqual(subprocess.run([TOOL, "heap", path, "--format", format_], check=False, env=CALM,
                                                stdout=subprocess.DEVNULL).returncode, 0)


    def test_cannot_steer_a_terminal(self):
        text = self.shown(self.record, "--format", "json")
        path = self.directory / "steering.json"
        for control in ("\x1b[2J", "\x9b2J", "\u202e", "\u2066"):
            profile = json.loads(text)
            for frame in profile["frames"]:
                frame["function"] = control + frame["function"]
                frame["module"] = control
            path.write_text(json.dumps(profile), encoding="utf-8")
            for format_ in ("table", "folded"):
                self.assertNotIn(control[0], self.shown(path, "--format", format_))
            path.write_text('{"hakmem": ' + control, encoding="utf-8")
            result = run("heap", path)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertNotIn(control[0], result.stderr)


HOARDER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *kept[4096];
__attribute__((noinline)) void hoard(void) { for (int i = 0; i < 4096; i++) memset(kept[i] = malloc(16384), 1, 16384); }
int main(void) { hoard(); puts("ready"); fflush(stdout); return getchar(); }
"""


class Live(unittest.TestCase):
    """A process that runs on the library, and nothing else is known of it."""

    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-live-")
        cls.addClassCleanup(keeper.cleanup)
        program = pathlib.Path(keeper.name) / "hoarder"
        program.with_suffix(".c").write_text(HOARDER, encoding="utf-8")
        subprocess.run(["cc", "-g", "-O1", "-fno-builtin", program.with_suffix(".c"), "-o", program], check=True)
        cls.process = subprocess.Popen([TOOL, "run", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={**os.environ, "HAKMEM_SAMPLE": "64K"})  # 1024 samples: 3 % is one standard error
        cls.addClassCleanup(cls.process.communicate)
        cls.process.stdout.readline()

    def test_who_holds_its_memory(self):
        result = run("heap", self.process.pid)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        size, owner = re.search(r"(?m)^ +([\d.]+) MiB .*  (hoard) \(hoarder\.c:6\)", result.stdout).groups()
        self.assertEqual(owner, "hoard")
        self.assertTrue(50 < float(size) < 78, size)  # 64 MiB are held; seven standard errors

    def served(self, path, **headers):
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def while_serving(self, body):
        with subprocess.Popen([TOOL, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True, env=CALM) as server:
            try:
                self.address = server.stdout.readline().strip()
                body()
            finally:
                server.terminate()

    def test_serve(self):
        self.while_serving(self.metrics_and_heaps)

    def test_slow_clients(self):
        self.while_serving(self.slow_clients)

    def slow_clients(self):
        """Who sends a request byte by byte is cut off, and nobody has to wait for that."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", int(self.address.rsplit(":", 1)[1])), timeout=0.5) as slow:
            slow.send(b"GET /")
            self.assertEqual(self.served("/nothing")[0], 404)
            self.assertLess(time.monotonic() - began, 4)
            with self.assertRaises((ConnectionError, StopIteration)):
                while time.monotonic() < began + 15:
                    slow.send(b"x")
                    try:
                        if slow.recv(1) == b"":
                            raise StopIteration
                    except TimeoutError:
                        pass

    def metrics_and_heaps(self):
        status, media, metrics = self.served("/metrics")
        self.assertEqual((status, media.split(";")[0]), (200, "application/openmetrics-text"))
        self.assertRegex(metrics.decode(), rf'(?s)hakmem_resident_bytes{{process="{self.process.pid}".*# EOF\n$')
        heap = f"/heap?pid={self.process.pid}"
        status, media, page = self.served(heap)
        self.assertEqual((status, media), (200, "text/html; charset=utf-8"))
        self.assertIn(b'"function":"hoard"', page)
        self.assertIn(b'<body data-value="peak">', self.served(heap + "&value=peak")[2])
        self.assertIn(b"hoard", gzip.decompress(self.served(heap + "&format=pprof")[2]))
        self.assertIn(f'"/heap?pid={self.process.pid}"'.encode(), self.served("/")[2])
        for path, status in (("/nothing", 404), ("/heap", 400), ("/heap?pid=/etc/passwd", 400), ("/heap?pid=0", 404),
                             (heap + "&format=pdf", 400), (heap + "&value=dead", 400)):
            self.assertEqual(self.served(path)[0], status, path)
        self.assertEqual(self.served("/metrics", Host="pages.example")[0], 403)
        self.assertEqual(self.served("/metrics", Host="localhost.pages.example")[0], 403)
        self.assertEqual(self.served("/metrics", Host="localhost:1")[0], 200)


class Errors(Directory):
    def wrong(self, arguments, status, line):
        result = run(*arguments)
        first = result.stderr.splitlines()[0]
        self.assertEqual((result.returncode, result.stdout, first), (status, "", "hakmem: " + line))
        self.assertLessEqual(len(result.stderr.splitlines()), 2)

    def test_usage(self):
        self.wrong(["heap"], 2, "heap: no process, record or core file given")
        self.wrong(["heap", "--fast", "1"], 2, "heap: no option '--fast'")
        self.wrong(["heap", "-xo", "f", "1"], 2, "heap: no option '-x'")
        self.wrong(["heap", "1", "-o", "f", "-xy"], 2, "heap: no option '-x'")
        self.wrong(["heap", "--value", "dead", "1"], 2, "heap: no value 'dead'")
        self.wrong(["heap", "--format", "pdf", "1"], 2, "heap: no format 'pdf'")
        self.wrong(["heap", "--top", "ten", "1"], 2, "heap: --top takes a number, not 'ten'")
        self.wrong(["heap", "1", "-o"], 2, "heap: '-o' takes a value")
        self.wrong(["heap", "1", "-o", "heap"], 2, "heap: no format is known by the name of 'heap': add --format")
        self.wrong(["heap", "1", "2"], 2, "heap: one process or file, not '2' as well")
        self.wrong(["heap", "--diff", "1", "2", "-o", "x.html"], 2, "heap: --diff writes a table")
        self.wrong(["leaks"], 2, "leaks: takes one process, record or core file")
        self.wrong(["leaks", "-x"], 2, "leaks: no option '-x'")
        self.wrong(["serve", "--port", "x"], 2, "serve: --port takes a number, 0 to 65535")
        self.wrong(["serve", "--port", "70000"], 2, "serve: --port takes a number, 0 to 65535")
        self.wrong(["serve", "80"], 2, "serve: takes no argument '80': a port is --port's")
        self.wrong(["serve", "--now"], 2, "serve: no option '--now'")

    def test_what_is_no_record(self):
        profile = self.directory / "profile.json"
        self.shown(self.record, "-o", profile)
        for command in ("leaks", "why", "stats"):
            self.wrong([command, profile], 1,
                       f"'{profile}' is a heap profile: only 'hakmem heap' reads it, by a name that ends in .json")
        for command in ("heap", "leaks", "why", "stats"):
            self.wrong([command, "nginx"], 1, "there is no file 'nginx'; a process is given by its id")
            self.wrong([command, "/no such/nginx"], 1, "cannot open '/no such/nginx': No such file or directory")

    def test_end_of_options(self):
        for command in ("heap", "leaks", "why", "stats"):
            self.assertEqual(run(command, "--", self.record).returncode, 0, command)
            self.wrong([command, "--", "-x"], 1, "there is no file '-x'; a process is given by its id")

    def test_output(self):
        self.wrong(["heap", self.record, "-o", "/no such/heap.html"], 125,
                   "cannot write '/no such/heap.html': No such file or directory")
        self.wrong(["heap", self.record, "-o", "/dev/full", "--format", "json"], 125,
                   "cannot write '/dev/full': No space left on device")

    def test_full_disk(self):
        """What was there before stays there, and nothing else."""
        folder = self.directory / "full"
        folder.mkdir()
        output = folder / "heap.json"
        output.write_text("before", encoding="utf-8")
        output.chmod(0o666)

        def little_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        result = run("heap", self.record, "-o", output, preexec_fn=little_room)
        self.assertEqual((result.returncode, result.stderr), (125, f"hakmem: cannot write '{output}': File too large\n"))
        self.assertEqual(output.read_text(encoding="utf-8"), "before")
        self.assertEqual(os.listdir(folder), ["heap.json"])
        self.shown(self.record, "-o", output)
        self.assertEqual(json.loads(output.read_text(encoding="utf-8"))["hakmem"], "heap profile")
        self.assertEqual((os.listdir(folder), output.stat().st_mode & 0o777), (["heap.json"], 0o666))

    def test_output_through_a_link(self):
        there, link = self.directory / "there.json", self.directory / "link.json"
        link.symlink_to(there)
        self.shown(self.record, "-o", link)
        self.assertTrue(link.is_symlink() and there.stat().st_size > 0)

    def test_help(self):
        for command in ("heap", "leaks", "serve"):
            result = run(command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 120)
            self.assertIn("examples:", result.stdout)

    def test_a_process_that_runs(self):
        """Its record is only a file here, and it is read while the process waits."""
        with subprocess.Popen([self.directory / "holder", self.directory / "running", "wait"],
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                self.assertIn("session_make", self.shown(self.directory / "running"))
            finally:
                process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
