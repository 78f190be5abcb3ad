#!/usr/bin/env python3
"""Builds the rpm packages, installs them below a root of their own and takes them off: rpm_test.py SOURCE FOLDER.

With rpm as Debian has it, which knows no other packages: what they need is not checked, nor are Fedora's own macros.
"""
import os
import pathlib
import tempfile
import unittest

from recipe import FOLDER, SOURCE, header_version, need, output_of, skip

RPMS = FOLDER / "rpm"
# As Fedora compiles: the library must not come to need functions that only glibc has.
FLAGS = "-O2 -g -Wp,-U_FORTIFY_SOURCE,-D_FORTIFY_SOURCE=2 -fstack-protector-strong"


class Rpm(unittest.TestCase):
    def test_install_and_remove(self):
        output_of(SOURCE / "packaging/rpm", RPMS, "--nodeps", "--define", f"optflags {FLAGS}")
        paths = [path for path in RPMS.glob("*.rpm") if not path.name.endswith(".src.rpm") and "-debug" not in path.name]
        names = {output_of("rpm", "--query", "--queryformat", "%{NAME}", "--package", path) for path in paths}
        self.assertEqual(names, {"hakmem", "hakmem-libs", "hakmem-devel"})
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            rpm = ("rpm", "--root", root, "--nodeps", "--noscripts")
            output_of(*rpm, "--install", *paths)
            tool = root / "usr/bin/hakmem"
            self.assertIn(header_version(), output_of(tool, "--version"))
            self.assertIn("statistics", output_of(tool, "run", "--stats", "--", "true"))
            self.assertTrue((root / "usr/src/hakmem/hakmem.c").exists())
            output_of(*rpm, "--erase", *names)
            left = [path for path in root.rglob("*") if not path.is_dir() or "hakmem" in path.name]
            self.assertEqual([path for path in left if "rpmdb" not in str(path)], [])


if __name__ == "__main__":
    need("git", "rpmbuild", "rpm")
    if os.geteuid() != 0:
        skip("only root can install below another root with rpm")
    unittest.main()
