#!/usr/bin/env python3
"""What hakmem does to files: files_test.py LIBRARY PROGRAM REBUILT, the built library, files_program.c, and another build of it.

A profile is written where nothing is, or over a profile of the same program, and over nothing else; text goes to stderr as
it was at the start, and into no other file."""
import os
import pathlib
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

LIBRARY, PROGRAM, REBUILT = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(3))
VERSION_3 = ("hakmem profile 3\nbuild cafe\nfitted 0\nrests 0\nthread_bytes 8388608\ndepot_bytes 33554432\nretained 0\n"
             "end 1ceea422f08765a5\n")


def environment(**options):
    """A short window, so that there is something to learn soon."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HAKMEM")}
    return {**kept, "LD_PRELOAD": str(LIBRARY), "HAKMEM_LEARN_WINDOW_MS": "10", **{"HAKMEM_" + name.upper(): str(value)
                                                                                   for name, value in options.items()}}


def run(*command, cwd=None, status=0, preexec_fn=None, **options):
    """What it says on stderr."""
    done = subprocess.run(command, env=environment(**options), cwd=cwd, capture_output=True, text=True, timeout=60,
                          check=False, preexec_fn=preexec_fn)
    if done.returncode != status:
        raise AssertionError(f"{command}: ended with {done.returncode}: {done.stderr}")
    return done.stderr


def is_profile(text):
    return text.startswith("hakmem profile 4\nprogram ") and "\nend " in text and text.endswith("\n")


class Directory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.file = self.directory / "profile"

    def names(self, directory=None):
        return sorted(path.name for path in (directory or self.directory).iterdir())

    def copy(self, program, name):
        """The program under another name; replaced, not overwritten, as by a package."""
        target = self.directory / name
        target.unlink(missing_ok=True)
        shutil.copy(program, target)
        return target


class WhatLiesThere(Directory):
    def must_stay(self, made):
        """Whatever `made` is, a run leaves it alone, says so in one line, and ends in time."""
        before = os.lstat(self.file)
        errors = run(PROGRAM, "stay", profile=self.file)
        after = os.lstat(self.file)
        for fact in ("st_ino", "st_mode", "st_rdev", "st_nlink"):
            self.assertEqual(getattr(after, fact), getattr(before, fact), (made, fact))
        self.assertRegex(errors, r"\Ahakmem: warning: \S*profile: profile (ignored|not saved): [^\n]+\n\Z", made)
        self.assertEqual([name for name in self.names() if name.endswith(".draft")], [], made)

    def test_nothing(self):
        self.assertEqual(run(PROGRAM, "stay", profile=self.file), "")
        self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o644)
        self.assertEqual(self.names(), ["profile"])

    def test_devices(self):
        try:
            os.mknod(self.file, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            self.skipTest("only root can make a device")
        self.must_stay("a device")

    def test_fifos(self):
        os.mkfifo(self.file)
        self.must_stay("a FIFO")

    def test_sockets(self):
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(self.file))
            self.must_stay("a socket")

    def test_links(self):
        target = self.directory / "target"
        self.file.symlink_to(target)
        self.must_stay("a link to nothing")
        self.assertFalse(target.exists())
        target.write_text("mine", encoding="ascii")
        self.must_stay("a link")
        self.assertEqual(target.read_text(encoding="ascii"), "mine")

    def test_a_profile_with_another_name(self):
        run(PROGRAM, "stay", profile=self.file)
        other = self.directory / "other"
        os.link(self.file, other)
        text = other.read_text(encoding="ascii")
        self.assertLessEqual(run(PROGRAM, "stay", profile=self.file).count("\n"), 1)
        self.assertEqual(other.read_text(encoding="ascii"), text)
        self.assertTrue(other.samefile(self.file))

    def test_other_files(self):
        run(PROGRAM, "stay", profile=self.file)
        good = self.file.read_text(encoding="ascii")
        for content in ("", "mine\n", good[:-2], good.replace("depot", "tepot"), "\0" * 20000, VERSION_3[:-1]):
            self.file.write_text(content, encoding="ascii")
            self.must_stay(content[:20])
            self.assertEqual(self.file.read_text(encoding="ascii"), content)

    def test_the_file_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root can make one")
        run(PROGRAM, "stay", profile=self.file)
        os.chown(self.file, 4242, 4242)
        self.must_stay("another user's")

    def test_what_came_after_the_start(self):
        """To look at the start is not enough."""
        with subprocess.Popen([PROGRAM, "stay"], env=environment(profile=self.file), stderr=subprocess.PIPE, text=True) as late:
            self.file.write_text("mine", encoding="ascii")
            self.assertLessEqual(late.communicate(timeout=60)[1].count("\n"), 1)
        self.assertEqual(self.file.read_text(encoding="ascii"), "mine")

    def test_no_room(self):
        for path in ("/dev/full/profile", "/proc/profile", self.directory / "none" / "profile"):
            self.assertEqual(run(PROGRAM, "stay", profile=path).count("not saved: it cannot be written\n"), 1, path)

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        self.assertIn("not saved", run(PROGRAM, "stay", profile=self.file, preexec_fn=limit))
        self.assertEqual(self.names(), [])

    def test_drafts_of_others(self):
        """What lay there with an older hakmem's draft's name hung the exit, or was written through."""
        script = f'mkfifo "profile.$(echo $$ | rev)"; exec "{PROGRAM}" stay'
        run("sh", "-c", script, cwd=self.directory, profile="profile")
        self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))
        self.assertEqual(len(self.names()), 2)

    def test_a_program_that_goes_elsewhere(self):
        self.assertEqual(run(PROGRAM, "away", cwd=self.directory, profile="profile"), "")
        self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))
        self.assertFalse(pathlib.Path("/profile").exists())


class Renewal(Directory):
    def test_a_program_that_was_rebuilt(self):
        run(self.copy(PROGRAM, "server"), "stay", profile=self.file)
        first = self.file.read_text(encoding="ascii")
        self.assertEqual(run(self.copy(REBUILT, "server"), "stay", profile=self.file), "")
        second = self.file.read_text(encoding="ascii")
        self.assertIn("\nbuild 1122334455667788\n", second)
        self.assertEqual(first.splitlines()[1], second.splitlines()[1])
        self.assertNotEqual(first.splitlines()[2], second.splitlines()[2])
        self.assertIn("another build", run(self.copy(PROGRAM, "server"), "stay", profile=self.file, learn="freeze"))

    def test_another_program(self):
        run(self.copy(PROGRAM, "server"), "stay", profile=self.file)
        text = self.file.read_text(encoding="ascii")
        errors = run(self.copy(PROGRAM, "other"), "stay", profile=self.file)
        self.assertEqual(errors, f"hakmem: warning: {self.file}: profile ignored: of another program; a directory holds one for each\n")
        self.assertEqual(self.file.read_text(encoding="ascii"), text)

    def test_an_older_format(self):
        self.file.write_text(VERSION_3, encoding="ascii")
        self.assertEqual(run(PROGRAM, "stay", profile=self.file), "")
        self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))

    def test_a_program_without_build_id(self):
        """What is left in its tables leads nowhere: with an older hakmem it died before main."""
        if not shutil.which("objcopy"):
            self.skipTest("no objcopy")
        for source in (PROGRAM, pathlib.Path("/bin/true").resolve()):
            program = self.copy(source, "server")
            subprocess.run(["objcopy", "--remove-section", ".note.gnu.build-id", program], check=True)
            self.assertEqual(run(program, "stay", profile=f"{self.directory}/kept/"), "")
        self.assertEqual(len(self.names(self.directory / "kept")), 1)


class ManyPrograms(Directory):
    def setUp(self):
        super().setUp()
        self.kept = self.directory / "kept"

    def test_one_file_for_each(self):
        for name in ("server", "other", "server"):
            self.assertEqual(run(self.copy(PROGRAM, name), "stay", profile=f"{self.kept}/"), "")
        names = self.names(self.kept)
        self.assertEqual([name.split(".")[0] for name in names], ["other", "server"])
        for name in names:
            text = (self.kept / name).read_text(encoding="ascii")
            self.assertTrue(is_profile(text))
            self.assertIn(f"\nbuild {name.split('.')[1]}\n", text)

    def test_without_the_slash(self):
        self.kept.mkdir()
        run(PROGRAM, "stay", profile=self.kept)
        self.assertEqual(len(self.names(self.kept)), 1)

    def test_old_builds_go(self):
        for program in (PROGRAM, REBUILT):
            run(self.copy(program, "server"), "stay", profile=f"{self.kept}/")
            self.assertEqual(len(self.names(self.kept)), 1)
        self.assertEqual(self.names(self.kept), ["server.1122334455667788.hakmem"])

    def test_helpers_say_nothing(self):
        script = f"for i in 1 2 3 4 5; do ls / | sort | tail -n 1 >/dev/null; env true; done; exec '{PROGRAM}' stay"
        self.kept.mkdir()
        (self.kept / "true.junk.hakmem").write_text("junk", encoding="ascii")
        for _ in range(2):
            self.assertEqual(run("sh", "-c", script, profile=f"{self.kept}/"), "")
        self.assertEqual(run("sh", "-c", script, profile="/proc/none/"), "")

    def test_who_asks_is_told(self):
        self.assertIn("not saved", run(PROGRAM, "stay", profile="/proc/none/", explain="on"))

    def test_a_directory_for_everybody(self):
        self.kept.mkdir()
        self.kept.chmod(0o1777)
        run(PROGRAM, "stay", profile=self.kept)
        self.assertRegex(self.names(self.kept)[0], rf"^files_program\.{os.geteuid()}\.[0-9a-f]+\.hakmem$")


class ManyProcesses(Directory):
    def at_once(self, command, **options):
        threads = [threading.Thread(target=run, args=command, kwargs=options) for _ in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if self.file.exists():
                self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))
        for thread in threads:
            thread.join()
        self.assertTrue(is_profile(self.file.read_text(encoding="ascii")))
        self.assertEqual(self.names(), ["profile"])

    def test_at_once(self):
        self.at_once((PROGRAM, "stay"), profile=self.file)

    def test_containers(self):
        """Each has a process 1."""
        command = ("unshare", "--pid", "--fork", "--mount-proc", PROGRAM, "stay")
        if not shutil.which("unshare") or subprocess.run([*command[:-2], "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no namespaces here")
        self.at_once(command, profile=self.file)


class Streams(Directory):
    """The three ways into a data file, and what is to be seen all the same."""

    def data_after(self, script, status=0, **options):
        data = self.directory / "data"
        run("bash", "-c", script.format(program=PROGRAM, data=data), status=status, **options)
        return data.read_text(encoding="ascii")

    def test_reports(self):
        for limit in ("", "ulimit -n 256; ", "ulimit -n 12; "):
            for streams in ("", "2>&-", "0>&- 1>&- 2>&-"):
                for option in ("stats", "explain", "sites"):
                    script = limit + "exec {program} reuse {data} " + streams
                    self.assertEqual(self.data_after(script, **{option: 1}), "DATA", (limit, streams, option))

    def test_json(self):
        self.assertEqual(self.data_after("exec {program} reuse {data} 2>&-", explain="json"), "DATA")

    def test_warnings(self):
        for streams in ("", "2>&-"):
            self.assertEqual(self.data_after("exec {program} reuse {data} " + streams, profile=self.directory / "none" / "p"), "DATA")
            self.assertEqual(self.data_after("exec {program} reuse {data} " + streams, nonsense=1), "DATA")

    def test_last_words(self):
        for streams in ("", "2>&-"):
            self.assertEqual(self.data_after("exec {program} misuse {data} " + streams, status=-6, learn="on"), "DATA")

    def test_the_table_of_sites_elsewhere(self):
        self.assertEqual(self.data_after("exec {program} reuse {data} 7>&-", sites=1, sites_fd=7), "DATA")
        self.assertEqual(self.data_after("exec {program} reuse {data} 2>&-", sites=1, sites_fd=2), "DATA")

    def test_reports_come_with_few_descriptors(self):
        for limit in ("256", "20", "8"):
            self.assertIn("hakmem", run("bash", "-c", f"ulimit -n {limit}; exec {PROGRAM} stay", stats=1))

    def test_reports_come_when_the_streams_are_closed(self):
        errors = run("bash", "-c", f"exec {PROGRAM} reuse {self.directory}/data", stats=1)
        self.assertIn("hakmem", errors)

    def test_nobody_reads(self):
        """The status stays the program's own."""
        for option in ("stats", "explain", "sites"):
            run("bash", "-c", f"set -o pipefail; {PROGRAM} stay 2>&1 | true", **{option: 1})
        run("bash", "-c", f"ulimit -f 1; exec {PROGRAM} stay 2>{self.directory}/log", stats=1)

    def test_last_words_go_to_logs(self):
        log = self.directory / "log"
        log.write_text("begin\n", encoding="ascii")
        run(PROGRAM, "log", log, status=-6)
        self.assertRegex(log.read_text(encoding="ascii"), r"\Abegin\nhakmem: fatal: free\(")


if __name__ == "__main__":
    unittest.main()
