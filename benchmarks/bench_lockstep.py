"""Lockstep: each tick every agent process sees 8 float64 and answers 4; beside the raw floor.

The floor is plain synchronous pyzmq with bytes of the same size and nothing behind it. Runs
alternate, and the figure is the median of their ratios. Aim: 0.7 at 8 and 32 agents.
"""

from __future__ import annotations

import json
import statistics
import sys

from common import PLAIN, build, machine, timed
from floor import raw_lockstep


def lockstep(agents: int, ticks: int) -> float:
    """Agent-steps per second of the whole simulator, an agent a process."""
    seconds, kernel = timed(build("Lockstep", agents, ticks, PLAIN))
    return agents * kernel.steps / seconds


def main(repeats: int) -> None:
    result = {}
    for agents in (8, 32, 100):
        ticks = 16_000 // agents
        pairs = [(raw_lockstep(agents, ticks), lockstep(agents, ticks)) for _ in range(repeats)]
        result[str(agents)] = {
            "floor_per_s": round(statistics.median(p[0] for p in pairs)),
            "sim_per_s": round(statistics.median(p[1] for p in pairs)),
            "ratio": round(statistics.median(p[1] / p[0] for p in pairs), 3),
        }
    print(json.dumps({"benchmark": "lockstep", **machine(), "agents": result}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
