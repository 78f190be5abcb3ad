"""The charts, as SVG. Colours come from the style sheet: class a0 is the first allocator, a1 the second, and so on;
each has a shape of its own, too, for who cannot tell the colours apart.
SPDX-License-Identifier: MIT"""
import math

import words
from markup import Markup, tag

ROW = 24
CHAR = 6.3
SHAPES = ("circle", "square", "diamond", "up", "down", "cross", "bar", "ring")


def svg(width, height, *children, label, margin=0):
    box = f"{-margin} {-margin} {width + 2 * margin:.0f} {height + 2 * margin:.0f}"
    return tag("svg", *children, viewBox=box, role="img", aria_label=label,
               xmlns="http://www.w3.org/2000/svg", style=f"max-width:{width:.0f}px", class_="chart")


def text(x, y, string, class_="", anchor="start"):
    return tag("text",
               string,
               x=float(x),
               y=float(y),
               class_=class_ or None,
               text_anchor=anchor if anchor != "start" else None)


def line(x1, y1, x2, y2, class_):
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def mark(index, x, y, size=4.5, title=None, class_="mark"):
    """The shape of an allocator."""
    shape = SHAPES[index % len(SHAPES)]
    tip = tag("title", title) if title else None
    class_ = f"{class_} a{index}"
    if shape in ("circle", "ring"):
        return tag("circle", tip, cx=float(x), cy=float(y), r=float(size), class_=class_)
    corners = {
        "square": ((-.88, -.88), (.88, -.88), (.88, .88), (-.88, .88)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        "up": ((0, -1.15), (1.1, .85), (-1.1, .85)),
        "down": ((0, 1.15), (1.1, -.85), (-1.1, -.85)),
        "cross": ((-1, -.4), (-.4, -.4), (-.4, -1), (.4, -1), (.4, -.4), (1, -.4), (1, .4), (.4, .4), (.4, 1), (-.4, 1),
                  (-.4, .4), (-1, .4)),
        "bar": ((-.45, -1.2), (.45, -1.2), (.45, 1.2), (-.45, 1.2)),
    }[shape]
    return tag("polygon",
               tip,
               points=" ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in corners),
               class_=class_)


def key(index, size=14):
    """The mark of an allocator by itself, beside its name in HTML."""
    shape = mark(index, size / 2, size / 2, size / 3)
    return tag("svg", shape, viewBox=f"0 0 {size} {size}", class_="key", aria_hidden="true")


def legend(names, indices):
    """The allocators in a row, as HTML."""
    return tag("p", *(tag("span", key(index), name, class_="legend-item") for name, index in zip(names, indices)),
               class_="legend")


# ---- Scales ----------------------------------------------------------------------------------------------------------


def ticks_linear(highest, count=4):
    """Round numbers from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(highest / count))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if step * factor * count >= highest * 0.999)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]


def ticks_bytes(highest, count=4):
    """The same in powers of two."""
    step = 2 ** math.ceil(math.log2(max(highest, 1) / count))
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]


def ticks_between(low, high, unit, count=3):
    """Round numbers inside an interval, for a strip that does not begin at 0: round as they are written."""
    scale = next(
        (factor for factor, _ in reversed(words.SCALES["bytes"]) if high >= factor), 1) if unit == "bytes" else 1
    low, high = low / scale, high / scale
    step = 10 ** math.floor(math.log10((high - low) / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count + 1)
    return [scale * step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def ticks_decades(low, high):
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def axis_text(value, unit):
    """A tick's label: without digits that say nothing."""
    label = words.quantity(value, unit, short=True)
    head, blank, tail = label.partition(" ")
    if "." in head:
        head = head.rstrip("0").rstrip(".")
    return head + blank + tail


# ---- Ratios: the overview --------------------------------------------------------------------------------------------

RATIO_TICKS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)
RATIO_TICKS_FINE = (1 / 2, 1 / 1.5, 1 / 1.25, 1, 1.25, 1.5, 2)
LABEL_WIDTH, PLOT_WIDTH, VERDICT_WIDTH = 345, 375, 290
RATIO_WIDTH = LABEL_WIDTH + PLOT_WIDTH + VERDICT_WIDTH


