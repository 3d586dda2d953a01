"""Settlement: the books balance to the last unit, and no trade is better broken than kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.worlds.smart_grid_settlement import EUR, imbalance_prices, jain, settle

WH = st.integers(-50_000, 50_000)
PRICE = st.integers(0, 100_000)


def one(metered, traded, price=20_000, buy=30_000, sell=8_000, share=250):
    as_rows = [np.array([list(x)], dtype=np.int64) for x in (metered, traded)]
    return settle(*as_rows, *(np.array([x], dtype=np.int64) for x in (price, buy, sell)), share)


def euros(amount):
    return [x / EUR for x in np.ravel(amount).tolist()]


def test_without_a_trade_all_is_at_the_tariff():
    result = one([1000, -1000], [0, 0])
    assert euros(result.paid) == [0.30, -0.08]
    assert euros(result.at_tariff) == [0.30, -0.08]
    assert euros(result.upstream) == [0.22]


def test_what_was_traded_and_kept_is_at_the_clearing_price():
    result = one([1000, -1000], [1000, -1000])
    assert euros(result.paid) == [0.20, -0.20]
    assert euros(result.upstream) == euros(result.imbalance) == euros(result.market) == [0.0]


@pytest.mark.parametrize(
    ("metered", "traded", "paid"),
    [
        (1500, 1000, 0.20 + 0.5 * 0.30),  # used more than bought: tariff
        (600, 1000, 0.20 - 0.4 * 0.06),  # bought and not used: sold back below the feed-in price
        (-1500, -1000, -0.20 - 0.5 * 0.08),  # delivered more than sold: tariff
        (-600, -1000, -0.20 + 0.4 * 0.375),  # sold and not delivered: bought back dearer
        (300, -1000, -0.20 + 1.0 * 0.375 + 0.3 * 0.30),  # sold, and then used some itself
    ],
)
def test_what_differs_from_the_trade(metered, traded, paid):
    assert euros(one([metered], [traded]).paid) == pytest.approx([paid])


def test_the_market_makes_up_for_awards_that_do_not_sum_to_zero():
    result = one([1000, 0], [1000, 0])
    assert euros(result.market) == [0.20]
    assert result.paid.sum() == result.upstream + result.imbalance + result.market


@given(
    st.lists(st.tuples(WH, WH), min_size=1, max_size=8), PRICE, PRICE, PRICE, st.integers(0, 1000)
)
def test_money_is_conserved(pairs, price, a, b, share):
    metered, traded = zip(*pairs, strict=True)
    result = one(metered, traded, price, max(a, b), min(a, b), share)
    received = result.upstream + result.imbalance + result.market
    assert result.paid.sum() == received[0]


@given(
    st.lists(st.tuples(WH, WH), min_size=1, max_size=8), PRICE, PRICE, PRICE, st.integers(0, 1000)
)
def test_together_they_never_pay_less_than_the_tariff_on_their_sum(pairs, price, a, b, share):
    metered, traded = (np.array(x, dtype=np.int64) for x in zip(*pairs, strict=True))
    traded[-1] -= traded.sum()  # a market clears to zero
    buy, sell = max(a, b), min(a, b)
    total = int(metered.sum())
    alone = total * buy if total > 0 else total * sell
    assert one(metered, traded, price, buy, sell, share).paid.sum() >= alone


@given(WH, WH, PRICE, PRICE, st.integers(0, 1000))
def test_imbalance_is_never_better_than_the_tariff(metered, traded, a, b, share):
    buy, sell = max(a, b), min(a, b)
    up, down = imbalance_prices(buy, sell, share)
    assert up >= buy
    assert down <= sell
    broken = one([metered], [traded], 0, buy, sell, share).paid.sum()
    rest = metered - traded
    assert broken >= (rest * buy if rest > 0 else rest * sell)


def test_torch_gives_the_same_numbers():
    import torch

    rows = [[1500, -600, 0], [1000, -1000, 0]]
    prices = (20_000, 30_000, 8_000)
    numpy = one(*rows)
    tensors = [torch.tensor([row]) for row in rows] + [torch.tensor([x]) for x in prices]
    torched = settle(*tensors, 250)
    assert torched.paid.tolist() == numpy.paid.tolist()
    assert torched.market.tolist() == numpy.market.tolist()


def test_fairness_of_gains():
    assert jain([1, 1, 1, 1]) == 1.0
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([2, -5]) == 0.5
    assert jain([0, 0]) == 1.0
