#!/usr/bin/env python3
"""lab.py - which allocator, for what, and why: measures hakmem and others on workloads and real programs.

    lab.py bench               everything that `make bench` runs: about ten minutes, and a report
    lab.py compare -- PROGRAM  the same for a program of your own
    lab.py check --against C   is the working tree slower or larger than commit C?
    lab.py report RESULTS      writes the report again from results.json

docs/measuring.md tells how to read what comes out. Python 3.10 or later, no other packages.
SPDX-License-Identifier: MIT"""
import ending

ending.by_default()

import contextlib  # noqa: E402 (signals come first)
import importlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

import text  # noqa: E402

# Command -> the module and its function.
COMMANDS = {
    "bench": ("bench", "main"),
    "compare": ("compare", "main"),
    "check": ("check", "main"),
    "report": ("bench", "report_main"),
}
# As the command `hakmem` has it.
STATUS_FAILED = 125


def main(arguments):
    if sys.version_info < (3, 10):
        print("lab.py: needs Python 3.10 or later", file=sys.stderr)
        return STATUS_FAILED
    if arguments and arguments[0] in COMMANDS:
        module, function = COMMANDS[arguments[0]]
        command = getattr(importlib.import_module(module), function)
        ending.listen()
        return command(arguments[1:])
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
    text.streams_prepare()


def guarded(arguments):
    """main, where all troubles end in a line and not in a traceback."""
    try:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return ending.status()
    except OSError as fault:
        complain(": ".join(map(str, filter(None, (fault.filename, fault.strerror or str(fault))))))
    except MemoryError:
        complain("no memory")
    except Exception as fault:  # pylint: disable=broad-except
        complain(f"an error of the lab's own, please report it: {type(fault).__name__}: {fault} ({place_of(fault)})")
    return STATUS_FAILED


def place_of(fault):
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "unknown place"


def unraisable(fault):
    """What is raised where Python can raise nothing, as in the middle of its own cleaning up."""
    if issubclass(fault.exc_type, KeyboardInterrupt):
        ending.State.is_waiting = True
    else:
        complain(f"ignored: {fault.exc_type.__name__}: {fault.exc_value}")


def complain(line):
    with contextlib.suppress(OSError):
        print("hakmem:", line, file=sys.stderr, flush=True)


def leave(status):
    """Without Python's own way of ending, which would try once more to write what nobody takes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if ending.is_interrupted():
        ending.State.end_all()
        ending.die()
    os._exit(status or 0)


if __name__ == "__main__":
    sys.unraisablehook = unraisable
    try:
        streams_open()
        ended_with = guarded(sys.argv[1:])
        ending.State.holds += 1
    except KeyboardInterrupt:
        # It came while another trouble was told.
        ended_with = ending.status()
    leave(ended_with)
