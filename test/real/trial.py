"""One real program on two allocators, libc's and hakmem's: the machinery of test/real.

A trial has a temporary folder with one working folder for each allocator, so that a program that uses relative paths
writes the same output on both. Whatever differs, whatever is missing and whatever takes too long raises Failure.
SPDX-License-Identifier: MIT"""
import concurrent.futures
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from typing import NamedTuple

LIBC = "libc"
HAKMEM = "hakmem"
ALLOCATORS = (LIBC, HAKMEM)
PATH = "/usr/bin:/usr/sbin:/bin:/sbin"  # Debian's programs, and not others of the same name
SERVED_MINIMUM = 50  # allocations that any of the programs here makes, even with little to do


class Failure(Exception):
    """What the test's output says; the test fails."""


class Result(NamedTuple):
    status: int
    out: bytes
    err: bytes


class Trial:
    def __init__(self, library, folder):
        self.library = os.path.abspath(library)
        self.folders = {allocator: os.path.join(folder, allocator) for allocator in ALLOCATORS}
        for allocator in ALLOCATORS:
            os.makedirs(os.path.join(self.folders[allocator], "home"))

    def start(self, allocator, argv, **environment):
        """Starts a program in a process group of its own, so that stop() reaches its children too. Nothing of the
        caller's environment reaches it."""
        base = base_environment(os.path.join(self.folders[allocator], "home"))
        if allocator == HAKMEM:
            base["LD_PRELOAD"] = self.library
        return subprocess.Popen(argv, cwd=self.folders[allocator], env=base | environment, start_new_session=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, allocator, argv, stdin=b"", seconds=60, **environment):
        process = self.start(allocator, argv, **environment)
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{show(argv)} on {allocator} did not end within {seconds} s") from None
        finally:
            stop(process)
        return Result(process.returncode, out, err)

    def on_both(self, body):
        """body(allocator) for both at the same time; their results in the order of ALLOCATORS."""
        with concurrent.futures.ThreadPoolExecutor(len(ALLOCATORS)) as pool:
            return list(pool.map(body, ALLOCATORS))

    def compare(self, argv, **options):
        """Runs a program on both allocators. It has to succeed and to write the same to stdout and stderr; returns what
        it wrote to stdout."""
        libc, hakmem = self.on_both(lambda allocator: self.run(allocator, argv, **options))
        if libc.status != 0:
            raise Failure(f"{show(argv)} fails without hakmem, too: {ending(libc)}")
        if hakmem != libc:
            raise Failure(f"{show(argv)} differs\non libc: {ending(libc)}\non hakmem: {ending(hakmem)}")
        return hakmem.out

    def compare_files(self, pattern):
        """The files of both working folders whose names match: same names, same contents, at least one."""
        libc, hakmem = (digests(self.folders[allocator], pattern) for allocator in ALLOCATORS)
        if libc != hakmem:
            names = sorted(name for name in libc.keys() | hakmem.keys() if libc.get(name) != hakmem.get(name))
            raise Failure(f"files differ: {', '.join(names)}")
        if not libc:
            raise Failure(f"no file matches {pattern}")

    def put(self, name, contents):
        """The same input file for both."""
        for allocator in ALLOCATORS:
            with open(os.path.join(self.folders[allocator], name), "wb") as file:
                file.write(contents)

    def prove(self, argv, **environment):
        """Shows that hakmem serves this program: a run of it ends with a table of statistics that has counted."""
        result = self.run(HAKMEM, argv, HAKMEM_STATS="all", HAKMEM_STATS_CHILDREN="1", **environment)
        if result.status != 0:
            raise Failure(f"{show(argv)} with HAKMEM_STATS=all failed: {ending(result)}")
        served(result.err.decode(errors="replace"), show(argv))


def base_environment(home):
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": home, "TMPDIR": home}


def served(text, what):
    """`text` has the tables of statistics of one process or more, and they have counted real work."""
    counts = [int(count) for count in re.findall(r"^ *malloc\.\w+ +(\d+) ", text, re.MULTILINE)]
    if sum(counts) < SERVED_MINIMUM:
        raise Failure(f"{what}: hakmem served {sum(counts)} allocations, expected {SERVED_MINIMUM}; stderr:\n{text}")


def is_mapped(pid, library):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return os.path.realpath(library) in file.read()


def need(program, package):
    """The program's path. A missing one is a failure: a test that did not run has shown nothing."""
    path = shutil.which(program, path=PATH)
    if path is None:
        raise Failure(f"{program} is missing: apt-get install {package}")
    return path


def stop(process):
    """Ends a program and all its children, and reaps it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def digests(folder, pattern):
    found = {}
    for parent, _, names in os.walk(folder):
        for name in (os.path.relpath(os.path.join(parent, name), folder) for name in names):
            if re.fullmatch(pattern, name):
                with open(os.path.join(folder, name), "rb") as file:
                    found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def show(argv):
    text = " ".join(argv)
    return text if len(text) < 200 else text[:200] + "..."


def ending(result):
    """How a run ended, for messages, with the last lines of each stream."""
    how = f"exit status {result.status}" if result.status >= 0 else f"signal {-result.status}"
    for name, stream in (("stdout", result.out), ("stderr", result.err)):
        lines = [line[:200] for line in stream.decode(errors="replace").splitlines()[-15:]]
        if lines:
            how += f"\n  {name} ({len(stream)} bytes):\n    " + "\n    ".join(lines)
    return how


def run(body, library):
    """Runs body(trial) in a temporary folder that is gone afterwards; 0 or 1 for the shell."""
    with tempfile.TemporaryDirectory(prefix="hakmem-real-") as folder:
        try:
            body(Trial(library, folder))
        except Failure as failure:
            print(failure)
            return 1
    return 0
