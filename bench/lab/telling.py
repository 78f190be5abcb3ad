"""What `hakmem compare` says: lines of at most 80 columns for people, or one object of JSON for programs.
SPDX-License-Identifier: MIT"""
import json
import math
import os
import shlex
from typing import NamedTuple

import allocators
import findings
import stats
import summary
import tables
import text
import verdicts
import words

WIDTH = findings.WIDTH
# Of the table, in this order, where they were measured.
COLUMNS = ("wall", "cpu", "peak", "idle", "minor_faults", "instructions")
TITLES = {"wall": "wall time", "cpu": "CPU time", "peak": "peak memory", "idle": "memory, idle",
          "minor_faults": "page faults", "instructions": "instructions"}
NAME_WIDTH = 16
JSON_FORMAT = 1


class Said(NamedTuple):
    """verdicts: None when nothing was measured."""
    verdicts: verdicts.Verdicts | None
    findings: list
    answers: list
    status: int


def short(line, width):
    line = text.shown(line)
    return line if len(line) <= width else line[:width - 1] + "…"


def never_ends(limit):
    return wrapped(f"The first run goes on; it is ended after {words.duration(limit)} (--limit). A server, which never "
                   "ends by itself, needs --ready and --load: see --help.")


def own_name(row):
    """What the program's own allocator is called: glibc's malloc answers mostly."""
    return "its own allocator" if own_libraries(row) else allocators.LIBC


def own_libraries(row):
    """Those that answer malloc without preloading, where that is not libc."""
    own = row.answers.get(allocators.LIBC) or []
    answering = sorted({path for answers in own for path in answers.get("malloc", [])})
    return [path for path in answering if not os.path.basename(path).startswith(("libc.so", "libc-", "libc.musl"))]


# ---- For people ------------------------------------------------------------------------------------------------------


def print_text(results, said, row):
    paragraphs = measured_text(results, said, row) if said.verdicts else nothing_text(results, said, row)
    print("\n\n".join(paragraphs), flush=True)


def nothing_text(results, said, row):
    if results["interrupted"]:
        return ["Nothing was measured: interrupted."]
    if said.findings:
        return ["Nothing was measured."]
    proofs = results["rows"][0]["proofs"]
    first = proofs[allocators.LIBC]
    names = words.listing(proofs)
    endings = {name: findings.ending(run) for name, run in proofs.items()}
    how = f"on {names} it {endings[allocators.LIBC]}" if len(set(endings.values())) == 1 else ", ".join(
        f"on {name} it {how}" for name, how in endings.items())
    is_endless = all(run["status"] == "hang" for run in proofs.values())
    what = "does not end" if is_endless else "fails on every allocator"
    lines = [wrapped(f"{short(shlex.join(row.argv), WIDTH)}: {what}"),
             wrapped(f"{how[0].upper()}{how[1:]}. Nothing is compared."), *map(wrapped, findings.last_words(first))]
    if is_endless and not row.plan:
        lines.append(wrapped("If it is a server, which never ends by itself, it needs --ready and --load, and perhaps "
                             "--stop: 'hakmem compare --help' has an example. If it takes longer: --limit SECONDS."))
    if first["status"] == "status" and first["exit_code"] > 0:
        lines.append(wrapped(f"If that means success: --status {first['exit_code']}."))
    return lines


def measured_text(results, said, row):
    found = said.verdicts
    count = results["rounds"]
    rounds = f"{count} {'round' if count == 1 else 'rounds'} on each of {len(found.names)} allocators" if count else (
        "not one round is whole")
    parts = [wrapped(f"{short(shlex.join(row.argv), WIDTH)}: {rounds}"),
             "\n".join(figures_table(found))]
    parts += map(wrapped, remarks(results, found, row))
    if len(found.names) > 1 and results["rounds"] < found.demands.rounds_least():
        parts.append(wrapped(f"Too few rounds for verdicts: with these allocators they take "
                             f"{found.demands.rounds_least()} at least."))
    elif len(found.names) > 1:
        parts += verdict_lines(results, found)
        parts.append("\n".join(rankings(found)))
        parts.append(wrapped(meaning(found)))
    if said.answers:
        parts.append("\n".join(map(answer_line, said.answers)))
    return parts + [advice_lines(said)]


