#!/usr/bin/env python3
"""Checks the order of the layers in src/: includes point only downwards, and only src/os.c talks to the system.

usage: check_layers.py [SRC]

Prints each violation as file:line and exits with 1 when there is one.
"""
import pathlib
import re
import sys

# From the ground up. A file may include its own header, tables (.def) and the headers of lower layers, never those of
# its own layer or a higher one. hakmem.h (the public interface) may be included anywhere; all.c includes everything.
# A name without an ending stands for header and source. thread.h is what slow paths ask about the thread they run in;
# thread.c, which starts and ends threads and processes, sits on top of all that these paths use.
LAYERS = [
    ["base", "atomic", "word"],
    ["image"],
    ["os", "class", "replace.h"],
    ["text", "lock", "slabset", "retain", "prefault", "fill", "maps", "report"],
    ["error", "map", "meta", "store"],
    ["options", "span", "replace.c"],
    ["page", "policy"],
    ["purge"],
    ["remote", "group", "learn", "large", "check", "thread.h"],
    ["explain", "profile"],
    ["ring"],
    ["site"],
    ["slow", "stats"],
    ["derived"],
    ["malloc", "new", "thread.c", "front", "archive"],
    ["api"],
]

# System headers that declare no system call are for everyone; all others for os.c alone, or for the files named.
PURE_HEADERS = {"errno.h", "limits.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h"}
OTHER_HEADERS = {"dlfcn.h": ["new.c", "replace.c"], "malloc.h": ["api.c"], "pthread.h": ["thread.c", "archive.c"], "stdio.h": ["api.c"],
                 "unwind.h": ["new.c"], "link.h": ["image.c", "replace.c"]}
SYSTEM_FILE = "os.c"
# Stands before functions of libc that make system calls, and passes them on.
FRONT_FILE = "front.c"

INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
SYSTEM_CALL = re.compile(r'\bsyscall\s*\(|"(syscall|svc\b)')

LAYER_OF = {
    file: number
    for number, names in enumerate(LAYERS)
    for name in names
    for file in ([name] if "." in name else [name + ".h", name + ".c"])
}


def include_problem(path, kind, name):
    """What is wrong with one include of a file, or None."""
    if kind == "<":
        if name in PURE_HEADERS or path.name in [SYSTEM_FILE, FRONT_FILE, *OTHER_HEADERS.get(name, [])]:
            return None
        return f"<{name}> is not for this file: only {SYSTEM_FILE} talks to the system"
    included = pathlib.PurePath(name)
    if included.stem == path.stem or included.suffix == ".def" or name == "hakmem.h":
        return None
    if name not in LAYER_OF:
        return f'"{name}" stands in no layer of tools/check_layers.py'
    if LAYER_OF[name] >= LAYER_OF[path.name]:
        return f'"{name}" (layer {LAYER_OF[name]}) is not below {path.name} (layer {LAYER_OF[path.name]})'
    return None


def problems(path):
    if path.name not in LAYER_OF:
        yield 1, "this file stands in no layer of tools/check_layers.py"
        return
    # A comment becomes its line ends, so that the numbers of lines stay right.
    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), path.read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        problem = include_problem(path, *include.groups()) if include else None
        if problem:
            yield number, problem
        if path.name not in (SYSTEM_FILE, FRONT_FILE) and SYSTEM_CALL.search(line):
            yield number, f"a system call; only {SYSTEM_FILE} makes any"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    files = [path for path in sorted(root.glob("*.[ch]")) if path.name != "all.c"]
    if not files:
        sys.exit(f"check_layers.py: no sources in {root}")
    found = [f"{path}:{number}: {problem}" for path in files for number, problem in problems(path)]
    modules = {path.stem for path in files}
    found += [f"tools/check_layers.py: no file in {root} for {file}" for file in sorted(LAYER_OF)
              if pathlib.PurePath(file).stem not in modules]
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


main()
