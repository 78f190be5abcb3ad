"""Speaking to whoever started the lab, and the options that all its commands share.
SPDX-License-Identifier: MIT"""
import argparse
import contextlib
import os
import sys
import tempfile
import time

import allocators
import measure
import process

HERE = allocators.HERE
# Where there is no terminal to write a changing line to, a line now and then shows that something goes on.
QUIET_SECONDS = 15
# Of a terminal that does not tell.
COLUMNS = 80
AMOUNT_MOST = 100


class Console:
    """Everything for people goes to stderr: one changing line, and lines that stay."""

    def __init__(self):
        self.stream = sys.stderr
        self.is_terminal = self.stream.isatty()
        self.line = ""
        self.last = 0.0

    def write(self, text, end=""):
        """Whoever closes the terminal meanwhile still wants the results."""
        with contextlib.suppress(OSError):
            print(text, end=end, file=self.stream, flush=True)

    def say(self, text):
        self.clear()
        self.write(text, end="\n")

    def clear(self):
        if self.line:
            self.write("\r" + " " * len(self.line) + "\r")
            self.line = ""

    def columns(self):
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or COLUMNS
        except OSError:
            return COLUMNS

    def progress(self, rounds):
        """What Measurement calls."""
        def show(done, total, task, left):
            if task is None:
                self.clear()
                return
            text = measure.state_line(done, total, task, left, rounds)
            if self.is_terminal:
                self.clear()
                self.line = text[:self.columns() - 1]
                self.write(self.line)
            elif time.monotonic() - self.last >= QUIET_SECONDS:
                self.last = time.monotonic()
                self.write(text, end="\n")
        return show


def parser_new(command, description, **options):
    """Its first two options come from the command `hakmem`, or from the Makefile."""
    parser = argparse.ArgumentParser(prog=f"hakmem {command}", description=description, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, **options)
    # Absolute ones, since programs run in folders of their own.
    parser.add_argument("--hakmem", metavar="LIBRARY", type=os.path.abspath, default=library_default(),
                        help=argparse.SUPPRESS)
    parser.add_argument("--tool", metavar="PROGRAM", type=tool_taken, default=tool_default(), help=argparse.SUPPRESS)
    parser.add_argument("--workloads", metavar="PROGRAM", type=os.path.abspath, default=workloads_default(),
                        help=argparse.SUPPRESS)
    return parser


# ---- What options take; argparse shows the texts of these errors -----------------------------------------------------


def names(text):
    return [name for name in text.split(",") if name]


def some_names(text):
    if not names(text):
        raise argparse.ArgumentTypeError("takes a name, or several with commas between them")
    return names(text)


def count(text):
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 on, not '{text}'")
    return int(text)


def amount(text):
    """A number above 0, and not so large that nobody would wait for it."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= AMOUNT_MOST:
        raise argparse.ArgumentTypeError(f"takes a number above 0, up to {AMOUNT_MOST}, not '{text}'")
    return value


def folder_prepare(path):
    """Makes sure that results can be written, before any time is spent on them."""
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as fault:
        raise allocators.Unavailable(f"cannot write to '{path}': {fault.strerror}") from fault


# ---- Where things are ------------------------------------------------------------------------------------------------
# The command `hakmem` says where. Whoever starts lab.py by hand, in the sources, means what was built there.


def first_existing(*paths):
    return next((os.path.realpath(path) for path in paths if os.path.exists(path)), None)


def library_default():
    return first_existing(os.path.join(HERE, "../../build/release/libhakmem.so"))


def tool_taken(path):
    process.TOOL = os.path.abspath(path) if os.sep in path else path
    return process.TOOL


def tool_default():
    """A text, which argparse gives to tool_taken."""
    return first_existing(os.path.join(HERE, "../../build/release/hakmem")) or process.TOOL


def workloads_default():
    return first_existing(os.path.join(HERE, "../../build/release/bench/hakmem-workloads"))


def pair_program(workloads):
    """It lies beside the workloads, under either name."""
    folder = os.path.dirname(workloads)
    return first_existing(os.path.join(folder, "hakmem-pair"), os.path.join(folder, "pair"))


def allocators_chosen(wanted, given, library, say):
    """The allocators of those names and those given by path, each name once. One that cannot be had is said and left
    out, except hakmem."""
    chosen = []
    for name in wanted:
        try:
            chosen.append(allocators.allocator_find(name, library))
        except allocators.Unavailable as fault:
            if name == allocators.SUBJECT or name not in allocators.DEBIAN:
                raise
            say(f"without {name}: {fault}")
    return distinct(chosen + [allocators.allocator_given(text) for text in given])


def distinct(chosen):
    for place, one in enumerate(chosen):
        if one.name in (other.name for other in chosen[:place]):
            raise allocators.Unavailable(f"two allocators are called '{one.name}'; --lib NAME=PATH gives another name")
    return chosen
