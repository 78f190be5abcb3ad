"""The first part of the page: the answer in one sentence, a card for each rival, the charts of all rows, and the table.
SPDX-License-Identifier: MIT"""
import itertools

import charts
import host
import metrics
import stats
import summary as summaries_of
import tables
import tails
import verdicts
import words
from markup import tag
from pageparts import failure_text, group_title, row_anchor, tone_of
from summary import STATUS_WORDS

# aspect -> heading, what is compared, what is said of less and more of it
ASPECTS = {
    "time": ("Time", "time", ("needs less time", "needs more time")),
    "memory": ("Memory", "memory", ("needs less memory", "needs more memory")),
    "latency": ("Slow calls", "time of the slowest malloc of a thousand", ("is faster", "is slower")),
}
CARD_ASPECTS = ("time", "memory")
DISTURBED_MANY = 0.05
HEAT_LIMITS = (1.005, 1.05, 1.15, 1.4, 2)


def overview(report):
    parts = [tag("h1", headline(report)), machine_note(report.results), costs(report.results), *warnings(report),
             cards(report), how_to_read(report), *glance(report), lost(report)]
    for aspect, (heading, kind, _) in ASPECTS.items():
        if summaries_of.entries(report.summaries, aspect):
            note = (
                f"{report.subject}'s {kind}, divided by each other allocator's. The larger mark is the best other one "
                "of the row; the line through it is the interval of the ratio.")
            parts += [tag("h2", heading, id=aspect), tag("p", note, class_="note"),
                      charts.legend(list(report.others), list(report.others.values())),
                      tag("div", chart(report, aspect), class_="figure")]
    return tag("section", *parts, *all_results(report), *tails.overview(report), id="overview")


def headline(report):
    program = next((summary for summary in report.summaries if summary.demands), None)
    if program and report.results["rounds"]:
        return f"{program.info['workload_title']}: {verdicts.Verdicts(program).advice()[2]}"
    counted = summaries_of.counted(report.summaries, "time")
    won, drawn, lost, untold = summaries_of.tally(counted)
    if not won + drawn + lost + untold:
        return f"{report.subject}: what was measured"
    rounds = report.results["rounds"]
    if rounds < stats.ENOUGH_ROUNDS:
        were = "was" if rounds < 2 else "were"
        return f"Verdicts take {stats.ENOUGH_ROUNDS} rounds; {rounds or 'none'} {were} measured"
    if len(counted) == 1:
        summary, name = counted[0]
        return f"{summary.info['workload_title']}: {report.subject} against the best other: {summary.verdict(name)}"
    return (f"Against the best other of each of {won + drawn + lost + untold} rows, {report.subject} is faster on "
            f"{won}, no different on {drawn}, and slower on {lost}" + (f"; {untold} cannot be told" if untold else ""))


def machine_note(results):
    machine = results["machine"]
    memory = words.quantity(machine["memory"], "bytes")
    before = "compacted before each run" if machine.get("compacted") else "not compacted"
    text = (f"{machine['cpu']}, {machine['cpus']} CPUs, {memory}, {before}; {machine['system']}, Linux "
            f"{machine['kernel']}, {machine['libc']}, huge pages: {machine['huge_pages']}. {results['made']}; "
            f"{results['rounds']} {'round' if results['rounds'] == 1 else 'rounds'}, interleaved over the allocators; "
            "medians, with intervals of 95 %.")
    return tag("p", text, class_="lede")


def costs(results):
    """What the machine takes, beside the results that depend on it."""
    found = host.lines(results["machine"].get("costs"))
    if not found:
        return None
    body = [tag("tr", tag("th", title), tag("td", value), tag("td", note, class_="words"))
            for title, value, note in found]
    head = tag("thead", tag("tr", tag("th", "What this machine takes"), tag("th"), tag("th")))
    return tag("div", tag("table", head, tag("tbody", *body), class_="figures"), class_="scroll")


def glance(report):
    """The rows of the README, as it has them."""
    heading, note, columns, found = tables.glance(report.summaries, report.results)
    if not found:
        return []
    body = [tag("tr", tag("th", tag("a", cells[0], href=f"#r-{row_id}")), *(tag("td", cell) for cell in cells[1:]))
            for row_id, cells in zip(tables.glance_ids(report.summaries), found)]
    table = tag("table", tag("thead", tag("tr", *(tag("th", column) for column in columns))), tag("tbody", *body),
                class_="figures")
    return [tag("h2", heading, id="glance"), tag("p", note[0].upper() + note[1:] + ".", class_="note"),
            tag("div", table, class_="scroll")]


def lost(report):
    """All of them, wherever they stand further below."""
    found = summaries_of.lost(report.summaries)
    if not found:
        return None
    items = [tag("li", tag("a", summaries_of.entry_title(summary, name), href=f"#{row_anchor(summary)}"), ": ",
                 summary.verdict(name)) for summary, name in found]
    return tag("details", tag("summary", f"Where the best other is better: {len(found)} figures"), tag("ul", *items),
               class_="how")


