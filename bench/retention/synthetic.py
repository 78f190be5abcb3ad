"""Traces of programs that nobody ran: what they would do is written down, with times as on a machine that touches a MiB
in 0.3 ms. The same bytes on every machine.
SPDX-License-Identifier: MIT"""
import itertools
import random

KIB, MIB = 1 << 10, 1 << 20


class Trace:
    """Blocks are named by numbers that are never used again."""

    US_PER_MIB = 300

    def __init__(self, file):
        self.file = file
        self.us = self.written_us = 0.0
        self.names = 0

    def line(self, text):
        if self.us - self.written_us >= 100:
            self.file.write(f"@{self.us:.0f}\n")
            self.written_us = self.us
        self.file.write(text)

    def take(self, size):
        self.names += 1
        self.us += 0.05 + size * self.US_PER_MIB / MIB
        self.line(f"+{self.names:x} {size}\n")
        return self.names

    def give(self, name):
        self.us += 0.05
        self.line(f"-{name:x}\n")

    def resize(self, name, before, size):
        self.us += 0.05 + max(size - before, 0) * self.US_PER_MIB / MIB
        self.line(f"={name:x} {name:x} {size}\n")

    def rest(self, seconds):
        self.us += seconds * 1e6
        self.line("")

    def small_requests(self, seconds, rate):
        """Some small blocks come and go, as in a server that has little to do."""
        for number in range(int(seconds * rate)):
            for size in range(100, 1100, 50):
                self.give(self.take(size))
            self.rest(1 / rate)


def doubling(trace):
    """A sort: 60 MB in blocks from 8 KiB to 8 MiB, each twice the one before."""
    blocks, size, total = [], 8 * KIB, 0
    while total < 60 * MIB:
        blocks.append(trace.take(size))
        total += size
        size = min(2 * size, 8 * MIB)
    for block in blocks:
        trace.give(block)


def string(trace):
    """A string that grows to 32 MiB."""
    size = KIB
    block = trace.take(size)
    while size < 32 * MIB:
        trace.resize(block, size, 2 * size)
        size *= 2
    trace.give(block)


def single(trace, mib):
    trace.give(trace.take(mib * MIB))


def many(trace):
    blocks = [trace.take(MIB) for _ in range(40)]
    for block in blocks:
        trace.give(block)


PHASES = {"s": doubling, "r": string, "m": many,
          "q": lambda trace: single(trace, 20), "b": lambda trace: single(trace, 60)}


def phases(kinds, rounds, pause):
    def write(trace):
        for _ in range(rounds):
            for kind in kinds:
                PHASES[kind](trace)
                trace.small_requests(pause, 20)
    return write


def burst_then_small(trace):
    """Eight bursts of 200 MB, 0.3 s apart, then a minute of small requests."""
    for _ in range(8):
        blocks = [trace.take(MIB) for _ in range(200)]
        for block in blocks:
            trace.give(block)
        trace.rest(0.3)
    trace.small_requests(60, 10)


def cycle(mib, pause, times):
    """All of it in blocks of 1 to 5 KB, freed, and again after a pause."""
    def write(trace):
        dice = random.Random(1)
        for _ in range(times):
            blocks, total = [], 0
            while total < mib * MIB:
                size = 1000 + int(dice.random() * 4000)
                blocks.append(trace.take(size))
                total += size
            for block in blocks:
                trace.give(block)
            trace.rest(pause)
    return write


def vectors(trace):
    """100 vectors that grow side by side, by 4 KiB at a time, to 1.2 MiB."""
    blocks, step = [trace.take(4 * KIB) for _ in range(100)], 4 * KIB
    for size in range(step, 300 * step, step):
        for block in blocks:
            trace.resize(block, size, size + step)
    for block in blocks:
        trace.give(block)


def large_slots(trace):
    """One of 32 blocks after the other is replaced by one of 64 KiB to 32 MiB."""
    dice = random.Random(3)
    blocks = [0] * 32
    for _ in range(1500):
        slot = int(dice.random() * len(blocks))
        if blocks[slot]:
            trace.give(blocks[slot])
        blocks[slot] = trace.take(64 * KIB << int(dice.random() * 10))


# What is alive at most in each hour, in fourths of a MiB: little at night, most in the afternoon.
DAY_PARTS = [20, 15, 12, 10, 10, 15, 25, 40, 60, 75, 80, 80, 70, 75, 90, 90, 85, 70, 60, 50, 45, 40, 30, 25]
DAY_SIZES = [(16, 256), (16, 4096), (1024, 8192), (4096, 65536)]


def day(hour_seconds, idle_seconds=0):
    """A server's day, faster and smaller than it is: the mix of sizes and how much is alive change by the hour, and one
    block in twenty stays for six hours. With an end: all of it is freed, and then nobody calls malloc or free."""
    def write(trace):
        dice = random.Random(2)
        bag, alive = [], 0
        sessions = [[] for _ in range(6)]
        for hour, parts in enumerate(DAY_PARTS):
            least, most = DAY_SIZES[hour % len(DAY_SIZES)]
            session, limit = sessions[hour % 6], parts * MIB // 4
            for block, _ in session:
                trace.give(block)
            session.clear()
            allocated = 0
            while allocated < 2 * limit:
                while bag and alive >= limit:
                    number = int(dice.random() * len(bag))
                    bag[number], bag[-1] = bag[-1], bag[number]
                    block, size = bag.pop()
                    alive -= size
                    trace.give(block)
                size = int(least * (most / least) ** dice.random())
                if int(dice.random() * 20) == 0:
                    session.append((trace.take(size), size))
                else:
                    bag.append((trace.take(size), size))
                    alive += size
                allocated += size
                trace.us += hour_seconds * 1e6 * size / (2 * limit)
        if idle_seconds:
            for block, _ in [*bag, *itertools.chain(*sessions)]:
                trace.give(block)
            trace.rest(idle_seconds)
    return write


TRACES = {
    "phases-s": phases("s", 20, 0.7),
    "phases-sr": phases("sr", 20, 0.7),
    "phases-sb": phases("sb", 20, 0.7),
    "phases-srqm": phases("srqm", 20, 0.7),
    "phases-s-fast": phases("s", 200, 0.05),
    "phases-srqm-fast": phases("srqm", 50, 0.05),
    "burst-then-small": burst_then_small,
    "cycle-40-fast": cycle(40, 0.01, 50),
    "cycle-10-slow": cycle(10, 1.0, 50),
    "vectors": vectors,
    "large-slots": large_slots,
    "day": day(10),
    "day-then-nothing": day(0.5, 60),
}
