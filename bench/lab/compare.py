"""hakmem compare: which allocator is best for a program of one's own, or whether it makes no difference.
SPDX-License-Identifier: MIT"""
import argparse
import errno
import os
import select
import shlex
import shutil
import sys
import tempfile
import time

import allocators
import bench
import console
import diagnose
import ending
import findings
import machine
import measure
import process
import rows
import stats
import summary
import tables
import text
import words

DESCRIPTION = """Runs a program some times on its own allocator (mostly glibc's), on hakmem, and on
the other allocators that are installed, in turn, and tells which is faster,
which needs less memory, and how certain that is."""
EXAMPLES = """examples:
  hakmem compare -- python3 -c 'print(sum(range(10**7)))'
  hakmem compare -n 20 --with jemalloc,/opt/lib/libother.so -- ./server --selftest

What the program reads on standard input is read once and given to every run;
what it writes is thrown away, but it has to be the same for all, and so has
the exit status."""
# Without -n: as many rounds as fit into this time, between these limits.
SECONDS_IN_ALL, ROUNDS_LEAST, ROUNDS_MOST = 60, stats.ENOUGH_ROUNDS, 20
METRICS = ("wall", "cpu", "peak", "minor_faults", "instructions")
LIMIT_SECONDS = 3600
TRACE_SECONDS = 60
# Neither measured well (0) nor badly (1): there is something to mend first.
STATUS_FINDING = 3
# After which silence of standard input needs an explanation.
PATIENCE_SECONDS = 1


class CommandRow(rows.Row):
    """The user's program, in the user's folder and environment."""
    id = "program"
    proof_is_full = True
    seconds = 1

    def __init__(self, argv, stdin):
        self.argv, self.stdin = argv, stdin
        self.environment = machine.environment_given()
        # By allocator, of the first run: who answered, what the dynamic linker told, and seconds.
        self.answers, self.bindings, self.lasted = {}, {}, {}

    def info(self):
        return {
            "id": self.id, "workload": "program", "workload_title": shlex.join(self.argv)[:60], "group": "your program",
            "title": "", "about": shlex.join(self.argv), "kind": "time", "unit": "s", "better": "lower", "threads": 0,
            "deterministic": False, "exact": False, "value_title": "wall time",
            "command": "LD_PRELOAD={library} " + shlex.join(self.argv)}

    def limit(self):
        return LIMIT_SECONDS

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
        return process.run(self.argv, self.environment, place, self.limit(), stdin=self.stdin, directory=os.getcwd(),
                           preload={**self.preload(allocator), **more}, library=allocator.library)

    def preload(self, allocator):
        """Before what is preloaded already."""
        inherited = self.environment.get("LD_PRELOAD", "")
        preload = allocator.preload()
        if inherited and "LD_PRELOAD" in preload:
            preload["LD_PRELOAD"] += ":" + inherited
        return preload

    def judge(self, outcome, place):
        """Its exit status is a part of its output: a program may well end with 1."""
        if outcome.status != "ok":
            return rows.failed(outcome.status, outcome.detail + rows.where(outcome.errors),
                               exit_code=outcome.exit_code, errors=outcome.errors)
        outcome.metrics["value"] = outcome.metrics["wall"]
        return {"status": "ok", "detail": "", "metrics": outcome.metrics, "samples": rows.thinned(outcome.samples),
                "exit_code": outcome.exit_code, "errors": outcome.errors,
                "checksum": rows.digest_of([os.path.join(place, "stdout")])}


def options_parse(arguments):
    parser = console.parser_new("compare",
                                DESCRIPTION,
                                epilog=EXAMPLES,
                                usage="%(prog)s [options] -- PROGRAM [ARGUMENT...]")
    parser.add_argument("-n", "--rounds", type=console.count, metavar="N",
                        help="runs on each allocator (default: what fits into a minute, "
                        f"{ROUNDS_LEAST} to {ROUNDS_MOST})")
    parser.add_argument("--with", dest="others", type=console.names, metavar="NAME,...",
                        help="the allocators beside the program's own and hakmem: names, or paths of libraries "
                        "(default: those of mimalloc, jemalloc, tcmalloc that are installed)")
    parser.add_argument("--report", metavar="FOLDER", help="write the same report as hakmem bench, too")
    # All that follows the program is the program's.
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.program[:1] == ["--"]:
        del options.program[0]
    if not options.program:
        parser.error("no program given")
    return options


