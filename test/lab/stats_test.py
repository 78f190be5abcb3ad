#!/usr/bin/env python3
"""The statistics and the words of the lab, on data whose answers are known.
SPDX-License-Identifier: MIT"""
import math
import random
import unittest

import fixture  # noqa: F401 (it makes the lab importable)
import charts
import metrics
import stats
import words


class Medians(unittest.TestCase):
    def test_median(self):
        self.assertEqual(stats.median([3, 1, 2]), 2)
        self.assertEqual(stats.median([4, 1, 3, 2]), 2.5)

    def test_interval(self):
        """Of a hundred equally likely outcomes, the middle ninety-five."""
        self.assertEqual(stats.interval([(i, 1) for i in range(1, 101)]), (3, 98))
        self.assertEqual(stats.interval([(3, 1), (1, 98), (2, 1)]), (1, 1))

    def test_resamples_are_all_when_there_are_few(self):
        """Three indices can be drawn in 27 ways."""
        found = dict(stats.resamples(3))
        self.assertEqual((sum(found.values()), found[0, 0, 0], found[0, 0, 1], found[0, 1, 2]), (27, 1, 3, 6))
        self.assertEqual(len(stats.resamples(12)), stats.RESAMPLES)

    def test_bootstrap_of_a_median_is_exact(self):
        """The median of a resample of 5 is the least with the chance of 3, 4 or 5 picks of it."""
        outcomes = stats.resampled_medians([1, 2, 3, 4, 5])
        least = sum(weight for value, weight in outcomes if value == 1) / 5 ** 5
        self.assertAlmostEqual(least, sum(math.comb(5, k) * 0.2 ** k * 0.8 ** (5 - k) for k in (3, 4, 5)))

    def test_figure_of_equal_values_has_no_width(self):
        self.assertEqual(stats.figure([7, 7, 7]), (7, 7, 7, 3))

    def test_figure_of_five_spans_them(self):
        """A median of five lies between the least and the most with 94 %."""
        self.assertEqual(stats.figure([5, 1, 4, 2, 3]), (3, 1, 5, 5))

    def test_figure_narrows_with_more_rounds(self):
        few, many = (stats.figure([100 + i % 10 for i in range(count)]) for count in (10, 100))
        self.assertLess(many.high - many.low, few.high - few.low)

    def test_the_same_every_time(self):
        sample = [1.0, 1.1, 0.9, 1.05, 1.2, 1.0]
        self.assertEqual(stats.figure(sample), stats.figure(sample))


class Coverage(unittest.TestCase):
    def covered(self, rounds):
        """In how many of 300 experiments the interval holds the median that the numbers were drawn around."""
        generator = random.Random(7)
        hits = 0
        for _ in range(300):
            found = stats.figure([generator.gauss(100, 5) for _ in range(rounds)])
            hits += found.low <= 100 <= found.high
        return hits

    def test_interval_of_median(self):
        self.assertGreaterEqual(self.covered(5), 0.90 * 300)
        self.assertGreaterEqual(self.covered(11), 0.90 * 300)

    def test_no_difference_is_rarely_seen_where_there_is_none(self):
        generator = random.Random(8)
        false = sum(
            stats.compare([generator.gauss(100, 5)
                           for _ in range(7)], [generator.gauss(100, 5)
                                                for _ in range(7)]).differs
            for _ in range(300))
        self.assertLessEqual(false, 0.10 * 300)

    def test_a_difference_is_seen_where_there_is_one(self):
        generator = random.Random(9)
        seen = sum(
            stats.compare([generator.gauss(120, 5)
                           for _ in range(5)], [generator.gauss(100, 5)
                                                for _ in range(5)]).differs
            for _ in range(100))
        self.assertGreaterEqual(seen, 90)


class Comparisons(unittest.TestCase):
    def test_ratio(self):
        found = stats.compare([2.0] * 5, [1.0] * 5)
        self.assertEqual((found.ratio, found.low, found.high, found.differs), (2, 2, 2, True))

    def test_equal(self):
        self.assertFalse(stats.compare([1.0] * 5, [1.0] * 5).differs)

    def test_none_is_no_multiple(self):
        """Of page faults, say."""
        for own, other, expected in ((0, 20, "0, fewer than glibc"), (20, 0, "more than the 0 of glibc")):
            found = stats.compare([own] * 5, [other] * 5)
            self.assertEqual(words.verdict(found, "glibc", "count"), expected)

    def test_below_one_percent_is_no_difference(self):
        self.assertFalse(stats.compare([1.009] * 5, [1.0] * 5).differs)
        self.assertTrue(stats.compare([1.011] * 5, [1.0] * 5).differs)

    def test_overlapping(self):
        self.assertFalse(stats.compare([1, 2, 3, 4, 5], [1.1, 2.1, 2.9, 4.2, 4.8]).differs)

    def test_pairs_remove_drift(self):
        """Both grow fourfold over the rounds, and one is always 5 % above the other."""
        slow = [1.05 * 1.5 ** i for i in range(7)]
        found = stats.compare(slow, [1.5 ** i for i in range(7)])
        self.assertTrue(found.differs)
        self.assertAlmostEqual(found.low, 1.05)
        self.assertAlmostEqual(found.high, 1.05)

    def test_samples_of_different_lengths(self):
        found = stats.compare([2.0, 2.1, 1.9, 2.0, 2.05, 1.95], [1.0, 1.1, 0.9, 1.0, 1.0])
        self.assertTrue(found.differs)
        self.assertLess(found.low, 2)
        self.assertGreater(found.high, 2)

    def test_too_few_rounds(self):
        found = stats.compare([2.0] * 4, [1.0] * 4)
        self.assertEqual((found.differs, found.enough), (False, False))
        self.assertTrue(stats.compare([2.0], [1.0], exact=True).differs)

    def test_zero(self):
        self.assertEqual(stats.compare([0] * 5, [0] * 5).ratio, 1)
        self.assertTrue(stats.compare([3] * 5, [0] * 5).differs)
        self.assertTrue(stats.compare([0] * 5, [3] * 5).differs)


