#!/usr/bin/env python3
"""The configuration file: conf_test.py LIBRARY SECURE STATIC, the built library, secure_program.c and static_program.c, which
are linked with it, the latter with -static.

Which file is read and believed, whose section counts, and who the children are."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, SECURE, STATIC = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(3))
ECHO = shutil.which("echo")


def run(*command, wrapper=(), **options):
    """What a program on the library says on stdout and stderr; options=VALUE are variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HAKMEM", "LD_PRELOAD"))}
    preload = options.pop("preload", LIBRARY)
    variables = [f"HAKMEM_{name.upper()}={value}" for name, value in options.items()]
    done = subprocess.run([*wrapper, "env", f"LD_PRELOAD={preload}", *variables, *command], env=kept, capture_output=True,
                          encoding="utf-8", errors="replace", timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: ended with {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def is_reported(errors):
    return " statistics of process " in errors


class Directory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.file = self.directory / "hakmem.conf"

    def write(self, text, mode=0o644):
        self.file.write_text(text, encoding="utf-8")
        self.file.chmod(mode)

    def errors(self, *command, **options):
        return run(*(command or (ECHO, "word")), conf_file=self.file, **options)[1]


class Sections(Directory):
    def test_who_is_reported(self):
        """By the name that a program is started by: a link's, a script's."""
        self.write("[echo]\nstats = 1\n[called]\nstats = on\n[script*]\nstats = yes\n")
        link = self.directory / "called"
        link.symlink_to(ECHO)
        script = self.directory / "script.sh"
        script.write_text("#!/bin/cat\n", encoding="utf-8")
        script.chmod(0o755)
        for program in (ECHO, link, script):
            self.assertTrue(is_reported(self.errors(program)), program)
        for program in (shutil.which("true"), shutil.which("cat")):
            self.assertEqual(self.errors(program, "/dev/null"), "", program)

    def test_children_are_programs_as_others_are(self):
        self.write("[echo]\nstats = 1\n")
        self.assertEqual(self.errors("sh", "-c", "echo word; :"), "")
        self.assertTrue(is_reported(self.errors("sh", "-c", f"{ECHO} word; :")))

    def test_explain_says_where_from(self):
        self.write("huge = never\n[echo]\n\nlimit = 80%\n")
        text = self.errors(explain=1, learn="off")
        self.assertIn(f"  huge = never: {self.file}, line 1, for all programs\n", text)
        self.assertIn(f"  limit = 80%: {self.file}, line 4, [echo]\n", text)
        self.assertIn("  learn = off: the environment\n", text)
        self.assertNotIn("  stats = ", text)
        options = json.loads(self.errors(explain="json").splitlines()[-1])["options"]
        self.assertIn({"name": "limit", "value": "80%", "file": str(self.file), "line": 4, "section": "echo"}, options)
        self.assertIn({"name": "huge", "value": "never", "file": str(self.file), "line": 1}, options)
        self.assertIn({"name": "explain", "value": "json"}, options)

    def test_environment_wins(self):
        self.write("stats = 1\n")
        self.assertTrue(is_reported(self.errors()))
        self.assertEqual(self.errors(stats=0), "")


class Files(Directory):
    def must_refuse(self, why):
        self.assertEqual(self.errors(), f"hakmem: warning: {self.file}: the file is not read: {why}\n")

    def test_mistakes_have_a_line_each(self):
        self.write("limti = 1\n\nstats = 1\n")
        text = self.errors()
        self.assertTrue(text.startswith(f"hakmem: warning: {self.file}:1: limti: unknown option; did you mean limit?\n"), text)
        self.assertTrue(is_reported(text))

    def test_what_is_no_file(self):
        self.must_refuse("it cannot be opened")
        self.file.mkdir()
        self.must_refuse("not a regular file")
        self.file.rmdir()
        os.mkfifo(self.file)
        self.must_refuse("not a regular file")

    def test_what_is_not_believed(self):
        self.write("stats = 1\n", 0o666)
        self.must_refuse("everybody may write to it")

    def test_size_is_bounded(self):
        self.write("#" * 16382 + "\n")
        self.assertEqual(self.errors(), "")
        self.write("#" * 16383 + "\n")
        self.must_refuse("it has 16 KiB or more")

    def test_nonsense_does_no_harm(self):
        for content in (b"\0" * 100, b"[" * 5000, b"=" * 5000, b"\xff\xfe\n" * 3, b"[echo]" + b"a" * 9000 + b"=\n", b"[*]\r\n\r"):
            self.file.write_bytes(content)
            text = self.errors()
            self.assertLessEqual(len(text.splitlines()), 3, content[:20])
            self.assertTrue(all(line.startswith("hakmem: warning: ") for line in text.splitlines()), text)

    def test_no_file(self):
        for none in ("none", "/dev/null"):
            self.assertEqual(run(ECHO, "word", conf_file=none), ("word\n", ""))


class Etc(Directory):
    """/etc/hakmem.conf itself, in a mount namespace in which /etc is a folder of the test's."""

    def setUp(self):
        super().setUp()
        probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if os.geteuid() != 0 or probe.returncode != 0:
            self.skipTest("only root can put another folder in the place of /etc")
        self.wrapper = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(self.directory))

    def test_it_is_read(self):
        self.assertEqual(run(ECHO, wrapper=self.wrapper)[1], "")
        self.write("[echo]\nstats = 1\n")
        self.assertTrue(is_reported(run(ECHO, wrapper=self.wrapper)[1]))
        self.assertEqual(run(ECHO, wrapper=self.wrapper, conf_file="none")[1], "")
        self.file.chmod(0)
        self.assertEqual(run("setpriv", "--reuid=65534", "--clear-groups", ECHO, wrapper=self.wrapper)[1], "")

    def test_static_programs_read_what_they_are_told_to(self):
        self.write("stats = 1\n")
        self.assertFalse(is_reported(run(STATIC, wrapper=self.wrapper, preload="")[1]))
        self.assertTrue(is_reported(run(STATIC, wrapper=self.wrapper, preload="", conf_file="/etc/hakmem.conf")[1]))

    def secure(self, **options):
        """secure_program, setuid root, for nobody; whether it has printed a table."""
        program = self.directory / "secure"
        shutil.copy(SECURE, program)
        program.chmod(0o4755)
        out, errors = run("setpriv", "--reuid=65534", "--clear-groups", program, wrapper=self.wrapper, preload="", **options)
        if out != "1\n":
            self.skipTest("a setuid program gets no rights here (nosuid, or no new privileges)")
        self.assertNotIn("warning", errors)
        return is_reported(errors)

    def test_setuid_programs(self):
        """Only the lines for all, of a file that nobody but root can write, and no lines that name files."""
        left = self.directory / "record"
        self.write(f"record = {left}\nnonsense\nstats = 1\n")
        self.assertTrue(self.secure())
        self.assertTrue(self.secure(stats=0))
        self.assertTrue(self.secure(conf_file="none"))
        self.assertFalse(left.exists())
        self.write("[secure]\nstats = 1\n")
        self.assertFalse(self.secure())
        self.write("stats = 1\n", 0o664)
        self.assertFalse(self.secure())
        self.write("stats = 1\n")
        os.chown(self.file, 65534, 0)
        self.assertFalse(self.secure())


class Children(Directory):
    """children = 0: what a shell on hakmem starts is not on hakmem, and knows nothing of it."""
    LOOK = 'grep -c libhakmem[.]so /proc/$$/maps; env | grep -E "^(LD_PRELOAD|HAKMEM)"; cat /proc/self/maps | grep -c libhakmem[.]so'

    def look(self, **options):
        shell, *variables, child = run("sh", "-c", self.LOOK + "; :", **options)[0].splitlines()
        self.assertGreater(int(shell), 0)
        return variables, int(child) > 0

    def test_they_are_on_hakmem_by_default(self):
        variables, is_on = self.look(stats=0)
        self.assertEqual((sorted(variables), is_on), (["HAKMEM_STATS=0", f"LD_PRELOAD={LIBRARY}"], True))

    def test_they_are_not(self):
        self.assertEqual(self.look(children=0, stats=0), ([], False))
        self.write("[sh]\nchildren = 0\n")
        self.assertEqual(self.look(conf_file=self.file), ([], False))

    VECTOR = """
import ctypes
words = ctypes.cast(ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ").value, ctypes.POINTER(ctypes.c_void_p))
at = next(i for i in range(10000) if not words[i]) + 1
types = []
while words[at] and len(types) < 100:
    types.append(words[at])
    at += 2
print(*types)
"""

    def test_no_leftovers_are_taken_for_the_auxiliary_vector(self):
        """Go's runtime, for one, looks for it behind the environment: there is nothing, or what the kernel has put there."""
        for others in range(4):
            options = dict(list({"stats": 0, "explain": 0, "sites": 0}.items())[:others])
            types = run(sys.executable, "-S", "-c", self.VECTOR, children=0, **options)[0].split()
            self.assertTrue(not types or "6" in types, types)  # AT_PAGESZ

    def test_other_libraries_stay(self):
        others = self.directory / "libother.so", self.directory / "libhakmem-friend.so"
        for other in others:
            subprocess.run(["cc", "-shared", "-o", other, "-xc", "/dev/null"], check=True)
        first, second = map(str, others)
        for preload, kept in ((f"{first}:{LIBRARY}", first), (f"{LIBRARY}:{first}", first), (f"{LIBRARY} {LIBRARY}", None),
                              (f"{first}:{LIBRARY} {second}", f"{first} {second}")):
            variables, is_on = self.look(children=0, preload=preload)
            self.assertEqual((variables, is_on), ([f"LD_PRELOAD={kept}"] if kept else [], False), preload)


if __name__ == "__main__":
    unittest.main()
