"""Actors: what they draw, that they forget at a first decision, and what a policy file says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from agents.networks import load_policy, save_policy
from agents.roles import PlainRole, layout_of
from sim.learn.acting import EpsilonActor, NetworkActor, policy_file, policy_network
from sim.learn.distributions import Decisions
from sim.learn.networks import Network, Shape
from sim.learn.record import Side
from sim.spaces import Field, Space
from sim.worlds.world import Group

pytestmark = pytest.mark.torch

NAMES = ("a", "b")
SEES = Space((Field("soc", size=3), Field("may", size=4, masks="move")))
ACTS = Space((Field("move", choices=4),))
MIXED = Space((Field("power", low=0.0, high=1.0), *ACTS.fields))
B = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def side(acts: Space = ACTS, sees: Space = SEES) -> Side:
    role = PlainRole("a", Group("g", NAMES, sees, acts, 10**9), {})
    return Side("g", NAMES, role, layout_of(role, {}), 10**9)


def seen(batch: int = B) -> torch.Tensor:
    row = torch.tensor([[0.3, -1.0, 2.0, 1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    return row.expand(batch, 2, 7)


class Ten:
    """A normaliser that divides by ten."""

    def normalise(self, x: torch.Tensor) -> torch.Tensor:
        return x / 10.0

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"mean": torch.zeros(7), "scale": torch.full((7,), 10.0)}


def others(batch: int = B, memory: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    alive = torch.ones(batch, 2, dtype=torch.bool)
    return alive, torch.zeros(batch, 2, memory), torch.zeros(batch, dtype=torch.bool)


def test_an_actor_draws_what_its_network_says() -> None:
    """Also from observations that are normalised; masks are read before that."""
    decisions = Decisions(MIXED, SEES)
    net = policy_network(side(MIXED), decisions, Shape(hidden=(8,)), generator(1))
    with torch.no_grad():
        net.head_weight.mul_(100.0)
    raw, log_prob, _ = NetworkActor(net, decisions, generator(), Ten()).act(seen(), *others())
    out, _ = net(seen() / 10.0, torch.zeros(B, 2, 0))
    mask = decisions.mask(seen())
    assert (raw.shape, log_prob.shape) == ((B, 2, 2), (B, 2))
    torch.testing.assert_close(log_prob, decisions.log_prob(out, raw, mask))
    assert not (raw[:, 0, 1] == 1).any()
    assert (raw[:, 1, 1] == 3).all()
    share = (raw[:, 0, 1] == 0).float().mean().item()
    p = out[0, 0, [1, 3, 4]].softmax(0)[0].item()
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / B)
    assert not log_prob.requires_grad


def test_greedy_takes_the_likeliest_and_draws_nothing() -> None:
    decisions = Decisions(MIXED, SEES)
    net = policy_network(side(MIXED), decisions, Shape(), generator(1))
    source = generator()
    before = source.get_state()
    raw, _, _ = NetworkActor(net, decisions, source, greedy=True).act(seen(), *others())
    assert (raw == raw[:1]).all()
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("kind", ["network", "epsilon"])
def test_memory_is_forgotten_at_a_first_decision(kind: str) -> None:
    decisions = Decisions(ACTS, SEES)
    net = Network(side().layout, 4, NAMES, Shape(recurrent=5), generator(1))
    actor = (
        NetworkActor(net, decisions, generator(), greedy=True)
        if kind == "network"
        else EpsilonActor(net, decisions, generator())
    )
    assert actor.memory_size == 5
    memory = torch.empty(3, 2, 5).normal_(generator=generator(2))
    is_first = torch.tensor([True, False, True])
    alive = torch.ones(3, 2, dtype=torch.bool)
    _, _, after = actor.act(seen(3), alive, memory, is_first)
    _, _, fresh = actor.act(seen(3), alive, torch.zeros(3, 2, 5), torch.zeros_like(is_first))
    torch.testing.assert_close(after[is_first], fresh[is_first])
    assert (after[1] - fresh[1]).abs().max() > 1e-3


def test_epsilon_is_the_share_of_any_allowed_choice() -> None:
    decisions = Decisions(ACTS, SEES)
    net = Network(side().layout, 4, NAMES, Shape(), generator(1))
    actor = EpsilonActor(net, decisions, generator())
    raw, log_prob, _ = actor.act(seen(), *others())
    best = raw[0]
    assert (raw == best).all()
    assert (log_prob == 0.0).all()
    q = net(seen(1), torch.zeros(1, 2, 0))[0][0, 0]
    assert best[0].item() == max((0, 2, 3), key=lambda a: q[a].item())
    actor.epsilon = 0.6
    raw, log_prob, _ = actor.act(seen(), *others())
    first = raw[:, 0, 0]
    assert not (first == 1).any()
    assert (raw[:, 1] == 3).all(), "the only choice"
    share = (first == best[0]).float().mean().item()
    assert abs(share - 0.6) < 5 * math.sqrt(0.24 / B)  # 0.4 + 0.6 / 3
    p = torch.where(first == best[0], 0.6, 0.2)
    torch.testing.assert_close(log_prob[:, 0].exp(), p)
    torch.testing.assert_close(log_prob[:, 1].exp(), torch.ones(B))


def test_action_values_are_of_choices_only() -> None:
    decisions = Decisions(MIXED, SEES)
    net = policy_network(side(MIXED), decisions, Shape(), generator())
    with pytest.raises(ValueError, match="of choices"):
        EpsilonActor(net, decisions, generator())


def test_a_policy_file_names_its_role(tmp_path: Path) -> None:
    decisions, one = Decisions(MIXED, SEES), side(MIXED)
    net = policy_network(one, decisions, Shape(share="none"), generator())
    tensors, card = policy_file(one, net, Ten(), {"hears": {}})
    assert card["group"] == "g"
    assert (card["role"], card["role_params"]) == ("agents.roles:PlainRole", {"hears": {}})
    save_policy(tmp_path / "p", tensors, {**card, "seed": 3})
    load_policy(tmp_path / "p")("b", Group("g", ("b",), SEES, MIXED, 10**9), {})
