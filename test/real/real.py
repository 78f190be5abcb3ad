#!/usr/bin/env -S python3 -B
"""real.py LIBRARY NAME - a real program under LD_PRELOAD=LIBRARY, its output compared with the same run on libc.

NAME is one of TESTS, at the end. Each test also shows that hakmem served the program. The packages that the programs
come from stand in packages.txt.
SPDX-License-Identifier: MIT"""
import os
import re
import sys
import time
import xml.etree.ElementTree

import inputs
import trial
from trial import HAKMEM, Failure, need

SOURCE = os.path.dirname(os.path.abspath(__file__))


def work(name):
    return os.path.join(SOURCE, name)


def work_compare(t, argv, scale, **environment):
    """A script of this folder, which takes the amount of work as its last argument."""
    t.compare([*argv, str(scale)], **environment)
    t.prove([*argv, str(scale // 20)], **environment)


# ---- Interpreters and sqlite -----------------------------------------------------------------------------------------


def perl(t):
    work_compare(t, [need("perl", "perl"), work("work.pl")], 200)


def lua(t):
    work_compare(t, [need("lua5.4", "lua5.4"), work("work.lua")], 200)


def node(t):
    work_compare(t, [need("node", "nodejs"), work("work.js")], 200)


def sqlite(t):
    with open(work("work.sql"), "rb") as file:
        script = file.read()
    sqlite3 = need("sqlite3", "sqlite3")
    t.compare([sqlite3, ":memory:"], stdin=script)
    t.compare([sqlite3, "work.db"], stdin=script)
    t.compare([sqlite3, "work.db", ".dump"])
    t.prove([sqlite3, "work.db", "SELECT count(DISTINCT body) FROM item;"])


# ---- python ----------------------------------------------------------------------------------------------------------

# Python's own allocator of small objects would leave little to malloc.
PYTHON = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def python(t):
    work_compare(t, [need("python3", "python3"), work("work.py")], 1000, **PYTHON)


# After so many seconds in a file of tests, python says where each thread is, and ends: before it is ended from here.
STUCK = ["--timeout", "380"]


def python_suite(name):
    """A test of python's own suite: every case has to end on hakmem as it ends on libc."""
    def suite(t):
        python3 = need("python3", "python3")
        probe = t.run(trial.LIBC, [python3, "-c", f"import test.{name}"])
        if probe.status != 0:
            raise Failure(f"test.{name} is missing: apt-get install libpython3.11-testsuite\n{trial.ending(probe)}")

        libc, hakmem = t.on_both(lambda allocator: python_cases(t, allocator, [python3, "-m", "test", *STUCK, name]))
        differing = [f"{case}: {libc.get(case)} on libc, {hakmem.get(case)} on hakmem"
                     for case in sorted(libc.keys() | hakmem.keys()) if libc.get(case) != hakmem.get(case)]
        if differing:
            raise Failure("\n".join([f"{name}: {len(differing)} of {len(hakmem)} cases differ", *differing]))
        print(f"{name}: {len(hakmem)} cases end alike")
        t.prove([python3, work("work.py"), "50"], **PYTHON)
    return suite


def python_cases(t, allocator, argv):
    """Runs a suite; case name -> ok, or what the report says of it instead: skipped, failure, error and so on."""
    result = t.run(allocator, [*argv, "--junit-xml", "cases.xml"], seconds=400, **PYTHON)
    report = os.path.join(t.folders[allocator], "cases.xml")
    if not os.path.exists(report):
        raise Failure(f"{trial.show(argv)} on {allocator} wrote no report: {trial.ending(result)}")
    cases = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        outcome = next(iter(case), None)
        cases[case.get("name")] = "ok" if outcome is None else f"{outcome.tag} {outcome.text or ''}".strip()
    if "ok" not in cases.values():
        raise Failure(f"{trial.show(argv)} on {allocator} passed no case: {trial.ending(result)}")
    return cases


# ---- git -------------------------------------------------------------------------------------------------------------


def git(t):
    program = need("git", "git")
    environment = {"GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "A", f"GIT_{role}_EMAIL": "a@example.org",
                        f"GIT_{role}_DATE": "1700000000 +0000"}

    def command(folder, *arguments, stdin=b""):
        options = ["-C", folder, "-c", "gc.auto=0", "-c", "pack.threads=2"]
        return t.compare([program, *options, *arguments], stdin=stdin, **environment)

    command(".", "init", "--quiet", "--initial-branch=main", "first")
    command("first", "fast-import", "--quiet", "--done", stdin=inputs.git_history(1200))
    command("first", "checkout", "--quiet", "main")
    command(".", "clone", "--quiet", "--no-local", "first", "second")
    command("second", "checkout", "--quiet", "-b", "work")
    command("second", "merge", "--quiet", "-X", "ours", "-m", "Both", "origin/side")
    command("second", "log", "--stat", "-M", "--format=%H %an %s")
    command("second", "log", "-p", "-300")
    command("second", "blame", "-C", "d1/e1/file1.txt")
    command("second", "grep", "-n", "--threads=2", "changed in 11..:")
    command("second", "gc", "--quiet", "--aggressive", "--prune=now")
    command("second", "fsck", "--full", "--strict")
    objects = command("second", "cat-file", "--batch-all-objects", "--batch-check")
    command("second", "push", "--quiet", "../first", "work")
    command("first", "repack", "-a", "-d", "-f", "-q", "--threads=2")
    command("first", "fsck", "--full")
    print(f"git: {objects.count(b' commit ')} commits, {len(objects.splitlines())} objects")
    t.prove([program, "-C", "second", "log", "--stat", "-100"], **environment)


# ---- redis -----------------------------------------------------------------------------------------------------------

REDIS_COMMANDS = 40000
REDIS_OPTIONS = ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--io-threads", "2",
                 "--lazyfree-lazy-user-del", "yes", "--enable-debug-command", "yes", "--logfile", "redis.log"]
REDIS_BENCHMARK = ["-s", "redis.sock", "-q", "-n", "10000", "-c", "20", "-P", "8", "-d", "400",
                   "-t", "set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,zadd,zpopmin,lrange_100,mset"]
# Makes and drops tables and strings in the server's own lua, and stores a result.
REDIS_SCRIPT = """
local kept = {}
for i = 1, 20000 do kept[i % 500] = {i, string.rep('x', i % 300)} end
local sum = 0
for _, value in pairs(kept) do sum = sum + value[1] + #value[2] end
redis.call('SET', 'script', sum)
return sum"""


class Redis:
    """A server that listens on a socket in the working folder and nowhere else."""

    def __init__(self, t, allocator, **environment):
        self.t, self.allocator = t, allocator
        self.process = t.start(allocator, [need("redis-server", "redis-server"), *REDIS_OPTIONS], **environment)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while self.t.run(self.allocator, self.client("PING")).out != b"PONG\n":
            if self.process.poll() is not None or time.monotonic() > deadline:
                trial.stop(self.process)
                raise self.failure("does not answer")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        trial.stop(self.process)

    def failure(self, what):
        """With the end of the server's log, or, where it wrote none, without."""
        log = os.path.join(self.t.folders[self.allocator], "redis.log")
        lines = []
        if os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as file:
                lines = file.readlines()[-40:]
        return Failure(f"redis-server on {self.allocator}: {what}\n{''.join(lines)}")

    def client(self, *arguments):
        return [need("redis-cli", "redis-tools"), "-s", "redis.sock", *arguments]

    def call(self, *arguments, stdin=b""):
        return self.succeed(self.client(*arguments), stdin)

    def succeed(self, argv, stdin=b""):
        result = self.t.run(self.allocator, argv, stdin=stdin)
        if result.status != 0 or b"ERR" in result.out:
            raise self.failure(f"{trial.show(argv)}: {trial.ending(result)}")
        return result.out.decode().strip()

    def digest(self):
        return self.call("DEBUG", "DIGEST")

    def shutdown(self):
        """Saves the data and ends; what the server wrote to stderr."""
        self.call("SHUTDOWN", "SAVE")
        if self.process.wait(timeout=20) != 0:
            raise self.failure(f"it ended with {self.process.returncode}")
        return self.process.stderr.read().decode(errors="replace")


def redis_fill(t, allocator):
    """All kinds of work, saving included; what the data is at the end."""
    with Redis(t, allocator) as server:
        if allocator == HAKMEM and not trial.is_mapped(server.process.pid, t.library):
            raise server.failure(f"{t.library} is not in its /proc/PID/maps")
        replies = server.call("--pipe", stdin=inputs.redis_commands(REDIS_COMMANDS))
        if f"errors: 0, replies: {REDIS_COMMANDS}" not in replies:
            raise server.failure(f"redis-cli --pipe: {replies}")
        server.call("EVAL", REDIS_SCRIPT, "0")
        server.succeed([need("redis-benchmark", "redis-tools"), *REDIS_BENCHMARK])
        digest = server.digest()
        server.call("BGREWRITEAOF")
        server.call("DEBUG", "RELOAD")
        if server.digest() != digest:
            raise server.failure("its data changed when it was saved and loaded again")
        sizes = [server.call("DBSIZE"), server.call("GET", "counter:__rand_int__"), server.call("LLEN", "mylist")]
        server.shutdown()
    return sizes, digest


def redis(t):
    libc, hakmem = t.on_both(lambda allocator: redis_fill(t, allocator))
    if libc != hakmem:
        raise Failure(f"redis: keys, counter, list and digest are {libc} on libc, {hakmem} on hakmem")
    with Redis(t, HAKMEM, HAKMEM_STATS="all") as server:
        if server.digest() != hakmem[1]:
            raise server.failure("its data differs after a restart")
        trial.served(server.shutdown(), "redis-server")
    print(f"redis: {hakmem[0][0]} keys, digest {hakmem[1]}")


# ---- Compilers and compressors ---------------------------------------------------------------------------------------


def compiler(t):
    c_units, cxx_units = range(6), range(6, 9)
    units = [*c_units, *cxx_units]
    for unit in c_units:
        t.put(f"unit{unit}.c", inputs.c_source(unit, 150))
    for unit in cxx_units:
        t.put(f"unit{unit}.cc", inputs.cxx_source(unit, 4))
    t.put("main.c", inputs.c_main(units))
    t.put("Makefile", inputs.makefile(units))
    gcc, gxx = need("gcc", "gcc"), need("g++", "g++")
    t.compare([need("make", "make"), "-s", "-j2", f"CC={gcc}", f"CXX={gxx}"], seconds=120)
    t.compare_files(r".*\.o|program")
    t.compare(["./program"])
    print(f"compiler: {len(units)} units, the same object code")
    for driver, program, source in ((gcc, "cc1", "unit0.c"), (gxx, "cc1plus", "unit6.cc")):
        path = t.compare([driver, f"-print-prog-name={program}"]).decode().strip()
        t.compare([driver, "-E", "-o", "preprocessed", source])
        t.prove([path, "-quiet", "-fpreprocessed", "-fsyntax-only", "preprocessed"])
    t.prove(["./program"])


def compressor(name, package, options, suffix, size):
    def compress(t):
        program, plain = need(name, package), inputs.text(size)
        t.put("plain", plain)
        t.compare([program, *options, "-k", "plain"])
        t.compare_files(re.escape("plain" + suffix))
        if t.compare([program, "-d", "-T2", "-c", "plain" + suffix]) != plain:
            raise Failure(f"{name}: the data is not what was packed")
        t.prove([program, *options, "-c", "plain"])
    return compress


TESTS = {
    "python": python,
    "python.test_gc": python_suite("test_gc"),
    "python.test_json": python_suite("test_json"),
    "python.test_threading": python_suite("test_threading"),
    "python.test_multiprocessing_fork": python_suite("test_multiprocessing_fork"),
    "perl": perl,
    "git": git,
    "sqlite": sqlite,
    "lua": lua,
    "redis": redis,
    "compiler": compiler,
    "xz": compressor("xz", "xz-utils", ["-2", "-T2", "--block-size=2MiB"], ".xz", 16 << 20),
    "zstd": compressor("zstd", "zstd", ["-7", "-T2", "-q"], ".zst", 48 << 20),
    "node": node,
}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in TESTS:
        sys.exit(f"usage: real.py LIBRARY NAME, where NAME is one of {', '.join(TESTS)}")
    sys.exit(trial.run(TESTS[sys.argv[2]], sys.argv[1]))
