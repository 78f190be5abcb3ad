#!/usr/bin/env python3
"""hakmem-retention: what is kept and what is missed, to the page and the microsecond, where it can be known without a
simulator; two laws that are known as well; traces that are wrong; and what the recorder writes.

    retention_test.py SIMULATOR SIMULATOR-WHERE-NOTHING-IS-KEPT SIMULATOR-WHERE-ALL-IS RECORDER SCRIPT

SPDX-License-Identifier: MIT"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

SIMULATOR, ONCE, NEVER, RECORDER, SCRIPT = sys.argv[1:6]
MIB = 1 << 20
PAGES = 512  # of the block below
MS = 1000

# A block of 2 MiB that is taken three times. It is free for 100 ms, for 2 s, and for the last 100 ms.
THRICE = f"""@0
+1 {2 * MIB}
@1000
-1
@101000
+2 {2 * MIB}
@102000
-2
@2102000
+3 {2 * MIB}
@2103000
-3
@2203000
"""


def run(program, trace, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".trace") as file:
        file.write(trace)
        file.flush()
        return subprocess.run([program, *options, file.name], capture_output=True, text=True, check=False)


def policies(trace, *options, program=SIMULATOR):
    """Each policy's kept pages * ms, and faults."""
    answer = run(program, trace, *options)
    assert answer.returncode == 0, answer.stderr
    rows = (line.split("\t") for line in answer.stdout.splitlines() if not line.startswith("#"))
    return {row[0]: (int(row[1]) / MS, int(row[3])) for row in rows}


def churn(seed):
    """Blocks of all sizes come, grow, shrink and go, with pauses."""
    dice = random.Random(seed)
    lines, alive, us = [], {}, 0
    for name in range(1, 20000):
        us += int(dice.expovariate(1 / 200)) + (300 * MS if name % 2000 == 0 else 0)
        size = int(16 * 2 ** (dice.random() * 16))
        lines.append(f"@{us}\n+{name:x} {size}\n")
        alive[name] = size
        while len(alive) > 300 or (alive and name % 2000 > 1900):
            victim = dice.choice(list(alive))
            if dice.random() < 0.2:
                lines.append(f"={victim:x} {victim:x} {int(alive[victim] * (0.5 + dice.random())) + 1}\n")
            del alive[victim]
            lines.append(f"-{victim:x}\n")
    return "".join(lines)


class Optimum(unittest.TestCase):
    def test_known_to_the_page(self):
        expected = {
            "hindsight": (PAGES * 100, PAGES),  # at 500 ms the gap of 100 ms is kept through
            "hindsight, any placement": (PAGES * 100, PAGES),
            "at once": (0, 2 * PAGES),
            "break-even": (PAGES * (100 + 500 + 100), PAGES),
            "never": (PAGES * (100 + 2000 + 100), 0),
            "mimalloc 2": (PAGES * 3 * 10, 2 * PAGES),
            "mimalloc 3": (PAGES * (100 + 1000 + 100), PAGES),
            "glibc": (0, 2 * PAGES),  # mapped, each time
        }
        found = policies(THRICE)
        self.assertEqual({name: found[name] for name in expected}, expected)

    def test_depends_on_the_price(self):
        self.assertEqual(policies(THRICE, "--keep", "99")["hindsight"], (0, 2 * PAGES))
        self.assertEqual(policies(THRICE, "--keep", "100")["hindsight"], (PAGES * 100, PAGES))
        self.assertEqual(policies(THRICE, "--keep", "2000")["hindsight"], (PAGES * 2100, 0))

    def test_nobody_is_below_it(self):
        keep_ms = 50
        for program in SIMULATOR, ONCE, NEVER:
            found = policies(churn(1), "--keep", str(keep_ms), program=program)
            cost = {name: faults + kept / keep_ms for name, (kept, faults) in found.items()}
            self.assertGreater(found["hindsight"][1], 0)
            for name in found:
                if name != "hindsight, any placement":
                    self.assertGreaterEqual(cost[name], cost["hindsight"] - 1e-6, name)
            self.assertLessEqual(found["hindsight, the law's faults"][0], found["law"][0])
            self.assertEqual(found["hindsight, the law's faults"][1], found["law"][1])

    def test_blocks_in_a_fluid_need_no_fit(self):
        """What was two blocks is one: nothing fits where they lay, but any memory would have done."""
        trace = "".join(f"+{name} {MIB * 3}\n" for name in (1, 2, 3)) + f"-1\n-3\n@10000\n+4 {MIB * 6}\n@20000\n"
        found = policies(trace)
        self.assertEqual(found["hindsight, any placement"], (6 * MIB / 4096 * 10, 0))
        self.assertLess(found["hindsight"][0], 6 * MIB / 4096 * 10)


