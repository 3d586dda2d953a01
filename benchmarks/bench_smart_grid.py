"""The smart-grid day at full speed: 30 agents, a process each, 1,440 minutes, 86,000 messages.

Beside it, in the same run: all agents inline in one process (equal digest), and the floor, the
world's own steps and observations alone, in which nobody decides or speaks. Runs alternate; the
figures are medians. Aim: under 20 s.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import torch
from common import machine

import sim
from sim.runner import load
from sim.worlds.catalogue import make_world

SCENARIO = "smart_grid"


def world_alone() -> float:
    """Seconds for the world's steps and observations, with everybody present and idle."""
    scenario = load(SCENARIO)
    world = make_world(scenario.world.kind, scenario.world.params, scenario.seed)
    shapes = {g.name: (len(g.agents), g.action.size) for g in world.groups}
    actions = {name: np.zeros(shape) for name, shape in shapes.items()}
    present = {name: np.ones(shape[0], dtype=bool) for name, shape in shapes.items()}
    began = time.perf_counter()
    for _ in range(scenario.duration_ns // world.dt_ns):
        world.observe()
        world.advance(actions, present)
        world.rewards()
    return time.perf_counter() - began


def day(inline: bool) -> sim.Result:
    """One run, without its directory and its columns."""
    return sim.run(SCENARIO, inline=inline, record=False, compare=False)


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    world_alone()
    rounds = [(day(False), day(True), world_alone()) for _ in range(repeats)]
    digests = {result.digest for processes, inline, _ in rounds for result in (processes, inline)}
    processes, inline = (
        statistics.median(round_[i].wall_seconds for round_ in rounds) for i in range(2)
    )
    alone = statistics.median(round_[2] for round_ in rounds)
    one = rounds[0][0]
    result = {
        "benchmark": "smart_grid",
        **machine(),
        "agents": one.agents,
        "processes": one.processes,
        "messages": one.messages["sent"],
        "processes_s": round(processes, 2),
        "aim_s": 20.0,
        "real_time_factor": round(one.virtual_seconds / processes),
        "inline_s": round(inline, 2),
        "world_alone_s": round(alone, 2),
        "world_share": round(alone / processes, 3),
        "activations_per_s": round(one.activations / processes),
        "digests_equal": len(digests) == 1,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
