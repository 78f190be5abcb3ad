#!/usr/bin/env python3
"""Tests of the Rust crate: rust_test.py SOURCE CMAKE BUILD CONFIG FOLDER.

Its own tests and its example, in each of the ways to link, and the crate without the checkout; what Cargo makes is kept in
FOLDER. Without a network, and without the settings of a build that this is part of.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, CMAKE, BUILD, CONFIG, FOLDER = sys.argv[1:6]
del sys.argv[1:6]
CRATE = pathlib.Path(SOURCE) / "bindings/rust"


class Rust(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def output_of(self, *command, crate=CRATE, text="", **environment):
        environment = {**os.environ, "CARGO_TARGET_DIR": FOLDER, "CARGO_NET_OFFLINE": "true", "PKG_CONFIG_PATH": "",
                       "PKG_CONFIG_LIBDIR": str(self.directory), **environment}
        run = subprocess.run(command, cwd=crate, env=environment, input=text, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        self.assertEqual(run.returncode, 0, f"{command}\n{run.stdout}")
        return run.stdout

    def test_compiled_in(self):
        """There is no library of the system's for pkg-config to find: Rust's memory is hakmem's, malloc is libc's."""
        self.output_of("cargo", "test", "--quiet", "--test", "allocator")
        self.output_of("cargo", "test", "--quiet", "--test", "allocator", HAKMEM_CHECK="1")

    def test_override(self):
        """malloc is hakmem's, too."""
        self.output_of("cargo", "test", "--quiet", "--features", "override")

    def test_system(self):
        """The library that pkg-config finds."""
        prefix = self.directory / "prefix"
        self.output_of(CMAKE, "--install", BUILD, "--config", CONFIG, "--prefix", str(prefix))
        package = next(prefix.glob("lib/**/hakmem.pc"))
        text = package.read_text(encoding="utf-8").splitlines()
        package.write_text("\n".join([f"prefix={prefix}", *text[1:]]) + "\n", encoding="utf-8")
        libraries = str(package.parent.parent)
        self.output_of("cargo", "test", "--quiet", "--test", "allocator", PKG_CONFIG_PATH=str(package.parent),
                       LD_LIBRARY_PATH=libraries, EXPECT_MALLOC="1", CARGO_TARGET_DIR=f"{FOLDER}-system")

    def test_example(self):
        text = self.output_of("cargo", "run", "--quiet", "--example", "words", text="one two two three three three")
        self.assertRegex(text, r"^ +3 three\n +2 two\n +1 one\nhakmem [\d.]+:\nbytes.live +[1-9]\d* bytes\n")

    def test_without_checkout(self):
        """The crate and the single file beside it, elsewhere."""
        crate = shutil.copytree(CRATE, self.directory / "crate", ignore=shutil.ignore_patterns("target"))
        root = pathlib.Path(SOURCE)
        self.output_of(sys.executable, "-B", str(root / "tools/amalgamate.py"), "-I", str(root / "include"), "-I",
                       str(root / "src"), str(root / "src/all.c"), str(crate / "hakmem.c"))
        self.output_of("cargo", "check", "--quiet", crate=crate)
        (crate / "hakmem.c").unlink()
        with self.assertRaisesRegex(AssertionError, "there is no hakmem.c in the crate; `make single-file`"):
            self.output_of("cargo", "check", "--quiet", crate=crate)


if __name__ == "__main__":
    if not shutil.which("cargo"):
        print("skipped: there is no cargo here; tools/setup bindings installs it")
        sys.exit(77)
    unittest.main()
