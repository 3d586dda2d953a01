"""The first process of a User-Mode Linux: sends datagrams over a link of netem's, and notes times.

Standard library only, since it is run by the bare interpreter on the host's files. Its argument
names a folder with a `job.json`; per crossing it asks for, `<name>.json` is left there:

    sent, due:         when each datagram was sent, and when it was meant to be; monotonic ns
    number, arrived:   of those that arrived, in this order
    dropped:           how many the queueing discipline counted as dropped
"""

import ctypes
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path

PORT = 9000
HEADERS = 14 + 20 + 8
"""Bytes of Ethernet, IPv4 and UDP, which netem counts too."""
NEAR, FAR = "02:00:00:00:00:01", "02:00:00:00:00:02"
BUFFER = 1 << 25
SILENCE_S = 0.5
"""How long after the last datagram all are there; far longer than any delay asked for."""
SO_TIMESTAMPNS, CLONE_NEWNET, PR_SET_TIMERSLACK, POWER_OFF = 35, 0x40000000, 29, 0x4321FEDC

libc = ctypes.CDLL(None, use_errno=True)


def do(command):
    done = subprocess.run(command.split(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def set_up(modules):
    """A pair of interfaces, `far` in a namespace of its own. Nothing but datagrams crosses."""
    for module in modules:
        do(f"insmod {module}")
    do("mount -t proc proc /proc")
    do("mount -t tmpfs tmpfs /run")  # where namespaces have their names: not on the host's disk
    for limit in ("rmem_max", "wmem_max"):
        Path(f"/proc/sys/net/core/{limit}").write_text(str(BUFFER))
    do("ip netns add far")
    do(f"ip link add near address {NEAR} type veth peer name far address {FAR} netns far")
    do("ip address add 10.0.0.1/24 dev near")
    do("ip -n far address add 10.0.0.2/24 dev far")
    do("ip link set near up")
    do("ip -n far link set far up")
    do(f"ip neigh replace 10.0.0.2 lladdr {FAR} dev near nud permanent")


def enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace.name}")


def cross(netem, traffic):
    """One after another over such a link. The receiver reads when all is over, so as not to disturb
    the sender: the kernel itself notes when a datagram arrives.
    """
    if netem:
        do(f"tc qdisc add dev near root netem {netem}")
    with open("/proc/self/ns/net") as home, open("/run/netns/far") as far:
        enter(far)  # a socket stays in the namespace in which it was made
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        enter(home)
    with receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind(("", PORT))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        sender.connect(("10.0.0.2", PORT))
        sent, due = send(sender, **traffic)
        time.sleep(SILENCE_S)
        number, arrived = drain(receiver)
    dropped = 0
    if netem:
        told = do("tc -s qdisc show dev near")
        dropped = int(re.search(r"dropped (\d+)", told)[1])
        do("tc qdisc del dev near root")
    return {"sent": sent, "due": due, "number": number, "arrived": arrived, "dropped": dropped}


def send(sender, groups, size, gap_ns, frame_bytes):
    """`groups` times `size` datagrams without a pause, a group every `gap_ns`."""
    padding = bytes(frame_bytes - HEADERS - 8)
    sent, due = [], []
    start = time.monotonic_ns() + gap_ns
    for group in range(groups):
        instant = start + group * gap_ns
        while (wait := instant - time.monotonic_ns()) > 0:
            time.sleep(wait * 1e-9)
        for _ in range(size):
            payload = struct.pack("<q", len(sent)) + padding
            due.append(instant)
            sent.append(time.monotonic_ns())
            sender.send(payload)
    return sent, due


def drain(receiver):
    """What has arrived, in order. Stamps are of the clock of the day, which nobody sets here."""
    number, arrived = [], []
    offset = time.time_ns() - time.monotonic_ns()
    receiver.setblocking(False)
    while True:
        try:
            payload, [(_, _, stamp)], *_ = receiver.recvmsg(2048, 64)
        except BlockingIOError:
            return number, arrived
        seconds, ns = struct.unpack("qq", stamp)
        number.append(struct.unpack_from("<q", payload)[0])
        arrived.append(seconds * 1_000_000_000 + ns - offset)


def main(folder):
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    job = json.loads((folder / "job.json").read_text())
    libc.prctl(PR_SET_TIMERSLACK, 1)
    set_up(job["modules"])
    for name, crossing in job["crossings"].items():
        (folder / f"{name}.json").write_text(json.dumps(cross(**crossing)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    libc.reboot(POWER_OFF)
