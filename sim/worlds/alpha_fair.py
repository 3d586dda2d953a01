"""Concave utilities of rates, and the rates that serve them best: a convex programme.

    maximise sum_i U_i(x_i)   subject to   R x <= c,   0 <= x <= d

    U_i(x) = w_i log x (alpha = 1), w_i x^(1 - alpha) / (1 - alpha) (otherwise), and below `least`
             the tangent there, so that U stays concave and is finite at 0

alpha 0 is the sum of rates, 1 proportional fairness (the product of rates, Nash's welfare), 2 the
least total delay of equal files, and a great alpha comes near to max-min.
With alpha 0 it is a linear programme, for HiGHS. Otherwise it is solved by a log barrier and Newton
steps, which is small and exact enough (1e-9 of the optimum) for networks of up to some hundred
users; no library for it is among the requirements.
Sources: Mo and Walrand, Fair End-to-End Window-Based Congestion Control (2000); Boyd and
Vandenberghe, Convex Optimization (2004), section 11.3.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from scipy.optimize import linprog

Floats = NDArray[np.float64]
GAP: Final = 1e-9
"""Of the optimum that may be missing, relative to sum U'(x) x, which is above 0."""
SHARPER: Final = 20.0
"""By what the barrier weighs less from one centre to the next."""
CENTRED: Final = 1e-6
"""Gain of a Newton step, in units of the barrier, below which a centre is found."""
ROUNDING: Final = 1e-13
"""Of a sum: what is less cannot be told from nothing."""
STEPS: Final = 100
"""Newton steps to a centre, at most; some ten are taken."""


def utility(rate: Any, weight: Any, alpha: float, least: float) -> Any:
    """U, elementwise, of arrays of NumPy or torch."""
    xp = array_namespace(rate)
    x = xp.clip(rate, least, None)
    worth = xp.log(x) if alpha == 1 else x ** (1 - alpha) / (1 - alpha)
    return weight * (worth - xp.clip(least - rate, 0.0, None) * least**-alpha)


def slope(rate: Any, weight: Any, alpha: float, least: float) -> Any:
    """U', elementwise."""
    xp = array_namespace(rate)
    return weight * xp.clip(rate, least, None) ** -alpha


def alpha_fair(
    routes: Floats, capacity: Floats, demand: Floats, weight: Floats, alpha: float, least: float
) -> Floats:
    """The best rates.

    Shapes: routes [l, n] of 0 and 1; capacity [l], demand, weight [n], all above 0 -> [n].
    Raises: ArithmeticError if a centre is not found.
    """
    if alpha == 0:
        bounds = np.stack((np.zeros_like(demand), demand), -1)
        found = linprog(-weight, A_ub=routes, b_ub=capacity, bounds=bounds)
        if found.status != 0:
            raise ArithmeticError(f"the programme of the best rates: {found.message}")
        return np.asarray(found.x, dtype=np.float64)
    n = len(demand)
    # All limits as rows of G x <= h: links, demands, and rates that are not negative.
    g = np.concatenate((routes, np.eye(n), -np.eye(n)))
    h = np.concatenate((capacity, demand, np.zeros(n)))
    on_route = np.where(routes > 0, (capacity / np.maximum(routes.sum(1), 1))[:, None], np.inf)
    x = 0.5 * np.minimum(on_route.min(0), demand)
    sharpness = 1.0
    while True:
        x = _centre(x, g, h, weight, alpha, least, sharpness)
        if len(h) / sharpness <= GAP * float(slope(x, weight, alpha, least) @ x):
            return x
        sharpness *= SHARPER


def _centre(
    x: Floats, g: Floats, h: Floats, weight: Floats, alpha: float, least: float, sharpness: float
) -> Floats:
    """Where sharpness * sum U + sum log(h - G x) is greatest, by Newton steps from inside."""

    def value(at: Floats) -> float:
        room = h - g @ at
        if not (room > 0).all():
            return -np.inf
        total = utility(at, weight, alpha, least).sum()
        return float(sharpness * total + np.log(room).sum())

    now = value(x)
    for _ in range(STEPS):
        room = h - g @ x
        gradient = sharpness * slope(x, weight, alpha, least) - g.T @ (1 / room)
        bend = np.where(x > least, alpha * weight * np.maximum(x, least) ** (-alpha - 1), 0.0)
        curvature = np.diag(sharpness * bend) + (g.T / room**2) @ g
        scale = 1 / np.sqrt(np.diag(curvature))
        scaled = scale[:, None] * curvature * scale + ROUNDING * np.eye(len(x))
        step = scale * np.linalg.solve(scaled, scale * gradient)
        gain = float(gradient @ step)
        if gain < CENTRED + ROUNDING * abs(now):
            return x
        length = 1.0
        while (then := value(x + length * step)) < now + 1e-2 * length * gain:
            length /= 2
            if length < 1e-12:  # rounding hides what is left to gain
                return x
        x, now = x + length * step, then
    raise ArithmeticError("the programme of the best rates does not converge")
