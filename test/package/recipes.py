#!/usr/bin/env python3
"""Runs the recipes of docs/recipes.md: recipes.py SOURCE FOLDER.

Makes a Debian with the services that they are about and the packages of FOLDER/deb, puts the page's files in, boots it
with systemd in a container without a network, and has recipes_check.sh give them work. Takes root, and some minutes,
nearly all for the Debian: always Debian 12, which the page is about.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from recipe import FOLDER, SOURCE, need, output_of, skip

PACKAGES = "systemd-sysv,dbus,redis-server,redis-tools,php8.2-fpm,libfcgi-bin,postgresql,gunicorn,nodejs,curl"
SERVICE = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /root/recipes_check.sh > /root/result; echo "status $?" >> /root/result; systemctl poweroff'
[Install]
WantedBy=graphical.target
"""


def files_of(page):
    """The page's files: a block each, whose first line has the path as a comment."""
    blocks = re.findall(r"^```\w*\n(?:#|//) (/\S+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def put(root, name, text):
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def prepare(root):
    """The files of the page and of the check; what starts by itself."""
    files = files_of(SOURCE / "docs/recipes.md")
    for name, text in files.items():
        put(root, name, text)
    put(root, "/etc/systemd/system/recipes-check.service", SERVICE)
    shutil.copy(pathlib.Path(__file__).with_name("recipes_check.sh"), root / "root")
    units = [pathlib.PurePath(name).name for name in files if name.endswith(".service")]
    output_of("systemctl", f"--root={root}", "enable", "recipes-check.service", *units)


def main():
    need("mmdebstrap", "systemd-nspawn")
    if os.geteuid() != 0:
        skip("only root can boot a container")
    packages = [path for path in (FOLDER / "deb").glob("*.deb") if path.name.startswith("libhakmem0_")]
    with tempfile.TemporaryDirectory(dir=FOLDER) as directory:
        root = pathlib.Path(directory) / "root"
        output_of("mmdebstrap", "--variant=apt", f"--include={PACKAGES}",
                  f"--customize-hook=copy-in {' '.join(map(str, packages))} /root",
                  '--customize-hook=chroot "$1" sh -c "dpkg -i /root/*.deb"', "bookworm", root,
                  "http://deb.debian.org/debian")
        prepare(root)
        log = output_of("systemd-nspawn", "--register=no", "--keep-unit", "--private-network", "--boot", "--directory", root,
                        stdin=subprocess.DEVNULL, timeout=600)
        result = root / "root/result"
        text = result.read_text(encoding="utf-8") if result.exists() else log
    print(text, end="")
    return 0 if text.endswith("status 0\n") else 1


if __name__ == "__main__":
    sys.exit(main())
