"""The tables for the terminal and, as Markdown, for the README.
SPDX-License-Identifier: MIT"""
import summary as summaries_of
import words

ASPECTS = {
    "time": ("Time", "how many times as long as {subject} the others take: above 1.00, {subject} is faster"),
    "latency": ("Slow calls", "how many times as long as {subject}'s the slowest of 1000 mallocs of the others takes"),
    "memory": ("Memory",
               "how many times as much memory as {subject} the others need: above 1.00, {subject} needs less"),
    "instructions": ("Instructions of a malloc + free pair", "and how many times as many as {subject} the others take"),
    "still": ("Page faults and instructions", "what each takes: these figures hold still on a noisy machine"),
}
# Small counts, often 0: there the figures themselves say more than how many times one is the other.
ABSOLUTE = ("still",)


def aspect_table(summaries, results, aspect):
    """(heading, note, columns, lines) of an aspect of the overview; lines is empty when nothing shows it."""
    subject = results["subject"]
    others = [allocator["name"] for allocator in results["allocators"] if allocator["name"] != subject]
    found = summaries_of.entries(summaries, aspect)
    lines = []
    for summary, name in found:
        own = summary.figures.get(name, {}).get(subject)
        lines.append([
            summaries_of.entry_title(summary, name),
            words.quantity(own.median, summary.metric(name).unit, short=True) if own else failure_text(
                summary, subject), *(other_text(summary, name, other, aspect in ABSOLUTE) for other in others),
            summary.verdict(name)])
    if lines and aspect not in ABSOLUTE:
        counted = summaries_of.counted(summaries, aspect)
        means = [summaries_of.geometric(counted, other) for other in others]
        lines.append([
            "geometric mean", "", *(words.multiple(1 / mean[0].ratio) if mean else "–" for mean in means), ""])
    heading, note = ASPECTS[aspect]
    return heading, note.format(subject=subject), ["", subject, *others,
                                                   f"{subject}'s verdict against the best other"], lines


def failure_text(summary, allocator):
    run = summary.failures.get(allocator)
    return summaries_of.STATUS_WORDS[run["status"]] if run else "–"


def other_text(summary, name, other, is_absolute):
    versus = summary.comparisons.get(name, {}).get(other)
    if versus and not is_absolute:
        return words.multiple(1 / versus.ratio) if versus.ratio else "–"
    figure = summary.figures.get(name, {}).get(other)
    return words.quantity(figure.median, summary.metric(name).unit, short=True) if figure else failure_text(
        summary, other)


def columns_align(columns, lines, words_last=True):
    """The lines as text: numbers to the right, words (the first column, and perhaps the last) to the left."""
    widths = [max(len(line[i]) for line in [columns, *lines]) for i in range(len(columns))]
    last = len(columns) - 1 if words_last else 0
    return ["  ".join(cell.ljust(width) if i in (0, last) else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in [columns, *lines]]


def terminal(summaries, results):
    text = []
    for aspect in ASPECTS:
        heading, note, columns, lines = aspect_table(summaries, results, aspect)
        if lines:
            text += [f"{heading} ({note})", *columns_align(columns, lines), ""]
    return "\n".join(text + failures_list(summaries))


def failures_list(summaries):
    lines = [f"  {summary.info['id']} on {allocator}: {summaries_of.STATUS_WORDS[run['status']]}: {run['detail']}"
             for summary in summaries for allocator, run in summary.failures.items()]
    return ["Failures", *lines, ""] if lines else []


def markdown(summaries, results):
    text = []
    for aspect in ASPECTS:
        heading, note, columns, lines = aspect_table(summaries, results, aspect)
        if lines:
            text += [f"**{heading}** ({note})", "", *("| " + " | ".join(line) + " |" for line in [columns]),
                     "|" + "|".join([" --- "] + [" ---: "] * (len(columns) - 2) + [" --- "]) + "|",
                     *("| " + " | ".join(line) + " |" for line in lines), ""]
    return "\n".join(text)
