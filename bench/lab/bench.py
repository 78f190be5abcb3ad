"""hakmem bench: every workload and every program on every allocator, and the report of it.
SPDX-License-Identifier: MIT"""
import importlib
import json
import math
import os
import tempfile
import time

import allocators
import console
import ending
import host
import machine
import measure
import rows
import summary
import tables
import text
import words

FORMAT = 1
# The short one is over after so many minutes, in which five allocators have all its rounds on two CPUs; the full one
# takes hours. Rounds are left out where a machine takes longer, never rows.
MINUTES = 10
# For what follows the last run, and one that takes longer than others did.
SPARE_SECONDS = 15
QUICK = rows.Pace(rounds=5, part=0.2, warmup=0.1, idle=1.5, scale=0.1)
FULL = rows.Pace(rounds=7, part=1.0, warmup=0.2, idle=rows.FULL_IDLE_SECONDS, scale=1.0)
DESCRIPTION = """Measures hakmem, glibc, mimalloc, jemalloc and tcmalloc on the workloads and on
real programs, and writes report.html, results.json, results.csv, table.md and
overview.svg. Ctrl-C ends it early and keeps what was measured."""


def options_parse(arguments):
    parser = console.parser_new("bench", DESCRIPTION)
    parser.add_argument("--full", action="store_true", help="all variants and programs, longer runs, more rounds")
    parser.add_argument("--only",
                        type=console.some_names,
                        metavar="WORD,...",
                        help="rows whose name contains one of the words")
    parser.add_argument("--list", action="store_true", help="show the names of the rows, and stop")
    every = [allocators.SUBJECT, allocators.LIBC, *allocators.DEBIAN]
    parser.add_argument("--allocators", type=console.some_names, metavar="NAME,...", default=every,
                        help=f"which ones (default: {','.join(every)})")
    parser.add_argument("--lib",
                        action="append",
                        default=[],
                        metavar="NAME=PATH",
                        help="one more allocator; may be repeated")
    parser.add_argument("--rounds",
                        type=console.count,
                        metavar="N",
                        help=f"of everything (default: {QUICK.rounds}, with --full {FULL.rounds})")
    parser.add_argument("--part", type=console.amount, metavar="X",
                        help="of a workload's own time, mostly a second, that a run takes "
                        f"(default: {QUICK.part:g}, with --full {FULL.part:g})")
    parser.add_argument("--scale", type=console.amount, metavar="X",
                        help="amount of work of the real programs; 1 takes a few seconds each "
                        f"(default: {QUICK.scale:g}, with --full {FULL.scale:g})")
    parser.add_argument("--minutes", type=console.amount, metavar="X",
                        help="after which it is over: rounds that do not fit are left out, never rows "
                        f"(default: {MINUTES}; with --full or --rounds as many as it takes)")
    parser.add_argument("--no-tails", action="store_false", dest="tails",
                        help="do not time each call by itself, after the rounds")
    parser.add_argument("--output",
                        default="hakmem-bench",
                        metavar="FOLDER",
                        help="for the results (default: %(default)s)")
    parser.add_argument("--install", action="store_true",
                        help="as root on Debian: install with apt-get what is missing of the other allocators and of "
                        "the programs")
    console.compact_option(parser)
    return parser.parse_args(arguments)


def pace_of(options):
    pace = FULL if options.full else QUICK
    return rows.Pace(options.rounds or pace.rounds, options.part or pace.part, pace.warmup, pace.idle,
                     options.scale or pace.scale)


def deadline_of(options):
    """Of time.monotonic. What came before it counts."""
    minutes = options.minutes or (math.inf if options.full or options.rounds else MINUTES)
    return time.monotonic() - machine.seconds_since_start() + 60 * minutes - SPARE_SECONDS


def rows_chosen(options, pace, folder, say):
    """Without --full and without --only: those marked as quick."""
    def wanted(name, quick):
        return any(word in name for word in options.only) if options.only else options.full or quick

    chosen = []
    if options.workloads and os.path.exists(options.workloads):
        chosen += rows.workload_rows(options.workloads, pace, lambda workload, variant: wanted(
            variant["id"], variant.get("quick", False)))
        sizes = rows.PAIR_SIZES if options.full else rows.PAIR_SIZES_QUICK
        pairs = rows.pair_rows(console.pair_program(options.workloads), sizes)
        chosen += [row for row in pairs if wanted(row.id, True)]
        if not pairs:
            say("without pair: valgrind is not installed: apt-get install valgrind")
    else:
        say("without the workloads: the program hakmem-workloads is not there")
    of_programs = rows.program_rows(pace, folder, lambda program: wanted(program.name, program.quick))
    for word in options.only or ():
        if not any(word in row.id for row in chosen + of_programs):
            say(f"no row has '{word}' in its name; --full --list shows all names")
    for row in of_programs:
        if row.is_here():
            chosen.append(row)
        else:
            say(f"without {row.id}: {row.program.executable()} is not installed: "
                f"apt-get install {' '.join(row.program.packages)}")
    return chosen


