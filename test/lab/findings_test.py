#!/usr/bin/env python3
"""Programs that fail on one allocator only: findings_test.py TOOL, the built command `hakmem`. The allocator is one of
the test's own, which aborts at a block that is not its own and asks for nothing of the kind that hakmem may have an
answer to; what hakmem does with these programs is tested elsewhere.
SPDX-License-Identifier: MIT"""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import fixture  # noqa: F401 (finds the lab)

import allocators
import diagnose
import elf

TOOL = os.path.abspath(sys.argv.pop())
# Generous, for a machine that does much else; said is how long it took.
SECONDS = 30

STRICT = """
    #define _GNU_SOURCE
    #include <stddef.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static char heap[64 << 20];
    static size_t used;
    static int is_own(void *p) { return (char *)p >= heap && (char *)p < heap + sizeof heap; }
    void *aligned_alloc(size_t a, size_t n)
    {
        size_t at = (__atomic_load_n(&used, 5) + a + 31) / a * a;
        used = at + (n + 31) / 16 * 16;
        ((size_t *)(heap + at))[-2] = n;
    #ifdef CALL
        syscall(CALL, heap, 1, 0);
    #endif
        return heap + at;
    }
    void *malloc(size_t n) { return aligned_alloc(16, n); }
    void *calloc(size_t a, size_t n) { return memset(malloc(a * n), 0, a * n); }
    void free(void *p) { if (p && !is_own(p)) { static const char text[] = "strict: not mine\\n";
        if (write(2, text, sizeof text - 1)) abort(); } }
    void *realloc(void *p, size_t n)
    {
        if (p && !is_own(p)) abort();
        void *q = malloc(n);
        return p ? memcpy(q, p, ((size_t *)p)[-2] < n ? ((size_t *)p)[-2] : n) : q;
    }
    int posix_memalign(void **p, size_t a, size_t n) { *p = aligned_alloc(a, n); return 0; }
    #ifndef PART
    void *memalign(size_t a, size_t n) { return aligned_alloc(a, n); }
    void *reallocarray(void *p, size_t a, size_t n) { return realloc(p, a * n); }
    size_t malloc_usable_size(void *p) { return p ? ((size_t *)p)[-2] : 0; }
    #endif
"""
MAIN = "#include <stdlib.h>\nint main(void) { free(malloc(9)); return 0; }"
PLUGIN = "#include <stdlib.h>\nvoid drop(void *p) { free(p); }\nvoid *make(void) { return malloc(9); }"
OPENER = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stdlib.h>
    int main(void)
    {
        void *plugin = OPEN;
        if (!plugin) return 9;
        void *(*make)(void) = (void *(*)(void))dlsym(plugin, "make");
        free(make());
        return 0;
    }
"""
PARTLY = "#define PART\n" + STRICT + """
    #include <malloc.h>
    int main(void) { void *p = memalign(64, 640); free(malloc(3)); return malloc_usable_size(p) < 640 ? 1 :
                     !is_own(p) && getenv("LD_PRELOAD") ? (free(p), 1) : 0; }
"""
# Kills at the system call of that number, from now on.
SANDBOX = """
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stddef.h>
    #include <stdlib.h>
    #include <sys/prctl.h>
    #include <unistd.h>
    int main(int count, char **v)
    {
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(v[1]), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        struct sock_fprog program = {4, filter};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 9;
        execvp(v[2], v + 2);
        return count;
    }
