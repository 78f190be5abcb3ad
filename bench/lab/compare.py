"""hakmem compare: which allocator is best for a program of one's own, or whether it makes no difference.
SPDX-License-Identifier: MIT"""
import argparse
import errno
import os
import select
import shlex
import shutil
import signal
import sys
import tempfile
import time

import allocators
import bench
import conditions
import console
import diagnose
import ending
import findings
import machine
import measure
import process
import rows
import server
import summary
import telling
import verdicts

DESCRIPTION = """Runs a program some times on its own allocator (mostly glibc's), on hakmem, and
on the other allocators that are installed, in turn, and tells which is faster,
which needs less memory, and how certain that is. What fails, or does something
else, on one of them only is said first."""
EXAMPLES = """examples:
  hakmem compare -- python3 -c 'print(sum(range(10**7)))'
  hakmem compare -n 20 --with jemalloc,/opt/lib/libother.so -- ./tool --selftest
  hakmem compare --ready 'redis-cli ping' --load 'redis-benchmark -q' \\
      -- redis-server --save ''
  hakmem compare --json --fail-if 'rss > 1.05 * glibc' -- ./tool --selftest

What the program reads on standard input is read once and given to every run;
what it writes is thrown away, but it has to be the same for all.

--fail-if takes [ALLOCATOR.]METRIC < or > [FACTOR *] ALLOCATOR, with hakmem as
the first allocator where there is none, and time, wall, cpu, rss, idle, faults
or instructions as METRIC. It holds when the figures show it, not by chance.

exit status:
  0  measured                  3  the program fails, or does something else, on
  1  the program fails on all     some of the allocators only
  2  wrong options             4  a condition of --fail-if holds
  125  the machine failed: a full disk, a closed output
  126, 127  the program cannot be executed, is not there"""
# Without -n: as many rounds as fit into this time, between what verdicts take and this.
SECONDS_IN_ALL, ROUNDS_MOST = 60, 30
BOUNDS = 0.05
LIMIT_SECONDS = 60
# After so long a first run it is said what a program that never ends needs.
PATIENCE_SECONDS = 10
IDLE_SECONDS = 3
TRACE_SECONDS = 60
# Of a program's output, in which the first difference is looked for.
OUTPUT_BYTES = 4 << 20
# Neither measured well (0) nor badly (1): there is something to mend first.
STATUS_FINDING, STATUS_CONDITION = 3, 4
# After which silence of standard input needs an explanation.
INPUT_SECONDS = 1