def ratio_chart(lines, subject, others, better_words, label):
    parts, height = ratio_drawing(lines, subject, others, better_words)
    return svg(RATIO_WIDTH, height, *parts, label=label)


def ratio_picture(drawings, others, style, label):
    """Drawings one below the other as a picture of its own: with a legend, and some paper around it. drawings:
    [(title, what ratio_drawing gave)]."""
    parts, y = [style, *legend_line(others, LABEL_WIDTH, 12)], 40
    for title, (drawn, height) in drawings:
        parts.append(tag("g", text(0, 14, title, "picture-title"), *drawn, transform=f"translate(0 {y})"))
        y += height + 24
    return svg(RATIO_WIDTH, y - 24, *parts, label=label, margin=16)


def ratio_drawing(lines, subject, others, better_words):
    """(parts, height). lines: dictionaries, either {heading}, or {workload, href} above the lines of a workload, or
    with ratios: {workload, part, href, ratios {other: (Comparison, tip)}, best, verdict, tone}. A mark is at the
    subject's cost divided by an other's: what is left of 1 is good for the subject."""
    ratios = [comparison.ratio for entry in lines for comparison, _ in entry.get("ratios", {}).values()]
    low, high = ratio_domain(ratios)

    def place(ratio):
        ratio = min(max(ratio, low), high)
        return LABEL_WIDTH + PLOT_WIDTH * (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))

    top = 34
    bottom = top + 8 + ROW * len(lines)
    right = LABEL_WIDTH + PLOT_WIDTH
    parts = [
        tag("rect",
            x=float(LABEL_WIDTH),
            y=float(top),
            width=place(1) - LABEL_WIDTH,
            height=float(bottom - top),
            class_="zone-good"),
        tag("rect", x=place(1), y=float(top), width=right - place(1), height=float(bottom - top), class_="zone-bad"),
        text(place(1) - 8, 14, f"← {subject} {better_words[0]}", "zone-label good", "end"),
        text(place(1) + 8, 14, f"{subject} {better_words[1]} →", "zone-label bad")]
    for tick in RATIO_TICKS if high / low > 5 else RATIO_TICKS_FINE:
        if low <= tick <= high:
            parts += [line(place(tick), top, place(tick), bottom, "one" if tick == 1 else "grid"),
                      text(place(tick), bottom + 16, ratio_label(tick), "tick", "middle")]
    for number, entry in enumerate(lines):
        y = top + 4 + ROW * number + ROW / 2
        if "heading" in entry:
            parts.append(text(0, y + 5, entry["heading"], "group-label"))
        elif "ratios" in entry:
            parts += ratio_line(entry, y, others, place)
        else:
            parts.append(tag("a", text(0, y + 4, entry["workload"], "row-label"), href=entry["href"]))
    return parts, bottom + 30


def ratio_label(tick):
    return f"1/{1 / tick:.0f}" if tick < 0.6 else f"{tick:.2f}".rstrip("0").rstrip(".")


def ratio_domain(ratios):
    """All the ratios, a factor of 1.25 at least to either side, and never more than 16."""
    finite = [ratio for ratio in ratios if 0 < ratio < math.inf] or [1]
    return max(min(min(finite) / 1.08, 1 / 1.3), 1 / 17), min(max(max(finite) * 1.08, 1.3), 17)


def ratio_line(entry, y, others, place):
    right = LABEL_WIDTH + PLOT_WIDTH
    indent = 0 if entry["workload"] else 18
    label = [
        tag("tspan", entry["workload"]) if entry["workload"] else None,
        tag("tspan",
            shortened(entry["part"], LABEL_WIDTH - 24 - indent - len(entry["workload"]) * CHAR),
            class_="part",
            dx=6 if entry["workload"] and entry["part"] else None)]
    parts = [tag("a", text(indent, y + 4, label, "row-label"), href=entry["href"]),
             line(LABEL_WIDTH, y, right, y, "rule")]
    best = entry["best"]
    for other in sorted(entry["ratios"], key=lambda name: name == best):
        comparison, tip = entry["ratios"][other]
        if other == best and comparison.low != comparison.high:
            parts.append(line(place(comparison.low), y, place(comparison.high), y, f"interval a{others[other]}"))
        x = place(comparison.ratio)
        parts.append(
            mark(others[other], x, y, 5.5 if other == best else 4, tip, "mark best" if other == best else "mark other"))
        # Beyond the scale: an arrow at its end.
        if x == LABEL_WIDTH and comparison.ratio < 1 / 17:
            parts.append(text(x - 7, y + 4, "‹", "tick", "end"))
        if x == right and comparison.ratio > 17:
            parts.append(text(x + 7, y + 4, "›", "tick"))
    parts.append(text(right + 14, y + 4, entry["verdict"], f"verdict {entry['tone']}"))
    return parts


