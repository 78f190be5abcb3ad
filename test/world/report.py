"""The table of what `make world` found: for the terminal, as Markdown and as an HTML page that needs nothing else.
SPDX-License-Identifier: MIT"""
import textwrap

from markup import Markup, tag
from trial import HAKMEM, LIBC

COLUMNS = ("program", "version", "verdict", "peak, glibc", "peak, hakmem", "idle, glibc", "idle, hakmem", "s")
WIDTHS = (18, 12, 7, 6, 6, 6, 6, 5)
NOTE = ("Memory in MB: the proportional set sizes (PSS) of the program's processes together, at the highest and after "
        "{idle:g} s without work; s: seconds of work on hakmem, beside the same work on glibc.")
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em;
       background: light-dark(#fff, #16181c); color: light-dark(#1b1d21, #e4e6ea); color-scheme: light dark; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid light-dark(#ddd, #333); }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
.FAILED { color: light-dark(#b3261e, #ff8a80); font-weight: 600; }
.skipped { color: light-dark(#7a5b00, #e0b84c); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: light-dark(#f4f4f4, #202329); padding: .7em; }
"""


def megabytes(size):
    return "-" if size is None else f"{size / 1e6:.0f}" if size >= 10e6 else f"{size / 1e6:.1f}"


def row(outcome):
    runs = outcome["runs"]
    figures = [megabytes(runs[allocator].get(kind)) for kind in ("peak", "idle") for allocator in (LIBC, HAKMEM)]
    seconds = runs[HAKMEM].get("seconds")
    return [outcome["name"], outcome["version"], outcome["verdict"], *figures,
            "-" if seconds is None else f"{seconds:.1f}"]


def summary(outcomes):
    count = {verdict: sum(outcome["verdict"] == verdict for outcome in outcomes)
             for verdict in ("passed", "FAILED", "skipped")}
    text = f"{count['passed']} passed, {count['FAILED']} failed"
    return text + (f", {count['skipped']} skipped" if count["skipped"] else "")


def terminal_line(cells):
    left = [cell[:width].ljust(width) for cell, width in zip(cells[:3], WIDTHS)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], WIDTHS[3:])]
    return " ".join(left + right).rstrip()


def terminal(outcomes, idle):
    above = terminal_line(["", "", "", "peak", "peak", "idle", "idle", ""])
    head = terminal_line(["program", "version", "verdict", "glibc", "hakmem", "glibc", "hakmem", "s"])
    lines = [above, head, "-" * 78, *(terminal_line(row(outcome)) for outcome in outcomes), "",
             *textwrap.wrap(NOTE.format(idle=idle), 78)]
    for outcome in outcomes:
        if outcome["detail"]:
            lines += ["", f"{outcome['verdict']} {outcome['name']}: {outcome['detail']}"]
    return "\n".join(lines)


def markdown(outcomes, idle):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * 3 + " ---: |" * (len(COLUMNS) - 3)]
    lines += ["| " + " | ".join(row(outcome)) + " |" for outcome in outcomes]
    lines += ["", NOTE.format(idle=idle), "", summary(outcomes) + "."]
    for outcome in outcomes:
        if outcome["detail"]:
            lines += ["", f"**{outcome['name']}**: {outcome['verdict']}", "", "```", outcome["detail"], "```"]
    return "\n".join(lines) + "\n"


def page(outcomes, idle, about):
    body = [tag("tr", *(tag("td", cell, class_=cell if place == 2 else None)
                        for place, cell in enumerate(row(outcome)))) for outcome in outcomes]
    details = [[tag("h2", f"{outcome['name']}: {outcome['verdict']}"), tag("pre", outcome["detail"])]
               for outcome in outcomes if outcome["detail"]]
    head = tag("head", tag("meta", charset="utf-8"), tag("title", "hakmem: the programs themselves"),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("style", Markup(STYLE)))
    table = tag("table", tag("thead", tag("tr", *(tag("th", column) for column in COLUMNS))), tag("tbody", *body))
    main = tag("body", tag("h1", "The programs themselves, on hakmem"), tag("p", about), table,
               tag("p", NOTE.format(idle=idle)), tag("p", summary(outcomes)), *details)
    return "<!DOCTYPE html>\n" + tag("html", head, main, lang="en") + "\n"
