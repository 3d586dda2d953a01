"""The double auction: balance, welfare against a linear programme, prices, ties, both libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from sim.mechanisms.double_auction import clear, fills, lots, pay_as_bid, welfare


@st.composite
def markets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Bids with many equal prices, absent participants, and a key."""
    batch, n, k = draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 3))
    bids = np.empty((batch, n, 2 * k))
    bids[..., 0::2] = draw(arrays(np.int64, (batch, n, k), elements=st.integers(-9, 9)))
    bids[..., 1::2] = draw(arrays(np.int64, (batch, n, k), elements=st.integers(-3, 6)))
    present = draw(arrays(np.bool_, (batch, n)))
    return bids, present, draw(st.integers(0, 2**64 - 1))


def greatest_welfare(bids: np.ndarray, present: np.ndarray) -> float:
    """By a linear programme: choose the served part of each step, bought equal to sold."""
    quantity = bids[..., 0::2][present].ravel()
    price = bids[..., 1::2][present].ravel()
    if quantity.size == 0:
        return 0.0
    bounds = [(min(q, 0), max(q, 0)) for q in quantity]
    result = linprog(-price, A_eq=np.ones((1, price.size)), b_eq=[0], bounds=bounds)
    assert result.status == 0
    return float(-result.fun)


@given(markets())
@settings(max_examples=tries(60), deadline=None)
def test_welfare_is_that_of_the_linear_programme(market):
    bids, present, key = market
    served, _ = fills(bids, present, key)
    for row in range(len(bids)):
        best = greatest_welfare(bids[row], present[row])
        assert welfare(bids, served)[row] == pytest.approx(best, abs=1e-6)


@given(markets())
@settings(max_examples=tries(200), deadline=None)
def test_allocation_and_price_support_each_other(market):
    bids, present, key = market
    quantity, limit = bids[..., 0::2].astype(np.int64), bids[..., 1::2].astype(np.int64)
    served, price = fills(bids, present, key)
    awards = clear(bids, present, key)
    assert np.array_equal(awards[..., 0].sum(axis=1), np.zeros(len(bids)))
    assert np.array_equal(awards[..., 0], served.sum(axis=2))
    assert not awards[~present].any()
    assert not served[~present].any()
    within = np.abs(served) <= np.abs(quantity)
    assert within.all()
    assert (served * quantity >= 0).all()
    for row in np.flatnonzero(np.abs(served).sum(axis=(1, 2))):
        assert (awards[row, present[row], 1] == price[row]).all()
        gain = (limit[row] - price[row]) * served[row]
        assert (gain >= 0).all(), "somebody was served at a loss"
        rest = np.where(present[row][:, None], quantity[row] - served[row], 0)
        assert ((limit[row] - price[row]) * rest <= 0).all(), "a better trade was left unserved"
    for row in np.flatnonzero(np.abs(served).sum(axis=(1, 2)) == 0):
        assert price[row] == 0


@given(markets())
@settings(max_examples=tries(100), deadline=None)
def test_libraries_and_batches_agree_to_the_bit(market):
    bids, present, key = market
    awards = clear(bids, present, key)
    as_tensors = clear(torch.from_numpy(bids), torch.from_numpy(present), key)
    assert np.array_equal(awards, as_tensors.numpy())
    for row in range(len(bids)):
        one = clear(bids[row : row + 1], present[row : row + 1], key)
        assert np.array_equal(one[0], awards[row])


@given(markets())
@settings(max_examples=tries(100), deadline=None)
def test_pay_as_bid_serves_the_same_and_keeps_the_welfare(market):
    bids, present, key = market
    served, _ = fills(bids, present, key)
    awards = pay_as_bid(bids, present, key)
    assert np.array_equal(awards[..., 0], clear(bids, present, key)[..., 0])
    assert np.array_equal(awards[..., 1].sum(axis=1), welfare(bids, served))
    assert (awards[..., 1].sum(axis=1) >= 0).all()
    assert np.array_equal(awards[..., 1], (served * bids[..., 1::2]).sum(axis=2))
    tensors = pay_as_bid(torch.from_numpy(bids), torch.from_numpy(present), key)
    assert np.array_equal(awards, tensors.numpy())


