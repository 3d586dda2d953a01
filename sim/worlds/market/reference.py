"""What a market is held against: the news alone, Kyle's equilibrium, and prices that know all.

What one trader could gain at most nobody can say beforehand: it is what the others lose, and these
are agents. What prices can know follows from the value alone, and so does where insiders and maker
of a call come to.
Source: Kyle, Continuous auctions and insider trading (1985), for one insider; Holden and
Subrahmanyam, Long-lived private information and imperfect competition (1992), for several in one
call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.worlds.catalogue import parse
from sim.worlds.market.params import Params, Times
from sim.worlds.market.value import Value

Floats = NDArray[np.float64]
Columns = dict[str, dict[str, float]]


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """Columns, for the value as it is without a `shock`; none if no price is looked at.

    news:    a price that says what everybody knows.
    kyle:    in calls with informed traders, what is expected in equilibrium given the values; the
             profits if `noise_lots` is known, fees left out.
    optimum: where the pricing error is the objective, a price that is the value.
    """
    p = parse(Params, params, "market").checked()
    value, news = _courses(p, seed, duration_ns)
    if not len(value):
        return {}
    off = float(np.square(value - news).mean())
    columns = {"news": {"pricing error": off**0.5, "efficiency": 0.0}}
    if p.form == "call" and p.informed and p.volatility:
        columns["kyle"] = _kyle(p, off, len(value))
    if p.objective == "pricing error":
        columns["optimum"] = {"pricing error": 0.0, "efficiency": 100.0}
    return columns


def _courses(p: Params, seed: int, duration_ns: int) -> tuple[Floats, Floats]:
    """Value and news whenever a price is held against them."""
    times = Times.of(p)
    value, found = Value(p, times), []
    value.reset(seed, 0)
    for step in range(1, duration_ns // times.dt + 1):
        value.walk()
        is_over = step * times.dt % times.round == 0
        if is_over or p.form != "call":
            found.append((value.now, value.news))
        if is_over and not p.walks:
            value.redraw()
    now, news = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return now, news


def _kyle(p: Params, off: float, calls: int) -> dict[str, float]:
    """off: mean square of value less news.

    Each of n insiders wants beta (v - p0), and the price is p0 + lambda flow, with
    beta = noise / (deviation sqrt n), lambda = sqrt n / (n + 1) deviation / noise.
    """
    n, variance = p.informed, p.volatility**2
    error = (off + n * variance) / (n + 1) ** 2
    found = {"pricing error": error**0.5, "efficiency": 100 * n * off / (n * off + variance)}
    if p.noise_lots:
        usd = calls * p.lot_value / 100 * p.noise_lots * n**0.5 / (n + 1)
        gained, lost = usd * off / p.volatility, usd * p.volatility
        found |= {
            "informed profit": gained, "noise profit": -lost, "maker profit": lost - gained,
        }  # fmt: skip
    return found
