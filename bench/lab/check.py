"""hakmem check: whether the working tree is slower or larger than a commit. For those who change hakmem.

A row fails only when it is worse in a first measurement and again in a second one: of many rows without any difference
some look worse once by chance, and a guard that cries at chance is soon ignored.
SPDX-License-Identifier: MIT"""
import contextlib
import os
import subprocess
import tempfile

import allocators
import console
import ending
import machine
import measure
import metrics
import rows
import stats
import summary
import tables
import words

PACE = rows.Pace(rounds=11, part=0.3, warmup=0.05, idle=2, scale=0.25)
CONFIRMING_ROUNDS = 21
# Below this, a difference is no reason to stop anyone, even a certain one.
SMALLEST = 0.02
# Of an instruction count, which has no noise.
SMALLEST_EXACT = 0.005
PAIR_SIZES = [16, 64, 1024, 8192]
NOW = "working tree"
DESCRIPTION = """Builds a commit beside the working tree and measures both in turn, on a short
list of rows. Ends with 1 and a table when a row is slower or needs more memory,
beyond its noise and by 2 % at least, in two measurements."""


def options_parse(arguments):
    parser = console.parser_new("check", DESCRIPTION)
    parser.add_argument("--against", metavar="COMMIT", default="HEAD", help="what to compare with (default: HEAD)")
    parser.add_argument("--source",
                        metavar="FOLDER",
                        default=os.path.join(console.HERE, "../.."),
                        help="the git repository")
    parser.add_argument("--only",
                        type=console.some_names,
                        metavar="WORD,...",
                        help="rows whose name contains one of the words")
    parser.add_argument("--rounds",
                        type=console.count,
                        metavar="N",
                        default=PACE.rounds,
                        help="of the first measurement (default: %(default)s)")
    parser.add_argument("--part", type=console.amount, default=PACE.part, metavar="X",
                        help="of a workload's own time, mostly a second, that a run takes (default: %(default)s)")
    console.compact_option(parser)
    return parser.parse_args(arguments)


def command(*argv):
    """Runs a step of the build; what it wrote is shown only when it fails."""
    run = subprocess.run(argv,
                         stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT,
                         encoding="utf-8",
                         errors="surrogateescape",
                         check=False)
    if run.returncode != 0:
        raise allocators.Unavailable(f"{' '.join(argv)} failed:\n{run.stdout[-3000:]}")
    return run.stdout.strip()


@contextlib.contextmanager
def commit_built(source, commit):
    """The library of a commit, built in a worktree of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hakmem-check-") as folder:
        tree, build = os.path.join(folder, "tree"), os.path.join(folder, "build")
        command("git", "-C", source, "worktree", "add", "--detach", tree, commit)
        try:
            command("cmake", "-S", tree, "-B", build, "-DCMAKE_BUILD_TYPE=Release")
            command("cmake", "--build", build, "--target", "hakmem", f"-j{len(machine.allowed_cpus())}")
            yield os.path.join(build, "libhakmem.so")
        finally:
            command("git", "-C", source, "worktree", "remove", "--force", tree)


def main(arguments):
    options = options_parse(arguments)
    screen = console.Console()
    try:
        if not options.workloads:
            raise allocators.Unavailable("the program hakmem-workloads is not there: --workloads tells where it is")
        now = allocators.allocator_find(allocators.SUBJECT, options.hakmem)._replace(name=NOW)
        name = command("git", "-C", options.source, "rev-parse", "--short", options.against + "^{commit}")
        screen.say(f"building {name}")
        with commit_built(options.source, name) as library:
            before = allocators.allocator_given(f"{name}={library}")
            return judge(options, [now, before], screen)
    except allocators.Unavailable as fault:
        screen.say(f"hakmem check: {fault}")
        return 2
    except KeyboardInterrupt:
        screen.say("interrupted: no verdict")
        return ending.status()


def judge(options, both, screen):
    chosen = rows_chosen(options)
    first = summaries_of(chosen, both, options.rounds, screen, options.compact)
    suspects = {summary.info["id"] for summary, name in figures_judged(first) if is_worse(summary, name)}
    failed = [summary for summary in first if summary.failures]
    second = []
    if suspects and not failed:
        screen.say(f"looks worse, measured again: {', '.join(sorted(suspects))}")
        second = summaries_of([row for row in chosen if row.id in suspects], both, CONFIRMING_ROUNDS, screen,
                              options.compact)
        failed += [summary for summary in second if summary.failures]
    confirmed = {(summary.info["id"], name) for summary, name in figures_judged(second) if is_worse(summary, name)}
    print("\n".join(verdict_table(first, second, both, confirmed)))
    for line in tables.failures_list(failed):
        print(line)
    if failed or confirmed:
        count = len(confirmed)
        print(f"\nWorse than {both[1].name}: {count} {'figure' if count == 1 else 'figures'}."
              if count else "\nRows failed.")
        return 1
    print(f"\nNothing is worse than {both[1].name}.")
    return 0


def rows_chosen(options):
    def wanted(name, listed):
        return any(word in name for word in options.only) if options.only else listed

    pace = rows.Pace(options.rounds, options.part, PACE.warmup, PACE.idle, PACE.scale)
    chosen = rows.workload_rows(options.workloads, pace,
                                lambda workload, variant: wanted(variant["id"], variant["check"]))
    pairs = rows.pair_rows(console.pair_program(options.workloads), PAIR_SIZES)
    return chosen + [row for row in pairs if wanted(row.id, True)]


def summaries_of(chosen, both, rounds, screen, compacts):
    measurement = measure.Measurement(chosen, both, rounds, screen.say, screen.progress(rounds), compacts)
    measurement.run()
    if measurement.interrupted:
        raise KeyboardInterrupt
    measured = measurement.rows_measured()
    measure.checksums_judge(measured)
    return [summary.row_summarize(row, [one.name for one in both], NOW) for row in measured]


def figures_judged(summaries):
    """Of each row its own figure and its memory."""
    for one in summaries:
        of_memory = metrics.MEMORY if one.info["kind"] == "memory" else ("peak",)
        for name in dict.fromkeys((*one.primary(), *of_memory)):
            if name in one.comparisons:
                yield one, name


def comparison_of(one, name):
    other = next(iter(one.comparisons[name]))
    better = one.metric(name).better
    now, before = ([metrics.cost(value, better)
                    for value in one.samples[name][allocator]]
                   for allocator in (NOW, other))
    return stats.compare(now,
                         before,
                         smallest=SMALLEST_EXACT if one.info["exact"] else SMALLEST,
                         exact=one.info["exact"])


def is_worse(one, name):
    comparison = comparison_of(one, name)
    return comparison.differs and comparison.ratio > 1


def verdict_table(first, second, both, confirmed):
    """Of a figure measured again, the second measurement is what counts, and what is shown."""
    again = {one.info["id"]: one for one in second}
    lines = []
    for one, name in figures_judged(first):
        one = again.get(one.info["id"], one)
        comparison = comparison_of(one, name)
        unit = one.metric(name).unit
        now, before = (words.quantity(one.figures[name][allocator.name].median, unit, short=True) for allocator in both)
        if (one.info["id"], name) in confirmed:
            said = "WORSE"
        else:
            said = "better" if comparison.differs and comparison.ratio < 1 else "no difference"
        lines.append([one.info["id"], one.metric(name).title, before, now, words.change(comparison.ratio),
                      words.span(comparison), said])
    return tables.columns_align(["row", "figure", both[1].name, "now", "cost", "interval", "verdict"], lines)