class CommandRow(rows.Row):
    """The user's program, in the user's folder and environment."""
    id = "program"
    proof_is_full = True
    seconds = 1

    def __init__(self, options, libc, stdin):
        self.libc = libc
        self.argv, self.stdin, self.seconds_limit = options.program, stdin, options.limit
        self.statuses, self.plan = options.status, options.plan
        self.environment = machine.environment_given()
        # Whether what it writes is compared: not where it is the program's own business, or differs in each run.
        self.has_output = not options.any_output and not self.plan
        self.output_varies = False
        # By allocator, of the first run: who answered, what the dynamic linker told, and seconds.
        self.answers, self.bindings, self.lasted = {}, {}, {}

    def info(self):
        return {
            "id": self.id, "workload": "program", "workload_title": telling.short(shlex.join(self.argv), 60),
            "group": "your program",
            "title": "", "about": self.about(), "kind": "time", "unit": "s", "better": "lower", "threads": 0,
            "deterministic": False, "exact": False, "value_title": self.value_title(),
            "command": "LD_PRELOAD={library} " + shlex.join(self.argv)}

    def about(self):
        return shlex.join(self.argv) + (f"; under load: {self.plan.load}" if self.plan else "")

    def value_title(self):
        return "time of the load" if self.plan else "wall time"

    def limit(self):
        return self.seconds_limit

    def said(self):
        return ""

    def prove(self, pairs):
        return [self.prove_one(*pair) for pair in pairs]

    def prove_one(self, allocator, place):
        before = time.monotonic()
        outcome = self.outcome(allocator, place, {**diagnose.watch(place), **rows.PROOF})
        self.lasted[allocator.name] = time.monotonic() - before
        self.bindings[allocator.name] = diagnose.bindings_read(place)
        answers = allocators.bindings_read(place)
        self.answers[allocator.name] = answers
        run = self.judge(outcome, place)
        # Without preloading, whatever answers is right. musl's dynamic linker tells nothing, but hakmem does.
        is_served = allocator.is_libc or (not answers and allocators.layers_read(outcome.errors))
        fault = None if is_served else allocators.bindings_check(allocator, answers)
        if run["status"] == "ok" and fault:
            return rows.failed("service", fault, exit_code=run["exit_code"], errors=run["errors"])
        run["service"] = answers[0] if answers else {}
        return run

    def again(self, allocator):
        """The same once more, without anybody watching: the run."""
        with tempfile.TemporaryDirectory(prefix="hakmem-run-") as place:
            return self.judge(self.outcome(allocator, place, {}), place)

    def written(self, allocator):
        """Once more, too: the beginning of what it wrote."""
        with tempfile.TemporaryDirectory(prefix="hakmem-run-") as place:
            self.outcome(allocator, place, {})
            with open(os.path.join(place, "stdout"), "rb") as file:
                return file.read(OUTPUT_BYTES)

    def trace(self, allocator):
        """What strace(1) says of it."""
        with tempfile.TemporaryDirectory(prefix="hakmem-run-") as place:
            path = os.path.join(place, "trace")
            inside = [part for name, value in self.preload(allocator).items() for part in ("-E", f"{name}={value}")]
            process.run(["strace", "-f", "-qq", "-o", path, *inside, *self.argv], self.environment, place,
                        TRACE_SECONDS, stdin=self.stdin, directory=os.getcwd(), samples=False)
            return machine.read_text(path)

    def run(self, pairs):
        return [self.judge(self.outcome(allocator, place, {}), place) for allocator, place in pairs]

    def outcome(self, allocator, place, more):
        def begin():
            return process.begin(self.argv, self.environment, place, stdin=self.stdin, directory=os.getcwd(),
                                 preload={**self.preload(allocator), **more}, library=allocator.library)

        if self.plan:
            return server.run(self.plan, begin, self.environment, place, self.limit())
        return process.finish(begin(), place, self.limit())

    def preload(self, allocator):
        """Before what is preloaded already."""
        inherited = self.environment.get("LD_PRELOAD", "")
        preload = allocator.preload()
        if inherited and "LD_PRELOAD" in preload:
            preload["LD_PRELOAD"] += ":" + inherited
        return preload

    def judge(self, outcome, place):
        # A server may well die of the signal that it is told to end by.
        well = [*self.statuses, -self.plan.stop] if self.plan else self.statuses
        if outcome.status == "ok" and outcome.exit_code not in well:
            outcome.status, outcome.detail = "status", f"ended with status {outcome.exit_code}"
        if outcome.status != "ok":
            # Some servers say on standard output what is wrong.
            outcome.errors = outcome.errors or machine.read_text(os.path.join(place, "stdout"))[-process.OUTPUT_KEPT:]
            return rows.failed(outcome.status, outcome.detail + rows.where(outcome.errors), how=outcome.detail,
                               exit_code=outcome.exit_code, errors=outcome.errors)
        outcome.metrics["value"] = outcome.metrics["wall"]
        digest = rows.digest_of([os.path.join(place, "stdout")]) if self.has_output else None
        return {"status": "ok", "detail": "", "metrics": outcome.metrics, "samples": rows.thinned(outcome.samples),
                "exit_code": outcome.exit_code, "errors": outcome.errors, "checksum": digest}


