#!/usr/bin/env python3
"""The documentation as web pages, from files and in a real browser: site_test.py ROOT MANUALS, a folder; with the
variable KEEP, pictures are kept in that folder to be looked at.
SPDX-License-Identifier: MIT"""
import html
import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

ROOT, MANUALS = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
BUILDER = ROOT / "tools/site/site.py"
sys.path.insert(0, str(ROOT / "test/support"))
import browser

# Uses a page as a reader would, and writes what it sees where --dump-dom shows it.
PROBE = r"""
addEventListener('load', () => {
    const seen = {};
    const field = document.getElementById('search');
    const found = document.getElementById('found');
    const key = (name, at) => at.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
    const results = text => {
        field.value = text;
        field.dispatchEvent(new Event('input'));
        return Array.from(found.querySelectorAll('a')).map(link => link.getAttribute('href') + ' ' + link.innerText);
    };
    const overflow = () => document.documentElement.scrollWidth - innerWidth;
    seen.paper = getComputedStyle(document.body).backgroundColor;
    seen.overflow = overflow();
    seen.menu = document.getElementById('menu').getBoundingClientRect().top < innerHeight;
    seen.toMenu = document.querySelector('.to-menu').offsetWidth > 0;
    const target = document.querySelector(':target');
    seen.target = target && [target.getBoundingClientRect().top - document.querySelector('header').offsetHeight,
                             innerHeight - target.getBoundingClientRect().bottom];
    seen.hidden = found.hidden;
    key('/', document.body);
    seen.focus = document.activeElement === field;
    seen.sandbox = results('seccomp SANDBOX');
    seen.marked = new Set(Array.from(found.querySelectorAll('mark')).map(mark => mark.textContent.toLowerCase())).size;
    seen.shown = !found.hidden;
    seen.foundOverflow = overflow();
    seen.odd = results('(a[0] .*');
    seen.nothing = results('qwertzuiop');
    seen.nothingText = found.innerText;
    results('HAKMEM_HARDEN');
    let followed = null;
    found.addEventListener('click', event => { event.preventDefault(); followed = event.target.closest('a').href; });
    key('Enter', field);
    seen.followed = followed;
    results('learner');
    key('Escape', field);
    seen.closed = found.hidden;
    document.body.dataset.seen = JSON.stringify(seen);
});
"""


