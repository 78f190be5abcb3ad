#!/usr/bin/env python3
"""Builds the Debian packages and has lintian judge them: deb_test.py SOURCE FOLDER. The packages stay in FOLDER/deb."""
import re
import unittest

from recipe import FOLDER, SOURCE, header_version, need, output_of

DEBS = FOLDER / "deb"


class Deb(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        output_of(SOURCE / "packaging/deb", DEBS, "-j2")

    def field(self, package, name):
        (path,) = DEBS.glob(f"{package}_*.deb")
        return output_of("dpkg-deb", "--field", path, name).strip()

    def test_packages(self):
        found = {path.name.partition("_")[0] for path in DEBS.glob("*.deb")}
        self.assertEqual(found, {"hakmem", "libhakmem0", "libhakmem-dev", "hakmem-dbgsym", "libhakmem0-dbgsym"})
        self.assertTrue(self.field("hakmem", "Version").startswith(header_version()))

    def test_needs(self):
        """The library calls libc's functions without a version, so that an old libc will do (2.27 is the oldest on riscv64);
        the command does without Python."""
        libc = re.fullmatch(r"libc6 \(>= 2\.(\d+)[\d.]*\)", self.field("libhakmem0", "Depends"))
        self.assertLessEqual(int(libc[1]), 27)
        self.assertNotIn("python", self.field("hakmem", "Depends"))
        self.assertEqual(self.field("hakmem", "Recommends"), "python3")

    def test_lintian(self):
        """No error, no warning."""
        (changes,) = DEBS.glob("*.changes")
        self.assertEqual(output_of("lintian", "--allow-root", "--fail-on", "error,warning", changes), "")


if __name__ == "__main__":
    need("git", "dpkg-buildpackage", "dh", "lintian")
    unittest.main()
