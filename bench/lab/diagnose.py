"""Why a program runs on its own allocator and not on another one that is preloaded. Looks at the program's files, at
what the dynamic linker wrote down while it ran, and, when a sandbox killed it, at what strace or the kernel say.
SPDX-License-Identifier: MIT"""
import contextlib
import glob
import os
import re
import shutil
import signal
from typing import NamedTuple

import allocators
import elf
import words

# How many interpreters of interpreters.
DEEPEST = 4
C_NAMES = ("malloc", "free", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign", "valloc", "pvalloc",
           "malloc_usable_size", "reallocarray")
CXX_PREFIXES = ("_Znw", "_Zna", "_Zdl", "_Zda")
SANITIZERS = {"asan": "AddressSanitizer", "tsan": "ThreadSanitizer", "msan": "MemorySanitizer",
              "hwasan": "HWAddressSanitizer", "lsan": "LeakSanitizer"}
# Libraries of allocators, by name.
KNOWN = re.compile(r"lib(jemalloc|tcmalloc|mimalloc|snmalloc|rpmalloc|hoard|scudo|tbbmalloc|hakmem)[\w.-]*\.so")
OPENED = re.compile(r"file=(.+?) \[\d+\];  dynamically loaded by")
BINDING = re.compile(r"binding file (.+?) \[(\d+)\] to (.+?) \[(\d+)\]: normal symbol [`'](\w+)'")
# The kernel's numbers of the system calls that an allocator makes.
SYSTEM_CALLS = {
    "x86-64": {3: "close", 9: "mmap", 10: "mprotect", 11: "munmap", 12: "brk", 17: "pread64", 25: "mremap",
               27: "mincore", 28: "madvise", 39: "getpid", 99: "sysinfo", 149: "mlock", 157: "prctl", 186: "gettid",
               202: "futex", 204: "sched_getaffinity", 228: "clock_gettime", 257: "openat", 309: "getcpu",
               310: "process_vm_readv", 318: "getrandom", 324: "membarrier", 334: "rseq", 440: "process_madvise"},
    "aarch64": {56: "openat", 57: "close", 67: "pread64", 98: "futex", 113: "clock_gettime", 123: "sched_getaffinity",
                167: "prctl", 168: "getcpu", 172: "getpid", 178: "gettid", 179: "sysinfo", 214: "brk", 215: "munmap",
                216: "mremap", 222: "mmap", 226: "mprotect", 228: "mlock", 232: "mincore", 233: "madvise",
                270: "process_vm_readv", 278: "getrandom", 283: "membarrier", 293: "rseq", 440: "process_madvise"},
}


class Edge(NamedTuple):
    """The dynamic linker has bound `name`, which `user` uses, to `target`."""
    user: str
    space: str
    target: str
    name: str


class Bindings(NamedTuple):
    """The edges of all processes, and the files that they loaded by dlopen."""
    edges: frozenset
    opened: frozenset


class Case(NamedTuple):
    """A run that failed on `allocator`, `moment` being when it began. trace(): runs it again under strace; what that
    wrote."""
    argv: list
    environment: dict
    allocator: allocators.Allocator
    bindings: Bindings
    exit_code: int
    moment: float
    trace: object


# ---- Which files -----------------------------------------------------------------------------------------------------


def program_chain(argv, environment):
    """The program, and when it is a script the interpreter that runs it; the last one is what the kernel loads."""
    path = shutil.which(argv[0], path=environment.get("PATH"))
    chain = []
    while path and len(chain) < DEEPEST:
        chain.append(path)
        line = script_line(path)
        path = line and shutil.which(interpreter_of(line), path=environment.get("PATH"))
    return chain


def script_line(path):
    """The words after #!; none for what is no script, or cannot be read."""
    with contextlib.suppress(OSError):
        with open(path, "rb") as file:
            head = file.read(256)
        if head[:2] == b"#!":
            return os.fsdecode(head[2:].split(b"\n")[0]).split()
    return []


def interpreter_of(line):
    """env(1) starts another one."""
    if os.path.basename(line[0]) != "env":
        return line[0]
    return next((word for word in line[1:] if not word.startswith("-") and "=" not in word), line[0])


# ---- Programs that nothing can be preloaded into ---------------------------------------------------------------------


def obstacle(argv, environment, library):
    """A sentence, or None when there is none."""
    chain = program_chain(argv, environment)
    if not chain:
        return None
    path = chain[-1]
    try:
        found = elf.read(path)
        wanted = elf.read(library)
    except (OSError, elf.Malformed):
        return None
    what = found and obstacle_of(path, found, wanted)
    return f"{path} {what}: nothing can be preloaded into it, and it keeps its own malloc." if what else None