class Reader(html.parser.HTMLParser):
    """The links of a page, what it loads, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif "src" in attributes or "href" in attributes:
            self.loads.append(attributes.get("src") or attributes["href"])


def build(root, output, *manuals):
    command = [sys.executable, "-B", BUILDER, root, output, *manuals]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Site(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        browser.need()
        keeper = tempfile.TemporaryDirectory(prefix="hakmem-site-")
        cls.addClassCleanup(keeper.cleanup)
        cls.site = pathlib.Path(keeper.name) / "site"
        result = build(ROOT, cls.site, *MANUALS.iterdir())
        if result.returncode != 0:
            raise AssertionError(result.stderr)
        cls.pages = {path: Reader(path.read_text(encoding="utf-8")) for path in cls.site.rglob("*.html")}
        cls.seen = {}

    def show(self, name, *options, size=(1300, 800), dark=False):
        """What the browser writes; it must have nothing to say of errors."""
        text, errors = browser.visit(self.site / name, "--virtual-time-budget=5000",
                                     f"--blink-settings=preferredColorScheme={0 if dark else 1}", *options, size=size)
        self.assertEqual(errors, [])
        return text

    def look(self, name, **how):
        """What the probe saw on that page, in that kind of window: asked for once, since a browser takes a second or two."""
        kind = f"{name} {how}"
        if kind not in self.seen:
            path, _, anchor = name.partition("#")
            page = self.site / path
            probed = page.with_name("probed-" + page.name)
            probed.write_text(page.read_text(encoding="utf-8").replace("</body>", f"<script>{PROBE}</script></body>"),
                              encoding="utf-8")
            output = self.show(f"{probed.relative_to(self.site)}#{anchor}", "--dump-dom", **how)
            text = re.search(r'data-seen="([^"]*)"', output)
            self.assertTrue(text, "the probe did not come to its end")
            self.seen[kind] = json.loads(html.unescape(text.group(1)))
        return self.seen[kind]

    def test_every_link(self):
        for path, page in self.pages.items():
            for target in [*page.links, *page.loads]:
                parts = urllib.parse.urlsplit(target)
                if parts.scheme:
                    continue
                goal = (path.parent / parts.path).resolve() if parts.path else path
                self.assertTrue(goal.is_file(), f"{path}: {target}")
                if parts.fragment:
                    self.assertIn(parts.fragment, self.pages[goal].anchors, f"{path}: {target}")

    def test_nothing_from_elsewhere(self):
        for path, page in self.pages.items():
            self.assertEqual([load for load in page.loads if urllib.parse.urlsplit(load).scheme], [], path)
        for name in ("style.css", "search.js"):
            self.assertNotRegex((self.site / name).read_text(encoding="utf-8"), r"https?:|@import|url\(|fetch")

    def test_all_that_is_written_is_in_the_menu(self):
        menu = {(self.site / link).resolve() for link in self.pages[self.site / "index.html"].links if "#" not in link}
        for source in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bindings/*/README.md")]:
            name = source.relative_to(ROOT).with_suffix(".html")
            self.assertIn(self.site / ("index.html" if str(name) == "README.html" else name), menu)
        for manual in MANUALS.iterdir():
            self.assertIn(self.site / "man" / (manual.name + ".html"), menu)

    def test_manuals_keep_their_dashes(self):
        self.assertIn("<strong>--version</strong>", (self.site / "man/hakmem.1.html").read_text(encoding="utf-8"))

    def test_a_broken_link_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "README.md").write_text("# One\n\n[two](docs/two.md)\n", encoding="utf-8")
            result = build(root, root / "site")
            self.assertEqual((result.returncode, result.stderr),
                             (1, "site.py: README.md links to docs/two.md, which is no file\n"))

    def test_search(self):
        seen = self.look("docs/design.html")
        self.assertTrue(seen["hidden"] and seen["focus"] and seen["shown"] and seen["closed"])
        self.assertTrue(any(line.startswith("../docs/system-calls.html") for line in seen["sandbox"]), seen["sandbox"])
        self.assertGreaterEqual(seen["marked"], 2)
        self.assertEqual((seen["nothing"], seen["nothingText"], seen["odd"]), ([], "Nothing found.", []))
        address, _, anchor = urllib.parse.unquote(seen["followed"]).removeprefix("file://").partition("#")
        self.assertIn(anchor or None, self.pages[pathlib.Path(address)].anchors)

    def test_a_link_to_a_heading_shows_it(self):
        above, below = self.look("docs/design.html#memory-goes-back")["target"]
        self.assertGreaterEqual(above, 0)
        self.assertGreater(below, 0)

    def test_widths_and_colours(self):
        self.assertEqual(self.look("index.html")["paper"], "rgb(253, 252, 250)")
        self.assertEqual(self.look("index.html", dark=True)["paper"], "rgb(22, 24, 28)")
        for name in ("index.html", "docs/results.html", "docs/design.html", "man/hakmem.1.html"):
            wide, narrow = self.look(name), self.look(name, size=(500, 900))
            self.assertLessEqual(max(wide["overflow"], narrow["overflow"], narrow["foundOverflow"]), 0, name)
            self.assertEqual((wide["menu"], wide["toMenu"], narrow["toMenu"]), (True, False, True), name)

    def test_pictures(self):
        """There is something in them; they are to be looked at, in KEEP."""
        folder = pathlib.Path(os.environ.get("KEEP", self.site))
        for name, how in {"light": {}, "dark": {"dark": True}, "narrow": {"size": (500, 900)}}.items():
            path = folder / f"site-{name}.png"
            self.show("index.html", f"--screenshot={path}", **how)
            self.assertGreater(path.stat().st_size, 10000)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
