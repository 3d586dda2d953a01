"""Start-up of 100 agents, each a process with asyncio and NumPy but no torch, and their memory.

From nothing to the first action of every agent: launcher, forks, hellos, one tick. Beside it, in
the same run, multiprocessing's forkserver with the same modules preloaded, each child saying one
word over a pipe, and the floor: plain forks of such a process. Memory is the proportional set size
of the hosts and their launcher, per agent. Aims: 2 s and 10 MiB each.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from common import PLAIN, NoLog, build, machine

from broker.server import drive
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
FORKSERVER = """
import multiprocessing, time
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload("{modules}".split(", "))
started = time.perf_counter()
reader, writer = context.Pipe(duplex=False)
children = [context.Process(target=writer.send_bytes, args=(b"x",)) for _ in range({n})]
for child in children:
    child.start()
for _ in children:
    reader.recv_bytes()
print(time.perf_counter() - started)
for child in children:
    child.join()
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
    began = time.perf_counter()
    transport = process_transport()
    launcher = cast(LocalLauncher, transport._launcher)
    try:
        transport.start(range(n))
        up = time.perf_counter() - began
        drive(kernel, transport, NoLog())
        acted = time.perf_counter() - began
        pids = [entry.pid for entry in transport.info().values()]
        return up, acted, pss_mib([*pids, launcher.pid]) / n
    finally:
        transport.close()


def peer(program: str, n: int) -> float:
    """Seconds that another way takes, as it says itself."""
    text = program.format(n=n, modules=", ".join(MODULES))
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main(repeats: int) -> None:
    n = 100
    rounds = [(ours(n), peer(FORKSERVER, n), peer(FORKS, n)) for _ in range(repeats)]
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
