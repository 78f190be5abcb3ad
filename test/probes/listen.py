"""Runs in gdb, which starts the program with the library preloaded and stops at the probes and where the program waits:
    gdb -batch -x listen.py --args PROGRAM FILE
The environment names PROBES_LIBRARY; PROBES_TOOL, hakmem; PROBES_OUTPUT, a file for what was seen, as JSON. With
PROBES_PLAIN the breakpoints are at the addresses only, so that gdb raises no semaphore.
SPDX-License-Identifier: MIT"""
import json
import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common  # noqa: E402

LIBRARY, TOOL = os.environ["PROBES_LIBRARY"], os.environ["PROBES_TOOL"]
REGISTERS = {"i386:x86-64": ["rdi", "rsi", "rdx"], "aarch64": ["x0", "x1", "x2"]}
events = []


def number(expression):
    return int(gdb.parse_and_eval(f"(unsigned long) {expression}"))


class Probe(gdb.Breakpoint):
    """Notes the values that the note leads to, those in the registers of a call, and the semaphore meanwhile."""

    def __init__(self, name, count, semaphore):
        super().__init__(f"-probe-stap otel_memory:{name}")
        self.name, self.count, self.semaphore = name, count, semaphore

    def stop(self):
        registers = REGISTERS[gdb.selected_frame().architecture().name()]
        events.append({"probe": self.name, "values": [number(f"$_probe_arg{i}") for i in range(self.count)],
                       "registers": [number(f"${register}") for register in registers[:self.count]],
                       "argc": number("$_probe_argc"), "stack": stack_names(),
                       "semaphore": semaphore_value(self.semaphore)})
        return False


class Place(gdb.Breakpoint):
    """At the address of a probe, as if it were any instruction."""

    def __init__(self, name, address):
        super().__init__(f"*{address:#x}")
        self.name = name

    def stop(self):
        events.append({"probe": self.name})
        return False


def stack_names():
    """Functions of the innermost frames of the first events: more would take long."""
    names, frame = [], gdb.newest_frame() if len(events) < 20 else None
    while frame and len(names) < 40:
        names.append(frame.name())
        frame = frame.older()
    return names


def base_address():
    """What the library's addresses are moved by."""
    return number("&hak_version") - symbol_address("hak_version")


def symbol_address(name):
    for line in common.readelf("--dyn-syms", LIBRARY).splitlines():
        cells = line.split()
        if cells and cells[-1] == name:
            return int(cells[1], 16)
    raise LookupError(name)


def semaphore_value(address):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, 2).tobytes(), sys.byteorder)


def listen():
    gdb.execute("set pagination off")
    gdb.execute("set startup-with-shell off")
    gdb.execute(f"set environment LD_PRELOAD {LIBRARY}")
    gdb.execute(f"set environment HAKMEM_SAMPLE {common.SAMPLE}")
    gdb.execute("catch load libhakmem")
    gdb.execute("run")
    base = base_address()
    for name, probe in common.probes(LIBRARY).items():
        if os.environ.get("PROBES_PLAIN"):
            Place(name, base + probe["place"])
        else:
            Probe(name, len(probe["values"].split()), base + probe["semaphore"])
    gdb.execute("break *wait_here")  # its first instruction; its first line may be a loop
    gdb.execute("continue")
    gdb.execute("continue")
    live = common.heap_live(TOOL, gdb.selected_inferior().pid)
    with open(os.environ["PROBES_OUTPUT"], "w", encoding="ascii") as file:
        json.dump({"events": events, "live": live}, file)
    gdb.execute("kill")


listen()