class Laws(unittest.TestCase):
    """The law that is linked decides, and nothing else does."""

    def test_nothing_is_kept(self):
        found = policies(THRICE, program=ONCE)
        self.assertEqual(found["law"], (0, 2 * PAGES))

    def test_all_is_kept(self):
        found = policies(THRICE, program=NEVER)
        self.assertEqual(found["law"], found["never"])
        found = policies(churn(2), program=NEVER)
        self.assertEqual(found["law"], found["never"])

    def test_the_law_itself_has_a_clock(self):
        """What is needed again every 10 ms it learns to keep, and gives up when that is over."""
        cycle_ms, cycles, quiet_ms = 10, 100, 10000
        cycles_end = cycle_ms * cycles
        trace = "".join(f"@{at * MS}\n+1 {8 * MIB}\n-1\n" for at in range(0, cycles_end, cycle_ms))
        cycles_alone = policies(f"{trace}@{cycles_end * MS}\n")
        trace += "".join(f"@{at * MS}\n+1 {MIB // 4}\n-1\n" for at in range(cycles_end, cycles_end + quiet_ms, 50))
        all_of_it = policies(trace)
        pages = 8 * MIB // 4096
        self.assertLess(cycles_alone["law"][1], pages * 10)
        self.assertGreater(cycles_alone["law"][0], pages * cycles_end * 0.8)
        kept_then = all_of_it["law"][0] - cycles_alone["law"][0]
        self.assertLess(kept_then, pages * quiet_ms * 0.3)
        self.assertGreater(all_of_it["never"][0] - cycles_alone["never"][0], pages * quiet_ms * 0.9)

    def test_the_law_itself_is_neither(self):
        found = policies(churn(2))
        self.assertNotIn(found["law"], (found["never"], found["at once"]))
        self.assertEqual(found, policies(churn(2)), "the same trace, and not the same figures")


class Peers(unittest.TestCase):
    def test_jemalloc_lets_go_within_ten_seconds(self):
        """The curve is symmetric, so on average half of it is there for ten seconds."""
        clock = "".join(f"@{at * 50 * MS}\n" for at in range(1, 300))
        kept, faults = policies(f"+1 {2 * MIB}\n-1\n{clock}")["jemalloc"]
        self.assertAlmostEqual(kept, PAGES * 5000, delta=PAGES * 100)
        self.assertEqual(faults, 0)

    def test_tcmalloc_lets_one_in_a_thousand_go(self):
        found = policies(f"+1 {8 * MIB}\n-1\n+2 {8 * MIB}\n@1000\n")
        self.assertEqual(found["tcmalloc"], (0, 2))

    def test_glibc_trims_the_top(self):
        """12 blocks below the threshold, freed in order: all, but for 128 KiB; and all but the last."""
        def faults(freed):
            return policies("".join(f"+{name:x} 100000\n" for name in range(1, 13))
                            + "".join(f"-{name:x}\n" for name in freed) + "@1000\n"
                            + "".join(f"+{100 + name:x} 100000\n" for name in freed))["glibc"][1]
        pages = 25 * 12
        self.assertTrue(pages - 32 <= faults(range(1, 13)) < pages)
        self.assertEqual(faults(range(1, 12)), 0)


