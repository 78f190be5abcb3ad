#!/usr/bin/env python3
"""The system calls of hakmem are those of src/system/system_calls.def, in each situation: programs run under strace, which tells
where each call comes from; what comes from the library's code is looked up in the table. A call that is not in it for the
situation is a failure, and so is one that no situation showed.

    calls_test.py --library libhakmem.so --program calls_program --table src/system/system_calls.def --docs docs/system-calls.md

SPDX-License-Identifier: MIT"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
ALWAYS = {"start", "pages", "use", "purge", "chance", "rare"}
UNSEEN = {"chance", "rare"}  # words of rows that need not be seen

# Of each: the program's argument, options, what happens there beside what always may.
SITUATIONS = [
    ("small", {}, set()),
    ("threads", {}, {"thread"}),
    ("children", {}, {"fork"}),
    ("very-large", {}, {"realloc"}),
    ("purges", {}, set()),
    ("learning", {"LEARN": "on", "LEARN_WINDOW_MS": "10"}, {"learn"}),
    ("filtered", {"LEARN": "on", "LEARN_WINDOW_MS": "10"}, {"learn", "found"}),
    ("very-large", {"HUGE": "always"}, {"realloc"}),
    ("very-large", {"HUGE": "never"}, {"realloc"}),
    ("locked", {}, {"locked"}),
    ("small", {"STATS": "1"}, {"stats"}),
    ("children", {"STATS": "all"}, {"stats", "fork"}),
    ("small", {"EXPLAIN": "1"}, {"explain"}),
    ("small", {"EXPLAIN": "json"}, {"explain"}),
    ("small", {"CONF_FILE": "{folder}/conf"}, {"conf"}),
    ("threads", {"SITES": "1"}, {"sites", "thread"}),
    ("learning", {"PROFILE": "{folder}/profile", "LEARN": "on", "LEARN_WINDOW_MS": "10"}, {"profile", "learn"}),
    ("learning", {"PROFILE": "{folder}/profile", "LEARN": "on", "LEARN_WINDOW_MS": "10"}, {"profile", "learn"}),
    ("learning", {"PROFILE": "{folder}/", "LEARN": "on", "LEARN_WINDOW_MS": "10"}, {"profile", "learn"}),
    ("learning", {"RECORD": "{folder}/record"}, {"record", "learn"}),
    ("children", {"RECORD": "{folder}/record.%p"}, {"record", "fork"}),
    ("threads", {"CHECK": "1"}, {"check", "thread"}),
    ("very-large", {"HARDEN": "1"}, {"harden", "realloc"}),
    ("threads", {"GUARD": "1", "SAMPLE": "1K", "GUARD_TELL": "1"}, {"guard", "thread"}),
    ("overflow", {"GUARD": "1", "SAMPLE": "1K", "GUARD_TELL": "1"}, {"guard", "fatal"}),
    ("fatal", {}, {"fatal"}),
    ("ignored", {}, {"fatal", "ignored"}),
]

# strace -i: [ip] call(arguments) = result
CALL = re.compile(r"^(?:\d+\s+)?\[([0-9a-f]+)\] (\w+)\((.*)")


def table_rows(path):
    """(call, argument, words) of each row."""
    text = re.sub(r"/\*.*?\*/", "", pathlib.Path(path).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(call, argument.replace('\\"', '"'), set(words.split()))
            for call, argument, words in re.findall(r'^X\((\w+), "((?:[^"\\]|\\.)*)", "([^"]*)"\)', text, re.MULTILINE)]


def row_name(call, argument):
    """How the documentation calls a row."""
    return (call + " " + argument.strip(', )"')).strip()


def docs_names(path):
    """The first column of the documentation's table."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    return [name for cell in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]*)`", cell)]


def calls_of(log, library):
    """(call, arguments) of each call made by the library's own code."""
    low = high = 0
    descriptor = None
    for line in log.splitlines():
        found = CALL.match(line)
        if not found:
            continue
        address, call, rest = int(found[1], 16), found[2], found[3]
        if low <= address < high:
            yield call, rest
        elif call == "execve":
            low = high = 0
        elif call == "openat" and f'"{library}"' in rest:
            descriptor = rest.rsplit("= ", 1)[-1].strip()
        elif call == "mmap" and descriptor and f", {descriptor}, 0)" in rest and high == 0:
            low = int(rest.rsplit("= ", 1)[-1], 16)
            high = low + int(rest.split(", ")[1])


def run(options, situation, settings, folder):
    """What strace has seen of a program in a situation, and how the program ended."""
    log = os.path.join(folder, "log")
    pathlib.Path(folder, "conf").write_text("learn = off\n", encoding="utf-8")
    environment = [f"LD_PRELOAD={options.library}", "HAKMEM_LEARN=off"]
    environment += [f"HAKMEM_{name}={value.format(folder=folder)}" for name, value in settings.items()]
    command = ["strace", "-f", "-i", "-s", "64", "-o", log]
    for setting in environment:
        command += ["-E", setting]
    done = subprocess.run([*command, options.program, situation], capture_output=True, text=True, timeout=120, check=False)
    return pathlib.Path(log).read_text(encoding="utf-8", errors="replace"), done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("library", "program", "table", "docs"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    if not shutil.which("strace") or subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode != 0:
        print("skipped: strace is not here, or not allowed")
        return SKIPPED
    rows = table_rows(options.table)
    failures = []
    names = [row_name(call, argument) for call, argument, _ in rows]
    documented = docs_names(options.docs)
    if sorted(names) != sorted(documented):
        failures.append(f"{options.docs} has no rows for {sorted(set(names) - set(documented))}, and some that "
                        f"{options.table} lacks: {sorted(set(documented) - set(names))}")
    seen = set()
    unseen = set(UNSEEN)
    for situation, settings, words in SITUATIONS:
        what = " ".join([situation, *(f"HAKMEM_{name}={value}" for name, value in settings.items())])
        with tempfile.TemporaryDirectory() as folder:
            log, done = run(options, situation, settings, folder)
        if done.returncode == SKIPPED:
            print(f"{what}: not allowed here")
            unseen |= words
            continue
        ends_well = done.returncode == 0 or "fatal" in words
        if not ends_well:
            failures.append(f"{what}: ended with {done.returncode}: {done.stderr}")
        count = 0
        for call, arguments in calls_of(log, os.path.realpath(options.library)):
            count += 1
            row = next((i for i, row in enumerate(rows) if row[0] == call and row[1] in arguments), None)
            if row is None:
                failures.append(f"{what}: {call}({arguments} is not in {options.table}")
            elif not rows[row][2] & (words | ALWAYS):
                failures.append(f"{what}: {call}({arguments} is only expected in {sorted(rows[row][2])}")
            seen.add(row)
        print(f"{what}: {count} system calls")
        if count == 0:
            failures.append(f"{what}: no call of the library was seen: nothing was tested")
    failures += [f"{names[i]}: never seen in {sorted(row[2])}" for i, row in enumerate(rows)
                 if i not in seen and not row[2] & unseen]
    for failure in dict.fromkeys(failures):
        print("calls_test:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
