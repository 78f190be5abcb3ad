"""What the parts of the page share: names, colours, and the cells that hold figures.
SPDX-License-Identifier: MIT"""
import os

import charts
import words
from markup import tag
from summary import STATUS_WORDS

REPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report")
GROUP_TITLES = {"sizes": "kinds of blocks"}
# For who cannot tell the colours apart: less is good.
SIGNS = {"good": "▼", "bad": "▲", "even": "=", "open": "?"}


class Report:
    def __init__(self, summaries, results):
        self.summaries, self.results = summaries, results
        self.subject = results["subject"]
        names = [allocator["name"] for allocator in results["allocators"]]
        # The subject is always the first.
        self.names = [self.subject] + [name for name in names if name != self.subject]
        # There are eight colours; the seven of the others begin anew after that.
        self.index = {name: 1 + (place - 1) % 7 if place else 0 for place, name in enumerate(self.names)}
        self.others = {name: index for name, index in self.index.items() if name != self.subject}
        self.libraries = {allocator["name"]: allocator["library"] for allocator in results["allocators"]}

    def tone(self, summary, name):
        """good, bad, even, or open where it cannot be told, against the best other."""
        if self.subject in summary.failures:
            return "bad"
        versus = summary.versus_best(name)
        return tone_of(versus[1]) if versus else "open"

    def chip(self, summary, name):
        tone = self.tone(summary, name)
        return tag("span", f"{SIGNS[tone]} {summary.verdict(name)}", class_=f"chip {tone}")

    def name_with_mark(self, name):
        return [charts.key(self.index[name]), name]

    def head(self, first):
        """Of a table with a column for each allocator and one for the verdict."""
        columns = [tag("th", self.name_with_mark(name)) for name in self.names]
        return tag("thead", tag("tr", tag("th", first), *columns, tag("th", f"{self.subject} against the best other")))

    def figure_cell(self, summary, name, allocator, *more, class_=None):
        """A median as a cell that says what it is; or why there is none."""
        figure = summary.figures.get(name, {}).get(allocator)
        if figure is None:
            failed = allocator in summary.failures
            return tag("td", failure_text(summary, allocator), class_="failed" if failed else None)
        unit = summary.metric(name).unit
        rounds = f"{figure.count} {'round' if figure.count == 1 else 'rounds'}"
        tip = f"{words.quantity(figure.low, unit)} to {words.quantity(figure.high, unit)}, {rounds}"
        return tag("td", words.quantity(figure.median, unit, short=True), *more, class_=class_, title=tip,
                   data_row=summary.info["id"], data_metric=name, data_allocator=allocator,
                   data_median=repr(figure.median))


def tone_of(comparison):
    if comparison.differs:
        return "good" if comparison.ratio < 1 else "bad"
    return "open" if comparison.is_vague() else "even"


def failure_text(summary, allocator):
    run = summary.failures.get(allocator)
    return STATUS_WORDS[run["status"]] if run else "–"


def row_anchor(summary):
    return f"r-{summary.info['id']}"


def group_title(group):
    return GROUP_TITLES.get(group, group)


def read_part(name):
    with open(os.path.join(REPORT, name), encoding="utf-8") as file:
        return file.read()


def colors():
    """Dark ones where the reader's system is dark or the switch says so."""
    dark = read_part("dark.css")
    return (read_part("colors.css")
            + '@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) {\n' + dark + "} }\n"
            + ':root[data-theme="dark"] {\n' + dark + "}\n")
