#!/usr/bin/env python3
"""Checks the order of the layers in src/: includes point only downwards, and only src/system/os_*.c talk to the system.
Lines must not be longer than 120 columns.

usage: check_layers.py [SRC]

Prints each violation as file:line and exits with 1 when there is one.
"""
import pathlib
import re
import sys

# The folders, from the ground up. A file may include what lies in lower ones, and of its own folder what does not come back
# to it. Tables (.def) and hakmem.h (the public interface) may be included anywhere; all.c includes everything.
FLOORS = ["base", "system", "heap", "policy", "cache", "insight", "front"]

# System headers that declare no system call are for everyone; all others for os_*.c alone, or for the files named.
PURE_HEADERS = {"errno.h", "limits.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h"}
OTHER_HEADERS = {"dlfcn.h": ["new.c", "replace.c"], "malloc.h": ["api.c"], "pthread.h": ["thread.c", "archive.c"], "stdio.h": ["api.c"],
                 "unwind.h": ["new.c"], "link.h": ["image.c", "replace.c"]}
SYSTEM_FILES = "os_*.c"
# Has the instructions for them.
MACHINE_FILE = "machine.h"
# Stands before functions of libc that make system calls, and passes them on.
FRONT_FILE = "front.c"

COLUMNS = 120

INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
SYSTEM_CALL = re.compile(r'\bsyscall\s*\(|"(syscall|svc|ecall|sc|int \$0x80)\b')


def is_for_system(path):
    return path.parent.name == "system" and path.match(SYSTEM_FILES)


def include_problem(path, kind, name):
    """What is wrong with one include of a file, or None."""
    if kind == "<":
        if name in PURE_HEADERS or is_for_system(path) or path.name in [FRONT_FILE, *OTHER_HEADERS.get(name, [])]:
            return None
        return f"<{name}> is not for this file: only {SYSTEM_FILES} talk to the system"
    included = pathlib.PurePath(name)
    if included.suffix == ".def" or name == "hakmem.h":
        return None
    floor = str(included.parent)
    if floor not in FLOORS:
        return f'"{name}" does not say which folder it is in, or that is none of {", ".join(FLOORS)}'
    if FLOORS.index(floor) > FLOORS.index(path.parent.name):
        return f'"{name}" is above {path.parent.name}/'
    return None


def includes(path):
    """The headers of its own folder that a file includes, but for its own."""
    names = (include.group(2) for include in map(INCLUDE.match, path.read_text(encoding="utf-8").splitlines()) if include)
    return [path.parent / pathlib.PurePath(name).name for name in names
            if name.startswith(path.parent.name + "/") and name.endswith(".h")]


def circle(files):
    """Headers of one folder that include each other, or None; a header stands for its source, too."""
    below = {}
    for path in files:
        own = path.with_suffix(".h")
        below.setdefault(own, set()).update(set(includes(path)) - {own})

    def walk(path, way):
        if path in way:
            return way[way.index(path):] + [path]
        found = (walk(lower, way + [path]) for lower in sorted(below.get(path, ())))
        return next((ring for ring in found if ring), None)

    rings = (walk(path, []) for path in sorted(below))
    return next((ring for ring in rings if ring), None)


def problems(path):
    source = path.read_text(encoding="utf-8")
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > COLUMNS:
            yield number, f"{len(line)} columns; {COLUMNS} are the most"
    # A comment becomes its line ends, so that the numbers of lines stay right.
    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), source)
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        problem = include_problem(path, *include.groups()) if include else None
        if problem:
            yield number, problem
        if not is_for_system(path) and path.name not in (MACHINE_FILE, FRONT_FILE) and SYSTEM_CALL.search(line):
            yield number, f"a system call; only {SYSTEM_FILES} make any"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    files = sorted(path for floor in FLOORS for path in (root / floor).glob("*.[ch]"))
    if not files:
        sys.exit(f"check_layers.py: no sources in {root}")
    found = [f"{path}:{number}: {problem}" for path in files for number, problem in problems(path)]
    found += [f"{path}: lies in none of {', '.join(FLOORS)}" for path in sorted(root.rglob("*.[ch]"))
              if path not in files and path.name != "all.c"]
    ring = circle(files)
    if ring:
        found.append("include each other: " + " -> ".join(str(path) for path in ring))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


main()
