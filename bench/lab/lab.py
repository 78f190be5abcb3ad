#!/usr/bin/env python3
"""lab.py - which allocator, for what, and why: measures hakmem and others on workloads and real programs.

    lab.py bench               everything that `make bench` runs: about ten minutes, and a report
    lab.py compare -- PROGRAM  the same for a program of your own
    lab.py check --against C   is the working tree slower or larger than commit C?
    lab.py report RESULTS      writes the report again from results.json

docs/measuring.md tells how to read what comes out. Python 3.10 or later, no other packages.
SPDX-License-Identifier: MIT"""
import contextlib
import os
import signal
import sys

if sys.version_info < (3, 10):
    sys.exit("lab.py: needs Python 3.10 or later")

import bench  # noqa: E402 (after the check, which has to come first)
import check  # noqa: E402
import compare  # noqa: E402

COMMANDS = {"bench": bench.main, "compare": compare.main, "check": check.main, "report": bench.report_main}
# As the command `hakmem` has it.
STATUS_FAILED = 125
STATUS_INTERRUPTED = 130


def main(arguments):
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    print(__doc__.partition("\nSPDX")[0], file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def streams_open():
    """Where a standard stream is closed, /dev/null takes its number, or else the next file opened would."""
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(file)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # pylint: disable=consider-using-with
    if sys.stdout is None:
        print("hakmem: standard output is closed", file=sys.stderr)
        sys.exit(STATUS_FAILED)


def signals_catch():
    """Being told to end, or losing the terminal, is like Ctrl-C: what was measured is kept."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def guarded(arguments):
    """main, where the machine's troubles end in a line and not in a traceback."""
    try:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("hakmem: interrupted", file=sys.stderr)
        return STATUS_INTERRUPTED
    except OSError as fault:
        with contextlib.suppress(OSError):
            print("hakmem:", ": ".join(filter(None, (fault.filename, fault.strerror))), file=sys.stderr)
        # What could not be written stays in the buffer, and would be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return STATUS_FAILED


if __name__ == "__main__":
    streams_open()
    signals_catch()
    sys.exit(guarded(sys.argv[1:]))
