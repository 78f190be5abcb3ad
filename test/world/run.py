"""One program's work on one allocator, in a process of its own, whose descendants are all that belongs to the run.

The work (Program.work) takes a Run: it starts programs, checks what they do, and records what has to be the same on
both allocators. Everything lies in the run's folder, and is started as a user without rights when root runs this.
SPDX-License-Identifier: MIT"""
import ctypes
import fnmatch
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback

import memory
from paths import SOURCE
from trial import HAKMEM, Failure, Result, base_environment, digests, ending, show

NOBODY, NOGROUP = "nobody", "nogroup"
PR_SET_CHILD_SUBREAPER = 36
# Limits that only a program that hangs meets, also on a machine that is busy with other things.
COMMAND_SECONDS = 300
ANSWER_SECONDS = 150
# What a log says when a process of a server died. Nothing else of a log is compared: it has times and pids.
DEATHS = rb"hakmem: .*|.*(?:(?:exited on|terminated by|exit) signal|Segmentation fault|SIGSEGV|SIGABRT|core dumped).*"


class Skip(Exception):
    """Why the program cannot be run on this machine."""


class Started:
    """A process with its output in files, so that neither a pipe that nobody reads nor one that a daemon keeps open
    can stop anything."""

    def __init__(self, process, argv, log):
        self.process, self.argv, self.log = process, argv, log

    def read(self, suffix):
        with open(self.log + suffix, "rb") as file:
            return file.read()

    def result(self):
        status = self.process.poll()
        return Result(0 if status is None else status, self.read(".out"), self.read(".err"))

    def wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{show(self.argv)} did not end within {seconds} s: {ending(self.result())}") from None
        return self.result()

    def stop(self, number=signal.SIGTERM, statuses=(0, -signal.SIGTERM), seconds=ANSWER_SECONDS):
        """Has a server end, in order."""
        self.expect_alive()
        self.process.send_signal(number)
        result = self.wait(seconds)
        if result.status not in statuses:
            raise Failure(f"{show(self.argv)} was stopped: {ending(result)}")
        return result

    def expect_alive(self):
        if self.process.poll() is not None:
            raise Failure(f"{show(self.argv)} ended: {ending(self.result())}")


