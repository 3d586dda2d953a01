"""Voronoi cells of points in a plane, on a grid, and their centres of mass.

    H(p) = integral of min_i |x - p_i|^2 phi(x) dx
is least where every robot is at the centre of mass of its own cell (Lloyd 1982). In a unit square
of even density n H >= 5 / (18 sqrt 3), the cost of regular hexagons (Fejes Toth 1953; the bound
holds for every convex polygon of at most six sides); on a unit interval the best places are
(2 i - 1) / 2 n, and H = 1 / (12 n^2). Arrays of any library that knows the array API.
Source: Cortes, Martinez, Karatas and Bullo, Coverage Control for Mobile Sensing Networks, 2004.
"""

from __future__ import annotations

from typing import Any, Final

Array = Any

HEXAGONS: Final = 5 / (18 * 3**0.5)


def squared(points: Array, at: Array) -> Array:
    """Squared distances. Shapes: points [G, d], at [..., d] -> [..., G]."""
    apart = points - at[..., None, :]
    square = apart * apart
    total = square[..., 0]
    for axis in range(1, points.shape[-1]):
        total = total + square[..., axis]
    return total


def cell(xp: Any, points: Array, own: Array, others: Array, there: Array) -> Array:
    """Which points are nearer to oneself than to anybody else.

    Shapes: points [G, d], own [B, d], others [B, n, d], there bool [B, n] -> bool [B, G].
    """
    mine = squared(points, own)
    if not others.shape[1]:
        return mine >= 0
    theirs = xp.where(there[..., None], squared(points, others), xp.inf)
    return mine <= xp.min(theirs, axis=1)


def centroid(xp: Any, points: Array, weight: Array, otherwise: Array) -> Array:
    """The centre of mass. Shapes: points [G, d], weight [B, G], otherwise [B, d], which is what
    counts where there is no weight -> [B, d]."""
    total = xp.sum(weight, axis=1, keepdims=True)
    middle = (weight @ points) / xp.clip(total, 1e-12, None)
    return xp.where(total > 0, middle, otherwise)


def bell(squares: Array, radius: float, xp: Any) -> Array:
    """(1 - r^2 / R^2)^2 within the radius, 0 beyond (biweight kernel). squares: r^2 [...]."""
    inside = xp.clip(1.0 - squares / radius**2, 0.0, None)
    return inside * inside