def meaning(found):
    bounds = words.percent_plain(found.demands.bounds)
    return (f"Of 100 such comparisons without any difference, {round(100 * found.demands.error)} at most would show "
            f"one. \"No difference\" means: shown to be less than {bounds}.")


def figures_table(found):
    """Medians, and what they are compared with the program's own allocator, in as many tables as fit side by side."""
    names = [name for name in COLUMNS if name in found.one.samples]
    every = [name for name in found.one.allocators if name != allocators.LIBC]
    every = ([allocators.LIBC] if allocators.LIBC in found.one.allocators else []) + every
    first = ["", *(short(name, NAME_WIDTH) for name in every)]
    columns = [[TITLES[name], *(cell(found, name, allocator, name == names[0]) for allocator in every)]
               for name in names]
    blocks, block = [], [first]
    for column in columns:
        if widest([*block, column]) > WIDTH:
            blocks.append(block)
            block = [first]
        block.append(column)
    lines = []
    for block in [*blocks, block]:
        lines += [*([""] if lines else []), *tables.columns_align(*across(block), words_last=False)]
    return lines


def across(columns):
    """(the head, the lines) of a table given by columns."""
    head, *lines = map(list, zip(*columns))
    return head, lines


def widest(columns):
    return max(map(len, tables.columns_align(*across(columns), words_last=False)))


def cell(found, name, allocator, is_first):
    failed = found.one.failures.get(allocator)
    if failed:
        return summary.STATUS_WORDS[failed["status"]] if is_first else ""
    figure = found.one.figures[name].get(allocator)
    if not figure:
        return "–"
    amount = words.quantity(figure.median, found.one.metric(name).unit)
    if allocator == found.baseline:
        return amount
    comparison = found.versus(name, allocator)
    return f"{amount} {words.change(comparison.ratio)}" if comparison.high < math.inf else amount


def remarks(results, found, row):
    """What a reader has to know before the verdicts."""
    one, lines = found.one, []
    own = own_libraries(row)
    if own:
        lines.append(f"Without preloading, malloc is answered by {words.listing(own)}: that is what the line glibc "
                     "shows.")
    for detail in dict.fromkeys(run["detail"] for run in one.failures.values() if not run.get("is_told")):
        failed = [allocator for allocator, run in one.failures.items() if run["detail"] == detail]
        lines.append(f"{words.listing(failed)}: {text.shown(detail)}")
    if row.plan:
        lines.append("Wall time is that of the load; the rest is the server's, while the load runs and after "
                     f"{words.duration(row.plan.idle)} without one.")
    if one.disturbed and results["rounds"]:
        wall = len(one.rounds_counted("wall"))
        runs = "1 run was" if one.disturbed == 1 else f"{one.disturbed} runs were"
        lines.append(f"{runs} disturbed by other programs on this machine, also when repeated. The wall time of their "
                     f"rounds does not count: {wall} of {results['rounds']} do.")
    if row.output_varies:
        lines.append("What the program writes is not the same in each run, and is not compared.")
    return lines


def verdict_lines(results, found):
    """A paragraph for each figure that is judged."""
    parts = []
    for figure in found.figures():
        lines = [(short(name, NAME_WIDTH), verdicts.in_words(found.versus(figure, name), found.kind(figure),
                                                             found.baseline),
                  span(found.versus(figure, name))) for name in found.rivals()]
        parts.append("\n".join([wrapped(heading(results, found, figure)), *aligned(lines)]))
    return parts


def span(comparison):
    return words.span(comparison) if comparison.high < math.inf else ""


def aligned(lines):
    widths = [max(len(line[place]) for line in lines) for place in range(2)]
    return [f"  {name.ljust(widths[0])}  {verdict.ljust(widths[1])}  {interval}".rstrip()
            for name, verdict, interval in lines]


def heading(results, found, figure):
    """What the verdicts below it rest on."""
    if figure == "wall":
        count = len(found.one.rounds_counted("wall"))
        return f"Time, by the wall time of {count} rounds:"
    if figure == "cpu":
        count = len(found.one.rounds_counted("wall"))
        why = (f"only {count} of {results['rounds']} rounds had the machine for themselves"
               if 2 * count < results["rounds"] else "wall time varied too much to tell")
        return f"Time, by processor time, since {why}:"
    if figure == "minor_faults":
        return "Page faults, which hold still where times do not:"
    title = found.title(figure)
    return f"{title[0].upper()}{title[1:]}:"


