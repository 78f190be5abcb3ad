"""Programs that do something unusual with malloc, with the loader, with signals or with the kernel, and tools that look
into other programs. Most are small programs of ours (work/), since what they do is what matters.
SPDX-License-Identifier: MIT"""
import os
import platform
import re
import subprocess

import real
from catalog import program
from run import find
from trial import Failure, need

GCC_VERSION = "gcc -dumpfullversion"
PYTHON = real.PYTHON
PERL_WORK = "my %h; $h{$_ % 5000} .= $_ for 1 .. 60000; print length join '', map $h{$_}, sort keys %h"


def compile_work(run, source, output, *options, compiler="gcc", package="gcc"):
    """A program of work/, as gcc makes it without knowing what malloc does; ./OUTPUT."""
    run.take(source)
    run.build([need(compiler, package), "-O2", "-g", "-fno-builtin", "-o", output, source, *options, "-lpthread"])
    return "./" + output


# ---- The kernel's filter ---------------------------------------------------------------------------------------------


def system_service_calls():
    """The names of the system calls of @system-service, as this machine's systemd has it."""
    def members(group, known):
        text = subprocess.run([need("systemd-analyze", "systemd"), "syscall-filter", group], capture_output=True,
                              check=True, text=True).stdout
        for word in (line.strip() for line in text.splitlines()[1:]):
            if word.startswith("@") and word not in known:
                known.add(word)
                members(word, known)
            elif re.fullmatch(r"\w+", word):
                known.add(word)
        return known
    # Every filter of allowed calls has @default, too.
    return sorted(word for word in members("@system-service", set()) | members("@default", set()) if word[0] != "@")


@program("systemd-sandbox", ("blocks", "python3*"), "systemd-analyze --version", quick=True)
def systemd_sandbox(run):
    """A unit's SystemCallFilter=@system-service, whose default is to kill."""
    calls = "".join(f"#ifdef SYS_{name}\nSYS_{name},\n#endif\n" for name in system_service_calls())
    run.put("calls.h", calls)
    sandbox = compile_work(run, "sandbox.c", "sandbox")
    blocks = compile_work(run, "blocks.c", "blocks")
    run.run([sandbox, blocks, "30"])
    run.run([sandbox, need("python3", "python3"), os.path.join(real.SOURCE, "work.py"), "100"], **PYTHON)


# ---- Other mallocs ---------------------------------------------------------------------------------------------------


@program("musl", "blocks-musl", "dpkg-query -W musl-dev", quick=True)
def musl(run):
    run.run([compile_work(run, "blocks.c", "blocks-musl", compiler="musl-gcc", package="musl-tools"), "20"])


ALPINE_SASS = "https://registry.npmjs.org/sass-embedded-linux-musl-{0}/-/sass-embedded-linux-musl-{0}-1.105.0.tgz"
ALPINE_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


@program("alpine-sass", "dart", "dpkg-query -W musl")
def alpine_sass(run):
    """What Alpine's users run: Sass on the Dart VM, as its makers have built it there, from npm's registry."""
    need("musl-gcc", "musl-tools")
    machine = platform.machine()
    if machine not in ALPINE_MACHINES:
        raise Failure(f"there is no such program for {machine}")
    url = ALPINE_SASS.format(ALPINE_MACHINES[machine])
    run.build([need("curl", "curl"), "-sSfL", "--retry", "3", "-o", "sass.tgz", url])
    run.build([need("tar", "tar"), "xzf", "sass.tgz"])
    run.put("rules.scss", '@use "sass:math";\n' + "".join(
        f".c{i} {{ @for $j from 1 through 6 {{ &-#{{$j}} {{ width: math.div({i}px, $j); &:hover {{ top: $j * {i}px; }} }} }} }}\n"
        for i in range(4000)))
    run.run(["package/dart-sass/src/dart", "package/dart-sass/src/sass.snapshot", "rules.scss"])


@program("static", (), GCC_VERSION, quick=True)
def static(run):
    """Out of reach for preloading, and not to be harmed by it."""
    run.run([compile_work(run, "blocks.c", "blocks-static", "-static"), "20"])


