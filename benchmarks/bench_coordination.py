"""What every collective operation and every format of auction costs, by the size of the group.

Links of 10 ms that lose nothing; all agents in one process, in memory. Per call: virtual seconds
until the last member has its result, messages and bytes on the network. Besides, microseconds
of processor time for each message, the start of the agents among them. Flooding and consensus go
along a ring of the members; consensus makes 20 rounds, gossip 20 of 50 ms. In an auction one of the
group is the auctioneer, the others bid for one item.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from common import NoLog, machine
from coordinators import APART_S, TOLD

from broker.kernel import Kernel
from broker.server import drive
from sim.scenario.link import LinkValues
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import NetworkSpec, Scenario, WorldSpec
from sim.scenario.topology import LinkTable
from sim.units import SECOND
from sim.wire.memory import MemoryTransport
from sim.worlds.blank import make

SIZES = (2, 8, 32, 64)
COLLECTIVES = {
    "broadcast star": ("broadcast", {"algorithm": "star"}),
    "broadcast tree": ("broadcast", {"algorithm": "tree"}),
    "broadcast flood": ("broadcast", {"algorithm": "flood"}),
    "scatter": ("scatter", {}),
    "reduce star": ("reduce", {"algorithm": "star"}),
    "reduce tree": ("reduce", {"algorithm": "tree"}),
    "all_reduce star": ("all_reduce", {"algorithm": "star"}),
    "all_reduce tree": ("all_reduce", {"algorithm": "tree"}),
    "all_reduce doubling": ("all_reduce", {"algorithm": "doubling"}),
    "all_reduce ring": ("all_reduce", {"algorithm": "ring"}),
    "all_gather flat": ("all_gather", {"algorithm": "flat"}),
    "all_gather ring": ("all_gather", {"algorithm": "ring"}),
    "barrier": ("barrier", {}),
    "gossip": ("gossip", {"timeout": "1s"}),
    "consensus": ("consensus", {"timeout": "1s"}),
    "elect": ("elect", {}),
}
FORMATS = (
    "first_price", "second_price", "uniform_price", "pay_as_bid", "english", "dutch", "parallel",
    "vcg", "double_auction", "double_pay_as_bid",
)  # fmt: skip


def kernel_of(behaviour: str, size: int, calls: int, params: dict[str, Any]) -> Kernel:
    """A kernel of agents that all play one behaviour, its calls `APART_S` apart."""
    world = make({"agents": size, "step": f"{APART_S}s", "sees": 1, "acts": 1})
    scenario = Scenario(
        duration_ns=round((calls + 1) * APART_S) * SECOND,
        world=WorldSpec(kind="blank", params={}),
        network=NetworkSpec(default=LinkValues(latency_ns=10_000_000)),
        seed=1,
    )
    plans = [
        AgentPlan(
            name=name, index=i, group="agent", slot=i, behaviour=f"coordinators:{behaviour}",
            params={"calls": calls, **params},
        )
        for i, name in enumerate(world.groups[0].agents)
    ]  # fmt: skip
    return Kernel(scenario, world, plans, LinkTable(scenario.network, [p.name for p in plans]), ())


def cost(behaviour: str, size: int, calls: int, params: dict[str, Any]) -> dict[str, float]:
    """Of one call. Raises: SystemExit if a result was not what it should be."""
    TOLD.clear()
    kernel, transport = kernel_of(behaviour, size, calls, params), MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    began = time.process_time()
    drive(kernel, transport, NoLog())
    seconds = time.process_time() - began
    transport.close()
    if kernel.status != "completed" or len(TOLD) < calls or not all(ok for ok, _ in TOLD):
        raise SystemExit(f"{behaviour} {params} of {size}: {kernel.status}: {TOLD}")
    totals = kernel.network.totals()
    return {
        "seconds": round(max(each for _, each in TOLD), 3),
        "messages": totals["sent"] / calls,
        "bytes": totals["bytes"] / calls,
        "cpu_us": seconds * 1e6 / totals["sent"],
    }


def median_cost(repeats: int, *case: Any) -> dict[str, float]:
    """All but the processor time is the same in every repeat."""
    found = [cost(*case) for _ in range(repeats)]
    cpu_us = statistics.median(each["cpu_us"] for each in found)
    return {k: round(v, 3) for k, v in found[0].items()} | {"cpu_us": round(cpu_us, 1)}


def main(repeats: int, sizes: tuple[int, ...]) -> None:
    calls = 3
    cost("Member", 2, 1, {"call": "barrier", "options": {}})  # loads what is loaded late
    cost("Trader", 2, 1, {"format": "vcg"})
    collectives = {
        name: {
            n: median_cost(repeats, "Member", n, calls, {"call": call, "options": options})
            for n in sizes
        }
        for name, (call, options) in COLLECTIVES.items()
    }
    auctions = {
        name: {n: median_cost(repeats, "Trader", n, calls, {"format": name}) for n in sizes}
        for name in FORMATS
    }
    told = {"collectives": collectives, "auctions": auctions}
    print(json.dumps({"benchmark": "coordination", **machine(), **told}))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 3, tuple(given[1:]) or SIZES)
