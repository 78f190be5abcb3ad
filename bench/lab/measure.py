"""The order of things: every round runs every row on every allocator, in an order drawn anew, disturbed runs are
repeated, and what was measured stays when someone presses Ctrl-C.
SPDX-License-Identifier: MIT"""
import collections
import contextlib
import math
import random
import tempfile
import time

import machine
import process
import words

# How often one run is repeated when others use the machine, and how much longer the whole may take for that.
REPEATS = 2
REPEATED_SHARE = 0.25
# What a run costs beside the program's own time: a folder, a process, reading the result.
OVERHEAD_SECONDS = 0.03
PROOF_SECONDS = 0.1
# When nothing more is said of how long it still takes.
LATE_SECONDS = 2


# What is done with a row: who answers, its figures, the time of each of its calls.
PROOF, RUN, TAILS = "proof", "run", "tails"


class Task:
    """A row on some allocators, mostly one; RUN in each round, the others once and in round 0."""

    def __init__(self, row, allocators, action, number=0):
        self.row, self.allocators, self.action, self.number = row, allocators, action, number

    @property
    def name(self):
        """The same in every round."""
        return self.row.id, self.action, tuple(allocator.name for allocator in self.allocators)


class Measurement:
    """`say` gets a line of text for people; `progress` gets (tasks done, tasks in all, task, seconds left). compacts:
    whether memory is moved together before each run, which is for root and touches the whole machine. deadline: of
    time.monotonic; rounds that would not be over by then are left out, never rows. tails: whether each call is timed by
    itself, too, where rows can."""

    def __init__(self, rows, allocators, rounds, say=lambda text: None, progress=lambda *state: None, compacts=False,
                 deadline=math.inf, tails=False):
        self.rows, self.allocators, self.rounds = rows, allocators, rounds
        self.say, self.progress, self.compacts = say, progress, compacts
        self.deadline, self.has_tails = deadline, tails
        self.runs = {row.id: {allocator.name: [] for allocator in allocators} for row in rows}
        self.proofs = {row.id: {} for row in rows}
        self.tails = {row.id: {} for row in rows}
        self.failures = set()
        self.took = collections.defaultdict(list)
        self.plan = []
        self.repeats_left = 0
        self.interrupted = self.is_late = False
        self.rounds_done = self.round_begun = 0

    def run(self, first=0):
        """Measures from a round on, 0 being the proofs; afterwards runs and proofs hold what there is, also when it was
        interrupted."""
        process.become_subreaper()
        self.plan = self.tasks(first)
        self.repeats_left = round(REPEATED_SHARE * len(self.plan))
        done = 0
        try:
            while self.plan:
                self.deadline_keep()
                if not self.plan:
                    break
                task = self.plan.pop(0)
                task.allocators = [one for one in task.allocators if self.is_wanted(task, one)]
                if task.allocators:
                    self.progress(done, done + 1 + len(self.plan), task, self.seconds_of(task) + self.seconds_left())
                    self.perform(task)
                done += 1
                if task.action == RUN and not any(one.number == task.number for one in self.plan[:1]):
                    self.rounds_done = task.number
        except KeyboardInterrupt:
            process.all_close()
            self.interrupted = True
            self.say(f"interrupted after {self.rounds_done} full rounds of {self.rounds}")
        self.progress(done, done, None, 0)

    def is_wanted(self, task, allocator):
        if (task.row.id, allocator.name) in self.failures:
            return False
        if task.action == TAILS:
            return not self.is_late
        return task.action == RUN or allocator.name not in self.proofs[task.row.id]

    def deadline_keep(self):
        """Before a round begins that would not be over in time, with the first allocator's tails, it and the later ones
        go; so do tails when the time is over."""
        task, left = self.plan[0], self.deadline - time.monotonic()
        if task.number > max(1, self.round_begun):
            self.round_begun = task.number
            here = [one for one in self.plan if one.number == task.number or
                    one.action == TAILS and one.allocators == self.allocators[:1]]
            if sum(map(self.seconds_of, here)) > left:
                self.plan = [one for one in self.plan if one.action == TAILS]
                self.say(f"{task.number - 1} of {self.rounds} rounds: there is no time for another one; "
                         "--minutes gives more")
        if self.plan and self.plan[0].action == TAILS and left < 0 and not self.is_late:
            self.is_late = True
            self.say("the time is over: not all calls are timed one by one; --minutes gives more")

    def tasks(self, first):
        """The allocators follow each other in a random order: no one has the same place or the same neighbour in each
        round, and none of them profits from what the machine does over time."""
        tasks = []
        for number in range(first, self.rounds + 1):
            action = RUN if number else PROOF
            for row in self.rows:
                if number > 1 and row.exact:
                    continue
                order = random.sample(self.allocators, len(self.allocators))
                groups = [order] if row.together else [[one] for one in order]
                tasks += [Task(row, group, action, number) for group in groups]
        return tasks + (self.tail_tasks() if self.has_tails else [])

    def tail_tasks(self):
        """The first allocator, whose causes are known, on all rows, then the others: what there may be no time for
        comes last."""
        return [Task(row, [allocator], TAILS) for allocator in self.allocators for row in self.rows
                if row.has_tails and (allocator is self.allocators[0] or not row.is_slow)]

    def seconds_left(self):
        return sum(self.seconds_of(task) for task in self.plan)

    def seconds_of(self, task):
        """What this took before, or the same row on others, or what the row expects."""
        took = self.took.get(task.name) or self.took.get(task.name[:2])
        guess = task.row.seconds if task.action == RUN or task.row.proof_is_full else PROOF_SECONDS
        guess = task.row.tail_seconds if task.action == TAILS else guess
        return (sum(took) / len(took) if took else guess) + OVERHEAD_SECONDS

    def perform(self, task):
        runs = self.attempt(task)
        for allocator, run in zip(task.allocators, runs):
            if run["status"] != "ok":
                self.failures.add((task.row.id, allocator.name))
                self.say(f"{task.row.id} on {allocator.name}: {run['detail']}")
            if task.action != RUN:
                (self.proofs if task.action == PROOF else self.tails)[task.row.id][allocator.name] = run
            if task.action == RUN or run["status"] != "ok":
                self.runs[task.row.id][allocator.name].append(run)

    def attempt(self, task):
        """The least disturbed of a few tries; mostly the first one is good. A proof is not about time."""
        if task.action != RUN:
            return self.once(task, task.row.prove if task.action == PROOF else task.row.tails)
        best = None
        for _ in range(1 + REPEATS):
            if self.compacts:
                machine.compact_memory()
            before = machine.load_now()
            runs = self.once(task, task.row.run)
            after = machine.load_now()
            share, disturbed = machine.others_share(before, after), machine.is_disturbed(before, after)
            for run in runs:
                run.update(round=task.number, others=round(share, 3), disturbed=disturbed and not task.row.exact)
            if best is None or share < best[0]["others"] or any(run["status"] != "ok" for run in runs):
                best = runs
            if not best[0]["disturbed"] or any(run["status"] != "ok" for run in best) or not self.may_repeat(task):
                break
            self.repeats_left -= 1
        return best

    def may_repeat(self, task):
        is_time = time.monotonic() + self.seconds_of(task) + self.seconds_left() <= self.deadline
        return self.repeats_left > 0 and is_time

    def once(self, task, action):
        started = time.monotonic()
        with contextlib.ExitStack() as places:
            runs = action([(allocator, places.enter_context(tempfile.TemporaryDirectory(prefix="hakmem-run-")))
                           for allocator in task.allocators])
        for name in (task.name, task.name[:2]):
            self.took[name].append(time.monotonic() - started)
        return runs

    def settle(self, row, allocator, run):
        """What a closer look at the proof came to: after a failure the allocator is not run on that row again."""
        is_good = run["status"] == "ok"
        (self.failures.discard if is_good else self.failures.add)((row.id, allocator.name))
        self.proofs[row.id][allocator.name] = run
        self.runs[row.id][allocator.name] = [] if is_good else [run]

    def rows_measured(self):
        """The part of results.json that holds what was measured."""
        return [{**row.info(), "proofs": self.proofs[row.id], "runs": self.runs[row.id], "tails": self.tails[row.id]}
                for row in self.rows]


def checksums_judge(rows):
    """Turns runs whose output differs from that of most others into wrong ones. All of them saw the same input."""
    for row in rows:
        if not row["deterministic"]:
            continue
        good = [run for runs in row["runs"].values() for run in runs if run["status"] == "ok" and run.get("checksum")]
        counts = collections.Counter(run["checksum"] for run in good)
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            for run in good:
                if run["checksum"] != usual:
                    run["status"] = "wrong"
                    run["detail"] = f"output {run['checksum']}, that of most other runs is {usual}"


def state_line(done, total, task, left, rounds, elapsed=0):
    """What is going on, for people who wait, so many seconds after it began. What was expected to be over says so."""
    step = {PROOF: "checking who answers", RUN: f"round {task.number} of {rounds}",
            TAILS: "timing each call"}[task.action]
    who = " ".join(allocator.name for allocator in task.allocators)
    if elapsed > left + LATE_SECONDS or (task.action == PROOF and task.row.proof_is_full):
        time_text = f"{words.duration(elapsed)} so far"
    else:
        time_text = f"{words.duration(left - elapsed)} left"
    return " · ".join(filter(None, (f"[{done + 1}/{total}] {step}", task.row.said(), who, time_text)))
