"""Sealed bids, clocks, parallel auctions: who wins, at which price, and that truth pays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.mechanisms import clock, parallel, sealed_bid

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {
    "first": lambda b, p, k: sealed_bid.first_price(b, p, k, 2),
    "second": lambda b, p, k: sealed_bid.second_price(b, p, k, 2),
    "uniform": lambda b, p, k: sealed_bid.second_price(b, p, k, 1, units=3),
    "english": lambda b, p, k: clock.english(b[..., :1], p, k, 1, 2),
    "dutch": lambda b, p, k: clock.dutch(b[..., :1], p, k, 7, 2, 2),
    "parallel": lambda b, p, k: parallel.clear(b, p, k, 2),
}


@st.composite
def markets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Bids with many equal ones, some of them nonsense, absent bidders, and a key."""
    batch, n, width = draw(st.integers(1, 3)), draw(st.integers(0, 6)), draw(st.integers(1, 3))
    number = st.one_of(st.integers(-2, 9).map(float), st.sampled_from([np.nan, np.inf, 1e300]))
    bids = draw(arrays(np.float64, (batch, n, width), elements=number))
    present = draw(arrays(np.bool_, (batch, n)))
    return bids, present, draw(st.integers(0, 2**64 - 1))


@pytest.mark.parametrize("name", RULES)
@given(market=markets())
@settings(max_examples=tries(40), deadline=None)
def test_libraries_and_batches_agree_to_the_bit(name: str, market: Any) -> None:
    bids, present, key = market
    awards = RULES[name](bids, present, key)
    tensors = RULES[name](torch.from_numpy(bids), torch.from_numpy(present), key)
    assert np.array_equal(awards, tensors.numpy())
    assert awards.dtype == bids.dtype
    for row in range(len(bids)):
        one = RULES[name](bids[row : row + 1], present[row : row + 1], key)
        assert np.array_equal(one[0], awards[row])
    assert not awards[~present].any()


@given(markets(), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=tries(150), deadline=None)
def test_sealed_bids_against_a_sorted_list(market: Any, units: int, reserve: int) -> None:
    bids, present, key = market
    own = sealed_bid.first_price(bids, present, key, reserve, units)
    uniform = sealed_bid.second_price(bids, present, key, reserve, units)
    assert np.array_equal(own[..., 0], uniform[..., 0])
    for row in range(len(bids)):
        offers = bids[row][present[row]].ravel()
        valid = sorted(offers[np.isfinite(offers) & (offers < 1e10) & (offers >= reserve)])[::-1]
        price = max([reserve, *valid[units:]])
        assert own[row, :, 0].sum() == min(units, len(valid))
        assert own[row, :, 1].sum() == sum(valid[:units])
        assert np.array_equal(uniform[row, :, 1], uniform[row, :, 0] * price)


VALUES = [list(v) for v in itertools.product(range(5), repeat=3)]


