#!/usr/bin/env python3
"""The report: well-formed, complete, its numbers those of the CSV file, nothing fetched from anywhere.
SPDX-License-Identifier: MIT"""
import csv
import io
import re
import unittest
import xml.etree.ElementTree as xml

import fixture
import page
import sections
import stats
import summary
import tables
import words

RESULTS = fixture.results()
SUMMARIES = summary.summarize(RESULTS)
HTML = page.page(SUMMARIES, RESULTS)


def summary_of(name):
    return next(one for one in SUMMARIES if one.info["id"] == name)


def text_of(element):
    return "".join(element.itertext())


class Summary(unittest.TestCase):
    def test_verdicts(self):
        self.assertEqual(summary_of("fast-1").verdict("value"), "30 % less time than tcmalloc")
        self.assertEqual(summary_of("slow").verdict("value"), "33 % more time than glibc")
        self.assertEqual(summary_of("same").verdict("value"), "no difference from glibc")
        self.assertEqual(summary_of("given").verdict("idle"), "33 % less memory than glibc")
        self.assertEqual(summary_of("pair-16").verdict("value"), "30 % fewer than glibc")

    def test_failures(self):
        crashed = summary_of("crashed")
        self.assertEqual(list(crashed.failures), ["jemalloc"])
        self.assertNotIn("jemalloc", crashed.figures["value"])

    def test_totals_of_a_fixed_time_are_not_compared(self):
        results = fixture.results()
        for runs in results["rows"][0]["runs"].values():
            for run in runs:
                run["metrics"]["faults_per_1000"] = 3.5
        one = summary.summarize(results)[0]
        self.assertNotIn("minor_faults", one.comparisons)
        self.assertIn("minor_faults", one.figures)
        self.assertEqual(summary.still_metrics(one), ["faults_per_1000"])

    def test_tally(self):
        found = summary.counted(SUMMARIES, "time")
        self.assertEqual(summary.tally(found), (2, 2, 1, 0))

    def test_geometric_means(self):
        """Of fast-1, fast-2, slow, same and crashed, against glibc."""
        expected = stats.geometric_mean([1.1 / 2, 3 / 4, 2 / 1.5, 1, 1])
        found, count = summary.geometric(summary.counted(SUMMARIES, "time"), "glibc")
        self.assertEqual(count, 5)
        self.assertAlmostEqual(found.ratio, expected)

    def test_a_failed_subject_has_no_verdict_but_its_failure(self):
        results = fixture.results()
        results["rows"][0]["runs"]["hakmem"] = [fixture.FAILED]
        one = summary.summarize(results)[0]
        self.assertEqual(one.verdict("value"), "crashed")
        self.assertIn("crashed", tables.terminal([one], results))


class Untold(unittest.TestCase):
    """What cannot be told is not drawn, and a page of one row or of few rounds says nothing odd."""

    def page(self, rows, rounds, **more):
        results = {**fixture.results(), "rows": rows, "rounds": rounds, **more}
        return page.page(summary.summarize(results), results)

    def row(self):
        values = {"hakmem": [0.5, 1, 2, 1.1, 0.6], "glibc": [1, 0.5, 1.1, 2, 1]}
        return fixture.row("odd", "time", values)

    def test_signs_and_words(self):
        html = self.page([self.row()], 5)
        self.assertIn("? cannot be told from glibc", html)
        self.assertNotIn("= cannot", html)
        self.assertNotIn("1 rows", html)
        self.assertIn("hakmem against the best other: cannot be told from glibc</h1>", html)

    def test_few_rounds(self):
        one = {**self.row(), "runs": {name: [fixture.run_of(1, 1.0)] for name in ("hakmem", "glibc")}}
        self.assertIn("<h1>Verdicts take 5 rounds; none was measured</h1>", self.page([one], 0))
        self.assertIn("<h1>Verdicts take 5 rounds; 1 was measured</h1>", self.page([one], 1))
        self.assertIn("; 1 round, interleaved", self.page([one], 1))

    def test_a_program_whose_rounds_were_all_disturbed(self):
        runs = {name: [fixture.run_of(number, value, disturbed=True) for number, value in enumerate(values, 1)]
                for name, values in (("hakmem", [1.0] * 9), ("glibc", [2.0] * 9))}
        html = self.page([{**self.row(), "runs": runs}], 9, demands={"family": 4, "bounds": 0.05, "error": 0.05})
        self.assertIn("? not compared: disturbed in all rounds", html)
        self.assertNotIn("∞", html)

    def test_the_curve_is_of_the_run_whose_time_is_shown(self):
        """Its last sample lies at that run's time, not at that of the run with the middle peak."""
        def run(number, time, peak):
            return fixture.run_of(number, time, samples=[[time * part / 4, peak] for part in range(5)],
                                  metrics={"peak": peak})
        runs = {"hakmem": [run(1, 1.0, 50 << 20), run(2, 2.0, 90 << 20), run(3, 7.0, 60 << 20)]}
        [one] = summary.summarize({**fixture.results(), "rows": [{**self.row(), "runs": runs}]})

        class Report:
            names, index = ["hakmem"], {"hakmem": 0}
        curve = sections.memory_curve(Report, one)
        self.assertIn("of the run in the middle by time", curve)
        self.assertEqual(sections.middle_runs(Report, one, "samples", "value")["hakmem"]["metrics"]["value"], 2.0)
        self.assertRegex(curve, ">2 s<")
        self.assertNotRegex(curve, ">[3-7] s<")


