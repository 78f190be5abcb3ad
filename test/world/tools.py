"""Programs of a command line: compilers, compressors, version control, editors, multiplexers.
SPDX-License-Identifier: MIT"""
import time

import inputs
import real
from catalog import program
from trial import need


class RealTrial:
    """A run as the tests of ../real know it: there one call covers both allocators, here each has its own."""

    def __init__(self, run):
        self.run = run

    def compare(self, argv, **options):
        return self.run.run(argv, **options).out

    def compare_files(self, pattern):
        self.run.record_files(pattern)

    def put(self, name, contents):
        self.run.put(name, contents)

    def prove(self, *_, **__):
        """The memory maps prove it."""


def enter_real(name, works_in, version):
    program(name, works_in, version)(lambda run: real.TESTS[name](RealTrial(run)))


enter_real("git", "git", "git --version")
enter_real("compiler", ("cc1", "cc1plus", "*ld*"), "gcc --version")
enter_real("xz", "xz", "xz --version")
enter_real("zstd", "zstd", "zstd --version")


@program("7z", "7zr", "7zr")
def seven_zip(run):
    run.put("plain", inputs.text(8 << 20))
    run.run([need("7zr", "p7zip"), "a", "-mx=5", "-mmt=2", "all.7z", "plain"], leave_out="")
    run.run(["7zr", "x", "-so", "all.7z"])


@program("pigz", "pigz", "pigz --version")
def pigz(run):
    run.put("plain", inputs.text(32 << 20))
    run.run([need("pigz", "pigz"), "-p", "4", "-n", "-k", "plain"])
    run.record_files(r"plain\.gz")
    run.run(["pigz", "-d", "-c", "plain.gz"])


@program("clang", "clang*", "clang --version")
def clang(run):
    for unit in range(2):
        run.put(f"unit{unit}.cc", inputs.cxx_source(unit, 2))
    for level in ("-O0", "-O2"):
        for unit in range(2):
            run.run([need("clang++", "clang"), level, "-std=c++17", "-c", "-o", f"unit{unit}{level}.o",
                     f"unit{unit}.cc"])
    run.record_files(r".*\.o")


@program("cmake", "cmake", "cmake --version")
def cmake(run):
    run.put("a.c", "int main(void) { return 0; }\n")
    lines = [f"add_library(part{i} OBJECT a.c)\ntarget_include_directories(part{i} PRIVATE i{i % 7})\n"
             f"add_custom_command(OUTPUT o{i} COMMAND true DEPENDS part{i})" for i in range(500)]
    run.put("CMakeLists.txt", "cmake_minimum_required(VERSION 3.20)\nproject(many C)\n" + "\n".join(lines))
    run.run([need("cmake", "cmake"), "-S", ".", "-B", "made", "-DCMAKE_BUILD_TYPE=Release"], leave_out="")
    run.run(["cmake", "--build", "made", "-j2", "--target", "part7"], leave_out=r"^\[|Building|Built")


@program("jq", "jq", "jq --version")
def jq(run):
    records = ",".join(f'{{"id":{i},"name":"record {i * 7919 % 1000}","tags":[{i % 9},{i % 7}]}}' for i in range(20000))
    run.put("all.json", f"[{records}]")
    run.run([need("jq", "jq"), "-S", "group_by(.name) | map({name: .[0].name, tags: [.[].tags[]] | add})", "all.json"])
    run.run(["jq", "map(.name | ascii_upcase | gsub(\"(?<d>[0-9])\"; \"<\\(.d)>\")) | unique | length", "all.json"])


@program("rsync", "rsync", "rsync --version")
def rsync(run):
    text = inputs.text(2 << 20)
    for i in range(400):
        run.put(f"tree/{i % 20}/file{i}", text[i * 1000:i * 3000])
    run.run([need("rsync", "rsync"), "-a", "tree/", "copy"], leave_out="")
    run.put("tree/0/file0", b"changed")
    run.run(["rsync", "-a", "--delete", "--checksum", "--no-whole-file", "-i", "tree/", "copy"])
    run.record_files(".*", "copy")


@program("doxygen", "doxygen", "doxygen --version")
def doxygen(run):
    for unit in range(6):
        run.put(f"source/unit{unit}.cc", inputs.cxx_source(unit, 3))
    run.put("Doxyfile", "INPUT = source\nEXTRACT_ALL = YES\nQUIET = YES\nWARNINGS = NO\nGENERATE_LATEX = NO\n"
                        "HTML_TIMESTAMP = NO\nSOURCE_BROWSER = YES\nHAVE_DOT = NO\nNUM_PROC_THREADS = 2\n"
                        "GENERATE_XML = YES\n")
    run.run([need("doxygen", "doxygen")])
    run.record_files(r".*\.html", "html")


@program("vim", "vim*", "vim --version")
def vim(run):
    run.put("text", inputs.text(1 << 20))
    run.put("script", "set undolevels=1000\n%s/\\w\\+/<&>/g\n%sort\ng/a/normal dw\nundo\nredo\n"
                      "%s/\\(e\\)\\(.\\)/\\2\\1/ge\n"
                      "call setline(1, map(range(20000), 'printf(\"%d %s\", v:val, repeat(\"x\", v:val % 50))'))\n"
                      "saveas! changed\nqall!\n")
    run.run([need("vim.nox", "vim-nox"), "-es", "-N", "-u", "NONE", "-i", "NONE", "-S", "script", "text"], leave_out="",
            TERM="dumb")
    run.record_files("changed")


@program("emacs", "emacs*", "emacs --version")
def emacs(run):
    run.put("text", inputs.text(1 << 19))
    run.run([need("emacs", "emacs-nox"), "-Q", "--batch", "-l", run.take("work.el")], TERM="dumb")


@program("tmux", "tmux", "tmux -V")
def tmux(run):
    def tell(*words, **options):
        return run.run([need("tmux", "tmux"), "-L", "world", "-f", "/dev/null", *words], TERM="xterm",
                       TMUX_TMPDIR=run.folder, **options)
    tell("new-session", "-d", "-x", "200", "-y", "50", "sh")
    tell("set-option", "-g", "history-limit", "50000")
    for number in range(4):
        tell("new-window", "-n", f"w{number}", "sh")
        tell("send-keys", "-t", f"w{number}", f"PS1=; clear; seq -f 'line {number} %g' 40000; echo ready", "Enter")
    for number in range(4):
        run.wait_for("tmux", lambda number=number: b"\nready" in tell(
            "capture-pane", "-p", "-t", f"w{number}", leave_out="").out)
        tell("split-window", "-h", "-t", f"w{number}", "sh")
        tell("capture-pane", "-p", "-S", "-30000", "-t", f"w{number}.0", leave_out="^$|^PS1|[$#]")
    run.records[:] = [record for record in run.records if "-30000" in record[0]]
    run.idle()
    tell("kill-server")
    time.sleep(0.1)