def rankings(found):
    return [ranking(found, figure, title) for figure, title in (
        (found.time, "Fastest" if found.time == "wall" else "Least processor time"),
        *((name, "Least memory" if name == "peak" else "Least memory when idle") for name in found.memory))
            if len(found.ranked) > 1]


def ranking(found, figure, title):
    best, are_alike = found.best(figure)
    if len(best) == 1:
        return wrapped(f"{title}: {best[0]}.")
    if not are_alike:
        return wrapped(f"{title}: cannot tell which of {words.listing(best)}.")
    return wrapped(f"{title}: {words.listing(best)}, no difference between them.")


def answer_line(answer):
    state = {True: "holds", False: "does not hold", None: "cannot tell"}[answer.holds]
    ratio = f"{answer.ratio:.3f} times, " if answer.ratio else ""
    return wrapped(f"--fail-if '{answer.condition.text}': {state} ({ratio}{answer.reason})")


def advice_lines(said):
    _, choice, why = said.verdicts.advice()
    if not choice:
        return wrapped(why)
    return wrapped(why + ".") + f"\n\n{paste(said.verdicts.one, choice)}"


def paste(one, choice):
    """For a container's recipe; without ENV it is for a shell."""
    return f"ENV LD_PRELOAD={one.info['libraries'][choice]}"


wrapped = findings.wrapped


# ---- For programs ----------------------------------------------------------------------------------------------------


def print_json(results, said, row):
    print(json.dumps(whole(results, said, row), indent=1), flush=True)


def whole(results, said, row):
    found = said.verdicts
    runs = [run for some in results["rows"][0]["runs"].values() for run in some]
    return {
        "format": JSON_FORMAT, "program": [text.shown(word) for word in row.argv], "made": results["made"],
        "status": said.status, "interrupted": results["interrupted"], "rounds": results["rounds"],
        "disturbed_runs": sum(bool(run.get("disturbed")) for run in runs),
        "error_rate": results["demands"]["error"], "bounds": results["demands"]["bounds"],
        "rounds_least": stats.Demands(**results["demands"]).rounds_least(), "machine": results["machine"],
        "findings": [{"allocator": one.allocator, "is_final": one.is_final, "text": one.lines}
                     for one in said.findings],
        "failures": {name: text.shown(run["detail"]) for name, run in failures(results).items()},
        "allocators": {one["name"]: {"library": one["library"], "version": one["version"],
                                     **(figures_of(found, one["name"]) if found else {})}
                       for one in results["allocators"]},
        **(conclusions_of(found) if found else {}),
        "conditions": [{"condition": answer.condition.text, "holds": answer.holds, "ratio": answer.ratio,
                        "reason": answer.reason} for answer in said.answers]}


def failures(results):
    row = results["rows"][0]
    runs = {name: [*some, row["proofs"].get(name)] for name, some in row["runs"].items()}
    return {name: bad for name, some in runs.items()
            for bad in [next((run for run in some if run and run["status"] != "ok"), None)] if bad}


def figures_of(found, name):
    if name not in found.names:
        return {}
    one = found.one
    return {"figures": {figure: {"median": samples[name].median, "low": samples[name].low, "high": samples[name].high,
                                 "unit": one.metric(figure).unit}
                        for figure, samples in one.figures.items() if name in samples and figure != "value"},
            "versus_own": {figure: comparison_of(found.versus(figure, name)) for figure in verdicts.JUDGED
                           if figure in one.samples and name != found.baseline}}


def comparison_of(comparison):
    ratio = comparison.ratio if comparison.high < math.inf else None
    return {"verdict": verdicts.word(comparison), "ratio": ratio, "low": finite(comparison.low),
            "high": finite(comparison.high), "rounds_needed": comparison.needed}


def finite(value):
    """JSON has no infinity."""
    return value if value < math.inf else None


def conclusions_of(found):
    outcome, choice, why = found.advice()
    return {"own": found.baseline, "time_rests_on": found.time,
            "advice": {"outcome": outcome, "choice": choice, "why": why,
                       "line": paste(found.one, choice) if choice else why}}
