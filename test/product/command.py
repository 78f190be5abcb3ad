#!/usr/bin/env python3
"""Tests of the command: command.py HAKMEM, the path of the built tool. The library lies beside it."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(sys.argv.pop()).resolve()
LIBRARY = "libhakmem.so.0"


def run(*arguments, tool=TOOL, **options):
    """The finished `hakmem arguments...`; environment=NAME:VALUE adds to ours."""
    environment = {**os.environ, **options.pop("environment", {})}
    command = [str(tool), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, **options)


class Directory(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name).resolve()

    def script(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def compiled(self, name, *options):
        source = self.script(name + ".c", "int main(void) { return 3; }")
        subprocess.run(["cc", *options, str(source), "-o", str(self.directory / name)], check=True)
        return self.directory / name


class Usage(unittest.TestCase):
    def wrong(self, arguments, status, line):
        result = run(*arguments)
        self.assertEqual((result.returncode, result.stdout), (status, ""))
        self.assertEqual(result.stderr.splitlines()[0], "hakmem: " + line)
        self.assertLessEqual(len(result.stderr.splitlines()), 2)

    def test_no_command(self):
        self.wrong([], 2, "no command given")
        self.wrong(["fly"], 2, "no command 'fly'")
        self.wrong(["--fly"], 2, "no option '--fly'")

    def test_wrong_options_of_run(self):
        self.wrong(["run"], 125, "run: no program given")
        self.wrong(["run", "--"], 125, "run: no program given")
        self.wrong(["run", "--stat", "true"], 125, "run: no option '--stat'")
        self.wrong(["run", "--set"], 125, "run: --set takes NAME=VALUE")
        self.wrong(["run", "--set", "stats", "true"], 125, "--set takes NAME=VALUE, not 'stats'")
        self.wrong(["run", "--set", "chek=1", "true"], 125, "--set: no option 'chek'; did you mean 'check'?")
        self.wrong(["run", "--set=realloczero=1", "true"], 125,
                   "--set: no option 'realloczero'; did you mean 'realloc_zero'?")
        self.wrong(["run", "--set", "quite=1", "true"], 125, "--set: no option 'quite'")

    def fits(self, text, what):
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [], what)
        self.assertGreater(len(text.splitlines()), 5, what)

    def test_helps_fit_80_columns(self):
        listed = run("--help").stdout
        self.fits(listed, "--help")
        commands = re.findall(r"(?m)^  (\w+)  +\S", listed)
        self.assertIn("explain", commands)
        for command in commands:
            self.fits(run(command, "--help", environment={"COLUMNS": "80"}).stdout, command)

    def test_reports_fit_80_columns(self):
        work = "x = [str(i) for i in range(200000)]; y = [bytearray(i * 100) for i in range(3000)]"
        for options in (["--stats"], ["--stats=all"], ["--stats=all", "--children", "--set", "limit=2G", "--set", "huge=always"]):
            self.fits(run("run", *options, "/usr/bin/python3", "-c", work).stderr, options)
        self.fits(run("explain", "/usr/bin/python3", "-c", work).stderr, "explain")

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_manual_fits_80_columns(self):
        for page in ("hakmem.1", "hakmem.3", "hakmem.conf.5"):
            made = subprocess.run(["mandoc", "-T", "utf8", str(TOOL.parent / "man" / page)], capture_output=True, text=True, check=True)
            self.fits(re.sub(".\b", "", made.stdout), page)

    def test_help_and_version(self):
        self.assertIn("hakmem run ls -l", run("run", "--help").stdout)
        self.assertIn("--help", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^hakmem \d+\.\d+\.\d+\n$")
        for arguments in (["run", "--help"], ["--help"], ["--version"]):
            self.assertEqual((run(*arguments).returncode, run(*arguments).stderr), (0, ""))

    def test_unwritable_output_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([TOOL, "--help"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 125)


class Lab(Directory):
    """`hakmem compare` and `hakmem bench`: that the lab is found and gets its arguments. test/lab tests the lab."""

    def test_compare(self):
        result = run("compare", "-n", "1", "--with", "", "printf", "%s", "-n", "--", cwd=self.directory)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("printf %s -n --: 1 round on each of 2 allocators\n", result.stdout)
        self.assertRegex(result.stdout, r"(?m)^hakmem +\d")

    def test_bench_knows_its_rows(self):
        rows = run("bench", "--full", "--list").stdout.splitlines()
        self.assertLessEqual({"larson-mid-1", "day", "latency-random-1"}, set(rows))

    def test_wrong_usage(self):
        for arguments, line in ((["compare"], "hakmem compare: error: no program given"),
                                (["compare", "-n", "0", "true"], "hakmem compare: error: argument -n/--rounds: takes a "
                                                                 "whole number from 1 on, not '0'"),
                                (["bench", "--fast"], "hakmem bench: error: unrecognized arguments: --fast")):
            result = run(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertEqual(result.stderr.splitlines()[-1], line)

    def test_without_python(self):
        result = run("compare", "true", environment={"PATH": str(self.directory)})
        self.assertEqual(result.returncode, 125)
        self.assertEqual(result.stderr,
                         "hakmem: compare needs python3, which cannot be run: No such file or directory\n")


class Status(Directory):
    def test_the_programs_own(self):
        self.assertEqual(run("run", "true").returncode, 0)
        self.assertEqual(run("run", "sh", "-c", "exit 125").returncode, 125)
        self.assertEqual(run("run", "sh", "-c", "kill -TERM $$").returncode, -signal.SIGTERM)

    def test_not_found(self):
        result = run("run", "./no such program")
        self.assertEqual(result.returncode, 127)
        self.assertEqual(result.stderr, "hakmem: cannot run './no such program': No such file or directory\n")

    def test_not_executable(self):
        self.assertEqual(run("run", self.directory).returncode, 126)
        os.mkfifo(self.directory / "fifo", 0o755)
        self.assertEqual(run("run", self.directory / "fifo").returncode, 126)

    def test_interrupt_reaches_the_program(self):
        with subprocess.Popen([TOOL, "run", "sleep", "60"]) as process:
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=10), -signal.SIGINT)


class Preload(Directory):
    def variable(self, name, *options, **keywords):
        return run("run", *options, "sh", "-c", f'printf %s "${name}"', **keywords)

    def test_the_library_serves_the_program(self):
        result = run("run", "--stats", "true")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertIn("hakmem", result.stderr)
        self.assertIn(LIBRARY, run("run", "cat", "/proc/self/maps").stdout)

    def test_before_other_libraries(self):
        self.assertEqual(self.variable("LD_PRELOAD").stdout, f"{TOOL.parent}/{LIBRARY}")
        result = self.variable("LD_PRELOAD", environment={"LD_PRELOAD": "libc.so.6 libm.so.6"})
        self.assertEqual(result.stdout, f"{TOOL.parent}/{LIBRARY}:libc.so.6 libm.so.6")

    def test_options_become_variables(self):
        self.assertEqual(self.variable("HAKMEM_CHECK", "--check").stdout, "1")
        self.assertEqual(self.variable("HAKMEM_CHECK", "--set", "check=off").stdout, "off")
        self.assertEqual(self.variable("HAKMEM_STATS_CHILDREN", "--children").stdout, "1")
        self.assertRegex(self.variable("HAKMEM_STATS", "--stats=all").stdout, r"^all@\d+$")
        self.assertRegex(self.variable("HAKMEM_STATS", "--stats").stdout, r"^1@\d+$")
        self.assertEqual(self.variable("HAKMEM_CHECK", "--set=check=1", "--set=check=0").stdout, "0")

    def test_arguments_unchanged(self):
        result = run("run", "--", "printf", "<%s>", "a b", "", "--stats", "*", "$x\n")
        self.assertEqual(result.stdout, "<a b><><--stats><*><$x\n>")

    def test_relative_path_and_standard_input(self):
        result = run("run", "./copy", cwd=self.script("copy", "#!/bin/sh\ncat\n").parent, input="text")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "text", ""))


HOLDER = """
#include <stdlib.h>
static void *kept[100000];
__attribute__((noinline)) static void *session_make(void) { char *p = malloc(64); p[0] = 's'; return p; }
__attribute__((noinline)) static void *buffer_make(void) { char *p = malloc(64); p[1] = 'b'; return p; }
int main(void)
{
    for (int i = 0; i < 100000; i++)
        kept[i] = i % 4 ? buffer_make() : session_make();
    for (int i = 0; i < 100000; i++)
        if (i % 4)
            free(kept[i]);
    return 7;
}
"""


# A function that no table of symbols names once the library is stripped, behind a short one that it does name.
HOARD = """
#include <stdlib.h>
void *hoard_kept[100000];
int hoard_version(void) { return 1; }
__attribute__((noinline)) static void *hoard(int i) { return hoard_kept[i] = malloc(64); }
void hoard_fill(void) { for (int i = 0; i < 100000; i++) hoard(i); }
"""


class Sites(Directory):
    def knows_callers(self, program, **options):
        """Skips the test in a debug build, in which malloc calls its slow path and that does not know whose call it was."""
        if "libhakmem" in run("run", "--set", "sites=1", program, **options).stderr:
            self.skipTest("a debug build: malloc calls its slow path, and does not know its own caller there")
        return program

    def holder(self):
        source = self.script("holder.c", HOLDER)
        subprocess.run(["cc", "-g", "-fno-builtin", str(source), "-o", str(self.directory / "holder")], check=True)
        return self.knows_callers(self.directory / "holder")

    def test_names_of_those_that_hold_most(self):
        result = run("run", "--sites", "--", self.holder())
        self.assertEqual((result.returncode, result.stdout), (7, ""))
        head, columns, first, second = result.stderr.splitlines()[:4]
        self.assertRegex(head, r"^hakmem sites of process \d+$")
        self.assertEqual(columns.split(), ["live", "pinned", "full", "blocks", "mean", "ms", "apart", "site"])
        self.assertRegex(first, r" MiB +.* 1 +session_make \(holder\.c:4\)$")
        self.assertRegex(second, r"buffer_make \(holder\.c:5\)$")

    def hoard(self, *options):
        """What the table says of the function in a library that holds most."""
        library, program = self.directory / "libhoard.so", self.directory / "hoarder"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-fno-toplevel-reorder", *options, "-o", library,
                        self.script("hoard.c", HOARD)], check=True)
        subprocess.run(["cc", self.script("hoarder.c", "void hoard_fill(void); int main(void) { hoard_fill(); }"),
                        library, "-o", program], check=True)
        self.knows_callers(program)
        return run("run", "--sites", program).stderr.splitlines()[2]

    def test_stripped_library_has_no_wrong_names(self):
        """The nearest symbol that is left is a short function's, which ends before the caller."""
        self.assertRegex(self.hoard("-s"), r" MiB .*/libhoard\.so\+0x[0-9a-f]+$")

    def test_library_with_symbols_only(self):
        self.assertRegex(self.hoard(), r" MiB .* hoard \(libhoard\.so\)$")

    def test_status_is_the_programs(self):
        self.assertEqual(run("run", "--sites", "sh", "-c", "kill -TERM $$").returncode, -signal.SIGTERM)
        self.assertEqual(run("run", "--sites", "no-such-program").returncode, 127)

    def test_a_program_left_behind_is_not_waited_for(self):
        result = run("run", "--sites", "sh", "-c", "sleep 50 >/dev/null 2>&1 & exit 3")
        self.assertEqual(result.returncode, 3)


