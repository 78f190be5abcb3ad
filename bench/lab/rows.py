"""What can be measured: a row is one line of the report, which every allocator runs. Three kinds of rows: a variant of
the workload program, a real program, and the instruction count of a malloc + free pair.

A run is a dictionary, as it stands in results.json: status ("ok", "crash", "hang", "wrong" output, "service" by the
wrong allocator), detail, metrics, and what else there is: samples, phases, latency, service, layers, checksum.
SPDX-License-Identifier: MIT"""
import hashlib
import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys

import allocators
import causes
import metrics as metrics_of
import process
import programs
from machine import allowed_cpus

SEED = 1
WRONG_BLOCK = 3
PROOF = {"HAKMEM_STATS": "all", "HAKMEM_STATS_CHILDREN": "1"}
# Programs get this and nothing else of the caller's environment, so that a benchmark does not depend on who runs it.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "GIT_CONFIG_NOSYSTEM": "1"}
KEPT_SAMPLES = 200
# Far above what a run takes on a slow machine: what is not over by then hangs.
PATIENCE_SECONDS, PATIENCE_FACTOR = 60, 10
FULL_IDLE_SECONDS = 10
# Where each call is timed, which takes a million calls: of a run's time, and of rows that idle.
TAIL_PART, TAIL_IDLE = 0.5, 0.2
# What the workload program says of its steady state under the same names.
RESOURCES = ("user", "system", "minor_faults", "major_faults", "voluntary_switches", "involuntary_switches")
VALUE_TITLES = {"throughput": "throughput", "time": "time", "latency": "slow mallocs", "memory": "memory"}
# The proof of a row that needs none: each of its runs is one.
NO_PROOF = {"status": "ok", "detail": "", "metrics": {}}


def failed(status, detail, **more):
    return {"status": status, "detail": detail, "metrics": {}, **more}


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""


def digest_of(paths):
    """None when one is missing."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                digest.update(file.read())
        except FileNotFoundError:
            return None
    return digest.hexdigest()[:16]


def thinned(samples):
    """At most KEPT_SAMPLES of them; of those between two that stay, the highest, so that no peak is lost."""
    step = -(-len(samples) // KEPT_SAMPLES)
    return [max(samples[i:i + step], key=lambda sample: sample[1])
            for i in range(0, len(samples), step)] if step else []


class Row:
    """prove() and run() take (allocator, folder) pairs, mostly one, and return a run for each."""
    exact = False
    # Whether the proof of service takes as long as a run.
    proof_is_full = False
    # Whether all allocators run side by side: for what mostly sleeps.
    together = False
    # Whether each call can be timed by itself, how long that takes, and whether it takes so long that only the first
    # allocator gets it.
    has_tails = is_slow = False
    tail_seconds = 0

    def limit(self):
        return PATIENCE_SECONDS + PATIENCE_FACTOR * self.seconds

    def said(self):
        """What the line of progress calls it; nothing where there is only one."""
        return self.id


# ---- Variants of the workload program --------------------------------------------------------------------------------


class Pace:
    """How much of everything: rounds, the part of a workload's own time that it runs, its warm-up and idle time in
    seconds, and the part of a real program's own amount of work."""

    def __init__(self, rounds, part, warmup, idle, scale):
        self.rounds, self.part, self.warmup, self.idle, self.scale = rounds, part, warmup, idle, scale


# Enough to see who answers.
PROOF_PACE = Pace(1, 0.05, 0, 0.2, 1)