def test_reference_case():
    # Buyers 10 @ 9 and 5 @ 4; sellers 8 @ 2 and 10 @ 6. Demand meets supply at 10 units: the
    # second seller serves 2 and sets the price.
    bids = np.array([[[10, 9], [5, 4], [-8, 2], [-10, 6]]], dtype=float)
    awards = clear(bids, np.ones((1, 4), dtype=bool))
    assert awards[0].tolist() == [[10, 6], [0, 6], [-8, 6], [-2, 6]]


def test_price_is_the_middle_rounded_down():
    bids = np.array([[[5, 10], [-5, 3]]], dtype=float)
    assert clear(bids, np.ones((1, 2), dtype=bool))[0, 0].tolist() == [5, 6]
    bids[..., 1] *= -1
    bids[..., 0] *= -1
    assert clear(bids, np.ones((1, 2), dtype=bool))[0, 0].tolist() == [-5, -7]


def test_a_step_curve_sells_dear_and_buys_cheap():
    # A battery buys below 20 and sells above 30; the price decides which.
    battery = [4, 20, -4, 30]
    for other, expected in (([-9, 10, 0, 0], 4), ([9, 40, 0, 0], -4), ([-9, 25, 0, 0], 0)):
        bids = np.array([[battery, other]], dtype=float)
        assert clear(bids, np.ones((1, 2), dtype=bool))[0, 0, 0] == expected


def test_ties_follow_the_key_and_are_fair():
    bids = np.tile(np.array([[[1.0, 5.0]] * 4 + [[-2.0, 1.0]]]), (400, 1, 1))
    present = np.ones((400, 5), dtype=bool)
    keys = np.arange(400, dtype=np.uint64)
    awards = clear(bids, present, keys)
    tensors = clear(
        torch.from_numpy(bids), torch.from_numpy(present), torch.arange(400, dtype=torch.int64)
    )
    assert np.array_equal(awards, tensors.numpy())
    shares = awards[:, :4, 0].mean(axis=0)
    assert np.abs(shares - 0.5).max() < 4 * np.sqrt(0.25 / 400)
    assert np.array_equal(awards[7], clear(bids[7:8], present[7:8], 7)[0])


def test_noise_below_rounding_changes_nothing():
    rng = np.random.default_rng(1)
    bids = np.empty((50, 20, 4))
    bids[..., 0::2] = rng.integers(-50, 50, (50, 20, 2))
    bids[..., 1::2] = rng.integers(0, 9, (50, 20, 2))
    present = rng.random((50, 20)) < 0.9
    noisy = bids + rng.uniform(-1e-7, 1e-7, bids.shape)
    assert np.array_equal(clear(bids, present), clear(noisy, present))


def test_nonsense_counts_as_not_submitted():
    bids = np.array(
        [[[np.nan, 5], [4, np.inf], [1e300, 9], [5, 1e12], [3, 9], [-2, 4]]], dtype=float
    )
    awards = clear(bids, np.ones((1, 6), dtype=bool))
    assert awards[0, :, 0].tolist() == [0, 0, 0, 0, 2, -2]


def test_an_empty_market_clears_to_nothing():
    assert clear(np.zeros((3, 0, 4)), np.zeros((3, 0), dtype=bool)).shape == (3, 0, 2)
    assert not clear(np.zeros((3, 2, 4)), np.zeros((3, 2), dtype=bool)).any()


def test_lots_are_equal_in_both_libraries_for_the_largest_key():
    import array_api_compat.numpy as xn
    import array_api_compat.torch as xt

    for key in (0, 2**63 - 1, 2**63, 2**64 - 1):
        ours = lots(xn, key, (2, 5), "cpu")
        assert np.array_equal(ours, lots(xt, key, (2, 5), "cpu").numpy())
        assert len(set(ours[0].tolist())) == 5
