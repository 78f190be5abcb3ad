#!/usr/bin/env python3
"""Every workload of the lab, for a very short time: on libc's malloc, on hakmem and on a malloc that is wrong.

    workloads_test.py WORKLOADS LIBRARY LIAR TRACED

On the first two, results have to be valid, served by the right library and with the same checksum; the third has to
be caught. The last is hakmem on a build that tells what each call did, which not every compiler can make.
SPDX-License-Identifier: MIT"""
import concurrent.futures
import json
import os
import subprocess
import sys
import unittest

WORKLOADS, LIBRARY, LIAR, TRACED = sys.argv[1:5]
SHORT = ["--seconds", "0.01", "--warmup", "0", "--idle", "0.02"]
NUMBERS = ["value", "operations", "seconds", "user", "system", "minor_faults", "major_faults", "voluntary_switches",
           "involuntary_switches"]
KINDS = {"throughput": "higher", "latency": "lower", "memory": "lower"}
WRONG_BLOCK = 3


def program_run(*arguments, library=None):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("HAKMEM") and name != "LD_PRELOAD"}
    if library is not None:
        environment["LD_PRELOAD"] = library
    return subprocess.run([WORKLOADS, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def listed():
    return json.loads(program_run("--list").stdout)


def variants_listed():
    return [(workload, variant) for workload in listed() for variant in workload["variants"]]


class Listing(unittest.TestCase):
    def test_names_are_unique_and_kinds_are_known(self):
        workloads = listed()
        names = [workload["name"] for workload in workloads]
        ids = [variant["id"] for _, variant in variants_listed()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len(ids), len(set(ids)))
        for workload in workloads:
            self.assertEqual(KINDS[workload["kind"]], workload["better"], workload["name"])

    def test_every_workload_has_a_quick_variant(self):
        for workload in listed():
            self.assertTrue(any(variant["quick"] for variant in workload["variants"]), workload["name"])

    def test_wrong_usage_is_refused(self):
        for arguments in [], ["no-such-variant"], ["aligned", "--seconds"], ["aligned", "--seconds", "x"], \
                ["aligned", "--seconds", "-1"], ["aligned", "--pin", "2"], ["aligned", "--what", "1"], \
                ["aligned", "--calls", "2"], ["aligned", "--slowest", "1001"], ["--host", "1"]:
            run = program_run(*arguments)
            self.assertEqual((run.returncode, run.stdout), (2, ""), arguments)
            self.assertIn("usage", run.stderr)

    def test_the_seed_decides_what_is_done(self):
        sums = [json.loads(program_run("random-400", *SHORT, "--seed", seed).stdout)["checksum"] for seed in "121"]
        self.assertEqual(sums[0], sums[2])
        self.assertNotEqual(sums[0], sums[1])


class Results(unittest.TestCase):
    def result_of(self, workload, variant, library):
        run = program_run(variant["id"], *SHORT, library=library)
        self.assertEqual(run.returncode, 0, f"{variant['id']} on {library}: {run.stderr}")
        self.assertEqual(run.stdout.count("\n"), 1)
        result = json.loads(run.stdout)
        self.assertEqual(result["variant"], variant["id"])
        self.assertEqual(result["unit"], workload["unit"])
        for name in NUMBERS:
            self.assertGreaterEqual(result[name], 0, f"{variant['id']}: {name}")
        for name in "value", "operations", "seconds":
            self.assertGreater(result[name], 0, f"{variant['id']}: {name}")
        return result

    def rss_check(self, variant, result):
        rss = result["rss"]
        for point in "start", "peak", "steady", "freed":
            self.assertGreater(rss[point], 0, f"{variant['id']}: {point}")
        # The kernel counts up to 32 pages on each CPU for itself, and its record of the peak does not see them.
        unseen = 32 * 4096 * (os.cpu_count() + 1)
        self.assertGreaterEqual(rss["peak"] + unseen, rss["steady"], variant["id"])
        if variant["idles"]:
            self.assertGreater(rss["idle"], 0, variant["id"])
            self.assertEqual([phase for _, phase in result["phases"] if phase != "built"][:2], ["freed", "idle"])
            self.assertGreater(len(result["samples"]), 2)

    def latency_check(self, variant, result):
        for call in result["latency"].values():
            points = [call[name] for name in ("p50", "p99", "p99.9", "p99.99", "p99.9999", "max")]
            self.assertEqual(points, sorted(points), variant["id"])
            self.assertEqual(sum(count for _, count in call["histogram"]), call["calls"], variant["id"])

    def variant_check(self, workload, variant):
        ours = self.result_of(workload, variant, LIBRARY)
        theirs = self.result_of(workload, variant, None)
        self.assertEqual(ours["checksum"], theirs["checksum"], variant["id"])
        self.assertNotEqual(int(ours["checksum"], 16), 0, variant["id"])
        for result, is_ours in (ours, True), (theirs, False):
            for call in "malloc", "free", "calloc", "realloc", "posix_memalign":
                self.assertEqual(os.path.realpath(result["service"][call]) == os.path.realpath(LIBRARY), is_ours)
            self.assertEqual(result["service"]["hakmem"] is not None, is_ours)
            self.rss_check(variant, result)
            self.assertEqual("latency" in result, workload["kind"] == "latency")
            if workload["kind"] == "latency":
                self.latency_check(variant, result)
                self.assertAlmostEqual(result["value"], result["latency"]["malloc"]["p99.9"], delta=0.1)
        if variant["quick"]:
            self.timed_check(variant)

    def timed_check(self, variant):
        """Every workload can have its calls timed one by one, whatever else it measures. Quick variants stand for all."""
        timed = json.loads(program_run(variant["id"], *SHORT, "--calls", "1", library=LIBRARY).stdout)
        self.latency_check(variant, timed)
        self.assertGreater(timed["latency"]["malloc"]["calls"], 0, variant["id"])
        self.assertGreater(timed["latency"]["free"]["calls"], 0, variant["id"])

    def test_every_variant(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for check in [pool.submit(self.variant_check, *row) for row in variants_listed()]:
                check.result()

    def test_memory_is_what_the_blocks_need(self):
        for variant, low, high in ("memory-none-1", 270e6, 330e6), ("messages-memory-592", 94e6, 200e6):
            result = json.loads(program_run(variant, *SHORT, library=LIBRARY).stdout)
            self.assertTrue(low < result["rss"]["steady"] - result["rss"]["start"] < high, (variant, result["rss"]))


class Calls(unittest.TestCase):
    def result(self, variant, *more, library=None):
        run = program_run(variant, *SHORT, "--calls", "1", *more, library=library)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def latency(self, variant, *more, library=None):
        return self.result(variant, *more, library=library)["latency"]

    @unittest.skipUnless(os.path.exists(TRACED), "no traced library")
    def test_the_slowest_are_told_of(self):
        found = self.latency("memory-sparse-1", "--slowest", "5", library=TRACED)
        for call in found.values():
            self.assertEqual(len(call["slowest"]), 5)
            for slow in call["slowest"]:
                self.assertGreater(slow["ns"], call["p50"])
                self.assertGreaterEqual(slow["traced"], sum(ns for _, ns in slow["steps"]) * 0.99)
                self.assertEqual([ns for _, ns in slow["steps"]], sorted((ns for _, ns in slow["steps"]), reverse=True))
        self.assertTrue(any(slow["faults"] for slow in found["malloc"]["slowest"]))
        self.assertTrue(any(slow["steps"] for slow in found["free"]["slowest"]))  # others were interrupted

    def test_only_the_traced_library_tells_where_it_was(self):
        """Page faults are the system's, and known of all."""
        for call in self.latency("memory-sparse-1", "--slowest", "5", library=LIBRARY).values():
            self.assertEqual([slow["steps"] for slow in call["slowest"]], [[]] * 5)

    def test_kinds_of_calls(self):
        """Every call is timed, and as one of its kind; what calloc and aligned_alloc did counts as malloc. How many calls a
        hundredth of a second has room for is the machine's affair."""
        for variant, kinds in ("realloc-vectors", {"malloc", "free", "realloc"}), ("calloc-small", {"malloc", "free"}), \
                ("aligned", {"malloc", "free"}):
            result = self.result(variant, library=None)
            calls = {kind: call["calls"] for kind, call in result["latency"].items()}
            self.assertEqual(set(calls), kinds)
            self.assertEqual(sum(calls.values()), result["operations"], variant)
            self.assertGreater(min(calls.values()), 0, variant)

    def test_children_count(self):
        """Of a fork server nearly all calls are those of children: 2,000 mallocs each."""
        self.assertGreater(self.latency("fork-server-1", library=LIBRARY)["malloc"]["calls"], 2000)

    def test_not_timed_unless_asked(self):
        self.assertNotIn("latency", json.loads(program_run("aligned", *SHORT).stdout))


class Host(unittest.TestCase):
    def test_costs_are_in_order(self):
        """A system call that does nothing is quicker than a page fault, a cache miss slower than a nanosecond; a huge page,
        where there is one, takes longer than a small one."""
        run = program_run("--host")
        costs = json.loads(run.stdout)
        self.assertEqual((run.returncode, set(costs)), (0, {"page_fault", "system_call", "cache_miss", "huge_page"}))
        self.assertLess(costs["system_call"], costs["page_fault"])
        self.assertGreater(costs["cache_miss"], 1)
        if costs["huge_page"] is not None:
            self.assertGreater(costs["huge_page"], costs["page_fault"])


class Liar(unittest.TestCase):
    def variant_check(self, _, variant):
        run = program_run(variant["id"], *SHORT, library=LIAR)
        self.assertEqual(run.returncode, WRONG_BLOCK, f"{variant['id']}: {run.stderr}")
        self.assertRegex(run.stderr, rf"^hakmem-workloads: {variant['id']}: wrong block: the one of \d+ bytes")
        self.assertEqual(run.stdout, "")

    def test_a_wrong_malloc_is_caught_by_every_variant(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for check in [pool.submit(self.variant_check, *row) for row in variants_listed()]:
                check.result()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
