"""A program that serves until it is told to end: started, waited for until it is ready, put under a load that somebody
else makes, left idle, and stopped. What is measured is the load's time, what the server's processes used meanwhile,
their memory then, and after the idle time.
SPDX-License-Identifier: MIT"""
import contextlib
import os
import signal
import time
from typing import NamedTuple

import process
from machine import read_text

READY_PAUSE_SECONDS = 0.05
# For the end, after the signal.
STOP_SECONDS = 10
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Plan(NamedTuple):
    """ready, load: commands for the shell. stop: the signal's number. idle: seconds."""
    ready: str
    load: str
    stop: int
    idle: float


class Trouble(Exception):
    """What went wrong on the way: a status of runs, and a sentence's end."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status, self.detail = status, detail


class Usage(NamedTuple):
    """Of all processes of the server, the ended ones among them."""
    cpu: float
    minor_faults: int
    major_faults: int


def usage_of(pids):
    # utime, stime, cutime and cstime; minflt, cminflt, majflt and cmajflt, after the command's name.
    cpu = minor = major = 0
    for pid in pids:
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 14:
            cpu += sum(map(int, fields[11:15])) * TICK
            minor += int(fields[7]) + int(fields[8])
            major += int(fields[9]) + int(fields[10])
    return Usage(nanoseconds(pids) or cpu, minor, major)


def nanoseconds(pids):
    """The same CPU time in s, more exact than in ticks, where no process has ended: of all threads, from the
    scheduler's account; 0 where the kernel keeps none."""
    total = 0
    for pid in pids:
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) < 15 or fields[13] != "0" or fields[14] != "0":
            return 0
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                total += int((read_text(f"/proc/{pid}/task/{thread}/schedstat").split() or ["0"])[0])
    return total / 1e9


def run(plan, begin, environment, folder, limit):
    """One run of the server that begin() starts; its Outcome. A load that fails is a failure of the server's."""
    server = begin()
    try:
        try:
            metrics = serve(server, plan, environment, folder, limit)
        except Trouble as trouble:
            return troubled(server, trouble, folder)
        os.kill(server.pid, plan.stop)
        ended = server.wait(STOP_SECONDS)
    except BaseException:
        server.close()
        raise
    outcome = server.end(None if ended else STOP_SECONDS)
    outcome.errors = read_text(os.path.join(folder, "stderr"))[-process.OUTPUT_KEPT:]
    if not ended:
        outcome.detail += f" after {signal.Signals(plan.stop).name}"
    elif outcome.exit_code == -plan.stop:
        outcome.status, outcome.detail = "ok", ""
    outcome.metrics = metrics
    return outcome


def troubled(server, trouble, folder):
    outcome = server.end(0)
    how = "" if trouble.status != "server" else (
        f", by {process.signal_name(-outcome.exit_code)}" if outcome.exit_code < 0 else
        f", with status {outcome.exit_code}")
    outcome.status, outcome.detail = trouble.status, trouble.detail + how
    outcome.errors = read_text(os.path.join(folder, "stderr"))[-process.OUTPUT_KEPT:]
    return outcome


def serve(server, plan, environment, folder, limit):
    """From its start to the end of the idle time; the metrics."""
    wait_ready(server, plan.ready, environment, folder, limit)
    before = usage_of(process.tree_of(server.pid))
    server.highest = 0
    wall = load(server, plan.load, environment, folder, limit)
    pids = process.tree_of(server.pid)
    after, peak = usage_of(pids), max(server.highest, high_water(server.pid))
    if server.wait(plan.idle):
        raise Trouble("server", "ended while it was idle")
    return {"wall": wall, "cpu": max(0.0, after.cpu - before.cpu), "peak": peak,
            "idle": process.resident(process.tree_of(server.pid)),
            "minor_faults": max(0, after.minor_faults - before.minor_faults),
            "major_faults": max(0, after.major_faults - before.major_faults)}


def high_water(pid):
    """The most that the process has had in memory, in bytes."""
    line = next((line for line in read_text(f"/proc/{pid}/status").splitlines() if line.startswith("VmHWM:")), "")
    return int((line.split() + ["0", "0"])[1]) * 1024


def wait_ready(server, command, environment, folder, limit):
    until = time.monotonic() + limit
    while time.monotonic() < until:
        seconds = until - time.monotonic()
        if helper(server, command, environment, folder, "ready", seconds, "before it was ready").exit_code == 0:
            return
        if server.wait(READY_PAUSE_SECONDS):
            raise Trouble("server", "ended before it was ready")
    raise Trouble("hang", f"was not ready within {limit:g} s ({command})")


def load(server, command, environment, folder, limit):
    """How long it took, in s."""
    outcome = helper(server, command, environment, folder, "load", limit, "under the load")
    if outcome.status == "hang":
        raise Trouble("hang", f"was under load for more than {limit:g} s ({command})")
    if outcome.exit_code != 0:
        words = outcome.errors.strip().splitlines()[-1:]
        raise Trouble("load", f"was under a load that ended with status {outcome.exit_code} ({command})"
                      + "".join(f": {line[:200]}" for line in words))
    return outcome.metrics["wall"]


def helper(server, command, environment, folder, name, limit, moment):
    """Runs a command for the shell beside the server, whose memory is looked at meanwhile."""
    place = os.path.join(folder, name)
    os.makedirs(place, exist_ok=True)
    running = process.begin(["/bin/sh", "-c", command], environment, place, directory=os.getcwd(), samples=False)
    until = time.monotonic() + limit
    try:
        while not (ended := running.wait(process.SAMPLE_SECONDS)) and time.monotonic() < until:
            if server.wait(0):
                raise Trouble("server", f"ended {moment}")
    except BaseException:
        running.close()
        raise
    outcome = running.end(None if ended else limit)
    outcome.errors = read_text(os.path.join(place, "stderr"))[-process.OUTPUT_KEPT:]
    return outcome
