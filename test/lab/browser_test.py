#!/usr/bin/env python3
"""The report in a real browser, light and dark, wide and narrow: no errors, nothing cut off, and a picture with
something in it. With a folder as argument, the pictures are kept there to be looked at.
SPDX-License-Identifier: MIT"""
import json
import os
import pathlib
import re
import struct
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import browser
import fixture
import page
import summary

KEEP = sys.argv.pop() if len(sys.argv) > 1 and os.path.isdir(sys.argv[-1]) else None

# Looks at the page when it is laid out, and writes what it finds where --dump-dom shows it.
PROBE = """
window.addEventListener('load', function () {
    var problems = [];
    document.querySelectorAll('svg.chart').forEach(function (chart) {
        var box = chart.viewBox.baseVal, label = chart.getAttribute('aria-label');
        chart.querySelectorAll('text').forEach(function (text) {
            var place = text.getBBox();
            if (place.x + place.width > box.width + 3 || place.x + 3 < 0 || place.y + place.height > box.height + 3) {
                var at = [place.x, place.y, place.width, place.height];
                problems.push('cut off in "' + label + '": ' + text.textContent + ' at ' + at);
            }
        });
        var texts = Array.from(chart.querySelectorAll('text'));
        texts.forEach(function (one, index) {
            texts.slice(index + 1).forEach(function (other) {
                var a = one.getBBox(), b = other.getBBox();
                var wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
                var high = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
                if (wide > 2 && high > 4) {
                    problems.push('one on the other in "' + label + '": ' + one.textContent + ', ' + other.textContent);
                }
            });
        });
        chart.querySelectorAll('rect, circle, polygon').forEach(function (shape) {
            var place = shape.getBBox();
            if (!isFinite(place.x) || place.width === 0) {
                problems.push('no shape in "' + label + '": ' + shape.outerHTML);
            }
        });
    });
    if (document.documentElement.scrollWidth > innerWidth) {
        problems.push('the page is wider than the window: ' + document.documentElement.scrollWidth);
    }
    document.querySelectorAll('.scroll').forEach(function (box) {
        if (innerWidth >= 1280 && box.offsetParent && box.scrollWidth > box.clientWidth) {
            problems.push('a table is cut off: ' + box.scrollWidth + ' of ' + box.clientWidth);
        }
    });
    document.getElementById('theme').click();
    var theme = document.documentElement.dataset.theme;
    document.querySelector('.chart .mark').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
    var tip = document.getElementById('tip').textContent;
    document.body.dataset.found = JSON.stringify({problems: problems, theme: theme, tip: tip,
                                                  paper: getComputedStyle(document.body).backgroundColor});
});
"""


class Browser(unittest.TestCase):
    seen = {}

    @classmethod
    def setUpClass(cls):
        browser.need()
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-browser-")
        cls.addClassCleanup(keeper.cleanup)
        cls.folder = keeper.name
        results = fixture.results()
        summaries = summary.summarize(results)
        cls.html = page.page(summaries, results)
        cls.write("report.html", cls.html)
        cls.write("probed.html", cls.html.replace("</body>", f"<script>{PROBE}</script></body>"))
        cls.write("overview.svg", page.overview_picture(summaries, results))

    @classmethod
    def write(cls, name, text):
        with open(os.path.join(cls.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def open(self, name, *options, size=(1360, 1200)):
        """The browser's output and what it said of errors."""
        return browser.visit(pathlib.Path(self.folder, name), *options, size=size)

    def found(self, size):
        """What the probe found in a window of that size; looked for once, since a browser takes a second or two."""
        if size not in self.seen:
            self.seen[size] = self.look(size)
        return self.seen[size]

    def look(self, size):
        dom, errors = self.open("probed.html", "--dump-dom", size=size)
        self.assertEqual(errors, [])
        self.assertIn('data-ready="yes"', dom)
        text = re.search(r'data-found="([^"]*)"', dom).group(1)
        return json.loads(text.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    def test_wide_and_narrow(self):
        for size in ((1360, 1200), (1280, 900), (1000, 800), (500, 900)):
            self.assertEqual(self.found(size)["problems"], [], size)

    def test_scripts_work(self):
        found = self.found((1360, 1200))
        self.assertEqual((found["theme"], found["paper"]), ("dark", "rgb(22, 24, 28)"))
        self.assertIn("than", found["tip"])

    def picture(self, name, saved, size):
        """Large enough to be looked at where it is kept, and small for a test."""
        path = os.path.join(KEEP or self.folder, saved)
        _, errors = self.open(name, f"--screenshot={path}", size=(1360, 3000) if KEEP else size)
        self.assertEqual(errors, [])
        return png_read(path)

    def test_pictures(self):
        """The paper has its colour, and so have the marks of the first chart."""
        for theme, paper, mimalloc in (("light", (253, 252, 250), (28, 115, 199)),
                                       ("dark", (22, 24, 28), (98, 174, 245))):
            self.write(f"{theme}.html", self.html.replace('<html lang="en"', f'<html lang="en" data-theme="{theme}"'))
            width, height, pixels = self.picture(f"{theme}.html", f"{theme}.png", (1000, 700))
            self.assertEqual(pixels[0][0], paper)
            counts = {}
            for line in pixels:
                for colour in line:
                    counts[colour] = counts.get(colour, 0) + 1
            self.assertGreater(len(counts), 200)
            self.assertGreater(counts[paper], 0.3 * width * height)
            self.assertTrue(mimalloc in counts, "no mark in mimalloc's colour")

    def test_overview_picture(self):
        _, _, pixels = self.picture("overview.svg", "overview.png", (1040, 200))
        self.assertGreater(len({colour for line in pixels for colour in line}), 50)


def png_read(path):
    """(width, height, rows of (r, g, b)) of a PNG file of 8-bit colours, as chromium writes them."""
    with open(path, "rb") as file:
        data = file.read()
    place, packed = 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place:place + 8])
        chunk = data[place + 8:place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", chunk[:10])
        packed += chunk if kind == b"IDAT" else b""
        place += 12 + length
    assert depth == 8 and colours in (2, 6)
    size = 3 if colours == 2 else 4
    plain = zlib.decompress(packed)
    last, rows = bytearray(width * size), []
    for y in range(height):
        start = y * (width * size + 1)
        last = unfilter(plain[start], bytearray(plain[start + 1:start + 1 + width * size]), last, size)
        rows.append([tuple(last[x:x + 3]) for x in range(0, width * size, size)])
    return width, height, rows


def unfilter(kind, line, above, size):
    for i in range(len(line)):
        left = line[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        if kind == 1:
            line[i] = (line[i] + left) & 255
        elif kind == 2:
            line[i] = (line[i] + above[i]) & 255
        elif kind == 3:
            line[i] = (line[i] + (left + above[i]) // 2) & 255
        elif kind == 4:
            guess = left + above[i] - corner
            distances = abs(guess - left), abs(guess - above[i]), abs(guess - corner)
            line[i] = (line[i] + (left, above[i], corner)[distances.index(min(distances))]) & 255
    return line


if __name__ == "__main__":
    unittest.main()
