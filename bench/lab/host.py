"""What the machine takes for the things that allocators differ in, measured before anything else and told beside the
results: where a page fault is ten times as dear as elsewhere, other allocators are fast.
SPDX-License-Identifier: MIT"""
import json
import os

import process
import words

# As hakmem-workloads --host has them, in nanoseconds -> what is said of each. Negative or none: not to be had here.
COSTS = {
    "page_fault": "page fault (the first touch of a page of memory)",
    "system_call": "system call (getppid)",
    "cache_miss": "cache miss (a random line of 256 MiB)",
    "huge_page": "huge page (the first touch of one, of 2 MiB)",
}
SMALL_PAGES = (2 << 20) // os.sysconf("SC_PAGE_SIZE")


def measure(workloads):
    """{} where the program is not there."""
    if not workloads or not os.path.exists(workloads):
        return {}
    found = json.loads(process.capture([workloads, "--host"]))
    return {name: found[name] for name in COSTS}


def lines(costs):
    """[(what, how long, note)]."""
    return [(title, words.quantity(costs[name], "ns") if costs.get(name) else "none to be had", note(name, costs))
            for name, title in COSTS.items()] if costs else []


def note(name, costs):
    if name != "huge_page" or not costs.get(name) or not costs.get("page_fault"):
        return ""
    return f"{words.multiple(costs[name] / (SMALL_PAGES * costs['page_fault']))} times the page faults that it saves"


def terminal(costs):
    return "\n".join(["What this machine takes",
                      *(f"  {title:48}  {value:>12}" + (f"  {more}" if more else "")
                        for title, value, more in lines(costs))]) + "\n" if costs else ""
