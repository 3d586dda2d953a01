"""The random part of latencies by inversion of one uniform, on NumPy and torch alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broker.numbered import Numbered

KINDS: Final = {
    "none": 0,
    "constant": 1,
    "uniform": 2,
    "exponential": 3,
    "normal": 4,
    "lognormal": 5,
    "pareto": 6,
    "empirical": 7,
}
_EMPIRICAL: Final = KINDS["empirical"]
_LATEST: Final = 4e18

Array: TypeAlias = Any


def tables() -> Numbered[tuple[int, ...]]:
    """Tables of measured latencies; columns: `values` of all, one after another, float64 in ns; per
    table its `start` there and its `last`, the number of its last value: int64 [k].
    """
    return Numbered((0, 0), _columns)


def _columns(known: Sequence[tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    sizes = np.array([len(table) for table in known], dtype=np.int64)
    return {
        "values": np.array([value for table in known for value in table], dtype=np.float64),
        "start": np.cumsum(sizes) - sizes,
        "last": sizes - 1,
    }


def jitters(
    xp: Any, kinds: Set[int], kind: Array, a: Array, b: Array, tables: Mapping[str, Array],
    uniform: Array, normal: Callable[[Array], Array],
) -> Array:  # fmt: skip
    """What is added to each floor, in whole ns and never negative.

    Shapes: kind, a, b (by `sim.scenario.jitters.Jitter`; of a measured one `a` is the number of its
            table), uniform: all broadcast to [...] -> float64 [...]. kinds: those that there are.
            normal: the inverse of the standard normal distribution.
    """
    extra = xp.where(kind == KINDS["constant"], a, 0.0 * a)
    for number in kinds - {0, 1}:
        if number == _EMPIRICAL:
            table = xp.where(kind == number, a, 0.0 * a)
            drawn = _between(xp, xp.asarray(table, dtype=xp.int64), tables, uniform)
        else:
            drawn = _inverse(xp, number, a, b, uniform, normal)
        extra = drawn if kinds == {number} else xp.where(kind == number, drawn, extra)
    return xp.round(xp.clip(extra, None, _LATEST))


def _inverse(
    xp: Any, kind: int, a: Array, b: Array, uniform: Array, normal: Callable[[Array], Array]
) -> Array:
    if kind == KINDS["uniform"]:
        return a * uniform
    if kind == KINDS["exponential"]:
        return -a * xp.log(uniform)
    if kind == KINDS["normal"]:
        return xp.clip(a + b * normal(uniform), 0.0, None)
    if kind == KINDS["lognormal"]:
        return a * xp.exp(xp.clip(b * normal(uniform), None, 50.0))
    shape = xp.where(b > 0.0, b, 1.0 + 0.0 * b)
    return a * uniform ** (-1.0 / shape)


def _between(xp: Any, table: Array, tables: Mapping[str, Array], uniform: Array) -> Array:
    """The inverse of a measured distribution, linear between the order statistics.

    Shapes: table int64, uniform [...].
    """
    last, values = tables["last"][table], tables["values"]
    place = uniform * last
    below = xp.minimum(xp.asarray(place, dtype=xp.int64), last - 1)
    at = tables["start"][table] + below
    return values[at] + (place - below) * (values[at + 1] - values[at])
