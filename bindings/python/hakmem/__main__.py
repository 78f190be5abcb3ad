"""python3 -m hakmem ARGUMENT...: the command hakmem, wherever it is installed."""
import os
import shutil
import sys

# Where `make install` and packages put it, for a PATH without these.
PLACES = os.pathsep.join(["/usr/local/bin", "/usr/bin"])
STATUS_FAILED = 125  # as the command's own


def main():
    command = shutil.which("hakmem") or shutil.which("hakmem", path=PLACES)
    if command is None:
        print("hakmem: the command is not installed: it is neither on PATH nor in /usr/local/bin or /usr/bin; "
              "'make install' or the package hakmem puts it there", file=sys.stderr)
        return STATUS_FAILED
    try:
        os.execv(command, ["hakmem", *sys.argv[1:]])
    except OSError as error:
        print(f"hakmem: {command} cannot be run: {error.strerror}", file=sys.stderr)
        return STATUS_FAILED


if __name__ == "__main__":
    sys.exit(main())
