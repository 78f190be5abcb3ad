"""What the tests of packages share: running a recipe, and reasons not to."""
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE, FOLDER = (pathlib.Path(word) for word in sys.argv[1:3])
del sys.argv[1:3]


def skip(reason):
    """Ends the test as one that could not be made; SKIP_RETURN_CODE in CMakeLists.txt."""
    print(f"skipped: {reason}")
    sys.exit(77)


def need(*tools):
    """Skips where a program is missing, or the sources are no repository to make a tarball from."""
    if not (SOURCE / ".git").exists():
        skip(f"{SOURCE} is no git repository")
    for tool in tools:
        if not shutil.which(tool):
            skip(f"there is no {tool} here; tools/setup package installs it")


def output_of(*command, **options):
    """What a command writes; it must succeed."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **options.pop("environment", {})}
    # What `make test` was told is for its own build; packages are built as a stranger would.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CC", "CXX", "CFLAGS", "CMAKE_ARGS", "BUILD"):
        environment.pop(name, None)
    run = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE,
                         stderr=options.pop("stderr", subprocess.STDOUT), encoding="utf-8", errors="replace",
                         check=False, **options)
    if run.returncode != 0:
        raise AssertionError(f"{command}: status {run.returncode}\n{run.stdout}")
    return run.stdout


def header_version():
    """The version as include/hakmem.h has it."""
    lines = (SOURCE / "include/hakmem.h").read_text(encoding="utf-8").splitlines()
    return ".".join(line.split()[2] for line in lines if line.startswith("#define HAKMEM_VERSION_"))
