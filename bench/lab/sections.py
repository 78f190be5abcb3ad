"""A section of the page for each workload or program: what it does, its figures as charts and in a table, memory over
time, latency, which part of hakmem served it, and the command that repeats it.
SPDX-License-Identifier: MIT"""
import math

import charts
import metrics
import summary as summaries_of
import tails
import words
from markup import tag
from pageparts import group_title, row_anchor
from summary import STATUS_WORDS

# Instruction counts beyond this are drawn on a scale by powers of ten: one that takes a hundred times as many would
# press all others to the ground.
LINEAR_INSTRUCTIONS = 2000


def section(report, name, summaries):
    info = summaries[0].info
    head = [tag("p", group_title(info["group"]), class_="group"), tag("h2", info["workload_title"]),
            tag("p", info["about"], class_="about")]
    if info["kind"] == "instructions":
        body = [charts.legend(report.names, [report.index[one] for one in report.names]),
                tag("div", pair_chart(report, summaries), class_="figure"), *pair_table(report, summaries)]
    else:
        body = [row(report, summary) for summary in summaries]
    return tag("section", *head, *body, id=f"w-{name}", class_="workload")


def row(report, summary):
    info = summary.info
    shown = [name for name in dict.fromkeys((*summary.primary(), *summaries_of.memory_metrics(summary)[:2]))
             if name in summary.comparisons]
    chips = [tag("span", tag("small", aspect_name(summary, name)), " ", report.chip(summary, name)) for name in shown]
    heading = tag("h3", info["title"]) if info["title"] else None
    own = None if info["kind"] == "memory" and info["unit"] == "bytes" else strips(report, summary, "value")
    return tag("article", tag("div", heading, *chips, class_="row-head"), own, memory_curve(report, summary),
               side_by_side([latency_curve(report, summary, call) for call in metrics.CALLS]),
               side_by_side([*memory_bars(report, summary), *still_bars(report, summary), layers(report, summary)]),
               figures_table(report, summary), tails.details(report, summary), repeat(report, summary),
               id=row_anchor(summary), class_="row")


def aspect_name(summary, name):
    is_time = name == "value" and summary.info["kind"] in summaries_of.ASPECT_KINDS["time"]
    return "time" if is_time else summary.metric(name).title


def side_by_side(figures):
    return tag("div", *figures, class_="side-by-side") if any(figures) else None


# ---- Charts of a figure ----------------------------------------------------------------------------------------------


def strips(report, summary, name):
    """None when every allocator failed."""
    if name not in summary.figures:
        return None
    chart = charts.strip_chart(places(report), summary.figures[name], summary.samples[name], failures_of(summary),
                               summary.metric(name).unit, f"{caption(summary, name)} of each allocator")
    return figure(summary, name, f" ({summary.metric(name).better} is better; right: every run)", chart)


def memory_bars(report, summary):
    return [bars(report, summary, name) for name in metrics.MEMORY
            if name in summary.figures and (name == "peak" or summary.info["kind"] == "memory")]


def still_bars(report, summary):
    return [bars(report, summary, name) for name in summaries_of.still_metrics(summary)]


def bars(report, summary, name):
    chart = charts.bar_chart(places(report), summary.figures[name], failures_of(summary), summary.metric(name).unit,
                             f"{caption(summary, name)} of each allocator")
    return figure(summary, name, " (lower is better)", chart)


def figure(summary, name, note, chart):
    return tag("figure", tag("figcaption", caption(summary, name), tag("span", note, class_="note")), chart)


def caption(summary, name):
    metric = summary.metric(name)
    title = metric.title[0].upper() + metric.title[1:]
    return title if metric.unit in ("s", "bytes", "count") else f"{title}, {metric.unit}"


def places(report):
    return [(report.index[one], one) for one in report.names]


def failures_of(summary):
    return {one: STATUS_WORDS[run["status"]] for one, run in summary.failures.items()}


# ---- Curves ----------------------------------------------------------------------------------------------------------


