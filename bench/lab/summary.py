"""From the runs of results.json to what the tables and the page say: medians, comparisons with the subject (hakmem),
verdicts. Every output is made from this, so that all show the same numbers.
SPDX-License-Identifier: MIT"""
import csv
import io
from dataclasses import dataclass, field

import metrics
import stats
import words

# Part of the overview -> the kinds of rows whose own figure it shows.
ASPECT_KINDS = {"time": ("throughput", "time"), "latency": ("latency",), "instructions": ("instructions",)}
CSV_COLUMNS = ("row", "metric", "unit", "better", "allocator", "runs", "median", "low", "high", "ratio", "ratio_low",
               "ratio_high", "verdict", "status", "library")
STATUS_WORDS = {"crash": "crashed", "hang": "hung", "wrong": "wrong result", "service": "not served by it",
                "differs": "fails on it", "status": "failed", "load": "load failed",
                "server": "server failed"}


@dataclass
class RowSummary:
    """figures: metric -> allocator -> Figure. comparisons: metric -> other allocator -> Comparison of the subject's
    cost with its cost, so that a ratio below 1 is good for the subject; not of every metric. best: metric -> the other
    allocator with the least cost. failures: allocator -> the run that failed."""
    info: dict
    subject: str
    allocators: list
    figures: dict = field(default_factory=dict)
    comparisons: dict = field(default_factory=dict)
    best: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    samples: dict = field(default_factory=dict)
    disturbed: int = 0
    # What `hakmem compare` judges by; None for rows of the bench.
    demands: stats.Demands | None = None

    def metric(self, name):
        return metrics.metric_of(name, self.info)

    def compare(self, name, one, other):
        """The cost of an allocator with that of another one."""
        better = self.metric(name).better
        costs = [[metrics.cost(value, better) for value in sample] for sample in self.compared(name, (one, other))]
        if self.demands:
            return stats.judge(*costs, self.demands)
        return stats.compare(*costs, exact=self.info["exact"])

    def compared(self, name, pair):
        """The samples that a comparison is made of: under demands, of neighbours."""
        if not self.demands:
            return [self.samples[name][allocator] for allocator in pair]
        rounds = self.rounds_counted(name)
        runs = [{run["round"]: run["metrics"][name] for run in self.info["runs"][allocator] if run["round"] in rounds}
                for allocator in pair]
        return [[found[number] for number in sorted(rounds)] for found in runs]

    def rounds_counted(self, name):
        """In which everything ran that could be run; for times of day without those where others were at work."""
        runs = [[run for run in self.info["runs"][allocator] if name in run["metrics"]]
                for allocator in self.samples.get(name, {})]
        rounds = set.intersection(*({run["round"] for run in some} for some in runs)) if runs else set()
        if name in metrics.OF_THE_CLOCK:
            rounds -= {run["round"] for some in runs for run in some if run.get("disturbed")}
        return rounds

    def others(self, name):
        """The comparisons of a metric, the closest rival first."""
        compared = self.comparisons.get(name, {})
        return sorted(compared, key=lambda other: -compared[other].ratio)

    def versus_best(self, name):
        """(other, Comparison), or None when there is nothing to compare with."""
        best = self.best.get(name)
        return (best, self.comparisons[name][best]) if best else None

    def primary(self):
        """The figure that the row is about: time, instructions, or the memory that remains."""
        if self.info["kind"] == "memory" and self.info["unit"] == "bytes":
            return [next((name for name in ("idle", "freed", "peak") if name in self.figures), "peak")]
        return ["value"]

    def verdict(self, name):
        """In words, against the best other allocator."""
        if self.subject in self.failures:
            return STATUS_WORDS[self.failures[self.subject]["status"]]
        found = self.versus_best(name)
        if found:
            return words.verdict(found[1], found[0], self.metric(name).kind)
        is_disturbed = self.disturbed and len(self.samples.get(name, {})) > 1
        return "not compared: disturbed in all rounds" if is_disturbed else "nothing to compare with"


def row_summarize(row, allocators, subject, demands=None):
    summary = RowSummary(row, subject, allocators, demands=demands)
    values = {}
    for allocator in allocators:
        runs = row["runs"].get(allocator, [])
        failure = next((run for run in runs if run["status"] != "ok"), None)
        if failure:
            summary.failures[allocator] = failure
        summary.disturbed += sum(bool(run.get("disturbed")) for run in runs)
        for run in runs if not failure else ():
            for name, value in run["metrics"].items():
                values.setdefault(name, {}).setdefault(allocator, []).append(value)
    for name in metrics_ordered(values):
        metric = summary.metric(name)
        summary.samples[name] = values[name]
        summary.figures[name] = {allocator: stats.figure(sample) for allocator, sample in values[name].items()}
        if name in metrics.TOTALS and metrics.PER_OPERATION in values:
            continue
        row_compare(summary, name, metric.better)
    return summary


def row_compare(summary, name, better):
    others = [allocator for allocator in summary.samples[name] if allocator != summary.subject]
    if not others or summary.subject not in summary.samples[name]:
        return
    if summary.demands and not summary.rounds_counted(name):
        return
    summary.comparisons[name] = {other: summary.compare(name, summary.subject, other) for other in others}
    summary.best[name] = min(others, key=lambda other: metrics.cost(summary.figures[name][other].median, better))


def metrics_ordered(names):
    known = [name for name in metrics.METRICS if name in names]
    return known + sorted(name for name in names if name not in metrics.METRICS)


