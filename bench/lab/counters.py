"""Instructions that a program executes, where the machine can count them (most virtual machines cannot).
SPDX-License-Identifier: MIT"""
import ctypes
import os
import platform
import struct

PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}.get(platform.machine())
HARDWARE, SOFTWARE = 0, 1
INSTRUCTIONS, PAGE_FAULTS = 1, 2
# perf_event_attr, version 1: type, size, config, sample_period, sample_type, read_format, flags, and two more words.
ATTRIBUTES = struct.Struct("=IIQQQQQQQ")
# Off at first and on after execve: what is counted is the programs that we start from now on, and not ourselves.
FLAGS = DISABLED, INHERIT, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR, ENABLE_ON_EXEC = 1 << 0, 1 << 1, 1 << 5, 1 << 6, 1 << 12


def start(kind=HARDWARE, event=INSTRUCTIONS):
    """A file that counts an event in all children to come, or None."""
    if PERF_EVENT_OPEN is None:
        return None
    attributes = ATTRIBUTES.pack(kind, ATTRIBUTES.size, event, 0, 0, 0, sum(FLAGS), 0, 0)
    file = ctypes.CDLL(None).syscall(PERF_EVENT_OPEN, attributes, 0, -1, -1, 0)
    return file if file >= 0 else None


def count(file):
    try:
        return int.from_bytes(os.read(file, 8), "little")
    finally:
        os.close(file)


def read(file):
    """The metrics that the counter adds to a run's; none where there is no counter."""
    return {} if file is None else {"instructions": count(file)}