def allocators_wanted(options):
    chosen = [allocators.allocator_find(name, options.hakmem) for name in (allocators.SUBJECT, allocators.LIBC)]
    if options.others is None:
        return chosen + [one for one in map(found_or_none, allocators.DEBIAN) if one]
    for name in options.others:
        is_path = "/" in name or "=" in name
        chosen.append(allocators.allocator_given(name) if is_path else allocators.allocator_find(name, options.hakmem))
    return console.distinct(list(dict.fromkeys(chosen)))


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
        row = CommandRow(options.program, stdin_keep(folder, screen.say))
        try:
            measurement, found = measured(row, chosen, options.rounds, screen)
        except process.CannotStart as fault:
            screen.say(f"hakmem compare: '{options.program[0]}' cannot be executed: {fault.strerror}")
            return 127 if fault.errno == errno.ENOENT else 126
    if found and not measurement.interrupted and not measurement.rounds:
        if options.report:
            screen.say("no report: nothing was measured")
        return STATUS_FINDING
    results = results_make(measurement, chosen)
    return tell(results, row, options, screen) or (STATUS_FINDING if found else 0)


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
    if not select.select([sys.stdin], [], [], PATIENCE_SECONDS)[0]:
        say("reading standard input until its end, for all runs; </dev/null gives them none")
    path = os.path.join(folder, "stdin")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def measured(row, chosen, rounds, screen):
    """The proofs first: how long they take says how many rounds there can be. What they find is said at once. The
    measurement, and what was found."""
    measurement = measure.Measurement([row], chosen, 0, progress=screen.progress("?"))
    found, took = [], 0
    pair = [one for one in chosen if one.name in (allocators.SUBJECT, allocators.LIBC)]
    for some in filter(None, (pair, [one for one in chosen if one not in pair])):
        measurement.allocators = some
        before = time.monotonic()
        measurement.run()
        took += time.monotonic() - before
        if measurement.interrupted:
            return measurement, found
        fresh = findings.find(measurement, row, some)
        if fresh:
            screen.clear()
            findings.tell(row, fresh)
        found += fresh
        if any(one.is_final for one in found):
            return measurement, found
    measurement.allocators = chosen
    if len(measurement.failures) == len(chosen) or (found and len(runs_good(measurement)) < 2):
        return measurement, found
    measurement.rounds = rounds or max(ROUNDS_LEAST, min(ROUNDS_MOST, int(SECONDS_IN_ALL / took)))
    measurement.progress = screen.progress(measurement.rounds)
    measurement.run(first=1)
    return measurement, found


def runs_good(measurement):
    """The allocators on which the program runs."""
    return [name for proofs in measurement.proofs.values() for name, run in proofs.items() if run["status"] == "ok"]


def results_make(measurement, chosen):
    pace = rows.Pace(measurement.rounds, 1, 0, 0, 1)
    return bench.results_make(measurement, chosen, pace, full=False)


# ---- What is said ----------------------------------------------------------------------------------------------------


def tell(results, row, options, screen):
    summaries = summary.summarize(results)
    if not summaries or not summaries[0].figures:
        faults = [run["detail"] for runs in results["rows"][0]["runs"].values() for run in runs]
        screen.say("hakmem compare: nothing could be measured: " + text.shown(faults[0] if faults else "interrupted"))
        return ending.status() if results["interrupted"] else 1
    one = summaries[0]
    rounds = f"{results['rounds']} {'round' if results['rounds'] == 1 else 'rounds'}"
    print(f"{shlex.join(row.argv)}: {rounds}\n")
    print("\n".join(figures_table(one)) + "\n")
    print("\n".join(remarks(one, row) + conclusions(one)))
    if options.report:
        bench.write(results, options.report, screen.say, table=False)
    failed = [run for run in one.failures.values() if not run.get("is_told")]
    return ending.status() if results["interrupted"] else 1 if failed else 0


def figures_table(one):
    """Medians, and what they are compared with the program's own allocator."""
    names = [name for name in METRICS if name in one.figures]
    columns = ["", *(one.metric(name).title for name in names)]
    lines = []
    for allocator in [allocators.LIBC, *(name for name in one.allocators if name != allocators.LIBC)]:
        if allocator in one.failures:
            run = one.failures[allocator]
            lines.append([allocator, f"{summary.STATUS_WORDS[run['status']]}", *[""] * (len(names) - 1)])
            continue
        cells = []
        for name in names:
            figure = one.figures[name].get(allocator)
            change = versus_baseline(one, name, allocator)
            amount = words.quantity(figure.median, one.metric(name).unit) if figure else "–"
            cells.append(amount + (f" ({words.change(change.ratio)})" if change else ""))
        lines.append([allocator, *cells])
    return tables.columns_align(columns, lines, words_last=False)


def versus_baseline(one, name, allocator):
    samples = one.samples.get(name, {})
    if allocator == allocators.LIBC or allocator not in samples or allocators.LIBC not in samples:
        return None
    return stats.compare(samples[allocator], samples[allocators.LIBC])