class Html(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = xml.fromstring(HTML.removeprefix("<!DOCTYPE html>"))

    def test_nothing_is_fetched(self):
        self.assertEqual(set(re.findall(r"https?://[^\s\"'<)]+", HTML)), {"http://www.w3.org/2000/svg"})
        self.assertEqual([
            e.attrib for e in self.tree.iter() if "src" in e.attrib or e.tag.split("}")[-1] in ("link", "img", "iframe")
        ], [])
        self.assertNotIn("@import", HTML)

    def test_links_lead_somewhere(self):
        ids = [e.get("id") for e in self.tree.iter() if e.get("id")]
        self.assertEqual(len(ids), len(set(ids)))
        targets = {e.get("href").removeprefix("#") for e in self.tree.iter() if e.get("href")}
        self.assertGreater(len(targets), 10)
        self.assertEqual(targets - set(ids), set())

    def test_every_row_is_there(self):
        for one in SUMMARIES:
            self.assertIsNotNone(self.tree.find(f".//*[@id='r-{one.info['id']}']"), one.info["id"])

    def test_numbers_are_those_of_the_csv(self):
        text = io.StringIO(summary.csv_text(SUMMARIES, RESULTS), newline="")
        lines = {(line["row"], line["metric"], line["allocator"]): line for line in csv.DictReader(text)}
        shown = set()
        for cell in self.tree.iter("td"):
            if cell.get("data-median") is None:
                continue
            key = cell.get("data-row"), cell.get("data-metric"), cell.get("data-allocator")
            shown.add(key)
            self.assertEqual(float(cell.get("data-median")), float(lines[key]["median"]), key)
            self.assertEqual(cell.text, words.quantity(float(lines[key]["median"]), lines[key]["unit"], short=True),
                             key)
        self.assertEqual(shown, {key for key, line in lines.items() if line["status"] == "ok"} - self.not_shown(lines))
        self.assertGreater(len(shown), 100)

    def not_shown(self, lines):
        """Of the instruction counts there is one table, with nothing but them."""
        return {key for key in lines if key[0].startswith("pair-") and key[1] != "value"}

    def test_verdicts_of_the_csv_stand_on_the_page(self):
        text = text_of(self.tree)
        for verdict in ("30 % less time than tcmalloc", "33 % more time than glibc", "no difference from glibc",
                        "crashed"):
            self.assertIn(verdict, text)

    def test_failures_and_markup_in_texts(self):
        text = text_of(self.tree)
        self.assertIn("ended by SIGSEGV: <out> & away", text)
        self.assertIn("Some <CPU>", text)

    def test_every_figure_has_a_description(self):
        charts = [e for e in self.tree.iter() if e.get("class") == "chart"]
        self.assertGreater(len(charts), 15)
        self.assertEqual([e for e in charts if not e.get("aria-label")], [])

    def test_bars_have_the_right_lengths(self):
        """Of fast-1: hakmem 2 M/s, glibc 1.1 M/s."""
        chart = self.tree.find(".//article[@id='r-fast-1']").find(".//{http://www.w3.org/2000/svg}svg[@class='chart']")
        bars = {
            e.get("class").split()[-1]: float(e.get("width"))
            for e in chart.iter()
            if (e.get("class") or "").startswith("bar")}
        self.assertAlmostEqual(bars["a1"] / bars["a0"], 1.1 / 2, places=3)
        self.assertEqual(len(bars), 5)


class Pictures(unittest.TestCase):
    def test_overview_picture_stands_alone(self):
        picture = page.overview_picture(SUMMARIES, RESULTS)
        root = xml.fromstring(picture)
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        texts = [text_of(e) for e in root.iter("{http://www.w3.org/2000/svg}text")]
        for expected in ("mimalloc", "Time", "Memory", "All rowsgeometric mean"):
            self.assertIn(expected, texts)
        self.assertIn("prefers-color-scheme", picture)


class Tables(unittest.TestCase):
    def test_terminal(self):
        text = tables.terminal(SUMMARIES, RESULTS)
        self.assertRegex(
            text,
            r"The <fast-1> & others: 2 threads +2\.00 M/s +1\.82 +1\.67 +1\.54 +1\.43 +30 % less time than tcmalloc")
        self.assertIn("crashed on jemalloc: crashed: ended by SIGSEGV", text)

    def test_figures_that_hold_still(self):
        """Of each row the faults themselves."""
        self.assertRegex(tables.terminal(SUMMARIES, RESULTS),
                         r"The <slow> & others: 2 threads, minor page faults +1\.20 k( +1\.20 k){4} +no difference")

    def test_markdown(self):
        for line in tables.markdown(SUMMARIES, RESULTS).splitlines():
            if line.startswith("|"):
                self.assertEqual(line.count("|"), 8, line)


if __name__ == "__main__":
    unittest.main()
