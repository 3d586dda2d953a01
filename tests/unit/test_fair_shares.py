"""Dividing links: closed forms, what each notion of fairness promises, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sim.worlds.alpha_fair import Floats, alpha_fair, utility
from sim.worlds.fair_shares import (
    egalitarian,
    jain,
    max_min,
    nash,
    price_bound,
    price_of_fairness,
    proportional,
    utilitarian,
)

LEAST = 1e-3


@st.composite
def networks(draw: st.DrawFn, is_even: bool = False) -> tuple[Floats, Floats, Floats, Floats]:
    """Routes, capacities, demands, weights. is_even: everybody alone could have a rate of 1."""
    links, users = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    routes = (rng.random((links, users)) < 0.5).astype(np.float64)
    routes[rng.integers(0, links, users), np.arange(users)] = 1.0
    if is_even:
        return routes, np.ones(links), np.full(users, 10.0), np.ones(users)
    demand = rng.uniform(0.5, 8, users)
    return routes, rng.uniform(0.5, 10, links), demand, rng.uniform(0.2, 3, users)


def line(links: int) -> tuple[Floats, Floats, Floats]:
    """A long flow over all links, of capacity 1, and a short one on each."""
    routes = np.concatenate((np.ones((links, 1)), np.eye(links)), 1)
    return routes, np.ones(links), np.full(links + 1, 100.0)


@pytest.mark.parametrize("links", [1, 2, 3, 5, 10])
def test_closed_forms_of_the_linear_network(links: int) -> None:
    routes, capacity, demand = line(links)
    assert nash(routes, capacity, demand)[0] == pytest.approx(1 / (links + 1), abs=1e-6)
    assert max_min(routes, capacity, demand) == pytest.approx(np.full(links + 1, 0.5))
    most = utilitarian(routes, capacity, demand).sum()
    assert most == pytest.approx(links, abs=1e-6)
    assert egalitarian(routes, capacity, demand) == pytest.approx(np.full(links + 1, 0.5))


@pytest.mark.parametrize("alpha", [0.5, 2.0, 4.0])
def test_closed_form_for_other_utilities(alpha: float) -> None:
    """With x the long flow: x^-alpha = L (1 - x)^-alpha."""
    routes, capacity, demand = line(3)
    rates = alpha_fair(routes, capacity, demand, np.ones(4), alpha, LEAST)
    assert rates[0] == pytest.approx(1 / (1 + 3 ** (1 / alpha)), abs=1e-6)


def test_max_min_meets_small_demands_and_divides_the_rest() -> None:
    rates = max_min(np.ones((1, 4)), np.array([10.0]), np.array([2.0, 2.6, 4.0, 5.0]))
    assert rates == pytest.approx([2.0, 2.6, 2.7, 2.7])


@settings(max_examples=tries(60), deadline=None)
@given(networks())
def test_max_min_leaves_everybody_a_bottleneck(network: tuple[Floats, ...]) -> None:
    """Whose demand is not met has the greatest rate, by weight, on some link that is full."""
    routes, capacity, demand, weight = network
    rates = max_min(routes, capacity, demand, weight)
    load = routes @ rates
    assert (load <= capacity * (1 + 1e-9)).all()
    for i in np.flatnonzero(rates < demand - 1e-9):
        full = [j for j in np.flatnonzero(routes[:, i]) if load[j] > capacity[j] * (1 - 1e-9)]
        level = rates / weight
        assert any(level[i] >= level[routes[j] > 0].max() - 1e-9 for j in full)


@settings(max_examples=tries(60), deadline=None)
@given(networks(), st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0]), st.integers(0, 1000))
def test_nobody_beats_the_programme(network: tuple[Floats, ...], alpha: float, seed: int) -> None:
    routes, capacity, demand, weight = network
    best = alpha_fair(routes, capacity, demand, weight, alpha, LEAST)
    assert (routes @ best <= capacity * (1 + 1e-9)).all()
    assert ((best >= 0) & (best <= demand * (1 + 1e-9))).all()
    rng = np.random.default_rng(seed)
    near = np.clip(best * rng.normal(1, 0.1, (50, len(best))), 0, demand)
    far = rng.uniform(0, 1, (50, len(best))) * demand
    others = proportional(np.concatenate((near, far)), routes, np.tile(capacity, (100, 1)))
    worth = utility(others, weight, alpha, LEAST).sum(1)
    most = utility(best, weight, alpha, LEAST).sum()
    assert worth.max() <= most + 1e-8 * max(abs(most), 1.0)


@settings(max_examples=tries(30), deadline=None)
@given(networks(is_even=True))
def test_the_price_of_fairness_is_within_its_bound(network: tuple[Floats, ...]) -> None:
    routes, capacity, demand, _ = network
    n, most = len(demand), utilitarian(routes, capacity, demand).sum()
    paid = price_of_fairness(nash(routes, capacity, demand), most)
    assert paid <= price_bound(n, "proportional") + 1e-6
    paid_max_min = price_of_fairness(max_min(routes, capacity, demand), most)
    assert paid_max_min <= price_bound(n, "max_min") + 1e-6
    assert price_of_fairness(utilitarian(routes, capacity, demand), most) < 1e-9


def test_the_bound_is_not_idle() -> None:
    """Rates that are feasible and neither fair nor great are above it."""
    routes, capacity, demand = line(4)
    assert price_of_fairness(max_min(routes, capacity, demand), 4.0) == pytest.approx(0.375)
    assert price_bound(5, "max_min") == pytest.approx(1 - 20 / 36)
    with_a_lie = price_of_fairness(np.full(5, 0.2), 4.0)
    assert with_a_lie > price_bound(5, "max_min")


@settings(max_examples=tries(60), deadline=None)
@given(networks(), st.integers(0, 1000))
def test_requests_are_cut_to_what_there_is(network: tuple[Floats, ...], seed: int) -> None:
    routes, capacity, demand, _ = network
    requests = np.random.default_rng(seed).uniform(0, 20, (4, len(demand)))
    rates = proportional(requests, routes, np.tile(capacity, (4, 1)))
    assert ((rates >= 0) & (rates <= requests)).all()
    assert (rates @ routes.T <= capacity * (1 + 1e-12)).all()
    few = requests / requests.sum() * capacity.min() * 0.99
    assert (proportional(few, routes, np.tile(capacity, (4, 1))) == few).all()


@settings(max_examples=tries(30), deadline=None)
@given(networks())
def test_a_great_alpha_is_nearly_max_min(network: tuple[Floats, ...]) -> None:
    """The worth of the least rate is within that of all, n times that of the max-min rate."""
    routes, capacity, demand, _ = network
    rates = alpha_fair(routes, capacity, demand, np.ones_like(demand), 8.0, 0.05)
    fair = max_min(routes, capacity, demand)
    assume(fair.min() > 0.1)
    assert len(fair) ** (-1 / 7) * fair.min() * (1 - 1e-6) <= rates.min() <= fair.min() * (1 + 1e-6)


def test_jain() -> None:
    assert jain(np.array([[1.0, 1, 1, 1], [4, 0, 0, 0], [1, 1, 0, 0]])).tolist() == [1, 0.25, 0.5]