def remarks(one, row):
    """What a reader has to know before the verdict."""
    lines = []
    own = row.answers.get(allocators.LIBC) or []
    answering = sorted({path for answers in own for path in answers.get("malloc", [])})
    others = [path for path in answering if not os.path.basename(path).startswith("libc.so")]
    if others:
        lines.append(
            f"Without preloading, malloc is answered by {words.listing(others)}: that is what the line glibc shows.")
    for detail in dict.fromkeys(run["detail"] for run in one.failures.values() if not run.get("is_told")):
        failed = [allocator for allocator, run in one.failures.items() if run["detail"] == detail]
        lines.append(f"{words.listing(failed)}: {text.shown(detail)}")
    good = {allocator: [run for run in runs if run["status"] == "ok"] for allocator, runs in one.info["runs"].items()}
    for key, what in (("checksum", "output"), ("exit_code", "exit status")):
        usual = {run[key] for run in good.get(allocators.LIBC, [])}
        differing = [allocator for allocator, runs in good.items() if any(run[key] not in usual for run in runs)]
        if len(usual) == 1 and differing and allocators.LIBC in good:
            lines.append(f"The program's {what} on {words.listing(differing)} is not the same as on glibc.")
    codes = {run["exit_code"] for runs in good.values() for run in runs} - {0}
    if codes:
        runs = [run for runs in good.values() for run in runs]
        errors = text.shown(rows.where(next(run["errors"] for run in runs if run["exit_code"])))
        everywhere = " on every allocator" if all(run["exit_code"] for run in runs) else ""
        lines.append(f"The program ends with exit status {words.listing(map(str, sorted(codes)))}{everywhere}{errors}: "
                     "what is compared is the way there.")
    if one.disturbed:
        lines.append(f"{one.disturbed} runs were disturbed by other programs on this machine, also when repeated.")
    return [*lines, ""] if lines else []


def conclusions(one):
    time_lines, time_differs = aspect_lines(one, "wall", "time")
    memory_lines, memory_differs = aspect_lines(one, "peak", "memory")
    if not time_lines:
        return []
    count = min(figure.count for figure in one.figures["wall"].values())
    if count < stats.ENOUGH_ROUNDS:
        return [f"Too few rounds for a verdict: {stats.ENOUGH_ROUNDS} at least."]
    if not time_differs and not memory_differs:
        return [*time_lines, *memory_lines, "", no_difference(one)]
    return [*time_lines, *memory_lines, "", ranking(one, "wall", "Fastest"), ranking(one, "peak", "Least memory")]


def no_difference(one):
    if any(comparison.is_vague() for name in ("wall", "peak") for comparison in versus_all(one, name).values()):
        return ("Whether it makes a difference cannot be told: these runs differ too much. More of them (-n), longer "
                "ones, or a quieter machine may tell.")
    return "It makes no difference for this program which of these allocators it uses."


def versus_all(one, name):
    compared = {allocator: versus_baseline(one, name, allocator) for allocator in one.allocators}
    return {allocator: comparison for allocator, comparison in compared.items() if comparison}


def aspect_lines(one, name, kind):
    """A sentence for each allocator against glibc, and whether any of them differs."""
    compared = versus_all(one, name)
    lines = [
        f"{sentence(allocator, comparison, kind)} ({words.span(comparison)})"
        for allocator, comparison in compared.items()]
    return lines, any(comparison.differs for comparison in compared.values())


def sentence(allocator, comparison, kind):
    if comparison.is_vague():
        return f"{allocator} and {allocators.LIBC}: cannot tell which needs less {kind}"
    if not comparison.differs:
        return f"{allocator} and {allocators.LIBC}: no difference in {kind}"
    is_percentage = 1 / words.MANY < comparison.ratio < words.MANY
    verb = "needs" if kind == "memory" else "takes" if is_percentage else "is"
    return f"{allocator} {verb} {words.verdict(comparison, allocators.LIBC, kind)}"


def ranking(one, name, heading):
    """The best allocator with those that cannot be told from it."""
    samples = one.samples[name]
    order = sorted(samples, key=lambda allocator: stats.median(samples[allocator]))
    compared = {allocator: stats.compare(samples[order[0]], samples[allocator]) for allocator in order}
    best = [allocator for allocator in order if not compared[allocator].differs]
    if len(best) == 1:
        return f"{heading}: {best[0]}."
    if any(compared[allocator].is_vague() for allocator in best):
        return f"{heading}: one of {words.listing(best)}, which cannot be told."
    if len(best) == len(order):
        return f"{heading}: no difference between {words.listing(order)}."
    return f"{heading}: {words.listing(best)}, no difference between them."
