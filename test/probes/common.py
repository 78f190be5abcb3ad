"""What the tests of probes share: the probes of a file, as readelf sees them, and what their events must say.
SPDX-License-Identifier: MIT"""
import json
import math
import re
import subprocess

SAMPLE = 16 << 10  # bytes, in the mean, between samples
ERRORS = 7         # standard errors that an estimate may be off


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True).stdout


def probes(path):
    """{name: {"place", "base", "semaphore", "values"}} of the provider otel_memory; no probe may be there twice."""
    pattern = (r"Provider: otel_memory\n\s+Name: (\w+)\n\s+Location: (0x\w+), Base: (0x\w+), Semaphore: (0x\w+)\n"
               r"\s+Arguments: (.*)")
    found = re.findall(pattern, readelf("--notes", path))
    assert len(found) == len({name for name, *_ in found}), f"{path}: a probe is there twice: {found}"
    return {name: {"place": int(place, 16), "base": int(base, 16), "semaphore": int(semaphore, 16),
                   "values": values.strip()} for name, place, base, semaphore, values in found}


def heap_live(tool, process):
    """The bytes that hakmem's own record says are live, by all samples."""
    result = subprocess.run([tool, "heap", "--format", "json", str(process)], capture_output=True, text=True,
                            check=False)
    if "recorded nothing yet" in result.stderr:
        return 0
    assert result.returncode == 0, result.stderr
    return sum(row.get("live", 0) for row in json.loads(result.stdout)["rows"])


def is_near(estimate, exact, samples):
    """Whether a sum of weights is what it estimates; samples: (size, weight) of each. The variance of the sum is itself
    estimated from these: a block that is one with the chance p = size / weight adds weight^2 (1 - p)."""
    error = math.sqrt(sum(weight * (weight - size) for size, weight in samples))
    return abs(estimate - exact) <= ERRORS * error


def told_blocks(path):
    """{address: size} of the blocks that program.c has left."""
    with open(path, encoding="ascii") as file:
        return {int(address): int(size) for address, size in map(str.split, file)}
