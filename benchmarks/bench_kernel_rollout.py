"""Agent decisions per second of the kernel rollout, with 1, 8 and 32 kernels in memory.

Rendezvous with four learning agents; the smart grid with four learning batteries among thirty, the
rest playing their rules; and the same with one program of an author's among them. Processor time of
one process beside wall time, so that a busy machine shows. The actor is a perceptron of 64, 64.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import machine

from sim.learn.acting import NetworkActor, policy_network
from sim.learn.distributions import Decisions
from sim.learn.kernels import KernelRollout
from sim.learn.networks import Shape
from sim.learn.record import Side
from sim.prepare import load, prepare

COPIES = (1, 8, 32)
SAVER = """
import sim

class Saver(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            self.act([0.0] * self.action_space.size)
"""
CASES = {
    "rendezvous": ("rendezvous", "agent", 200, {}),
    "smart_grid": ("smart_grid", "battery", 30, {}),
    "smart_grid, a program": ("smart_grid", "battery", 30, {"household-3": "saver.py:Saver"}),
}


def actor(side: Side) -> NetworkActor:
    """A policy network as training begins with it."""
    generator = torch.Generator().manual_seed(1)
    decisions = Decisions(side.decides, side.role.sees)
    return NetworkActor(policy_network(side, decisions, Shape(), generator), decisions, generator)


def rate(name: str, copies: int, folder: Path) -> dict[str, Any]:
    """Decisions per second after a few to warm up."""
    scenario, group, decisions, players = CASES[name]
    cast = {agent: str(folder / file) for agent, file in players.items()}
    rollout = KernelRollout(prepare(load(scenario, behaviours=cast)), [group], copies)
    actors = {side.group: actor(side) for side in rollout.sides}
    rollout.collect(actors, 5)
    wall, cpu = time.perf_counter(), time.process_time()
    rollout.collect(actors, decisions)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rollout.close()
    frames = decisions * copies
    agents = sum(len(side.agents) for side in rollout.sides)
    return {
        "case": name,
        "kernels": copies,
        "agent_decisions_per_s": round(frames * agents / wall),
        "agent_decisions_per_cpu_s": round(frames * agents / cpu),
        "kernel_steps_per_cpu_s": round(frames / cpu),
    }


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "saver.py").write_text(SAVER)
        rates = [rate(name, copies, Path(folder)) for name in CASES for copies in COPIES]
    json.dump({"benchmark": "kernel_rollout", **machine(), "rates": rates}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