def shortened(string, width):
    """What fits into so many pixels, about."""
    return string if len(string) * CHAR <= width else string[:max(1, int(width / CHAR) - 1)].rstrip(" ,") + "…"


def legend_line(others, x, y):
    """The same as legend(), inside of a drawing."""
    parts = []
    for name, index in others.items():
        parts += [mark(index, x + 6, y - 4, 5), text(x + 18, y, name)]
        x += 34 + len(name) * CHAR
    return parts


# ---- One metric of one row -------------------------------------------------------------------------------------------

NAME_WIDTH, BAR_WIDTH, VALUE_WIDTH, STRIP_WIDTH = 84, 250, 84, 330


def bars(names, figures, failures, unit):
    """Medians as bars from 0, the interval of each as a line at its end. names: [(index, allocator)], one below the
    other; failures: allocator -> what stands in place of a bar."""
    highest = max(figure.high for figure in figures.values()) or 1
    parts = [line(NAME_WIDTH, 2, NAME_WIDTH, ROW * len(names) + 2, "axis")]
    for place, (index, name) in enumerate(names):
        y = ROW * place + ROW / 2 + 2
        parts.append(text(NAME_WIDTH - 10, y + 4, name, "name subject" if index == 0 else "name", "end"))
        if name not in figures:
            failure = failures.get(name)
            parts.append(text(NAME_WIDTH + 8, y + 4, failure or "–", "failure" if failure else "tick"))
            continue
        figure = figures[name]
        width = max(BAR_WIDTH * figure.median / highest, 1.0)
        low, high = (NAME_WIDTH + BAR_WIDTH * value / highest for value in (figure.low, figure.high))
        parts += [
            tag("rect", x=float(NAME_WIDTH), y=y - 7, width=width, height=14.0, rx=2.0, class_=f"bar a{index}"),
            line(low, y, high, y, f"whisker a{index}") if high - low > 1 else None,
            text(max(NAME_WIDTH + width, high) + 7, y + 4, words.quantity(figure.median, unit, short=True), "value")]
    return parts


def bar_chart(names, figures, failures, unit, label):
    return svg(NAME_WIDTH + BAR_WIDTH + VALUE_WIDTH,
               ROW * len(names) + 4,
               *bars(names, figures, failures, unit),
               label=label)


def strip_chart(names, figures, samples, failures, unit, label):
    """The bars, and right of them each run as a mark, with the interval of the median, on a scale of their own that
    shows what the bars cannot."""
    every = [value for sample in samples.values() for value in sample]
    low, high = min(every), max(every)
    margin = (high - low) * 0.06 or abs(high) * 0.01 or 1
    low, high = low - margin, high + margin
    left = NAME_WIDTH + BAR_WIDTH + VALUE_WIDTH + 24
    bottom = ROW * len(names) + 4

    def place(value):
        return left + STRIP_WIDTH * (value - low) / (high - low)

    parts = bars(names, figures, failures, unit)
    for tick in ticks_between(low, high, unit):
        parts += [line(place(tick), 2, place(tick), bottom, "grid"),
                  text(place(tick), bottom + 16, axis_text(tick, unit), "tick", "middle")]
    for row, (index, name) in enumerate(names):
        if name in figures:
            parts += strip(ROW * row + ROW / 2 + 2, index, figures[name], samples[name], unit, place)
    return svg(left + STRIP_WIDTH + 34, bottom + 22, *parts, label=label)


