"""The statistics of the lab, and the only place where there are any: medians, bootstrap intervals, comparisons.

A sample is a list of numbers, one for each round. Two samples of the same length are paired: their i-th numbers were
measured one right after the other, so that whatever drifts over the minutes of a benchmark touches both alike.
Everything here is computed from the samples and a fixed seed: the same results always give the same report.
SPDX-License-Identifier: MIT"""
import functools
import itertools
import math
import random
from typing import NamedTuple

CONFIDENCE = 0.95
RESAMPLES = 2000
# With fewer rounds than this, samples that differ throughout do so by chance too often for a verdict.
ENOUGH_ROUNDS = 5
# Differences that no user would notice are not put into words, however certain they are.
SMALLEST_DIFFERENCE = 0.01
# When the interval of what may be no difference reaches further than this, it may as well be a large one.
WIDEST_OF_NONE = 0.1
SEED = 20250101


class Figure(NamedTuple):
    """A median, the interval it lies in with CONFIDENCE, and how many numbers it was made from."""
    median: float
    low: float
    high: float
    count: int


class Comparison(NamedTuple):
    """The ratio of two medians with its interval. `differs` is false when there is no difference to speak of, `enough`
    is false when there were too few rounds to tell."""
    ratio: float
    low: float
    high: float
    differs: bool
    enough: bool = True

    def is_vague(self):
        """Whether neither a difference was found nor that there is none."""
        return not self.differs and not 1 / (1 + WIDEST_OF_NONE) <= self.low <= self.high <= 1 + WIDEST_OF_NONE


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval(outcomes, confidence=CONFIDENCE):
    """The middle part of what a bootstrap gave: [(value, weight)] in any order."""
    ordered = sorted(outcomes)
    total = sum(weight for _, weight in ordered)
    low, high = total * (1 - confidence) / 2, total * (1 + confidence) / 2
    return quantile_weighted(ordered, low), quantile_weighted(ordered, high)


def quantile_weighted(ordered, rank):
    """The first value with at least `rank` of weight up to and with it."""
    reached = 0
    for value, weight in ordered:
        reached += weight
        if reached >= rank:
            break
    return value


@functools.lru_cache(maxsize=None)
def resamples(count):
    """Ways to draw `count` indices with replacement, as [(indices, weight)]: all of them while these are few, with how
    many orders each has, and otherwise a random choice, the same one every time."""
    if math.comb(2 * count - 1, count) <= RESAMPLES:
        return [(indices, orders(indices)) for indices in itertools.combinations_with_replacement(range(count), count)]
    generator = random.Random(SEED + count)
    return [(tuple(generator.choices(range(count), k=count)), 1) for _ in range(RESAMPLES)]


def orders(indices):
    """In how many orders these indices can be drawn."""
    return math.factorial(len(indices)) // math.prod(math.factorial(indices.count(i)) for i in set(indices))


def resampled_medians(values):
    return [(median([values[i] for i in indices]), weight) for indices, weight in resamples(len(values))]


def figure(values):
    if min(values) == max(values):
        return Figure(median(values), min(values), max(values), len(values))
    return Figure(median(values), *interval(resampled_medians(values)), len(values))


def quotient(a, b):
    """a / b where both may be 0, as counts of page faults may."""
    if b == 0:
        return 1.0 if a == 0 else math.inf
    return a / b


def resampled_ratios(a, b):
    """[(ratio of medians, weight)]. Paired samples are drawn round by round, others independently of each other."""
    if len(a) == len(b):
        return [(quotient(median([a[i] for i in indices]), median([b[i] for i in indices])), weight)
                for indices, weight in resamples(len(a))]
    left, right = (drawn(resampled_medians(values), SEED + side) for side, values in enumerate((a, b)))
    return [(quotient(x, y), 1) for x, y in zip(left, right)]


def drawn(outcomes, seed):
    """RESAMPLES random ones of weighted outcomes."""
    values, weights = zip(*outcomes)
    return random.Random(seed).choices(values, weights, k=RESAMPLES)


def compare(a, b, confidence=CONFIDENCE, smallest=SMALLEST_DIFFERENCE, exact=False):
    """How a compares with b: median(a) / median(b). They differ only when the interval leaves 1 out. `exact` figures
    come out the same every time, so that one of each is enough."""
    ratio = quotient(median(a), median(b))
    low, high = interval(resampled_ratios(a, b), confidence)
    # A resample never goes beyond the sample, so that an interval may miss the ratio itself by a rounding.
    low, high = min(low, ratio), max(high, ratio)
    enough = exact or min(len(a), len(b)) >= ENOUGH_ROUNDS
    differs = enough and not low <= 1 <= high and abs(math.log(ratio or math.inf)) >= math.log1p(smallest)
    return Comparison(ratio, low, high, differs, enough)


def geometric_mean(values):
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def geometric_comparison(pairs):
    """The geometric mean of the ratios of many rows, each a pair of samples, with its interval: the rows are taken as
    given (they are no random choice of all programs), only their rounds are drawn."""
    usable = [(a, b) for a, b in pairs if median(a) > 0 and median(b) > 0]
    if not usable:
        return None
    ratio = geometric_mean([median(a) / median(b) for a, b in usable])
    # Each row with draws of its own: shared ones would move all rows together and widen the interval for nothing.
    columns = [drawn([outcome for outcome in resampled_ratios(a, b) if 0 < outcome[0] < math.inf], SEED + number)
               for number, (a, b) in enumerate(usable)]
    means = [(geometric_mean(values), 1) for values in zip(*columns)]
    low, high = interval(means)
    low, high = min(low, ratio), max(high, ratio)
    enough = min(len(sample) for pair in usable for sample in pair) >= ENOUGH_ROUNDS
    return Comparison(ratio, low, high, enough and not low <= 1 <= high, enough)
