"""Noise of batched worlds: the same in both libraries, of the stated moments, keyed by row."""

from __future__ import annotations

import pytest
import torch

from sim.rng import philox_torch
from sim.worlds.noise import normals, ordered_sum, row_keys, uniforms

pytestmark = pytest.mark.torch


def test_draws_are_those_of_the_tensor_generator():
    keys, step = row_keys([(1, 0), (2**40, 3)], "test"), torch.tensor([5, 2**20])
    column, zero = torch.arange(7)[None, :], torch.zeros(2, 7, dtype=torch.int64)
    words = philox_torch(zero + column, zero + step[:, None], zero + 9, zero, keys[:, None])
    total = sum((w & 0xFFFF) + (w >> 16) + 1 for w in words)
    expected = (total.double() / 65536 - 4) * 1.5**0.5
    assert torch.allclose(normals(keys, step, 7, 9), expected, rtol=0, atol=1e-15)
    expected = (words[0].double() + 0.5) / 2**32
    assert torch.equal(uniforms(keys, step, 7, 9), expected)


def test_moments():
    keys, step = row_keys([(0, 0)], "test").expand(40_000), torch.arange(40_000)
    draws = normals(keys, step, 5, 0).flatten()
    assert abs(float(draws.mean())) < 0.01
    assert float(draws.std()) == pytest.approx(1, abs=0.01)
    assert float((draws**4).mean()) == pytest.approx(2.85, abs=0.05)
    assert float(draws.abs().max()) < 4.9


def test_keys_belong_to_seed_episode_and_purpose():
    keys = row_keys([(0, 0), (0, 1), (1, 0)], "a")
    assert len({*keys.tolist(), *row_keys([(0, 0)], "b").tolist()}) == 4
    assert torch.equal(row_keys([(1, 0)], "a"), keys[2:])


def test_ordered_sum_adds_in_order():
    values = torch.tensor([[1e16, 1.0, -1e16, 1.0]], dtype=torch.float64)
    assert ordered_sum(values, 1).tolist() == [1.0]
