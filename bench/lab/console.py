"""Speaking to whoever started the lab, and the options that all its commands share.
SPDX-License-Identifier: MIT"""
import argparse
import os
import sys
import time

import allocators
import measure

HERE = allocators.HERE
# Where there is no terminal to write a changing line to, a line now and then shows that something goes on.
QUIET_SECONDS = 15


class Console:
    """Everything for people goes to stderr: one changing line, and lines that stay."""

    def __init__(self, stream=sys.stderr):
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.line = ""
        self.last = 0.0

    def say(self, text):
        self.clear()
        print(text, file=self.stream, flush=True)

    def clear(self):
        if self.line:
            print("\r" + " " * len(self.line) + "\r", end="", file=self.stream, flush=True)
            self.line = ""

    def progress(self, rounds):
        """What Measurement calls."""
        def show(done, total, task, left):
            if task is None:
                self.clear()
                return
            text = measure.state_line(done, total, task, left, rounds)
            if self.is_terminal:
                self.clear()
                self.line = text[:os.get_terminal_size(self.stream.fileno()).columns - 1]
                print(self.line, end="", file=self.stream, flush=True)
            elif time.monotonic() - self.last >= QUIET_SECONDS:
                self.last = time.monotonic()
                print(text, file=self.stream, flush=True)
        return show


def parser_new(command, description, **options):
    parser = argparse.ArgumentParser(prog=f"hakmem {command}", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, **options)
    parser.add_argument("--hakmem", metavar="LIBRARY", default=library_default(), help=argparse.SUPPRESS)
    parser.add_argument("--workloads", metavar="PROGRAM", default=workloads_default(), help=argparse.SUPPRESS)
    return parser


def names(text):
    return [name for name in text.split(",") if name]


# ---- Where things are ------------------------------------------------------------------------------------------------
# The lab lies in bench/lab of the sources, or in PREFIX/share/hakmem/lab once installed.


def first_existing(*paths):
    return next((os.path.realpath(path) for path in paths if path and os.path.exists(path)), None)


def prefix():
    return os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


def library_default():
    multiarch = os.path.join(prefix(), "lib", f"{os.uname().machine}-linux-gnu", "libhakmem.so.0")
    return first_existing(multiarch, os.path.join(prefix(), "lib", "libhakmem.so.0"),
                          os.path.join(HERE, "../../build/release/libhakmem.so"))


def workloads_default():
    return first_existing(os.path.join(prefix(), "libexec/hakmem/hakmem-workloads"),
                          os.path.join(HERE, "../../build/release/bench/hakmem-workloads"))


def pair_program(workloads):
    """It lies beside the workloads, under either name."""
    folder = os.path.dirname(workloads)
    return first_existing(os.path.join(folder, "hakmem-pair"), os.path.join(folder, "pair"))


def allocators_chosen(wanted, given, library, say):
    """The allocators of those names and those given by path. One that cannot be had is said and left out, except
    hakmem."""
    chosen = []
    for name in wanted:
        try:
            chosen.append(allocators.allocator_find(name, library))
        except allocators.Unavailable as fault:
            if name == allocators.SUBJECT or name not in allocators.DEBIAN:
                raise
            say(f"without {name}: {fault}")
    return chosen + [allocators.allocator_given(text) for text in given]