class GeometricMeans(unittest.TestCase):
    def test_mean(self):
        self.assertAlmostEqual(stats.geometric_mean([1, 4]), 2)

    def test_comparison(self):
        found = stats.geometric_comparison([([2.0] * 5, [1.0] * 5), ([1.0] * 5, [2.0] * 5), ([4.0] * 5, [1.0] * 5)])
        self.assertAlmostEqual(found.ratio, 4 ** (1 / 3))
        self.assertAlmostEqual(found.low, found.high)

    def test_rows_with_zero_are_left_out(self):
        self.assertAlmostEqual(stats.geometric_comparison([([0] * 5, [1] * 5), ([3.0] * 5, [1.0] * 5)]).ratio, 3)
        self.assertIsNone(stats.geometric_comparison([([0] * 5, [1] * 5)]))

    def test_many_rows_narrow_the_interval(self):
        noisy = ([0.9, 1.0, 1.1, 0.95, 1.05], [1.0, 0.9, 1.05, 1.1, 0.95])
        one, many = stats.geometric_comparison([noisy]), stats.geometric_comparison([noisy] * 20)
        self.assertLess(many.high - many.low, (one.high - one.low) / 2)


class Words(unittest.TestCase):
    def verdict(self, ratio, kind="time", differs=True, enough=True):
        return words.verdict(stats.Comparison(ratio, ratio, ratio, differs, enough), "x", kind)

    def test_verdicts(self):
        self.assertEqual(self.verdict(0.88), "12 % less time than x")
        self.assertEqual(self.verdict(1.055), "5.5 % more time than x")
        self.assertEqual(self.verdict(0.5), "2.00 times as fast as x")
        self.assertEqual(self.verdict(3), "3.00 times as slow as x")
        self.assertEqual(self.verdict(0.25, "memory"), "4.00 times less memory than x")
        self.assertEqual(self.verdict(2, "memory"), "2.00 times the memory of x")
        self.assertEqual(self.verdict(0.8, "count"), "20 % fewer than x")
        self.assertEqual(self.verdict(1.02, differs=False), "no difference from x")
        self.assertEqual(self.verdict(2, differs=False, enough=False), "too few rounds to compare with x")

    def test_quantities(self):
        for value, unit, expected in ((1234567, "operations/s", "1.23 M operations/s"), (1536, "bytes", "1.50 KiB"),
                                      (0, "bytes", "0 B"), (12, "bytes", "12 B"), (0.0123, "s", "12.3 ms"),
                                      (75, "s", "1.25 min"), (0, "s", "0 s"), (42, "count", "42"),
                                      (47.1, "count", "47.1"), (1500, "ns, 99.9th percentile",
                                                                "1.50 µs"), (999, "count", "999"), (None, "s", "–")):
            self.assertEqual(words.quantity(value, unit), expected)
        self.assertEqual(words.quantity(1234567, "operations/s while busy", short=True), "1.23 M/s")

    def test_changes(self):
        self.assertEqual(words.change(0.88), "−12 %")
        self.assertEqual(words.change(1.034), "+3.4 %")
        self.assertEqual((words.change(9.5), words.change(123.4)), ("+850 %", "×123"))

    def test_durations(self):
        self.assertEqual([words.duration(s) for s in (-1, 59, 200, 7300)], ["0 s", "59 s", "3 min 20 s", "2 h 01 min"])

    def test_listing(self):
        self.assertEqual([words.listing(n) for n in ([], ["a"], ["a", "b", "c"])], ["nothing", "a", "a, b and c"])


class Tables(unittest.TestCase):
    def test_cost(self):
        self.assertEqual(metrics.cost(4, "higher"), 0.25)
        self.assertEqual(metrics.cost(4, "lower"), 4)
        self.assertEqual(metrics.cost(0, "higher"), math.inf)

    def test_ticks(self):
        self.assertEqual(charts.ticks_linear(9.3), [0, 2.5, 5, 7.5, 10])
        self.assertEqual(charts.ticks_bytes(300 << 20), [0, 128 << 20, 256 << 20, 384 << 20])
        self.assertEqual(charts.ticks_decades(5, 2000), [10, 100, 1000])
        for low, high in ((1.23, 1.31), (0.001, 90), (99, 101)):
            ticks = charts.ticks_between(low, high, "s")
            self.assertTrue(1 <= len(ticks) <= 5 and all(low <= tick <= high for tick in ticks), ticks)


if __name__ == "__main__":
    unittest.main()
