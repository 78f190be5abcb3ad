#!/usr/bin/env python3
"""Why slow calls were slow, the tables of them, what the machine takes, and the rows of the README.

    tails_test.py ROOT NAMES     the sources, and the list of the traced library's functions
SPDX-License-Identifier: MIT"""
import pathlib
import re
import sys
import unittest

import fixture
from fixture import slow_call

import causes
import host
import measure
import rows
import summary
import tables
import tails

ROOT, NAMES = map(pathlib.Path, sys.argv[1:3])
COSTS = {"page_fault": 1000.0, "huge_page": 50000.0}


class Causes(unittest.TestCase):
    def cause(self, *arguments, costs=COSTS, **more):
        return causes.cause_of(slow_call(*arguments, **more), costs)

    def test_the_part_in_which_it_was_longest(self):
        """Functions of one part count together."""
        self.assertEqual(self.cause(9000, ("span_alloc", "heap/span.c", 4000), ("page_create", "heap/page.c", 2500),
                                    ("page_init", "heap/page.c", 2400)), causes.PARTS["heap/page.c"])

    def test_system_calls_have_their_name(self):
        self.assertEqual(self.cause(9000, ("os_unmap", "system/os_map.c", 5000), ("ring_refill", "cache/ring.c", 300)),
                         "system call: munmap")
        self.assertEqual(self.cause(9000, ("os_page_size", "system/os_map.c", 8000)), causes.SYSTEM)

    def test_page_faults_where_they_explain_it(self):
        step = "page_init", "heap/page.c", 4000
        self.assertEqual(self.cause(4500, step, faults=3, costs={"page_fault": 1000.0}), causes.FAULTS)
        self.assertEqual(self.cause(4500, step, faults=1, costs={"page_fault": 1000.0}), causes.PARTS["heap/page.c"])
        self.assertEqual(self.cause(90000, step, faults=1), causes.FAULTS, "a huge page")
        self.assertEqual(self.cause(4500, step, faults=3, costs={}), causes.PARTS["heap/page.c"])

    def test_a_system_call_that_makes_memory_resident_is_no_page_fault(self):
        self.assertEqual(self.cause(90000, ("os_populate", "system/os_advise.c", 89000), faults=100),
                         "system call: madvise, which makes memory resident")

    def test_without_a_trace_it_is_from_outside(self):
        self.assertEqual(self.cause(50000), causes.OUTSIDE)
        self.assertEqual(self.cause(50000, ("ring_refill", "cache/ring.c", 300)), causes.OUTSIDE)
        self.assertEqual(self.cause(50000, ("ring_refill", "cache/ring.c", 300), faults=1, costs={}), causes.FAULTS)

    def test_waiting(self):
        self.assertEqual(self.cause(50000, ("lock_wait", "system/lock.c", 40000), waits=1), causes.WAITING)

    def test_the_most_frequent_first(self):
        found = causes.summed(fixture.SLOW_CALLS, COSTS)
        self.assertEqual(found[0], ("system call: madvise, which gives memory back", 2, 8500, 9000))
        self.assertEqual([cause[0] for cause in found[1:]], [causes.FAULTS, causes.OUTSIDE])

    def test_parts_are_files_of_the_library(self):
        self.assertEqual([part for part in causes.PARTS if not (ROOT / "src" / part).exists()], [])
        rooms = [str(path.relative_to(ROOT / "src")) for room in ("cache", "heap", "policy")
                 for path in (ROOT / "src" / room).glob("*.c")]
        untraced = ["heap/class.c", "heap/map.c", "heap/slabset.c"]
        self.assertEqual(sorted(path for path in rooms if path not in causes.PARTS), untraced)
        text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").glob(causes.SYSTEM_FILE + "*.c"))
        self.assertEqual([name for name in causes.SYSTEM_CALLS if not re.search(rf"^\w.*\b{name}\(", text, re.M)], [])

    @unittest.skipUnless(NAMES.exists(), "no traced library")
    def test_functions_of_the_traced_library_are_known(self):
        """Of all files that a slow path comes through, by what was traced."""
        found = causes.functions_read(str(NAMES.with_name(causes.LIBRARY)))
        names = {name for name, _ in found.values()}
        self.assertLess({"page_make", "span_free", "os_purge", "ring_refill"}, names)
        self.assertIn("heap/page.c", {file for _, file in found.values()})

    def test_functions_that_are_not_in_the_list(self):
        one = {"ns": 9, "steps": [[64, 8.0]]}
        told = causes.tell({"malloc": {"preempted": [0, 0], "slowest": [one]}}, "/no/such.so")
        self.assertEqual(told["malloc"]["slowest"][0]["steps"], [["+0x40", "?", 8.0]])


