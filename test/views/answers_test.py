#!/usr/bin/env python3
"""The questions of docs/answers.md, asked of Debian's programs, which know nothing of hakmem: answers_test.py HAKMEM.

A program that is not installed is passed over.
SPDX-License-Identifier: MIT"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOOL = str(pathlib.Path(sys.argv.pop()).resolve())
PATHS = os.environ["PATH"] + ":/usr/sbin"
PATIENCE = 60  # seconds until something has to have happened

PYTHON = """
import time
rows = [{"id": i, "name": "row %d" % i} for i in range(600_000)]
index = {row["id"]: row["name"] for row in rows[::50]}
rows = None
print("ready", flush=True)
time.sleep(1000)
"""

RUBY = """
recent, kept = [], []
400_000.times do |i|
  text = "entry #{i} " * 20
  kept << text if i % 12 == 0 # so that no page of memory between them is free
  recent << text
  recent.shift if recent.size > 300_000
end
recent = nil
GC.start
puts "ready"
$stdout.flush
loop { sleep 0.1; ("x" * 100_000).clear }
"""

SHOP = """const cache = new Map();
function renderPage() { return Buffer.alloc(30000, "page"); }
function loadImage(id) { cache.set(id % 1000, Buffer.alloc(200000, "image")); }
function handle(id) { renderPage(); if (id % 20 == 0) loadImage(id); }
let id = 0;
setInterval(() => { for (let i = 0; i < 100; i++) handle(id++); }, 10);
console.log("ready");
"""

PHP = """<?php
ini_set("memory_limit", "-1");
$rows = [];
for ($i = 0; $i < 200000; $i++) $rows[] = ["id" => $i, "name" => str_repeat("x", 50)];
echo "ready\\n";
sleep(1000);
"""

WORKER = """<?php
ini_set("memory_limit", "-1");
function row_make($i) { return ["id" => $i, "name" => str_repeat("x", 50)]; }
$rows = [];
for ($i = 0;; $i++) {
    $rows[] = row_make($i);
    if ($i % 20000 == 0)
        usleep(100000);
}
"""

SERVER = """
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>
struct Session { std::string user; std::vector<char> buffer; };
static std::map<long, Session *> sessions;
static std::vector<std::string> recent(1000);
static void session_open(long id) { sessions[id] = new Session{"user" + std::to_string(id), std::vector<char>(2000)}; }
static void request_handle(long id)
{
    recent[id % recent.size()] = std::string(5000, 'x');
    if (id % 3 == 0)
        session_open(id);
}
int main()
{
    puts("ready");
    fflush(stdout);
    for (long id = 0;; id++) {
        request_handle(id);
        if (id % 100 == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}
"""


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, check=False)


def group_make(limit):
    """A control group below this process's that may have so many bytes, of either version; None where none can be made."""
    lines = [line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()]
    for _, controllers, path in lines:
        root = "/sys/fs/cgroup/memory" if "memory" in controllers.split(",") else "/sys/fs/cgroup"
        if controllers and "memory" not in controllers.split(","):
            continue
        group = pathlib.Path(f"{root}{path.rstrip('/')}/hakmem-answers-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text(str(limit), encoding="ascii")
                return group
        group.rmdir()
    return None


def needs(program):
    return unittest.skipUnless(shutil.which(program, path=PATHS), f"{program} is not installed")


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name).resolve()

    def started(self, *command, **environment):
        """The program on hakmem, when it has said that it is ready."""
        process = subprocess.Popen([TOOL, "run", "--", *map(str, command)], stdout=subprocess.PIPE,
                                   cwd=self.directory, env={**os.environ, **environment})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process.pid

    def script(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def shown(self, *arguments):
        result = run(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        return result.stdout

    def has_record(self, process):
        result = run("why", process)
        self.assertTrue(result.returncode == 0 or "has recorded nothing yet" in result.stderr, result)
        return result.returncode == 0

    def why(self, process, pattern):
        """What `hakmem why` says as one line, once it is like that."""
        until = time.monotonic() + PATIENCE
        while True:
            text = self.shown("why", process) if self.has_record(process) else ""
            self.assertLessEqual(len(text.splitlines()), 24, text)
            line = " ".join(text.split())
            if re.search(pattern, line) or time.monotonic() > until:
                self.assertRegex(line, pattern)
                return line
            time.sleep(1)


class Answers(Case):
    @needs("/usr/bin/python3")
    def test_why_python_is_large_after_its_list_is_gone(self):
        process = self.started("/usr/bin/python3", self.script("list.py", PYTHON))
        self.why(process, r"It is not the heap: \d\d % is not hakmem's.* PYTHONMALLOC=malloc in its environment")
        process = self.started("/usr/bin/python3", self.script("list.py", PYTHON), PYTHONMALLOC="malloc")
        self.why(process, r"Verdict: \d+\.\d MiB is fragmentation: free, but pages of memory that live blocks keep")

    @needs("ruby")
    def test_who_keeps_nearly_empty_pages_alive_in_ruby(self):
        # 9 MB stay: more samples than by default, so that it does not depend on a few of them whose pages these keep.
        process = self.started("ruby", self.script("pages.rb", RUBY), HAKMEM_SAMPLE="64K")
        self.why(process, r"is fragmentation: free, but pages of memory that live blocks keep "
                          r"\(\d+ % by those of \S*ruby\S*\)")

    @needs("c++")
    def test_whether_a_server_leaks_and_where(self):
        source = self.script("server.cc", SERVER)
        subprocess.run(["c++", "-O2", "-g", source, "-o", self.directory / "server"], check=True)
        process = self.started(self.directory / "server")
        self.why(process, "Hardly anything that came by session_open was ever freed: a leak")

    @needs("node")
    def test_which_function_of_a_script_allocates_most(self):
        process = self.started("node", "--perf-basic-prof", "--interpreted-frames-native-stack", "--no-turbo-inlining",
                               self.script("shop.js", SHOP))
        self.addCleanup(pathlib.Path(f"/tmp/perf-{process}.map").unlink, missing_ok=True)
        time.sleep(1)
        lines = self.shown("heap", "--for", "2", process).splitlines()
        self.assertRegex(lines[3], r"^ +[\d.]+ .iB +[\d.]+ %  +-  renderPage \(shop.js:2\) < handle < ")
        self.assertRegex("\n".join(lines), r"(?m)  loadImage \(shop.js:3\) < handle < ")

    @needs("php")
    def test_who_holds_the_memory_of_php(self):
        process = self.started("php", self.script("rows.php", PHP), USE_ZEND_ALLOC="0")
        text = self.why(process, "% live blocks")
        self.assertRegex(text, r"% live blocks.*? MiB \w*zend_\w+")
        process = self.started("php", self.script("rows.php", PHP))
        self.why(process, "It is not the heap: .* USE_ZEND_ALLOC=0 in its environment")

    @needs("php")
    def test_what_a_php_worker_held_when_it_was_killed_for_its_memory(self):
        group = group_make(200 << 20)
        if not group:
            self.skipTest("no control group with a limit can be made here")
        record = self.directory / "worker.record"
        with subprocess.Popen([TOOL, "run", "--", "php", self.script("worker.php", WORKER)],
                              preexec_fn=lambda: (group / "cgroup.procs").write_text("0", encoding="ascii"),
                              env={**os.environ, "USE_ZEND_ALLOC": "0", "HAKMEM_RECORD": str(record)}) as worker:
            try:
                status = worker.wait(PATIENCE)
            finally:
                worker.kill()
                worker.wait()
                group.rmdir()
        self.assertEqual(status, -signal.SIGKILL)
        text = " ".join(self.shown("why", record).split())
        self.assertRegex(text, r"^php\S*, process %d on hakmem \S+, killed, or not ended, after \d+ s: 2\d\d\.\d MiB resident"
                         % worker.pid)
        self.assertRegex(text, r" 1\d\d\.\d MiB +\d\d %  ?live blocks: in the program's hands \d+\.\d MiB \w*zend_")

    @needs("mariadbd")
    def test_which_function_of_mariadb_holds_the_memory(self):
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.directory}/data", "--user=root",
                        "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        log = self.directory / "log"
        mariadbd = shutil.which("mariadbd", path=PATHS)
        with open(log, "w", encoding="utf-8") as errors:
            server = subprocess.Popen(
                [TOOL, "run", "--", mariadbd, "--no-defaults", f"--datadir={self.directory}/data",
                 f"--socket={self.directory}/socket", "--skip-networking", "--user=root"], stderr=errors)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        client = self.client_when_ready(log)
        client.stdin.write("use mysql;\nset max_heap_table_size = 500000000;\n"
                           "create temporary table rows_of_mine engine = memory as "
                           "select seq, repeat('x', 200) from seq_1_to_200000;\nselect 'ready';\n")
        client.stdin.flush()
        self.assertIn("ready", client.stdout.readline())
        # Debian's server is stripped: its own functions are places in it, those that it exports have names.
        text = self.why(server.pid, "% live blocks")
        largest = re.search(r"% live blocks.*? ([\d.]+) MiB (\w\S*)", text)
        self.assertGreater(float(largest[1]), 40, text)

    def client_when_ready(self, log):
        until = time.monotonic() + PATIENCE
        while "ready for connections" not in log.read_text(encoding="utf-8"):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.2)
        client = subprocess.Popen(
            ["mariadb", "-S", self.directory / "socket", "-u", "root", "--unbuffered", "--skip-column-names"],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(client.communicate)
        return client


unittest.main()