def summarize(results):
    names = [allocator["name"] for allocator in results["allocators"]]
    demands = stats.Demands(**results["demands"]) if results.get("demands") else None
    return [row_summarize(row, names, results["subject"], demands)
            for row in results["rows"] if any(row["runs"].values())]


# ---- The overview ----------------------------------------------------------------------------------------------------


def entries(summaries, aspect):
    """(summary, metric) of each line of a part of the overview: of ASPECT_KINDS, "memory", or "still"."""
    if aspect == "still":
        return [(summary, name) for summary in summaries for name in still_metrics(summary)]
    if aspect in ASPECT_KINDS:
        return [(summary, "value") for summary in summaries if summary.info["kind"] in ASPECT_KINDS[aspect]]
    return [(summary, name) for summary in summaries for name in memory_metrics(summary)]


def still_metrics(summary):
    """The row's figures that hold still. A row of instructions is nothing else."""
    if summary.info["kind"] == "instructions":
        return []
    is_fixed_time = metrics.PER_OPERATION in summary.figures
    names = metrics.STILL_FIXED_TIME if is_fixed_time else metrics.STILL_FIXED_WORK
    return [name for name in names if name in summary.figures]


def counted(summaries, aspect):
    """The entries that count in means and tallies: one of each row, since the memory of a row at its peak and later on
    is not two things. Of rows about memory it is what remains, of others the peak."""
    return [(summary, name) for summary, name in entries(summaries, aspect)
            if aspect != "memory" or name == (summary.primary()[0] if summary.info["kind"] == "memory" else "peak")]


def memory_metrics(summary):
    """Those that the overview shows of a row: of most only the peak. A row that times or counts every call needs memory
    for that."""
    info = summary.info
    if info["kind"] in ("latency", "instructions"):
        return []
    if info["kind"] != "memory":
        return [name for name in ("peak",) if name in summary.figures]
    own = () if info["unit"] == "bytes" else ("value",)
    return [name for name in (*own, *metrics.MEMORY) if name in summary.figures]


def entry_part(summary, name):
    """What distinguishes an entry from the others of its workload; may be nothing."""
    info = summary.info
    if info["kind"] != "memory" and name not in still_metrics(summary):
        return info["title"]
    figure = info["unit"] if name == "value" else summary.metric(name).title.removeprefix("memory ").removesuffix(
        " memory")
    return ", ".join(part for part in (info["title"], figure) if part)


def entry_title(summary, name):
    return ": ".join(part for part in (summary.info["workload_title"], entry_part(summary, name)) if part)


def geometric(found, other):
    """The subject against one other over all entries that both have: (Comparison, number of entries) or None."""
    shared = [(summary, name) for summary, name in found if other in summary.comparisons.get(name, {})]
    if len(shared) == 1:
        return shared[0][0].comparisons[shared[0][1]][other], 1
    pairs = []
    for summary, name in shared:
        better = summary.metric(name).better
        pairs.append([[metrics.cost(value, better) for value in summary.samples[name][allocator]]
                      for allocator in (summary.subject, other)])
    comparison = stats.geometric_comparison(pairs)
    return (comparison, len(pairs)) if comparison else None


def tally(found, other=None):
    """How many entries the subject wins, draws and loses, against one other or against the best of each, and of how
    many that cannot be told."""
    won = drawn = lost = untold = 0
    for summary, name in found:
        versus = summary.comparisons.get(name, {}).get(other) if other else (summary.versus_best(name) or
                                                                             [None, None])[1]
        if versus is None:
            continue
        won += versus.differs and versus.ratio < 1
        lost += versus.differs and versus.ratio > 1
        untold += versus.is_vague()
        drawn += not versus.differs and not versus.is_vague()
    return won, drawn, lost, untold


def lost(summaries):
    """(summary, metric) of what is counted in the overview where the best other is better than the subject, or the
    subject failed."""
    aspects = ("time", "memory", "latency", "instructions")
    found = [entry for aspect in aspects for entry in counted(summaries, aspect)]
    return [(summary, name) for summary, name in found if summary.subject in summary.failures or is_lost(summary, name)]


def is_lost(summary, name):
    versus = summary.versus_best(name)
    return versus is not None and versus[1].differs and versus[1].ratio > 1


# ---- CSV -------------------------------------------------------------------------------------------------------------


def csv_rows(summaries, results):
    """Every figure of every row. Ratios and verdicts are the subject's, against this line's allocator."""
    libraries = {allocator["name"]: allocator["library"] for allocator in results["allocators"]}
    for summary in summaries:
        for name, by_allocator in summary.figures.items():
            metric = summary.metric(name)
            for allocator, figure in by_allocator.items():
                versus = summary.comparisons.get(name, {}).get(allocator)
                yield (summary.info["id"], name, metric.unit, metric.better, allocator, figure.count, figure.median,
                       figure.low,
                       figure.high, *((versus.ratio, versus.low, versus.high,
                                       words.verdict(versus, allocator, metric.kind)) if versus else [""] * 4), "ok",
                       libraries[allocator])
        for allocator, run in summary.failures.items():
            yield (summary.info["id"], "", "", "", allocator, 0, *[""] * 7, f"{run['status']}: {run['detail']}",
                   libraries[allocator])


def csv_text(summaries, results):
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(csv_rows(summaries, results))
    return file.getvalue()
