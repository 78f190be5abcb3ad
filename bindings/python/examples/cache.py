#!/usr/bin/env python3
"""A service that drops its cache says what that was worth: PYTHONMALLOC=malloc python3 -m hakmem run python3 cache.py"""
import sys

import hakmem


def live():
    """MiB in blocks that are in use."""
    stats = hakmem.stats()
    return (stats["bytes.live"].value + stats["bytes.large"].value) >> 20


def main():
    if not hakmem.is_active():
        sys.exit(str(hakmem.NotActive()))
    cache = {number: f"page {number}: " + "x" * 1000 for number in range(50_000)}
    print(f"hakmem {hakmem.version()}: {live()} MiB in use with {len(cache)} pages in the cache")
    cache.clear()
    hakmem.trim()
    print(f"{live()} MiB without them")


if __name__ == "__main__":
    main()
