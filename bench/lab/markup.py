"""HTML and SVG as nested calls: tag("p", "a < b", class_="note") -> <p class="note">a &lt; b</p>, well-formed as XML,
too.
SPDX-License-Identifier: MIT"""
from html import escape


class Markup(str):
    """Text that is markup already, and is not escaped again."""


def number(value):
    """As few digits as a drawing needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def tag(name, /, *children, **attributes):
    """Children: text (escaped), markup, None, or lists of those. Attributes: class_ -> class, stroke_width ->
    stroke-width; one that is None is left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"')
    inner = content(children)
    # Only these are empty in HTML; any other one needs its end tag there.
    if not inner and name in ("meta", "br", "path", "line", "rect", "circle", "polygon", "polyline", "use"):
        return Markup("".join(parts) + "/>")
    return Markup("".join(parts) + f">{inner}</{name}>")


def content(children):
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, (list, tuple)):
            parts.append(content(child))
        else:
            parts.append(child if isinstance(child, Markup) else escape(str(child), quote=False))
    return Markup("".join(parts))
