"""World steps per second of every batched world by number of copies, and what a step is made of.

Three to five agents where the world lets one choose. Actions are drawn once, beforehand; a step is
`advance`, and `observe` where a decision is due. Beside the rates stand the tensor operations of
both (views are not counted) and what share of the time goes to observing. Then the order book, and
VMAS's simple_spread in the same run where it installs.

    python benchmarks/bench_worlds.py [SECONDS [DEVICE [WORLD ...]]]

Aims on two cores: light worlds 150,000 steps per second at 1,024 copies with at most about 100
operations; one thread here, so that the other core would do as many again in a second process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from bench_rollout import STEPS, vmas_spread
from common import machine
from torch.utils._python_dispatch import TorchDispatchMode

from sim.worlds.catalogue import WORLDS, make_batch

CASES: dict[str, dict[str, Any]] = {
    "agreement": {"agents": 4},
    "allocation": {"agents": 4},
    "commons": {},
    "double_integrator": {},
    "flows": {},
    "junctions": {},
    "lqr": {},
    "matrix": {},
    "medium_voltage": {},
    "microgrid": {},
    "motorway": {},
    "predator_prey": {},
    "rendezvous": {"agents": 4},
    "sharing": {"agents": 4},
    "signalling": {},
    "smart_grid": {},
    "speaker_listener": {},
    "spread": {},
    "swarm": {"robots": 4, "neighbours": 2, "beams": 8, "cell": 4.0},
    "traffic": {},
    "vehicles": {"vehicles": 4},
}
LIGHT = {
    "agreement", "allocation", "commons", "double_integrator", "flows", "lqr", "matrix",
    "predator_prey", "rendezvous", "sharing", "signalling", "speaker_listener", "spread",
    "vehicles",
}  # fmt: skip
COPIES = (1, 32, 1024)
VIEWS = {
    "view", "slice", "select", "expand", "unsqueeze", "squeeze", "permute", "transpose", "t",
    "alias", "detach", "split", "split_with_sizes", "unbind", "as_strided", "diagonal",
}  # fmt: skip


class Counted(TorchDispatchMode):
    """Operations on tensors that do something, while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count += name not in VIEWS
        return func(*args, **(kwargs or {}))


class Stepped:
    """Copies of a world that go on and on under the same actions."""

    def __init__(self, kind: str, copies: int, device: str) -> None:
        self.world, self.device, self.number = make_batch(kind, CASES[kind]), device, 0
        self.state = self.world.reset([(i, 0) for i in range(copies)], device)
        draw = torch.Generator().manual_seed(0)
        self.actions, self.present = {}, {}
        for group in self.world.groups:
            low, high = (
                torch.nan_to_num(torch.from_numpy(of), posinf=1.0, neginf=-1.0)
                for of in (group.action.low, group.action.high)
            )
            shape = (copies, len(group.agents), group.action.size)
            share = torch.rand(shape, generator=draw, dtype=torch.float64)
            self.actions[group.name] = (low + share * (high - low)).to(device)
            self.present[group.name] = torch.ones(shape[:2], dtype=torch.bool, device=device)
        dt = self.world.dt_ns
        self.every = max(min(g.every_ns for g in self.world.groups) // dt, 1)

    def advance(self) -> None:
        self.state, _ = self.world.advance(self.state, self.actions, self.present)
        self.number += 1

    def observe(self) -> None:
        self.world.observe(self.state)

    def step(self) -> None:
        if self.number % self.every == 0:
            self.observe()
        self.advance()


def seconds_each(do: Callable[[], None], seconds: float, device: str) -> float:
    do()
    count, began = 0, time.process_time() if device == "cpu" else time.perf_counter()
    clock = time.process_time if device == "cpu" else time.perf_counter
    while True:
        do()
        count += 1
        if device != "cpu":
            torch.cuda.synchronize()
        if clock() - began > seconds and count >= 3:
            return (clock() - began) / count


def counted(do: Callable[[], None]) -> int:
    with Counted() as mode:
        do()
    return mode.count


def measured(kind: str, seconds: float, device: str) -> dict[str, Any]:
    found: dict[str, Any] = {"steps_per_s": {}}
    for copies in COPIES:
        stepped = Stepped(kind, copies, device)
        each = seconds_each(stepped.step, seconds, device)
        found["steps_per_s"][str(copies)] = round(copies / each)
    found["agents"] = sum(len(group.agents) for group in stepped.world.groups)
    found["operations"] = {
        "advance": counted(stepped.advance), "observe": counted(stepped.observe)
    }  # fmt: skip
    looks = seconds_each(stepped.observe, seconds / 4, device) / stepped.every
    found["observing"] = round(looks / each, 2)
    if kind in LIGHT:
        found["is_light"] = True
    return found


def main(seconds: float, device: str, kinds: list[str]) -> None:
    torch.set_num_threads(1)
    known = [kind for kind in CASES if kind in WORLDS and (not kinds or kind in kinds)]
    found = {kind: measured(kind, seconds, device) for kind in known}
    told: dict[str, Any] = {}
    if "spread" in found:
        try:
            each = seconds_each(vmas_spread(COPIES[-1], device), seconds, device) / STEPS
            rate = found["spread"]["steps_per_s"][str(COPIES[-1])]
            vmas = round(COPIES[-1] / each)
            told = {"vmas_spread_steps_per_s": vmas, "spread_to_vmas": round(rate / vmas, 2)}
        except ImportError as error:
            told = {"vmas": f"skipped: {error}"}
    aims = {"light_1024_aim": 150_000, "light_operations_aim": 100}
    print(
        json.dumps({"benchmark": "worlds", **machine(), "device": device, **found, **told, **aims})
    )


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 1.0,
        sys.argv[2] if len(sys.argv) > 2 else "cpu",
        sys.argv[3:],
    )
