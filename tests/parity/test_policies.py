"""A network in training and its policy file decide alike: to 1e-5, on NumPy and on torch.

The inputs of a sequence of decisions are recorded; the network in training gives its outputs for
all agents at once, the file's forward for one agent after the other, one decision after the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import array_api_compat.numpy as in_numpy
import array_api_compat.torch as in_torch
import numpy as np
import pytest
import torch

from agents.decisions import physical
from agents.forward import forward, with_deviations
from agents.networks import LearnedPolicy, load_policy, save_policy
from agents.policy import Received
from agents.roles import PlainRole, layout_of
from sim.learn.acting import NetworkActor, policy_file, policy_network
from sim.learn.distributions import Decisions
from sim.learn.inputs import input_norm
from sim.learn.networks import Shape
from sim.learn.record import Side
from sim.spaces import Field, Space
from sim.worlds.world import Group

pytestmark = pytest.mark.torch

BOTH = [
    pytest.param(np.asarray, in_numpy, id="numpy"),
    pytest.param(torch.from_numpy, in_torch, id="torch"),
]
T, B, SENDERS = 7, 3, 4
NAMES = ("home-1", "home-2", "home-3")
CONTINUOUS = Space((Field("power", "kW", -2.0, 6.0, size=2), Field("free")))
DISCRETE = Space((Field("gear", choices=3, size=2),))
MASKED = Space((Field("move", choices=5),))
MIXED = Space((*CONTINUOUS.fields, Field("move", choices=5), Field("tilt", low=0.0, high=1.0)))

CASES: dict[str, tuple[Space, Shape]] = {
    "perceptron": (CONTINUOUS, Shape()),
    "relu, one layer": (CONTINUOUS, Shape(hidden=(16,), activation="relu")),
    "no layer": (CONTINUOUS, Shape(hidden=())),
    "recurrent": (CONTINUOUS, Shape(hidden=(16,), recurrent=8)),
    "recurrent, no layer": (CONTINUOUS, Shape(hidden=(), recurrent=8, identity=True)),
    "own parameters": (CONTINUOUS, Shape(hidden=(16, 16), share="none")),
    "own parameters, recurrent": (CONTINUOUS, Shape(hidden=(16,), recurrent=8, share="none")),
    "identity": (CONTINUOUS, Shape(identity=True)),
    "attention": (CONTINUOUS, Shape(attention=8)),
    "attention, own parameters": (CONTINUOUS, Shape(attention=8, share="none", recurrent=8)),
    "attention, relu, identity": (CONTINUOUS, Shape(attention=8, activation="relu", identity=True)),
    "discrete": (DISCRETE, Shape()),
    "masked": (MASKED, Shape()),
    "mixed": (MIXED, Shape(recurrent=8, identity=True)),
}


def sees(acts: Space) -> Space:
    masks = "move" if any(f.name == "move" for f in acts.fields) else ""
    return Space((Field("soc", "kWh", size=3), Field("may", size=5, masks=masks), Field("price")))


def side(acts: Space, hears: bool) -> tuple[Side, Group, dict[str, Any]]:
    group = Group("home", NAMES, sees(acts), acts, 10**9)
    params = {"hears": {"offer": 2}} if hears else {}
    role = PlainRole(NAMES[0], group, params)
    layout = layout_of(role, {"offer": SENDERS})
    return Side("home", NAMES, role, layout, 10**9), group, params


class Recorded:
    """A sequence of observations and messages, and what a network in training makes of it."""

    def __init__(self, name: str, path: Path, senders: int = SENDERS) -> None:
        acts, shape = CASES[name]
        self.side, self.group, params = side(acts, bool(shape.attention) or name == "perceptron")
        self.decisions = Decisions(acts, sees(acts))
        generator = torch.Generator().manual_seed(5)
        self.net = policy_network(self.side, self.decisions, shape, generator)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.add_(0.3 * torch.empty_like(parameter).normal_(generator=generator))

        def draw(*size: int) -> np.ndarray:
            return torch.empty(size, dtype=torch.float64).normal_(generator=generator).numpy()

        n = len(NAMES)
        self.obs = draw(T, B, n, 9)
        self.obs[..., 3:8] = self.obs[..., 3:8] > 0.0
        self.values, self.age = draw(T, B, n, senders, 2), np.abs(draw(T, B, n, senders))
        self.present = draw(T, B, n, senders) > 0.0
        self.present[1] = False  # nobody was heard
        self.is_first = torch.zeros(T, B, dtype=torch.bool)
        self.is_first[0] = True
        self.is_first[3, 1] = True
        self.seen = torch.stack(
            [torch.stack([self._see(t, i) for i in range(n)], 1) for t in range(T)]
        )
        self.norm = input_norm(self.side.layout, shape)
        self.norm.update(self.seen)
        save_policy(path, *policy_file(self.side, self.net, self.norm, params))
        self.make = load_policy(path)

    def inbox(self, t: int, agent: int, wrap: Any) -> dict[str, Received]:
        if not self.side.role.hears:
            return {}
        parts = (self.values, self.present, self.age)
        return {"offer": Received(*(wrap(a[t, :, agent].copy()) for a in parts))}

    def _see(self, t: int, agent: int) -> torch.Tensor:
        inbox = self.inbox(t, agent, np.asarray)
        seen = self.side.role.see(self.obs[t, :, agent], inbox, np.zeros((B, 0)))
        return torch.from_numpy(seen).float()

    def trained(self) -> torch.Tensor:
        memory = self.net.memory(B)
        return self.net.unroll(self.norm.normalise(self.seen), memory, self.is_first)[0]

    def filed(self, wrap: Any, xp: Any) -> np.ndarray:
        """Outputs of the file, agent by agent. Shapes: [T, B, n, outputs]."""
        found = []
        for i, name in enumerate(NAMES):
            policy: LearnedPolicy = self.make(name, self.group, {})
            memory = wrap(np.zeros((B, self.net.memory_size), dtype=np.float32))
            rows = []
            for t in range(T):
                memory = memory * wrap((~self.is_first[t]).numpy().astype(np.float32)[:, None])
                seen = wrap(self.seen[t, :, i].numpy())
                weights = policy._on(seen, xp)
                out, memory = forward(policy._net, weights, self.side.layout, seen, memory, xp)
                rows.append(np.asarray(with_deviations(policy._net, weights, out, xp)))
            found.append(np.stack(rows))
        return np.stack(found, axis=2)


@pytest.mark.parametrize(("wrap", "xp"), BOTH)
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_equal(name: str, wrap: Any, xp: Any, tmp_path: Path) -> None:
    recorded = Recorded(name, tmp_path / "p.safetensors")
    np.testing.assert_allclose(recorded.filed(wrap, xp), recorded.trained().detach(), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_control_another_weight_is_noticed(name: str, tmp_path: Path) -> None:
    """In each tensor in turn one number is changed by 1e-2, that on which most depends."""
    recorded = Recorded(name, tmp_path / "p.safetensors")
    filed = recorded.filed(np.asarray, in_numpy)
    recorded.trained().square().sum().backward()
    for tensor, parameter in recorded.net.named_parameters():
        most = parameter.grad.abs().argmax()
        with torch.no_grad():
            parameter.flatten()[most] += 1e-2
            differs = np.abs(filed - recorded.trained().numpy()).max()
            parameter.flatten()[most] -= 1e-2
        assert differs > 1e-5, tensor


@pytest.mark.parametrize(("wrap", "xp"), BOTH)
@pytest.mark.parametrize("name", CASES)
def test_decisions_are_equal(name: str, wrap: Any, xp: Any, tmp_path: Path) -> None:
    """The policy plays its role, and the actor that trained it, greedy, decides the same."""
    recorded = Recorded(name, tmp_path / "p.safetensors")
    actor = NetworkActor(
        recorded.net, recorded.decisions, torch.Generator(), recorded.norm, greedy=True
    )
    memory = recorded.net.memory(B)
    policies = [recorded.make(name, recorded.group, {}) for name in NAMES]
    memories = [p.memory(xp, B) for p in policies]
    for t in range(T):
        alive = torch.ones(B, len(NAMES), dtype=torch.bool)
        raw, _, memory = actor.act(recorded.seen[t], alive, memory, recorded.is_first[t])
        expected = physical(recorded.side.decides, raw, in_torch)
        for i, policy in enumerate(policies):
            start = wrap((~recorded.is_first[t]).numpy().astype(float)[:, None])
            action, _, memories[i] = policy(
                wrap(recorded.obs[t, :, i].copy()),
                recorded.inbox(t, i, wrap),
                memories[i] * start,
                np.uint64(t),
            )
            np.testing.assert_allclose(np.asarray(action), expected[:, i], atol=1e-5)


@pytest.mark.parametrize(
    "name", ["own parameters, recurrent", "attention", "discrete", "masked", "mixed"]
)
def test_draws_are_equal_on_numpy_and_torch(name: str, tmp_path: Path) -> None:
    """By the key of a decision, one for all rows or one for each, however it is given."""
    recorded = Recorded(name, tmp_path / "p.safetensors")
    policy = recorded.make(NAMES[0], recorded.group, {"sample": True})
    wide = np.array([5, 2**63 + 7, 2**64 - 1], dtype=np.uint64)
    signed = torch.from_numpy(wide.view(np.int64))
    scalar = np.uint64(2**64 - 3)
    likeliest = recorded.make(NAMES[0], recorded.group, {})
    for key, in_torch_as in ((scalar, [scalar, int(scalar)]), (wide, [wide, signed])):
        memory = policy.memory(np, B)
        obs = recorded.obs[0, :, 0]
        action, _, _ = policy(obs, recorded.inbox(0, 0, np.asarray), memory, key)
        assert (action != likeliest(obs, recorded.inbox(0, 0, np.asarray), memory, key)[0]).any()
        for other in in_torch_as:
            inbox = recorded.inbox(0, 0, torch.from_numpy)
            args = torch.from_numpy(obs.copy()), inbox, policy.memory(in_torch, B)
            np.testing.assert_allclose(policy(*args, other)[0], action, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_nothing_takes_the_device_for_granted(name: str, tmp_path: Path) -> None:
    """On torch's meta device, which refuses what mixes devices: training and policy file."""
    recorded = Recorded(name, tmp_path / "p.safetensors")
    meta = torch.device("meta")
    net = recorded.net.to(meta)
    norm = input_norm(recorded.side.layout, recorded.net.shape, "meta")
    actor = NetworkActor(net, recorded.decisions, torch.Generator(), norm)
    alive = torch.ones(B, len(NAMES), dtype=torch.bool, device=meta)
    first = recorded.is_first[0].to(meta)
    found = actor.act(recorded.seen[0].to(meta), alive, net.memory(B), first)
    assert {x.device for x in found} == {meta}
    policy = recorded.make(NAMES[0], recorded.group, {"sample": True})
    key = torch.zeros(B, dtype=torch.int64, device=meta)
    inbox = recorded.inbox(0, 0, lambda a: torch.from_numpy(a).to(meta))
    obs = torch.from_numpy(recorded.obs[0, :, 0]).to(meta)
    action, _, memory = policy(obs, inbox, policy.memory(in_torch, B).to(meta), key)
    assert {action.device, memory.device} == {meta}
