"""Real programs whose mallocs and frees are recorded: each is started with the recorder, and what it says goes nowhere.
SPDX-License-Identifier: MIT"""
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(HERE, "..", "..", "test", "real")
sys.path.insert(0, WORK)
import inputs  # noqa: E402

# Heavy queries of one backend, with pauses, in which nothing calls malloc, and with small queries.
POSTGRES_HEAVY = ("select count(*) from (select md5(i::text) x from generate_series(1, 200000) i order by x"
                  " offset 0) y;",
                  "select count(*), max(length(a)) from (select string_agg(md5(i::text), ',') a"
                  " from generate_series(1, 200000) i group by i % 1000) y;")
POSTGRES_SMALL = "select count(*) from pg_class where relname like 'pg_a%';"


class Missing(Exception):
    pass


def find(pattern):
    found = sorted(glob.glob(pattern))
    if not found:
        raise Missing(pattern)
    return found[-1]


def record(recorder, folder, argv, name=None, text="", **environment):
    """The trace of the program's first process."""
    environment = {**os.environ, "RECORDER_TRACES": folder, "LD_PRELOAD": recorder, **environment}
    with subprocess.Popen(argv, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        errors = process.communicate(text)[1]
    if process.returncode != 0:
        raise Missing(f"{' '.join(argv)} ended with {process.returncode}: {errors[-300:]}")
    return find(f"{folder}/{name or os.path.basename(argv[0])}.{process.pid}.trace")


def python(recorder, folder):
    return record(recorder, folder, [os.path.realpath(sys.executable), os.path.join(WORK, "work.py"), "100"],
                  PYTHONMALLOC="malloc", PYTHONDONTWRITEBYTECODE="1")


def perl(recorder, folder):
    return record(recorder, folder, ["perl", os.path.join(WORK, "work.pl"), "30"])


def sqlite(recorder, folder):
    with open(os.path.join(WORK, "work.sql"), encoding="utf-8") as script:
        return record(recorder, folder, ["sqlite3", ":memory:"], text=script.read())


def cc1(recorder, folder):
    source = os.path.join(folder, "unit.c")
    with open(source, "wb") as file:
        file.write(inputs.c_source(1, 200))
    where = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True)
    return record(recorder, folder, [where.stdout.strip(), "-quiet", "-O2", "-o", f"{folder}/unit.s", source])


def postgres(recorder, folder):
    """One backend without a server; it refuses to be root's."""
    binaries = os.path.dirname(find("/usr/lib/postgresql/*/bin/postgres"))
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        subprocess.run(["chown", "nobody", folder], check=True)
    data = os.path.join(folder, "data")
    subprocess.run([*user, f"{binaries}/initdb", "-D", data, "-U", "world", "-A", "trust", "--no-sync"], check=True,
                   stdout=subprocess.DEVNULL, cwd=folder)
    queries = []
    for heavy in POSTGRES_HEAVY * 3:
        queries += [heavy, "select pg_sleep(2);", *[POSTGRES_SMALL] * 20, "select pg_sleep(1);"]
    return record(recorder, folder, [*user, f"{binaries}/postgres", "--single", "-D", data, "-c", "work_mem=64MB", "-c",
                                     "jit=off", "postgres"], name="postgres", text="\n".join(queries) + "\n")


PROGRAMS = {"python3": python, "perl": perl, "sqlite3": sqlite, "cc1": cc1, "postgres": postgres}