class WorkloadRow(Row):
    def __init__(self, program, workload, variant, pace):
        self.program, self.workload, self.variant, self.pace = program, workload, variant, pace
        self.id = variant["id"]
        self.together = self.idles = variant.get("idles", False)
        self.seconds = self.seconds_at(pace)
        self.has_tails, self.is_slow = True, workload["kind"] == "memory"
        self.tail_pace = Pace(1, TAIL_PART * pace.part, pace.warmup, TAIL_IDLE, 1)
        self.tail_seconds = self.seconds_at(self.tail_pace)

    def seconds_at(self, pace):
        """The listing's extra_seconds are for FULL_IDLE_SECONDS."""
        return pace.warmup + pace.part * self.variant["seconds"] + self.variant["extra_seconds"] + (
            pace.idle - FULL_IDLE_SECONDS if self.idles else 0)

    def arguments(self, pace):
        arguments = [self.id, "--seconds", f"{pace.part * self.variant['seconds']:g}", "--warmup", f"{pace.warmup:g}",
                     "--seed", str(SEED)]
        return arguments + (["--idle", f"{pace.idle:g}"] if self.idles else [])

    def info(self):
        workload, variant = self.workload, self.variant
        return {
            "id": self.id, "workload": workload["name"], "workload_title": workload["title"],
            "group": workload["group"], "title": variant["title"], "about": workload["about"], "kind": workload["kind"],
            "unit": workload["unit"], "better": workload["better"], "threads": variant["threads"],
            "deterministic": workload["deterministic"], "exact": False,
            "value_title": VALUE_TITLES.get(workload["kind"], ""),
            "command": "LD_PRELOAD={library} " + shlex.join([self.program, *self.arguments(self.pace)])}

    def prove(self, pairs):
        """Every run says who answered. Only hakmem has more to tell, and only when it counts its calls."""
        return [self.run_at([pair], PROOF_PACE, PROOF)[0] if pair[0].name == allocators.SUBJECT else dict(NO_PROOF)
                for pair in pairs]

    def run(self, pairs):
        return self.run_at(pairs, self.pace, {})

    def tails(self, pairs):
        """Each call timed by itself; of hakmem, what the slowest did, on the library that tells."""
        return [self.tails_of(*pair) for pair in pairs]

    def tails_of(self, allocator, place):
        run = self.run_at([(allocator, place)], self.tail_pace, {}, "--calls", "1")[0]
        traced = causes.library_beside(self.program)
        if run["status"] == "ok" and allocator.name == allocators.SUBJECT and traced:
            found = self.run_at([(allocator._replace(library=traced), place)], self.tail_pace, {}, "--calls", "1",
                                "--slowest", str(causes.SLOWEST))[0]
            run["causes"] = causes.tell(found.get("slowest", {}), traced)
        return run

    def run_at(self, pairs, pace, more, *options):
        running = [process.begin([self.program, *self.arguments(pace), *options], {**ENVIRONMENT, **more}, place,
                                 preload=allocator.preload(), samples=False) for allocator, place in pairs]
        return [self.judge(allocator, process.finish(one, place, self.limit()), place)
                for (allocator, place), one in zip(pairs, running)]

    def judge(self, allocator, outcome, place):
        if outcome.status != "ok":
            return failed(outcome.status, outcome.detail + where(outcome.errors))
        if outcome.exit_code == WRONG_BLOCK:
            return failed("wrong", last_line(outcome.errors))
        if outcome.exit_code != 0:
            return failed("crash", f"exit status {outcome.exit_code}" + where(outcome.errors))
        try:
            with open(os.path.join(place, "stdout"), encoding="utf-8") as file:
                return self.result_read(allocator, outcome, json.load(file))
        except (ValueError, KeyError) as fault:
            return failed("crash", f"its result cannot be read: {fault!r}")

    def result_read(self, allocator, outcome, result):
        service = {function: [path] for function, path in result["service"].items() if function != "hakmem" and path}
        fault = allocators.services_check(allocator, service)
        metrics = {"value": result["value"], "wall": outcome.metrics["wall"], "cpu": result["user"] + result["system"]}
        metrics |= {name: result[name] for name in RESOURCES}
        metrics |= {name: result["rss"][name] for name in ("peak", "steady", "freed", "idle", "trimmed")
                    if result.get("rss", {}).get(name) is not None}
        metrics |= {name: value for name, value in outcome.metrics.items() if name == "instructions"}
        if self.workload["kind"] in ("throughput", "latency") and result.get("operations"):
            # A fixed time and not a fixed work: totals grow with the speed.
            metrics["faults_per_1000"] = 1000 * metrics["minor_faults"] / result["operations"]
            metrics["cpu_per_operation"] = metrics["cpu"] / result["operations"]
        latency = result.get("latency") or {}
        for call, found in latency.items():
            metrics |= {f"{call}_{name}": found[name] for name in metrics_of.PERCENTILES}
        run = {"status": "service" if fault else "ok", "detail": fault or "", "metrics": metrics, "service": service,
               "checksum": result.get("checksum")}
        if result.get("samples"):
            run["samples"], run["phases"] = thinned(result["samples"]), result.get("phases", [])
        if latency:
            run["latency"] = {call: found["histogram"] for call, found in latency.items()}
            run["calls"] = {call: found["calls"] for call, found in latency.items()}
            run["slowest"] = {call: {name: found[name] for name in ("slowest", "preempted")}
                              for call, found in latency.items()}
        if result["service"].get("hakmem"):
            run["layers"] = result["service"]["hakmem"]
        return run


