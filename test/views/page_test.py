#!/usr/bin/env python3
"""The flame graph in a real browser: page_test.py HAKMEM HOLDER [FOLDER]; pictures are kept in FOLDER to be looked at.
It is drawn without an error, in light and dark, wide and narrow, needs nothing from elsewhere, and answers to clicks,
keys, searches and switches.
SPDX-License-Identifier: MIT"""
import html
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import browser

ARGUMENTS = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
TOOL, HOLDER, *KEEP = ARGUMENTS

# Uses the page as a reader would, and writes what it sees where --dump-dom shows it.
PROBE = r"""
addEventListener('load', () => {
    const seen = {};
    const bars = () => Array.from(document.querySelectorAll('.bar'));
    const bar = name => bars().find(one => one.place.name === name);
    const summary = () => document.getElementById('summary').textContent;
    const choose = id => document.getElementById(id).click();
    const key = name => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
    const fresh = () => bars().map(one => one.place.name);
    seen.title = document.title;
    seen.bars = fresh();
    seen.summary = summary();
    seen.wide = document.documentElement.scrollWidth > innerWidth;
    const edge = graph.getBoundingClientRect().right + 1;
    seen.outside = bars().filter(one => one.getBoundingClientRect().right > edge).length;
    seen.whole = bar('main').offsetWidth / graph.clientWidth;
    seen.share = bar('session_make').offsetWidth / graph.clientWidth;
    const rows = Array.from(document.querySelectorAll('#owners tbody tr'));
    seen.owners = rows.map(row => row.innerText.replace(/\s+/g, ' '));
    bar('session_make').dispatchEvent(new MouseEvent('mousemove', {bubbles: true, clientX: 50, clientY: 50}));
    seen.tip = document.getElementById('tip').innerText;
    bar('session_make').click();
    seen.zoomed = bar('session_make').offsetWidth / graph.clientWidth;
    seen.zoomSummary = summary();
    seen.focus = document.activeElement.place.name;
    key('ArrowDown');
    seen.down = document.activeElement.place.name;
    key('ArrowUp');
    key('ArrowUp');
    key('Enter');
    seen.up = document.activeElement.place.name;
    key('Escape');
    seen.back = bar('session_make').offsetWidth / graph.clientWidth;
    document.getElementById('search').value = 'TABLE_';
    document.getElementById('search').dispatchEvent(new Event('input'));
    seen.found = bars().filter(one => one.classList.contains('found')).map(one => one.place.name);
    seen.searchSummary = summary();
    key('Escape');
    document.querySelector('input[value=peak]').click();
    seen.peak = summary();
    document.querySelector('input[value=live]').click();
    choose('threads');
    seen.threads = fresh().filter(name => name.startsWith('thread'));
    choose('threads');
    choose('reversed');
    seen.reversed = bars().filter(one => one.getAttribute('aria-level') === '2').map(one => one.place.name);
    choose('reversed');
    seen.wrapper = bar('xmalloc').classList.contains('wrapper');
    seen.paper = getComputedStyle(document.body).backgroundColor;
    document.body.dataset.seen = JSON.stringify(seen);
});
"""


class Page(unittest.TestCase):
    seen = {}

    @classmethod
    def setUpClass(cls):
        browser.need()
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-page-")
        cls.addClassCleanup(keeper.cleanup)
        cls.directory = pathlib.Path(keeper.name)
        subprocess.run([HOLDER, cls.directory / "record"], check=True)
        subprocess.run([TOOL, "heap", cls.directory / "record", "-o", cls.directory / "heap.html"], check=True,
                       env={**os.environ, "DEBUGINFOD_URLS": ""})
        cls.html = (cls.directory / "heap.html").read_text(encoding="utf-8")
        probed = cls.html.replace("</body>", f"<script>{PROBE}</script></body>")
        (cls.directory / "probed.html").write_text(probed, encoding="utf-8")

    def open(self, name, *options, size=(1300, 800), dark=False):
        """The browser's output; it must have nothing to say of errors."""
        text, errors = browser.visit(self.directory / name, "--virtual-time-budget=5000",
                                     f"--blink-settings=preferredColorScheme={0 if dark else 1}", *options, size=size)
        self.assertEqual(errors, [])
        return text

    def look(self, **options):
        """What the probe saw, once for each kind of window, since a browser takes a second or two."""
        kind = str(options)
        if kind not in self.seen:
            text = re.search(r'data-seen="([^"]*)"', self.open("probed.html", "--dump-dom", **options))
            self.assertTrue(text, "the probe did not come to its end")
            self.seen[kind] = json.loads(html.unescape(text.group(1)))
        return self.seen[kind]

    def test_nothing_from_elsewhere(self):
        self.assertNotRegex(self.html, r'(?i)https?://|src=|<link|@import|url\(')

    def test_bars(self):
        seen = self.look()
        self.assertEqual(seen["title"], "Heap of holder")
        self.assertEqual(seen["summary"], "104.0 MiB in live blocks")
        self.assertLessEqual({"all", "main", "session_make", "xmalloc", "buffer_make"}, set(seen["bars"]))
        self.assertEqual((round(seen["whole"], 2), round(seen["share"], 2), seen["outside"]), (1, 0.38, 0))
        self.assertTrue(seen["wrapper"])

    def test_zoom_and_keys(self):
        seen = self.look()
        self.assertEqual(round(seen["zoomed"], 2), 1)
        self.assertIn("shown: 40.0 MiB (38.5 %) of session_make", seen["zoomSummary"])
        self.assertEqual((seen["focus"], seen["down"], seen["up"]), ("session_make", "xmalloc", "main"))
        self.assertEqual(round(seen["back"], 2), 0.38)

    def test_search(self):
        seen = self.look()
        self.assertEqual(seen["found"], ["table_fill"])
        self.assertIn("found: 30.0 MiB (28.8 %)", seen["searchSummary"])

    def test_switches(self):
        seen = self.look()
        self.assertEqual(seen["peak"], "208.0 MiB in live blocks when the process had most")
        self.assertEqual(sorted(seen["threads"]), ["thread 11", "thread 12"])
        self.assertEqual(sorted(seen["reversed"]), ["buffer_make", "burst_make", "entry_make", "request_make", "session_make"])

    def test_words(self):
        seen = self.look()
        self.assertRegex(seen["tip"], r"(?s)^session_make\s+40\.0 MiB, 38\.5 %\s+holder\.c:\d+, views_holder\s+"
                                      r"oldest live block: 57 s$")
        self.assertRegex(seen["owners"][0], r"^40\.0 MiB 38\.5 % 57 s session_make holder\.c:\d+, views_holder$")

    def test_widths_and_colours(self):
        self.assertEqual(self.look()["paper"], "rgb(253, 252, 250)")
        self.assertEqual(self.look(dark=True)["paper"], "rgb(22, 24, 28)")
        for size in ((1300, 800), (500, 900)):
            self.assertFalse(self.look(size=size)["wide"], size)

    def test_pictures(self):
        """There is something in them; they are to be looked at, in FOLDER."""
        folder = KEEP[0] if KEEP else self.directory
        for name, options in {"light": {}, "dark": {"dark": True}, "narrow": {"size": (500, 900)}}.items():
            path = folder / f"heap-{name}.png"
            self.open("heap.html", f"--screenshot={path}", **options)
            self.assertGreater(path.stat().st_size, 10000)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
