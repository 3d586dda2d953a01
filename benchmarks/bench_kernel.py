"""Seeds per minute in memory: whole runs, agents included, in one process on one core.

A run is 3 agents on a complete network (20 ms + exponential 5 ms, 1 % loss) for 20 ticks of 100 ms:
each tick every agent observes and broadcasts 64 bytes. Made, run to its end and its books checked,
one seed after another. Beside it the cost of a step of one agent in a longer run.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from common import NOISY, NoLog, build, machine

from broker.kernel import Kernel
from broker.server import drive
from sim.wire.memory import MemoryTransport

AGENTS, TICKS = 3, 20


def simulate(agents: int, ticks: int, seed: int) -> Kernel:
    """One run from nothing to its end."""
    kernel = build("AtNextTick", agents, ticks, NOISY, seed=seed)
    transport = MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    drive(kernel, transport, NoLog())
    transport.close()
    assert kernel.status == "completed"
    assert kernel.network.totals()["sent"] == agents * (agents - 1) * ticks
    return kernel


def runs_per_minute(seeds: int) -> float:
    """Of the small scenario, over so many seeds."""
    began = time.perf_counter()
    for seed in range(seeds):
        simulate(AGENTS, TICKS, seed)
    return 60 * seeds / (time.perf_counter() - began)


def steps_per_second(agents: int, ticks: int) -> float:
    """Agent-steps per second of one longer run."""
    began = time.perf_counter()
    simulate(agents, ticks, 1)
    return agents * ticks / (time.perf_counter() - began)


def main(repeats: int) -> None:
    simulate(AGENTS, TICKS, 0)
    speeds = {
        str(n): round(statistics.median(steps_per_second(n, 6_000 // n) for _ in range(repeats)))
        for n in (3, 30)
    }
    result = {
        "runs_per_minute": round(statistics.median(runs_per_minute(150) for _ in range(repeats))),
        "agent_steps_per_s": speeds,
    }
    scenario = {"agents": AGENTS, "ticks": TICKS}
    print(json.dumps({"benchmark": "kernel", **machine(), "scenario": scenario, **result}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