class Tables(unittest.TestCase):
    def test_each_call_by_itself(self):
        columns, lines = tails.lines(fixture.results())
        self.assertEqual([line[:3] for line in lines], [["The <fast-1> & others: 2 threads", call, "900 k"]
                                                       for call in ("malloc", "free")])
        cells = dict(zip(columns, lines[0]))
        self.assertEqual((cells["median"], cells["99.9999 %"]), ("20.0 ns", "320 ns"))
        self.assertEqual(cells["glibc, 99.9999 %"], "336 ns")
        self.assertEqual(lines[0][-1], "system call: madvise, which gives memory back (2 of 4)")

    def test_failed_and_missing_runs(self):
        results = fixture.results()
        results["rows"][0]["tails"]["glibc"] = fixture.FAILED
        del results["rows"][0]["tails"]["mimalloc"]
        line = dict(zip(*(tails.lines(results)[0], tails.lines(results)[1][0])))
        self.assertEqual((line["glibc, 99.9999 %"], line["mimalloc, 99.9999 %"]), ("–", "–"))
        for row in results["rows"]:
            row.pop("tails", None)
        self.assertEqual(tails.lines(results)[1], [])
        self.assertNotIn("Each call by itself", tables.terminal(summary.summarize(results), results))

    def test_what_is_lost_is_listed(self):
        results = fixture.results()
        summaries = summary.summarize(results)
        self.assertEqual([(one.info["id"], name) for one, name in summary.lost(summaries)], [("slow", "value")])
        self.assertIn("Where the best other is better\n  The <slow> & others: 2 threads: 33 % more time than glibc\n",
                      tables.terminal(summaries, results))
        results["rows"][3]["runs"]["hakmem"] = [fixture.FAILED]
        found = summary.lost(summary.summarize(results))
        self.assertIn(("same", "value"), [(one.info["id"], name) for one, name in found])

    def test_rounds_that_there_was_no_time_for(self):
        results = {**fixture.results(), "rounds_wanted": 7}
        self.assertIn("5 of 7 rounds: there was no time for more.", tables.terminal([], results))
        self.assertNotIn("rounds:", tables.terminal([], fixture.results()))


class Host(unittest.TestCase):
    def test_in_words(self):
        text = host.terminal(fixture.COSTS)
        self.assertRegex(text, r"page fault .* 5\.00 µs\n")
        self.assertRegex(text, r"huge page .* none to be had\n")
        self.assertEqual(host.terminal({}), "")
        self.assertRegex(host.terminal({**fixture.COSTS, "huge_page": 256000.0, "page_fault": 1000.0}),
                         r"256 µs  0\.50 times the page faults")

    def test_it_comes_first(self):
        results = fixture.results()
        self.assertTrue(tables.terminal(summary.summarize(results), results).startswith("What this machine takes\n"))

    def test_no_program(self):
        self.assertEqual(host.measure("/no/such/program"), {})


class Readme(unittest.TestCase):
    def titles(self):
        """Of the rows of `make bench`, by their names."""
        pace = rows.Pace(1, 1, 0, 0, 1)
        found = rows.program_rows(pace, "/tmp", lambda program: program.quick)
        workloads = rows.workload_rows(str(NAMES.with_name("hakmem-workloads")), pace,
                                       lambda _, variant: variant["quick"])
        return {row.id: tails.title_of(row.info()) for row in found + workloads}

    def test_the_table_has_the_rows_of_make_bench(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Measured", 1)[1]
        table = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:12]
        titles = self.titles()
        self.assertEqual(table, [titles.get(name, name) for name in tables.README_ROWS])

    def test_it_is_printed(self):
        results = fixture.results()
        row = fixture.row("lua-trees", "time", fixture.each(lambda i: fixture.spread(1.0 if i == 2 else 2.0)))
        results["rows"].append(row)
        text = tables.terminal(summary.summarize(results), results)
        self.assertRegex(text, r"lua-trees> & others: 2 threads +1\.00 +0\.50 mimalloc, lost +1\.00 +1\.00 glibc\n")


class Deadline(unittest.TestCase):
    """Rows that take a second by a clock of the test's."""

    def measured(self, seconds, rounds=5, row_count=2, allocators=("a", "b")):
        test = self

        class Second(rows.Row):
            seconds, has_tails, tail_seconds = 1, True, 1

            def __init__(self, name):
                self.id = name

            def prove(self, pairs):
                return [dict(rows.NO_PROOF) for _ in pairs]

            def run(self, pairs):
                test.now += 1
                return [fixture.run_of(1, 1.0) for _ in pairs]

            def tails(self, pairs):
                test.now += 1
                return [fixture.tail_run(10.0) for _ in pairs]

        self.now, self.said = 0.0, []
        original = measure.time.monotonic
        self.addCleanup(setattr, measure.time, "monotonic", original)
        measure.time.monotonic = lambda: self.now
        chosen = [causes.collections.namedtuple("One", "name")(name) for name in allocators]
        measurement = measure.Measurement([Second(f"row-{number}") for number in range(row_count)], chosen, rounds,
                                          self.said.append, deadline=seconds, tails=True)
        measurement.run()
        measure.time.monotonic = original
        return measurement

    def counts(self, measurement):
        return {len(runs) for row in measurement.runs.values() for runs in row.values()}

    def test_all_of_it(self):
        found = self.measured(1000)
        self.assertEqual((self.counts(found), found.rounds_done, self.said), ({5}, 5, []))
        self.assertEqual({len(row) for row in found.tails.values()}, {2})

    def test_rounds_are_left_out(self):
        """Of 4 s each; two more are for the first allocator's tails, and what is left is for the other's."""
        found = self.measured(15)
        self.assertEqual((self.counts(found), found.rounds_done), ({3}, 3))
        self.assertEqual(self.said[0], "3 of 5 rounds: there is no time for another one; --minutes gives more")
        self.assertEqual({name for row in found.tails.values() for name in row}, {"a", "b"})
        self.assertLessEqual(self.now, 16)

    def test_rows_never_are(self):
        found = self.measured(1, row_count=3)
        self.assertEqual(self.counts(found), {1})
        self.assertEqual([row for row in found.tails.values() if row], [])
        self.assertIn("not all calls are timed one by one", self.said[-1])

    def test_the_first_allocators_tails_come_first(self):
        found = self.measured(11.5)
        self.assertEqual(self.counts(found), {2})
        self.assertTrue(all("a" in row for row in found.tails.values()), found.tails)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
