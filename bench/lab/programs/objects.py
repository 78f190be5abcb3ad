"""objects.py ROUNDS - the life of many small objects: a simulation with trees, dictionaries, strings and closures.
SPDX-License-Identifier: MIT"""
import collections
import random
import sys

Event = collections.namedtuple("Event", "time source text")


class Node:
    def __init__(self, depth, number):
        self.name = f"node-{depth}-{int(number() * 1000)}"
        self.weight = number()
        self.children = [Node(depth - 1, number) for _ in range(1 + int(number() * 4))] if depth else []
        self.notes = {f"k{i}": [i, str(i) * 3] for i in range(int(number() * 5))}

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()


def simulate(turn, kept):
    number = random.Random(turn).random
    root = Node(7, number)
    events = collections.deque(maxlen=3000)
    counts = collections.Counter()
    for node in root.walk():
        events.append(Event(number(), node.name, node.name * 2))
        counts[node.name[:8]] += len(node.notes)
        node.later = lambda n=node: n.weight + len(n.children)
    kept[turn % len(kept)] = sorted(events)[:500]
    return sum(counts.values()) + round(sum(node.later() for node in root.walk()))


kept = [[] for _ in range(12)]
print(sum(simulate(turn, kept) for turn in range(int(sys.argv[1]))))