@program("own-malloc", "own_malloc", GCC_VERSION, quick=True)
def own_malloc(run):
    """An executable that exports a malloc of its own, without the functions that came later, as Firefox does."""
    for name in ("own_malloc_library.cpp", "own_malloc.cpp"):
        run.take(name)
    gxx = need("g++", "g++")
    run.build([gxx, "-O2", "-fno-builtin", "-fPIC", "-shared", "-o", "library.so", "own_malloc_library.cpp"])
    run.build([gxx, "-O2", "-fno-builtin", "-rdynamic", "-o", "own_malloc", "own_malloc.cpp", "./library.so"])
    run.run(["./own_malloc"])


@program("own-operators", "operators", GCC_VERSION, quick=True)
def own_operators(run):
    """C++ that replaces two of the operators; the others have to call these."""
    run.take("operators.cpp")
    run.build([need("g++", "g++"), "-O2", "-fno-builtin", "-std=c++17", "-w", "-o", "operators", "operators.cpp"])
    run.run(["./operators"])


@program("deepbind", "deepbind", GCC_VERSION, quick=True)
def deepbind(run):
    compile_work(run, "plugin.c", "plugin.so", "-shared", "-fPIC")
    run.run([compile_work(run, "deepbind.c", "deepbind", "-ldl")])


@program("jemalloc-linked", "blocks", "dpkg-query -W libjemalloc2", quick=True)
def jemalloc_linked(run):
    run.run([compile_work(run, "blocks.c", "blocks", "-Wl,--no-as-needed", "-ljemalloc"), "40"])


# ---- Other libraries that are preloaded ------------------------------------------------------------------------------


@program("libfaketime", ("date", "python3*", "blocks"), "dpkg-query -W libfaketime", quick=True)
def libfaketime(run):
    library = find("/usr/lib/*/faketime/libfaketimeMT.so.1")
    run.put("faketimerc", "@2020-02-02 02:02:02")
    blocks = compile_work(run, "blocks.c", "blocks")
    script = "import time, json, sys; [json.loads(json.dumps(list(range(50000)))) for _ in range(20)]; " \
             "print(time.strftime('%F %H', time.gmtime()))"
    for place in ("PRELOAD_BEFORE", "PRELOAD_AFTER"):
        more = {place: library, "FAKETIME_NO_CACHE": "1", "FAKETIME_TIMESTAMP_FILE": run.path("faketimerc")}
        run.run(["sh", "-c", "date +%F; sleep 0.2; exec date +%H"], seconds=30, **more)
        run.run([need("python3", "python3"), "-c", script], seconds=60, **more, **PYTHON)
        run.run([blocks, "20"], seconds=60, **more)
    # One that lives for long enough to be seen.
    run.run(["sh", "-c", "{ cat; sleep 3; } | date -f - +%F"], stdin=b"2020-01-01\n" * 30000)


@program("fakeroot", ("tar", "gzip"), "fakeroot --version")
def fakeroot(run):
    run.folder_make("tree")
    run.put("make.sh", "cd tree && for i in $(seq 300); do echo $i >$i; chown $i:$i $i; done\n"
                       "tar --sort=name --mtime=@0 -czf ../all.tar.gz . && tar -tvf ../all.tar.gz\n"
                       "for i in $(seq 20); do tar --sort=name --mtime=@0 -cf - . ../all.tar.gz | gzip -9; done "
                       "| wc -c\n")
    run.run([need("fakeroot", "fakeroot"), "sh", "make.sh"])


@program("LD_AUDIT", "python3*", "python3 --version", quick=True)
def ld_audit(run):
    compile_work(run, "audit.c", "audit.so", "-shared", "-fPIC")
    run.run([need("python3", "python3"), os.path.join(real.SOURCE, "work.py"), "100"], LD_AUDIT=run.path("audit.so"),
            AUDIT_FILE=run.path("objects"), **PYTHON)
    run.expect(b"libc.so.6" in run.read("objects"), "the auditing library saw no libc")


# ---- Tools that look into programs -----------------------------------------------------------------------------------

# Valgrind 3.19 does not know process_madvise, and says so once.
VALGRIND_UNKNOWN = r"unhandled amd64-linux syscall|You may be able to write your own handler|Read the file README" \
                   r"|Nevertheless we consider this a bug|it at http://valgrind.org|^[-=]+\d+[-=]+ *(at|by) 0x"


