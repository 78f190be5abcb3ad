#!/usr/bin/env python3
"""Alpine's recipe, with a stand-in for its abuild: apk_test.py SOURCE FOLDER. What only abuild does is not tested: what packages
need, signatures, the repository."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from recipe import FOLDER, SOURCE, header_version, need, output_of

APKS = FOLDER / "apk"


class Apk(unittest.TestCase):
    def test_without_abuild_one_line_says_so(self):
        if shutil.which("abuild"):
            self.skipTest("there is an abuild here")
        done = subprocess.run([SOURCE / "packaging/apk", APKS], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "packaging/apk: there is no abuild here; on Alpine, apk add alpine-sdk\n")

    def test_the_recipe(self):
        with tempfile.TemporaryDirectory() as tools:
            shutil.copy(pathlib.Path(__file__).with_name("abuild"), tools)
            output_of(SOURCE / "packaging/apk", APKS, "-F", environment={"PATH": f"{tools}:{os.environ['PATH']}"})
        recipe = (APKS / "APKBUILD").read_text(encoding="utf-8")
        self.assertRegex(recipe, rf"(?m)^pkgver={re.escape(header_version())}(_pre\d{{8}})?$")
        for package, files in {"hakmem": ["usr/bin/hakmem"], "libhakmem": ["usr/lib/libhakmem.so.0"],
                               "hakmem-dev": ["usr/include/hakmem.h", "usr/lib/libhakmem.a", "usr/src/hakmem/hakmem.c"],
                               "hakmem-doc": ["usr/share/man/man1/hakmem.1", "usr/share/man/man5/hakmem.conf.5"]}.items():
            for file in files:
                self.assertTrue((APKS / package / file).exists(), f"{package} has no {file}")
                others = [other for other in ("hakmem", "libhakmem", "hakmem-dev", "hakmem-doc")
                          if other != package and (APKS / other / file).exists()]
                self.assertEqual(others, [], file)
        left = {str(path.relative_to(APKS / "hakmem")) for path in (APKS / "hakmem").rglob("*") if path.is_file()}
        self.assertEqual([path for path in left if path.startswith(("usr/lib/", "usr/include", "usr/share/man"))], [])


if __name__ == "__main__":
    need("git", "sha512sum")
    unittest.main()
