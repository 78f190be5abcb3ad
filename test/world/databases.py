"""Servers that keep data. They listen on sockets in the run's folder, are filled and asked by several clients at once,
told to read their configuration anew, left idle and stopped; what they say of the data has to be the same.
SPDX-License-Identifier: MIT"""
import concurrent.futures
import os
import signal
import socket

import inputs
import real
from catalog import program
from run import find
from trial import Failure, need

CLIENTS = 4


def at_once(work, arguments):
    """The results of work for each argument, in threads."""
    with concurrent.futures.ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(work, arguments))


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------

POSTGRES_OPTIONS = ["-c", "shared_buffers=64MB", "-c", "work_mem=48MB", "-c", "max_parallel_workers_per_gather=2",
                    "-c", "fsync=off", "-c", "jit=on", "-c", "jit_above_cost=100000", "-c", "listen_addresses="]
POSTGRES_TOTALS = ("SELECT count(*), sum(abalance) = (SELECT sum(tbalance) FROM pgbench_tellers), "
                   "sum(abalance) = (SELECT sum(delta) FROM pgbench_history) FROM pgbench_accounts")


@program("postgresql", "postgres", "psql --version", quick=True)
def postgresql(run):
    programs = find("/usr/lib/postgresql/*/bin")
    run.folder_make("data")
    run.run([f"{programs}/initdb", "-D", "data", "-U", "world", "-A", "trust", "--no-sync"], leave_out="")
    server = run.start([f"{programs}/postgres", "-D", "data", "-k", run.folder, *POSTGRES_OPTIONS])

    def ask(*statements):
        commands = [word for statement in statements for word in ("-c", statement)]
        return run.run([f"{programs}/psql", "-h", run.folder, "-U", "world", "-d", "postgres", "-qAt", "-v",
                        "ON_ERROR_STOP=1", *commands], client=True)

    def bench(*options):
        return run.run([f"{programs}/pgbench", "-h", run.folder, "-U", "world", *options, "postgres"],
                       client=True, leave_out="")

    run.wait_for("postgres", lambda: bench("--initialize", "--scale", "3", "--quiet"), server)
    bench("--client", "8", "--jobs", "2", "--transactions", "500")
    bench("--client", "8", "--jobs", "2", "--transactions", "1500", "--select-only", "--protocol", "prepared")
    ask(POSTGRES_TOTALS)
    run.take("postgresql.sql")
    at_once(lambda table: run.run([f"{programs}/psql", "-h", run.folder, "-U", "world", "-d", "postgres", "-qAt", "-v",
                                   "ON_ERROR_STOP=1", "-v", f"name=item{table}", "-f", "postgresql.sql"],
                                  client=True), range(CLIENTS))
    server.process.send_signal(signal.SIGHUP)
    ask("VACUUM ANALYZE", POSTGRES_TOTALS)
    idle_client = run.start([f"{programs}/psql", "-h", run.folder, "-U", "world", "-d", "postgres", "-qAt", "-c",
                             "SELECT count(*) FROM (SELECT md5(i::text) x FROM generate_series(1, 300000) i "
                             "ORDER BY x OFFSET 0) y", "-c", f"\\! sleep {run.idle_seconds + 6:.0f}"], client=True)
    run.idle()
    idle_client.wait(60 * run.patience)
    server.stop(signal.SIGINT)


# ---- MariaDB ---------------------------------------------------------------------------------------------------------


@program("mariadb", "mariadbd", "mariadbd --version", quick=True)
def mariadb(run):
    run.folder_make("data")
    run.take("mariadb.cnf", FOLDER=run.folder)
    options = [f"--defaults-file={run.path('mariadb.cnf')}"]
    run.run([need("mariadb-install-db", "mariadb-server-core"), *options, "--auth-root-authentication-method=normal",
             "--skip-test-db"], leave_out="")
    server = run.start([need("mariadbd", "mariadb-server-core"), *options])

    def ask(script, database="world"):
        return run.run([need("mariadb", "mariadb-client-core"), *options, "-uroot", "--batch", database],
                       stdin=script, client=True)

    run.wait_for("mariadbd", lambda: ask(b"CREATE DATABASE IF NOT EXISTS world", "mysql"), server)
    for number in range(CLIENTS):
        run.take("mariadb.sql", f"work{number}.sql", NAME=f"item{number}")
    at_once(lambda number: ask(run.read(f"work{number}.sql")), range(CLIENTS))
    server.process.send_signal(signal.SIGHUP)
    ask(b"CHECKSUM TABLE item0, item1, item2, item3")
    run.idle()
    server.stop()


# ---- Keys and values -------------------------------------------------------------------------------------------------

