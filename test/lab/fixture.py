"""What the tests of the lab share: where the lab is, and results made up of known numbers.
SPDX-License-Identifier: MIT"""
import os
import sys

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench/lab")
sys.path.insert(0, LAB)

ALLOCATORS = ["hakmem", "glibc", "mimalloc", "jemalloc", "tcmalloc"]


def run_of(number, value, **more):
    metrics = {"value": value, "wall": 1.5, "user": 1.0, "system": 0.25, "minor_faults": 1200 + number,
               "major_faults": 0, "peak": 50 << 20, **more.pop("metrics", {})}
    return {"round": number, "status": "ok", "detail": "", "metrics": metrics, "others": 0.0, "disturbed": False,
            "service": {"malloc": ["/lib/x.so"]}, "checksum": "abc", **more}


def row(name, kind, values, **more):
    """values: allocator -> the values of its rounds, or the runs themselves."""
    return {
        "id": name, "workload": more.pop("workload", name.split("-")[0]), "workload_title": f"The <{name}> & others",
        "group": "group " + kind, "title": "2 threads", "about": "What it does.", "kind": kind,
        "exact": kind == "instructions",
        "unit": {"throughput": "operations/s", "time": "s", "memory": "bytes", "latency": "ns, 99.9th percentile",
                 "instructions": "count"}[kind],
        "better": "higher" if kind == "throughput" else "lower", "threads": 2, "deterministic": True,
        "value_title": "result",
        "command": "LD_PRELOAD={library} program " + name, "proofs": {"hakmem": {"layers": {"ring": 970, "page": 30}}},
        "runs": {allocator: [one if isinstance(one, dict) else run_of(number, one)
                             for number, one in enumerate(ones, 1)] for allocator, ones in values.items()}, **more}


def spread(middle, rounds=5):
    return [middle * (1 + 0.01 * (i - rounds // 2)) for i in range(rounds)]


def memory_run(number, level):
    samples = [[i / 10, level * min(i, 10) // 10] for i in range(40)]
    phases = [[1, "built"], [1.1, "freed"], [3.6, "idle"], [3.8, "trimmed"]]
    return run_of(number, level // 4, samples=samples, phases=phases,
                  metrics={"peak": level, "freed": level // 2, "idle": level // 4})


def latency_run(number, base):
    histogram = [[base * 2 ** i, 10 ** (6 - i)] for i in range(6)]
    return run_of(number, base * 8, latency={"malloc": histogram, "free": histogram}, metrics={"malloc_p50": base})


def tail_run(base, slowest=()):
    """One in 100,000 takes 16 times as long as the usual ones."""
    histogram = [[base, 900000], [base * 16, 10]]
    names = ("p50", "p99", "p99.9", "p99.99", "p99.9999", "max")
    metrics = {f"{call}_{name}": base * (16 if place > 3 else 1) for call in ("malloc", "free")
               for place, name in enumerate(names)}
    return {"status": "ok", "detail": "", "metrics": metrics, "calls": {"malloc": 900010, "free": 900010},
            "latency": {"malloc": histogram, "free": histogram},
            "causes": {"malloc": {"preempted": [2, 4e6], "slowest": list(slowest)}}}


def slow_call(ns, *steps, faults=0, waits=0):
    """steps: (function, file, ns)."""
    return {"ns": ns, "size": 64, "faults": faults, "waits": waits, "traced": sum(step[2] for step in steps),
            "steps": [list(step) for step in steps]}


FAILED = {"status": "crash", "detail": "ended by SIGSEGV: <out> & away", "metrics": {}}


def each(make):
    """make(place) for every allocator, hakmem's place being 0."""
    return {name: make(place) for place, name in enumerate(ALLOCATORS)}


SLOW_CALLS = [slow_call(9000, ("os_purge", "system/os_advise.c", 8000)), slow_call(8000, ("os_purge", "system/os_advise.c", 7000)),
              slow_call(7000, ("page_create", "heap/page.c", 300), faults=1), slow_call(6000)]
COSTS = {"page_fault": 5000.0, "system_call": 150.0, "cache_miss": 90.0, "huge_page": None}


def results():
    """One row of every kind; hakmem wins `fast`, loses `slow`, draws `same`; one allocator crashed."""
    rows = [
        row("fast-1", "throughput", each(lambda i: spread(1e6 + 1e5 * i if i else 2e6)), tails=each(
            lambda i: tail_run(20.0 + i, [] if i else SLOW_CALLS))),
        row("fast-2", "throughput", {"hakmem": spread(4e6), "glibc": spread(3e6)}, workload="fast"),
        row("slow", "time", each(lambda i: spread(1.5 if i else 2.0))),
        row("same", "time", each(lambda i: spread(1.0))),
        row("crashed", "throughput", each(lambda i: [FAILED] if ALLOCATORS[i] == "jemalloc" else spread(5e5))),
        row("given", "memory", each(lambda i: [memory_run(n, (40 + 20 * i) << 20) for n in range(1, 6)])),
        row("late", "latency", each(lambda i: [latency_run(n, 20 + 5 * i + n) for n in range(1, 6)])),
        *(row(f"pair-{size}", "instructions", each(lambda i: [run_of(1, 47.1 + size / 100 + 20 * i)]), size=size)
          for size in (16, 1024, 65536)),
    ]
    return {
        "format": 1, "made": "2025-01-01 12:00", "subject": "hakmem", "rounds": 5, "full": False, "interrupted": False,
        "pace": {}, "rows": rows,
        "machine": {"cpu": "Some <CPU>", "cpus": 2, "memory": 24 << 30, "architecture": "x86_64", "system": "Debian",
                    "kernel": "6", "libc": "glibc 2.36", "huge_pages": "madvise", "compacted": True, "governor": "unknown",
                    "costs": COSTS},
        "allocators": [{"name": name, "library": f"/usr/lib/lib{name}.so", "version": "1.0"} for name in ALLOCATORS]}
