#!/usr/bin/env python3
"""What the Markdown files name is there: claims_test.py ROOT HAKMEM. Files of the sources, HAKMEM_ variables, and commands
with their options, as far as they stand in `such type` or in blocks of code. And the figures of the README are those of
docs/results.md.
SPDX-License-Identifier: MIT"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT, TOOL = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
FOLDERS = ("src", "command", "include", "bench", "test", "tools", "packaging", "cmake", "bindings", "docs", ".ci")
OPTIONS = (ROOT / "src/system/options.def").read_text(encoding="utf-8")
# The variable with all options in it, and what is written for any of them.
VARIABLES = {*re.findall(r"^[XE]\(([A-Z0-9_]+),", OPTIONS, re.M), "CONF", ""}
HELP = {}


def code_of(text):
    """What is code: lines of blocks, and what stands in backticks, which may go over the end of a line."""
    blocks = re.findall(r"^```.*?^```|^(?: {4}.*\n)+", text, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", rest)


def help_of(command):
    if command not in HELP:
        HELP[command] = subprocess.run([TOOL, command, "--help"], capture_output=True, text=True, check=False).stdout
    return HELP[command]


def wrong(text):
    for code in code_of(text):
        for word in re.findall(r"[\w./*-]+", code):
            if word.split("/")[0] in FOLDERS and "/" in word and not list(ROOT.glob(word.strip("/"))):
                yield f"{word}: there is no such file"
        for name in re.findall(r"\bHAKMEM_([A-Z0-9_]*)", code):
            if name not in VARIABLES:
                yield f"HAKMEM_{name}: there is no such option"
        for command, rest in re.findall(r"(?<![\w-])hakmem (\w+)(.*)", code):
            for option in re.findall(r" (--[a-z-]+)", re.split(r" -- | #", rest)[0]):
                if option not in help_of(command):
                    yield f"hakmem {command} {option}: there is no such option"


def rows_of(text):
    """{first cell: the others} of the first table in the text."""
    lines = text.partition("\n|")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    return {name: others for name, *others in cells}


class Claims(unittest.TestCase):
    def test_all(self):
        files = [file for pattern in ("*.md", "docs/*.md", "bindings/*/*.md", "test/*/*.md") for file in ROOT.glob(pattern)]
        found = [f"{file.relative_to(ROOT)}: {fault}" for file in files for fault in wrong(file.read_text(encoding="utf-8"))]
        self.assertEqual(found, [])
        self.assertGreater(len(HELP), 3)

    def test_what_is_wrong_is_found(self):
        text = ("`src/none.c`, `src/*/class.h`, `HAKMEM_NONE=1`, `HAKMEM_STATS`\n\n```\n$ hakmem run --none -- ls --color\n"
                "hakmem heap --value peak 1\n```\n\n    test/none.py\n")
        self.assertEqual(sorted(fault.split(":")[0] for fault in wrong(text)),
                         ["HAKMEM_NONE", "hakmem run --none", "src/none.c", "test/none.py"])

    def test_rows_of_the_readme(self):
        readme = rows_of((ROOT / "README.md").read_text(encoding="utf-8").split("## Measured")[1])
        results = (ROOT / "docs/results.md").read_text(encoding="utf-8")
        tables = [rows_of(results.split(f"**{title}**")[1]) for title in ("Time", "Memory")]
        rows = list(readme.items())[2:]
        self.assertEqual(len(rows), 10)
        for name, cells in rows:
            for table, (glibc, best) in zip(tables, (cells[:2], cells[2:])):
                others = table[name][1:-1]
                self.assertEqual(glibc, others[0], name)
                self.assertEqual(re.search(r"[\d.]+", best).group(), min(others, key=float), name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