def obstacle_of(path, found, wanted):
    if wanted and (found.bits, found.machine) != (wanted.bits, wanted.machine):
        return (f"is built for {found.machine} with {found.bits} bits, the library for {wanted.machine} with "
                f"{wanted.bits}")
    if gains_rights(path):
        return "runs with other rights than yours (setuid, setgid or file capabilities)"
    if found.interpreter or found.is_loader():
        return None
    if ".go.buildinfo" in found.sections or ".note.go.buildid" in found.sections:
        return "is a Go program without C code, which is statically linked and has an allocator of its own"
    return "is statically linked"


def gains_rights(path):
    """The dynamic linker then ignores LD_PRELOAD."""
    info = os.stat(path)
    has_capabilities = False
    with contextlib.suppress(OSError):
        has_capabilities = os.getuid() != 0 and bool(os.getxattr(path, "security.capability"))
    return (has_capabilities or bool(info.st_mode & 0o4000 and info.st_uid != os.getuid())
            or bool(info.st_mode & 0o2010 == 0o2010 and info.st_gid != os.getgid()))


# ---- What makes programs fail ----------------------------------------------------------------------------------------


def watch(folder):
    """Variables that make the dynamic linker write that down."""
    return {**allocators.bindings_watch(folder), "LD_DEBUG": "bindings,files"}


def bindings_read(folder):
    """What it wrote of allocation functions."""
    edges, opened = set(), set()
    for path in glob.glob(os.path.join(glob.escape(folder), "bindings.*")):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                match = BINDING.search(line)
                if match:
                    user, _, target, space, name = match.groups()
                    if name in C_NAMES or name.startswith(CXX_PREFIXES):
                        edges.add(Edge(user, space, target, name))
                elif match := OPENED.search(line):
                    opened.add(match[1])
    return Bindings(frozenset(edges), frozenset(opened))


def reasons(case):
    """Sentences, the most certain first. May be none."""
    if signal_of(case.exit_code) == signal.SIGSYS:
        return [seccomp_reason(case)]
    files = objects(case)
    found = [musl_reason(files, case), *deepbind_reasons(case)]
    for path, one in files.items():
        found += [sanitizer_reason(path, one), *own_malloc_reasons(path, one, case), other_allocator_reason(path, case)]
    return list(dict.fromkeys(filter(None, found)))


def signal_of(exit_code):
    """Of the program, or of a process that a shell waited for."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    return signal.Signals(number) if number in set(signal.Signals) else None


def objects(case):
    """The program's files and all that the dynamic linker bound names between, as far as they can be read."""
    paths = [*program_chain(case.argv, case.environment)[-1:]]
    paths += sorted({path for edge in case.bindings.edges for path in (edge.user, edge.target)})
    files = {}
    for path in paths:
        with contextlib.suppress(OSError, elf.Malformed):
            found = elf.read(path)
            if found and not is_system(path) and not allocators.same_file(path, case.allocator.library):
                files[path] = found
    return files


def is_libc(path):
    """Or the dynamic linker."""
    return re.match(r"(libc|ld|ld64)[-.]", os.path.basename(path)) is not None


def is_system(path):
    """Those that have allocation functions rightly."""
    return is_libc(path) or re.match(r"(libstdc\+\+|libc\+\+)\.", os.path.basename(path)) is not None


def musl_reason(files, case):
    path = next((path for path, one in files.items() if "ld-musl" in (one.interpreter or "")), None)
    with contextlib.suppress(OSError, elf.Malformed):
        if path and "libc.so.6" in elf.read(case.allocator.library).needed:
            return (f"{path} is linked with musl ({files[path].interpreter}), and {case.allocator.library} is built "
                    "for glibc.")
    return None


def deepbind_reasons(case):
    """Who got malloc from libc although another one was preloaded."""
    served = {(edge.user, edge.name) for edge in case.bindings.edges
              if allocators.same_file(edge.target, case.allocator.library)}
    own = [edge for edge in case.bindings.edges
           if edge.name in C_NAMES and is_libc(edge.target) and not is_libc(edge.user)
           and not allocators.same_file(edge.user, case.allocator.library)
           and (edge.user, edge.name) not in served]
    apart = sorted({edge.user for edge in own if edge.space != "0"})
    deep = sorted({edge.user for edge in own if edge.space == "0"})
    # The others came with these.
    deep = [path for path in deep if path in case.bindings.opened] or deep
    names = sorted({edge.name for edge in own if edge.space == "0"}, key=C_NAMES.index)
    found = []
    if deep:
        found.append(f"{few(deep)} {was_or_were(deep)} loaded with dlopen and RTLD_DEEPBIND: there, {few(names)} "
                     f"{is_or_are(names)} libc's and not {case.allocator.name}'s, and a block of one "
                     "reaches the free of the other.")
    if apart:
        found.append(f"{few(apart)} {was_or_were(apart)} loaded by dlmopen, with a libc and a malloc of its own.")
    return found


