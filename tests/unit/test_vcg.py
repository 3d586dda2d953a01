"""VCG: the greatest value by brute force, payments that make truth best, ties by lot."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp

from sim.mechanisms.vcg import VALUE_MAX, Bid, allocate, clear

ITEMS = 4


def bids_of(largest: int) -> Any:
    bundle = st.frozensets(st.integers(0, ITEMS - 1), min_size=1)
    own = st.lists(st.tuples(bundle, st.integers(0, largest)), max_size=3)
    return st.lists(own, max_size=4)


def greatest(bids: list[list[Bid]]) -> int:
    """By trying all choices."""
    best = 0
    for choice in itertools.product(*[[None, *own] for own in bids]):
        taken = [bid for bid in choice if bid is not None]
        items = [item for bundle, _ in taken for item in bundle]
        if len(items) == len(set(items)):
            best = max(best, sum(value for _, value in taken))
    return best


@pytest.mark.parametrize("largest", [6, VALUE_MAX])
def test_the_value_is_the_greatest_and_nobody_pays_too_much(largest: int) -> None:
    @given(bids_of(largest), st.integers(0, 2**64 - 1))
    @settings(max_examples=tries(60), deadline=None)
    def check(bids: list[list[Bid]], key: int) -> None:
        awards = clear(bids, key)
        sold = [item for award in awards for item in award.items]
        assert len(sold) == len(set(sold))
        worth = [bids[i][a.bid][1] if a.bid >= 0 else 0 for i, a in enumerate(awards)]
        assert sum(worth) == greatest(bids)
        for i, (award, value) in enumerate(zip(awards, worth, strict=True)):
            assert 0 <= award.pays <= value
            others = [own if k != i else [] for k, own in enumerate(bids)]
            assert award.pays == greatest(others) - (sum(worth) - value)

    check()


@given(bids_of(5), st.integers(0, 5), st.randoms())
@settings(max_examples=tries(40), deadline=None)
def test_no_deviation_pays(bids: list[list[Bid]], key: int, draw: Any) -> None:
    if not bids:
        return
    truth = bids[0]

    def utility(said: list[Bid]) -> int:
        award = clear([said, *bids[1:]], key)[0]
        worth = max((value for items, value in truth if items <= award.items), default=0)
        return worth - award.pays

    honest = utility(truth)
    assert honest >= 0
    lies = [[], [(frozenset(range(ITEMS)), 9)]]
    for _ in range(6):
        lies.append([(items, draw.randint(0, 8)) for items, _ in truth])
    assert all(utility(lie) <= honest for lie in lies)


def test_with_one_item_each_it_is_the_best_assignment() -> None:
    values = np.random.default_rng(5).integers(0, 50, (6, 4))
    bids = [[(frozenset([j]), int(v)) for j, v in enumerate(row)] for row in values]
    awards = clear(bids)
    rows, columns = linear_sum_assignment(values, maximize=True)
    worth = sum(int(values[i, j]) for i, a in enumerate(awards) for j in a.items)
    assert worth == values[rows, columns].sum()


def test_a_known_case() -> None:
    """Two who want both items, two who want one each: the pair wins, and each pays 10 - 8 = 2."""
    both, a, b = frozenset([0, 1]), frozenset([0]), frozenset([1])
    awards = clear([[(both, 10)], [(a, 8)], [(b, 8)]])
    assert [(set(w.items), w.pays) for w in awards] == [(set(), 0), ({0}, 2), ({1}, 2)]
    assert clear([[(both, 10)], [(both, 4)]])[0].pays == 4


def test_where_parts_of_bids_would_be_worth_more_the_greatest_whole_one_is_found() -> None:
    """Each of three wants another pair of three items: half of each would be worth 15."""
    pairs = [frozenset(pair) for pair in itertools.combinations(range(3), 2)]
    awards = clear([[(pair, 10)] for pair in pairs])
    assert sorted(award.pays for award in awards) == [0, 0, 10]
    assert sum(award.bid == 0 for award in awards) == 1
    assert [award.pays for award in clear([[(pair, 10 + i)] for i, pair in enumerate(pairs)])] == [
        0, 0, 11,
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_market_of_twenty_is_worth_what_an_integer_programme_finds(seed: int) -> None:
    draw = np.random.default_rng(seed)
    bundles = [[frozenset(draw.choice(15, draw.integers(1, 5), False).tolist()) for _ in range(7)]
               for _ in range(20)]  # fmt: skip
    bids = [[(b, int(draw.integers(50, 100)) * len(b)) for b in own] for own in bundles]
    flat = [(i, *bid) for i, own in enumerate(bids) for bid in own]
    rows = [[i == k for k, _, _ in flat] for i in range(20)]
    rows += [[item in bundle for _, bundle, _ in flat] for item in range(15)]
    best = milp([-value for _, _, value in flat], integrality=1, bounds=Bounds(0, 1),
                constraints=LinearConstraint(np.array(rows, dtype=float), ub=1.0))  # fmt: skip
    awards = clear(bids, seed)
    assert sum(bids[i][a.bid][1] for i, a in enumerate(awards) if a.bid >= 0) == round(-best.fun)


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    subprocess.run(
        [sys.executable, "-c", "from sim.mechanisms.vcg import clear; clear([[({0}, 3)]])"],
        check=True,
    )
    assert capfd.readouterr() == ("", "")


def test_ties_go_by_lot() -> None:
    a = frozenset([0])
    wins = [allocate([[(a, 3)], [(a, 3)], [(a, 3)]], key) for key in range(90)]
    counts = [sum(w[i] == 0 for w in wins) for i in range(3)]
    assert sum(counts) == 90
    assert min(counts) > 15
    assert wins == [allocate([[(a, 3)], [(a, 3)], [(a, 3)]], key) for key in range(90)]


def test_what_is_no_bid_is_told() -> None:
    with pytest.raises(ValueError, match="bidder 1, bid 0: expected items"):
        clear([[], [(frozenset(), 3)]])
    with pytest.raises(ValueError, match="a value from 0"):
        clear([[(frozenset([0]), -1)]])
