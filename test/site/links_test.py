#!/usr/bin/env python3
"""The links of the Markdown files: links_test.py ROOT. Each leads to a file that is there, and to a heading that it has.
SPDX-License-Identifier: MIT"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

ROOT = pathlib.Path(sys.argv.pop()).resolve()


def nodes(node, *kinds):
    if isinstance(node, dict):
        if node.get("t") in kinds:
            yield node["c"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from nodes(part, *kinds)


def read(path):
    """The targets of a file's links, and the anchors of its headings, as GitHub makes them."""
    text = subprocess.run(["pandoc", "-f", "gfm", "-t", "json", path], capture_output=True, text=True, check=True).stdout
    blocks = json.loads(text)["blocks"]
    links = [content[2][0] for content in nodes(blocks, "Link", "Image")]
    return links, {content[1][0] for content in nodes(blocks, "Header")}


def broken(files):
    """What is wrong with the links of these files, a line each."""
    known = {path: read(path) for path in files}
    for path, (targets, _) in known.items():
        for target in targets:
            parts = urllib.parse.urlsplit(target)
            goal = (path.parent / parts.path).resolve() if parts.path else path
            if parts.scheme:
                if parts.scheme != "https":
                    yield f"{path.name}: {target} is neither a file nor https"
            elif not goal.exists():
                yield f"{path.name}: {target} is not there"
            elif parts.fragment and parts.fragment not in (known.get(goal) or read(goal))[1]:
                yield f"{path.name}: {target}: there is no such heading"


class Links(unittest.TestCase):
    def test_all(self):
        files = [file for pattern in ("*.md", "docs/*.md", "bindings/*/*.md", "test/*/*.md") for file in ROOT.glob(pattern)]
        self.assertGreater(len(files), 10)
        self.assertEqual(list(broken(files)), [])

    def test_what_is_wrong_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            one, other = pathlib.Path(folder) / "one.md", pathlib.Path(folder) / "other.md"
            one.write_text("# A `b.c`\n\n[a](other.md) [b](other.md#c-d) [c](#a-bc) [d](https://x.org)\n", encoding="utf-8")
            other.write_text("# C, d\n\n[e](none.md) ![f](one.md#none) [g](#none) [h](http://x.org)\n", encoding="utf-8")
            self.assertEqual([line.split()[1] for line in broken([one, other])],
                             ["none.md", "one.md#none:", "#none:", "http://x.org"])


if __name__ == "__main__":
    unittest.main()