@program("valgrind", ("memcheck-*", "callgrind-*"), "valgrind --version", quick=True)
def valgrind(run):
    blocks = compile_work(run, "blocks.c", "blocks")
    run.run([need("valgrind", "valgrind"), "-q", "--error-exitcode=9", blocks, "2"], leave_out=VALGRIND_UNKNOWN)
    run.run(["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=callgrind", blocks, "2"],
            leave_out=VALGRIND_UNKNOWN)
    run.run(["valgrind", "-q", "--error-exitcode=9", need("perl", "perl"), "-e", PERL_WORK], leave_out=VALGRIND_UNKNOWN)


@program("asan", ("blocks-gcc", "blocks-clang"), "clang --version", quick=True)
def asan(run):
    """In the executable, where it comes before what is preloaded; and as a library, which comes behind it."""
    inside = compile_work(run, "blocks.c", "blocks-gcc", "-fsanitize=address", "-static-libasan")
    clang = compile_work(run, "blocks.c", "blocks-clang", "-fsanitize=address", compiler="clang", package="clang")
    outside = compile_work(run, "blocks.c", "blocks-outside", "-fsanitize=address")
    for blocks in (inside, clang, outside):
        run.run([blocks, "4"], ASAN_OPTIONS="verify_asan_link_order=0")
    for blocks in (inside, clang):
        result = run.run([blocks, "use-after-free"], status=1, leave_out="")
        run.expect(b"heap-use-after-free" in result.err, "the sanitizer did not see the use after free")


# Some kernels place programs where the runtimes of gcc 12 and clang 14 do not want them.
UNSHUFFLED = ["setarch", "-R"]


@program("tsan", ("blocks-gcc", "blocks-clang"), "clang --version", quick=True)
def tsan(run):
    """With the sanitizer's runtime in the executable."""
    gcc = compile_work(run, "blocks.c", "blocks-gcc", "-fsanitize=thread", "-static-libtsan")
    clang = compile_work(run, "blocks.c", "blocks-clang", "-fsanitize=thread", compiler="clang", package="clang")
    for blocks in (gcc, clang):
        run.run([*UNSHUFFLED, blocks, "2"])


@program("tsan-shared", "blocks", GCC_VERSION, quick=True)
def tsan_shared(run):
    """With the runtime in a library of its own, behind what is preloaded: gcc's default."""
    run.run([*UNSHUFFLED, compile_work(run, "blocks.c", "blocks", "-fsanitize=thread"), "1"], seconds=60)


@program("gdb", ("gdb", "blocks"), "gdb --version")
def gdb(run):
    blocks = compile_work(run, "blocks.c", "blocks")
    run.put("script", "break done\nrun 4\nbacktrace 1\nprint threads_done\npython print(gdb.selected_frame().name())\n"
                      "print (long)strlen(strdup(\"called\"))\ncontinue\n")
    run.run([need("gdb", "gdb"), "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load no",
             "-x", "script", blocks], leave_out=r"Thread 0x|^\[|warning: |^$|Thread.*hit Breakpoint")
    big = [need("gdb", "gdb"), "-nx", "-batch", "-ex", "info functions block", "-ex", "info types .", blocks]
    run.run(big)


@program("heaptrack", "perl", "heaptrack --version")
def heaptrack(run):
    """It, too, is preloaded; how many calls it saw depends on the program alone."""
    run.run([need("heaptrack", "heaptrack"), "-o", "trace", need("perl", "perl"), "-e", PERL_WORK],
            leave_out=".", PERL_HASH_SEED="0")
    # perl asks malloc_usable_size for how far a string may grow in place, and blocks that are checked end where the
    # request did.
    if not run.is_checked:
        run.run(["sh", "-c", "heaptrack_print trace.* | sed -n 's/^calls to allocation functions: \\([0-9]*\\).*/\\1/p'"],
                client=True)


@program("strace", ("blocks", "strace"), "strace --version")
def strace(run):
    run.run([need("strace", "strace"), "-f", "-o", "calls", compile_work(run, "blocks.c", "blocks"), "4"])
    run.expect(b"exited with 0" in run.read("calls"), "strace saw no end")


@program("qemu-user", ("qemu-*",), "qemu-x86_64 --version")
def qemu_user(run):
    """The emulator on hakmem, and in it a program on hakmem."""
    machine = os.uname().machine
    emulator = need(f"qemu-{machine}", "qemu-user")
    run.run([emulator, compile_work(run, "blocks.c", "blocks"), "4"])
    run.run([emulator, need("python3", "python3"), os.path.join(real.SOURCE, "work.py"), "20"], **PYTHON)
