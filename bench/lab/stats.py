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
    """A ratio with its interval. `differs` is false when there is no difference to speak of, `enough` is false when
    there were too few rounds to tell. No difference is what lies within `bounds` around 1. `needed`: how many rounds
    would probably tell, where these did not and an estimate can be made."""
    ratio: float
    low: float
    high: float
    differs: bool
    enough: bool = True
    bounds: float = WIDEST_OF_NONE
    needed: int | None = None

    def is_vague(self):
        """Whether neither a difference was found nor that there is none."""
        return not self.differs and not (self.enough and 1 / (1 + self.bounds) <= self.low
                                         and self.high <= 1 + self.bounds)


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


# ---- Judgements that hold together -----------------------------------------------------------------------------------
# For `hakmem compare`. What runs in one round are neighbours, in a random order: were two allocators the same, each
# ratio of neighbours would be as likely above 1 as below, as far as it is. So the signs of the logarithms would be
# those of coins, whatever the noise is like (a few very slow runs, two kinds of runs, a drift over the minutes), and
# the signed ranks say how unlikely the signs are: exactly, and not only for many rounds.


FAMILY_ERROR = 0.05


class Demands(NamedTuple):
    """error: how often, at most, any of `family` comparisons may show a difference that is none. bounds: within these
    around 1 a ratio is no difference."""
    family: int
    bounds: float
    error: float = FAMILY_ERROR

    def error_of_one(self):
        return self.error / self.family

    def rounds_least(self):
        return rounds_least(self.error_of_one() / 2)


def rounds_least(error):
    """With fewer, even signs that all agree on one side are likelier by chance."""
    return math.ceil(math.log2(1 / error))


# How likely it is, at most, that "no difference" is said of a difference beyond the bounds: of either bound, so that
# the interval that has to lie within them misses on both sides together twice as often.
EQUIVALENCE_ERROR = 0.05
# How many times the rounds that an estimate gives are asked for: half of all estimates are too low.
NEEDED_RESERVE = 1.4
# Who would need more has a question that timing does not answer.
ROUNDS_SENSIBLE = 1000


@functools.lru_cache(maxsize=None)
def signed_rank_chances(count):
    """chances[k]: that the sum of the ranks with a positive sign, of `count` random signs, is k at most."""
    ways = [1]
    for rank in range(1, count + 1):
        ways = [a + b for a, b in itertools.zip_longest(ways, [0] * rank + ways, fillvalue=0)]
    return [reached / 2 ** count for reached in itertools.accumulate(ways)]


def signed_rank_interval(means, count, error):
    """Of the sorted means of all pairs of `count` numbers: what misses the middle that they are symmetric around with
    this probability at most; None when there is no such interval."""
    chances = signed_rank_chances(count)
    outside = next((place for place, chance in enumerate(chances) if 2 * chance > error), len(means) // 2)
    return (means[outside - 1], means[-outside]) if outside else None


def pair_means(values):
    return sorted((values[i] + values[j]) / 2 for i in range(len(values)) for j in range(i + 1))


def judge(a, b, demands):
    """How a compares with b, round by round: the middle of the ratios. They differ when the interval of all of the
    family's comparisons together leaves 1 out. No difference is shown when an interval of this comparison alone lies
    within the bounds. The interval given is the one that the verdict rests on."""
    count = min(len(a), len(b))
    if count == 0 or min(*a, *b) <= 0:
        return Comparison(quotient(median(a), median(b)) if a and b else 1, 0, math.inf, False, False, demands.bounds)
    means = pair_means([math.log(x / y) for x, y in zip(a, b)])
    middle, limit = median(means), math.log1p(demands.bounds)
    narrow = signed_rank_interval(means, count, 2 * EQUIVALENCE_ERROR)
    wide = signed_rank_interval(means, count, demands.error_of_one())
    if not wide:
        return Comparison(math.exp(middle), math.exp(means[0]), math.exp(means[-1]), False, False, demands.bounds,
                          demands.rounds_least())
    if -limit <= narrow[0] and narrow[1] <= limit:
        return Comparison(*map(math.exp, (middle, *narrow)), False, True, demands.bounds)
    if not wide[0] <= 0 <= wide[1]:
        return Comparison(*map(math.exp, (middle, *wide)), True, True, demands.bounds)
    return Comparison(*map(math.exp, (middle, *wide)), False, True, demands.bounds,
                      rounds_needed(count, middle, narrow, wide, limit))


def rounds_needed(count, middle, narrow, wide, limit):
    """Intervals shrink with the root of the rounds: how many it takes until 1, or a bound, is out of their reach.
    About, and upwards; None when nothing can be said."""
    found = []
    for interval_, room in ((wide, abs(middle)), (narrow, limit - abs(middle))):
        if room > 0:
            found.append(count * ((interval_[1] - interval_[0]) / 2 / room) ** 2)
    if not found:
        return None
    rounds = max(count + 1, math.ceil(NEEDED_RESERVE * min(found)))
    step = 10 ** max(0, len(str(rounds)) - 2)
    return -(-rounds // step) * step


def is_beyond(a, b, factor, error):
    """Whether a / b is above the factor (True), below it (False), or neither can be told (None), at this error on
    either side."""
    count = min(len(a), len(b))
    if count == 0 or min(*a, *b) <= 0:
        return None
    means = pair_means([math.log(x / y / factor) for x, y in zip(a, b)])
    found = signed_rank_interval(means, count, 2 * error)
    return True if found and found[0] > 0 else False if found and found[1] < 0 else None
