"""The machine that measures: what it is, who else is using it, and which CPUs there are.
SPDX-License-Identifier: MIT"""
import os
import platform
import resource
import time
from typing import NamedTuple

TICK = 1 / os.sysconf("SC_CLK_TCK")
# Other programs' share of one CPU, during a run, above which the run does not count. The second number is for the
# coarseness of the kernel's clock ticks, which short runs would otherwise stumble over.
OTHERS_SHARE = 0.05
OTHERS_SECONDS = 0.05
COMPACTION = "/proc/sys/vm/compact_memory"


def read_text(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return default


def environment_given():
    """The variables that this process began with. Python has changed its own copy where the locale is "C"."""
    pairs = (entry.partition("=") for entry in read_text("/proc/self/environ").split("\0"))
    return {name: value for name, equals, value in pairs if name and equals} or dict(os.environ)


def seconds_since_start():
    """Of this process, which began as the command `hakmem`."""
    ticks = int(read_text("/proc/self/stat").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks * TICK


class Load(NamedTuple):
    """Seconds of CPU time used so far, by everyone and by us with all our finished children, and the time of day."""
    everyone: float
    ours: float
    clock: float


def load_now():
    # user nice system idle iowait irq softirq steal; guest time is part of user. Stolen time was another machine's.
    fields = [int(field) for field in read_text("/proc/stat", "cpu 0 0 0 0 0 0 0 0").split("\n", 1)[0].split()[1:9]]
    everyone = (sum(fields) - fields[3] - fields[4]) * TICK
    ours = sum(usage.ru_utime + usage.ru_stime
               for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return Load(everyone, ours, time.monotonic())


def others_share(before, after):
    """How many CPUs, on average, somebody else kept busy between two loads."""
    elapsed = after.clock - before.clock
    return max(0.0, (after.everyone - before.everyone) - (after.ours - before.ours)) / elapsed if elapsed > 0 else 0.0


def is_disturbed(before, after):
    elapsed = after.clock - before.clock
    return others_share(before, after) * elapsed > OTHERS_SHARE * elapsed + OTHERS_SECONDS


def compact_memory():
    """Has the kernel move memory together, so that each run gets some of one piece, whatever ran before; false where
    only root may ask for that. A program whose memory is scattered can be slower by a third."""
    try:
        with open(COMPACTION, "w", encoding="ascii") as file:
            file.write("1")
    except OSError:
        return False
    return True


def allowed_cpus():
    return sorted(os.sched_getaffinity(0))


def cpu_model():
    for line in read_text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.machine()


def system_name():
    for line in read_text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def chosen(path):
    """The word in brackets of a file such as "always [madvise] never"."""
    words = read_text(path).split()
    return next((word.strip("[]") for word in words if word.startswith("[")), words[0] if words else "unknown")


def describe(compacts):
    """What a reader has to know about the machine to judge the figures. compacts: whether that was asked for."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu_model(),
        "cpus": len(allowed_cpus()),
        "memory": memory,
        "architecture": platform.machine(),
        "system": system_name(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "compacted": compacts and os.access(COMPACTION, os.W_OK),
        "huge_pages": chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or "unknown",
    }
