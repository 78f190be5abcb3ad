"""One run of a program, from outside: how long it took, what it used, how its memory grew, how it ended.

Three traps are avoided here. The high-water mark of a process survives execve, so that a child of this (not small)
Python would never show a smaller peak than Python's own: the program is therefore started by a small one, `hakmem
launch`, which spawns it, waits for it, and tells when it began and ended and what the kernel says that it used: nothing
of the launcher's own, and nothing of Python's, is in these figures. A session of its own lets us end the program with
everything that it has started, and what it leaves behind is handed over to us by the kernel, because we are the
subreaper.
SPDX-License-Identifier: MIT"""
import contextlib
import ctypes
import errno
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field

import ending
from machine import read_text

# The command `hakmem`, which launches programs.
TOOL = "hakmem"
# What it counts of them: perf_event_open's type and config of instructions, where the machine can count these.
COUNTED = "0:1"

PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.02
# How often whoever waits is told that it goes on, at least.
LOOK_SECONDS = 1
SAMPLES_KEPT = 400
# So many looks into the maps of processes without finding a library show that it is not there. One or two show nothing:
# the process may still be the one that starts it, or be about to map it, or have ended.
LOOKS_IN_VAIN = 6
OUTPUT_KEPT = 4000
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Outcome:
    """How a run went. `status` is "ok" (whatever the exit code), "crash" or "hang"."""
    status: str = "ok"
    detail: str = ""
    exit_code: int = 0
    metrics: dict = field(default_factory=dict)
    samples: list = field(default_factory=list)
    errors: str = ""
    mapped: bool | None = None


class CannotStart(OSError):
    """A program that was there, but cannot be executed."""


def become_subreaper():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


@contextlib.contextmanager
def on_cpus(cpus):
    """What is started inside runs on these CPUs only; None leaves it alone."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def children_of(pid):
    """Of all threads of the process."""
    found = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        found += map(int, read_text(f"/proc/{pid}/task/{thread}/children").split())
    return found


def tree_of(pid):
    pids = [pid]
    for parent in pids:
        pids += children_of(parent)
    return pids


def resident(pids):
    """Bytes in memory, of all these processes together. What they share is counted for each."""
    return sum(int((read_text(f"/proc/{pid}/statm").split() or ["0", "0"])[1]) for pid in pids) * PAGE


def is_mapped(pids, library):
    """Whether one of the processes has it; None when they have nothing at all, being about to end or to begin."""
    lines = [line for pid in pids for line in read_text(f"/proc/{pid}/maps").splitlines()]
    return any(line.endswith(library) for line in lines) if lines else None


class Running:
    """A program that has been started. Its output goes to the files given; see run() for the arguments."""
    # All that run at the same time, by process, so that none takes another one for something left behind.
    leaders = {}
    # What is called with the seconds of a run while it goes on.
    on_wait = staticmethod(lambda seconds: None)

    def __init__(self, argv, environment, folder, preload, stdin, stdout, stderr, cpus, library, samples):
        self.library = library and os.path.realpath(library)
        self.outcome = Outcome()
        self.samples = samples
        self.kept = []
        self.keep_every = 1
        self.taken = self.highest = 0
        self.looks_in_vain = 0
        self.before = set(children_of(os.getpid()))
        settings = [f"{name}={value}" for name, value in preload.items()]
        options = {"env": environment, "cwd": folder, "stdin": stdin, "stdout": stdout, "stderr": stderr}
        with ending.held(), on_cpus(cpus):
            try:
                self.launch(settings, argv, options)
            except CannotStart as fault:
                path = shutil.which(argv[0], path=environment.get("PATH"))
                if fault.errno != errno.ENOEXEC or not path:
                    raise
                # A script without a first line is the shell's, as for execvp.
                self.launch(settings, ["/bin/sh", path, *argv[1:]], options)
            self.leaders[self.pid] = self
            self.poll = select.poll()
            self.poll.register(self.report, select.POLLIN)

    def launch(self, settings, argv, options):
        """Finds out the program's process, when it began, and whether it can be executed."""
        reader, writer = os.pipe()
        # Away from the terminal, whose signals are for us.
        self.launcher = subprocess.Popen([TOOL, "launch", str(writer), COUNTED, *settings, "--", *argv],
                                         pass_fds=[writer], start_new_session=True, **options)
        os.close(writer)
        # Without a buffer: what poll shows has not been read yet.
        self.report = open(reader, "rb", buffering=0)
        pid, started, error = map(int, (self.report.readline() or b"0 0 %d" % errno.EAGAIN).split())
        self.pid, self.started = pid, started / 1e9
        if error:
            self.report.close()
            self.launcher.wait()
            raise CannotStart(error, os.strerror(error), argv[0])

    def wait(self, seconds):
        """Samples until the program ends (True) or the time is over (False)."""
        until = time.monotonic() + seconds
        pause = SAMPLE_SECONDS if self.samples else LOOK_SECONDS
        while not self.poll.poll(max(0, min(pause, until - time.monotonic())) * 1000):
            now = time.monotonic()
            if self.samples:
                self.sample(now - self.started)
            self.on_wait(now - self.started)
            if now >= until:
                return False
        return True

    def sample(self, moment):
        pids = tree_of(self.pid)
        size = resident(pids)
        self.highest = max(self.highest, size)
        self.taken += 1
        if self.taken % self.keep_every == 0:
            self.kept.append([round(moment, 3), size])
        if len(self.kept) >= SAMPLES_KEPT:
            self.kept = self.kept[1::2]
            self.keep_every *= 2
        if self.library and self.outcome.mapped is None:
            self.library_look(pids)

    def library_look(self, pids):
        found = is_mapped(pids, self.library)
        self.looks_in_vain += found is False
        if found or self.looks_in_vain == LOOKS_IN_VAIN:
            self.outcome.mapped = found

    def end(self, hanging_after=None):
        """Reaps the program, by force if it still runs, with all that it left behind; the outcome."""
        outcome = self.outcome
        if hanging_after is not None:
            outcome.status, outcome.detail = "hang", f"did not end within {hanging_after:.0f} s"
            kill_session(self.pid)
        usage = self.usage()
        outcome.exit_code = os.waitstatus_to_exitcode(usage.pop("status"))
        if outcome.status == "ok" and outcome.exit_code < 0:
            outcome.status, outcome.detail = "crash", "ended by " + signal_name(-outcome.exit_code)
        outcome.samples = self.kept
        outcome.metrics = usage
        return outcome

    def usage(self):
        """The status and the metrics, as the launcher tells them at the end."""
        with ending.held():
            line = self.report.readline()
            self.close()
        if not line:
            raise OSError(errno.ECHILD, "what started the program ended before it", TOOL)
        end, status, user, system, peak, minor, major, voluntary, involuntary, count = map(int, line.split())
        metrics = {
            "status": status, "wall": end / 1e9 - self.started, "user": user / 1e6, "system": system / 1e6,
            "cpu": (user + system) / 1e6, "minor_faults": minor, "major_faults": major, "peak": peak * 1024,
            "voluntary_switches": voluntary, "involuntary_switches": involuntary}
        return metrics if count < 0 else {**metrics, "instructions": count}

    def close(self):
        """Ends whatever is left, once. Nothing of a run may stay and disturb the next one."""
        if self.pid not in self.leaders:
            return
        with ending.held():
            kill_session(self.pid)
            self.launcher.wait()
            self.report.close()
            del self.leaders[self.pid]
            self.orphans_end()

    def orphans_end(self):
        for orphan in self.orphans():
            kill(orphan)
            os.waitpid(orphan, 0)

    def orphans(self):
        """What the kernel handed over to us, and was not there before."""
        known = self.before | {other.launcher.pid for other in self.leaders.values()}
        return [pid for pid in children_of(os.getpid()) if pid not in known]


