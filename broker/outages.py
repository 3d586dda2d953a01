"""When links pass nothing: a function of time alone, on NumPy and torch alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.scenario.outages import Outage

_ONCE: Final = 2**62
"""A period longer than any run."""

Array: TypeAlias = Any
_Set: TypeAlias = tuple[Outage, ...]


class OutageSets:
    """The different sets of outages, by number; 0 is none.

    columns: `begins`, `lasts`, `every` int64 [k, m], of as many outages as the largest set has.
    """

    def __init__(self) -> None:
        self._numbers: dict[_Set, int] = {(): 0}
        self.columns = _columns([()])

    def number(self, outages: _Set) -> int:
        """The number of a set, made on first use."""
        if outages not in self._numbers:
            self._numbers[outages] = len(self._numbers)
            self.columns = _columns(list(self._numbers))
        return self._numbers[outages]


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
