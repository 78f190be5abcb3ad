"""The allocators under comparison: where their libraries are, and the proof that the right one served a program.
SPDX-License-Identifier: MIT"""
import glob
import os
import re
import shutil
import subprocess
from typing import NamedTuple

from machine import read_text

# Without links: the build directory has one to the sources.
HERE = os.path.dirname(os.path.realpath(__file__))
SUBJECT = "hakmem"
LIBC = "glibc"
# name -> Debian's package and what its library is called
DEBIAN = {
    "mimalloc": ("libmimalloc2.0", "libmimalloc.so*"),
    "jemalloc": ("libjemalloc2", "libjemalloc.so*"),
    "tcmalloc": ("libtcmalloc-minimal4", "libtcmalloc_minimal.so*"),
}
LIBRARY_FOLDERS = ("/usr/local/lib", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib")
# The functions whose answering library has to be the expected one. A program need not use them all.
SERVICES = ("malloc", "free", "calloc", "realloc", "aligned_alloc", "posix_memalign")
BINDING = re.compile(r"binding file (.+?) \[\d+\] to (.+?) \[\d+\]: normal symbol [`'](\w+)'")
STATISTIC = re.compile(r"^ *(malloc\.\w+) +(\d+)\b", re.MULTILINE)


class Unavailable(Exception):
    """Something that was asked for cannot be had; the message says why, or what to do."""


class Allocator(NamedTuple):
    """`library` is preloaded, except glibc's, which is there anyway."""
    name: str
    library: str
    is_libc: bool = False

    def preload(self, always=False):
        """Variables that make a program use it. always: libc's too, for a program linked with another allocator."""
        return {} if self.is_libc and not always else {"LD_PRELOAD": self.library}

    def describe(self):
        return {"name": self.name, "library": self.library, "version": version_of(self.library, self.is_libc)}


# ---- Finding them ----------------------------------------------------------------------------------------------------


def libc_path():
    """The libc that we run on ourselves; programs that we start get the same one."""
    for line in read_text("/proc/self/maps").splitlines():
        path = line.partition("/")[1] + line.partition("/")[2]
        if re.fullmatch(r"libc(-[\d.]+)?\.so(\.6)?", os.path.basename(path)):
            return path
    raise Unavailable("no libc.so.6 among the libraries of this process: the lab needs glibc")


def library_find(pattern):
    """The newest library of that name, by its real path; None when there is none."""
    found = {os.path.realpath(path) for folder in LIBRARY_FOLDERS for path in glob.glob(os.path.join(folder, pattern))}
    return max(found,
               key=lambda path: [int(number) for number in re.findall(r"\d+", os.path.basename(path))],
               default=None)


def allocator_find(name, subject_library):
    if name == LIBC:
        return Allocator(name, libc_path(), is_libc=True)
    if name == SUBJECT:
        if not subject_library or not os.path.exists(subject_library):
            raise Unavailable(f"libhakmem is not at {subject_library or 'any known place'}: --hakmem tells where it is")
        return Allocator(name, os.path.realpath(subject_library))
    if name not in DEBIAN:
        known = ", ".join([SUBJECT, LIBC, *DEBIAN])
        raise Unavailable(
            f"no allocator '{name}': there are {known}, and any other one by its path: {name}=/path/to/library.so")
    package, pattern = DEBIAN[name]
    path = library_find(pattern)
    if path is None:
        raise Unavailable(f"{name} is not installed: apt-get install {package}")
    return Allocator(name, path)


def allocator_given(text):
    """What --lib takes: name=/path/lib.so, or only the path."""
    name, equals, path = text.partition("=")
    if not equals:
        name, path = re.sub(r"^lib|\.so.*$", "", os.path.basename(text)), text
    if not os.path.isfile(path):
        raise Unavailable(f"--lib {text}: there is no file '{path}'")
    if re.search(r"[ :]", os.path.realpath(path)):
        raise Unavailable(f"--lib {text}: LD_PRELOAD has no way to write a blank or colon in a path")
    return Allocator(name, os.path.realpath(path))


def answer_of(argv):
    """What a program writes to stdout; its complaints are for nobody."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          encoding="utf-8", errors="surrogateescape", check=False).stdout


def version_of(library, is_libc=False):
    """The package's version where there is one, or the version in the file's name."""
    if shutil.which("dpkg-query"):
        for path in {
                library,
                os.path.realpath(library),
                re.sub("^/usr", "", library),
                re.sub("^/lib", "/usr/lib", library)}:
            owner = answer_of(["dpkg-query", "-S", path])
            if owner:
                query = ["dpkg-query", "-W", "-f", "${Version}", owner.split(": ")[0].split(",")[0]]
                return answer_of(query)
    if is_libc:
        return os.confstr("CS_GNU_LIBC_VERSION")
    return ".".join(re.findall(r"\d+", os.path.basename(library).partition(".so")[2])) or "unknown"


# ---- Installing what is missing --------------------------------------------------------------------------------------


def packages_needed():
    return read_text(os.path.join(HERE, "packages.txt")).split()


def packages_missing(packages):
    if not shutil.which("dpkg-query"):
        return []
    return [
        package for package in packages
        if answer_of(["dpkg-query", "-W", "-f", "${db:Status-Status}", package]) != "installed"]


def packages_install(packages, say):
    """With apt-get, if we may; what stays missing is left out of the benchmark and said so there."""
    missing = packages_missing(packages)
    if not missing or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    say(f"installing with apt-get what is missing: {' '.join(missing)}")
    quiet = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*quiet, "update"], env=environment, stdout=subprocess.DEVNULL, check=False)
    # One at a time: a package that this machine cannot have must not keep the others away.
    for package in missing:
        subprocess.run([*quiet, "install", "--no-install-recommends", package], env=environment,
                       stdout=subprocess.DEVNULL, check=False)


# ---- Proof of service ------------------------------------------------------------------------------------------------


def same_file(a, b):
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def services_check(allocator, answers):
    """answers: function -> the objects that answered it. The fault as a sentence, or None."""
    if not answers.get("malloc"):
        return "nothing shows which library answered malloc"
    for function in SERVICES:
        for path in answers.get(function, []):
            if not same_file(path, allocator.library):
                return f"{function} was answered by {path}, not by {allocator.library}"
    return None


def bindings_watch(folder):
    """Variables that make the dynamic linker write down, for every process, which object answers which symbol."""
    return {"LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": os.path.join(folder, "bindings")}


def bindings_read(folder):
    """What those files say of the allocation functions: {function: objects} for each process that asked for malloc, the
    busiest one first. The files are removed; they are large."""
    processes = []
    for path in glob.glob(os.path.join(folder, "bindings.*")):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            edges = {match.groups() for match in map(BINDING.search, file) if match and match[3] in SERVICES}
        os.unlink(path)
        if any(function == "malloc" for _, _, function in edges):
            processes.append((len(edges), answers_of(edges)))
    return [answers for _, answers in sorted(processes, key=lambda found: -found[0])]


def answers_of(edges):
    """Who answers in the end: (object that asks, object that it is bound to, function) -> {function: objects}. In a
    program that is not position independent, libraries get the address of a jump in the program itself, which is bound
    on to a library: then the program answers nothing."""
    bound_on = {(user, function) for user, target, function in edges
                if user != target and ".so" not in os.path.basename(user)}
    answers = {}
    for _, target, function in sorted(edges):
        if (target, function) not in bound_on:
            answers.setdefault(function, set()).add(target)
    return {function: sorted(targets) for function, targets in answers.items()}


def bindings_check(allocator, processes):
    """The fault as a sentence, or None when the allocator served every process of the program."""
    if not processes:
        return (
            "no process of the program asked the dynamic linker for malloc: it is statically linked, setuid, or has an "
            "allocator of its own")
    return next(filter(None, (services_check(allocator, answers) for answers in processes)), None)


def layers_read(errors):
    """From what HAKMEM_STATS=all prints: how many calls each layer served, over all processes."""
    layers = {}
    for name, count in STATISTIC.findall(errors):
        layer = name.removeprefix("malloc.")
        layers[layer] = layers.get(layer, 0) + int(count)
    return layers