def signal_name(number):
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_session(leader):
    """setsid made the program the leader of a session and a group, which its children are in, too."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def all_close():
    """After an interruption, which may have come between the start of a program and whoever would have ended it."""
    for running in list(Running.leaders.values()):
        running.close()


def all_kill():
    """For those who cannot wait."""
    for leader in list(Running.leaders):
        kill_session(leader)


ending.State.end_all = all_kill


def capture(argv):
    """What a helper of ours writes to stdout."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def start(argv, environment, folder, preload=None, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
          stderr=subprocess.DEVNULL, cpus=None, library=None, samples=True):
    return Running(argv, environment, folder, preload or {}, stdin, stdout, stderr, cpus, library, samples)


def begin(argv, environment, folder, stdin=None, directory=None, **options):
    """Starts argv in `directory`, or else in `folder`. What it writes goes to the files `stdout` and `stderr` in
    `folder`. preload: variables that only the program sees, not what starts it. cpus: where it may run. library: a file
    that has to be mapped while it runs, see Outcome.mapped. samples: whether its memory is looked at while it runs."""
    with open(os.path.join(folder, "stdout"), "wb") as stdout, open(os.path.join(folder, "stderr"), "wb") as stderr, \
            open(stdin or os.devnull, "rb") as source:
        return start(argv, environment, directory or folder, stdin=source, stdout=stdout, stderr=stderr, **options)


def finish(running, folder, limit):
    """Waits for its end, for `limit` seconds at most."""
    try:
        ended = running.wait(limit)
    except BaseException:
        running.close()
        raise
    outcome = running.end(None if ended else limit)
    outcome.errors = read_text(os.path.join(folder, "stderr"))[-OUTPUT_KEPT:]
    return outcome


def run(argv, environment, folder, limit, **options):
    return finish(begin(argv, environment, folder, **options), folder, limit)
