#!/usr/bin/env python3
"""What the law of retention keeps, what that saves, and how far that is from the best that could have been done.

    retention.py --simulator PROGRAM --recorder LIBRARY --folder FOLDER [--keep MS] [--touch NS] [NAME...]

Traces are made in the folder when they are not there, by synthetic.py and by programs.py; then each is replayed. The
table has the free memory that was kept, in MiB on average, the page faults at memory that had been let go, in
thousands, and the cost of both together as a multiple of the best decisions in hindsight (docs/measuring.md).
SPDX-License-Identifier: MIT"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import programs
import synthetic

BEST = "hindsight"


def trace_write(name, recorder, path):
    draft = path + ".draft"
    if name in synthetic.TRACES:
        with open(draft, "w", encoding="ascii") as file:
            synthetic.TRACES[name](synthetic.Trace(file))
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            shutil.copy(programs.PROGRAMS[name](recorder, folder), draft)
    os.rename(draft, path)


def replay(simulator, settings, path):
    """What is true of the trace, and each policy's (kept MiB, faults, cost in ms)."""
    answer = subprocess.run([simulator, *settings, path], capture_output=True, text=True)
    if answer.returncode != 0:
        sys.exit(f"{path}: {answer.stderr.strip()}")
    rows = [line.split("\t") for line in answer.stdout.splitlines()]
    about = {row[0].removeprefix("# "): float(row[1]) for row in rows if row[0].startswith("# ") and len(row) == 2}
    return about, {row[0]: (float(row[2]), float(row[3]), float(row[4])) for row in rows if not row[0].startswith("# ")}


def cell(policy, best):
    kept, faults, cost = policy
    multiple = f"{cost / best:.2f}" if best > 0 else "-"
    return f"{kept:.1f}; {faults / 1000:.1f}; {multiple}"


def table_print(results):
    names = list(next(iter(results.values()))[1])
    print("| trace | seconds | live; in use | most in use; resident | first touches | " + " | ".join(names) + " |")
    print("|---|" + "---|" * (len(names) + 4))
    for trace, (about, policies) in results.items():
        best = policies[BEST][2]
        cells = [trace, f"{about['seconds']:.0f}", f"{about['live MiB']:.1f}; {about['in use MiB']:.1f}",
                 f"{about['most in use MiB']:.0f}; {about['most resident MiB']:.0f}",
                 f"{about['first touches'] / 1000:.1f}", *(cell(policies[name], best) for name in names)]
        print(f"| {' | '.join(cells)} |")


def main():
    known = [*synthetic.TRACES, *programs.PROGRAMS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--simulator", required=True)
    parser.add_argument("--recorder", required=True)
    parser.add_argument("--folder", required=True, help="for traces, which may be large")
    parser.add_argument("--keep", metavar="MS", help="keeping a page for so long costs as much as a page fault")
    parser.add_argument("--touch", metavar="NS", help="what a page fault takes")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(known)}; all if there is none")
    options = parser.parse_args()
    unknown = [name for name in options.name if name not in known]
    if unknown:
        parser.error(f"no trace '{unknown[0]}'; there are {', '.join(known)}")
    settings = [f"--{name}={getattr(options, name)}" for name in ("keep", "touch") if getattr(options, name)]
    os.makedirs(options.folder, exist_ok=True)
    results = {}
    for name in options.name or known:
        path = os.path.join(options.folder, f"{name}.trace")
        try:
            if not os.path.exists(path):
                trace_write(name, os.path.abspath(options.recorder), path)
            results[name] = replay(options.simulator, settings, path)
        except (programs.Missing, FileNotFoundError) as reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
    if results:
        table_print(results)


main()
