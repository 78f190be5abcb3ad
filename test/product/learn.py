#!/usr/bin/env python3
"""Tests of the learner from outside: learn.py HAKMEM WORKLOADS CYCLES SURVIVORS, the paths of the built command, of the
bench lab's program, of cycles.c's and of survivors.c's.
What is learned depends on the machine; what is tested holds whatever it was."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SURVIVORS = pathlib.Path(sys.argv.pop()).resolve()
CYCLES = pathlib.Path(sys.argv.pop()).resolve()
WORKLOADS = pathlib.Path(sys.argv.pop()).resolve()
TOOL = pathlib.Path(sys.argv.pop()).resolve()
POOL = ["thread-pool-200", "--idle", "0.1", "--seed", "1"]
BURST = ["burst-json-1", "--seconds", "1.2", "--seed", "1"]


def run(workload, *options, **environment):
    """(JSON of the workload, text on stderr)."""
    command = [TOOL, "explain", *options, "--", WORKLOADS, *workload]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout), done.stderr


def explained(workload, *options, **environment):
    result, errors = run(workload, "--json", *options, **environment)
    return result, json.loads(errors.splitlines()[-1])


def differing(policy):
    """Fields of the classes that are not as in the static policy."""
    return [c for c in policy["classes"] if c["capacity"] != c["static_capacity"] or c["batch"] != 2 or c["wmax"] != 100]


class Modes(unittest.TestCase):
    def test_idle_threads_take_less_memory(self):
        learned, told = explained(POOL)
        static, nothing = explained(POOL, "--set", "learn=off")
        self.assertIn("thrift", [d["rule"] for d in told["decisions"]])
        self.assertLess(learned["value"], 0.75 * static["value"])
        self.assertEqual((nothing["decisions"], nothing["policy"]["version"]), ([], 0))
        self.assertEqual(differing(nothing["policy"]), [])

    def test_a_heap_that_grows_is_in_huge_pages(self):
        growth = ["memory-sparse-1", "--idle", "0.1", "--seed", "1"]
        learned, told = explained(growth)
        static, nothing = explained(growth, "--set", "learn=off")
        self.assertIn("huge pages", [d["rule"] for d in told["decisions"]])
        self.assertEqual(nothing["decisions"], [])
        # How many page faults that saves depends on the system: where it takes long to find a huge page, hakmem does not ask for many.
        # A system set to "never" gives none, one set to "always" gives them to both.
        setting = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
        if os.sysconf("SC_PAGESIZE") == 4096 and setting.exists() and "[madvise]" in setting.read_text(encoding="ascii"):
            self.assertLess(learned["minor_faults"], static["minor_faults"])
        self.assertLess(learned["rss"]["peak"], 1.03 * static["rss"]["peak"] + (2 << 20))
        self.assertLess(learned["value"], static["value"] + (4 << 20)) # what the program kept, and no more

    def test_larger_blocks_are_not(self):
        _, told = explained(["larson-mid-1", "--seconds", "0.5", "--seed", "1"])
        sizes = [d["size_class"] for d in told["decisions"] if d["rule"] == "huge pages"]
        self.assertEqual([size for size in sizes if size > 4096], [])

    def test_shadow_changes_nothing(self):
        _, told = explained(POOL, "--shadow")
        self.assertTrue(told["decisions"])
        self.assertEqual({d["outcome"] for d in told["decisions"]}, {"not done"})
        self.assertEqual((told["policy"]["version"], differing(told["policy"])), (0, []))

    def test_decisions_have_reasons_and_effects(self):
        _, told = explained(POOL)
        for decision in told["decisions"]:
            self.assertTrue(decision["what"] and decision["reason"] and decision["measure"])
            self.assertEqual("after" in decision, decision["outcome"] in ("kept", "taken back"))
        _, text = run(POOL)
        for words in ("hakmem policy, learner on", "thrift", "threads with rings", "effect: "):
            self.assertIn(words, text)

    def test_windows_are_as_long_as_told(self):
        _, short = explained(POOL, HAKMEM_LEARN_WINDOW_MS="10")
        _, long = explained(POOL, HAKMEM_LEARN_WINDOW_MS="60000")
        self.assertTrue(short["decisions"])
        self.assertEqual(long["decisions"], [])

    def test_options_reach_the_policy(self):
        _, told = explained(BURST, HAKMEM_LEARN="freeze", HAKMEM_CAP_MID="8,8,8,4,2", HAKMEM_CAP_LARGE="1,1,1,1,1", HAKMEM_WMAX_MID="1.4",
                            HAKMEM_POOL_REFILL_BATCH="3", HAKMEM_MID_DYN1="1040", HAKMEM_CAP_MAX_MID="6")
        classes = {c["size"]: c for c in told["policy"]["classes"]}
        self.assertEqual([classes[size]["capacity"] for size in (2048, 4096, 8192, 16384, 32768, 65536)], [6, 6, 6, 4, 2, 1])
        self.assertEqual((classes[4096]["wmax"], classes[65536]["wmax"], classes[64]["wmax"]), (140, 100, 100))
        self.assertEqual({c["batch"] for c in told["policy"]["classes"]}, {3})
        self.assertTrue(classes[1040]["fitted"])
        _, text = run(BURST, HAKMEM_MID_DYN1="1041", HAKMEM_LEARN="off")
        self.assertIn("mid_dyn1", text)


@unittest.skipIf(os.environ.get("IS_DEBUG") == "1", "without optimization malloc calls its slow path, which then does not see the caller")
class Apart(unittest.TestCase):
    def survivors(self, mode, *options):
        """(bytes resident for each live one, decisions about call sites)."""
        command = [TOOL, "explain", "--json", *options, "--", SURVIVORS, mode]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        told = json.loads(done.stderr.splitlines()[-1])
        return float(done.stdout), [d for d in told["decisions"] if d["rule"] == "apart"]

    def test_blocks_that_stay_do_not_keep_those_that_go(self):
        resident, decisions = self.survivors("apart")
        static, nothing = self.survivors("apart", "--set", "learn=off")
        self.assertEqual([(d["size_class"], d["outcome"]) for d in decisions], [(96, "kept")])
        self.assertLess(resident, 3)
        self.assertGreater(static, 4)
        self.assertEqual(nothing, [])

    def test_what_does_not_help_is_not_kept(self):
        for _ in range(3):  # a busy machine may leave the learner no time for one
            _, decisions = self.survivors("together")
            self.assertNotIn("kept", {d["outcome"] for d in decisions})
            if decisions:
                break
        self.assertTrue(decisions)


class Pauses(unittest.TestCase):
    def kept(self, cycles, milliseconds):
        """MiB that are resident in the last pause."""
        command = [TOOL, "run", "--", CYCLES, str(cycles), str(milliseconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return int(done.stdout.split()[2]) / 1024

    def test_in_short_ones_memory_stays_and_in_long_ones_it_goes(self):
        self.assertGreater(self.kept(20, 20), 20)
        self.assertLess(self.kept(6, 500), 10)


class Profile(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = pathlib.Path(directory.name) / "profile"
        self.option = ["--set", f"profile={self.file}"]

    def learn(self):
        """A run that learns something that profiles keep."""
        explained(["remote-main-r50-any", "--seconds", "2", "--seed", "1"], *self.option)
        if not self.file.exists():
            self.skipTest("this machine's load left nothing to learn in two seconds")

    def test_the_next_run_begins_with_it(self):
        self.learn()
        text = self.file.read_text(encoding="ascii")
        self.assertRegex(text, r"^hakmem profile 4\nprogram hakmem-workloads [0-9a-f]{16}\nbuild [0-9a-f]+\nfitted \d+\nrests [01]\n")
        _, told = explained(["calloc-small", "--seconds", "0.1"], *self.option, "--set", "learn=freeze")
        learned = [line.split() for line in text.splitlines() if line.startswith("class")]
        classes = {str(c["size"]): c for c in told["policy"]["classes"]}
        for _, size, capacity, batch, _, wmax, _ in learned:
            self.assertEqual([classes[size]["capacity"], classes[size]["batch"], classes[size]["wmax"] - 100],
                             [int(capacity), int(batch), int(wmax)])
        self.assertEqual((told["decisions"], self.file.read_text(encoding="ascii")), ([], text))

    def test_the_next_run_keeps_memory_from_the_start(self):
        cold, first = self.cycles()
        warm, then = self.cycles()
        self.assertEqual(first["retained"], 0)
        self.assertGreater(then["retained"], 1 << 20)
        self.assertGreater(cold, 1000)
        self.assertLess(warm, 0.1 * cold)
        _, text = self.cycles_explained()
        self.assertIn("may stay, by the profile", text)
        _, unread = self.cycles("--set", "learn=off")
        self.assertEqual(unread["retained"], 0)

    def cycles_explained(self, *options):
        command = [TOOL, "explain", *options, *self.option, "--", CYCLES, "20", "50"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    def cycles(self, *options):
        """(page faults after the first cycle, policy) of one run."""
        faults, told = self.cycles_explained("--json", *options)
        return int(faults.split()[1]), json.loads(told.splitlines()[-1])["policy"]

    def test_damaged_and_strange_files_are_ignored(self):
        self.learn()
        good = self.file.read_text(encoding="ascii")
        for content in ("", "x", good[:-2], good.replace("depot_bytes", "depot_bytez"), "\0" * 20000):
            self.file.write_text(content, encoding="ascii")
            _, text = run(["calloc-small", "--seconds", "0.1"], *self.option, "--set", "learn=freeze")
            warnings = [line for line in text.splitlines() if "warning" in line]
            self.assertLessEqual(len(warnings), 1)
            self.assertTrue(warnings or len(content) > 16384, content)
        self.file.write_text(good, encoding="ascii")
        done = subprocess.run([TOOL, "run", *self.option, "--", "true"], capture_output=True, text=True, check=True)
        self.assertIn("profile ignored: of another program", done.stderr)
        self.assertEqual(self.file.read_text(encoding="ascii"), good)

    def test_a_full_disk_is_one_line(self):
        _, text = run(["remote-main-r50-any", "--seconds", "2", "--seed", "1"], "--set", "profile=/dev/full/none")
        self.assertLessEqual(text.count("warning"), 1)


if __name__ == "__main__":
    unittest.main()
