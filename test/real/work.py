"""Work for python3: a large JSON document, containers, strings, regular expressions, big numbers, threads.
SPDX-License-Identifier: MIT"""
import collections
import decimal
import hashlib
import itertools
import json
import re
import sys
import threading
import zlib

STATE = 12345


def random_next(limit):
    global STATE
    STATE = (STATE * 6364136223846793005 + 1442695040888963407) % 2**64
    return (STATE >> 33) % limit


def document(records):
    return [{"id": i, "name": f"record {random_next(10**6):x}", "tags": ["t%d" % random_next(50)] * random_next(8),
             "point": [random_next(1000) / 7, random_next(1000) / 11], "note": "n" * random_next(300) + "\u20ac",
             "nested": {"previous": i - 1, "empty": {}, "flag": None}} for i in range(records)]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def json_work(records):
    text = json.dumps(document(records), ensure_ascii=False)
    for indent in (None, 1, 4):
        text = json.dumps(json.loads(text), indent=indent, sort_keys=True)
        print("json", indent, len(text), digest(text))
    words = collections.Counter(re.findall(r"\w+", text))
    print("words", len(words), sorted(words.items(), key=lambda item: (-item[1], item[0]))[:5])
    print("zlib", digest(zlib.decompress(zlib.compress(text.encode(), 6)).decode()))


def containers_work(rounds):
    queue = collections.deque(maxlen=5000)
    table = {}
    for i in range(rounds):
        key = random_next(rounds)
        table[key] = [i] * (key % 40)
        queue.append(bytes(key % 3000))
        if i % 3 == 0:
            table.pop(random_next(rounds), None)
    print("containers", len(table), sum(map(len, table.values())), sum(map(len, queue)))
    grown = bytearray()
    for i in range(rounds):
        grown += b"%d," % i
    print("grown", len(grown), hashlib.sha256(grown).hexdigest())
    decimal.getcontext().prec = 2000
    print("numbers", digest(str(decimal.Decimal(2).sqrt())), digest(hex(3**20000)))
    print("groups", sum(len(list(group)) for _, group in itertools.groupby(sorted(table), lambda key: key // 7)))


def threads_work(threads, rounds):
    """Each thread makes what the next one drops."""
    slots = [[] for _ in range(threads)]
    sums = [0] * threads

    def body(me):
        for i in range(rounds):
            slots[(me + 1) % threads].append(bytearray((i * 37 + me) % 5000))
            while len(slots[me]) > 10:
                sums[me] += len(slots[me].pop())

    workers = [threading.Thread(target=body, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("threads", sum(sums) + sum(len(block) for slot in slots for block in slot))


scale = int(sys.argv[1])
json_work(20 * scale)
containers_work(200 * scale)
threads_work(4, 50 * scale)
