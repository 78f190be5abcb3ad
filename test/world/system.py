"""Servers of a system: a login from afar, and names.
SPDX-License-Identifier: MIT"""
import os
import pwd
import signal
import socket
import struct

from catalog import program
from databases import CLIENTS, at_once
from run import Skip
from trial import Failure, need

# ---- OpenSSH ---------------------------------------------------------------------------------------------------------

# As root, the server wants a folder in /run; it gets one that nobody else sees.
PRIVATE_RUN = ["unshare", "--mount", "sh", "-c",
               "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$@\"", "sh"]


@program("sshd", ("sshd", "ssh", "sftp"), "ssh -V")
def sshd(run):
    """Each login has a process in the server's own sandbox until it is allowed in."""
    is_root = os.geteuid() == 0
    if is_root and not run.is_allowed([*PRIVATE_RUN, "true"], as_root=True):
        raise Skip("root may not make a mount namespace here, which the server's folder in /run needs")
    user = pwd.getpwuid(os.geteuid()).pw_name
    keygen = [need("ssh-keygen", "openssh-client"), "-q", "-N", "", "-t", "ed25519", "-f"]
    for name in ("host", "key"):
        run.build([*keygen, name], as_root=True)
    port = run.free_port()
    run.take("sshd_config", FOLDER=run.folder, PORT=port)
    server = run.start([*(PRIVATE_RUN if is_root else []), need("sshd", "openssh-server"), "-D", "-e", "-f",
                        run.path("sshd_config")], as_root=True)
    options = ["-F", "none", "-o", f"UserKnownHostsFile={run.path('known')}", "-o", "StrictHostKeyChecking=accept-new",
               "-o", "LogLevel=ERROR", "-i", "key"]

    def login(*words, **more):
        return run.run([need("ssh", "openssh-client"), *options, "-p", str(port), f"{user}@127.0.0.1", *words],
                       as_root=True, **more)

    run.wait_for("sshd", lambda: login("true", leave_out=""), server)
    at_once(lambda number: [login(f"seq {number} 20000 | md5sum") for _ in range(5)], range(CLIENTS))
    login("cat", stdin=bytes(range(256)) * 40000)
    run.put("large", bytes(range(256)) * 40000)
    run.run(["sftp", *options, "-P", str(port), "-b", "-", f"{user}@127.0.0.1"],
            stdin=f"put large {run.path('there')}\nget {run.path('there')} back\n".encode(), as_root=True)
    run.record_files("large|there|back")
    server.process.send_signal(signal.SIGHUP)
    run.wait_for("sshd, restarted", lambda: login("true", leave_out=""), server)
    login("seq 100000")
    run.idle()
    server.stop(statuses=(0, 255, -signal.SIGTERM))


# ---- BIND ------------------------------------------------------------------------------------------------------------

NAMES = 20000
ANSWERS = 3000


def dns_question(number, name):
    words = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + words + b"\0" + struct.pack(">2H", 1, 1)


def dns_ask(port, names):
    """The address of each name, by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.connect(("127.0.0.1", port))
        found = []
        for number, name in enumerate(names):
            one.send(dns_question(number % 65536, name))
            answer = one.recv(4096)
            if answer[:2] != struct.pack(">H", number % 65536) or answer[3] & 15:
                raise Failure(f"the answer to {name} is {answer!r}")
            found.append(socket.inet_ntoa(answer[-4:]))
        return found


@program("bind", "named", "named -v")
def bind(run):
    port = run.free_port()
    run.take("named.conf", FOLDER=run.folder, PORT=port)
    zone = "$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"
    run.put("zone", zone + "".join(f"n{i} A 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n" for i in range(NAMES)))
    server = run.start([need("named", "bind9"), "-g", "-n", "2", "-c", run.path("named.conf")])
    run.wait_for("named", lambda: dns_ask(port, ["n1.world.test"]), server)

    def ask(number):
        return dns_ask(port, [f"n{(i * 7919 + number) % NAMES}.world.test" for i in range(ANSWERS)])

    run.record("addresses", at_once(ask, range(CLIENTS)))
    run.put("zone", zone.replace(" 1 60", " 2 60") + "".join(f"n{i} A 10.9.9.9\n" for i in range(NAMES)))
    server.process.send_signal(signal.SIGHUP)
    run.wait_for("the new zone", lambda: dns_ask(port, ["n1.world.test"]) == ["10.9.9.9"], server)
    run.record("addresses of the new zone", at_once(ask, range(CLIENTS)))
    run.idle()
    server.stop()
