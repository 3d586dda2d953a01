"""Start-up of 100 agents, each a process with asyncio and NumPy but no torch, and their memory.

From nothing to the first action of every agent: launcher, forks, hellos, one tick. Beside it, in
the same run, multiprocessing's forkserver with the same modules preloaded, each child saying one
word over a pipe, and the floor: plain forks of such a process. Memory is the proportional set size
of the hosts and their launcher, per agent. Aims: 2 s and 10 MiB each.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import statistics
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from broker.server import drive
from common import PLAIN, NoLog, build, machine

from sim.launch.local import LocalLauncher, process_transport

MODULES = ["asyncio", "numpy", "msgspec", "zmq", "agents.host", "agents.runtime"]
FORKS = """
import os, signal, sys, time, {modules}
n, started, pids = {n}, time.perf_counter(), []
reader, writer = os.pipe()
for _ in range(n):
    pid = os.fork()
    if not pid:
        os.write(writer, b"x")
        signal.pause()
    pids.append(pid)
count = 0
while count < n:
    count += len(os.read(reader, n))
print(time.perf_counter() - started)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def pss_mib(pids: list[int]) -> float:
    """Memory of processes, what they share counted once."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


def ours(n: int) -> tuple[float, float, float]:
    """Seconds until all hosts are up, until every agent has acted, and MiB per agent."""
    kernel = build("Lockstep", n, 1, PLAIN)
    launchers: list[LocalLauncher] = []
    began = time.perf_counter()
    transport = process_transport()
    launchers.append(transport._launcher)  # type: ignore[arg-type]
    try:
        transport.start(range(n))
        up = time.perf_counter() - began
        drive(kernel, transport, NoLog())
        acted = time.perf_counter() - began
        pids = [entry.pid for entry in transport.info().values()]
        return up, acted, pss_mib([*pids, launchers[0].pid]) / n
    finally:
        transport.close()


def _say(pipe: Connection) -> None:
    pipe.send_bytes(b"x")
    signal.pause()


def forkserver(n: int) -> float:
    """Seconds until n processes of multiprocessing's forkserver have spoken."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    began = time.perf_counter()
    reader, writer = context.Pipe(duplex=False)
    children = [context.Process(target=_say, args=(writer,), daemon=True) for _ in range(n)]
    try:
        for child in children:
            child.start()
        for _ in children:
            reader.recv_bytes()
        return time.perf_counter() - began
    finally:
        for child in children:
            child.kill()
            child.join()


def plain_forks(n: int) -> float:
    """Seconds for n forks of a process that has the same modules, without loading them."""
    program = FORKS.format(n=n, modules=", ".join(MODULES))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main(repeats: int) -> None:
    n = 100
    rounds = [(ours(n), forkserver(n), plain_forks(n)) for _ in range(repeats)]
    print(
        json.dumps(
            {
                "benchmark": "startup",
                **machine(),
                "agents": n,
                "up_s": round(statistics.median(r[0][0] for r in rounds), 2),
                "acted_s": round(statistics.median(r[0][1] for r in rounds), 2),
                "aim_s": 2.0,
                "mib_each": round(statistics.median(r[0][2] for r in rounds), 1),
                "aim_mib_each": 10.0,
                "forkserver_s": round(statistics.median(r[1] for r in rounds), 2),
                "plain_forks_s": round(statistics.median(r[2] for r in rounds), 2),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
