"""What the processes of a run hold in memory, and which of them have the library mapped; seen by looking at /proc.

Memory is the sum of the processes' proportional set sizes (PSS): a page that n processes share counts 1/n in each.
SPDX-License-Identifier: MIT"""
import contextlib
import os
import threading
import time

# Looking costs time that the program misses; between two looks there is this many times what one takes.
REST = 12
SHORTEST_REST = 0.02


def read_bytes(path):
    """A file of /proc; nothing when its process is gone or is not ours to look at."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def children_of_all():
    """pid -> the pids of its children, of all processes."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            # The name of the program, in parentheses, may have blanks and parentheses itself.
            fields = read_bytes(f"/proc/{name}/stat").rpartition(b") ")[2].split()
            if len(fields) > 1:
                children.setdefault(int(fields[1]), []).append(int(name))
    return children


def descendants(pid, left_out=frozenset()):
    """The pids of a process's children, theirs and so on, without those that are left out, and theirs."""
    children = children_of_all()
    found, ahead = [], [pid]
    while ahead:
        next_ones = [child for child in children.get(ahead.pop(), ()) if child not in left_out]
        found += next_ones
        ahead += next_ones
    return found


def pss(pid):
    """In bytes. Where the kernel keeps the map to itself, the resident set less what it shares with files."""
    for line in read_bytes(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) << 10
    fields = read_bytes(f"/proc/{pid}/statm").split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") if fields else 0


class Watch:
    """Looks at the descendants of this process, in a thread, until it is closed."""

    def __init__(self, library):
        self.library = os.fsencode(library)
        self.peak = 0
        self.seen = set()  # names of executables
        self.mapped = set()  # those of them that had the library mapped
        self.decided = set()  # (pid, executable) that need no further look at their maps
        self.clients = set()  # pids that are not part of what is watched, nor are their children
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.look_on, daemon=True)
        self.thread.start()

    def close(self):
        self.is_over.set()
        self.thread.join()

    @contextlib.contextmanager
    def paused(self):
        """So that a client can be started and left out before it is seen."""
        with self.lock:
            yield self.clients

    def look_on(self):
        pause = SHORTEST_REST
        while not self.is_over.wait(pause):
            begun = time.thread_time()
            self.look()
            pause = max(SHORTEST_REST, REST * (time.thread_time() - begun))

    def look(self):
        """The memory now."""
        with self.lock:
            pids = descendants(os.getpid(), self.clients)
            held = sum(map(pss, pids))
            self.peak = max(self.peak, held)
            for pid in pids:
                self.look_at_maps(pid)
        return held

    def look_at_maps(self, pid):
        try:
            executable = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        except OSError:
            return
        if (pid, executable) in self.decided:
            return
        name = os.path.basename(executable)
        self.seen.add(name)
        if self.library in read_bytes(f"/proc/{pid}/maps"):
            self.mapped.add(name)
            self.decided.add((pid, executable))
