"""Observation and action spaces: named fields with units and bounds, flattened to float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.ids import did_you_mean


@dataclass(frozen=True)
class Field:
    """One named quantity of a space; `size` > 1 makes it a vector.

    choices: of an action: it is a whole number, one of 0 ... choices - 1.
    masks:   of an observation: the numbers (1 or 0, one per choice) say which choices of the action
             field of that name are allowed now.
    """

    name: str
    unit: str = ""
    low: float = -np.inf
    high: float = np.inf
    size: int = 1
    default: float = 0.0
    help: str = ""
    choices: int = 0
    masks: str = ""


@dataclass(frozen=True)
class Space:
    """An ordered set of fields; a value is one float64 vector of `size` numbers."""

    fields: tuple[Field, ...] = ()

    @cached_property
    def size(self) -> int:
        return sum(f.size for f in self.fields)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each field lies in the vector."""
        slices, start = {}, 0
        for field in self.fields:
            slices[field.name] = slice(start, start + field.size)
            start += field.size
        return slices

    def _spread(self, attribute: str) -> NDArray[np.float64]:
        return np.concatenate(
            [np.full(f.size, getattr(f, attribute), dtype=np.float64) for f in self.fields]
            or [np.zeros(0)]
        )

    @cached_property
    def low(self) -> NDArray[np.float64]:
        return self._spread("low")

    @cached_property
    def high(self) -> NDArray[np.float64]:
        return self._spread("high")

    @cached_property
    def default(self) -> NDArray[np.float64]:
        return self._spread("default")

    def index(self, name: str) -> slice:
        """Where field `name` lies.

        Raises: KeyError naming the nearest field.
        """
        try:
            return self.slices[name]
        except KeyError:
            raise KeyError(f"no field {name!r}; {did_you_mean(name, self.slices)}") from None

    def pack(self, values: Mapping[str, float], base: NDArray[np.float64]) -> NDArray[np.float64]:
        """`base` with the named fields replaced. Raises: KeyError, ValueError (wrong length)."""
        vector = base.copy()
        for name, value in values.items():
            where = self.index(name)
            if np.size(value) not in (1, where.stop - where.start):
                raise ValueError(
                    f"field {name!r} takes {where.stop - where.start} numbers, got {np.size(value)}"
                )
            vector[where] = value
        return vector
