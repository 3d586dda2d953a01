"""Normalisers of inputs: one column each, or with attention the same for all senders."""

from __future__ import annotations

import pytest
import torch

from agents.roles import Heard, Layout
from sim.learn.inputs import InboxNorm, input_norm
from sim.learn.networks import Shape
from sim.learn.normalise import RunningNorm

pytestmark = pytest.mark.torch

LAYOUT = Layout(2, (Heard("offer", 3, 1), Heard("state", 2, 2)))


def drawn(rows: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of 2 agents, who of them is alive."""
    generator = torch.Generator().manual_seed(3)
    seen = 5.0 + 3.0 * torch.empty(rows, 2, LAYOUT.size).normal_(generator=generator)
    _, blocks = LAYOUT.split(seen)
    for heard in LAYOUT.heard:
        block = blocks[heard.topic]
        block[..., heard.width] = (block[..., heard.width] > 5.0).float()
        block *= block[..., heard.width, None]
    own = seen[..., :2]
    seen = torch.cat((own, *(blocks[h.topic].flatten(-2) for h in LAYOUT.heard)), -1)
    return seen, torch.empty(rows, 2).uniform_(generator=generator) > 0.3


def test_which_normaliser_a_network_takes() -> None:
    assert isinstance(input_norm(LAYOUT, Shape()), RunningNorm)
    assert isinstance(input_norm(Layout(2), Shape(attention=4)), RunningNorm)
    assert isinstance(input_norm(LAYOUT, Shape(attention=4)), InboxNorm)


def test_messages_that_are_there_have_the_statistics_of_their_topic() -> None:
    seen, alive = drawn()
    norm = InboxNorm(LAYOUT)
    torch.testing.assert_close(norm.normalise(seen), seen)
    norm.update(seen[:150], alive[:150])
    norm.update(seen[150:], alive[150:])
    assert norm.count == alive.sum()
    own, blocks = LAYOUT.split(norm.normalise(seen))
    torch.testing.assert_close(own[alive].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    for heard in LAYOUT.heard:
        before, after = LAYOUT.split(seen)[1][heard.topic], blocks[heard.topic]
        there = before[..., heard.width] == 1.0
        assert torch.equal(after[..., heard.width], before[..., heard.width])
        assert (after[~there] == 0.0).all()
        columns = [c for c in range(heard.width + 2) if c != heard.width]
        told = after[there & alive[..., None]][:, columns]
        torch.testing.assert_close(told.mean(0), torch.zeros(len(columns)), atol=1e-5, rtol=0)
        deviation = told.std(0, correction=0)
        torch.testing.assert_close(deviation, torch.ones(len(columns)), atol=1e-4, rtol=0)


def test_a_policy_file_holds_one_column_per_number_of_a_message() -> None:
    seen, alive = drawn()
    norm = InboxNorm(LAYOUT)
    norm.update(seen, alive)
    tensors = norm.tensors()
    assert {n: len(t) for n, t in tensors.items()} == {"mean": 2 + 3 + 4, "scale": 2 + 3 + 4}
    assert tensors["mean"][[3, 7]].tolist() == [0.0, 0.0]
    assert tensors["scale"][[3, 7]].tolist() == [1.0, 1.0]
    assert (tensors["mean"][[0, 1, 2, 4, 5, 6, 8]] > 1.0).all()


def test_state_goes_on_to_the_same() -> None:
    seen, alive = drawn()
    one, other = InboxNorm(LAYOUT), InboxNorm(LAYOUT)
    one.update(seen[:100], alive[:100])
    other.load(one.state())
    for norm in (one, other):
        norm.update(seen[100:])
    assert torch.equal(one.normalise(seen), other.normalise(seen))
