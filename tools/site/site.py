#!/usr/bin/env python3
"""site.py ROOT OUTPUT [MANUAL...]: the documentation below ROOT as plain HTML, made by pandoc of the Markdown files and by
mandoc and pandoc of the manual pages, with what search.js looks through. It needs no server and nothing from elsewhere.
SPDX-License-Identifier: MIT"""
import html
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent

# What the menu shows, in this order; a Markdown file that is not named comes under the last heading but one.
MENU = {
    "Use": ["README.md", "docs/recipes.md", "docs/answers.md", "docs/profiles.md", "docs/sites.md",
            "docs/misuse.md", "bindings/rust/README.md", "bindings/python/README.md"],
    "How it works": ["docs/design.md", "docs/learner.md", "docs/system-calls.md"],
    "Measured": ["docs/results.md", "docs/measuring.md", "docs/experiments.md", "docs/world.md"],
    "More": [],
    "Project": ["CONTRIBUTING.md", "CHANGELOG.md"],
}


def pandoc(text, *options):
    return subprocess.run(["pandoc", *options], input=text, capture_output=True, text=True, check=True).stdout


def plain(node):
    """The words of a part of pandoc's document."""
    if isinstance(node, list):
        return "".join(plain(part) for part in node)
    if not isinstance(node, dict):
        return ""
    kind, content = node.get("t"), node.get("c", [])
    if kind in ("Str", "Code", "CodeBlock"):
        return content if kind == "Str" else content[1]
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    return plain(content) + (" " if kind in ("Plain", "Para", "Header") else "")


def targets(node):
    """The targets of links and pictures, each as the list [target, title], in which it may be changed."""
    if isinstance(node, dict):
        if node.get("t") in ("Link", "Image"):
            yield node["c"][2]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from targets(part)


def is_manual(path):
    return path.suffix[1:].isdigit()


def read_manual(path):
    """A manual page as Markdown; what mandoc writes first is its title."""
    text = subprocess.run(["mandoc", "-T", "markdown", path], capture_output=True, text=True, check=True).stdout
    body = pandoc(text.partition("\n")[2], "-f", "markdown-smart", "-t", "gfm", "--shift-heading-level-by=1")
    return f"# {path.stem}({path.suffix[1:]})\n\n{body}"


class Page:
    """A file below ROOT (Markdown, or a source that a page links to), or a manual page."""

    def __init__(self, source, root):
        self.source, self.root = source, root
        self.name = os.path.relpath(source, root)
        self.address = self.name + ".html"
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".md":
            self.address = "index.html" if self.name == "README.md" else self.name.removesuffix(".md") + ".html"
        elif is_manual(source):
            self.address = f"man/{source.name}.html"
            text = read_manual(source)
        else:
            text = f"# {self.name}\n\n~~~~\n{text}~~~~\n"
        self.document = json.loads(pandoc(text, "-f", "gfm", "-t", "json"))
        heading = next(block for block in self.document["blocks"] if block["t"] == "Header")
        self.title = plain(heading).strip()
        self.top = "../" * self.address.count("/")

    def links(self):
        """Each link to a file of the repository: the target as in targets(), the parts of its address, and the file."""
        for target in targets(self.document["blocks"]):
            parts = urllib.parse.urlsplit(target[0])
            if parts.path and not parts.scheme:
                yield target, parts, (self.source.parent / parts.path).resolve()

    def lead_links(self, pages):
        """Makes links to files lead to their pages, or to the copy of a picture."""
        for target, parts, path in list(self.links()):
            address = os.path.relpath(path, self.root) if path.suffix == ".svg" else pages[path].address
            target[0] = self.top + urllib.parse.urlunsplit(parts._replace(path=address))

    def sections(self):
        """[address, page, heading, text] of each section, for the search."""
        found = []
        for block in self.document["blocks"]:
            if block["t"] == "Header" and block["c"][0] <= 3:
                anchor = "#" + block["c"][1][0] if found else ""
                found.append([self.address + anchor, self.title, plain(block).strip(), ""])
            elif found:
                found[-1][3] += plain(block)
        return [[*head, " ".join(text.split())] for *head, text in found]

    def write(self, output, menu):
        path = output / self.address
        path.parent.mkdir(parents=True, exist_ok=True)
        title = self.title if self.title == "hakmem" else self.title + " - hakmem"
        path.write_text(pandoc(json.dumps(self.document), "-f", "json", "-t", "html5", "--no-highlight", "--wrap=none",
                               "--toc", "--toc-depth=3", f"--template={HERE / 'page.html'}", f"--metadata=pagetitle:{title}",
                               f"--variable=top:{self.top}", f"--variable=menu:{menu}"), encoding="utf-8")


def menu_of(page, groups):
    lines = []
    for heading, entries in groups.items():
        lines.append(f"<h2>{heading}</h2><ul>")
        for entry in entries:
            here = ' aria-current="page"' if entry is page else ""
            lines.append(f'<li><a href="{page.top}{entry.address}"{here}>{html.escape(entry.title)}</a></li>')
        lines.append("</ul>")
    return "".join(lines)


def pages_of(root, manuals):
    """All pages by their files: the Markdown, the manual pages, and the sources that these link to."""
    found = sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("bindings/*/README.md")])
    pages = {path: Page(path, root) for path in [*found, *manuals]}
    for page in list(pages.values()):
        for target, _, path in page.links():
            if not path.is_file():
                sys.exit(f"site.py: {page.name} links to {target[0]}, which is no file")
            if path.suffix != ".svg" and path not in pages:
                pages[path] = Page(path, root)
    return pages


def menu_groups(root, pages):
    groups = {heading: [pages[root / name] for name in names if root / name in pages] for heading, names in MENU.items()}
    groups["Use"] += [page for path, page in pages.items() if is_manual(path)]
    named = [page for entries in groups.values() for page in entries]
    groups["More"] += [page for path, page in pages.items() if path.suffix == ".md" and page not in named]
    return {heading: entries for heading, entries in groups.items() if entries}


def copy_file(path, copy):
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)


def main(root, output, *manuals):
    root, output = pathlib.Path(root).resolve(), pathlib.Path(output)
    pages = pages_of(root, [pathlib.Path(manual).resolve() for manual in manuals])
    shutil.rmtree(output, ignore_errors=True)
    for page in pages.values():
        for path in [path for *_, path in page.links() if path.suffix == ".svg"]:
            copy_file(path, output / path.relative_to(root))
        page.lead_links(pages)
    groups = menu_groups(root, pages)
    for page in pages.values():
        page.write(output, menu_of(page, groups))
    index = [section for entries in groups.values() for page in entries for section in page.sections()]
    (output / "index.js").write_text("const SECTIONS = " + json.dumps(index, ensure_ascii=False) + ";\n", encoding="utf-8")
    for name in ("style.css", "search.js"):
        copy_file(HERE / name, output / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
