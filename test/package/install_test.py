#!/usr/bin/env python3
"""make install and make uninstall, from the sources and without a trace: install_test.py SOURCE FOLDER."""
import pathlib
import tempfile
import unittest

from recipe import FOLDER, SOURCE, need, output_of


class Install(unittest.TestCase):
    def test_install_and_uninstall(self):
        with tempfile.TemporaryDirectory() as directory:
            stage = pathlib.Path(directory)
            (stage / "opt/own/lib").mkdir(parents=True)
            own = stage / "opt/own/lib/hakmem.conf"
            own.write_text("somebody else's", encoding="utf-8")
            where = (f"BUILD={FOLDER / 'make'}", f"DESTDIR={stage}", "PREFIX=/opt/own")
            output_of("make", "-C", SOURCE, "install", *where, "JOBS=2", "CMAKE_ARGS=-DHAK_BENCH=OFF")
            self.assertIn("statistics", output_of(stage / "opt/own/bin/hakmem", "run", "--stats", "--", "true"))
            output_of("make", "-C", SOURCE, "uninstall", *where)
            left = [path for path in stage.rglob("*") if not path.is_dir() or path.name == "hakmem"]
            self.assertEqual(left, [own])


if __name__ == "__main__":
    need("make", "cmake")
    unittest.main()