class Run:
    def __init__(self, task):
        self.folder, self.allocator, self.library = task["folder"], task["allocator"], task["library"]
        self.hidden = {self.folder: "FOLDER"}  # parts of commands that differ between the two, and are not compared
        self.is_checked, self.idle_seconds = task["is_checked"], task["idle_seconds"]
        self.patience = 5 if self.is_checked else 1  # how many times as long everything may take
        self.records, self.idle_memory, self.idled, self.started = [], None, 0.0, 0
        for name in ("", "home", "logs"):
            os.makedirs(self.path(name), exist_ok=True)
            self.give_away(name)
        os.chdir(self.folder)  # names of sockets have to be short
        self.watch = memory.Watch(self.library)

    # ---- Files -------------------------------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.folder, name)

    def give_away(self, name):
        """To the user that the programs run as."""
        if os.geteuid() == 0:
            os.chmod(self.path(name), 0o755)
            shutil.chown(self.path(name), NOBODY, NOGROUP)

    def folder_make(self, name):
        os.makedirs(self.path(name))
        self.give_away(name)
        return self.path(name)

    def put(self, name, contents, mode=0o644):
        """An input file; its path."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(contents.encode() if isinstance(contents, str) else contents)
        self.give_away(name)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def take(self, name, copy=None, **values):
        """A copy of a file of work/, with @NAME@ replaced by values; its path."""
        with open(os.path.join(SOURCE, "work", name), encoding="utf-8") as file:
            text = file.read()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        return self.put(copy or name, text)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    # ---- Processes ---------------------------------------------------------------------------------------------------

    def environment(self, is_client, more):
        base = base_environment(self.path("home")) | {"USER": NOBODY, "LOGNAME": NOBODY, "SHELL": "/bin/sh"}
        if self.allocator == HAKMEM and not is_client:
            base["LD_PRELOAD"] = self.library
            if self.is_checked:
                base["HAKMEM_CHECK"] = "1"
        preloaded = [path for path in (more.pop("PRELOAD_BEFORE", None), base.get("LD_PRELOAD"),
                                       more.pop("PRELOAD_AFTER", None)) if path]
        if preloaded:
            base["LD_PRELOAD"] = ":".join(preloaded)
        return base | more

    def start(self, argv, stdin=b"", client=False, as_root=False, group=False, **environment):
        """client: a program that helps and runs on libc, and whose memory does not count."""
        self.started += 1
        log = self.path(f"logs/{self.started:02}-{os.path.basename(argv[0])}")
        with open(log + ".in", "wb") as file:
            file.write(stdin)
        identity = {} if as_root or os.geteuid() != 0 else {"user": NOBODY, "group": NOGROUP, "extra_groups": []}
        with self.watch.paused() as clients, open(log + ".in", "rb") as source, open(log + ".out", "wb") as out, \
                open(log + ".err", "wb") as err:
            process = subprocess.Popen(argv, cwd=self.folder, env=self.environment(client, environment), stdin=source,
                                       stdout=out, stderr=err, start_new_session=True, **identity)
            if client:
                clients.add(process.pid)
        return Started(process, argv, log)

    def run(self, argv, seconds=COMMAND_SECONDS, status=0, leave_out=None, **options):
        """Runs a program to its end. What it writes is recorded, but for lines that match leave_out."""
        result = self.start(argv, **options).wait(seconds * self.patience)
        if result.status != status:
            raise Failure(f"{show(argv)}: {ending(result)}")
        for stream, text in (("stdout", result.out), ("stderr", result.err)):
            self.record(f"{stream} of {self.show(argv)}", text, leave_out)
        return result

    def build(self, argv, **options):
        """A compiler's run: on libc, without a record."""
        return self.run(argv, client=True, leave_out="", **options)

    def is_allowed(self, argv, **options):
        """Whether this machine lets the user do that."""
        return self.start(argv, client=True, **options).wait(60).status == 0

    def wait_for(self, what, probe, server=None, seconds=ANSWER_SECONDS):
        """Until probe() is true; an answer that the probe cannot get yet is no error."""
        deadline = time.monotonic() + seconds * self.patience
        while True:
            try:
                if probe():
                    return
            except (OSError, Failure):
                pass
            if server:
                server.expect_alive()
            if time.monotonic() > deadline:
                raise Failure(f"{what}: not within {seconds * self.patience} s"
                              + (f": {ending(server.result())}" if server else ""))
            time.sleep(0.05)

    def free_port(self):
        """Of the loopback, below those that the kernel gives to clients, and not a neighbour of another run's."""
        for port in range(20000 + 10 * os.getpid() % 9000, 32000):
            with socket.socket() as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self.hidden[str(port)] = "PORT"
            return port
        raise Failure("no free port on the loopback")

    # ---- What is looked at -------------------------------------------------------------------------------------------

    def record(self, label, value, leave_out=None):
        """Something that has to be the same on both allocators."""
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        text = text.replace(self.folder, "FOLDER")
        if leave_out is not None:
            text = "\n".join(line for line in text.splitlines() if not re.search(leave_out, line))
        self.records.append((label, text))

    def show(self, argv):
        """A command as it is called on both allocators."""
        text = "\0".join(argv)
        for value, name in self.hidden.items():
            text = text.replace(value, name)
        return show(text.split("\0"))

    def record_files(self, pattern, folder="."):
        """The contents of the files that match, of which there have to be some."""
        found = digests(folder, pattern)
        self.expect(found, f"no file matches {pattern}")
        for name in sorted(found):
            self.record(f"the file {name}", found[name])

    def expect(self, condition, what):
        if not condition:
            raise Failure(what)

    def idle(self):
        """Sleeps, then notes the memory."""
        time.sleep(self.idle_seconds)
        self.idled += self.idle_seconds
        self.idle_memory = self.watch.look()

    def check_maps(self, works_in):
        """Each of the executables that do the work was seen with the library mapped, and without it on libc."""
        for pattern in works_in:
            found = fnmatch.filter(self.watch.mapped, pattern)
            self.expect(fnmatch.filter(self.watch.seen, pattern), f"no process of {pattern} was seen, only of "
                                                                  f"{', '.join(sorted(self.watch.seen))}")
            if self.allocator == HAKMEM:
                self.expect(found, f"{self.library} is not in /proc/PID/maps of {pattern}")
            else:
                self.expect(not found, f"hakmem is mapped in {pattern}, which is to run on libc")

    def check_logs(self):
        for parent, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith((".log", ".err")):
                    lines = re.findall(DEATHS, memory.read_bytes(os.path.join(parent, name)))
                    self.expect(not lines, f"{name} says: " + b"\n    ".join(lines[:5]).decode(errors="replace"))


def find(pattern):
    """The file whose name has a version of Debian's in it."""
    found = sorted(glob.glob(pattern))
    if not found:
        raise Failure(f"there is no {pattern}")
    return found[-1]


def version(argv):
    """The first number with a dot that the command writes, or else the first number."""
    try:
        result = subprocess.run(argv, capture_output=True, timeout=30, env=base_environment("/nonexistent"),
                                check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "-"
    text = result.stdout + result.stderr
    found = re.search(rb"\d+(\.\d+)+\w*", text) or re.search(rb"\d\d+", text)
    return found[0].decode() if found else "-"


def stop_all():
    """Ends every descendant, also those that left their session, and those that are started meanwhile."""
    deadline = time.monotonic() + 20
    while (pids := memory.descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.01)


def become_reaper():
    """Orphans become children of this process, so that they stay its descendants."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def perform(entry, task):
    """The result of a run, for the process that asked for it."""
    result = {"verdict": "passed", "detail": ""}
    begun = time.monotonic()
    run = Run(task)
    try:
        entry.work(run)
        result["seconds"] = time.monotonic() - begun - run.idled
        run.watch.look()
        run.check_maps(entry.works_in)
    except Skip as why:
        result |= {"verdict": "skipped", "detail": str(why)}
    except Failure as why:
        result |= {"verdict": "FAILED", "detail": str(why).replace(run.folder, "FOLDER")}
    except Exception:  # the work itself is wrong: that, too, is to be read in the table
        result |= {"verdict": "FAILED", "detail": traceback.format_exc()}
    finally:
        run.watch.close()
        stop_all()
    try:
        run.check_logs()
    except Failure as why:
        result |= {"verdict": "FAILED", "detail": "\n".join(filter(None, [result["detail"], str(why)]))}
    # Threads record in any order.
    records = sorted(run.records, key=lambda record: record[0])
    return result | {"records": records, "peak": run.watch.peak, "idle": run.idle_memory}


def main(entry, task):
    become_reaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        result = perform(entry, task)
        with open(task["result"], "w", encoding="utf-8") as file:
            json.dump(result, file)
    finally:
        stop_all()
