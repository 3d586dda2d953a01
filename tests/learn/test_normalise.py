"""Running statistics against those of the whole sample."""

from __future__ import annotations

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.learn.normalise import RunningNorm, ValueNorm, normalise_advantages

pytestmark = pytest.mark.torch


@settings(max_examples=tries(40), deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
    st.floats(-1e4, 1e4),
    st.floats(0.1, 1e3),
)
def test_chunks_give_the_moments_of_the_whole(
    seed: int, sizes: list[int], offset: float, spread: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    chunks = [(offset + spread * torch.randn(s, 2, 3, generator=g)) for s in sizes]
    alive = [torch.rand(s, 2, generator=g) < 0.7 for s in sizes]
    norm = RunningNorm(3)
    for chunk, mask in zip(chunks, alive, strict=True):
        norm.update(chunk, mask)
    rows = torch.cat([c[m] for c, m in zip(chunks, alive, strict=True)]).double()
    assert int(norm.count) == len(rows)
    if len(rows) > 1:
        assert torch.allclose(norm.mean, rows.mean(dim=0), rtol=1e-9, atol=1e-9)
        variance = norm.squares / norm.count
        assert torch.allclose(variance, rows.var(dim=0, correction=0), rtol=1e-6)


def test_normalised_input_has_mean_0_and_deviation_1() -> None:
    seen = 50.0 + 7.0 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
    norm = RunningNorm(2)
    assert torch.equal(norm.normalise(seen), seen)
    norm.update(seen)
    out = norm.normalise(seen)
    assert torch.allclose(out.mean(dim=0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(out.std(dim=0, correction=0), torch.ones(2), atol=1e-4)
    saved = norm.tensors()
    assert torch.equal(out, (seen - saved["mean"]) / saved["scale"])


def test_what_never_moved_is_only_centred() -> None:
    norm = RunningNorm(1)
    norm.update(torch.full((10, 1), 3.0))
    assert norm.normalise(torch.tensor([[4.0]])).item() == pytest.approx(1.0)


def test_the_dead_do_not_count() -> None:
    norm = RunningNorm(1)
    norm.update(torch.zeros(4, 1), torch.zeros(4, dtype=torch.bool))
    assert int(norm.count) == 0


def test_value_norm_is_right_from_its_first_update_and_undone_exactly() -> None:
    norm = ValueNorm(decay=0.99)
    target = torch.tensor([90.0, 110.0, 100.0, 100.0])
    assert torch.equal(norm.denormalise(target), target)
    norm.update(target)
    out = norm.normalise(target)
    assert out.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert out.std(correction=0).item() == pytest.approx(1.0, abs=1e-5)
    assert torch.allclose(norm.denormalise(out), target)


def test_value_norm_follows_and_honours_its_mask() -> None:
    norm = ValueNorm(decay=0.9)
    norm.update(torch.tensor([1.0, 1000.0]), torch.tensor([True, False]))
    for _ in range(200):
        norm.update(torch.tensor([-5.0, -7.0]))
    assert norm.denormalise(torch.zeros(1)).item() == pytest.approx(-6.0, abs=1e-4)
    other = ValueNorm(decay=0.9)
    other.load(norm.state())
    assert torch.equal(other.normalise(torch.ones(3)), norm.normalise(torch.ones(3)))


@settings(max_examples=tries(40), deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 1.0))
def test_advantages_are_normalised_over_the_living(seed: int, part: float) -> None:
    g = torch.Generator().manual_seed(seed)
    advantage = 5.0 + 3.0 * torch.randn(6, 4, 3, generator=g)
    alive = torch.rand(6, 4, 3, generator=g) < part
    out = normalise_advantages(advantage, alive)
    assert (out[~alive] == 0).all()
    if int(alive.sum()) > 1:
        assert out[alive].mean().item() == pytest.approx(0.0, abs=1e-4)
        assert out[alive].std(correction=0).item() == pytest.approx(1.0, abs=1e-4)
    # what the dead have there changes nothing
    advantage[~alive] = 1e6
    assert torch.equal(out, normalise_advantages(advantage, alive))