GROWING = """
import os, signal, sys, time
kept = [bytes(1000) for _ in range(100000)]
for _ in range(4): # so that there is a last look at all of it
    time.sleep(0.15)
    kept += [bytes(1000) for _ in range(500)]
print("ready", flush=True)
if len(sys.argv) > 1:
    os.kill(os.getpid(), int(sys.argv[1]))
time.sleep(60)
"""


class LastWord(Directory):
    """`hakmem run --stats` speaks for a program that a signal ended."""

    def setUp(self):
        super().setUp()
        self.program = self.script("growing.py", GROWING)

    def environment(self):
        return {**os.environ, "TMPDIR": str(self.directory), "PYTHONMALLOC": "malloc"}

    def ended(self, number):
        with subprocess.Popen([TOOL, "run", "--stats", sys.executable, self.program], env=self.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.send_signal(number)
            _, text = process.communicate(timeout=30)
            return process.returncode, text

    def must_say(self, text, number):
        self.assertIn(f"hakmem: the program was ended by signal {int(number)} ({signal.strsignal(number)})\n", text)
        live = re.search(r"^ *([0-9.]+) MiB +\d+ %  live blocks", text, re.MULTILINE)
        self.assertIsNotNone(live, text)
        self.assertGreater(float(live[1]), 95)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["growing.py"])

    def test_of_a_program_that_is_told_to_end(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            status, text = self.ended(number)
            self.assertEqual(status, -number)
            self.must_say(text, number)

    def test_of_a_program_that_is_interrupted(self):
        """Python frees what it holds, and ends by the signal then."""
        status, text = self.ended(signal.SIGINT)
        self.assertEqual(status, -signal.SIGINT)
        self.assertRegex(text, r"(?m)%  live blocks.*; peak 1\d\d\.\d MiB$")

    def test_of_a_program_that_dies(self):
        for number in (signal.SIGKILL, signal.SIGSEGV):
            result = run("run", "--stats", sys.executable, self.program, int(number), environment=self.environment())
            self.assertEqual(result.returncode, -number)
            self.must_say(result.stderr, number)

    def test_only_of_the_program_itself(self):
        result = run("run", "--stats", "sh", "-c", f"{sys.executable} {self.program} 9; exit 3", environment=self.environment())
        self.assertEqual(result.returncode, 3)
        self.assertNotIn("live blocks", result.stderr)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["growing.py"])

    def test_a_record_of_ones_own_stays(self):
        record = self.directory / "own.record"
        result = run("run", "--stats", "--set", f"record={record}", sys.executable, self.program, 9,
                     environment=self.environment())
        self.assertIn(f"'hakmem why {record}' tells what it held\n", result.stderr)
        self.assertIn("Verdict", run("why", record).stdout)

    def test_only_options_of_the_users_are_told(self):
        """A record is kept meanwhile, by an option, too."""
        told = [run("run", "--stats=all", *options, "true").stderr.partition("where they were set\n")[2].splitlines()
                for options in ([], ["--set", "record=/no/such/place"])]
        self.assertEqual(told[0][0], "  stats = all: the environment")
        self.assertFalse([line for line in told[0] if "record" in line], told[0])
        self.assertIn("  record = /no/such/place: the environment", told[1])
        told = run("explain", "--json", "--set", "stats=1", "true").stderr.splitlines()[-1]
        self.assertIn('"name": "stats"', told)
        self.assertNotIn('"name": "record"', told)

    def test_of_one_that_had_hardly_begun(self):
        result = run("run", "--stats", "sh", "-c", "kill -KILL $$", environment=self.environment())
        self.assertEqual(result.returncode, -signal.SIGKILL)
        self.assertEqual(result.stderr, "hakmem: the program was ended by signal 9 (Killed)\n"
                                        "no record was kept of what it held: it had hardly begun, or is not on hakmem\n")