class Wrong(unittest.TestCase):
    def test_traces(self):
        for trace, words in [("+1 100\n*2\n", "line 2 is no event: *2"), ("@5\n@4\n", "time goes back"),
                             ("+zz 5\n", "line 1"), ("+1 100 5\n", "line 1"), ("-1 2\n", "line 1"),
                             (f"+1 {1 << 60}\n", "cannot be had")]:
            answer = run(SIMULATOR, trace)
            self.assertEqual((answer.returncode, answer.stdout), (1, ""), trace)
            self.assertIn(words, answer.stderr)

    def test_usage(self):
        for arguments, status in [([], 2), (["a", "b"], 2), (["--what"], 2), (["--keep", "0", "a"], 1),
                                  (["--touch", "1x", "a"], 1), (["/"], 1), (["/dev/null/none"], 1)]:
            answer = subprocess.run([SIMULATOR, *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(answer.returncode, status, arguments)
            self.assertTrue(answer.stderr)

    def test_blocks_from_before_the_trace(self):
        self.assertEqual(policies("-abc\n@1000\n")["law"], (0, 0))
        self.assertEqual(policies(f"=abc abd {2 * MIB}\n@1000\n-abd\n@2000\n")["never"], (PAGES, 0))


class Recorder(unittest.TestCase):
    PROGRAM = """
import ctypes, os
c = ctypes.CDLL(None)
c.malloc.restype = c.realloc.restype = ctypes.c_void_p
c.free.argtypes = [ctypes.c_void_p]
c.malloc.argtypes = [ctypes.c_size_t]
c.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
block = c.realloc(c.malloc(3333333), 4444444)
if os.fork() == 0:
    c.free(block)
    os._exit(0)
os.wait()
c.free(c.malloc(5555555))
"""

    def test_what_it_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([os.path.realpath(sys.executable), "-c", self.PROGRAM], check=True,
                           env={**os.environ, "LD_PRELOAD": RECORDER, "RECORDER_TRACES": folder})
            paths = sorted((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getsize)
            texts = [pathlib.Path(path).read_text(encoding="ascii") for path in paths]
            self.assertEqual(len(texts), 2)
            child, parent = texts
            self.assertRegex(parent, r"(?s)\+([0-9a-f]+) 3333333\n.*=\1 ([0-9a-f]+) 4444444\n"
                                     r".*\+([0-9a-f]+) 5555555\n.*-\3\n")
            name = parent.split(" 4444444")[0].split()[-1]
            self.assertIn(f"-{name}\n", child)
            self.assertNotIn(f"-{name}\n", parent.split("4444444")[1].split("5555555")[0])
            answer = subprocess.run([SIMULATOR, paths[1]], capture_output=True, text=True, check=False)
            self.assertEqual(answer.returncode, 0, answer.stderr)


class Table(unittest.TestCase):
    def run_script(self, folder, *arguments):
        return subprocess.run([sys.executable, "-B", SCRIPT, "--simulator", SIMULATOR, "--recorder", RECORDER, "--folder",
                               folder, *arguments], capture_output=True, text=True, check=False)

    def test_a_trace_of_each_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            answer = self.run_script(folder, "phases-s", "perl")
            self.assertEqual((answer.returncode, answer.stderr), (0, ""))
            head, _, phases, perl = (line.split(" | ") for line in answer.stdout.splitlines())
            self.assertEqual((phases[0], perl[0]), ("| phases-s", "| perl"))
            best, never = head.index("hindsight"), head.index("never")
            self.assertTrue(phases[best].endswith("; 1.00"), phases[best])
            self.assertEqual(phases[never].split("; ")[1], "0.0")
            self.assertEqual(sorted(os.listdir(folder)), ["perl.trace", "phases-s.trace"])

    def test_unknown_names(self):
        answer = self.run_script("/dev/null", "nonesuch")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("no trace 'nonesuch'", answer.stderr)


unittest.main(argv=sys.argv[:1])
