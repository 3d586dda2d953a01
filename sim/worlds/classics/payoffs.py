"""Payoff tables: games by name, tables from a scenario, and their pure equilibria."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import BoundError

Table = NDArray[np.float64]


def tables(game: str, k: float, payoffs: Any, own_payoffs: Any) -> Table:
    """What each player earns. Shapes: [n, choices of 1, ..., choices of n].

    Raises: BoundError for tables that are not regular, or not as deep as there are players.
    """
    if own_payoffs is not None:
        found = _numbers(own_payoffs, "own_payoffs")
        if found.ndim < 2 or len(found) != found.ndim - 1:
            raise BoundError(
                f"world.own_payoffs: {len(found)} tables are for {len(found)} players, so each "
                f"must be {len(found)} lists deep, found {found.ndim - 1}"
            )
        return found
    shared = _numbers(_preset(game, k) if payoffs is None else payoffs, "payoffs")
    if payoffs is None and game in ("battle_of_the_sexes", "prisoners_dilemma"):
        return shared
    return np.broadcast_to(shared, (shared.ndim, *shared.shape)).copy()


def _numbers(given: Any, name: str) -> Table:
    try:
        found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not found.ndim or not found.size or not np.isfinite(found).all():
        raise BoundError(f"world.{name}: expected nested lists of numbers, all of the same shape")
    return found


def _preset(name: str, k: float) -> list[Any]:
    presets: dict[str, list[Any]] = {
        "climbing": [[11, -30, 0], [-30, 7, 6], [0, 0, 5]],
        "penalty": [[10, 0, k], [0, 2, 0], [k, 0, 10]],
        "factorisation": [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]],
        "battle_of_the_sexes": [[[2, 0], [0, 1]], [[1, 0], [0, 2]]],
        "prisoners_dilemma": [[[3, 0], [5, 1]], [[3, 5], [0, 1]]],
    }
    return presets[name]


def equilibria(table: Table) -> list[tuple[int, ...]]:
    """The pure Nash equilibria: nobody gains by changing alone. Shapes: [n, ...] of `tables`."""
    is_best = [own >= own.max(axis=i, keepdims=True) for i, own in enumerate(table)]
    return [tuple(map(int, joint)) for joint in np.argwhere(np.all(is_best, axis=0))]