def where(errors):
    line = last_line(errors)
    return f": {line}" if line else ""


def workload_rows(program, pace, wanted):
    """wanted: function of (workload, variant)."""
    listing = process.capture([program, "--list"])
    return [WorkloadRow(program, workload, variant, pace)
            for workload in json.loads(listing) for variant in workload["variants"] if wanted(workload, variant)]


# ---- Real programs ---------------------------------------------------------------------------------------------------


class ProgramRow(Row):
    """The inputs are prepared at the first run."""
    proof_is_full = True

    def __init__(self, program, pace, folder):
        self.program, self.pace, self.folder = program, pace, os.path.join(folder, program.name)
        self.id = program.name
        self.seconds = 4 * pace.scale

    def info(self):
        program = self.program
        return {
            "id": self.id, "workload": self.id, "workload_title": program.title, "group": "real programs", "title": "",
            "about": program.about, "kind": "time" if program.better == "lower" else "throughput", "unit": program.unit,
            "better": program.better, "threads": program.threads, "deterministic": True, "exact": False,
            "value_title": "time" if program.better == "lower" else "throughput",
            "command": f"hakmem bench --only {self.id}", "packages": list(program.packages)}

    def is_here(self):
        return shutil.which(self.program.executable(), path=ENVIRONMENT["PATH"]) is not None

    def prove(self, pairs):
        return [self.prove_one(*pair) for pair in pairs]

    def prove_one(self, allocator, place):
        """Who answers the dynamic linker, in every process; for hakmem, how many calls its layers serve."""
        outcome, digest = self.measure(allocator, place, {**allocators.bindings_watch(place), **PROOF})
        answers = allocators.bindings_read(place)
        run = self.judge(allocator, outcome, digest)
        fault = allocators.bindings_check(allocator, answers)
        if run["status"] == "ok" and fault:
            return failed("service", fault)
        run["service"] = answers[0] if answers else {}
        layers = allocators.layers_read(outcome.errors)
        if layers:
            run["layers"] = layers
        return run

    def run(self, pairs):
        return [self.run_one(*pair) for pair in pairs]

    def run_one(self, allocator, place):
        outcome, digest = self.measure(allocator, place, {})
        return self.judge(allocator, outcome, digest)

    def prepare(self):
        if not os.path.isdir(self.folder):
            os.makedirs(self.folder)
            self.program.prepare(self.folder, self.pace.scale)

    def cpus(self):
        """A program of one thread stays on one CPU, the last: the first is busier with interrupts."""
        return None if self.program.threads > 1 else allowed_cpus()[-1:]

    def measure(self, allocator, place, more):
        self.prepare()
        program = self.program
        program.setup(self.folder, place)
        environment = {**ENVIRONMENT, "HOME": place, "TMPDIR": place, **program.environment}
        outcome = program.measure(
            self.folder, self.pace.scale, environment, place, self.limit(), cpus=self.cpus(), library=allocator.library,
            preload={**allocator.preload(always=program.brings_allocator), **more})
        return outcome, digest_of([os.path.join(place, name) for name in ("stdout", *program.outputs)
                                   if name != "stdout" or not program.brings_allocator])

    def judge(self, allocator, outcome, digest):
        if outcome.status != "ok":
            return failed(outcome.status, outcome.detail + where(outcome.errors))
        if outcome.exit_code != 0:
            return failed("crash", f"exit status {outcome.exit_code}" + where(outcome.errors))
        if outcome.mapped is False:
            return failed("service", f"{allocator.library} was not in the process's /proc/PID/maps")
        outcome.metrics.setdefault("value", outcome.metrics["wall"])
        return {"status": "ok", "detail": "", "metrics": outcome.metrics, "samples": thinned(outcome.samples),
                "checksum": digest, "mapped": bool(outcome.mapped)}


