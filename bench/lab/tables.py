"""The tables for the terminal and, as Markdown, for the README.
SPDX-License-Identifier: MIT"""
import allocators
import host
import summary as summaries_of
import tails
import words

# The rows of the README's table, in its order; a test compares their titles. The lost ones among them stay.
README_ROWS = ("larson-mid-4", "remote-main-r90-any", "python-json", "redis-pipelined", "burst-json-1",
               "messages-mute-64k", "large-pages", "thread-churn-1", "lua-trees", "node")

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


# ---- The README's table ----------------------------------------------------------------------------------------------


def glance_summaries(summaries):
    by_id = {summary.info["id"]: summary for summary in summaries}
    return [by_id[row] for row in README_ROWS if row in by_id]


def glance_ids(summaries):
    return [summary.info["id"] for summary in glance_summaries(summaries)]


def glance(summaries, results):
    """(heading, note, columns, lines) of the rows that the README has."""
    subject, libc = results["subject"], allocators.LIBC
    heading = "The README's rows"
    note = (f"how many times as much time, or memory, as {subject} the others take: above 1.00, {subject} is better; "
            "\"lost\" where the best other certainly is")
    columns = ["", f"time: {libc}", "time: best other", f"memory: {libc}", "memory: best other"]
    return heading, note, columns, [
        [summaries_of.entry_title(summary, "value"), *(cell for name in ("value", "peak")
                                                       for cell in glance_cells(summary, name, libc))]
        for summary in glance_summaries(summaries)]


def glance_cells(summary, name, libc):
    if summary.subject in summary.failures:
        return [failure_text(summary, summary.subject)] * 2
    best = summary.best.get(name)
    if best is None:
        return ["–", "–"]
    versus = summary.comparisons[name][best]
    mark = ", lost" if summaries_of.is_lost(summary, name) else ", uncertain" if versus.is_vague() else ""
    return [other_text(summary, name, libc, False), f"{other_text(summary, name, best, False)} {best}{mark}"]


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
    """What it takes here first, then what the README shows, then everything, with what is lost at the end."""
    costs = results["machine"].get("costs")
    text = [host.terminal(costs)] if costs else []
    heading, note, columns, lines = glance(summaries, results)
    if lines:
        text += [f"{heading} ({note})", *columns_align(columns, lines, words_last=False), ""]
    for aspect in ASPECTS:
        heading, note, columns, lines = aspect_table(summaries, results, aspect)
        if lines:
            text += [f"{heading} ({note})", *columns_align(columns, lines), ""]
    columns, lines = tails.lines(results)
    if lines:
        text += ["Each call by itself", *columns_align(columns, lines), ""]
    return "\n".join(text + lost_list(summaries) + failures_list(summaries) + rounds_list(results))


def lost_list(summaries):
    lines = [f"  {summaries_of.entry_title(summary, name)}: {summary.verdict(name)}"
             for summary, name in summaries_of.lost(summaries)]
    return ["Where the best other is better", *lines, ""] if lines else []


def rounds_list(results):
    done, wanted = results["rounds"], results.get("rounds_wanted", results["rounds"])
    is_short = done < wanted and not results["interrupted"]
    return [f"{done} of {wanted} rounds: there was no time for more."] if is_short else []


def failures_list(summaries):
    lines = [f"  {summary.info['id']} on {allocator}: {summaries_of.STATUS_WORDS[run['status']]}: {run['detail']}"
             for summary in summaries for allocator, run in summary.failures.items()]
    return ["Failures", *lines, ""] if lines else []


def markdown(summaries, results):
    named = [glance(summaries, results), *(aspect_table(summaries, results, aspect) for aspect in ASPECTS)]
    text = []
    for heading, note, columns, lines in named:
        if lines:
            text += [f"**{heading}** ({note})", "", "| " + " | ".join(columns) + " |",
                     "|" + "|".join([" --- "] + [" ---: "] * (len(columns) - 2) + [" --- "]) + "|",
                     *("| " + " | ".join(line) + " |" for line in lines), ""]
    return "\n".join(text)
