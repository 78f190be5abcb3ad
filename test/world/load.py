"""Load for servers that speak HTTP: threads that ask for the same paths again and again.
SPDX-License-Identifier: MIT"""
import concurrent.futures
import hashlib
import http.client
import socket
import time

from trial import Failure

THREADS = 8
RETRY_SECONDS = 0.1


class Connection(http.client.HTTPConnection):
    """To a port of the loopback, or to a socket in the file system."""

    def __init__(self, address):
        super().__init__("127.0.0.1", timeout=60)
        self.address = address

    def connect(self):
        if isinstance(self.address, int):
            self.sock = socket.create_connection(("127.0.0.1", self.address), self.timeout)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.address)


def get(address, path, body=None):
    """(status, content)"""
    connection = Connection(address)
    try:
        connection.request("POST" if body else "GET", path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{path}: {error!r}") from error
    finally:
        connection.close()


def ask_once(connection, path):
    """(status, digest of the content). A server may close a connection that rests, so one that was used before gets a
    second try, as in a browser."""
    was_used = connection.sock is not None
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, hashlib.sha256(answer.read()).hexdigest()[:16]
    except (OSError, http.client.HTTPException):
        connection.close()
        if not was_used:
            raise
        return ask_once(connection, path)


def ask(address, paths, count, retries):
    """A client with one connection for a while; path -> the set of answers."""
    answers = {path: set() for path in paths}
    connection = Connection(address)
    for i in range(count):
        path = paths[i % len(paths)]
        for attempt in range(retries + 1):
            try:
                answers[path].add(ask_once(connection, path))
                break
            except (OSError, http.client.HTTPException) as error:
                if attempt == retries:
                    answers[path].add(repr(error))
                time.sleep(RETRY_SECONDS)
        if i % 50 == 49:
            connection.close()
    connection.close()
    return answers


def load(run, address, paths, count, retries=0):
    """Asks each path count times in all, and records the answers: one and the same for each path. A server that
    refuses connections while it reads its configuration anew needs retries."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(lambda _: ask(address, paths, count * len(paths) // THREADS, retries),
                             range(THREADS)))
    for path in paths:
        answers = set().union(*(part[path] for part in parts))
        if len(answers) != 1 or next(iter(answers))[0] != 200:
            raise Failure(f"answers to {path}: {sorted(map(str, answers))[:5]}")
        run.record(f"answer to {path}", answers)