def program_rows(pace, folder, wanted):
    return [ProgramRow(program, pace, folder) for program in programs.PROGRAMS if wanted(program)]


# ---- Instructions of a pair ------------------------------------------------------------------------------------------

PAIR_LIVE = 64
PAIR_SIZES_QUICK = [16, 1024, 65536]
PAIR_SIZES = sorted({
    *range(16, 129, 16), *(step << shift for shift in range(5, 18) for step in (5, 6, 7, 8)), *PAIR_SIZES_QUICK})


class PairRow(Row):
    exact = True
    seconds = 2

    def __init__(self, tool, program, size):
        self.tool, self.program, self.size = tool, program, size
        self.id = f"pair-{size}"

    def info(self):
        return {
            "id": self.id, "workload": "pair", "workload_title": "Instructions of a malloc + free pair",
            "group": "single calls", "title": f"{self.size} bytes", "size": self.size, "kind": "instructions",
            "unit": "count", "better": "lower",
            "about": f"A loop allocates {PAIR_LIVE} blocks of one size and frees them in the same order; valgrind "
                     "counts the instructions of one malloc with its free, the loop's own included. The count is the "
                     "same every time.",
            "threads": 1, "deterministic": False, "exact": True, "value_title": "instructions of a pair",
            "command": shlex.join([os.path.realpath(self.tool.__file__), "--pair", self.program, "--size",
                                   str(self.size), "--live", str(PAIR_LIVE)]) + " --lib {library}"}

    def prove(self, pairs):
        """pair.py looks itself at which library the loop called."""
        return [dict(NO_PROOF) for _ in pairs]

    def run(self, pairs):
        return [self.run_one(allocator) for allocator, _ in pairs]

    def run_one(self, allocator):
        try:
            library = "glibc" if allocator.is_libc else allocator.library
            cost = self.tool.pair_cost(self.program, library, self.size, PAIR_LIVE)
        except SystemExit as end:
            return failed("service" if "served the loop" in str(end) else "crash", str(end))
        except subprocess.TimeoutExpired as end:
            return failed("hang", f"did not end within {end.timeout:.0f} s")
        return {"status": "ok", "detail": "", "metrics": {"value": cost}, "service": {"malloc": [allocator.library]}}


def pair_rows(program, sizes):
    """None without valgrind, or without pair.py in the folder above."""
    folder = os.path.dirname(allocators.HERE)
    if not os.path.exists(os.path.join(folder, "pair.py")) or not shutil.which("valgrind") or not program:
        return []
    if folder not in sys.path:
        sys.path.append(folder)
    tool = importlib.import_module("pair")
    return [PairRow(tool, program, size) for size in sizes]