REDIS_COMMANDS = 60000


@program("redis", "redis-*", "redis-server --version")
def redis(run):
    server = run.start([need("redis-server", "redis-server"), *real.REDIS_OPTIONS])

    def ask(*words, **options):
        return run.run([need("redis-cli", "redis-tools"), "-s", "redis.sock", *words], client=True, **options)

    run.wait_for("redis-server", lambda: ask("PING", leave_out=""), server)
    ask("--pipe", stdin=inputs.redis_commands(REDIS_COMMANDS))
    ask("EVAL", real.REDIS_SCRIPT, "0")
    run.run([need("redis-benchmark", "redis-tools"), *real.REDIS_BENCHMARK], client=True, leave_out="")
    ask("DEBUG", "RELOAD")
    ask("DEBUG", "DIGEST")
    ask("DBSIZE")
    ask("FLUSHALL", "ASYNC")
    run.idle()
    server.stop()


def memcached_talk(number):
    """Stores values of many sizes, replaces and deletes some; what is there at the end."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(60)
        one.connect("memcached.sock")
        stream = one.makefile("rwb")
        for i in range(6000):
            value = b"v" * (i * 7919 % 3000 + (100000 if i % 500 == 0 else 0))
            stream.write(b"set k%d-%d 0 0 %d\r\n%b\r\n" % (number, i % 2000, len(value), value))
            stream.flush()
            if stream.readline() != b"STORED\r\n":
                raise Failure(f"memcached did not store value {i}")
            if i % 7 == 0:
                stream.write(b"delete k%d-%d noreply\r\n" % (number, i * 31 % 2000))
        lengths = []
        for i in range(2000):
            stream.write(b"get k%d-%d\r\n" % (number, i))
            stream.flush()
            header = stream.readline()
            if header != b"END\r\n":
                lengths.append((i, set(stream.read(int(header.split()[3]))) <= {118}, int(header.split()[3])))
                stream.readline(), stream.readline()
        return lengths


@program("memcached", "memcached", "memcached --version")
def memcached(run):
    server = run.start([need("memcached", "memcached"), "-s", "memcached.sock", "-m", "64", "-t", "4"])
    run.wait_for("memcached", lambda: os.path.exists("memcached.sock"), server)
    run.record("what memcached holds", at_once(memcached_talk, range(CLIENTS)))
    run.idle()
    server.stop()


@program("sqlite", "sqlite3", "sqlite3 --version")
def sqlite(run):
    with open(os.path.join(real.SOURCE, "work.sql"), "rb") as file:
        script = file.read()
    run.run([need("sqlite3", "sqlite3"), ":memory:"], stdin=script)
    run.run(["sqlite3", "work.db"], stdin=script)
    run.run(["sqlite3", "work.db", ".dump"])


@program("mosquitto", "mosquitto", "mosquitto -h")
def mosquitto(run):
    run.put("mosquitto.conf", "listener 0 mosquitto.sock\nallow_anonymous true\nlog_dest stderr\n")
    server = run.start([need("mosquitto", "mosquitto"), "-c", "mosquitto.conf"])
    run.wait_for("mosquitto", lambda: os.path.exists("mosquitto.sock"), server)
    run.record("what subscribers got", at_once(mosquitto_talk, range(CLIENTS)))
    server.process.send_signal(signal.SIGHUP)
    run.idle()
    server.stop()


def mosquitto_packet(kind, body):
    length, size = b"", len(body)
    while True:
        size, part = divmod(size, 128)
        length += bytes([part | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def mosquitto_read(stream):
    kind, size, shift = stream.read(1)[0], 0, 0
    while True:
        part = stream.read(1)[0]
        size |= (part & 127) << shift
        shift += 7
        if part < 128:
            return kind, stream.read(size)


def mosquitto_talk(number):
    """MQTT: subscribes to a topic, publishes to it, and reads what comes back; how much that was."""
    def text(words):
        return len(words).to_bytes(2, "big") + words
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(60)
        one.connect("mosquitto.sock")
        stream = one.makefile("rwb")
        stream.write(mosquitto_packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x3c" + text(b"client%d" % number)))
        stream.write(mosquitto_packet(0x82, b"\x00\x01" + text(b"topic/%d/#" % number) + b"\x00"))
        stream.flush()
        got = [mosquitto_read(stream)[0], mosquitto_read(stream)[0]]
        for i in range(4000):
            stream.write(mosquitto_packet(0x30, text(b"topic/%d/%d" % (number, i % 50)) + b"m" * (i * 7919 % 2000)))
            stream.flush()
            got.append(len(mosquitto_read(stream)[1]))
        return sum(got), len(got)
