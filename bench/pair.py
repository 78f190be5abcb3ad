#!/usr/bin/env python3
"""Instructions for one malloc + free pair, as callgrind counts them in the loop of bench/pair.c.

    pair.py --pair PROGRAM [--lib LIBRARY]... [--size BYTES]... [--live N]... [--limit N:MAX]...

Each figure comes from two runs that differ only in their number of iterations, so that start-up vanishes; nothing else
is subtracted. --lib takes the path of a shared library or the word glibc, --limit 64:50 fails when a pair with 64 live
blocks takes more than 50 instructions at any of the sizes. Needs valgrind.
SPDX-License-Identifier: MIT"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

PAIRS_SHORT = 6400
PAIRS_LONG = 70400


def instructions_count(program, library, size, live, pairs):
    """Instructions of a whole run of the loop. A preloaded library that did not serve it is an error."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("HAKMEM") and name != "LD_PRELOAD"}
    environment["HAKMEM_SAMPLE"] = "0"  # samples are slow, and few in a time that is much longer than this
    if library != "glibc":
        environment["LD_PRELOAD"] = os.path.abspath(library)
    with tempfile.TemporaryDirectory(prefix="hakmem-pair-") as folder:
        profile = os.path.join(folder, "profile")
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + profile,
                   program, str(size), str(live), str(pairs // live)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        if run.returncode != 0:
            sys.exit(f"pair.py: {' '.join(command)} failed with {run.returncode}:\n{run.stderr}")
        with open(profile, encoding="utf-8") as file:
            text = file.read()
    if library != "glibc" and any(name.startswith("libc.so") for name in objects_called(text)):
        sys.exit(f"pair.py: libc, not {library}, served the loop")
    return int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE).group(1))


def objects_called(profile):
    """File names of the objects that the loop called, `???` where callgrind knows none (it cannot place every library).
    callgrind names each object and function once, as `(id) name`."""
    objects = dict(re.findall(r"^c?ob=(\(\d+\)) (.+)$", profile, re.MULTILINE))
    loop = re.search(r"^c?fn=(\(\d+\)) pairs_run$", profile, re.MULTILINE).group(1)
    called = set()
    in_loop = False
    for line in profile.splitlines():
        key, _, value = line.partition("=")
        if key == "fn":
            in_loop = value.split(" ")[0] == loop
        elif key == "cob" and in_loop:
            called.add(os.path.basename(objects[value.split(" ")[0]]))
    return called


def pair_cost(program, library, size, live):
    short = instructions_count(program, library, size, live, PAIRS_SHORT)
    long = instructions_count(program, library, size, live, PAIRS_LONG)
    return (long - short) / (PAIRS_LONG - PAIRS_SHORT)


def limit_parse(text):
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError("expected LIVE:MAXIMUM, such as 64:50")
    return int(match.group(1)), int(match.group(2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", required=True, help="the program built from bench/pair.c")
    parser.add_argument("--lib", action="append", help="library to preload, or glibc (may be repeated)")
    parser.add_argument("--size", action="append", type=int, help="bytes (default: 64 and 8192)")
    parser.add_argument("--live", action="append", type=int, help="live blocks (default: 1 and 64)")
    parser.add_argument("--limit", action="append", type=limit_parse, default=[], metavar="LIVE:MAXIMUM")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("pair.py: valgrind is missing: apt-get install valgrind")

    libraries = options.lib or [os.path.join(os.path.dirname(options.pair), "..", "libhakmem.so")]
    limits = dict(options.limit)
    failed = False
    print(f"{'library':<24}{'size':>8}{'live':>6}{'instructions':>14}{'limit':>7}")
    for library in libraries:
        for size in options.size or [64, 8192]:
            for live in options.live or [1, 64]:
                cost = pair_cost(options.pair, library, size, live)
                too_many = live in limits and cost > limits[live]
                failed = failed or too_many
                print(f"{os.path.basename(library):<24}{size:>8}{live:>6}{cost:>14.1f}{limits.get(live, '-'):>7}"
                      f"{'  over the limit' if too_many else ''}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
