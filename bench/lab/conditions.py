"""What `hakmem compare --fail-if` takes: a metric, a comparison, a factor and an allocator, and nothing else.

    rss > 1.05 * glibc        hakmem's memory is shown to be more than 1.05 times that of glibc
    mimalloc.time >= glibc    another allocator's, and without a factor
SPDX-License-Identifier: MIT"""
import argparse
import re
from typing import NamedTuple

import allocators
import stats

# Word -> the figure; "time" is the one that the verdict about time rests on.
METRICS = {"time": "time", "wall": "wall", "cpu": "cpu", "rss": "peak", "peak": "peak", "idle": "idle",
           "faults": "minor_faults", "instructions": "instructions"}
GRAMMAR = re.compile(r"""\s* (?: (?P<subject> [\w+-]+ ) \. )? (?P<metric> [a-z]+ ) \s* (?P<sign> [<>]=? ) \s*
                         (?: (?P<factor> \d+ (?: \.\d+ )? ) \s* \* \s* )?
                         (?P<other> [A-Za-z_] [\w+-]* ) \s*""", re.VERBOSE)
# Of all conditions together: how often one that does not hold is said to.
ERROR = 0.05


class Condition(NamedTuple):
    text: str
    subject: str
    metric: str
    sign: str
    factor: float
    other: str

    def names(self):
        return self.subject, self.other


class Answer(NamedTuple):
    """holds is None when it cannot be told, for the reason."""
    condition: Condition
    holds: bool | None
    ratio: float | None
    reason: str


def parse(text):
    """argparse shows the texts of these errors."""
    match = GRAMMAR.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"takes a condition such as 'rss > 1.05 * glibc', not '{text}'")
    if match["metric"] not in METRICS:
        raise argparse.ArgumentTypeError(f"knows {', '.join(METRICS)}, not '{match['metric']}'")
    factor = float(match["factor"] or 1)
    if factor == 0:
        raise argparse.ArgumentTypeError("takes a factor above 0")
    return Condition(text.strip(), match["subject"] or allocators.SUBJECT, METRICS[match["metric"]], match["sign"],
                     factor, match["other"])


def answers_of(wanted, verdicts):
    """To all conditions. One about time counts twice, since its figure is one of two, chosen after a look at them."""
    among = sum(2 if condition.metric == "time" else 1 for condition in wanted)
    return [answer(condition, verdicts, among) for condition in wanted]


def answer(condition, verdicts, among):
    """A condition holds when the figures show it, not when a median happens to be on that side. `among`: how many
    conditions share the error."""
    figure = verdicts.time if condition.metric == "time" else condition.metric
    one, basis = verdicts.one, verdicts.title(figure)
    missing = [name for name in condition.names() if name not in one.samples.get(figure, {})]
    if missing:
        return Answer(condition, None, None, f"there is no {basis} of {' and '.join(missing)}")
    pair = one.compared(figure, condition.names())
    least = stats.rounds_least(ERROR / among)
    if len(pair[0]) < least:
        why = "undisturbed rounds" if len(one.samples[figure][condition.subject]) >= least else "rounds"
        return Answer(condition, None, None, f"it takes {least} {why} at least, and there are {len(pair[0])}")
    is_beyond = stats.is_beyond(*pair, condition.factor, ERROR / among)
    ratio = verdicts.versus(figure, *condition.names()).ratio
    if is_beyond is None:
        return Answer(condition, None, ratio, f"{basis} varies too much")
    return Answer(condition, is_beyond == condition.sign.startswith(">"), ratio, f"by {basis}")
