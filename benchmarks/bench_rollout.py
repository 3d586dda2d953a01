"""Frames per second of a rollout, by number of copies: world, messages and a small network.

A frame is one step of one copy. One group learns, everybody else plays the world's rules; beside
the batched rollout stands the kernel rollout of a few copies. Aim: more than 100,000 frames per
second of `spread` at 1,024 copies on one core.

Then worlds alone under random moves, ours and VMAS's simple_spread where it installs: advance and
observe at 1,024 copies, in turns in this process, the median of all turns. Aim: three times VMAS.
Both on one thread: tensors this small are not worth the waking of a second.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from common import machine

from sim.learn.batched import BatchedRollout
from sim.learn.kernels import KernelRollout
from sim.prepare import load, prepare
from sim.process import one_thread
from sim.worlds.catalogue import make_batch

CASES: dict[str, tuple[str, list[str]]] = {
    "spread": ("agent", ["duration=2.5s"]),
    "rendezvous": ("agent", ["faults=[]"]),
    "smart_grid": ("battery", ["faults=[]"]),
}
COPIES = (1, 16, 128, 1024)
KERNELS = 4
STEPS, TURNS = 25, 12


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


def our_spread(copies: int, device: str) -> Callable[[], None]:
    """An episode of the world alone, with its reset."""
    world = make_batch("spread", {})
    present = {"agent": torch.ones(copies, 3, dtype=torch.bool, device=device)}

    def episode() -> None:
        state = world.reset([(i, 0) for i in range(copies)], device)
        for _ in range(STEPS):
            moves = torch.randint(5, (copies, 3, 1), device=device).double()
            state, _ = world.advance(state, {"agent": moves}, present)
            world.observe(state)

    return episode


def vmas_spread(copies: int, device: str) -> Callable[[], None]:
    """The same of VMAS, whose step observes. Raises: ImportError."""
    env = import_module("vmas").make_env(
        "simple_spread", num_envs=copies, device=device, continuous_actions=False, n_agents=3
    )

    def episode() -> None:
        env.reset()
        for _ in range(STEPS):
            env.step([torch.randint(5, (copies,), device=device) for _ in env.agents])

    return episode


def worlds_alone(copies: int, device: str) -> dict[str, Any]:
    """Frames per second of wall and of processor time, and the ratio of the latter; ours alone, and
    no ratio, where VMAS is not installed."""
    made, told = {"ours": our_spread(copies, device)}, {}
    try:
        made["vmas"] = vmas_spread(copies, device)
    except ImportError as error:
        told = {"skipped": str(error)}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    for turn in range(TURNS + 1):
        for name, episode in made.items():
            wall, used = time.perf_counter(), time.process_time()
            episode()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                spent[name].append((time.perf_counter() - wall, time.process_time() - used))
    rates = {
        name: [round(copies * STEPS / statistics.median(each)) for each in zip(*taken, strict=True)]
        for name, taken in spent.items()
    }
    at = 1 if device == "cpu" else 0
    if "vmas" in rates:
        told = {"ratio": round(rates["ours"][at] / rates["vmas"][at], 2)}
    return {"copies": copies, "frames_per_s_and_per_cpu_s": rates, **told}


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
    found["spread_alone"] = worlds_alone(COPIES[-1], device) | {"ratio_aim": 3.0}
    aim = {"spread_1024_aim": 100_000}
    print(json.dumps({"benchmark": "rollout", **machine(), "device": device, **found, **aim}))


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 2.0,
        sys.argv[2] if len(sys.argv) > 2 else "cpu",
    )
