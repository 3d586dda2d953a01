"""Ways to divide the capacities of links among the users whose routes pass them.

A single resource is one link that everybody passes. In all of it: routes [l, n] of 0 and 1, one
column per user; capacity [l]; demand [n], the most that a user can use; rates [n]. For what
maximises a sum of utilities, and for proportional fairness with weights, see `alpha_fair`.
Sources: Bertsekas and Gallager, Data Networks (1992), section 6.5.2; Bertsimas, Farias and
Trichakis, The Price of Fairness (2011); Jain, Chiu and Hawe, A Quantitative Measure of Fairness
(1984).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

from sim.worlds.alpha_fair import Floats, alpha_fair

TINY = 1e-300


def proportional(requests: Any, routes: Any, capacity: Any) -> Any:
    """Each request, cut to what the tightest link of its route carries if all are cut alike there.

    It never overloads a link: a link that is asked for `load` passes at most capacity / load of
    each. A whole request passes where every link has room.

    Shapes: requests [B, n], routes [l, n], capacity [B, l] -> [B, n]; arrays of NumPy or torch.
    """
    return requests * passing(loads(requests, routes), routes, capacity)


def passing(load: Any, routes: Any, capacity: Any) -> Any:
    """The share of each request that passes links of which so much is asked. Shapes: -> [B, n]."""
    xp = array_namespace(load)
    passes = xp.clip(capacity / xp.clip(load, TINY, None), None, 1.0)[:, :, None]
    return xp.min(xp.where(routes[None] > 0, passes, xp.ones_like(passes)), axis=1)


def loads(rates: Any, routes: Any) -> Any:
    """What passes each link, added one by one, so that a row's bits do not depend on the batch.

    Shapes: rates [B, n], routes [l, n] -> [B, l].
    """
    parts = rates[:, None, :] * routes
    total = parts[..., 0]
    for i in range(1, parts.shape[-1]):
        total = total + parts[..., i]
    return total


def max_min(
    routes: Floats, capacity: Floats, demand: Floats, weight: Floats | None = None
) -> Floats:
    """By progressive filling: all rates grow together, in proportion to `weight` (default 1), and
    each stops when its demand is met or a link of its route is full."""
    weight = np.ones_like(demand) if weight is None else weight
    rates, grows = np.zeros_like(demand), demand > 0
    while grows.any():
        pace = routes @ (weight * grows)
        room = np.maximum(capacity - routes @ rates, 0.0)
        by_link = np.where(pace > 0, room / np.maximum(pace, TINY), np.inf)
        by_demand = np.where(grows, (demand - rates) / weight, np.inf)
        step = min(by_link.min(initial=np.inf), by_demand.min())
        rates = np.where(grows, rates + step * weight, rates)
        full = by_link <= step * (1 + 1e-12)
        grows = grows & (by_demand > step * (1 + 1e-12)) & ~(routes[full] > 0).any(0)
    return np.minimum(rates, demand)


def egalitarian(routes: Floats, capacity: Floats, demand: Floats) -> Floats:
    """The same rate for all, as great as the links allow, or the demand where that is less: the
    least rate is as great as it can be, and what is left over is left."""
    rates: Floats = np.minimum((capacity / np.maximum(routes.sum(1), 1)).min(), demand)
    return rates


def nash(routes: Floats, capacity: Floats, demand: Floats) -> Floats:
    """The rates of the greatest product: proportional fairness with equal weights."""
    return alpha_fair(routes, capacity, demand, np.ones_like(demand), 1.0, _floor(demand))


def utilitarian(routes: Floats, capacity: Floats, demand: Floats) -> Floats:
    """Rates of the greatest sum."""
    return alpha_fair(routes, capacity, demand, np.ones_like(demand), 0.0, _floor(demand))


def _floor(demand: Floats) -> float:
    """A rate below which utilities may be straight: no optimum of theirs lies there."""
    return 1e-6 * float(demand.min())


def price_of_fairness(rates: Floats, greatest: float) -> float:
    """The share of the greatest sum of rates that is given up."""
    return max(1.0 - float(rates.sum()) / greatest, 0.0) if greatest > 0 else 0.0


def price_bound(users: int, fairness: Literal["proportional", "max_min"]) -> float:
    """The greatest price of fairness there can be, where all users could have the same rate if
    they were alone: the source's bounds for equal greatest utilities."""
    if fairness == "proportional":
        return float(1 - (2 * users**0.5 - 1) / users)
    return float(1 - 4 * users / (users + 1) ** 2)


def jain(rates: Any) -> Any:
    """Jain's index: 1 if all have the same, 1/n if one has all. Shapes: [B, n] -> [B]."""
    total = square = 0.0 * rates[:, 0]
    for i in range(rates.shape[1]):
        total, square = total + rates[:, i], square + rates[:, i] * rates[:, i]
    return jain_of(total, square, rates.shape[1])


def jain_of(total: Any, square: Any, n: int) -> Any:
    """The same by the sum of n rates and that of their squares."""
    return total * total / array_namespace(total).clip(n * square, TINY, None)