def options_parse(arguments):
    parser = console.parser_new("compare",
                                DESCRIPTION,
                                epilog=EXAMPLES,
                                usage="%(prog)s [options] -- PROGRAM [ARGUMENT...]")
    parser.add_argument("-n", "--rounds", type=console.count, metavar="N",
                        help="runs on each allocator (default: what fits into a minute, from what verdicts take, 8 to "
                        f"11, up to {ROUNDS_MOST})")
    parser.add_argument("--with", dest="others", type=console.names, metavar="NAME,...",
                        help="the allocators beside the program's own and hakmem: names, or paths of libraries "
                        "(default: those of mimalloc, jemalloc, tcmalloc that are installed)")
    parser.add_argument("--bounds", type=console.percent, metavar="PERCENT", default=BOUNDS,
                        help="a difference within these is none (default: 5)")
    parser.add_argument("--status", type=console.statuses, metavar="N,...", default=[0],
                        help="the exit statuses that mean success (default: 0)")
    parser.add_argument("--any-output", action="store_true", help="what the program writes may differ")
    parser.add_argument("--limit", type=console.seconds, metavar="SECONDS", default=LIMIT_SECONDS,
                        help=f"for each run, or each step of a server's (default: {LIMIT_SECONDS})")
    parser.add_argument("--report", metavar="FOLDER", help="write the same report as hakmem bench, too")
    parser.add_argument("--json", action="store_true", help="one object in place of the text")
    parser.add_argument("--fail-if", type=conditions.parse, action="append", default=[], metavar="CONDITION",
                        help="end with 4 when that is shown, as 'rss > 1.05 * glibc'; may be repeated")
    console.compact_option(parser)
    group = parser.add_argument_group("for a server, which runs until it is told to end")
    group.add_argument("--ready", metavar="COMMAND", help="succeeds as soon as the server can be used")
    group.add_argument("--load", metavar="COMMAND", help="what is measured while it runs")
    group.add_argument("--stop", type=console.signal_number, metavar="SIGNAL", default=signal.SIGTERM,
                       help="ends it (default: SIGTERM)")
    group.add_argument("--idle", type=console.seconds, metavar="SECONDS", default=IDLE_SECONDS,
                       help="between the load and the end; its memory is looked at then "
                       f"(default: {IDLE_SECONDS})")
    # All that follows the program is the program's.
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.program[:1] == ["--"]:
        del options.program[0]
    if not options.program:
        parser.error("no program given")
    if bool(options.ready) != bool(options.load):
        parser.error("--ready and --load belong together")
    options.plan = server.Plan(options.ready, options.load, options.stop, options.idle) if options.load else None
    return options


def allocators_wanted(options):
    chosen = [allocators.allocator_find(name, options.hakmem) for name in (allocators.SUBJECT, allocators.LIBC)]
    if options.others is None:
        chosen += [one for one in map(found_or_none, allocators.DEBIAN) if one]
    else:
        chosen += [allocators.allocator_given(name) if "/" in name or "=" in name else
                   allocators.allocator_find(name, options.hakmem) for name in options.others]
        chosen = console.distinct(list(dict.fromkeys(chosen)))
    known = [one.name for one in chosen]
    for name in (name for condition in options.fail_if for name in condition.names()):
        if name not in known:
            raise allocators.Unavailable(f"--fail-if: no '{name}' is measured here, only {', '.join(known)}")
    return chosen


def found_or_none(name):
    try:
        return allocators.allocator_find(name, None)
    except allocators.Unavailable:
        return None


def main(arguments):
    options = options_parse(arguments)
    screen = console.Console()
    fault = program_fault(options.program[0])
    if fault:
        screen.say(f"hakmem compare: {fault[1]}")
        return fault[0]
    try:
        chosen = allocators_wanted(options)
        if options.report:
            console.folder_prepare(options.report)
    except allocators.Unavailable as fault:
        screen.say(f"hakmem compare: {fault}")
        return 2
    with tempfile.TemporaryDirectory(prefix="hakmem-compare-") as folder:
        libc = next(one for one in chosen if one.is_libc)
        row = CommandRow(options, libc, stdin_keep(folder, screen.say))
        comparison = Comparison(options, row, chosen, screen)
        try:
            comparison.measure()
        except process.CannotStart as fault:
            screen.say(f"hakmem compare: '{options.program[0]}' cannot be executed: {fault.strerror}")
            return 127 if fault.errno == errno.ENOENT else 126
        return comparison.tell()


