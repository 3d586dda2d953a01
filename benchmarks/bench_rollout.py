"""Frames per second of a rollout, by number of copies: world, messages and a small network.

A frame is one step of one copy. One group learns, everybody else plays the world's rules; beside
the batched rollout stands the kernel rollout of a few copies. Aim: more than 100,000 frames per
second of `spread` at 1,024 copies on one core.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import torch
from common import machine

from sim.learn.batched import BatchedRollout
from sim.learn.kernels import KernelRollout
from sim.prepare import load, prepare
from sim.process import one_thread

CASES: dict[str, tuple[str, list[str]]] = {
    "spread": ("agent", ["duration=2.5s"]),
    "rendezvous": ("agent", ["faults=[]"]),
    "smart_grid": ("battery", ["faults=[]"]),
}
COPIES = (1, 16, 128, 1024)
KERNELS = 4


class Actor:
    """Two layers of 64, with noise: what a small policy costs."""

    memory_size = 0

    def __init__(self, side: Any, device: str) -> None:
        self.draws = torch.Generator(device).manual_seed(0)
        sizes = (side.layout.size, 64, 64, side.decides.size)
        self.layers = [
            0.1 * torch.randn(a, b, generator=self.draws, device=device)
            for a, b in itertools.pairwise(sizes)
        ]

    def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> tuple[Any, Any, Any]:
        x = torch.tanh(seen @ self.layers[0])
        mean = torch.tanh(x @ self.layers[1]) @ self.layers[2]
        noise = torch.empty_like(mean).normal_(generator=self.draws)
        return mean + noise, -(noise * noise).sum(-1) / 2, memory


def frames_per_s(rollout: Any, dt_ns: int, device: str, seconds: float) -> float:
    """Copies times steps of the world (of dt_ns), over the time they take."""
    actors = {side.group: Actor(side, device) for side in rollout.sides}
    lasts, steps = max(side.every_ns for side in rollout.sides) // dt_ns, 1
    while True:
        began = time.perf_counter()
        rollout.collect(actors, steps)
        if device != "cpu":
            torch.cuda.synchronize()
        passed = time.perf_counter() - began
        if passed > seconds:
            return steps * lasts * rollout.copies / passed
        steps *= 2 if passed > seconds / 8 else 4


def main(seconds: float, device: str) -> None:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, (group, options) in CASES.items():
        prepared = prepare(load(name, overrides=options))
        dt_ns, rates = prepared.world.dt_ns, {}
        for copies in COPIES:
            rollout = BatchedRollout(prepared, [group], copies, device=device)
            rates[str(copies)] = round(frames_per_s(rollout, dt_ns, device, seconds))
        with one_thread():
            kernels = KernelRollout(prepared, [group], KERNELS)
            rate = round(frames_per_s(kernels, dt_ns, "cpu", seconds))
            kernels.close()
        found[name] = {"frames_per_s": rates, f"kernels_{KERNELS}_frames_per_s": rate}
    aim = {"spread_1024_aim": 100_000}
    print(json.dumps({"benchmark": "rollout", **machine(), "device": device, **found, **aim}))


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 2.0,
        sys.argv[2] if len(sys.argv) > 2 else "cpu",
    )
