#!/usr/bin/env python3
"""Tests of the installed package: package.py CMAKE BUILD CONFIGURATION CC.

Installs the build into a directory of its own and uses it as a stranger's project would: through CMake and through
pkg-config, the shared library and the static one, moved to another prefix, and staged with DESTDIR.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CMAKE, BUILD, CONFIGURATION, CC = sys.argv[1:5]
del sys.argv[1:5]

# Neither calls an allocation function itself: the worst case for a linker that drops what seems unused.
PROGRAM = """\
#include <hakmem.h>
#include <stdio.h>
int main(void)
{
    printf("version %s\\n", hak_version());
    return hak_usable_size(NULL) != 0;
}
"""
STRANGER = """\
#include <stdio.h>
int main(void)
{
    return puts("no call of malloc here") < 0;
}
"""
PROJECT = """\
cmake_minimum_required(VERSION 3.20)
project(stranger C)
find_package(hakmem 0.1 REQUIRED)
foreach(source IN ITEMS program stranger)
    add_executable(${source}-shared ${source}.c)
    target_link_libraries(${source}-shared PRIVATE hakmem::hakmem)
    add_executable(${source}-static ${source}.c)
    target_link_libraries(${source}-static PRIVATE hakmem::hakmem-static)
endforeach()
"""


def output_of(*command, **options):
    environment = {**os.environ, **options.pop("environment", {})}
    result = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True,
                            timeout=100, check=False, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout + result.stderr


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name).resolve()
        cls.prefix = cls.directory / "prefix"
        output_of(CMAKE, "--install", BUILD, "--config", CONFIGURATION, "--prefix", cls.prefix)
        for name, text in (("program.c", PROGRAM), ("stranger.c", STRANGER), ("CMakeLists.txt", PROJECT)):
            (cls.directory / name).write_text(text, encoding="utf-8")

    def library_directory(self):
        return next(self.prefix.glob("lib/**/libhakmem.so.0")).parent

    def must_be_served(self, program):
        """The table of statistics is there: the program's malloc is hakmem's."""
        text = output_of(program, environment={"HAKMEM_STATS": "1", "LD_LIBRARY_PATH": str(self.library_directory())})
        self.assertIn("hakmem", text, program)

    def test_files(self):
        found = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if not path.is_dir()}
        library = str(self.library_directory().relative_to(self.prefix))
        self.assertLessEqual({
            "bin/hakmem", "include/hakmem.h", "include/hakmem.hpp", "share/man/man1/hakmem.1", "share/man/man3/hakmem.3",
            "share/man/man5/hakmem.conf.5",
            "share/hakmem/lab/lab.py", "libexec/hakmem/hakmem-workloads",
            f"{library}/libhakmem.so", f"{library}/libhakmem.so.0", f"{library}/libhakmem.a",
            f"{library}/pkgconfig/hakmem.pc", f"{library}/cmake/hakmem/hakmemConfig.cmake",
        }, found)

    def test_tool_finds_the_installed_library(self):
        path = output_of(self.prefix / "bin/hakmem", "run", "sh", "-c", "echo $LD_PRELOAD").strip()
        self.assertEqual(path, f"{self.library_directory()}/libhakmem.so.0")

    def test_compare_and_bench(self):
        """With nothing but what was installed, and without a trace in it."""
        tool = self.prefix / "bin/hakmem"
        text = output_of(tool, "compare", "-n", "1", "--with", "", "--", "true", cwd=self.directory)
        self.assertIn("hakmem", text)
        rows = output_of(tool, "bench", "--list").split()
        self.assertLessEqual({"larson-mid-1", "pair-1024", "python-json"}, set(rows))
        self.assertEqual(list(self.prefix.rglob("__pycache__")), [])

    def test_destdir(self):
        stage = self.directory / "stage"
        output_of(CMAKE, "--install", BUILD, "--config", CONFIGURATION, "--prefix", "/opt/hakmem",
                  environment={"DESTDIR": str(stage)})
        self.assertTrue((stage / "opt/hakmem/bin/hakmem").exists())

    def test_cmake(self):
        output_of(CMAKE, "-S", self.directory, "-B", self.directory / "build", f"-DCMAKE_C_COMPILER={CC}",
                  f"-DCMAKE_PREFIX_PATH={self.prefix}")
        output_of(CMAKE, "--build", self.directory / "build")
        for source in ("program", "stranger"):
            for kind in ("shared", "static"):
                self.must_be_served(self.directory / "build" / f"{source}-{kind}")

    def test_pkg_config(self):
        search = {"PKG_CONFIG_PATH": str(self.library_directory() / "pkgconfig")}
        for kind in ([], ["-static"], ["-static-pie"], ["-Wl,--as-needed"]):
            flags = output_of("pkg-config", "--define-prefix", "--cflags", "--libs", "hakmem", environment=search)
            for source in ("program", "stranger"):
                target = self.directory / f"pkg-config-{source}{''.join(kind)}"
                output_of(CC, *kind, self.directory / f"{source}.c", "-o", target, *flags.split())
                self.must_be_served(target)


if __name__ == "__main__":
    unittest.main()
