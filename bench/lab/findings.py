"""A program that runs on one allocator and fails on another: said as soon as it is known, before anything is measured.
SPDX-License-Identifier: MIT"""
import shlex
import textwrap
import time
from typing import NamedTuple

import allocators
import diagnose
import machine
import rows
import text
import words

WIDTH = 80
ERROR_LINES = 5
# A run that failed is looked at once more when it took no longer.
AGAIN_SECONDS = 60


class Finding(NamedTuple):
    """is_final: it is the same with every other allocator, so that there is nothing to measure."""
    allocator: str
    is_final: bool
    lines: list


def find(measurement, row, some):
    """Judges the first runs on these allocators by that on the program's own one."""
    proofs = measurement.proofs[row.id]
    own = proofs[allocators.LIBC]
    differing = [one for one in some if differs(proofs[one.name], own)]
    if own["status"] != "ok":
        if not differing or allocators.LIBC not in map(name_of, some):
            return []
        libc = next(one for one in some if one.is_libc)
        measurement.settle(row, libc, {**own, "is_told": True})
        return [fails_on_its_own(own, differing)]
    return [finding for finding in (judge(measurement, row, one, own) for one in differing) if finding]


def name_of(allocator):
    return allocator.name


def differs(run, own):
    return run["status"] == "service" or run["exit_code"] != own["exit_code"]


def fails_on_its_own(own, differing):
    others = words.listing(map(name_of, differing))
    return Finding(allocators.LIBC, False, [
        f"On its own allocator the program {ending(own)}, but not on {others}. This is mostly a misuse of memory that "
        "strikes on one allocator and not on another: 'hakmem run --check' looks for it.", *last_words(own)])


def judge(measurement, row, allocator, own):
    """None when nothing is wrong with the program on this allocator, or what is wrong does not depend on it."""
    first = measurement.proofs[row.id][allocator.name]
    case = diagnose.Case(row.argv, row.environment, allocator, row.bindings[allocator.name], first["exit_code"],
                         time.monotonic(), lambda: row.trace(allocator))
    if first["exit_code"] == own["exit_code"]:
        return unreachable(measurement, row, case) if first["status"] == "service" else None
    run = row.again(allocator) if row.lasted[allocator.name] <= AGAIN_SECONDS else first
    code = run["exit_code"]
    if code == own["exit_code"] or (code != first["exit_code"] and not ends_alike(measurement, row, own)):
        measurement.settle(row, allocator, {**first, **run, "status": "ok"})
        return None
    status = "crash" if code < 0 else "differs"
    told = f"{ending(run)}, and on {allocators.LIBC} {ending(own)}"
    measurement.settle(row, allocator, rows.failed(status, told, exit_code=code, is_told=True))
    return Finding(allocator.name, False, [
        f"On {allocator.name} the program {ending(run)}, and on its own allocator it {ending(own)}. Nothing is "
        f"measured on {allocator.name}.", *last_words(run), *why(case._replace(exit_code=code), run)])


def ends_alike(measurement, row, own):
    """Whether the program ends on its own allocator as it did before."""
    libc = next(one for one in measurement.allocators if one.is_libc)
    return row.again(libc)["exit_code"] == own["exit_code"]


def unreachable(measurement, row, case):
    """Another library answered, or none: because of the program, or because of the library?"""
    reason = diagnose.obstacle(case.argv, case.environment, case.allocator.library)
    reasons = [reason] if reason else diagnose.own_mallocs(case)
    if not reasons:
        return None
    measurement.settle(row, case.allocator, rows.failed("service", " ".join(reasons), is_told=True))
    return Finding(case.allocator.name, True, reasons)


def ending(run):
    """The middle of a sentence."""
    code = run["exit_code"]
    number = diagnose.signal_of(code)
    if run["status"] == "hang":
        return run["detail"]
    if code < 0:
        return f"is ended by {number.name if number else f'signal {-code}'}"
    return f"ends with status {code}" + (f" (of a process that {number.name} ended)" if number else "")


def last_words(run):
    lines = [text.shown(line)[:300] for line in run.get("errors", "").strip().splitlines()[-ERROR_LINES:]]
    return ["The last that it wrote to standard error:\n" + "\n".join("    " + line for line in lines)] if lines else []


def why(case, run):
    if run["exit_code"] == 0:
        return []
    reasons = diagnose.reasons(case)
    if reasons:
        return ["Why: " + reasons[0], *reasons[1:]]
    return ["Why could not be found out: the program is no known case (RTLD_DEEPBIND, another malloc, a sandbox, musl, "
            "a sanitizer). 'hakmem run --check' looks for misuse of memory, and a debugger shows where it ends."]


def tell(row, found):
    """Everything, for a terminal."""
    names = words.listing(dict.fromkeys(finding.allocator for finding in found))
    what = "cannot be served by" if any(finding.is_final for finding in found) else "fails on"
    paragraphs = [f"{shlex.join(row.argv)}: {what} {names}"]
    for finding in found:
        paragraphs += finding.lines
    paragraphs.append(f"(Found out within {words.quantity(machine.seconds_since_start(), 's')}.)")
    print("\n\n".join(map(wrapped, paragraphs)) + "\n", flush=True)


def wrapped(paragraph):
    """But what a program wrote stays as it is."""
    head, newline, rest = paragraph.partition("\n")
    return textwrap.fill(head, WIDTH, break_long_words=False, break_on_hyphens=False) + newline + rest