def utilities(rule: Rule, values: np.ndarray, bids: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Of bidder 0 with a value [B], in as many auctions with the same others. [B]."""
    awards = rule(bids[..., None].astype(float), np.ones(bids.shape, dtype=bool), keys)
    return values * awards[:, 0, 0] - awards[:, 0, 1]


@pytest.mark.parametrize("reserve", [0, 2])
@pytest.mark.parametrize("units", [1, 2])
def test_no_deviation_pays_at_the_highest_price_that_lost(reserve: int, units: int) -> None:
    """All values and all lies of three bidders for one unit each, for four draws of the lots."""
    truth = np.repeat(np.array(VALUES), 4, axis=0)
    keys = np.tile(np.arange(4, dtype=np.uint64), len(VALUES))

    def rule(b: Any, p: Any, k: Any) -> Any:
        return sealed_bid.second_price(b, p, k, reserve, units)

    honest = utilities(rule, truth[:, 0], truth, keys)
    assert (honest >= 0).all()
    gains = []
    for lie in range(-1, 7):
        said = truth.copy()
        said[:, 0] = lie
        gains.append(utilities(rule, truth[:, 0], said, keys) - honest)
    assert np.max(gains) <= 0

    def control(b: Any, p: Any, k: Any) -> Any:
        return sealed_bid.first_price(b, p, k, reserve, units)

    honest = utilities(control, truth[:, 0], truth, keys)
    said = truth.copy()
    said[:, 0] -= 1
    assert (utilities(control, truth[:, 0], said, keys) - honest).max() > 0


def test_who_wants_several_units_may_gain_by_saying_less_at_a_uniform_price() -> None:
    """What the docstring warns of, by the smallest example: 2 units, one other bidder at 5."""
    present = np.ones((1, 2), dtype=bool)
    truth = np.array([[[9.0, 6.0], [5.0, 0.0]]])
    shaded = np.array([[[9.0, 0.0], [5.0, 0.0]]])
    honest = sealed_bid.second_price(truth, present, units=2)[0, 0]
    lying = sealed_bid.second_price(shaded, present, units=2)[0, 0]
    assert (honest.tolist(), lying.tolist()) == ([2, 10], [1, 0])


def by_the_clock(stops: list[float], start: int, step: int, floor: int | None) -> tuple[int, float]:
    """How many win and at which price, by walking the clock. floor: of a Dutch one."""
    price, last = start, 0
    while True:
        if floor is None:
            inside = sum(stop >= price for stop in stops)
            if inside <= 1:
                return (1, price) if inside else (int(last > 0), price - step if last else 0)
            last, price = inside, price + step
        else:
            if price < floor:
                return 0, 0
            if any(stop >= price for stop in stops):
                return 1, price
            price -= step


@given(markets(), st.integers(0, 4), st.integers(1, 3))
@settings(max_examples=tries(150), deadline=None)
def test_clocks_against_a_walk(market: Any, start: int, step: int) -> None:
    bids, present, key = market
    up = clock.english(bids[..., :1], present, key, start, step)
    down = clock.dutch(bids[..., :1], present, key, start + 4, step, 1)
    for row in range(len(bids)):
        stops = bids[row, present[row], 0]
        valid = stops[np.isfinite(stops) & (stops < 1e10)].tolist()
        for awards, at, floor in ((up, start, None), (down, start + 4, 1)):
            won, price = by_the_clock(valid, at, step, floor)
            assert awards[row, :, 0].sum() == won
            assert awards[row, :, 1].sum() == won * price
            winner = awards[row, :, 0].argmax() if won else 0
            assert not won or price <= bids[row, winner, 0]


def test_an_english_clock_is_second_price_up_to_its_increment() -> None:
    rng = np.random.default_rng(3)
    bids = rng.integers(0, 1000, (200, 5, 1)).astype(float)
    present = np.ones((200, 5), dtype=bool)
    up = clock.english(bids, present, 0, 0, 10)[..., 1].sum(axis=1)
    vickrey = sealed_bid.second_price(bids, present)[..., 1].sum(axis=1)
    assert np.abs(up - vickrey).max() <= 10


@pytest.mark.parametrize("name", ["first", "english", "dutch", "parallel"])
def test_ties_follow_the_key_and_are_fair(name: str) -> None:
    bids, keys = np.full((600, 3, 1), 5.0), np.arange(600, dtype=np.uint64)
    awards = RULES[name](bids, np.ones((600, 3), dtype=bool), keys)
    assert (awards[..., 0].sum(axis=1) == 1).all()
    assert np.abs(awards[..., 0].mean(axis=0) - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 600)


def test_amounts_are_exact_up_to_their_bound() -> None:
    big = float(2**52)
    bids = np.array([[[big - 1], [big], [big * 2]]])
    assert sealed_bid.second_price(bids, np.ones((1, 3), dtype=bool)).tolist() == [
        [[0, 0], [1, big - 1], [0, 0]]
    ]


@given(markets(), st.integers(0, 4))
@settings(max_examples=tries(80), deadline=None)
def test_parallel_items_are_auctions_of_their_own(market: Any, reserve: int) -> None:
    bids, present, key = market
    awards = parallel.clear(bids, present, key, reserve)
    for item in range(bids.shape[2]):
        alone = sealed_bid.second_price(bids[..., item : item + 1], present, key, reserve)
        together = awards[..., 2 * item : 2 * item + 2]
        assert np.array_equal(alone.sum(axis=1), together.sum(axis=1))
        won = together[..., 0] > 0
        assert (bids[..., item][won] >= together[..., 1][won]).all()


def test_bids_for_tasks_say_who_is_able_and_who_fits_best() -> None:
    capabilities = np.array([[[3.0, 1.0], [2.0, 1.0], [9.0, 0.0]]])
    requirements = np.array([[[2.0, 1.0], [3.0, 0.0]]])
    bids = parallel.bids_from(capabilities, requirements)
    nan = np.nan
    assert np.array_equal(bids, [[[2.0, 2.0], [3.0, nan], [nan, nan]]], equal_nan=True)
    costs = np.array([[[1.0, 4.0], [0.0, 0.0], [0.0, 1.0]]])
    bids = parallel.bids_from(
        torch.from_numpy(capabilities), torch.from_numpy(requirements), torch.from_numpy(costs)
    )
    assert np.array_equal(bids.numpy(), [[[2.0, nan], [3.0, nan], [nan, 2.0]]], equal_nan=True)
    awards = parallel.clear(bids.numpy(), np.ones((1, 3), dtype=bool))
    assert awards[0].tolist() == [[0, 0, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("capabilities", "requirements", "costs", "told"),
    [
        (
            (2, 3),
            (2, 3),
            None,
            r"expected capabilities \[B, n, k\] .*, found \[2, 3\] and \[2, 3\]",
        ),
        ((1, 2, 3), (1, 2, 4), None, r"found \[1, 2, 3\] and \[1, 2, 4\]"),
        ((1, 2, 3), (1, 4, 3), (2, 4), r"costs \[B, n, m\], here \[1, 2, 4\], found \[2, 4\]"),
    ],
)
def test_bids_from_other_shapes_are_refused(
    capabilities: Any, requirements: Any, costs: Any, told: str
) -> None:
    given = None if costs is None else np.ones(costs)
    with pytest.raises(ValueError, match=told):
        parallel.bids_from(np.ones(capabilities), np.ones(requirements), given)