def warnings(report):
    """What a reader has to know before trusting the figures."""
    runs = [run for row in report.results["rows"] for one in row["runs"].values() for run in one]
    disturbed = sum(bool(run.get("disturbed")) for run in runs)
    boxes = []
    rounds, wanted = report.results["rounds"], report.results.get("rounds_wanted", report.results["rounds"])
    if rounds < wanted and not report.results["interrupted"]:
        boxes.append(tag("p", f"{rounds} of {wanted} rounds: there was no time for more.", class_="warning"))
    if report.results["interrupted"]:
        boxes.append(
            tag("p", "The measurement was interrupted; rows may have fewer rounds than others.", class_="warning"))
    if runs and disturbed > DISTURBED_MANY * len(runs):
        boxes.append(
            tag("p", f"{disturbed} of {len(runs)} runs were disturbed by other programs on the machine, also when "
                "repeated: small differences below mean little.",
                class_="warning"))
    failures = [tag("li", tag("a", summary.info["id"], href=f"#{row_anchor(summary)}"), f" on {allocator}: ",
                    tag("strong", STATUS_WORDS[run["status"]]), f": {run['detail']}")
                for summary in report.summaries for allocator, run in summary.failures.items()]
    if failures:
        boxes.append(tag("div", tag("p", "What failed:"), tag("ul", *failures), class_="warning"))
    return boxes


def how_to_read(report):
    demands = next((summary.demands for summary in report.summaries if summary.demands), None)
    paragraphs = how_compared(report, demands) if demands else how_measured(report)
    return tag("details", tag("summary", "How to read this"), *(tag("p", text) for text in paragraphs), class_="how")


def how_compared(report, demands):
    """What `hakmem compare` does."""
    return (
        "Each round runs the program on every allocator once, one right after the other, in a random order. A ratio is "
        f"{report.subject}'s cost divided by the other's within a round, the middle of all rounds: below 1 is good for "
        f"{report.subject}. Of 100 such comparisons without any difference, {round(100 * demands.error)} at most would "
        "show one somewhere.",
        f"“No difference” means: shown to be less than {words.percent_plain(demands.bounds)}. What is neither a "
        "difference nor that cannot be told. Rounds in which other programs were at work do not count for wall time.")


def how_measured(report):
    return (
        "Each round runs every row on every allocator once, one right after the other. A ratio is "
        f"{report.subject}'s median divided by the other's, of the time for the same work, or of memory: below 1 is "
        f"good for {report.subject}. Its interval comes from a bootstrap over the rounds and holds the true ratio with "
        "95 %; of a hundred rows without any difference, some five will show one by chance.",
        "“No difference” is said when the interval contains 1 and does not reach beyond 10 % to either side, or when "
        "the difference is below 1 %; when it reaches further, it cannot be told. The best other "
        "allocator is chosen for each row anew: no single rival is as good as “the best other” of all rows.",
        "Who answered malloc was checked for every row: the workloads report the library by its address; for real "
        "programs the dynamic linker's own record of a separate run is read, and their memory maps while they run. A "
        "run that another library served is shown as a failure.",
        "Faults and instructions hold still where times do not: look at them when a difference in time seems strange.")


# ---- A card for each rival -------------------------------------------------------------------------------------------


def cards(report):
    return tag("div", *(card(report, other) for other in report.others), class_="cards")


def card(report, other):
    return tag("article", tag("h3", charts.key(report.index[other], 16), f"against {other}"),
               *(card_aspect(report, other, aspect) for aspect in CARD_ASPECTS), class_="card")


def card_aspect(report, other, aspect):
    found = summaries_of.counted(report.summaries, aspect)
    mean = summaries_of.geometric(found, other)
    if mean is None:
        return None
    comparison, count = mean
    tallied = summaries_of.tally(found, other)
    won, drawn, lost, untold = tallied
    note = (f"geometric mean of {count} rows, {words.span(comparison)}; less on {won}, no difference on {drawn}, "
            f"more on {lost}" + (f", not to be told on {untold}" if untold else ""))
    if count == 1:
        note = f"{words.verdict(comparison, other, found[0][0].metric(found[0][1]).kind)} ({words.span(comparison)})"
    change = tag("strong", words.change(comparison.ratio), class_=tone_of(comparison))
    # A percentage does not break before its sign.
    small = tag("p", note.replace(" %", "\u00a0%"), class_="note")
    return tag("div", tag("p", change, f" {ASPECTS[aspect][1]}", class_="big"), tally_bar(tallied), small,
               class_="card-aspect")


def tally_bar(tallied):
    total = sum(tallied) or 1
    pieces = [tag("span", class_=f"piece {tone}", style=f"width:{100 * count / total:.1f}%")
              for tone, count in zip(("good", "even", "bad", "open"), tallied) if count]
    return tag("div", *pieces, class_="tally")


# ---- The charts ------------------------------------------------------------------------------------------------------


