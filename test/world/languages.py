"""Languages: interpreters, compilers and what they make. Each works on a script of work/ or of ../real, which prints
what it computed.
SPDX-License-Identifier: MIT"""
import os
import xml.etree.ElementTree

import real
from catalog import program
from trial import Failure, ending, need

PYTHON = real.PYTHON


def shared_work(name):
    return os.path.join(real.SOURCE, name)


# ---- Python ----------------------------------------------------------------------------------------------------------

# Of CPython's own suite: what allocates in its own ways, uses threads, forks, or calls C libraries. Not in it: what
# depends on the clock or the network, and what takes minutes.
SUITE = """test_array test_ast test_asyncgen test_bigmem test_binascii test_buffer test_builtin test_bytes test_cmath
test_code test_codecs test_collections test_compile test_contextlib test_copy test_coroutines test_csv
test_ctypes test_dataclasses test_decimal test_deque test_descr test_dict test_difflib test_enum test_exceptions
test_fork1 test_format test_fractions test_functools test_gc test_generators test_grammar test_gzip test_hashlib
test_heapq test_html test_inspect test_int test_itertools test_json test_list test_long test_marshal test_math
test_memoryio test_memoryview test_mmap test_operator test_ordered_dict test_os test_pickle test_plistlib
test_posix test_pprint test_pyexpat test_re test_set test_shelve test_sqlite3 test_string test_struct
test_syntax test_tempfile test_thread test_traceback test_tuple test_types test_typing test_unicode
test_unicodedata test_unittest test_weakref test_weakset test_xml_etree test_xml_etree_c test_zlib""".split()


@program("cpython-suite", "python3*", "python3 --version")
def cpython_suite(run):
    """Every case has to end on hakmem as it ends on glibc."""
    python3 = need("python3", "python3")
    known = run.run([python3, "-c", "import os, test; print(os.path.dirname(test.__file__))"], leave_out="")
    there = set(os.listdir(known.out.decode().strip()))
    modules = [name for name in SUITE if name in there or name + ".py" in there]
    started = run.start([python3, "-m", "test", "--junit-xml", "cases.xml", "-j2", "--timeout=300", *modules], **PYTHON)
    result = started.wait(600 * run.patience)
    if not os.path.exists("cases.xml"):
        raise Failure(f"the suite wrote no report: {ending(result)}")
    cases = {}
    for case in xml.etree.ElementTree.parse("cases.xml").iter("testcase"):
        outcome = next(iter(case), None)
        cases[case.get("name")] = "ok" if outcome is None else outcome.tag
    for name, outcome in sorted(cases.items()):
        run.record(f"the case {name}", outcome)
    run.expect(len(cases) > 5000, f"only {len(cases)} cases: {ending(result)}")


@program("python3", "python3*", "python3 --version")
def python3_work(run):
    run.run([need("python3", "python3"), shared_work("work.py"), "500"], **PYTHON)


@program("numpy-pandas", "python3*", "dpkg-query -W python3-numpy")
def numpy_pandas(run):
    run.run([need("python3", "python3"), run.take("frames.py"), "6"], OPENBLAS_NUM_THREADS="2", **PYTHON)


# ---- Scripts ---------------------------------------------------------------------------------------------------------


@program("perl", "perl", "perl --version")
def perl(run):
    run.run([need("perl", "perl"), shared_work("work.pl"), "80"])


@program("lua", "lua5.4", "lua5.4 -v")
def lua(run):
    run.run([need("lua5.4", "lua5.4"), shared_work("work.lua"), "80"])


@program("node", "node", "node --version")
def node(run):
    run.run([need("node", "nodejs"), shared_work("work.js"), "100"])


@program("ruby", "ruby*", "ruby --version")
def ruby(run):
    run.run([need("ruby", "ruby"), run.take("work.rb"), "6"])


@program("tcl", "tclsh*", "dpkg-query -W tcl8.6")
def tcl(run):
    run.run([need("tclsh8.6", "tcl8.6"), run.take("work.tcl"), "3"])


@program("guile", "guile*", "guile --version")
def guile(run):
    run.run([need("guile", "guile-3.0"), "--no-auto-compile", run.take("work.scm")])


@program("sbcl", "sbcl", "sbcl --version")
def sbcl(run):
    run.run([need("sbcl", "sbcl"), "--script", run.take("work.lisp")])


@program("R", "R", "R --version")
def r_language(run):
    run.run([need("Rscript", "r-base-core"), "--vanilla", run.take("work.R")])


@program("octave", "octave-cli*", "octave-cli --version")
def octave(run):
    run.run([need("octave-cli", "octave"), "--no-gui", "--norc", "--quiet", run.take("work.m")])


@program("erlang", "beam.smp", "dpkg-query -W erlang-base")
def erlang(run):
    run.run([need("escript", "erlang-base"), run.take("work.escript")])


# ---- What compilers make, and the compilers --------------------------------------------------------------------------


@program("java", "java", "java --version")
def java(run):
    """Direct buffers, compressors and threads, which are what takes memory from malloc in a virtual machine."""
    run.run([need("java", "openjdk-17-jdk-headless"), "-Xmx256m", "-XX:MaxDirectMemorySize=1g",
             run.take("Buffers.java")])


@program("mono", "mono*", "mono --version")
def mono(run):
    run.take("Work.cs")
    run.run([need("mcs", "mono-mcs"), "-out:work.exe", "Work.cs"])
    run.run([need("mono", "mono-runtime"), "work.exe"])


@program("go-cgo", "cgo", "go version")
def go_cgo(run):
    """A program of Go that calls C; without that it has no libc."""
    run.take("cgo.go")
    run.build([need("go", "golang-go"), "build", "-o", "cgo", "cgo.go"], GO111MODULE="off",
              CGO_ENABLED="1")
    run.run(["./cgo"])


@program("rust", ("rustc", "work-rust"), "/usr/bin/rustc --version")
def rust(run):
    run.run([need("rustc", "rustc"), "-O", "-o", "work-rust", run.take("work.rs")])
    run.run(["./work-rust"])


@program("ocaml", ("ocamlopt*", "work-ocaml"), "ocamlopt -version")
def ocaml(run):
    run.take("work.ml")
    run.run([need("ocamlopt", "ocaml-nox"), "-o", "work-ocaml", "unix.cmxa", "work.ml"])
    run.run(["./work-ocaml"])
