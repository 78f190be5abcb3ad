"""Chromium without a window, for tests of pages.

SPDX-License-Identifier: MIT"""
import re
import shutil
import subprocess
import tempfile

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--enable-logging=stderr"]


def need():
    """Fails where there is no browser."""
    if shutil.which("chromium") is None:
        raise AssertionError("chromium is missing: apt-get install chromium")


def visit(path, *options, size):
    """Opens a file in a window of that size: what the browser writes, and what it has to say of errors."""
    with tempfile.TemporaryDirectory(dir=path.parent) as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", *options,
                   f"file://{path}"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return run.stdout, re.findall(r'CONSOLE[^"]*"(.*?)", source', run.stderr)
