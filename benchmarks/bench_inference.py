"""One decision of a learned policy in an agent's process, in microseconds: NumPy, batch of one.

A policy file with two hidden layers of 64, 25 numbers seen and 2 decided, plays the plain role:
normaliser, layers, transform to physical units, memory; with a recurrent unit, and with attention
over 8 senders, beside it. Torch on one thread in the same run: the same layers as a module, from
and to NumPy. Aim: 100 microseconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine

from agents.networks import load_policy, save_policy
from agents.policy import Received
from agents.roles import PlainRole, layout_of
from sim.learn.acting import policy_file, policy_network
from sim.learn.distributions import Decisions
from sim.learn.networks import Shape
from sim.learn.record import Side
from sim.spaces import Field, Space
from sim.worlds.world import Group

SEEN, DECIDED, SENDERS = 25, 2, 8
SHAPES = {
    "plain": Shape(),
    "recurrent": Shape(recurrent=64),
    "attention": Shape(attention=16),
}


def policy(shape: Shape, folder: Path) -> Any:
    """A policy of that shape, as an agent's process loads it."""
    acts = Space((Field("power", "kW", -1.0, 1.0, size=DECIDED),))
    group = Group("home", ("home-1",), Space((Field("seen", size=SEEN),)), acts, 10**9)
    params = {"hears": {"offer": 2}} if shape.attention else {}
    role = PlainRole("home-1", group, params)
    side = Side("home", group.agents, role, layout_of(role, {"offer": SENDERS}), 10**9)
    decisions = Decisions(acts, group.observation)
    net = policy_network(side, decisions, shape, torch.Generator().manual_seed(1))
    tensors, card = policy_file(side, net, None, params)
    columns = net.architecture.columns
    tensors |= {"mean": np.zeros(columns), "scale": np.ones(columns)}
    save_policy(folder / "policy", tensors, card)
    return load_policy(folder / "policy")("home-1", group, {})


def ours(shape: Shape, folder: Path) -> Callable[[], None]:
    """One decision after the other."""
    plays, obs, inbox = policy(shape, folder), np.linspace(-1.0, 1.0, SEEN)[None], {}
    memory = plays.memory(np, 1)
    if shape.attention:
        there = np.ones((1, SENDERS), dtype=bool)
        inbox = {"offer": Received(np.ones((1, SENDERS, 2)), there, np.zeros((1, SENDERS)))}
    return lambda: plays(obs, inbox, memory, 0)


def torch_module() -> Callable[[], None]:
    """The plain layers as a torch module, without role or memory."""
    linear, tanh = torch.nn.Linear, torch.nn.Tanh
    net = torch.nn.Sequential(linear(SEEN, 64), tanh(), linear(64, 64), tanh(), linear(64, DECIDED))
    obs = np.linspace(-1.0, 1.0, SEEN, dtype=np.float32)[None]

    def decide() -> None:
        with torch.inference_mode():
            net(torch.from_numpy(obs)).numpy()

    return decide


def microseconds(decide: Callable[[], None], calls: int = 2000) -> float:
    """Of one call."""
    began = time.perf_counter()
    for _ in range(calls):
        decide()
    return 1e6 * (time.perf_counter() - began) / calls


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: ours(shape, Path(folder)) for name, shape in SHAPES.items()}
    ways["torch"] = torch_module()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):  # taking turns, so that all suffer alike from what else runs
        for name, decide in ways.items():
            taken[name].append(microseconds(decide))
    median = {name: statistics.median(times) for name, times in taken.items()}
    result = {f"{name}_us": round(value, 1) for name, value in median.items()}
    ratio = round(median["plain"] / median["torch"], 2)
    print(
        json.dumps(
            {"benchmark": "inference", **machine(), **result, "aim_us": 100.0, "of_torch": ratio}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
