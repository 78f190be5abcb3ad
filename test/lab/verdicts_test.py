#!/usr/bin/env python3
"""What `hakmem compare` concludes from figures: hundreds of comparisons of equals, with noise as machines have it,
seldom show a difference; real differences are found; and what rests on what.
SPDX-License-Identifier: MIT"""
import argparse
import itertools
import math
import random
import unittest

import fixture

import allocators
import conditions
import measure
import metrics
import rows
import stats
import summary
import telling
import verdicts
import words

NAMES = ["hakmem", "glibc", "mimalloc", "jemalloc", "tcmalloc"]
TRIALS = 300
# So many false ones of TRIALS are likelier than one in a thousand at a rate of 5 %.
FALSE_MOST = 28


def gauss(chance, _):
    return chance.gauss(1, 0.05)


def heavy(chance, _):
    """Now and then a run takes several times as long."""
    return 1 + 0.02 * abs(chance.gauss(0, 1) / max(1e-3, abs(chance.gauss(0, 1))))


def drift(chance, place):
    """The machine gets hot: half a percent slower with each run."""
    return 1.005 ** place * chance.gauss(1, 0.01)


def bimodal(chance, _):
    """Two kinds of runs, as huge pages or the place of the stack make them."""
    return chance.choice((1, 1.3)) * chance.gauss(1, 0.005)


