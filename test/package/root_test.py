#!/usr/bin/env python3
"""Installs the Debian packages in a clean root, uses them there and takes them off: root_test.py SOURCE FOLDER.

The root is made anew from the mirror that this machine's apt uses, and is gone afterwards; root_check.sh runs in it.
"""
import os
import pathlib
import platform
import pwd
import shutil
import subprocess
import urllib.error
import urllib.request

from recipe import FOLDER, need, output_of, skip

SUBUID = pathlib.Path("/etc/subuid")


def mirror():
    """The suite of this system and where its packages come from."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME")
    lines = output_of("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Identifier: Packages")
    for line in lines.splitlines():
        codename, component, uri = line.split(" ", 2)
        if (codename, component) == (suite, "main"):
            return suite, uri.rstrip("/")
    return skip(f"apt has no mirror of this system's suite ({suite})")


def must_reach(suite, uri):
    try:
        urllib.request.urlopen(f"{uri}/dists/{suite}/InRelease", timeout=20).close()
    except (urllib.error.URLError, OSError) as error:
        skip(f"{uri} cannot be reached: {error}")


def must_be_allowed():
    """A root needs mount and chroot: mmdebstrap does these as root, or in a user namespace with a range of users."""
    if os.geteuid() != 0 and not (shutil.which("newuidmap") and pwd.getpwuid(os.geteuid()).pw_name in SUBUID.read_text()):
        skip("this user is not root, and has no range of users in /etc/subuid")
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True, check=False).returncode != 0:
        skip("neither root nor user namespaces are to be had here")


need("mmdebstrap", "apt-get", "unshare")
must_be_allowed()
suite, uri = mirror()
must_reach(suite, uri)
packages = [path for path in (FOLDER / "deb").glob("*.deb") if "-dbgsym" not in path.name]
if not packages:
    skip("the test package.deb has built no packages")
check = pathlib.Path(__file__).with_name("root_check.sh")
text = output_of("mmdebstrap", "--variant=apt", "--format=null", "--include=gcc,libc6-dev,pkg-config",
                 f"--customize-hook=copy-in {' '.join(map(str, [check, *packages]))} /tmp",
                 '--customize-hook=chroot "$1" sh -eu /tmp/root_check.sh', suite, "/dev/null", uri)
print(text)
assert "root_check: all done" in text
