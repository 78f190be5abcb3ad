#!/usr/bin/env python3
"""glance.py ROOT [--check]: writes docs/glance.svg, the picture of the README, from the first tables of time and memory in
docs/results.md: how much of either the other allocators take over all rows, hakmem = 1. --check: is it up to date?
SPDX-License-Identifier: MIT"""
import pathlib
import sys

TABLES = ("Time", "Memory")
# In pixels. Narrow, with large letters, since the picture is also looked at on phones.
WIDTH, PANEL, NAME, BAR, ROW, HEAD, MARGIN = 610, 305, 122, 112, 27, 64, 12
STYLE = """
:root { --paper: #fdfcfa; --ink: #22242a; --soft: #5d626d; --bar: #b9bfc9; --own: #d9480f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e2e4e8; --soft: #9aa0ab; --bar: #4b515d; --own: #f0763f; }
}
svg { background: var(--paper); }
text { font: 16px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.title { font-size: 18px; font-weight: 700; } .soft { font-size: 14px; fill: var(--soft); }
.own { font-weight: 700; } rect { fill: var(--bar); } rect.own { fill: var(--own); }
"""


def means(text, title):
    """{allocator: geometric mean} of the first table behind the title, with hakmem as 1."""
    table = text.split(f"**{title}**", 1)[1]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines() if line.startswith("|")]
    names = next(row for row in rows if "hakmem" in row)
    others = names[names.index("hakmem") + 1:]
    # Behind the title of the row, and hakmem's own cell, which is empty, as that of the verdict is.
    values = next(row for row in rows if row[0] == "geometric mean")[2:]
    return {"hakmem": 1.0} | {name: float(value) for name, value in zip(others, values) if value}


def panel(title, values, left, longest):
    parts = [f'<text x="{left}" y="24" class="title">{title}</text>',
             f'<text x="{left}" y="45" class="soft">hakmem = 1; shorter is better</text>']
    for index, (name, value) in enumerate(values.items()):
        top, own = HEAD + index * ROW, ' class="own"' if name == "hakmem" else ""
        width = BAR * value / longest
        parts += [f'<text x="{left}" y="{top + 15}"{own}>{name}</text>',
                  f'<rect x="{left + NAME}" y="{top}" width="{width:.1f}" height="19" rx="2"{own}/>',
                  f'<text x="{left + NAME + width + 8:.1f}" y="{top + 15}"{own}>{value:.2f}</text>']
    return parts


def picture(text):
    panels = [means(text, title) for title in TABLES]
    longest = max(value for values in panels for value in values.values())
    width, height = WIDTH + 2 * MARGIN, HEAD + ROW * len(panels[0]) + MARGIN
    label = "; ".join(f"{title}: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items())
                      for title, values in zip(TABLES, panels))
    parts = [part for index, values in enumerate(panels) for part in panel(TABLES[index], values, index * PANEL, longest)]
    return "\n".join([f'<svg width="{width}" height="{height}" viewBox="{-MARGIN} 0 {width} {height}" role="img" '
                      f'aria-label="{label}" xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>', *parts, "</svg>\n"])


def main(root, check=None):
    docs = pathlib.Path(root) / "docs"
    drawn, path = picture((docs / "results.md").read_text(encoding="utf-8")), docs / "glance.svg"
    if check is None:
        path.write_text(drawn, encoding="utf-8")
    elif drawn != path.read_text(encoding="utf-8"):
        sys.exit("glance.py: docs/glance.svg is not what docs/results.md says; to write it: tools/glance.py .")


if __name__ == "__main__":
    main(*sys.argv[1:])