def sanitizer_reason(path, one):
    names = one.defines | one.uses
    for name, title in SANITIZERS.items():
        if f"__{name}_init" in names or any(f"lib{name}.so" in needed for needed in one.needed):
            return f"{path} is built with {title}, which has an allocator of its own that has to stay."
    return None


def own_malloc_reasons(path, one, case):
    """C's functions, and those of C++ that a program may replace. Of a library they matter when others get them."""
    if KNOWN.search(path) or (one.interpreter is None and all(edge.target != path or edge.user == path
                                                             for edge in case.bindings.edges)):
        return []
    offered = library_names(case.allocator.library)
    own = [name for name in C_NAMES if name in one.defines]
    lacking = [name for name in C_NAMES if name in offered and name not in one.defines]
    found = []
    if "malloc" in own or "free" in own:
        rest = f"It lacks {few(lacking)}, for which {case.allocator.name}'s {is_or_are(lacking)} used."
        found.append(f"{path} has an allocator of its own ({few(own)}). "
                     + (rest if lacking else f"That is used in place of {case.allocator.name}."))
    operators = [name for name in one.defines if name.startswith(CXX_PREFIXES)]
    others = [name for name in offered if name.startswith(CXX_PREFIXES) and name not in one.defines]
    if operators and others:
        found.append(f"{path} replaces {len(operators)} of the {len(operators) + len(others)} operators new and delete "
                     f"of C++, and gets the others from {case.allocator.name}.")
    return found


def own_mallocs(case):
    return [reason for path, one in objects(case).items() for reason in own_malloc_reasons(path, one, case)]


def library_names(path):
    with contextlib.suppress(OSError, elf.Malformed):
        found = elf.read(path)
        return found.defines if found else frozenset()
    return frozenset()


def other_allocator_reason(path, case):
    match = KNOWN.search(os.path.basename(path))
    return f"It loads another allocator, {match[1]} ({path}), beside {case.allocator.name}." if match else None


def few(names, most=3):
    names = list(names)
    return words.listing(names if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"])


def was_or_were(names):
    return "was" if len(names) == 1 else "were"


def is_or_are(names):
    return "is" if len(names) == 1 else "are"


# ---- Sandboxes -------------------------------------------------------------------------------------------------------


def seccomp_reason(case):
    call = call_by_strace(case) or call_by_kernel(case)
    return ("A seccomp filter, of the program's own or of a sandbox that it runs in, killed it (SIGSYS) "
            + (f"at the system call {call}, which it does not allow." if call else
               "at a system call that it does not allow. Where strace(1) is installed, this says which one."))


def call_by_strace(case):
    """The last call before the end. Nothing where strace is missing or may not trace."""
    if not shutil.which("strace", path=case.environment.get("PATH")):
        return None
    return call_before_end(case.trace())


def call_before_end(trace):
    last = {}
    for line in trace.splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.lstrip()
        told = re.search(r"SIGSYS.*si_syscall=__NR_(\w+)", rest)
        if told:
            return told[1]
        if "killed by SIGSYS" in rest:
            return last.get(process)
        call = re.match(r"(\w+)\(", rest)
        if call:
            last[process] = call[1]
    return None


def call_by_kernel(case):
    """From the kernel's log, which only root may read on many machines, and where not every kernel writes this."""
    machine = next((one.machine for one in objects(case).values()), None)
    lines = []
    with contextlib.suppress(OSError):
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            while True:
                lines.append(os.read(log, 8192).decode("utf-8", "replace"))
        finally:
            os.close(log)
    for line in reversed(lines):
        match = re.match(r"\d+,\d+,(\d+),.*\btype=1326\b.*\bsig=31\b.*\bsyscall=(\d+)", line)
        if match and int(match[1]) / 1e6 >= case.moment:
            return SYSTEM_CALLS.get(machine, {}).get(int(match[2]), f"number {match[2]}")
    return None