def steps(chance, place):
    """Another virtual machine comes and goes."""
    return (1.4 if place // 17 % 2 else 1) * chance.gauss(1, 0.02)


NOISES = (gauss, heavy, drift, bimodal, steps)


def measured(chance, noise, rounds, costs=None, names=None, disturbed=0.0):
    """A measurement as compare makes it: allocator -> runs, `costs` being what one takes of each figure."""
    runs = {name: [] for name in names or NAMES}
    places = itertools.count()
    for number in range(1, rounds + 1):
        for name in chance.sample(list(runs), len(runs)):
            cost = (costs or {}).get(name, 1)
            figures = {figure: 1000 * cost * noise(chance, next(places)) for figure in ("wall", "cpu", "minor_faults")}
            figures["peak"] = 1000 * cost * chance.gauss(1, 0.01)
            is_disturbed = chance.random() < disturbed
            figures["wall"] *= 1 + is_disturbed * abs(chance.gauss(0, 0.5))
            runs[name].append({"round": number, "status": "ok", "detail": "", "metrics": figures,
                               "disturbed": is_disturbed, "exit_code": 0, "checksum": "a", "errors": ""})
    return runs


def concluded(runs, bounds=0.05, apart=()):
    """The verdicts, without the figures' own intervals, which take time and are not looked at here."""
    names = list(runs)
    demands = verdicts.demands_for(names, 4, bounds)
    info = {**fixture.row("program", "time", {}), "runs": runs,
            "libraries": {name: f"/usr/lib/lib{name}.so" for name in names}}
    one = summary.RowSummary(info, "hakmem", names, demands=demands)
    one.samples = {figure: {name: [run["metrics"][figure] for run in some] for name, some in runs.items()}
                   for figure in ("wall", "cpu", "peak", "minor_faults")}
    one.disturbed = sum(run["disturbed"] for some in runs.values() for run in some)
    return verdicts.Verdicts(one, apart)


def pairs_of(found):
    return [found.versus(figure, one, other) for figure in ("wall", "cpu", "peak", "minor_faults")
            for one, other in itertools.combinations(found.names, 2)]


class Equals(unittest.TestCase):
    """The same library under several names."""

    def false_ones(self, noise, rounds, names=None, disturbed=0.0):
        chance = random.Random(f"{noise.__name__} {rounds} {names}")
        count = 0
        for _ in range(TRIALS):
            found = concluded(measured(chance, noise, rounds, names=names, disturbed=disturbed))
            is_false = any(one.differs for one in pairs_of(found))
            if is_false:
                count += 1
            else:
                self.assertIn(found.outcome(), ("same", "open"))
        return count

    def test_false_verdicts_stay_below_the_stated_rate(self):
        """Of all verdicts of a whole comparison together, whatever the noise is like."""
        self.assertEqual(stats.FAMILY_ERROR, 0.05)
        for noise in NOISES:
            for rounds, names in ((11, NAMES), (20, ["hakmem", "glibc"])):
                self.assertLessEqual(self.false_ones(noise, rounds, names), FALSE_MOST, (noise.__name__, rounds))

    def test_disturbed_runs_make_no_false_ones(self):
        self.assertLessEqual(self.false_ones(gauss, 20, ["hakmem", "glibc"], disturbed=0.2), FALSE_MOST)

    def test_a_plain_interval_would_not_do(self):
        """The control: what the bench's reports rest on, taken for each of a comparison's many verdicts, is wrong more
        often than is stated."""
        chance, count = random.Random(5), 0
        for _ in range(40):
            runs = measured(chance, gauss, 11)
            samples = [[run["metrics"]["wall"] for run in some] for some in runs.values()]
            count += any(stats.compare(*pair).differs for pair in itertools.combinations(samples, 2))
        self.assertGreater(count, 40 * 2 * stats.FAMILY_ERROR)

    def test_orders_are_random(self):
        """Neighbours and places change, or else a drift would be a difference."""
        class Quick(rows.Row):
            id = "quick"
        tasks = measure.Measurement([Quick()], [allocators.Allocator(name, "") for name in NAMES], 40).tasks(1)
        orders = [[task.allocators[0].name for task in tasks[i:i + 5]] for i in range(0, len(tasks), 5)]
        self.assertEqual({tuple(sorted(order)) for order in orders}, {tuple(sorted(NAMES))})
        before = sum(order.index("hakmem") < order.index("glibc") for order in orders)
        self.assertTrue(6 < before < 34, before)


class Differences(unittest.TestCase):
    def test_clear_ones_are_found(self):
        chance = random.Random(2)
        for noise in NOISES:
            found = concluded(measured(chance, noise, 20, {"hakmem": 0.5}))
            self.assertTrue(found.versus("cpu", "hakmem").differs, noise.__name__)
            self.assertEqual(found.advice()[:2], ("better", "hakmem"), noise.__name__)

    def test_no_difference_is_seldom_said_of_one(self):
        """That lies just outside the bounds."""
        chance, count = random.Random(3), 0
        for _ in range(TRIALS):
            found = concluded(measured(chance, gauss, 15, {"hakmem": 1.055}, ["hakmem", "glibc"]))
            one = found.versus("wall", "hakmem")
            count += not one.differs and not one.is_vague()
        self.assertLessEqual(count, FALSE_MOST)

    def test_no_difference_is_said_where_there_is_none(self):
        chance = random.Random(4)
        said = sum(concluded(measured(chance, drift, 20)).outcome() == "same" for _ in range(50))
        self.assertGreater(said, 45)

    def test_bounds_are_kept(self):
        """A certain difference of 3 % is none within 5 %, and one within 2 %."""
        runs = measured(random.Random(5), lambda chance, _: chance.gauss(1, 0.002), 12, {"hakmem": 1.03})
        for bounds, word in ((0.05, "no difference"), (0.02, "more")):
            self.assertEqual(verdicts.word(concluded(runs, bounds).versus("wall", "hakmem")), word)

    def test_so_many_rounds_would_do(self):
        """Where it cannot be told, the number that is named tells mostly."""
        chance, asked, told = random.Random(6), 0, 0
        for _ in range(60):
            names = ["hakmem", "glibc"]
            one = concluded(measured(chance, gauss, 9, {"hakmem": 1.06}, names)).versus("wall", "hakmem")
            if one.is_vague() and one.needed and one.needed < 200:
                asked += 1
                again = concluded(measured(chance, gauss, one.needed, {"hakmem": 1.06}, names)).versus("wall", "hakmem")
                told += not again.is_vague()
        self.assertGreater(asked, 20)
        self.assertGreater(told, 0.55 * asked)

    def test_too_few_rounds(self):
        found = concluded(measured(random.Random(7), drift, 10, {"hakmem": 0.2}))
        self.assertEqual(found.demands.rounds_least(), 11)
        self.assertFalse(any(one.differs or one.enough for one in pairs_of(found)))
        self.assertEqual(found.outcome(), "few")
        self.assertIn("-n 11 at least", found.advice()[2])

    def test_figures_that_are_nothing(self):
        found = stats.judge([0] * 12, [1] * 12, stats.Demands(1, 0.05))
        self.assertEqual((found.differs, found.is_vague(), found.needed), (False, True, None))
        found = stats.judge([], [], stats.Demands(1, 0.05))
        self.assertTrue(found.is_vague())

    def test_signed_ranks_are_exact(self):
        """Of 2 ** 4 signs: sums 0, 1, 2, 3, 3, 4, 4, 5, 5, ..."""
        self.assertEqual([round(16 * chance) for chance in stats.signed_rank_chances(4)],
                         [1, 2, 3, 5, 7, 9, 11, 13, 14, 15, 16])
        self.assertEqual(stats.signed_rank_interval(list(range(10)), 4, 2 / 16), (0, 9))
        self.assertEqual(stats.signed_rank_interval(list(range(10)), 4, 4 / 16), (1, 8))
        self.assertIsNone(stats.signed_rank_interval(list(range(10)), 4, 1 / 16))


class Basis(unittest.TestCase):
    def test_disturbed_rounds_do_not_count_for_wall_time(self):
        runs = measured(random.Random(1), drift, 20, names=["hakmem", "glibc"])
        for run in runs["hakmem"][:12]:
            run["disturbed"] = True
        found = concluded(runs)
        self.assertEqual((len(found.one.rounds_counted("wall")), len(found.one.rounds_counted("cpu"))), (8, 20))

    def test_disturbed_runs_lead_to_fewer_verdicts(self):
        """The more are disturbed the fewer verdicts about wall time there are, and in the end none, also of a program
        that takes twice the time."""
        told = []
        for part in (0, 0.15, 0.35, 1):
            chance = random.Random(11)
            told.append(sum(concluded(measured(chance, gauss, 20, {"hakmem": 1.12}, disturbed=part)).told("wall")
                            for _ in range(30)))
        self.assertEqual(sorted(told, reverse=True), told)
        self.assertEqual(told[-1], 0)
        self.assertGreater(told[0], 30)

    def test_processor_time_judges_then(self):
        found = concluded(measured(random.Random(12), drift, 20, {"hakmem": 1.3}, disturbed=1))
        self.assertEqual(found.time, "cpu")
        self.assertIn("minor_faults", found.figures())
        self.assertRegex(telling.heading({"rounds": 20}, found, "cpu"),
                         "processor time, since only 0 of 20 rounds had the machine for themselves")
        self.assertEqual(telling.rankings(found)[0].split(":")[0], "Least processor time")
        self.assertEqual(concluded(measured(random.Random(12), drift, 20)).time, "wall")

    def test_the_closer_one_where_neither_tells(self):
        """So that it is the one that more rounds would tell."""
        runs = measured(random.Random(21), bimodal, 12, names=["hakmem", "glibc"])
        for some in runs.values():
            for run in some:
                run["metrics"]["wall"] = run["metrics"]["cpu"] ** 3
        found = concluded(runs)
        self.assertEqual((found.told("wall"), found.told("cpu"), found.time), (0, 0, "cpu"))

    def test_a_failed_round_counts_for_nobody(self):
        runs = measured(random.Random(13), drift, 12, names=["hakmem", "glibc"])
        del runs["hakmem"][3]
        self.assertEqual(len(concluded(runs).one.compared("cpu", ("hakmem", "glibc"))[0]), 11)


class Advice(unittest.TestCase):
    def advice(self, **costs):
        def still(chance, _):
            return chance.gauss(1, 0.003)
        runs = measured(random.Random(14), still, 14, names=["hakmem", "glibc", "mimalloc"])
        for name, (time, memory) in costs.items():
            for run in runs[name]:
                run["metrics"]["wall"] *= time
                run["metrics"]["peak"] *= memory
        return concluded(runs).advice()

    def test_all_kinds(self):
        for costs, outcome, line in (
                ({}, "same", "keep glibc: it makes no difference"),
                ({"hakmem": (0.8, 1)}, "better", "hakmem instead of glibc: 20 % less wall time"),
                ({"hakmem": (0.8, 1), "mimalloc": (0.7, 1)}, "better", "mimalloc instead of glibc"),
                ({"hakmem": (0.8, 1), "mimalloc": (0.7, 2)}, "better", "hakmem instead of glibc"),
                ({"hakmem": (1, 0.5)}, "better", "50 % less peak memory"),
                ({"hakmem": (1.2, 1), "mimalloc": (1, 3)}, "worse", "keep glibc: none of the others"),
                ({"mimalloc": (0.5, 3)}, "trade", "keep glibc: which of the others takes less time takes more memory")):
            found = self.advice(**costs)
            self.assertEqual(found[0], outcome, found)
            self.assertIn(line, found[2])

    def test_what_cannot_be_told(self):
        runs = measured(random.Random(15), bimodal, 11)
        self.assertRegex(concluded(runs).advice()[2], r"^keep glibc: cannot tell whether another is better \(-n \d+ "
                                                      r"would probably tell\)$")

    def test_who_does_something_else_is_no_advice(self):
        runs = measured(random.Random(16), drift, 20, {"hakmem": 0.5})
        self.assertEqual(concluded(runs, apart=["hakmem"]).outcome(), "same")

    def test_words(self):
        def said(ratio, kind="time", **more):
            return verdicts.in_words(stats.Comparison(ratio, ratio, ratio, **{"differs": True, **more}), kind, "glibc")
        self.assertEqual(said(0.8), "20 % less than glibc")
        self.assertEqual(said(0.25), "75 % less than glibc")
        self.assertEqual(said(1.2, "count"), "20 % more than glibc")
        self.assertEqual(said(0.85, "count"), "15 % fewer than glibc")
        self.assertEqual(said(3.1), "3.10 times that of glibc")
        self.assertEqual(said(1.0, differs=False, bounds=0.025), "no difference beyond 2.5 %")
        self.assertEqual(said(1.2, differs=False, needed=60), "cannot tell; some 60 rounds would")
        self.assertEqual(said(1.2, differs=False, needed=6000), "cannot tell, nor would 1000 rounds")
        self.assertEqual(said(1.2, differs=False, enough=False), "too few rounds to tell")


class Conditions(unittest.TestCase):
    def test_what_is_taken(self):
        self.assertEqual(conditions.parse("rss > 1.05 * glibc")[1:], ("hakmem", "peak", ">", 1.05, "glibc"))
        self.assertEqual(conditions.parse(" mimalloc.time<=glibc ")[1:], ("mimalloc", "time", "<=", 1, "glibc"))
        self.assertEqual(conditions.parse("faults>2*je-malloc")[1:], ("hakmem", "minor_faults", ">", 2, "je-malloc"))

    def test_what_is_not(self):
        for text in ("", "rss", "rss > 1.05", "rss > 0 * glibc", "rss == glibc", "rss > -1 * glibc", "size > glibc",
                     "rss > 1e9 * glibc", "rss > 1.05 * glibc; true", "__import__('os')", "rss > glibc.rss",
                     "rss > 1.05 * glibc or 1", "rss\n>\n\0glibc"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=text):
                conditions.parse(text)

    def holds(self, text, runs, among=1):
        return conditions.answer(conditions.parse(text), concluded(runs), among)

    def test_answers(self):
        runs = measured(random.Random(17), drift, 12, {"hakmem": 1.2}, ["hakmem", "glibc"])
        for text, holds in (("rss > 1.05 * glibc", True), ("rss < 1.05 * glibc", False), ("rss > 1.2 * glibc", None),
                            ("rss > 1.4 * glibc", False), ("time > glibc", True), ("glibc.time > hakmem", False),
                            ("glibc.cpu < hakmem", True), ("faults >= 1.1 * glibc", True), ("idle > glibc", None),
                            ("instructions > glibc", None)):
            self.assertEqual(self.holds(text, runs).holds, holds, text)
        self.assertEqual(self.holds("idle > glibc", runs).reason,
                         "there is no memory after idle time of hakmem and glibc")
        self.assertAlmostEqual(self.holds("rss > glibc", runs).ratio, 1.2, 1)

    def test_too_few(self):
        runs = measured(random.Random(18), drift, 5, {"hakmem": 3}, ["hakmem", "glibc"])
        self.assertTrue(self.holds("rss > glibc", runs).holds)
        self.assertEqual(self.holds("rss > glibc", runs, among=2)[1:4:2],
                         (None, "it takes 6 rounds at least, and there are 5"))
        for run in runs["glibc"]:
            run["disturbed"] = True
        self.assertEqual(self.holds("wall > glibc", runs).reason,
                         "it takes 5 undisturbed rounds at least, and there are 0")

    def test_equals_seldom_fail(self):
        for noise in NOISES:
            chance = random.Random(19)
            count = 0
            for _ in range(TRIALS):
                found = concluded(measured(chance, noise, 10, names=["hakmem", "glibc"], disturbed=0.1))
                wanted = [conditions.parse("time > glibc"), conditions.parse("rss > glibc")]
                count += any(one.holds for one in conditions.answers_of(wanted, found))
            self.assertLessEqual(count, FALSE_MOST, noise.__name__)


class Interrupted(unittest.TestCase):
    """In its first round, when only some allocators had their turn."""

    def advice(self, *measured_names, failed=()):
        found = concluded(measured(random.Random(1), bimodal, 1, names=NAMES))
        one = found.one
        one.samples = {figure: {name: sample[name] for name in measured_names} for figure, sample in one.samples.items()}
        one.failures = {name: fixture.FAILED for name in failed}
        return verdicts.Verdicts(one).advice()[2]

    def test_the_programs_own_allocator_is_not_called_another(self):
        self.assertTrue(self.advice("mimalloc").startswith("keep glibc: these runs were too few to tell"))
        self.assertTrue(self.advice("hakmem", "mimalloc").startswith("keep glibc: "))

    def test_where_its_own_fails_the_first_other_takes_its_place(self):
        others = [name for name in NAMES if name != "glibc"]
        self.assertTrue(self.advice(*others, failed=["glibc"]).startswith("keep hakmem: "))
        self.assertEqual(self.advice("hakmem", failed=[name for name in NAMES if name != "hakmem"]),
                         "keep hakmem: there is nothing to compare it with")


class Columns(unittest.TestCase):
    """Whatever the names and figures are, 80 columns hold them."""

    def test_everything_fits(self):
        names = ["hakmem", "glibc", "a-library-with-a-very-long-name-of-its-own", "mimalloc", "x" * 40]
        chance = random.Random(20)
        for costs in ({}, {"hakmem": 123456.789}, {"glibc": 1e-3}):
            runs = measured(chance, bimodal, 14, costs, names, disturbed=0.1)
            for some in runs.values():
                for run in some:
                    run["metrics"] |= {"instructions": 1.23e11, "idle": 5e9, "value": run["metrics"]["wall"]}
            results = {"rounds": 14, "interrupted": False, "subject": "hakmem", "rows": [
                {**fixture.row("program", "time", {}), "runs": runs}],
                "allocators": [{"name": name} for name in names],
                "demands": verdicts.demands_for(names, 5, 0.05)._asdict()}
            one = summary.summarize(results)[0]
            one.info["libraries"] = {name: "/usr/lib/x.so" for name in names}
            found = verdicts.Verdicts(one)
            answers = [conditions.answer(conditions.parse("rss > 1.05 * glibc"), found, 1)]

            class Row:
                argv, plan, output_varies = ["p", "argument " * 40, "\x1b[2J"], None, True
                answers = {"glibc": [{"malloc": ["/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"]}]}
            parts = telling.measured_text(results, telling.Said(found, [], answers, 0), Row)
            lines = "\n\n".join(parts).split("\n")
            self.assertGreater(len(lines), 40)
            self.assertEqual([line for line in lines if len(line) > 80 or "\x1b" in line], [])
            for name in names:
                self.assertIn(name[:15], "\n".join(lines))
            self.assertEqual(set(metrics.METRICS) & set(one.samples), set(one.samples))
            self.assertFalse(math.isnan(found.versus("peak", "hakmem").ratio))
            self.assertIn(words.percent_plain(0.05), "\n".join(lines))


if __name__ == "__main__":
    unittest.main()
