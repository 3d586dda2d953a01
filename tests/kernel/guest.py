"""The first process of a User-Mode Linux: sends datagrams over a link of netem's, and notes times.

Standard library only, since it is run by the bare interpreter on the host's files. Its argument
names a folder with a `job.json`; per crossing it asks for, `<name>.json` is left there:

    sent:              when each datagram was sent; monotonic, ns
    number, arrived:   of those that arrived, in this order
    dropped:           how many the queueing discipline counted as dropped
    late:              how late timers were meanwhile, at instants that have nothing to do with it
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
WATCH_NS = 2_730_000
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
        watcher = watch(traffic["groups"] * traffic["gap_ns"])
        sent = send(sender, **traffic)
        time.sleep(SILENCE_S)
        number, arrived = drain(receiver)
    dropped = 0
    if netem:
        told = do("tc -s qdisc show dev near")
        dropped = int(re.search(r"dropped (\d+)", told)[1])
        do("tc qdisc del dev near root")
    with watcher:
        late = json.load(watcher)
    return {"sent": sent, "number": number, "arrived": arrived, "dropped": dropped, "late": late}


def watch(duration_ns):
    """A process beside that waits for one instant after another, and leaves in a file how much
    later it was there. A host that is busy makes the timers of all of this kernel late.
    """
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        return os.fdopen(read)
    # Before all other processes, as timers are.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    late = []
    for instant in instants(duration_ns // WATCH_NS, WATCH_NS):
        late.append(time.monotonic_ns() - instant)
    with os.fdopen(write, "w") as file:
        json.dump(late, file)
    os._exit(0)


def instants(count, gap_ns):
    """Waits for each; those that were missed come at once."""
    start = time.monotonic_ns() + gap_ns
    for instant in range(start, start + count * gap_ns, gap_ns):
        while (wait := instant - time.monotonic_ns()) > 0:
            time.sleep(wait * 1e-9)
        yield instant


def send(sender, groups, size, gap_ns, frame_bytes):
    """`groups` times `size` datagrams without a pause, a group every `gap_ns`."""
    padding = bytes(frame_bytes - HEADERS - 8)
    sent = []
    for _ in instants(groups, gap_ns):
        for _ in range(size):
            payload = struct.pack("<q", len(sent)) + padding
            sent.append(time.monotonic_ns())
            sender.send(payload)
    return sent


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
