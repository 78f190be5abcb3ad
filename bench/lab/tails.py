"""The time of single calls: how long the usual ones take, and the one in a thousand and in a million; of hakmem, why
the slowest were slow. From runs of their own (Row.tails), which disturb no other figure.
SPDX-License-Identifier: MIT"""
import causes
import metrics
import words
from markup import tag
from summary import entry_part

SHOWN = ("p50", "p99.9", "p99.9999", "max")
RAREST = "p99.9999"
# So many causes of a kind of call are told.
CAUSES = 4
# In a line of the table, behind the title, the kind of call, how many there were, and SHOWN.
OTHERS_FROM = 3 + len(SHOWN)


def good_runs(row):
    """allocator -> its run with every call timed."""
    return {name: run for name, run in row.get("tails", {}).items() if run["status"] == "ok" and run.get("latency")}


def title_of(info):
    return ": ".join(part for part in (info["workload_title"], info["title"]) if part)


def value(run, call, name):
    return run["metrics"].get(f"{call}_{name}")


def text(run, call, name):
    found = value(run, call, name) if run else None
    return words.quantity(found, "ns", short=True) if found is not None else "–"


def causes_of(run, call, costs):
    """[Cause] of the slowest calls of the subject, the most frequent first."""
    return causes.summed(run.get("causes", {}).get(call, {}).get("slowest", []), costs)


def costs_of(results):
    return results["machine"].get("costs") or {}


# ---- On the terminal -------------------------------------------------------------------------------------------------


def lines(results):
    """(columns, lines) of a table: for each row and kind of call the subject's times, the others' rarest, and why."""
    subject = results["subject"]
    others = [one["name"] for one in results["allocators"] if one["name"] != subject]
    columns = ["", "call", "calls", *(metrics.PERCENTILES[name] for name in SHOWN),
               *(f"{other}, {metrics.PERCENTILES[RAREST]}" for other in others), f"why {subject}'s slowest are slow"]
    return columns, [line(results, row, call, subject, others) for row in results["rows"]
                     for call in metrics.CALLS if any(call in run["latency"] for run in good_runs(row).values())]


def line(results, row, call, subject, others):
    runs = good_runs(row)
    own = runs.get(subject)
    found = causes_of(own, call, costs_of(results)) if own else []
    why = f"{found[0][0]} ({found[0][1]} of {sum(cause[1] for cause in found)})" if found else ""
    calls = words.quantity(own["calls"].get(call, 0), "count") if own else "–"
    return [title_of(row), call, calls, *(text(own, call, name) for name in SHOWN),
            *(text(runs.get(other), call, RAREST) for other in others), why]


# ---- On the page -----------------------------------------------------------------------------------------------------


def overview(report):
    """The table of all rows, without the others, which the rows have."""
    columns, found = lines(report.results)
    if not found:
        return []
    columns, *found = [line[:OTHERS_FROM] + line[-1:] for line in (columns, *found)]
    note = (f"Each call timed by itself, in runs of their own: half of {report.subject}'s take less than the first "
            "time; one in a thousand takes longer than the second, and one in a million than the third. Where fewer "
            "calls were made, the slowest of them stands for the last. The cause is the most frequent one among the "
            "slowest on a build that tells which part it is in; the rows below have the others, and the other "
            "allocators.")
    head = tag("thead", tag("tr", *(tag("th", column) for column in columns)))
    body = [tag("tr", tag("th", tag("a", cells[0], href=f"#r-{row_id}")), *(tag("td", cell) for cell in cells[1:-1]),
                tag("td", cells[-1], class_="words"))
            for row_id, cells in zip(row_ids(report.results), found)]
    table = tag("table", head, tag("tbody", *body), class_="heat-table")
    return [tag("h2", "Slow calls of every row", id="tails"), tag("p", note, class_="note"),
            tag("div", table, class_="scroll")]


def row_ids(results):
    return [row["id"] for row in results["rows"] for call in metrics.CALLS
            if any(call in run["latency"] for run in good_runs(row).values())]


def details(report, summary):
    """Of one row: a table of all allocators, and the causes."""
    runs = good_runs(summary.info)
    if not runs:
        return None
    calls = [call for call in metrics.CALLS if any(call in run["latency"] for run in runs.values())]
    head = tag("thead", tag("tr", tag("th", "each call by itself"), *(tag("th", report.name_with_mark(one))
                                                                   for one in report.names)))
    body = [tag("tr", tag("th", f"{call}, {metrics.PERCENTILES[name]}"), *(tag("td", text(runs.get(one), call, name))
                                                                           for one in report.names))
            for call in calls for name in SHOWN]
    counts = tag("tr", tag("th", "calls"), *(tag("td", count_text(runs.get(one))) for one in report.names))
    table = tag("table", head, tag("tbody", counts, *body), class_="figures")
    own = runs.get(report.subject)
    told = [told_causes(report, own, call) for call in calls] if own else []
    return tag("details", tag("summary", f"Slow calls: {entry_part(summary, 'value') or 'all'}, and their causes"),
               tag("div", table, class_="scroll"), *told)


def count_text(run):
    return words.quantity(sum(run["calls"].values()), "count") if run else "–"


def told_causes(report, run, call):
    """A list, such as "new superslab: 12 of the 50 slowest, mostly 14 µs, 80 µs at most"."""
    found = causes_of(run, call, costs_of(report.results))
    if not found:
        return None
    total = sum(cause[1] for cause in found)
    items = [tag("li", tag("strong", name), f": {count} of the {total} slowest, the middle one "
                 f"{words.quantity(median, 'ns')}, the worst {words.quantity(worst, 'ns')}")
             for name, count, median, worst in found[:CAUSES]]
    preempted, longest = run["causes"][call]["preempted"]
    if preempted:
        items.append(tag("li", f"{preempted} more calls, of up to {words.quantity(longest, 'ns')}, during which the "
                         "system ran something else on the processor"))
    return [tag("p", f"Why {call} was slow in {report.subject}, on the build that tells:"), tag("ul", *items)]
