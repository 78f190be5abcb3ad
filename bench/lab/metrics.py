"""Every figure that a run can give: what it is called, and what a difference in it is called. The only such table.
SPDX-License-Identifier: MIT"""
from typing import NamedTuple


class Metric(NamedTuple):
    """kind: how words.py speaks of a difference. A row's own primary figure is "value", whose unit is the row's."""
    title: str
    unit: str
    kind: str
    better: str = "lower"


# Of every call by itself: as the workload program names them.
CALLS = ("malloc", "free", "realloc")
PERCENTILES = {"p50": "median", "p99": "99 %", "p99.9": "99.9 %", "p99.99": "99.99 %", "p99.9999": "99.9999 %",
               "max": "slowest"}

METRICS = {
    "value": Metric("result", "", "time"),
    "wall": Metric("wall time", "s", "time"),
    "cpu": Metric("CPU time", "s", "time"),
    "user": Metric("user time", "s", "time"),
    "system": Metric("system time", "s", "time"),
    "cpu_per_operation": Metric("CPU time per operation", "s", "time"),
    **{f"{call}_{name}": Metric(f"{call}, {title}", "ns", "time") for call in CALLS
       for name, title in PERCENTILES.items()},
    "instructions": Metric("instructions", "count", "count"),
    "minor_faults": Metric("minor page faults", "count", "count"),
    "faults_per_1000": Metric("page faults per 1000 operations", "count", "count"),
    "major_faults": Metric("major page faults", "count", "count"),
    "voluntary_switches": Metric("voluntary context switches", "count", "count"),
    "involuntary_switches": Metric("involuntary context switches", "count", "count"),
    "peak": Metric("peak memory", "bytes", "memory"),
    "steady": Metric("memory in steady state", "bytes", "memory"),
    "freed": Metric("memory after free", "bytes", "memory"),
    "idle": Metric("memory after idle time", "bytes", "memory"),
    "trimmed": Metric("memory after malloc_trim", "bytes", "memory"),
}
# The memory figures that the overview compares, where a row has them.
MEMORY = ("peak", "freed", "idle", "trimmed")
# Sums over a run. In runs of a fixed time they grow with the speed, and there is nothing to compare.
TOTALS = ("wall", "cpu", "user", "system", "minor_faults", "major_faults", "voluntary_switches",
          "involuntary_switches", "instructions")
# Other programs at work on the machine make these longer.
OF_THE_CLOCK = ("wall", "value")
# Where an operation of a run of a fixed time has its own figures, this is one of them.
PER_OPERATION = "faults_per_1000"
# The figures that hold still on a noisy machine: of a run of a fixed time, and of one of a fixed work.
STILL_FIXED_TIME, STILL_FIXED_WORK = (PER_OPERATION,), ("minor_faults", "instructions")


def metric_of(name, row):
    """The metric of that name in a row (its description): the primary one has the row's unit and direction. Names
    "requests_X" are rates of a server's commands."""
    if name.startswith("requests_"):
        return Metric(name.removeprefix("requests_").upper() + " requests", "requests/s", "time", "higher")
    metric = METRICS[name]
    if name != "value":
        return metric
    kind = {"memory": "memory", "instructions": "count"}.get(row["kind"], "time")
    return Metric(row.get("value_title") or "result", row["unit"], kind, row["better"])


def cost(value, better):
    """Such that less is better: what a verdict compares."""
    return value if better == "lower" else 1 / value if value else float("inf")