def middle_runs(report, summary, key, metric):
    """allocator -> of its runs that have `key`, the one in the middle by a metric: the run that the median is of."""
    found = {}
    for one in report.names:
        runs = [run for run in summary.info["runs"].get(one, []) if run["status"] == "ok" and run.get(key)]
        if runs:
            found[one] = sorted(runs, key=lambda run: run["metrics"].get(metric, 0))[len(runs) // 2]
    return found


def memory_curve(report, summary):
    # Where a row is about time, the curve is that of the run whose time is shown.
    metric = "value" if summary.info["kind"] == "time" else "peak"
    runs = {one: run for one, run in middle_runs(report, summary, "samples", metric).items() if len(run["samples"]) > 2}
    if not runs:
        return None
    series = [(report.index[one], one, run["samples"]) for one, run in runs.items()]
    whose, phases = next(((one, run["phases"]) for one, run in runs.items() if run.get("phases")), (None, []))
    last = max(points[-1][0] for _, _, points in series)
    highest = max(value for _, _, points in series for _, value in points)
    seconds = charts.Axis(0, last, [tick for tick in charts.ticks_linear(last) if tick <= last],
                          lambda tick: f"{tick:g} s")
    sizes = charts.ticks_bytes(highest)
    chart = charts.line_chart(
        series, seconds, charts.Axis(0, sizes[-1], sizes, lambda tick: charts.axis_text(tick, "bytes")),
        "Memory of each allocator over time", "since the start", "resident memory", events=phases)
    which = "the run in the middle by time" if metric == "value" else "the run in the middle by its peak"
    note = f" (of {which}; the phases are {whose}'s)" if phases else f" (of {which})"
    return tag("figure", tag("figcaption", "Memory over time", tag("span", note, class_="note")),
               charts.legend(list(runs), [report.index[one] for one in runs]), chart)


def latency_curve(report, summary, call):
    """What part of the calls takes longer than so many nanoseconds; both scales by powers of ten."""
    runs = middle_runs(report, summary, "latency", "value") or tails.good_runs(summary.info)
    series = [(report.index[one], one, survival(runs[one]["latency"][call]))
              for one in report.names if runs.get(one, {}).get("latency", {}).get(call)]
    if not series:
        return None
    longest = max(points[-1][0] for _, _, points in series)
    shortest = min(points[0][0] for _, _, points in series)
    rarest = min(share for _, _, points in series for _, share in points)
    x_axis = charts.Axis(shortest, longest, charts.ticks_decades(shortest, longest),
                         lambda tick: charts.axis_text(tick, "ns"), log=True)
    y_axis = charts.Axis(rarest, 1, charts.ticks_decades(rarest, 1),
                         lambda share: charts.axis_text(round(1 / share), ""), log=True)
    chart = charts.line_chart(series, x_axis, y_axis, f"How many calls of {call} take longer than a time",
                              "takes longer than", f"one {call} in", width=560, height=280, step=True)
    return tag("figure",
               tag("figcaption", f"Slow calls of {call}", tag("span", " (further left is better)", class_="note")),
               charts.legend([name for _, name, _ in series], [index for index, _, _ in series]), chart)


def survival(histogram):
    """[(time, part of the calls that take longer)] from [[upper bound, count]]. No call takes longer than the last
    bound: a scale by powers has no place for none, so that this point is left out."""
    total = sum(count for _, count in histogram)
    points, longer = [], total
    for upper, count in histogram:
        longer -= count
        points.append((max(upper, 1), longer / total))
    return points[:-1] or [(max(histogram[0][0], 1), 1)]


# ---- What served, all figures, and how to repeat it ------------------------------------------------------------------


def layers(report, summary):
    run = summary.info["proofs"].get(report.subject) or {}
    parts = [(name, count) for name, count in (run.get("layers") or {}).items() if count]
    if not parts:
        return None
    total = sum(count for _, count in parts)
    items = [tag("span", tag("i", class_=f"s{place}"), f"{name} {words.percent(count / total)}", class_="legend-item")
             for place, (name, count) in enumerate(parts)]
    return tag("figure", tag("figcaption", f"Which part of {report.subject} served malloc",
                             tag("span", f" ({total:,} calls of a run of its own)", class_="note")),
               charts.share_bar(parts, f"Shares of {report.subject}'s layers"), tag("p", *items, class_="legend"))


def figures_table(report, summary):
    lines = [tag("tr", tag("th", summary.metric(name).title),
                 *(report.figure_cell(summary, name, one) for one in report.names),
                 tag("td", summary.verdict(name) if name in summary.comparisons else "", class_="words"))
             for name in summary.figures]
    table = tag("table", report.head("median"), tag("tbody", *lines), class_="figures")
    return tag("details", tag("summary", "All figures"), tag("div", table, class_="scroll"))


def repeat(report, summary):
    served = [tag("li", f"{one}: ", tag("code", service_of(summary, one) or "not known")) for one in report.names]
    disturbed = f"{summary.disturbed} runs were disturbed by other programs." if summary.disturbed else None
    return tag("details", tag("summary", "Repeat it, and who answered"), command(report, summary),
               tag("p", "The library that answered malloc:"), tag("ul", *served),
               tag("p", disturbed, class_="note") if disturbed else None)


def command(report, summary):
    text = summary.info["command"].replace("{library}", report.libraries[report.subject])
    return tag("div", tag("pre", text), class_="command")


def service_of(summary, allocator):
    for run in [*summary.info["runs"].get(allocator, []), summary.info["proofs"].get(allocator) or {}]:
        if run.get("service", {}).get("malloc"):
            return ", ".join(run["service"]["malloc"])
    return None


# ---- Instructions ----------------------------------------------------------------------------------------------------


def pair_chart(report, summaries):
    series = [(report.index[one], one, [(summary.info["size"], summary.figures["value"][one].median)
                                        for summary in summaries if one in summary.figures.get("value", {})])
              for one in report.names]
    series = [entry for entry in series if entry[2]]
    highest = max((value for _, _, points in series for _, value in points), default=1)
    sizes = [summary.info["size"] for summary in summaries]
    ticks = [2 ** power for power in range(int(math.log2(sizes[0])), int(math.log2(sizes[-1])) + 1, 2)]
    x_axis = charts.Axis(sizes[0], max(sizes[-1], sizes[0] * 2), ticks, lambda tick: charts.axis_text(tick, "bytes"),
                         log=True)
    return charts.line_chart(series, x_axis, instructions_axis(highest), "Instructions of a malloc + free pair by size",
                             "size of the block", "instructions", marks=True)


def instructions_axis(highest):
    if highest <= LINEAR_INSTRUCTIONS:
        counts = charts.ticks_linear(highest)
        return charts.Axis(0, counts[-1], counts, lambda tick: f"{tick:,.0f}")
    counts = charts.ticks_decades(10, highest * 10)
    return charts.Axis(10, counts[-1], counts, lambda tick: f"{tick:,.0f}", log=True)


def pair_table(report, summaries):
    lines = [tag("tr", tag("th", summary.info["title"], id=row_anchor(summary)),
                 *(report.figure_cell(summary, "value", one) for one in report.names),
                 tag("td", report.chip(summary, "value"), class_="words")) for summary in summaries]
    table = tag("table", report.head("size"), tag("tbody", *lines), class_="figures")
    return [tag("div", table, class_="scroll"),
            tag("details", tag("summary", "Repeat it"), command(report, summaries[0]))]
