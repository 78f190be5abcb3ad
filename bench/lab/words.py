"""Numbers and verdicts as people write them.
SPDX-License-Identifier: MIT"""
import math

# unit -> how the lab writes a number with it: (factor to the base unit, suffix), smallest first
SCALES = {
    "s": [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1, "s"), (60, "min")],
    "ns": [(1, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
    "bytes": [(1, "B"), (2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB")],
}
DECIMAL = [(1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")]

# kind of figure -> what goes before the other's name when there is less and when there is more of it, after a
# percentage and after a multiple
COMPARATIVES = {
    "time": ("less time than", "more time than", "times as fast as", "times as slow as"),
    "memory": ("less memory than", "more memory than", "times less memory than", "times the memory of"),
    "count": ("fewer than", "more than", "times fewer than", "times as many as"),
}
# From here on a percentage is harder to grasp than a multiple.
MANY = 2
# And from here on a change is one.
MANY_TIMES = 10


def significant(value, digits=3):
    """A number with that many significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def quantity(value, unit, short=False):
    """1234567, "bytes" -> "1.18 MiB"; 1234567, "operations/s" -> "1.23 M operations/s", or in short "1.23 M/s". Only
    what stands before a comma is the unit, the rest says what it is a unit of."""
    if value is None:
        return "–"
    unit = unit.partition(",")[0]
    scales = SCALES.get(unit, DECIMAL)
    if value == 0:
        return f"0 {unit}" if unit in ("s", "ns") else "0 B" if unit == "bytes" else "0"
    factor, suffix = next((scale for scale in reversed(scales) if abs(value) >= scale[0]), scales[0])
    text = f"{value:.0f}" if factor == 1 and unit in ("bytes", "count") and value % 1 == 0 else significant(value /
                                                                                                            factor)
    if unit in SCALES:
        return f"{text} {suffix}"
    per = "/s" if "/s" in unit else ""
    if short or unit == "count":
        return f"{text} {suffix}{per}".rstrip() if suffix else f"{text}{per}"
    return " ".join(part for part in (text, suffix, unit) if part)


def percent(part):
    """A share in percent, precise where it is small."""
    value = abs(part) * 100
    if 0 < value < 0.05:
        return "under 0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def percent_plain(part):
    """One that was given: "5 %", "2.5 %"."""
    return f"{100 * part:g} %"


def multiple(ratio):
    return f"{ratio:.2f}" if ratio < 10 else significant(ratio)


def difference(comparison, kind):
    """The middle of a sentence: "12 % less time than", "no difference from"."""
    if not comparison.enough:
        return "too few rounds to compare with"
    if not comparison.differs:
        return "cannot be told from" if comparison.is_vague() else "no difference from"
    less, more, many_less, many_more = COMPARATIVES[kind]
    ratio = comparison.ratio
    if ratio in (0, math.inf):
        return f"0, {less}" if ratio == 0 else "more than the 0 of"
    if 1 / MANY < ratio < MANY:
        return f"{percent(ratio - 1)} {less if ratio < 1 else more}"
    return f"{multiple(max(ratio, quotient_of(ratio)))} {many_less if ratio < 1 else many_more}"


def quotient_of(ratio):
    return 1 / ratio if ratio else math.inf


def verdict(comparison, other, kind):
    return f"{difference(comparison, kind)} {other}"


def change(ratio):
    """A ratio as a change: 0.88 -> "−12 %", 12.3 -> "×12.3"."""
    if ratio >= MANY_TIMES:
        return f"×{multiple(ratio)}"
    text = f"{(ratio - 1) * 100:+.1f} %" if abs(ratio - 1) < 0.1 else f"{(ratio - 1) * 100:+.0f} %"
    return text.replace("-", "−")


def span(comparison):
    """The interval of a comparison as changes: "−12 % to −8 %"."""
    return f"{change(comparison.low)} to {change(comparison.high)}"


def duration(seconds):
    """How long something still takes: "3 min 20 s"."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 90:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def listing(names):
    """ "a, b and c" """
    names = list(names)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "nothing"
