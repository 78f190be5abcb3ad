#!/usr/bin/env -S python3 -B
"""world.py - programs of Debian's packages on hakmem, each with real work, beside the same work on glibc.

A program passes when both runs end alike and write the same, hakmem was mapped in the processes that did the work,
and nothing in the hakmem run's output or logs comes from hakmem or tells of a process that died.
SPDX-License-Identifier: MIT"""
import argparse
import concurrent.futures
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import paths
import report
import run
from catalog import PROGRAMS
from trial import ALLOCATORS, HAKMEM, LIBC

# Importing these enters their programs, in this order.
import web, databases, languages, tools, media, desktop, system, misfits  # noqa: E401,F401 isort: skip

RUN_SECONDS = 900  # no run takes longer; works have shorter limits of their own
DIFFERENCE_LINES = 3


def options():
    parser = argparse.ArgumentParser(prog="make world ARGS=...", description=__doc__.split("\n")[0])
    parser.add_argument("--library", default="build/release/libhakmem.so", help="the library to be preloaded")
    parser.add_argument("--output", default="build/world", metavar="FOLDER", help="where table.md and report.html go")
    parser.add_argument("--quick", action="store_true", help="the part that .ci/run has: ten minutes at most")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these programs only")
    parser.add_argument("--check", action="store_true", help="with HAKMEM_CHECK=1")
    parser.add_argument("--idle", type=float, default=15, metavar="SECONDS", help="how long servers idle (15)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many programs at once (one for each CPU)")
    parser.add_argument("--keep", action="store_true", help="keep the folders of programs that failed, and say where")
    parser.add_argument("--list", action="store_true", help="name the programs")
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(arguments):
    unknown = [name for name in arguments.only or () if name not in PROGRAMS]
    if unknown:
        print(f"world.py: no program {', '.join(unknown)}; --list names them", file=sys.stderr)
        sys.exit(2)
    return [entry for entry in PROGRAMS.values()
            if (entry.is_quick or not arguments.quick) and (not arguments.only or entry.name in arguments.only)]


def perform_run(entry, allocator, folder, library, arguments):
    """The result of a run in a process of its own."""
    place = os.path.join(folder, f"{entry.name}.{allocator}")
    task = {"name": entry.name, "folder": place, "allocator": allocator, "library": library, "result": place + ".json",
            "is_checked": arguments.check, "idle_seconds": arguments.idle}
    with open(place + ".task", "w", encoding="utf-8") as file:
        json.dump(task, file)
    worker = subprocess.Popen([sys.executable, "-B", os.path.join(paths.SOURCE, "world.py"), "--worker",
                               place + ".task"], start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        worker.wait(RUN_SECONDS * (3 if arguments.check else 1))
    except subprocess.TimeoutExpired:
        worker.terminate()
        worker.wait()
        return {"verdict": "FAILED", "detail": f"no end within {RUN_SECONDS} s"}
    if not os.path.exists(task["result"]):
        return {"verdict": "FAILED", "detail": f"the run was ended by {worker.returncode}"}
    with open(task["result"], encoding="utf-8") as file:
        return json.load(file)


def difference(libc, hakmem):
    """Of two texts: the first lines that differ."""
    mine, theirs = libc.splitlines(), hakmem.splitlines()
    first = next((i for i, (one, other) in enumerate(zip(mine, theirs)) if one != other), min(len(mine), len(theirs)))
    return "\n".join(f"  {title}: {line[:200]}" for title, lines in (("glibc ", mine), ("hakmem", theirs))
                     for line in lines[first:first + DIFFERENCE_LINES] or ["(nothing more)"])


def verdict(runs):
    """(verdict, detail) of both runs together."""
    libc, hakmem = runs[LIBC], runs[HAKMEM]
    if libc["verdict"] != "passed":
        return libc["verdict"], ("without hakmem, too: " if libc["verdict"] == "FAILED" else "") + libc["detail"]
    if hakmem["verdict"] != "passed":
        return hakmem["verdict"], hakmem["detail"]
    for (label, expected), (found_label, found) in zip(libc["records"], hakmem["records"]):
        if (label, expected) != (found_label, found):
            return "FAILED", f"{label} differs\n{difference(expected, found)}"
    if len(libc["records"]) != len(hakmem["records"]):
        return "FAILED", f"{len(libc['records'])} records on glibc, {len(hakmem['records'])} on hakmem"
    return "passed", ""


def perform(entry, folder, library, arguments):
    """Both runs at the same time, and what they say together."""
    with concurrent.futures.ThreadPoolExecutor(len(ALLOCATORS)) as pool:
        results = list(pool.map(lambda allocator: perform_run(entry, allocator, folder, library, arguments),
                                ALLOCATORS))
    runs = dict(zip(ALLOCATORS, results))
    found, detail = verdict(runs)
    for allocator in ALLOCATORS:
        if not (arguments.keep and found == "FAILED"):
            shutil.rmtree(os.path.join(folder, f"{entry.name}.{allocator}"), ignore_errors=True)
    return {"name": entry.name, "version": run.version(entry.version), "verdict": found, "detail": detail,
            "runs": {allocator: {key: value for key, value in result.items() if key != "records"}
                     for allocator, result in runs.items()}}


def perform_all(entries, folder, library, arguments):
    """The outcomes in the order of entries; each is told as soon as it is known."""
    telling, told = threading.Lock(), 0

    def one(entry):
        nonlocal told
        begun = time.monotonic()
        outcome = perform(entry, folder, library, arguments)
        with telling:
            told += 1
            print(f"[{told}/{len(entries)}] {outcome['verdict']:7} {entry.name} ({time.monotonic() - begun:.0f} s)",
                  flush=True)
        return outcome

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(one, entry) for entry in entries]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            run.stop_all()
            raise


def copy_library(library, folder):
    """Where users without rights can read it, whatever the permissions above its own place."""
    os.chmod(folder, 0o755)
    copy = shutil.copy(library, folder)
    os.chmod(copy, 0o755)
    return copy


def write_reports(outcomes, arguments):
    about = (f"{time.strftime('%Y-%m-%d')}, {platform.platform()}, {os.cpu_count()} CPUs"
             + (", with HAKMEM_CHECK=1" if arguments.check else ""))
    os.makedirs(arguments.output, exist_ok=True)
    for name, text in (("table.md", report.markdown(outcomes, arguments.idle)),
                       ("report.html", report.page(outcomes, arguments.idle, about)),
                       ("results.json", json.dumps(outcomes, indent=1))):
        with open(os.path.join(arguments.output, name), "w", encoding="utf-8") as file:
            file.write(text)


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    arguments = options()
    if arguments.worker:
        with open(arguments.worker, encoding="utf-8") as file:
            task = json.load(file)
        return run.main(PROGRAMS[task["name"]], task)
    entries = chosen(arguments)
    if arguments.list:
        print("\n".join(entry.name + (" (quick)" if entry.is_quick else "") for entry in entries))
        return 0
    run.become_reaper()
    signal.signal(signal.SIGTERM, interrupted)
    folder = tempfile.mkdtemp(prefix="hakmem-world-")
    try:
        outcomes = perform_all(entries, folder, copy_library(arguments.library, folder), arguments)
    except KeyboardInterrupt:
        print("world.py: interrupted", file=sys.stderr)
        return 130
    finally:
        run.stop_all()
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    write_reports(outcomes, arguments)
    print("", report.terminal(outcomes, arguments.idle), "",
          f"written: {arguments.output}/report.html and table.md", report.summary(outcomes), sep="\n")
    return int(any(outcome["verdict"] == "FAILED" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
