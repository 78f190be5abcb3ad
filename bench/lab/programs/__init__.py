"""The real programs of the benchmark: how their inputs are made and how they are run. PROGRAMS is the only list.
SPDX-License-Identifier: MIT"""
import math
import os
import shutil
import subprocess
from dataclasses import dataclass, field

import process
from programs import inputs, redis

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Program:
    """A command whose output has to be the same on every allocator. `work` is the amount at a scale of 1, where it
    takes a few seconds.

    arguments: texts in which {script} stands for this folder, {input} for the folder of the prepared inputs, and {work}
    for the amount. inputs: file name -> the function that makes its bytes from the amount. outputs: files in the run's
    folder whose contents count, beside stdout."""
    name: str
    title: str
    about: str
    arguments: list
    work: int
    packages: list
    quick: bool = False
    threads: int = 1
    environment: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    stdin: str = ""
    outputs: list = field(default_factory=list)
    # For a program linked with another allocator: libc's has to be preloaded, too.
    brings_allocator = False
    unit = "s"
    better = "lower"

    def executable(self):
        return self.arguments[0]

    def amount(self, scale):
        return max(1, round(self.work * scale))

    def prepare(self, folder, scale):
        """Writes the inputs, once for all runs."""
        for name, make in self.inputs.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(make(self.amount(scale)))

    def setup(self, folder, place):
        """Before each run, in the run's own folder; not measured."""

    def command(self, folder, scale):
        return [part.format(script=HERE, input=folder, work=self.amount(scale)) for part in self.arguments]

    def measure(self, folder, scale, environment, place, limit, **options):
        """One run; options are those of process.run."""
        stdin = os.path.join(folder, self.stdin) if self.stdin else None
        return process.run(self.command(folder, scale), environment, place, limit, stdin=stdin, **options)


class Trees(Program):
    """The work is a depth: one more of it is twice the work."""

    def amount(self, scale):
        return max(6, self.work + round(math.log2(scale)))


class Git(Program):
    """gc changes the repository, so that every run gets a copy of the one prepared."""

    def prepare(self, folder, scale):
        repository = os.path.join(folder, "repository")
        clean = {"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "init", "--quiet", "--bare", repository], env=clean, check=True)
        subprocess.run(["git", "-C", repository, "fast-import", "--quiet"], input=inputs.git_stream(self.amount(scale)),
                       env=clean, check=True)

    def setup(self, folder, place):
        shutil.copytree(os.path.join(folder, "repository"), os.path.join(place, "repository"))


class Redis(Program):
    """A server, measured, and redis-benchmark as its client, which is not; see redis.py. `work` counts the requests of
    each command; the arguments are the client's. It counts as two threads, for the server and the client."""
    brings_allocator = True
    unit = "requests/s"
    better = "higher"

    def executable(self):
        return redis.SERVER[0]

    def measure(self, folder, scale, environment, place, limit, **options):
        return redis.measure(self.arguments, self.amount(scale), environment, place, limit, **options)


# Python takes small objects from arenas of its own unless it is told otherwise.
PYTHON = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

PROGRAMS = [
    Program(
        "python-json", "Python: JSON",
        "python3 parses JSON documents of some megabytes, regroups what they hold, and writes it out again. With "
        "PYTHONMALLOC=malloc every object of Python is a block of malloc.",
        ["/usr/bin/python3", "{script}/documents.py", "{work}"], 25, ["python3"], quick=True, environment=PYTHON),
    Program(
        "python-objects", "Python: objects",
        "python3 builds trees of small objects with dictionaries, strings and closures, queues events, and lets go of "
        "most of it in every round (PYTHONMALLOC=malloc).",
        ["/usr/bin/python3", "{script}/objects.py", "{work}"], 150, ["python3"], environment=PYTHON),
    Program(
        "sqlite", "SQLite in memory",
        "sqlite3 fills a database in memory with a shop's tables and asks it for joins, groups, windows and texts.",
        ["sqlite3", ":memory:"], 300000, ["sqlite3"], quick=True, inputs={"tables.sql": inputs.sql},
        stdin="tables.sql"),
    Redis(
        "redis", "Redis",
        "redis-server answers redis-benchmark's commands, one request of each of 20 clients at a time.",
        ["-c", "20", "-P", "1"], 20000, ["redis-server", "redis-tools"], threads=2),
    Redis(
        "redis-pipelined", "Redis, pipelined",
        "redis-server answers redis-benchmark's commands, 16 requests at a time from each of 20 clients: less of the "
        "time goes to system calls, more to the server's data and so to malloc.",
        ["-c", "20", "-P", "16"], 80000, ["redis-server", "redis-tools"], quick=True, threads=2),
    Trees(
        "lua-trees", "Lua: binary trees",
        "lua5.4 builds and drops binary trees of all depths while a large one stays alive.",
        ["lua5.4", "{script}/trees.lua", "{work}"], 17, ["lua5.4"], quick=True),
    Program(
        "gcc", "GCC: a large C file",
        "gcc compiles a generated C file of half a megabyte with optimisation: cc1 and its passes.",
        ["gcc", "-O2", "-S", "-o", "unit.s", "{input}/unit.c"], 300, ["gcc", "libc6-dev"], quick=True,
        inputs={"unit.c": inputs.c_unit}, outputs=["unit.s"]),
    Program(
        "g++", "G++: templates",
        "g++ compiles a C++ file full of templates and of the standard library's heavy headers.",
        ["g++", "-std=c++17", "-O1", "-S", "-o", "unit.s", "{input}/unit.cc"], 12, ["g++"],
        inputs={"unit.cc": inputs.cxx_unit}, outputs=["unit.s"]),
    Program(
        "perl", "Perl: a text report",
        "perl reads a text, counts and joins its words with hashes and arrays, and rewrites it with patterns.",
        ["perl", "{script}/report.pl", "{input}/text", "{work}"], 5, ["perl"],
        inputs={"text": lambda _: inputs.text(4 << 20)}),
    Program(
        "node", "Node.js: native buffers",
        "node fills, slices, joins, packs and hashes buffers of 64 bytes to 256 KiB that lie outside of its own heap.",
        ["node", "{script}/buffers.js", "{work}"], 1200, ["nodejs"], quick=True, threads=2),
    Program(
        "xz", "xz, two threads",
        "xz packs a text in blocks, two of them at a time: few blocks of memory, but large ones.",
        ["xz", "-0", "-T2", "--block-size=4MiB", "-c", "{input}/text"], 40, ["xz-utils"], threads=2,
        inputs={"text": lambda work: inputs.text(work << 20)}),
    Program(
        "zstd", "Zstandard, two threads", "zstd packs a text with two threads and large windows.",
        ["zstd", "-q", "-12", "-T2", "-c", "{input}/text"], 60, ["zstd"], threads=2,
        inputs={"text": lambda work: inputs.text(work << 20)}),
    Git(
        "git-gc", "git gc",
        "git packs a history of 2000 commits anew, looking for the best deltas with two threads.",
        ["git", "-C", "repository", "-c", "pack.threads=2", "-c", "gc.aggressiveWindow=10", "gc", "--aggressive",
         "--quiet"],
        2000, ["git"], quick=True, threads=2),
]
