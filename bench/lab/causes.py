"""Why the slowest calls of hakmem were slow, by name: from what the workload program tells of them on the traced
library.

A call has one cause: the system call in which it was longest; else page faults, where these may be half of it, by what
one takes on this machine; else the part of hakmem in which it was longest; else, where it was hardly in hakmem's slow
paths, something from outside, such as an interrupt.
SPDX-License-Identifier: MIT"""
import collections
import os
import re

import stats

# Of each kind of call, in a run: enough to show what is usual among the one in some hundred thousand.
SLOWEST = 50
LIBRARY, NAMES = "libhakmem-traced.so", "libhakmem-traced.names"
LINE = re.compile(r"([0-9a-f]+) [tTwW] (\w+)[\w.]*\t.*?(\w+/\w+\.c):\d+$")
# A file of src/ -> what is done there. docs/design.md has the words.
PARTS = {
    **dict.fromkeys(("cache/array.c", "cache/capacity.c", "cache/flush.c", "cache/mark.c", "cache/refill.c",
                     "cache/ring.c", "cache/state.c"), "refill or overflow of a ring"),
    "cache/cache.c": "a thread's beginning or end", "cache/tend.c": "upkeep of a thread's rings",
    "cache/remote.c": "depot",
    "cache/group.c": "grouped call sites",
    "cache/arena.c": "heaps by name", "cache/count.c": "counting of what is allocated",
    "cache/counted.c": "counting of what is allocated", "cache/draw.c": "drawing a sample",
    "cache/harden.c": "hardening", "cache/hold.c": "hardening", "front/slow.c": "slow path's beginning",
    "front/thread.c": "a thread's beginning or end",
    "front/children.c": "fork", "front/early.c": "start-up", "heap/page.c": "a page's bitmap, or a new page",
    "heap/span.c": "run of units", "heap/ground.c": "new superslab", "heap/meta.c": "tables that grow",
    "heap/large.c": "large block", "heap/purge.c": "purge", "heap/retain.c": "law of retention",
    "heap/limit.c": "limits",
    "heap/fill.c": "making memory resident", "heap/prefault.c": "making memory resident", "heap/huge.c": "huge pages",
    "heap/guard.c": "guards", "heap/cell.c": "guarded sample", "heap/check.c": "checks", "policy/learn.c": "learner",
    "policy/policy.c": "learner", "policy/profile.c": "learner", "insight/stats.c": "snapshot for the record",
    "insight/bill.c": "snapshot for the record", "insight/recorder.c": "snapshot for the record",
    "insight/record_file.c": "snapshot for the record", "insight/explain.c": "snapshot for the record",
    "insight/sample.c": "sample", "insight/ledger.c": "sample", "insight/unwind.c": "sample", "insight/cfi.c": "sample",
    "insight/kept.c": "sample", "insight/guarded.c": "guarded sample", "insight/modules.c": "sample",
    "insight/site.c": "grouped call sites", "insight/lives.c": "grouped call sites", "insight/probe.c": "sample",
    "system/lock.c": "waiting for a lock",
    "system/cgroup.c": "limits", "system/options.c": "start-up", "system/conf.c": "start-up",
    "front/malloc.c": "fast path", "front/api.c": "slow path's beginning"}
SYSTEM_FILE = "system/os_"  # src/system/os_*.c
SYSTEM = "the system's interface"
# Those of their functions that are a system call, mostly.
SYSTEM_CALLS = {
    "os_purge": "madvise, which gives memory back", "os_purge_all": "process_madvise, which gives memory back",
    "os_populate": "madvise, which makes memory resident",
    "os_prefer_huge": "madvise, which asks for huge pages", "os_map": "mmap", "os_map_at": "mmap", "os_unmap": "munmap",
    "os_resize": "mremap",
    "os_move": "mremap", "os_wait": "futex", "os_wake_one": "futex", "os_protect": "mprotect",
    "os_resident": "a look at what is resident", "file_open_as": "openat"}
SYSTEM_CALL = "system call: "
FAULTS, WAITING, OUTSIDE = "page faults", "waiting for another thread", "from outside: an interrupt, or the host"
# The part of a call's time that its page faults have to explain to be its cause.
EXPLAINED = 0.5


def library_beside(program):
    """The traced library, which is built beside the workload program, or None."""
    path = os.path.join(os.path.dirname(os.path.realpath(program)), LIBRARY)
    return path if os.path.exists(path) else None


def functions_read(library):
    """{distance from the library's beginning: (function, file)}; empty where there is no list."""
    try:
        with open(os.path.join(os.path.dirname(library), NAMES), encoding="utf-8") as file:
            lines = map(LINE.match, file.read().splitlines())
    except OSError:
        return {}
    return {int(line[1], 16): (line[2], line[3]) for line in lines if line}


def tell(slowest, library):
    """For results.json: call -> its slowest ones, each with what it did by name, and those that were preempted."""
    functions = functions_read(library)
    return {call: {"preempted": found["preempted"], "slowest": [named(one, functions) for one in found["slowest"]]}
            for call, found in slowest.items()}


def named(one, functions):
    steps = [[*functions.get(place, (f"+{place:#x}", "?")), ns] for place, ns in one["steps"]]
    return {**one, "steps": steps}


def part_of(function, file):
    if file.startswith(SYSTEM_FILE):
        return SYSTEM_CALL + SYSTEM_CALLS[function] if function in SYSTEM_CALLS else SYSTEM
    return PARTS.get(file, file)


def cause_of(one, costs):
    """costs: what the machine takes (host.py); {} where that is not known. A page fault may bring a huge page."""
    parts = collections.Counter()
    for function, file, ns in one["steps"]:
        parts[part_of(function, file)] += ns
    is_within = one["traced"] >= EXPLAINED * one["ns"]
    longest = parts.most_common(1)[0][0] if is_within else FAULTS if one["faults"] else OUTSIDE
    if longest.startswith(SYSTEM_CALL):
        return longest
    if one["faults"] * max(costs.get("page_fault") or 0, costs.get("huge_page") or 0) >= EXPLAINED * one["ns"]:
        return FAULTS
    return WAITING if one["waits"] else longest


class Cause(tuple):
    """(name, calls, median ns, worst ns)"""


def summed(slowest, costs):
    """The causes of these calls, the most frequent first, those that are as frequent by the worst of them."""
    by_name = collections.defaultdict(list)
    for one in slowest:
        by_name[cause_of(one, costs)].append(one["ns"])
    return sorted((Cause((name, len(times), stats.median(times), max(times))) for name, times in by_name.items()),
                  key=lambda cause: (-cause[1], -cause[3]))
