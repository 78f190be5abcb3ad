"""The programs that `make world` runs: each one's work is a function that @program enters here.
SPDX-License-Identifier: MIT"""
from typing import Callable, NamedTuple

PROGRAMS = {}  # name -> Program, in the order of the table


class Program(NamedTuple):
    name: str
    work: Callable  # takes a run.Run, does the program's work on one allocator
    works_in: tuple  # patterns of the executables that do the work: each must have hakmem in its memory map
    version: tuple  # a command that tells the version
    is_quick: bool


def program(name, works_in, version, quick=False):
    """works_in may be empty: of a program that is not there, or that hakmem cannot reach; its work then says why."""
    def enter(work):
        PROGRAMS[name] = Program(name, work, (works_in,) if isinstance(works_in, str) else tuple(works_in),
                                 tuple(version.split()), quick)
        return work
    return enter