"""


def built(name, source, *options, compiler="cc"):
    path = FOLDER / (name + ".c")
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    subprocess.run([compiler, "-w", "-O1", "-fno-builtin", path, "-o", FOLDER / name, *options], check=True)
    return str(FOLDER / name)


def setUpModule():
    global FOLDER, LIBRARY
    keeper = tempfile.TemporaryDirectory(prefix="hakmem-findings-")
    unittest.addModuleCleanup(keeper.cleanup)
    FOLDER = pathlib.Path(os.path.realpath(keeper.name))
    LIBRARY = built("libstrict.so", STRICT, "-shared", "-fPIC")
    built("plugin.so", PLUGIN, "-shared", "-fPIC")


def compared(*argv, library=None):
    """The finished compare of hakmem, glibc and our strict allocator, and its text in one line for each paragraph."""
    started = time.monotonic()
    found = subprocess.run([TOOL, "compare", "-n", "1", "--with", f"strict={library or LIBRARY}", "--", *argv],
                           stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
                           timeout=300, check=False)
    print(f"  {time.monotonic() - started:5.2f} s: {os.path.basename(argv[0])}", file=sys.stderr)
    return found, [re.sub(r"\s+", " ", part) for part in found.stdout.split("\n\n")]


class Findings(unittest.TestCase):
    def fails(self, paragraph, *argv, library=None):
        """On the strict allocator only, for that reason; what remains is measured."""
        found, text = compared(*argv, library=library)
        self.assertEqual(found.returncode, 3, found.stdout + found.stderr)
        self.assertTrue(text[0].endswith(": fails on strict"), text)
        self.assertRegex("\n".join(text), paragraph)
        self.assertRegex(found.stdout, r"(?m)^hakmem +\d")
        return text

    def test_deepbind(self):
        program = built("deep", OPENER, f'-DOPEN=dlopen("{FOLDER}/plugin.so",RTLD_NOW|RTLD_DEEPBIND)')
        found, text = compared(program)
        self.assertEqual(found.returncode, 3, found.stdout + found.stderr)
        self.assertIn("On strict the program is ended by SIGABRT, and on its own allocator it ends with status 0. "
                      "Nothing is measured on strict.", text)
        self.assertIn("The last that it wrote: strict: not mine", text)
        self.assertIn(f"Why: {FOLDER}/plugin.so was loaded with dlopen and RTLD_DEEPBIND: there, malloc and free are "
                      "libc's and not strict's, and a block of one reaches the free of the other.", text)
        seconds = re.search(r"Found out within ([\d.]+) (m?s)", text[-2] + text[-1] + " ".join(text))
        self.assertLess(float(seconds[1]) / (1000 if seconds[2] == "ms" else 1), SECONDS)

    def test_dlmopen(self):
        program = built("apart", OPENER, f'-DOPEN=dlmopen(LM_ID_NEWLM,"{FOLDER}/plugin.so",RTLD_NOW)')
        found, text = compared(program)
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertIn(f"{FOLDER}/plugin.so was loaded by dlmopen, with a libc and a malloc of its own.",
                      " ".join(text))

    def test_a_part_of_malloc(self):
        program = built("partly", PARTLY, "-rdynamic")
        if subprocess.run([program], check=False).returncode:
            self.skipTest("this libc looks at foreign blocks")
        found, text = compared(program)
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertRegex(" ".join(text), f"{program} has an allocator of its own \\(malloc, free, calloc and 3 more"
                                         "\\). It lacks .*memalign.*, for which strict's are used.")

    def test_sandbox(self):
        number = {"x86_64": 27, "aarch64": 232}.get(os.uname().machine)
        library = built("libcalls.so", STRICT, "-shared", "-fPIC", f"-DCALL={number}")
        sandbox, program = built("sandbox", SANDBOX), built("inside", MAIN)
        # The sandbox's own calls come before its filter.
        for argv in ([sandbox, str(number), program], ["sh", "-c", f"{sandbox} {number} {program}"]):
            text = self.fails("A seccomp filter", *argv, library=library)
            if shutil.which("strace"):
                self.assertRegex("\n".join(text), "at the system call mincore, which it does not allow")

    def test_nothing_known(self):
        program = built("odd", '#include <stdlib.h>\n#include <string.h>\n'
                               'int main(void) { char *p = getenv("LD_PRELOAD"); return p && strstr(p, "strict") ? 5 : 0; }')
        text = self.fails("Why could not be found out", program)
        self.assertIn("On strict the program ends with status 5, and on its own allocator it ends with status 0. "
                      "Nothing is measured on strict.", text)

    def test_by_chance(self):
        """A program that ends differently on one allocator, too, shows nothing."""
        counter = FOLDER / "counter"
        counter.write_text("")
        found, text = compared("sh", "-c", f'echo >>{counter}; exit $(($(wc -l <{counter}) % 100))')
        self.assertNotEqual(found.returncode, 3, found.stdout)
        self.assertRegex(text[0], ": fails on every allocator$")

    def test_on_glibc_only(self):
        program = built("own", '#include <stdlib.h>\nint main(void) { if (!getenv("LD_PRELOAD")) abort(); return 0; }')
        found, text = compared(program)
        self.assertEqual(found.returncode, 3, found.stdout)
        self.assertIn("On its own allocator the program is ended by SIGABRT, but not on hakmem.", " ".join(text))

    def test_the_same_on_all_is_no_finding(self):
        found, _ = compared("sh", "-c", "kill -SEGV $$")
        self.assertEqual(found.returncode, 1)


class Unreachable(unittest.TestCase):
    def unreachable(self, sentence, *argv):
        found, text = compared(*argv)
        self.assertEqual(found.returncode, 3, found.stdout + found.stderr)
        self.assertRegex(" ".join(text), sentence)
        self.assertNotIn("wall time", found.stdout)

    def test_static(self):
        program = built("static", MAIN, "-static")
        self.unreachable("static is statically linked: nothing can be preloaded", program)
        script = FOLDER / "script"
        script.write_text(f"#!{program}\n", encoding="utf-8")
        script.chmod(0o755)
        self.unreachable("/static is statically linked", str(script))

    def test_a_malloc_of_its_own(self):
        program = built("whole", STRICT + MAIN.replace("#include <stdlib.h>", ""), "-rdynamic")
        self.unreachable("whole has an allocator of its own", program)

    def test_another_architecture(self):
        try:
            program = built("narrow", MAIN, "-m32")
        except subprocess.CalledProcessError:
            self.skipTest("no compiler for 32 bits")
        self.unreachable("narrow is built for i386 with 32 bits, the library for x86-64 with 64", program)


class Diagnosis(unittest.TestCase):
    """Without running anything."""

    def case(self, program, edges=(), exit_code=-6, trace=""):
        return diagnose.Case([program], dict(os.environ), allocators.Allocator("strict", LIBRARY),
                             diagnose.Bindings(frozenset(edges), frozenset()), exit_code, 0, lambda: trace)

    def test_musl(self):
        if not shutil.which("musl-gcc"):
            self.skipTest("no musl-gcc")
        program = built("musl", MAIN, compiler="musl-gcc")
        [reason] = diagnose.reasons(self.case(program))
        self.assertRegex(reason, r"/musl is linked with musl \(/lib/ld-musl.*\), and .*libstrict.so is built for glibc")

    def test_sanitizer(self):
        try:
            program = built("sanitized", MAIN, "-fsanitize=address")
        except subprocess.CalledProcessError:
            self.skipTest("no AddressSanitizer")
        self.assertIn("is built with AddressSanitizer", diagnose.reasons(self.case(program))[0])

    def test_another_allocator(self):
        path = allocators.library_find("libjemalloc.so*")
        if not path:
            self.skipTest("no jemalloc")
        edges = [diagnose.Edge(built("user", MAIN), "0", path, "malloc")]
        self.assertEqual(diagnose.reasons(self.case("true", edges)),
                         [f"It loads another allocator, jemalloc ({path}), beside strict."])

    def test_scripts_are_their_interpreters(self):
        for line, last in (("#!/bin/cat", "cat"), ("#! /usr/bin/env cat", "cat"),
                           ("#!/usr/bin/env -S A=b cat -n", "cat"), ("#!/no/such", "script"), ("no script", "script"), ("#!", "script")):
            script = FOLDER / "script"
            script.write_text(line + "\n", encoding="utf-8")
            script.chmod(0o755)
            self.assertEqual(os.path.basename(diagnose.program_chain([str(script)], os.environ)[-1]), last, line)

    def test_rights(self):
        if os.getuid() != 0:
            self.skipTest("only root can make a program of another user's")
        program = built("privileged", MAIN)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        self.assertIn("runs with other rights than yours", diagnose.obstacle([program], dict(os.environ), LIBRARY))

    def test_what_strace_says(self):
        self.assertEqual(diagnose.call_before_end("7  mmap(0, 1) = 5\n8  mincore(0x1, 2\n7  brk(0) = ?\n"
                                                  "8  +++ killed by SIGSYS (core dumped) +++\n"), "mincore")
        self.assertEqual(diagnose.call_before_end("7  --- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP, "
                                                  "si_syscall=__NR_madvise, si_arch=X} ---\n"), "madvise")
        self.assertIsNone(diagnose.call_before_end("7  mmap(0, 1) = 5\nnonsense\n\n"))

    def test_statuses(self):
        self.assertEqual([diagnose.signal_of(code) for code in (0, 5, 128, 134, -31, 159, 255)],
                         [None, None, None, 6, 31, 31, None])


class Elf(unittest.TestCase):
    def test_what_files_say(self):
        found = elf.read(LIBRARY)
        self.assertLessEqual({"malloc", "free", "reallocarray"}, found.defines)
        self.assertIn("write", found.uses)
        self.assertEqual((found.interpreter, found.needed), (None, ["libc.so.6"]))
        self.assertIn("ld", elf.read(built("plain", MAIN)).interpreter)
        self.assertIsNone(elf.read(__file__))

    def test_damaged_files(self):
        """Of whatever kind, they are read or refused."""
        good = pathlib.Path(LIBRARY).read_bytes()
        path, chance = FOLDER / "damaged", random.Random(1)
        for number in range(1500):
            data = bytearray(good)
            for _ in range(chance.choice((1, 4, 30))):
                data[chance.randrange(chance.choice((64, 900, len(data))))] = chance.randrange(256)
            path.write_bytes(data[:chance.randrange(len(data))] if number % 3 == 0 else data)
            try:
                elf.read(path)
            except elf.Malformed as fault:
                self.assertIn("ELF", str(fault))


if __name__ == "__main__":
    unittest.main()
