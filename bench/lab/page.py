"""The report: one HTML page that needs nothing else, and the picture of its overview as a file of its own.
SPDX-License-Identifier: MIT"""
import itertools

import overview
import sections
from markup import Markup, tag
from pageparts import Report, colors, group_title, read_part

# So many rows of a workload have a dot in the list of contents.
DOTS = 12


def page(summaries, results):
    report = Report(summaries, results)
    found = workloads(report)
    main = tag("main", overview.overview(report), *(sections.section(report, *entry) for entry in found),
               colophon(report))
    script = tag("script", embedded(read_part("page.js")))
    head = tag("head", tag("meta", charset="utf-8"),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("title", f"{report.subject} bench lab, {results['made']}"),
               tag("style", embedded(colors() + read_part("page.css"))))
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", navigation(report, found), main, script),
                                     lang="en") + "\n"


def embedded(text):
    """Style or script, such that a reader of HTML and one of XML see the same."""
    return Markup("/*<![CDATA[*/\n" + text + "/*]]>*/")


def workloads(report):
    """[(workload's name, its summaries)] in order."""
    return [(name, list(group)) for name, group in
            itertools.groupby(report.summaries, key=lambda summary: summary.info["workload"])]


def navigation(report, found):
    items = [tag("li", tag("a", "Overview", href="#overview")), tag("li", tag("a", "All results", href="#results"))]
    for group, entries in itertools.groupby(found, key=lambda entry: entry[1][0].info["group"]):
        items.append(tag("li", group_title(group), class_="nav-group"))
        items += [navigation_item(report, *entry) for entry in entries]
    return tag("nav", tag("p", report.subject, tag("span", " bench lab"), class_="brand"), tag("ul", *items),
               tag("button", "◐ light / dark", id="theme", type="button"), aria_label="Contents")


def navigation_item(report, name, summaries):
    tones = [report.tone(summary, metric) for summary in summaries for metric in summary.primary()]
    dots = tag("span", *(tag("i", class_=f"dot {tone}") for tone in tones[:DOTS]), class_="dots")
    return tag("li", tag("a", tag("span", summaries[0].info["workload_title"]), dots, href=f"#w-{name}"))


def colophon(report):
    lines = [tag("tr", tag("th", report.name_with_mark(one["name"])), tag("td", one["version"]),
                 tag("td", tag("code", one["library"]))) for one in report.results["allocators"]]
    table = tag("table", tag("tbody", *lines), class_="figures")
    return tag("section", tag("h2", "The allocators"), tag("div", table, class_="scroll"), id="allocators")


def overview_picture(summaries, results):
    """The overview's charts of time and memory, for a README: with their colours and a legend inside."""
    style = tag("style", Markup(colors() + "svg { background: var(--paper); }\n"))
    picture = overview.picture(Report(summaries, results), style)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + picture + "\n"
