"""What all stages of a link cost beside two: 32 agents each broadcast 64 bytes a tick to all.

Plain: 20 ms, loss 1 %. Scattered: jitter besides, so that each message arrives at an instant of its
own. Full: bursts, bandwidth with a queue, copies, damage, outages and expiry besides.
Runs: all agents in one process, in memory: no sockets or other processes, which cost all three the
same and would hide the links. Figures: microseconds of processor time, of kernel and agents, for
each message sent, of which plain and full lose 1 and 8 %. Programs that await each message wake
once a tick on plain links and 31 times on the others: there the full links stand beside the
scattered ones. `offer`: of `Links.offer` alone, for so many messages at once.
The three take turns; each ratio is the median over the turns.
Aim: the full run takes at most 1.5 times as long as the plain one, or as the scattered one where
each message is awaited.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from common import NoLog, build, machine

from broker.links import Links
from broker.server import drive
from sim.rng import key_of
from sim.scenario.bursts import burst_of_loss
from sim.scenario.jitters import Jitter
from sim.scenario.link import LinkValues
from sim.scenario.outages import Outage
from sim.scenario.schema import NetworkSpec
from sim.scenario.topology import LinkTable
from sim.wire.memory import MemoryTransport

CASES = (("awaited", "Awaiting", 1), ("next_tick", "AtNextTick", 1), ("packed", "AtNextTick", 16))
BATCHES = (1, 31, 992)
PLAIN = LinkValues(latency_ns=20_000_000, loss_probability=0.01)
JITTER = Jitter("lognormal", 5_000_000, 0.5)
SCATTERED = LinkValues(latency_ns=20_000_000, jitter=JITTER, loss_probability=0.01)
FULL = LinkValues(
    latency_ns=20_000_000,
    jitter=JITTER,
    loss_probability=0.01,
    burst=burst_of_loss(0.02, 5),
    rate_bytes_per_s=125_000.0,
    queue_bytes=4096,
    duplicate=0.01,
    corrupt=0.01,
    expiry_ns=500_000_000,
    outages=(Outage(1_000_000_000, 200_000_000, 5_000_000_000),),
)
LINKS = {"plain": PLAIN, "scattered": SCATTERED, "full": FULL}


def run(link: LinkValues, behaviour: str, agents_per_host: int, ticks: int) -> float:
    """Microseconds of a run for each message."""
    kernel, transport = build(behaviour, 32, ticks, link, agents_per_host), MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    began = time.process_time()
    drive(kernel, transport, NoLog())
    spent = time.process_time() - began
    transport.close()
    return spent * 1e6 / int(kernel.network.totals()["sent"])


def offer(link: LinkValues, n: int, calls: int) -> float:
    """Microseconds of `Links.offer` for each of n messages that it takes together, each on a link
    of its own.
    """
    table = LinkTable(NetworkSpec(default=link), ["a", "b"])
    spec = table.spec_of(0, 1)
    assert spec is not None
    links = Links()
    links.add([spec] * n, [False] * n, range(1, n + 1))
    rows = np.arange(n)
    keys = np.array([key_of(1, "link", i) for i in range(n)], dtype=np.uint64)
    hops, lengths = np.zeros(n, dtype=np.uint64), np.full(n, 64)
    began = time.process_time()
    for i in range(calls):
        times = np.full(n, i * 100_000_000)
        links.offer(rows, times, lengths, keys, np.full(n, i, dtype=np.uint64), hops, times)
    return (time.process_time() - began) * 1e6 / (calls * n)


def compared(turns: list[list[float]]) -> dict[str, float]:
    """Of turns of plain, scattered and full."""
    columns = zip(*turns, strict=True)
    found = {f"{n}_us": round(statistics.median(c), 3) for n, c in zip(LINKS, columns, strict=True)}
    ratios = {
        "full_to_plain": statistics.median(full / plain for plain, _, full in turns),
        "full_to_scattered": statistics.median(full / some for _, some, full in turns),
    }
    return found | {name: round(ratio, 2) for name, ratio in ratios.items()}


def main(repeats: int, ticks: int) -> None:
    runs, offers = {}, {}
    for name, *case in CASES:
        turns = [[run(link, *case, ticks) for link in LINKS.values()] for _ in range(repeats)]
        runs[name] = compared(turns)
    for n in BATCHES:
        calls = max(ticks * 32 // n, 20)
        turns = [[offer(link, n, calls) for link in LINKS.values()] for _ in range(repeats)]
        offers[str(n)] = compared(turns)
    print(json.dumps({"benchmark": "links", **machine(), "runs": runs, "offer": offers}))


if __name__ == "__main__":
    main(*(int(v) for v in (*sys.argv[1:3], *("5", "100")[len(sys.argv[1:3]) :])))
