"""What `hakmem compare` concludes: each allocator against the program's own, in time, memory and page faults, what that
rests on, which is best, and what to do. Pure: the same figures always give the same words.
SPDX-License-Identifier: MIT"""
import math

import allocators
import stats
import words

# The figures that are judged, where they were measured: all their comparisons make one family, so that the one that a
# verdict rests on can be chosen after a look at them.
JUDGED = ("wall", "cpu", "peak", "idle", "minor_faults")
# What "less" is a percentage of.
TIME_WORDS = {"wall": "wall time", "cpu": "processor time"}


def demands_for(names, figures, bounds):
    """On a comparison of these allocators by so many figures."""
    pairs = len(names) * (len(names) - 1) // 2
    return stats.Demands(max(1, pairs) * figures, bounds)


class Verdicts:
    """Of one summary.RowSummary. `apart`: allocators on which the program does something else, which are in no ranking
    and no advice. own: what the program's own allocator is called in an advice."""

    def __init__(self, one, apart=(), own=allocators.LIBC):
        self.one, self.demands = one, one.demands
        measured = [name for name in one.allocators if name in one.samples.get("wall", {})]
        self.names = sorted(measured, key=lambda name: name != allocators.LIBC)
        self.baseline = self.names[0] if self.names else None
        # Where the program fails on its own allocator, the first of the others takes its place.
        self.own = self.baseline if allocators.LIBC in one.failures and self.names else own
        self.ranked = [name for name in self.names if name not in apart]
        self.kept = {}
        self.time = self.time_choose()
        self.memory = [name for name in ("peak", "idle") if name in one.samples]

    def rivals(self, ranked=False):
        return [name for name in (self.ranked if ranked else self.names) if name != self.baseline]

    def versus(self, figure, name, other=None):
        """A comparison with the program's own allocator, or another one."""
        key = figure, name, other or self.baseline
        if key not in self.kept:
            self.kept[key] = self.one.compare(*key)
        return self.kept[key]

    def is_told(self, figure, name):
        found = self.versus(figure, name)
        return found.enough and not found.is_vague()

    def told(self, figure):
        """How many of the rivals can be told from the program's own allocator, or shown to be like it."""
        return sum(self.is_told(figure, name) for name in self.rivals())

    def time_choose(self):
        """Wall time is what people wait for, but other programs, and what a virtual machine hides, prolong it: where it
        does not tell, or too few rounds count, and processor time does better, that is what is judged."""
        if "cpu" not in self.one.samples:
            return "wall"
        wall, cpu = ((self.told(figure), self.enough(figure)) for figure in ("wall", "cpu"))
        is_closer = wall[0] < len(self.rivals()) and self.spread("cpu") < self.spread("wall") / 2
        return "cpu" if cpu > wall or (cpu == wall and is_closer) else "wall"

    def spread(self, figure):
        """How wide the intervals are, together."""
        found = [self.versus(figure, name) for name in self.rivals()]
        return sum(math.log(one.high / one.low) if one.low > 0 else math.inf for one in found)

    def enough(self, figure):
        return all(self.versus(figure, name).enough for name in self.rivals())

    def needs_faults(self):
        """Page faults hold still where times do not: judged where time is not told, or only by a substitute."""
        return "minor_faults" in self.one.samples and (self.time != "wall" or self.told("wall") < len(self.rivals()))

    def figures(self):
        return [self.time, *self.memory, *(["minor_faults"] if self.needs_faults() else [])]

    # ---- What is best --------------------------------------------------------------------------------------------

    def best(self, figure):
        """The one with the least, with those that it cannot be told from, and whether these are shown to be alike."""
        order = sorted(self.ranked, key=lambda name: stats.median(self.one.samples[figure][name]))
        compared = {name: self.versus(figure, order[0], name) for name in order[1:]}
        best = order[:1] + [name for name in order[1:] if not compared[name].differs]
        return best, not any(compared[name].is_vague() for name in best[1:])

    def is_better(self, name):
        """In one thing at least, and worse in none, as far as can be told."""
        found = [self.versus(figure, name) for figure in (self.time, *self.memory)]
        return any(one.differs and one.ratio < 1 for one in found) and not self.is_worse(name)

    def is_worse(self, name):
        return any(one.differs and one.ratio > 1
                   for one in (self.versus(figure, name) for figure in (self.time, *self.memory)))

    def needed(self):
        """How many rounds would probably tell all that these did not; None when nothing can be said."""
        open_ones = [self.versus(figure, name) for figure in (self.time, *self.memory) for name in self.rivals(True)]
        rounds = [one.needed for one in open_ones if one.is_vague()]
        return None if not rounds or None in rounds else max(rounds)

    def outcome(self):
        """better, trade, same, worse, open or few: what can be said of the program's own allocator and the others."""
        rivals = self.rivals(ranked=True)
        found = [self.versus(figure, name) for figure in (self.time, *self.memory) for name in rivals]
        if not found:
            return "few" if set(self.one.allocators) - set(self.names) - set(self.one.failures) else "alone"
        if any(self.is_better(name) for name in rivals):
            return "better"
        if not any(one.enough for one in found):
            return "few"
        if any(one.is_vague() for one in found):
            return "open"
        if any(one.differs and one.ratio < 1 for one in found):
            return "trade"
        return "worse" if any(one.differs for one in found) else "same"

    def advice(self):
        """(a line to paste, or what is to be kept; why)"""
        outcome = self.outcome()
        if outcome == "better":
            choice = min(filter(self.is_better, self.rivals(ranked=True)), key=self.rank)
            return outcome, choice, f"{choice} instead of {self.baseline}: {self.profit(choice)}"
        return outcome, None, f"keep {self.own}: " + {
            "same": "it makes no difference",
            "worse": "none of the others takes less time or memory",
            "trade": "which of the others takes less time takes more memory, or the reverse",
            "few": f"these runs were too few to tell (-n {self.demands.rounds_least()} at least)",
            "open": "cannot tell whether another is better" + self.more_runs(),
            "alone": "there is nothing to compare it with",
        }[outcome]

    def more_runs(self):
        needed = self.needed()
        if needed is None:
            return ""
        return f" (-n {needed} would probably tell)" if needed <= stats.ROUNDS_SENSIBLE else (
            f" (not with {stats.ROUNDS_SENSIBLE} runs, either)")

    def rank(self, name):
        """The fastest of those that are faster, or else the smallest."""
        time = self.versus(self.time, name)
        memory = self.versus(self.memory[0], name).ratio if self.memory else 1
        return (0, time.ratio) if time.differs else (1, memory)

    def profit(self, name):
        parts = []
        for figure in (self.time, *self.memory):
            found = self.versus(figure, name)
            if found.differs:
                parts.append(f"{amount(found, self.kind(figure))} {self.title(figure)}")
        return words.listing(parts)

    def title(self, figure):
        return TIME_WORDS.get(figure) or self.one.metric(figure).title

    def kind(self, figure):
        return self.one.metric(figure).kind


def amount(comparison, kind):
    """Of one that differs: "12 % less", "3.1 times that"; what follows is what, or of whom."""
    if comparison.ratio >= words.MANY:
        return f"{words.multiple(comparison.ratio)} times that"
    less, more = ("fewer", "more") if kind == "count" else ("less", "more")
    return f"{words.percent(comparison.ratio - 1)} {less if comparison.ratio < 1 else more}"


def in_words(comparison, kind, other):
    """A whole verdict, without its interval."""
    if comparison.differs:
        return f"{amount(comparison, kind)} {'of' if comparison.ratio >= words.MANY else 'than'} {other}"
    if not comparison.is_vague():
        return f"no difference beyond {words.percent_plain(comparison.bounds)}"
    if not comparison.enough:
        return "too few rounds to tell"
    if comparison.needed is None:
        return "cannot tell"
    if comparison.needed > stats.ROUNDS_SENSIBLE:
        return f"cannot tell, nor would {stats.ROUNDS_SENSIBLE} rounds"
    return f"cannot tell; some {comparison.needed} rounds would"


def word(comparison):
    """The same for programs."""
    if comparison.differs:
        return "less" if comparison.ratio < 1 else "more"
    return "cannot tell" if comparison.is_vague() else "no difference"
