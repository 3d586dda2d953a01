"""Messages delivered per second: 32 agents each broadcast 64 bytes a tick to all others.

Links: 20 ms + exponential 5 ms, loss 1 %. Beside each figure the floor of the same run: one joined
frame per process and tick over plain synchronous pyzmq, which models no link at all.
Aims: each message awaited 150,000; read at the next tick 400,000; 16 agents per host 600,000.
"""

from __future__ import annotations

import json
import statistics
import sys

from common import NOISY, build, machine, timed
from floor import raw_lockstep

CASES = (("awaited", "Awaiting", 1), ("next_tick", "AtNextTick", 1), ("packed", "AtNextTick", 16))


def deliveries(behaviour: str, agents_per_host: int, ticks: int) -> float:
    """Messages delivered per second of real time."""
    seconds, kernel = timed(build(behaviour, 32, ticks, NOISY, agents_per_host))
    return int(kernel.network.totals()["delivered"]) / seconds


def main(repeats: int) -> None:
    ticks, result = 300, {}
    for name, behaviour, packing in CASES:
        figures = [deliveries(behaviour, packing, ticks) for _ in range(repeats)]
        floors = [raw_lockstep(32 // packing, ticks) * 31 * packing for _ in range(repeats)]
        pairs = zip(figures, floors, strict=True)
        result[name] = {
            "sim_per_s": round(statistics.median(figures)),
            "floor_per_s": round(statistics.median(floors)),
            "ratio": round(statistics.median(a / b for a, b in pairs), 3),
        }
    print(json.dumps({"benchmark": "deliveries", **machine(), "cases": result}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
