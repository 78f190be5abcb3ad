"""A program that runs on one allocator and fails on another: said as soon as it is known, before anything is measured.
SPDX-License-Identifier: MIT"""
import itertools
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
AGAIN_SECONDS = 30
# Of a line that differs, in signs.
LINE_SHOWN = 60


class Finding(NamedTuple):
    """is_final: it is the same with every other allocator, so that there is nothing to measure. what: the middle of the
    heading."""
    allocator: str
    is_final: bool
    lines: list
    what: str = "fails on"


def find(measurement, row, some):
    """Judges the first runs on these allocators by that on the program's own one."""
    proofs = measurement.proofs[row.id]
    own = proofs[allocators.LIBC]
    differing = [one for one in some if differs(proofs[one.name], own)]
    writing = [one for one in some if one not in differing and proofs[one.name]["status"] == "ok"
               and row.has_output and not row.output_varies and proofs[one.name]["checksum"] != own["checksum"]]
    if own["status"] != "ok":
        running = [one for one in some if proofs[one.name]["status"] == "ok"]
        if not running or allocators.LIBC not in map(name_of, some):
            return []
        again = row.again(row.libc)
        if again["status"] != "ok":
            measurement.settle(row, row.libc, {**own, "is_told": True})
            return [fails_on_its_own(own, running)]
        measurement.settle(row, row.libc, {**own, **again})
        return []
    return [finding for finding in (*(judge(measurement, row, one, own) for one in differing),
                                    *(output_judge(row, one) for one in writing)) if finding]


def name_of(allocator):
    return allocator.name


def differs(run, own):
    return (run["status"] == "service" or run["exit_code"] != own["exit_code"]
            or (run["status"] == "ok") != (own["status"] == "ok"))


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
    if first["status"] == "service":
        return unreachable(measurement, row, case)
    run = row.again(allocator) if row.lasted[allocator.name] <= AGAIN_SECONDS else first
    code = run["exit_code"]
    if run["status"] == "ok" or (code != first["exit_code"] and not ends_alike(row, own)):
        measurement.settle(row, allocator, {**first, **run, "status": "ok"})
        return None
    status = "crash" if code < 0 else "differs"
    told = f"{ending(run)}, and on {allocators.LIBC} {ending(own)}"
    measurement.settle(row, allocator, rows.failed(status, told, exit_code=code, is_told=True))
    return Finding(allocator.name, False, [
        f"On {allocator.name} the program {ending(run)}, and on its own allocator it {ending(own)}. Nothing is "
        f"measured on {allocator.name}.", *last_words(run), *why(case._replace(exit_code=code), run)])


def ends_alike(row, own):
    """Whether the program ends on its own allocator as it did before."""
    return row.again(row.libc)["exit_code"] == own["exit_code"]


def output_judge(row, allocator):
    """What it writes differs. Does it in each run, or on this allocator only?"""
    own, other = row.written(row.libc), row.written(allocator)
    if row.written(row.libc) != own:
        row.output_varies, row.has_output = True, False
        return None
    if own == other or row.written(allocator) == own:
        return None
    return Finding(allocator.name, False, [
        f"On {allocator.name} the program writes something else than on its own allocator. If that is as it should be: "
        "--any-output.", *first_difference(own, other, allocator.name)], "writes something else on")


def first_difference(own, other, name):
    """The first line that is not the same; what a line is, bytes may decide that are none."""
    lines = [data.decode("utf-8", "surrogateescape").split("\n") for data in (own, other)]
    number = next((place for place, (left, right) in enumerate(itertools.zip_longest(*lines)) if left != right), None)
    if number is None:
        return []
    told = [(title, some[number] if number < len(some) else None) for title, some in
            zip((allocators.LIBC, name), lines)]
    shown = [f"    {title}: {text.shown(line)[:LINE_SHOWN] if line is not None else '(it ends before)'}"
             for title, line in told]
    return [f"The first difference is in line {number + 1}:\n" + "\n".join(shown)]


def find_later(measurement, row):
    """What the measured rounds showed on some allocators and not on others."""
    runs = {name: some for name, some in measurement.runs[row.id].items()
            if some and not any(run.get("is_told") for run in some)}
    bad = {name: some[-1] for name, some in runs.items() if some[-1]["status"] not in ("ok", "service")}
    found = []
    if len(bad) < len(runs):
        for name, run in bad.items():
            run["is_told"] = True
            others = "none" if allocators.LIBC not in bad else "not all"
            found.append(Finding(name, False, [
                f"On {name} the program {ending(run)} in one of {len(runs[name])} runs, which the others did in "
                f"{others} of theirs.", *last_words(run)]))
    own = {run["checksum"] for run in runs.get(allocators.LIBC, []) if run["status"] == "ok"}
    if row.has_output and len(own) > 1:
        row.output_varies = True
    elif row.has_output and len(own) == 1:
        found += filter(None, (output_later(name, some, own) for name, some in runs.items()
                               if some[-1]["status"] == "ok"))
    return found


def output_later(name, runs, own):
    count = sum(run["checksum"] not in own for run in runs)
    return Finding(name, False, [
        f"What the program wrote on {name} differed in {count} of {len(runs)} runs from what it always wrote on its "
        "own allocator. If that is as it should be: --any-output."], "writes something else on") if count else None


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
    if run["status"] in ("hang", "load", "server"):
        return run["how"]
    if code < 0:
        return f"is ended by {number.name if number else f'signal {-code}'}"
    return f"ends with status {code}" + (f" (of a process that {number.name} ended)" if number else "")


def last_words(run):
    lines = [part for line in run.get("errors", "").strip().splitlines()[-ERROR_LINES:]
             for part in textwrap.wrap(text.shown(line)[:300], WIDTH - 4, drop_whitespace=False)]
    return ["The last that it wrote:\n" + "\n".join("    " + line for line in lines)] if lines else []


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
    whats = {}
    for finding in found:
        whats.setdefault("cannot be served by" if finding.is_final else finding.what, []).append(finding.allocator)
    said = [f"{what} {words.listing(dict.fromkeys(names))}" for what, names in whats.items()]
    paragraphs = [f"{text.shown(shlex.join(row.argv))}: {', '.join(said)}"]
    for finding in found:
        paragraphs += finding.lines
    paragraphs.append(f"(Found out within {words.quantity(machine.seconds_since_start(), 's')}.)")
    print("\n\n".join(map(wrapped, paragraphs)) + "\n", flush=True)


def wrapped(paragraph):
    """But what a program wrote stays as it is."""
    head, newline, rest = paragraph.partition("\n")
    return textwrap.fill(head, WIDTH, break_long_words=False, break_on_hyphens=False) + newline + rest
