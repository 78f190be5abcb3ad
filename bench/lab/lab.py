#!/usr/bin/env python3
"""lab.py - which allocator, for what, and why: measures hakmem and others on workloads and real programs.

    lab.py bench               everything that `make bench` runs: about ten minutes, and a report
    lab.py compare -- PROGRAM  the same for a program of your own
    lab.py check --against C   is the working tree slower or larger than commit C?
    lab.py report RESULTS      writes the report again from results.json

docs/measuring.md tells how to read what comes out. Python 3.10 or later, no other packages.
SPDX-License-Identifier: MIT"""
import sys

if sys.version_info < (3, 10):
    sys.exit("lab.py: needs Python 3.10 or later")

import bench  # noqa: E402 (after the check, which has to come first)
import check  # noqa: E402
import compare  # noqa: E402

COMMANDS = {"bench": bench.main, "compare": compare.main, "check": check.main, "report": bench.report_main}


def main(arguments):
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    print(__doc__.partition("\nSPDX")[0])
    return 0 if arguments and arguments[0] in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
