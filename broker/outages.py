"""When links pass nothing: a function of time alone, on NumPy and torch alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broker.numbered import Numbered
from sim.scenario.outages import Outage

_ONCE: Final = 2**62
"""A period longer than any run."""

Array: TypeAlias = Any
_Set: TypeAlias = tuple[Outage, ...]


def outage_sets() -> Numbered[_Set]:
    """Sets of outages; columns: `begins`, `lasts`, `every` int64 [k, m], of as many as the largest
    set has.
    """
    return Numbered((), _columns)


def _columns(sets: Sequence[_Set]) -> dict[str, NDArray[Any]]:
    size = max(map(len, sets))
    none = Outage(0, 0)
    rows = [(*each, *[none] * (size - len(each))) for each in sets]
    return {
        "begins": np.array([[o.begins_ns for o in row] for row in rows], dtype=np.int64),
        "lasts": np.array([[o.lasts_ns for o in row] for row in rows], dtype=np.int64),
        "every": np.array([[o.every_ns or _ONCE for o in row] for row in rows], dtype=np.int64),
    }


def are_out(sets: Mapping[str, Array], numbers: Array, times: Array) -> Array:
    """Whether each link is out at a time. Shapes: numbers, times int64 [...] -> bool [...].

    Units: ns since the episode began.
    """
    since = times[..., None] - sets["begins"][numbers]
    return ((since >= 0) & (since % sets["every"][numbers] < sets["lasts"][numbers])).any(-1)
