"""The ring of experience, target networks and schedules."""

from __future__ import annotations

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sim.errors import BoundError
from sim.learn import schedules, targets
from sim.learn.replay import Replay

pytestmark = pytest.mark.torch


def numbered(first: int, steps: int, copies: int) -> dict[str, torch.Tensor]:
    """Decision t of copy b as 1000 b + t."""
    t = torch.arange(first, first + steps)[:, None] + 1000 * torch.arange(copies)
    return {"number": t, "seen": t[..., None].float().expand(-1, -1, 2)}


@settings(max_examples=tries(60), deadline=None)
@given(
    st.integers(1, 12),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_windows_are_consecutive_and_recent(
    capacity: int, adds: list[int], copies: int, length: int
) -> None:
    replay, total = Replay(capacity), 0
    for steps in adds:
        replay.add(numbered(total, steps, copies))
        total += steps
    assert replay.size == min(total, capacity)
    assert replay.transitions == replay.size * copies
    g = torch.Generator().manual_seed(0)
    if replay.size < length:
        with pytest.raises(BoundError):
            replay.sample(1, length, g)
        return
    windows = (replay.size - length + 1) * copies
    for batch in (max(1, windows // 2), windows + 1):
        number = replay.sample(batch, length, g)["number"]
        assert number.shape == (length, min(batch, windows))
        assert (number[1:] - number[:-1] == 1).all()
        assert (number % 1000 >= total - capacity).all()
    # a store no larger than the batch is taken whole, each window once
    assert len(set(number[0].tolist())) == windows


def test_a_ring_goes_on_from_its_state() -> None:
    one, other = Replay(7), Replay(7)
    for first, steps in ((0, 5), (5, 4), (9, 1)):
        one.add(numbered(first, steps, 2))
    other.load(one.state())
    one.add(numbered(10, 3, 2))
    other.add(numbered(10, 3, 2))
    draws = [r.sample(50, 2, torch.Generator().manual_seed(3)) for r in (one, other)]
    assert all(torch.equal(draws[0][k], draws[1][k]) for k in draws[0])


def test_other_copies_are_refused() -> None:
    replay = Replay(4)
    replay.add(numbered(0, 1, 2))
    with pytest.raises(BoundError, match="2 copies"):
        replay.add(numbered(0, 1, 3))


def test_targets() -> None:
    source, target = nn.Linear(2, 1), nn.Linear(2, 1)
    with torch.no_grad():
        for p in source.parameters():
            p.fill_(1.0)
        for p in target.parameters():
            p.fill_(0.0)
    targets.soft(target, source, 0.25)
    assert all((p == 0.25).all() for p in target.parameters())
    targets.soft(target, source, 0.5)
    assert all((p == 0.625).all() for p in target.parameters())
    targets.hard(target, source)
    assert all((p == 1.0).all() for p in target.parameters())


def test_schedules() -> None:
    assert schedules.constant(3.0, 10**9) == 3.0
    assert [schedules.linear(1.0, 0.2, 100, f) for f in (0, 50, 100, 900)] == [1.0, 0.6, 0.2, 0.2]
    assert schedules.linear(1.0, 0.2, 0, 0) == 0.2
    assert schedules.exponential(1.0, 0.0, 10, 20) == pytest.approx(0.25)
    assert schedules.exponential(4.0, 2.0, 10, 10) == pytest.approx(3.0)
