#!/usr/bin/env python3
"""Tests of the source tarball and its version: dist_test.py SOURCE FOLDER."""
import pathlib
import re
import tarfile
import tempfile
import unittest

from recipe import SOURCE, header_version, need, output_of

LITERALS = {
    "packaging/alpine/APKBUILD": r"^pkgver=(.*)$",
    "bindings/rust/Cargo.toml": r'^version = "(.*)"$',
    "bindings/python/pyproject.toml": r'^version = "(.*)"$',
}
TOOLS = ("packaging/version", "packaging/dist", "include/hakmem.h", "LICENSE")


class Dist(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def repository(self):
        """A small repository with what a version and a tarball are made from."""
        root = self.directory / "repository"
        for name in TOOLS:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((SOURCE / name).read_bytes())
            (root / name).chmod((SOURCE / name).stat().st_mode)
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "first")
        return root

    def git(self, *words):
        return output_of("git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words,
                         cwd=self.directory / "repository")

    def dist(self, root, name, **options):
        return pathlib.Path(output_of(root / "packaging/dist", self.directory / name, **options).strip())

    def test_release(self):
        """A tag gives the plain version, and the tarball builds the same bytes wherever and however it is made."""
        root = self.repository()
        self.git("tag", f"v{header_version()}")
        first = self.dist(root, "first")
        self.assertEqual(first.name, f"hakmem-{header_version()}.tar.gz")
        again = self.directory / "again"
        output_of("git", "clone", "--quiet", root, again)
        second = self.dist(again, "second", environment={"TZ": "Asia/Tokyo"}, umask=0o077)
        self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_commit(self):
        """Any other commit is named, and sorts before the release."""
        root = self.repository()
        version = output_of(root / "packaging/version").strip()
        self.assertRegex(version, rf"^{header_version()}~git\d{{8}}\.[0-9a-f]{{10}}$")

    def test_changes(self):
        """What is not committed is in the tarball, whose name says so, and the index of the user is left alone."""
        root = self.repository()
        (root / "LICENSE").write_text("changed", encoding="utf-8")
        (root / "new").write_text("new", encoding="utf-8")
        before = self.git("status", "--porcelain")
        tarball = self.dist(root, "changes")
        self.assertTrue(tarball.name.endswith("+changes.tar.gz"), tarball.name)
        with tarfile.open(tarball) as files:
            top = tarball.name[:-len(".tar.gz")]
            self.assertEqual(files.extractfile(f"{top}/LICENSE").read(), b"changed")
            self.assertEqual(files.extractfile(f"{top}/new").read(), b"new")
        self.assertEqual(self.git("status", "--porcelain"), before)

    def test_wrong_tag(self):
        root = self.repository()
        self.git("tag", "v99.0.0")
        with self.assertRaisesRegex(AssertionError, "v99.0.0, but include/hakmem.h says"):
            self.dist(root, "wrong")

    def test_literals(self):
        """Recipes in whose form a version has to stand in writing have the header's."""
        for name, pattern in LITERALS.items():
            found = re.findall(pattern, (SOURCE / name).read_text(encoding="utf-8"), re.MULTILINE)
            self.assertEqual(found, [header_version()], name)

    def test_sources(self):
        """The tarball of this tree has the version of the header and no product."""
        tarball = self.dist(SOURCE, "sources")
        with tarfile.open(tarball) as files:
            names = {name.partition("/")[2] for name in files.getnames()}
        self.assertIn(header_version(), tarball.name)
        self.assertLessEqual({"CMakeLists.txt", "src/all.c", "packaging/debian/rules"}, names)
        self.assertEqual([name for name in names if name.startswith("build")], [])


if __name__ == "__main__":
    need("git")
    unittest.main()
