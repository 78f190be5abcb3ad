"""Work for numpy and pandas: algebra, sorts, joins, groups, text, files. Prints digests of rounded results.
SPDX-License-Identifier: MIT"""
import hashlib
import io
import sys

import numpy
import pandas


def show(name, values):
    text = numpy.array2string(numpy.asarray(values).ravel()[:200], precision=4, threshold=300)
    print(name, hashlib.sha256(text.encode()).hexdigest()[:16])


def arrays(rounds):
    random = numpy.random.default_rng(12345)
    for size in range(200, 200 + 60 * rounds, 60):
        matrix = random.random((size, size)) + numpy.eye(size) * size
        show("solution", numpy.linalg.solve(matrix, matrix.sum(axis=1)))
        show("values", numpy.sort(numpy.linalg.eigvalsh(matrix + matrix.T)))
    long = random.integers(0, 10 ** 9, 3_000_000)
    show("sorted", numpy.sort(long)[::10000])
    show("unique", numpy.unique(long % 1000, return_counts=True)[1])
    show("spectrum", numpy.abs(numpy.fft.rfft(long[:1 << 18] / 1e9))[1:200])
    for size in range(1, 3000):
        numpy.concatenate([numpy.arange(size), numpy.ones(size)]).reshape(2, -1).copy()
    pieces = [random.random(random.integers(1, 60000)) for _ in range(400)]
    show("pieces", [piece.sum() for piece in pieces])


def frames(rounds):
    random = numpy.random.default_rng(54321)
    count = 60000 * rounds
    left = pandas.DataFrame({"key": random.integers(0, 5000, count), "value": random.random(count),
                             "word": random.choice(["red", "green", "blue", "grey"], count)})
    right = pandas.DataFrame({"key": numpy.arange(5000), "name": [f"name {i * 7919 % 5000}" for i in range(5000)]})
    joined = left.merge(right, on="key").sort_values(["name", "value"])
    show("joined", joined["value"].head(200))
    grouped = joined.groupby(["word", "key"])["value"].agg(["mean", "max", "count"])
    show("grouped", grouped["mean"].head(200))
    show("pivot", joined.pivot_table(index="key", columns="word", values="value", aggfunc="sum").fillna(0).head(50))
    text = joined.head(40000).to_csv(index=False)
    back = pandas.read_csv(io.StringIO(text))
    show("lengths", back["name"].str.upper().str.replace("NAME", "n").str.len().value_counts().sort_index())
    show("rolling", back["value"].rolling(50).median().dropna().head(200))


if __name__ == "__main__":
    arrays(int(sys.argv[1]))
    frames(int(sys.argv[1]))
