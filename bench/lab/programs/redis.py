"""Runs redis-server under the allocator and redis-benchmark, its client, without one, each on a CPU of its own.
SPDX-License-Identifier: MIT"""
import csv
import math
import os
import subprocess
import time

import process

# What redis-benchmark calls them, and the part of the requests that each gets: some are a hundred times the work.
COMMANDS = {"set": 1, "get": 1, "incr": 1, "lpush": 1, "rpush": 1, "lpop": 1, "sadd": 1, "hset": 1, "zadd": 1,
            "mset": 0.25, "lrange_100": 0.1}
START_SECONDS = 20
SERVER = [
    "redis-server", "--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "no", "--logfile", "log"]


class Session:
    """A running server with its place and the clients' environment."""

    def __init__(self, server, environment, place, until):
        self.server, self.environment, self.place, self.until = server, environment, place, until
        self.alive = True

    def client(self, argv, cpus=None):
        """What the client wrote. While it runs, the server's memory is sampled."""
        with process.on_cpus(cpus), open(os.path.join(self.place, "client"), "w+", encoding="utf-8") as output:
            running = subprocess.Popen(argv, cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.DEVNULL)
            try:
                while running.poll() is None and self.alive and time.monotonic() < self.until:
                    self.alive = not self.server.wait(process.SAMPLE_SECONDS)
            finally:
                running.kill()
                running.wait()
            output.seek(0)
            return output.read()

    def ready(self):
        until = time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < until:
            if self.client(["redis-cli", "-s", "socket", "ping"]).startswith("PONG"):
                return True
        return False

    def rate(self, command, requests, arguments, cpus):
        """Requests per second; None when the server failed on the way."""
        lines = self.client(["redis-benchmark", "-s", "socket", "--csv", "-d", "200", "-r", "100000", *arguments,
                             "-n", str(requests), "-t", command], cpus)
        rows = list(csv.DictReader(lines.splitlines()))
        return float(rows[-1]["rps"]) if rows else None


def measure(arguments, requests, environment, place, limit, cpus=None, **options):
    """The server's Outcome, with the rate of each command among the metrics; "value" is their geometric mean."""
    all_cpus = sorted(cpus or os.sched_getaffinity(0))
    with open(os.path.join(place, "stderr"), "wb") as errors:
        server = process.start(SERVER, environment, place, stderr=errors, cpus=all_cpus[:1], **options)
    session = Session(server, environment, place, time.monotonic() + limit)
    rates = {}
    try:
        if session.ready():
            for command, part in COMMANDS.items():
                rates[command] = session.rate(command, max(1, round(requests * part)), arguments, all_cpus[-1:])
            session.client(["redis-cli", "-s", "socket", "shutdown", "nosave"])
        ended = server.wait(START_SECONDS if session.alive else 0)
    except BaseException:
        server.close()
        raise
    outcome = server.end(None if ended else limit)
    outcome.errors = process.read_text(os.path.join(place, "stderr"))[-process.OUTPUT_KEPT:]
    if outcome.status == "ok" and (not rates or None in rates.values()):
        outcome.status, outcome.detail = "crash", "the server stopped answering"
    if outcome.status == "ok":
        outcome.metrics["value"] = math.exp(sum(map(math.log, rates.values())) / len(rates))
        outcome.metrics |= {"requests_" + command: rate for command, rate in rates.items()}
    return outcome
