#!/usr/bin/env python3
"""What the built library looks like from outside, as readelf sees it: exported names, thread-local storage, what it
needs and what it must not have.

    elf_test.py --library libhakmem.so --archive libhakmem.a --table src/front/symbols.def --libc src/front/libc.def
                --golden symbols.txt [--update]

--update writes the golden list anew from what the library exports.
SPDX-License-Identifier: MIT"""
import argparse
import re
import subprocess
import sys

TLS_BYTES_MAX = 64

# Functions that a preloaded malloc must not call by name, whatever src/front/libc.def says: another library may replace them and
# allocate in turn, or they allocate themselves. munmap, madvise and mremap are not among them: the library looks at their
# addresses and at their code, and calls them only where somebody has put other code there to be told (src/system/os_watch.c).
FORBIDDEN_IMPORTS = {
    "dlopen", "getenv", "secure_getenv", "sysconf", "syscall", "abort", "raise", "printf", "sbrk", "brk",
    "mmap", "mmap64", "mprotect", "open", "open64", "openat", "read", "write", "close", "clock_gettime",
    "pthread_mutex_lock", "__tls_get_addr", "malloc", "free", "calloc", "realloc",
}

# Functions that copy what a block holds, with copy_bytes (src/base/base.h says why not with memcpy). Compilers may put one
# into another, or apart what they take for cold in it.
COPYING = ("realloc_slow", "block_move", "arena_realloc", "move_in", "foreign_realloc")

# Every object with probes has it, and all have the same (src/insight/probe.c).
SHARED_NAME = "_.stapsdt.base"

failures = []


def expect(condition, message):
    if not condition:
        failures.append(message)


def expect_same(what, seen, wanted):
    expect(seen == wanted, f"{what}: missing {sorted(wanted - seen)}, too many {sorted(seen - wanted)}")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True).stdout


def table_text(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)


def table_names(path):
    """The names of the X(name, base) rows of the table, and of the S(name) rows: those of the shared library only."""
    text = table_text(path)
    return set(re.findall(r"\bX\((\w+), \w+\)", text)), set(re.findall(r"\bS\((\w+)\)", text))


def libc_names(path):
    """The names of src/front/libc.def, with the binding that a reference to each has."""
    return {name: "WEAK" if kind == "W" else "GLOBAL"
            for kind, name in re.findall(r"\b([XCDW])\((\w+)\)", table_text(path))}


def symbols(listing):
    """(name, type, binding, visibility, is defined) of each symbol in a listing of readelf."""
    pattern = r"^\s*\d+: [0-9a-f]+\s+\w+ (\w+)\s+(\w+)\s+(\w+)\s+(?:\[.*\]\s+)?(\w+)(?: (\S+))?"
    for kind, binding, visibility, section, name in re.findall(pattern, listing, re.MULTILINE):
        if name and kind not in ("SECTION", "FILE"):
            yield name, kind, binding, visibility, section != "UND"


def is_weak(name):
    """What a program that is linked with the archive may define itself, and what libc may."""
    return name.startswith(("_Z", "__libc_"))


def check_names(options):
    exported = {name: (kind, binding)
                for name, kind, binding, _, defined in symbols(readelf("--dyn-syms", options.library)) if defined}
    names = sorted(exported)
    if options.update:
        with open(options.golden, "w", encoding="utf-8") as file:
            file.write("".join(name + "\n" for name in names))
    with open(options.golden, encoding="utf-8") as file:
        golden = file.read().split()
    table, shared = table_names(options.table)
    for what, wanted in ((options.table, table | shared), (options.golden, set(golden))):
        expect_same(f"exported names, compared with {what}", set(names), wanted)
    for name in names:
        expect("@" not in name, f"{name}: exported names carry no version")
        wanted = ("FUNC", "WEAK" if is_weak(name) else "GLOBAL")
        expect(exported[name] == wanted, f"{name}: expected {wanted}, saw {exported[name]}")
    archived = {name for name, _, binding, visibility, defined in symbols(readelf("--syms", options.archive))
                if defined and binding != "LOCAL" and name != SHARED_NAME}
    expect_same(f"global names of {options.archive}", archived, table)