def program_fault(name):
    """(exit status, sentence) when it cannot be started; the status is a shell's."""
    if shutil.which(name):
        return None
    if os.path.exists(name) and "/" in name:
        return 126, f"'{name}' is not a program that can be executed"
    return 127, f"there is no program '{name}'"


def stdin_keep(folder, say):
    """A copy of standard input for all runs; None when it is a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    if not select.select([sys.stdin], [], [], INPUT_SECONDS)[0]:
        say("reading standard input until its end, for all runs; </dev/null gives them none")
    path = os.path.join(folder, "stdin")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


class Comparison:
    """Of a program on some allocators, from the first runs to the exit status."""

    def __init__(self, options, row, chosen, screen):
        self.options, self.row, self.chosen, self.screen = options, row, chosen, screen
        self.measurement = measure.Measurement([row], chosen, 0, progress=screen.progress("?"),
                                               compacts=options.compact)
        self.found = []
        figures = [name for name in verdicts.JUDGED if name != "idle" or row.plan]
        self.demands = verdicts.demands_for(chosen, len(figures), options.bounds)

    def measure(self):
        """The proofs first: how long they take says how many rounds there can be. What they find is said at once."""
        if not self.row.plan:
            self.screen.patience = PATIENCE_SECONDS, telling.never_ends(self.options.limit)
        pair = [one for one in self.chosen if one.name in (allocators.SUBJECT, allocators.LIBC)]
        took = 0
        for some in filter(None, (pair, [one for one in self.chosen if one not in pair])):
            before = time.monotonic()
            self.prove(some)
            took += time.monotonic() - before
            if self.measurement.interrupted or any(one.is_final for one in self.found) or not self.good():
                return
        if self.found and len(self.good()) < 2:
            return
        self.screen.patience = console.NO_PATIENCE
        measurement = self.measurement
        measurement.allocators = self.chosen
        least = self.demands.rounds_least()
        self.row.seconds = took / len(self.chosen)
        measurement.rounds = self.options.rounds or max(least, min(ROUNDS_MOST, int(SECONDS_IN_ALL / took)))
        measurement.progress = self.screen.progress(measurement.rounds)
        measurement.run(first=1)
        self.find(findings.find_later(measurement, self.row))

    def prove(self, some):
        self.measurement.allocators = some
        self.measurement.run()
        if not self.measurement.interrupted:
            self.find(findings.find(self.measurement, self.row, some))

    def find(self, fresh):
        if fresh and not self.options.json:
            self.screen.clear()
            findings.tell(self.row, fresh)
        self.found += fresh

    def good(self):
        """The allocators on which the program runs, as far as they were tried."""
        return [name for name, run in self.measurement.proofs[self.row.id].items() if run["status"] == "ok"]

    def tell(self):
        """Whatever there is; the exit status."""
        measurement, options = self.measurement, self.options
        results = bench.results_make(measurement, self.chosen, rows.Pace(measurement.rounds, 1, 0, 0, 1), full=False)
        results |= {"demands": self.demands._asdict(), "measured": "program"}
        summaries = summary.summarize(results)
        figures = summaries[0] if summaries and summaries[0].figures else None
        if figures:
            figures.info["libraries"] = {one.name: one.library for one in self.chosen}
        said = self.conclude(figures)
        if options.json:
            telling.print_json(results, said, self.row)
        else:
            telling.print_text(results, said, self.row)
        if options.report and figures:
            bench.write(results, options.report, self.screen.say, table=False)
        elif options.report:
            self.screen.say("no report: nothing was measured")
        return said.status

    def conclude(self, figures):
        apart = [one.allocator for one in self.found]
        found = verdicts.Verdicts(figures, apart, telling.own_name(self.row)) if figures else None
        answers = conditions.answers_of(self.options.fail_if, found) if found else []
        return telling.Said(found, self.found, answers, self.status(figures, answers))

    def status(self, figures, answers):
        if self.measurement.interrupted:
            return ending.status()
        if self.found:
            return STATUS_FINDING
        if not figures or any(not run.get("is_told") for run in figures.failures.values()):
            return 1
        return STATUS_CONDITION if any(answer.holds for answer in answers) else 0
