#!/usr/bin/env python3
"""Tests of the Python module: python_test.py SOURCE LIBRARY TOOL.

What the module says is asked of children, on hakmem and not, and compared with the tables of the library.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, LIBRARY, TOOL = (pathlib.Path(word) for word in sys.argv[1:4])
del sys.argv[1:4]
MODULE = SOURCE / "bindings/python"


def python(*words, library="", **environment):
    """A child with the module on its path."""
    environment = {**os.environ, "PYTHONPATH": str(MODULE), "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc",
                   "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)


def told(program, library=LIBRARY):
    """What a program with the module prints as JSON, on the library."""
    run = python("-c", f"import hakmem, json\n{program}", library=library)
    if run.returncode != 0:
        raise AssertionError(run.stderr)
    return json.loads(run.stdout)


class Statistics(unittest.TestCase):
    def test_names_and_units(self):
        """Those of the library's table, in its order."""
        table = (SOURCE / "src/insight/stats.def").read_text(encoding="utf-8")
        rows = re.findall(r'^X\(\w+, "([^"]+)", "([^"]+)"', table, re.MULTILINE)
        found = told("print(json.dumps([(name, stat.unit) for name, stat in hakmem.stats().items()]))")
        self.assertEqual([tuple(row) for row in found], rows)

    def test_values(self):
        before, during, after = told(
            "def large(): return hakmem.stats()['bytes.large'].value\n"
            "values = [large()]\n"
            "block = bytearray(100 << 20)\nvalues.append(large())\n"
            "del block\nvalues.append(large())\n"
            "print(json.dumps(values))")
        self.assertGreaterEqual(during - before, 100 << 20)
        self.assertLess(after - before, 1 << 20)

    def test_threads(self):
        """The functions may be called at once."""
        counts = told("import concurrent.futures\n"
                      "with concurrent.futures.ThreadPoolExecutor(4) as pool:\n"
                      "    counts = set(pool.map(lambda _: len(hakmem.stats()), range(100)))\n"
                      "print(json.dumps(list(counts)))")
        self.assertEqual(len(counts), 1)

    def test_version(self):
        header = (SOURCE / "include/hakmem.h").read_text(encoding="utf-8")
        version = ".".join(re.findall(r"^#define HAKMEM_VERSION_\w+ (\d+)$", header, re.MULTILINE))
        self.assertEqual(told("print(json.dumps([hakmem.is_active(), hakmem.version()]))"), [True, version])

    def test_table(self):
        run = python("-c", "import hakmem; print('first'); import sys; hakmem.print_stats(sys.stdout)", library=LIBRARY)
        self.assertRegex(run.stdout, r"^first\nhakmem [\d.]+ statistics")


class Trim(unittest.TestCase):
    def test_what_goes_back(self):
        """Objects that nobody needs any more leave memory that trim gives back."""
        went, resident = told(
            "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
            "cache = [str(i) * 20 for i in range(300_000)]\n"
            "full = resident()\ndel cache[:]\nhakmem.collect()\nwent = hakmem.trim()\n"
            "print(json.dumps([went, resident() / full]))")
        self.assertTrue(went)
        self.assertLess(resident, 0.6)

    def test_negative(self):
        self.assertIn("ValueError: pad is a number of bytes", python("-c", "import hakmem; hakmem.trim(-1)").stderr)


class Elsewhere(unittest.TestCase):
    """In a process that does not run on hakmem."""

    def test_not_active(self):
        self.assertEqual(told("print(json.dumps(hakmem.is_active()))", library=""), False)
        for call in ("version()", "stats()", "print_stats()", "collect()", "trim()"):
            run = python("-c", f"import hakmem\ntry: hakmem.{call}\nexcept hakmem.NotActive as error: print(error)")
            self.assertIn("start it with 'hakmem run python3 ...'", run.stdout, call)


class Command(unittest.TestCase):
    def test_run(self):
        """The command is found on PATH, and its program's status comes back."""
        path = f"{TOOL.parent}{os.pathsep}{os.environ['PATH']}"
        run = python("-m", "hakmem", "run", sys.executable, "-c", "import hakmem; print(hakmem.is_active()); exit(7)", PATH=path)
        self.assertEqual((run.stdout, run.returncode), ("True\n", 7))

    def test_not_installed(self):
        with tempfile.TemporaryDirectory() as nothing:
            run = python("-c", f"import hakmem.__main__ as main\nmain.PLACES = {nothing!r}\nexit(main.main())", PATH=nothing)
        self.assertEqual(run.returncode, 125)
        self.assertRegex(run.stderr, r"^hakmem: the command is not installed: .*\n$")

    def test_example(self):
        example = MODULE / "examples/cache.py"
        run = python(example, library=LIBRARY)
        full, left = map(int, re.findall(r"(\d+) MiB", run.stdout))
        self.assertGreater(full, 50)
        self.assertLess(left, 25)
        self.assertEqual(python(example).stderr.count("\n"), 1)


class Wheel(unittest.TestCase):
    def test_wheel(self):
        """What pip would install works, without the checkout."""
        probe = python("-c", "import setuptools, wheel; print(setuptools.__version__)")
        if int(probe.stdout.partition(".")[0] or 0) < 61:
            self.skipTest("setuptools 61 and wheel are not installed here")
        with tempfile.TemporaryDirectory() as directory:
            copy = shutil.copytree(MODULE, pathlib.Path(directory) / "python")
            build = subprocess.run([sys.executable, "-c", "import setuptools.build_meta as meta; meta.build_wheel('.')"],
                                   cwd=copy, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(build.returncode, 0, build.stderr)
            (wheel,) = copy.glob("*.whl")
            run = python("-c", "import hakmem; print(hakmem.__file__, hakmem.is_active())", library=LIBRARY, PYTHONPATH=str(wheel))
        self.assertEqual(run.stdout, f"{wheel}/hakmem/__init__.py True\n")


if __name__ == "__main__":
    unittest.main()