def chart(report, aspect):
    heading, kind, better_words = ASPECTS[aspect]
    label = f"{heading}: {report.subject}'s {kind} divided by each other allocator's, for each row"
    return charts.ratio_chart(lines(report, aspect), report.subject, report.others, better_words, label)


def picture(report, style):
    """The charts of time and of memory as one picture that needs no page around it."""
    drawings = [(ASPECTS[aspect][0], charts.ratio_drawing(lines(report, aspect), report.subject, report.others,
                                                          ASPECTS[aspect][2]))
                for aspect in CARD_ASPECTS if summaries_of.entries(report.summaries, aspect)]
    label = f"{report.subject}'s time and memory divided by each other allocator's, for each row"
    return charts.ratio_picture(drawings, report.others, style, label)


def lines(report, aspect):
    """What charts.ratio_drawing takes: the means, then under a heading for each group, and under one of its own for
    each workload that has several lines."""
    found = mean_lines(report, aspect)
    for group, entries in itertools.groupby(summaries_of.entries(report.summaries, aspect),
                                            key=lambda entry: entry[0].info["group"]):
        entries = list(entries)
        workloads = [list(same) for _, same in itertools.groupby(entries, key=lambda entry: entry[0].info["workload"])]
        # A group of one workload needs no second heading for it.
        single = len(workloads) == 1 and len(entries) > 1
        found.append({"heading": entries[0][0].info["workload_title"] if single else group_title(group)})
        for same in workloads:
            info = same[0][0].info
            if len(same) > 1 and not single:
                found.append({"workload": info["workload_title"], "href": f"#w-{info['workload']}"})
            found += [line(report, *entry, alone=len(same) == 1) for entry in same]
    return found


def mean_lines(report, aspect):
    """One line, where there are several rows to take the mean of."""
    counted = summaries_of.counted(report.summaries, aspect)
    means = {other: summaries_of.geometric(counted, other) for other in report.others}
    if len(counted) < 2 or not any(means.values()):
        return []
    kind = counted[0][0].metric(counted[0][1]).kind
    ratios = {other: (mean[0], f"{words.verdict(mean[0], other, kind)} ({words.span(mean[0])}), over {mean[1]} rows")
              for other, mean in means.items() if mean}
    closest = max(ratios, key=lambda other: ratios[other][0].ratio)
    mean = ratios[closest][0]
    return [{"workload": "All rows", "part": "geometric mean", "href": "#overview", "ratios": ratios, "best": closest,
             "verdict": words.verdict(mean, closest, kind), "tone": tone_of(mean)}]


def line(report, summary, name, alone):
    versus = summary.versus_best(name)
    ratios = {other: (comparison, comparison_tip(report, summary, name, other))
              for other, comparison in summary.comparisons.get(name, {}).items()}
    return {"workload": summary.info["workload_title"] if alone else "", "part": summaries_of.entry_part(summary, name),
            "href": f"#{row_anchor(summary)}", "ratios": ratios, "best": versus[0] if versus else None,
            "verdict": summary.verdict(name), "tone": report.tone(summary, name)}


def comparison_tip(report, summary, name, other):
    metric, comparison = summary.metric(name), summary.comparisons[name][other]
    own, its = (words.quantity(summary.figures[name][one].median, metric.unit, short=True)
                for one in (report.subject, other))
    return (f"{words.verdict(comparison, other, metric.kind)} ({words.span(comparison)}): {report.subject} {own}, "
            f"{other} {its}")


# ---- The table of everything -----------------------------------------------------------------------------------------


def all_results(report):
    note = tag("p",
               "Medians; the number below is how many times the least of the row that is. ",
               tag("span", "Best", class_="heat h0"),
               " to ",
               tag("span", "twice as much and more", class_="heat h5"),
               ".",
               class_="note")
    return [tag("h2", "All results", id="results"), note, *(heat_table(report, aspect) for aspect in ASPECTS)]


def heat_table(report, aspect):
    found = summaries_of.entries(report.summaries, aspect)
    if not found:
        return None
    body = tag("tbody", *(heat_row(report, *entry) for entry in found))
    return tag("div", tag("table", report.head(ASPECTS[aspect][0]), body, class_="heat-table"), class_="scroll")


def heat_row(report, summary, name):
    metric = summary.metric(name)
    costs = {one: metrics.cost(figure.median, metric.better) for one, figure in summary.figures.get(name, {}).items()}
    cells = []
    for one in report.names:
        if one in costs:
            times = stats.quotient(costs[one], min(costs.values()))
            cells.append(report.figure_cell(summary, name, one, tag("small", words.multiple(times)),
                                            class_=f"heat h{heat_level(times)}"))
        else:
            cells.append(tag("td", failure_text(summary, one), class_="heat failed"))
    title = tag("a", summaries_of.entry_title(summary, name), href=f"#{row_anchor(summary)}")
    return tag("tr", tag("th", title), *cells, tag("td", report.chip(summary, name), class_="words"))


def heat_level(times):
    """0 for the best to 5 for twice as much and more."""
    return next((level for level, limit in enumerate(HEAT_LIMITS) if times < limit), len(HEAT_LIMITS))
