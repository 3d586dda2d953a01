"""What all stages of a link cost beside two: 32 agents each broadcast 64 bytes a tick to all.

Plain: 20 ms, loss 1 %. Full: jitter, bursts, bandwidth with a queue, copies, damage, outages and
expiry besides. Figures: microseconds of real time for each message that enters its link, of the
whole run and of `Links.offer` alone. The two take turns; the ratio is the median of the pairs.
Aim: the full run takes at most 1.5 times as long as the plain one.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from common import build, machine, timed

from broker.links import Links
from sim.rng import key_of
from sim.scenario.bursts import burst_of_loss
from sim.scenario.jitters import Jitter
from sim.scenario.link import LinkValues
from sim.scenario.outages import Outage
from sim.scenario.schema import NetworkSpec
from sim.scenario.topology import LinkTable

CASES = (("awaited", "Awaiting", 1), ("next_tick", "AtNextTick", 1), ("packed", "AtNextTick", 16))
BATCHES = (1, 31, 992)
PLAIN = LinkValues(latency_ns=20_000_000, loss_probability=0.01)
FULL = LinkValues(
    latency_ns=20_000_000,
    jitter=Jitter("lognormal", 5_000_000, 0.5),
    loss_probability=0.01,
    burst=burst_of_loss(0.02, 5),
    rate_bytes_per_s=125_000.0,
    queue_bytes=4096,
    duplicate=0.01,
    corrupt=0.01,
    expiry_ns=500_000_000,
    outages=(Outage(1_000_000_000, 200_000_000, 5_000_000_000),),
)


def run(link: LinkValues, behaviour: str, agents_per_host: int, ticks: int) -> float:
    """Microseconds of a run for each message."""
    seconds, kernel = timed(build(behaviour, 32, ticks, link, agents_per_host))
    return seconds * 1e6 / int(kernel.network.totals()["sent"])


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
    began = time.perf_counter()
    for i in range(calls):
        times = np.full(n, i * 100_000_000)
        links.offer(rows, times, lengths, keys, np.full(n, i, dtype=np.uint64), hops, times)
    return (time.perf_counter() - began) * 1e6 / (calls * n)


def compared(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Of (plain, full)."""
    plain, full = zip(*pairs, strict=True)
    return {
        "plain_us": round(statistics.median(plain), 3),
        "full_us": round(statistics.median(full), 3),
        "ratio": round(statistics.median(b / a for a, b in pairs), 2),
    }


def main(repeats: int, ticks: int) -> None:
    runs, offers = {}, {}
    for name, *case in CASES:
        runs[name] = compared(
            [(run(PLAIN, *case, ticks), run(FULL, *case, ticks)) for _ in range(repeats)]
        )
    for n in BATCHES:
        calls = max(ticks * 32 // n, 20)
        offers[str(n)] = compared(
            [(offer(PLAIN, n, calls), offer(FULL, n, calls)) for _ in range(repeats)]
        )
    print(json.dumps({"benchmark": "links", **machine(), "runs": runs, "offer": offers}))


if __name__ == "__main__":
    main(*(int(v) for v in (*sys.argv[1:3], *("5", "300")[len(sys.argv[1:3]) :])))
