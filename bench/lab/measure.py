"""The order of things: every round runs every row on every allocator, each round begins with another one, disturbed
runs are repeated, and what was measured stays when someone presses Ctrl-C.
SPDX-License-Identifier: MIT"""
import collections
import contextlib
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


class Task:
    """A row on some allocators, mostly one, in one round. Round 0 is the proof of service."""

    def __init__(self, row, allocators, number):
        self.row, self.allocators, self.number = row, allocators, number

    @property
    def name(self):
        """The same in every round but 0."""
        return self.row.id, self.number > 0, tuple(allocator.name for allocator in self.allocators)


class Measurement:
    """`say` gets a line of text for people; `progress` gets (tasks done, tasks in all, task, seconds left)."""

    def __init__(self, rows, allocators, rounds, say=lambda text: None, progress=lambda *state: None):
        self.rows, self.allocators, self.rounds = rows, allocators, rounds
        self.say, self.progress = say, progress
        self.runs = {row.id: {allocator.name: [] for allocator in allocators} for row in rows}
        self.proofs = {row.id: {} for row in rows}
        self.failures = set()
        self.took = collections.defaultdict(list)
        self.repeats_left = 0
        self.interrupted = False
        self.rounds_done = 0

    def run(self, first=0):
        """Measures from a round on, 0 being the proofs; afterwards runs and proofs hold what there is, also when it was
        interrupted."""
        process.become_subreaper()
        tasks = self.tasks(first)
        self.repeats_left = round(REPEATED_SHARE * len(tasks))
        try:
            for done, task in enumerate(tasks):
                task.allocators = [one for one in task.allocators if (task.row.id, one.name) not in self.failures
                                   and (task.number or one.name not in self.proofs[task.row.id])]
                if task.allocators:
                    self.progress(done, len(tasks), task, self.seconds_left(tasks[done:]))
                    self.perform(task)
                if done + 1 == len(tasks) or tasks[done + 1].number > task.number:
                    self.rounds_done = task.number
        except KeyboardInterrupt:
            process.all_close()
            self.interrupted = True
            self.say(f"interrupted after {self.rounds_done} full rounds of {self.rounds}")
        self.progress(len(tasks), len(tasks), None, 0)

    def tasks(self, first):
        """Each round, and in it each row, begins with another allocator than the last."""
        tasks = []
        for number in range(first, self.rounds + 1):
            for place, row in enumerate(self.rows):
                if number > 1 and row.exact:
                    continue
                shift = (number + place) % len(self.allocators)
                order = self.allocators[shift:] + self.allocators[:shift]
                tasks += [Task(row, order, number)] if row.together else [Task(row, [one], number) for one in order]
        return tasks

    def seconds_left(self, tasks):
        return sum(self.seconds_of(task) for task in tasks)

    def seconds_of(self, task):
        """What this took before, or the same row on others, or what the row expects."""
        took = self.took.get(task.name) or self.took.get(task.name[:2])
        guess = task.row.seconds if task.number or task.row.proof_is_full else PROOF_SECONDS
        return (sum(took) / len(took) if took else guess) + OVERHEAD_SECONDS

    def perform(self, task):
        started = time.monotonic()
        runs = self.attempt(task)
        for name in (task.name, task.name[:2]):
            self.took[name].append(time.monotonic() - started)
        for allocator, run in zip(task.allocators, runs):
            if run["status"] != "ok":
                self.failures.add((task.row.id, allocator.name))
                self.say(f"{task.row.id} on {allocator.name}: {run['detail']}")
            if task.number == 0:
                self.proofs[task.row.id][allocator.name] = run
            if task.number > 0 or run["status"] != "ok":
                self.runs[task.row.id][allocator.name].append(run)

    def attempt(self, task):
        """The least disturbed of a few tries; mostly the first one is good. A proof is not about time."""
        if task.number == 0:
            return self.once(task, task.row.prove)
        best = None
        for _ in range(1 + REPEATS):
            machine.compact_memory()
            before = machine.load_now()
            runs = self.once(task, task.row.run)
            after = machine.load_now()
            share, disturbed = machine.others_share(before, after), machine.is_disturbed(before, after)
            for run in runs:
                run.update(round=task.number, others=round(share, 3), disturbed=disturbed and not task.row.exact)
            if best is None or share < best[0]["others"] or any(run["status"] != "ok" for run in runs):
                best = runs
            if not best[0]["disturbed"] or any(run["status"] != "ok" for run in best) or self.repeats_left == 0:
                break
            self.repeats_left -= 1
        return best

    def once(self, task, action):
        with contextlib.ExitStack() as places:
            return action([(allocator, places.enter_context(tempfile.TemporaryDirectory(prefix="hakmem-run-")))
                           for allocator in task.allocators])

    def settle(self, row, allocator, run):
        """What a closer look at the proof came to: after a failure the allocator is not run on that row again."""
        is_good = run["status"] == "ok"
        (self.failures.discard if is_good else self.failures.add)((row.id, allocator.name))
        self.proofs[row.id][allocator.name] = run
        self.runs[row.id][allocator.name] = [] if is_good else [run]

    def rows_measured(self):
        """The part of results.json that holds what was measured."""
        return [{**row.info(), "proofs": self.proofs[row.id], "runs": self.runs[row.id]} for row in self.rows]


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


def state_line(done, total, task, left, rounds):
    """What is going on, for people who wait."""
    step = f"round {task.number} of {rounds}" if task.number else "checking who answers"
    who = " ".join(allocator.name for allocator in task.allocators)
    return f"[{done + 1}/{total}] {step} · {task.row.id} · {who} · {words.duration(left)} left"
