"""A kernel on the blank world over real processes, timed without its start."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from broker.kernel import Kernel
from broker.server import drive
from sim.launch.local import process_transport
from sim.scenario.jitters import Jitter
from sim.scenario.link import LinkValues
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import NetworkSpec, Scenario, WorldSpec
from sim.scenario.topology import LinkTable
from sim.store.runlog import Decision
from sim.worlds.blank import make

sys.path.insert(0, str(Path(__file__).parent))


class NoLog:
    """Nothing of a benchmark is kept."""

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        """Ignored."""

    def add(self, record: Decision) -> None:
        """Ignored."""


def machine() -> dict[str, Any]:
    """What the figures were taken on, and how busy it was."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def build(
    behaviour: str,
    agents: int,
    ticks: int,
    latency: LinkValues,
    agents_per_host: int = 1,
    seed: int = 1,
) -> Kernel:
    """A kernel of `agents` on the blank world, one tick each 100 ms of virtual time."""
    step_ns = 100_000_000
    world = make({"agents": agents, "step": "100ms", "sees": 8, "acts": 4})
    scenario = Scenario(
        duration_ns=ticks * step_ns,
        world=WorldSpec(kind="blank", params={}),
        network=NetworkSpec(default=latency),
        seed=seed,
    )
    plans = [
        AgentPlan(name=name, index=i, group="agent", slot=i, behaviour=f"players:{behaviour}")
        for i, name in enumerate(world.groups[0].agents)
    ]
    table = LinkTable(scenario.network, [p.name for p in plans])
    return Kernel(scenario, world, plans, table, (), agents_per_host)


def timed(kernel: Kernel) -> tuple[float, Kernel]:
    """Seconds of real time from the first window to the last, over real processes."""
    transport = process_transport()
    try:
        transport.start(range(len(kernel.agents.hosts)))
        began = time.perf_counter()
        drive(kernel, transport, NoLog())
        return time.perf_counter() - began, kernel
    finally:
        transport.close()


PLAIN = LinkValues(latency_ns=1_000_000_000)
NOISY = LinkValues(
    latency_ns=20_000_000, jitter=Jitter("exponential", 5_000_000), loss_probability=0.01
)