def main(arguments):
    options = options_parse(arguments)
    screen = console.Console()
    if options.install and not options.list:
        allocators.packages_install(allocators.packages_needed(), screen.say)
    try:
        chosen = console.allocators_chosen(options.allocators, options.lib, options.hakmem, screen.say)
        if not options.list:
            console.folder_prepare(options.output)
    except allocators.Unavailable as fault:
        screen.say(f"hakmem bench: {fault}")
        return 2
    pace = pace_of(options)
    deadline = deadline_of(options)
    costs = {} if options.list else host.measure(options.workloads)
    if costs:
        screen.say(host.terminal(costs))
    with tempfile.TemporaryDirectory(prefix="hakmem-inputs-") as folder:
        to_measure = rows_chosen(options, pace, folder, screen.say)
        if options.list:
            print("\n".join(row.id for row in to_measure))
            return 0
        if not to_measure:
            screen.say("hakmem bench: nothing to measure")
            return 2
        measurement = measure.Measurement(to_measure, chosen, pace.rounds, screen.say, screen.progress(pace.rounds),
                                          options.compact, deadline, options.tails)
        plan_tell(measurement, deadline, screen.say)
        measurement.run()
    results = results_make(measurement, chosen, pace, options.full)
    results["machine"]["costs"], results["rounds_wanted"] = costs, pace.rounds
    if not any(runs for row in results["rows"] for runs in row["runs"].values()):
        screen.say("hakmem bench: nothing was measured, and nothing is written")
        return ending.status()
    write(results, options.output, screen.say)
    return ending.status() if measurement.interrupted else 1 if any_failure(results) else 0


def plan_tell(measurement, deadline, say):
    """Before it begins, for who may wait."""
    seconds = sum(map(measurement.seconds_of, measurement.tasks(0)))
    limit = "" if deadline == math.inf else f", and it ends within {words.duration(deadline - time.monotonic())}"
    say(f"{len(measurement.rows)} rows, {len(measurement.allocators)} allocators, {measurement.rounds} rounds: about "
        f"{words.duration(seconds)}{limit}")


def results_make(measurement, chosen, pace, full):
    measured = measurement.rows_measured()
    measure.checksums_judge(measured)
    names = [allocator.name for allocator in chosen]
    return {
        "format": FORMAT, "made": time.strftime("%Y-%m-%d %H:%M"),
        "subject": allocators.SUBJECT if allocators.SUBJECT in names else names[0],
        "machine": machine.describe(measurement.compacts), "allocators": [allocator.describe() for allocator in chosen],
        "pace": vars(pace), "rounds": measurement.rounds_done, "full": full,
        "interrupted": measurement.interrupted, "rows": measured}


def any_failure(results):
    """Of the subject, or of the measuring itself. That another allocator crashes is a result."""
    return any(run["status"] == "service" or (run["status"] != "ok" and name == results["subject"])
               for row in results["rows"] for name, runs in row["runs"].items() for run in runs)


def write(results, folder, say, table=True):
    """All the files, and perhaps the table on stdout, which appears also when a disk is too full for the files."""
    summaries = summary.summarize(results)
    try:
        files_write(results, summaries, folder)
    finally:
        if table:
            print(tables.terminal(summaries, results), flush=True)
    say(f"written: {os.path.join(folder, 'report.html')} (open it in a browser), "
        "results.json, results.csv, table.md, overview.svg")


def files_write(results, summaries, folder):
    """The runs come first: everything else can be made from them again. What draws is loaded now, since 'compare'
    mostly draws nothing, and is in a hurry."""
    page = importlib.import_module("page")
    for name, content in (("results.json", lambda: json.dumps(results)),
                          ("results.csv", lambda: summary.csv_text(summaries, results)),
                          ("table.md", lambda: tables.markdown(summaries, results)),
                          ("report.html", lambda: page.page(summaries, results)),
                          ("overview.svg", lambda: page.overview_picture(summaries, results))):
        path = os.path.join(folder, name)
        try:
            with open(path, "w", encoding="utf-8", errors=text.ESCAPED, newline="") as file:
                file.write(content())
        except OSError as fault:
            # An error of writing does not know the file.
            raise OSError(fault.errno, fault.strerror, path) from fault


def report_main(arguments):
    parser = console.parser_new("report", "Writes the report again from a results.json.")
    parser.add_argument("results", metavar="RESULTS.json")
    parser.add_argument("--output", metavar="FOLDER", help="default: beside the results")
    options = parser.parse_args(arguments)
    say = console.Console().say
    folder = options.output or os.path.dirname(os.path.abspath(options.results))
    try:
        results = results_read(options.results)
        console.folder_prepare(folder)
    except allocators.Unavailable as fault:
        say(f"hakmem report: {fault}")
        return 2
    write(results, folder, say)
    return 0


def results_read(path):
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError) as fault:
        raise allocators.Unavailable(f"cannot read '{path}': {fault}") from fault
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise allocators.Unavailable(f"'{path}' does not hold results of this version of the lab")
    return results
