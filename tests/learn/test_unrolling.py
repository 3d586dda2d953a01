"""What a network says at each decision and at its end, against asking it one by one."""

from __future__ import annotations

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from learn.problems import Tiny, make_side

from agents.roles import Layout
from sim.learn.networks import Network, Shape
from sim.learn.teams import PartActor, mixed_reward, part_actors, spans, team_record
from sim.learn.unrolling import with_next

pytestmark = pytest.mark.torch


@settings(max_examples=tries(40), deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 3), st.sampled_from([0, 3]))
def test_ends_look_at_what_was_there_and_the_rest_at_the_next_decision(
    seed: int, steps: int, copies: int, recurrent: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    shape = Shape(hidden=(4,), recurrent=recurrent)
    network = Network(Layout(2), 3, ("a", "b"), shape, g)
    ends = torch.rand(steps, copies, generator=g) < 0.4
    is_first = torch.cat((torch.rand(1, copies, generator=g) < 0.5, ends[:-1]))
    seen = torch.randn(steps, copies, 2, 2, generator=g)
    next_seen = torch.randn(steps, copies, 2, 2, generator=g)
    going_on = ~ends[:-1, :, None, None]
    next_seen[:-1] = torch.where(going_on, seen[1:], next_seen[:-1])
    memory = torch.randn(copies, 2, recurrent, generator=g)
    out, next_out, after = with_next(network, seen, next_seen, memory, is_first, ends)
    for b in range(copies):
        m = memory[b : b + 1]
        for t in range(steps):
            m = torch.zeros_like(m) if is_first[t, b] else m
            one, m = network(seen[t, b : b + 1], m)
            assert torch.allclose(one[0], out[t, b], atol=1e-6)
            later, _ = network(next_seen[t, b : b + 1], m)
            assert torch.allclose(later[0], next_out[t, b], atol=1e-6)
        assert torch.allclose(m[0], after[b], atol=1e-6)
    assert out.requires_grad
    assert not next_out.requires_grad


def test_sides_side_by_side_and_apart_again() -> None:
    sides = [make_side(2, 3, features=2), make_side(1, 3, features=2, group="other")]

    class Whole:
        memory_size = 1

        def act(
            self, seen: torch.Tensor, alive: torch.Tensor, memory: torch.Tensor, is_first: object
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            index = torch.arange(3.0)[None, :, None].expand(len(seen), -1, -1)
            return index + seen[..., :1], alive.float(), memory + 1

    actors = part_actors(Whole(), sides)
    assert spans(sides) == [slice(0, 2), slice(2, 3)]
    assert isinstance(actors["other"], PartActor)
    games = {
        s.group: Tiny(s, 4, lambda state, decision: decision[..., 0], lambda s, d: 1 - s, steps=5)
        for s in sides
    }
    records = {g: r.collect({g: actors[g]}, 3)[g] for g, r in games.items()}
    assert records["other"].decision[0].ravel().tolist() == [2.0] * 4
    both = team_record(records, sides)
    assert both.decision.shape == (3, 4, 3, 1)
    assert both.memory.shape == (4, 3, 1)
    assert torch.equal(both.reward[..., 2:], records["other"].reward)
    assert torch.equal(both.team, records["player"].team)
    one = records["player"]
    assert torch.equal(mixed_reward(one, 1.0), mixed_reward(one, "team"))
    assert torch.equal(mixed_reward(one, 0.0), mixed_reward(one, "own"))
    assert torch.allclose(mixed_reward(one, 0.25), 0.25 * one.team[..., None] + 0.75 * one.reward)
