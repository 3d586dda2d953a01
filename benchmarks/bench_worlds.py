"""World steps per second of every batched world by number of copies, and what a step is made of.

Three to five agents where the world lets one choose. Actions are drawn once, beforehand; a step is
`advance`, and `observe` where a decision is due. Beside the rates stand, for both parts, the
microseconds per call by number of copies and the tensor operations (views are not counted). Then
the order book, and in the same run VMAS's simple_spread where it installs, and a matrix product, so
that figures of two machines, or of a busy one, can be set against each other.

    python benchmarks/bench_worlds.py [SECONDS [DEVICE [WORLD ...]]]

One line of JSON; half a minute of processor time with SECONDS 0.3, the default. Aims on two cores:
light worlds 150,000 steps per second at 1,024 copies with at most about 100 operations; one thread
and its processor time here, so that half of that is asked of it, as the other core does as many
again in a second process. The order book: 300,000 orders per second. `misses` says which are not
met.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from bench_order_book import ORDERS, messages, play
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
STEPS_AIM, OPERATIONS_AIM, ORDERS_AIM = 150_000, 100, 300_000
CORES = 2
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
    found: dict[str, Any] = {"steps_per_s": {}, "advance_us": {}, "observe_us": {}}
    for copies in COPIES:
        stepped = Stepped(kind, copies, device)
        each = [
            seconds_each(do, seconds / 3, device)
            for do in (stepped.step, stepped.advance, stepped.observe)
        ]
        found["steps_per_s"][str(copies)] = round(copies / each[0])
        found["advance_us"][str(copies)], found["observe_us"][str(copies)] = (
            round(1e6 * part) for part in each[1:]
        )
    found["agents"] = sum(len(group.agents) for group in stepped.world.groups)
    found["steps_per_decision"] = stepped.every
    # Of a step soon after a beginning: under the same actions for ever vehicles end up as wrecks.
    fresh = Stepped(kind, COPIES[-1], device)
    fresh.step()
    found["operations"] = {"advance": counted(fresh.advance), "observe": counted(fresh.observe)}
    if kind in LIGHT:
        found["to_aim"] = round(found["steps_per_s"][str(COPIES[-1])] * CORES / STEPS_AIM, 2)
    return found


def missed(worlds: dict[str, Any], orders: int) -> list[str]:
    """What does not reach its aim, and by how much."""
    found = []
    for kind, told in worlds.items():
        if kind in LIGHT:
            operations = told["operations"]["advance"]
            operations += told["operations"]["observe"] / told["steps_per_decision"]
            if told["to_aim"] < 1:
                found.append(f"{kind}: {told['to_aim']} of the steps per second")
            if operations > OPERATIONS_AIM:
                found.append(f"{kind}: {operations:.0f} operations per step")
    if orders < ORDERS_AIM:
        found.append(f"order book: {orders} orders per second")
    return found


def beside(spread: dict[str, Any] | None, seconds: float, device: str) -> dict[str, Any]:
    """What the same machine does at the same time with work that is not ours."""
    square = torch.rand(256, 256, dtype=torch.float64, device=device)
    product = seconds_each(lambda: [square @ square for _ in range(10)].clear(), seconds, device)
    found: dict[str, Any] = {"gigaflops": round(10 * 2 * 256**3 / product / 1e9, 1)}
    if spread is None:
        return found
    try:
        each = seconds_each(vmas_spread(COPIES[-1], device), seconds, device) / STEPS
    except ImportError as error:
        return found | {"vmas": f"skipped: {error}"}
    vmas = round(COPIES[-1] / each)
    rate = spread["steps_per_s"][str(COPIES[-1])]
    return found | {"vmas_spread_steps_per_s": vmas, "spread_to_vmas": round(rate / vmas, 2)}


def main(seconds: float, device: str, kinds: list[str]) -> None:
    torch.set_num_threads(1)
    known = [kind for kind in CASES if kind in WORLDS and (not kinds or kind in kinds)]
    worlds = {kind: measured(kind, seconds, device) for kind in known}
    flow = messages(seed=0)
    orders = round(ORDERS / min(play(flow)[0] for _ in range(3)))
    told = {
        "benchmark": "worlds", **machine(), "device": device, "worlds": worlds,
        "orders_per_s": orders, **beside(worlds.get("spread"), seconds, device),
        "aims": {"light_steps_per_s": STEPS_AIM, "light_operations": OPERATIONS_AIM,
                 "orders_per_s": ORDERS_AIM, "cores": CORES},
        "misses": missed(worlds, orders),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 0.3,
        sys.argv[2] if len(sys.argv) > 2 else "cpu",
        sys.argv[3:],
    )
