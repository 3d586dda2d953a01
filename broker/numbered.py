"""Values that many links share, by number: a column of links holds the number, not the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

V = TypeVar("V")
Columns = Mapping[str, NDArray[Any]]


class Numbered(Generic[V]):
    """The different values seen so far. none: what gets the number 0.

    columns: what `make` makes of all of them, in order of their numbers.
    """

    def __init__(self, none: V, make: Callable[[Sequence[V]], Columns]) -> None:
        self._make = make
        self._numbers: dict[V, int] = {none: 0}
        self.columns = make([none])

    def number(self, value: V) -> int:
        """The number of a value, given on first sight."""
        if value not in self._numbers:
            self._numbers[value] = len(self._numbers)
            self.columns = self._make(list(self._numbers))
        return self._numbers[value]