class Place(Directory):
    """Where the tool finds the library; copies of both, in a directory of the test's own."""

    def place(self, tool, library):
        for source, directory in ((TOOL, tool), (TOOL.parent / LIBRARY, library)):
            (self.directory / directory).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.directory / directory)
        result = run("run", "sh", "-c", "printf %s $LD_PRELOAD", tool=self.directory / tool / "hakmem")
        return result.returncode, result.stdout, result.stderr

    def test_beside_and_in_lib(self):
        self.assertEqual(self.place("together", "together"), (0, f"{self.directory}/together/{LIBRARY}", ""))
        self.assertEqual(self.place("a/bin", "a/lib"), (0, f"{self.directory}/a/lib/{LIBRARY}", ""))

    def test_through_a_link(self):
        (self.directory / "link").symlink_to(TOOL)
        result = run("run", "sh", "-c", "printf %s $LD_PRELOAD", tool=self.directory / "link")
        self.assertEqual(result.stdout, f"{TOOL.parent}/{LIBRARY}")

    def test_path_that_cannot_be_preloaded(self):
        status, output, errors = self.place("with blank", "with blank")
        self.assertEqual((status, output), (125, ""))
        self.assertIn("no way to write a blank or colon", errors)


class Warning(Directory):
    """Programs that no library can be preloaded into run nevertheless, and the tool says what is the matter."""

    def warned(self, program, name, why):
        result = run("run", program)
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stderr, f"hakmem: warning: {name} {why}: hakmem cannot be preloaded into it, "
                                        "and it keeps its own malloc\n")

    def test_static(self):
        for option in ("-static", "-static-pie"):
            program = self.compiled("program", option)
            self.warned(program, program, "is statically linked")

    def test_script_of_a_static_interpreter(self):
        interpreter = self.compiled("interpreter", "-static")
        self.warned(self.script("script", f"#! {interpreter} -x\n"), interpreter, "is statically linked")

    def test_none_for_a_dynamic_program(self):
        for options in ([], ["-no-pie"]):
            result = run("run", self.compiled("program", *options))
            self.assertEqual((result.returncode, result.stderr), (3, ""))

    @unittest.skipUnless(os.getuid() == 0, "only root can make a program of another user's")
    def test_setuid(self):
        program = self.compiled("program")
        os.chown(program, 65534, 65534)
        program.chmod(0o4755)
        self.warned(program, program, "runs with other rights than yours (setuid, setgid or file capabilities)")


if __name__ == "__main__":
    unittest.main()
