"""Speaking to whoever started the lab, and the options that all its commands share.
SPDX-License-Identifier: MIT"""
import argparse
import contextlib
import math
import os
import signal
import sys
import tempfile
import time

import allocators
import measure
import process

HERE = allocators.HERE
# Where there is no terminal to write a changing line to, a line now and then shows that something goes on.
QUIET_SECONDS = 15
DRAW_SECONDS = 1
NO_PATIENCE = (math.inf, "")
# Of a terminal that does not tell.
COLUMNS = 80
AMOUNT_MOST = 100
SECONDS_MOST = 1000000


class Console:
    """Everything for people goes to stderr: one changing line, and lines that stay."""

    def __init__(self):
        self.stream = sys.stderr
        self.is_terminal = self.stream.isatty()
        self.line = ""
        self.last = self.began = self.drawn = 0.0
        # Of the progress: what measure.state_line takes; None when nothing goes on.
        self.state = None
        # After how many seconds of a run something is said, once.
        self.patience = NO_PATIENCE

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
        def show(*state):
            self.state, self.began = (*state, rounds), time.monotonic()
            if state[2] is None:
                self.clear()
                self.state = None
            else:
                self.draw()
        process.Running.on_wait = self.waiting
        return show

    def draw(self):
        self.drawn = time.monotonic()
        line = measure.state_line(*self.state, self.drawn - self.began)
        if self.is_terminal:
            self.clear()
            self.line = line[:self.columns() - 1]
            self.write(self.line)
        elif self.drawn - self.last >= QUIET_SECONDS:
            self.last = self.drawn
            self.write(line, end="\n")

    def waiting(self, seconds):
        """While a program runs, since that many seconds."""
        if self.state and time.monotonic() - self.drawn >= DRAW_SECONDS:
            self.draw()
        if seconds >= self.patience[0]:
            self.say(self.patience[1])
            self.patience = NO_PATIENCE


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


def seconds(text):
    """A number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < SECONDS_MOST:
            return float(text)
    raise argparse.ArgumentTypeError(f"takes seconds, above 0 and up to {SECONDS_MOST}, not '{text}'")


def percent(text):
    """As a part of 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text.rstrip("% ")) <= AMOUNT_MOST:
            return float(text.rstrip("% ")) / 100
    raise argparse.ArgumentTypeError(f"takes percent, above 0 and up to {AMOUNT_MOST}, not '{text}'")


def statuses(text):
    """Exit statuses."""
    numbers = text.split(",")
    if not all(number.isascii() and number.isdigit() and int(number) < 256 for number in numbers):
        raise argparse.ArgumentTypeError(f"takes numbers from 0 to 255 with commas between them, not '{text}'")
    return [int(number) for number in numbers]


def signal_number(text):
    name = text.upper() if text.upper().startswith("SIG") else "SIG" + text.upper()
    if name in signal.Signals.__members__:
        return signal.Signals[name]
    raise argparse.ArgumentTypeError(f"takes a signal such as SIGTERM, not '{text}'")


def compact_option(parser):
    parser.add_argument("--compact", action="store_true",
                        help="as root: have the kernel move memory together before each run (it touches the whole "
                        "machine)")


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
