"""The memory allocator hakmem, seen from a Python process that runs on it.

    $ python3 -m hakmem run python3 server.py

    >>> import hakmem
    >>> hakmem.stats()["bytes.live"].value
    1318912

All functions but is_active raise NotActive in a process that runs on another malloc. They may be called from any thread.
"""
import ctypes
import sys
import typing

__all__ = ["NotActive", "Stat", "is_active", "version", "stats", "print_stats", "collect", "trim"]


class NotActive(RuntimeError):
    """This process does not run on hakmem."""

    def __init__(self):
        super().__init__("this process does not run on hakmem: start it with 'hakmem run python3 ...', "
                         "or with libhakmem.so.0 in LD_PRELOAD")


class Stat(typing.NamedTuple):
    """One number of the statistics; hakmem(3) says what each is."""
    value: int
    unit: str  # "bytes" or "count"


class _Stat(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("unit", ctypes.c_char_p), ("value", ctypes.c_uint64)]


# Each function of the library's that is called here: its result and its arguments.
_SIGNATURES = {
    "hak_version": (ctypes.c_char_p,),
    "hak_stats": (ctypes.c_size_t, ctypes.POINTER(_Stat), ctypes.c_size_t),
    "hak_stats_print": (None, ctypes.c_int),
    "hak_collect": (None,),
    "hak_trim": (ctypes.c_int, ctypes.c_size_t),
}

# What the process has loaded already: a libhakmem that was loaded for this would serve nobody.
_process = ctypes.CDLL(None)


def _call(name, *arguments):
    try:
        function = getattr(_process, name)
    except AttributeError:
        raise NotActive() from None
    function.restype, *function.argtypes = _SIGNATURES[name]
    return function(*arguments)


def is_active():
    """Whether this process runs on hakmem."""
    return hasattr(_process, "hak_version")


def version():
    """The version of the library in use, such as "0.1.0"."""
    return _call("hak_version").decode()


def stats():
    """All statistics of the process, by name. Running threads are not stopped for it."""
    rows = (_Stat * _call("hak_stats", None, 0))()
    _call("hak_stats", rows, len(rows))
    return {row.name.decode(): Stat(row.value, row.unit.decode()) for row in rows}


def print_stats(file=None):
    """Writes the table that HAKMEM_STATS=1 prints at exit to a file that has a descriptor; to standard error if None."""
    file = sys.stderr if file is None else file
    file.flush()
    _call("hak_stats_print", file.fileno())


def collect():
    """Returns the calling thread's cached blocks to their pages."""
    _call("hak_collect")


def trim(pad=0):
    """Gives free memory back to the system, except about `pad` bytes; whether some went back.

    Garbage that Python has not collected yet is not free: call gc.collect() first.
    """
    if pad < 0:
        raise ValueError("pad is a number of bytes, 0 or more")
    return _call("hak_trim", pad) == 1
