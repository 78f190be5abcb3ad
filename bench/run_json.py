#!/usr/bin/env python3
"""Real work for an allocator: build a JSON document of some 20 MB, parse it, regroup it, and write it out again.

Everything is computed from a fixed seed, so that the results are known; they are checked, and the exit status is 1 when
one is wrong. Meant to be run with PYTHONMALLOC=malloc, or else Python serves small objects from arenas of its own.

usage: run_json.py [RECORDS]
"""
import hashlib
import json
import sys
import time

RECORDS = 60_000
# Of the document and of the report for that many records.
DIGESTS = {
    "document": "6f3caeb8030b957fda5b71936ffec5e8745b9cb644b35cc9a10218340291c641",
    "report": "0e3b98e5c8ca7189af3600b5ea1173e2acd37c6c3f6caccf1cfd9d772705be64",
}


def numbers(seed):
    """An endless sequence of 32-bit numbers, the same everywhere: Knuth's MMIX generator, its upper half."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 32


def documents(count):
    """Orders of a shop: nested, of very different sizes, with short and long strings."""
    random = numbers(2026)
    words = ["".join(chr(97 + next(random) % 26) for _ in range(2 + next(random) % 9)) for _ in range(500)]

    def text(length):
        return " ".join(words[next(random) % len(words)] for _ in range(length))

    for number in range(count):
        items = [
            {"sku": f"{next(random) % 5000:05d}", "count": 1 + next(random) % 9, "cents": next(random) % 100_000}
            for _ in range(1 + next(random) % 6)
        ]
        yield {
            "order": number,
            "customer": {
                "id": next(random) % 9000,
                "name": text(2),
                "tags": [text(1) for _ in range(next(random) % 4)],
            },
            "items": items,
            "note": text(next(random) % 200 if next(random) % 10 == 0 else next(random) % 8),
        }


def report(orders):
    """What each customer spent and bought, richest first."""
    customers = {}
    for order in orders:
        entry = customers.setdefault(order["customer"]["id"], {"cents": 0, "orders": [], "words": set(), "skus": {}})
        entry["orders"].append(order["order"])
        entry["words"].update(order["note"].split())
        for item in order["items"]:
            entry["cents"] += item["count"] * item["cents"]
            entry["skus"][item["sku"]] = entry["skus"].get(item["sku"], 0) + item["count"]
    ranking = sorted(customers.items(), key=lambda pair: (-pair[1]["cents"], pair[0]))
    return [{"customer": key, **entry, "words": sorted(entry["words"])} for key, entry in ranking]


def allocator():
    """The library that serves malloc in this process, as far as the memory map tells."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if "libhakmem" in line}
    return ", ".join(sorted(paths)) or "the system's (libhakmem is not loaded)"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    start = time.perf_counter()
    document = json.dumps(list(documents(count)))
    orders = json.loads(document)
    result = json.dumps(report(orders))
    seconds = time.perf_counter() - start

    print(f"allocator: {allocator()}")
    print(f"document:  {len(document):,} bytes, {count:,} orders; report: {len(result):,} bytes; {seconds:.2f} s")
    if json.dumps(orders) != document:
        sys.exit("run_json.py: WRONG: the parsed document is not the one that was written")
    if count == RECORDS:
        for name, text in (("document", document), ("report", result)):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest != DIGESTS[name]:
                sys.exit(f"run_json.py: WRONG: the {name} has the SHA-256 {digest}, expected {DIGESTS[name]}")
        print("result:    right (both texts have the known SHA-256)")
    else:
        print("result:    right (the document came back unchanged)")


main()
