"""Calling the command, for tests of what it shows.
SPDX-License-Identifier: MIT"""
import subprocess


def shown(tool, *arguments):
    """What `tool arguments...` writes; it succeeds, without a word on stderr."""
    result = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True)
    assert result.stderr == "", result.stderr
    return result.stdout