def strip(y, index, figure, sample, unit, place):
    return [line(place(figure.low), y, place(figure.high), y, f"interval a{index}"),
            *[mark(index, place(value), y, 3.4, words.quantity(value, unit), "mark run") for value in sample],
            line(place(figure.median), y - 8, place(figure.median), y + 8, f"median a{index}")]


# ---- Lines -----------------------------------------------------------------------------------------------------------


class Axis:
    """A scale from data to pixels. ticks: the values that have a label; format: value -> label."""

    def __init__(self, low, high, ticks, form, log=False):
        self.low, self.high, self.ticks, self.form, self.log = low, high, ticks, form, log

    def place(self, value, start, end):
        if self.log:
            value, low, high = math.log(max(value, self.low)), math.log(self.low), math.log(self.high)
        else:
            low, high = self.low, self.high
        return start + (end - start) * (value - low) / ((high - low) or 1)


def line_chart(series,
               x_axis,
               y_axis,
               label,
               x_title="",
               y_title="",
               events=(),
               marks=False,
               width=860,
               height=270,
               step=False):
    """series: [(index, name, points)]; events: [(x, text)] as vertical lines; marks: the points, too; step: the value
    stays until the next point."""
    left, right, top, bottom = 74, width - 26, 34 if events else 22, height - 40
    parts = [text(left, 12, y_title, "axis-title"), text(right, height - 4, x_title, "axis-title", "end")]
    for tick in y_axis.ticks:
        y = y_axis.place(tick, bottom, top)
        parts += [line(left, y, right, y, "grid"), text(left - 8, y + 4, y_axis.form(tick), "tick", "end")]
    for tick in x_axis.ticks:
        x = x_axis.place(tick, left, right)
        parts += [line(x, bottom, x, bottom + 4, "axis"), text(x, bottom + 17, x_axis.form(tick), "tick", "middle")]
    parts += event_lines(events, x_axis, left, right, top, bottom)
    # The subject last, on top of the others.
    for index, name, points in sorted(series, key=lambda one: -one[0]):
        places = [(x_axis.place(x, left, right), y_axis.place(y, bottom, top)) for x, y in points]
        parts.append(tag("path", tag("title", name), d=path_of(places, step), class_=f"line a{index}"))
        if marks:
            parts += [mark(index, x, y, 3, f"{name}: {x_axis.form(point[0])}: {y_axis.form(point[1])}")
                      for (x, y), point in zip(places, points)]
    parts.append(line(left, bottom, right, bottom, "axis"))
    return svg(width, height, *parts, label=label)


def path_of(places, step):
    """Pixels to a path; a point within half a pixel of the last adds nothing."""
    commands, last = [], None
    for x, y in places:
        if last is not None and abs(x - last[0]) < 0.5 and abs(y - last[1]) < 0.5:
            continue
        if last is None:
            commands.append(f"M{x:.1f} {y:.1f}")
        elif step:
            commands.append(f"H{x:.1f}V{y:.1f}")
        else:
            commands.append(f"L{x:.1f} {y:.1f}")
        last = x, y
    return Markup("".join(commands))


def event_lines(events, x_axis, left, right, top, bottom):
    """Their labels are kept apart: one that would lie on another goes a line up."""
    parts, ends = [], [-math.inf, -math.inf]
    for moment, name in events:
        x, width = x_axis.place(moment, left, right), len(name) * CHAR
        if not left <= x <= right:
            continue
        start = x + 3 if x + 3 + width <= right else x - 3 - width
        level = 0 if start > ends[0] else 1
        ends[level] = start + width + 4
        y = top - 2 - 11 * level
        parts += [line(x, y, x, bottom, "event"), text(start, y, name, "event-label")]
    return parts


# ---- Shares ----------------------------------------------------------------------------------------------------------


def share_bar(parts, label, width=420):
    """parts: [(name, count)] as one bar, each with its percentage below where there is room."""
    total = sum(count for _, count in parts)
    x, pieces = 0.0, []
    for place, (name, count) in enumerate(parts):
        size = width * count / total
        pieces.append(tag("rect", tag("title", f"{name}: {words.percent(count / total)} ({count:,})"), x=x, y=0.0,
                          width=max(size, 0.5), height=14.0, class_=f"share s{place}"))
        x += size
    return svg(width, 14, *pieces, label=label)
