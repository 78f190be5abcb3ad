"""documents.py ROUNDS - reads and writes JSON: documents of a few megabytes are parsed, regrouped and written again.
SPDX-License-Identifier: MIT"""
import hashlib
import json
import random
import sys


def document(seed, orders):
    number = random.Random(seed).random
    return {
        "orders": [{
            "id": i, "customer": {
                "name": f"Customer {int(number() * 5000)}", "tags": ["t" * int(number() * 20)
                                                                     for _ in range(3)]},
            "lines": [{
                "sku": f"S{int(number() * 9999)}", "count": int(number() * 9), "price": round(number() * 100, 2)}
                      for _ in range(1 + int(number() * 8))], "comment": "word " * int(number() * number() * 60)}
                   for i in range(orders)]}


def regrouped(parsed):
    groups = {}
    for order in parsed["orders"]:
        for line in order["lines"]:
            groups.setdefault(line["sku"], []).append({"order": order["id"], **line})
    return groups


digest = hashlib.sha256()
texts = [json.dumps(document(seed, 1500 + 1000 * seed)) for seed in range(3)]
for turn in range(int(sys.argv[1])):
    parsed = json.loads(texts[turn % len(texts)])
    digest.update(json.dumps(regrouped(parsed), sort_keys=True, indent=turn % 2).encode())
print(digest.hexdigest())