def check_imports(options):
    """What it takes from libc: the functions of the table, those that may be missing weakly, and no version of any, so
    that every glibc and musl has them."""
    listing = readelf("--dyn-syms", options.library)
    imported = {name: binding for name, _, binding, _, defined in symbols(listing) if not defined}
    allowed = libc_names(options.libc)
    bad = sorted((set(imported) | set(allowed)) & FORBIDDEN_IMPORTS)
    expect(not bad, f"the library calls {bad} by name: other libraries may replace them and call malloc")
    expect_same(f"imported names, compared with {options.libc}", set(imported), set(allowed) & set(imported))
    # What a compiler need not call, and what only some compilers' start files have.
    rare = set(re.findall(r"\bC\((\w+)\)", table_text(options.libc)))
    rare |= {name for name in allowed if re.match(r"_ITM_\w+|__gmon_start__|__cxa_finalize", name)}
    expect_same(f"names of {options.libc} that are not imported", set(allowed) - set(imported) - rare, set())
    for name, binding in sorted(imported.items()):
        wanted = allowed.get(name, binding)
        expect(binding == wanted, f"{name}: expected a {wanted} reference, saw {binding}")
    versions = readelf("--version-info", options.library)
    expect("needs section" not in versions, f"the library asks for versions of symbols:\n{versions}")


def check_dynamic(options):
    dynamic = readelf("--dynamic", options.library)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", dynamic)
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)\s+(.*)", dynamic))
    expect(needed == ["libc.so.6"], f"NEEDED: expected only libc.so.6, saw {needed}")
    expect(soname == ["libhakmem.so.0"], f"SONAME: expected libhakmem.so.0, saw {soname}")
    expect("NODELETE" in flags, f"flags: expected NODELETE (dlclose must not unmap running code), saw '{flags}'")
    expect("NOW" in flags, f"flags: expected NOW (no lazy binding within malloc), saw '{flags}'")
    for tag in ("TEXTREL", "RPATH", "RUNPATH"):
        expect(tag not in dynamic, f"the dynamic section has {tag}")


def check_segments(options):
    pattern = r"^\s+(\w+)\s+0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x(\w+) ([RWE ]{3})"
    segments = re.findall(pattern, readelf("--segments", options.library), re.MULTILINE)
    tls = [int(memory, 16) for kind, memory, _ in segments if kind == "TLS"]
    stack = [flags for kind, _, flags in segments if kind == "GNU_STACK"]
    expect(len(tls) == 1 and 0 < tls[0] <= TLS_BYTES_MAX, f"TLS: expected 1 to {TLS_BYTES_MAX} bytes, saw {tls}")
    expect(len(stack) == 1 and "E" not in stack[0], f"GNU_STACK: expected no executable stack, saw {stack}")
    expect(any(kind == "GNU_RELRO" for kind, _, _ in segments), "expected a GNU_RELRO segment")
    for kind, _, flags in segments:
        expect(kind != "LOAD" or not ("W" in flags and "E" in flags), f"a segment is writable and executable: {flags}")


def check_relocations(options):
    relocations = set(re.findall(r"R_\w+", readelf("--relocs", options.library)))
    # On aarch64 the initial-exec model's relocation is called TLS_TPREL.
    bad = sorted(name for name in relocations if re.search(r"DTPMOD|DTPOFF|DTPREL|TLSDESC|IRELATIV", name))
    expect(not bad, f"relocations that may call malloc or resolvers from within malloc: {bad}")
    initial_exec = any(re.search(r"TPOFF|TPREL", name) for name in relocations)
    expect(initial_exec, f"expected a relocation of initial-exec TLS, saw {sorted(relocations)}")


def check_copies(options):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", options.library], check=True, capture_output=True,
                          text=True).stdout
    copying = [(name, body) for name, body in re.findall(r"^[0-9a-f]+ <(\w+)[^>]*>:\n((?:.+\n)*)", text, re.MULTILINE)
               if name in COPYING]
    expect(any("memmove" in body for _, body in copying), f"expected calls of memmove in one of {COPYING}")
    for name, body in copying:
        expect(not re.search(r"rep movsb|<memcpy", body), f"{name}: expected no slow copy, saw memcpy or rep movsb")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("library", "archive", "table", "libc", "golden"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    for check in (check_names, check_imports, check_dynamic, check_segments, check_relocations, check_copies):
        check(options)
    for failure in failures:
        print("elf_test:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
