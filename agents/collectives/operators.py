"""What several contributions become: sum, mean, min, max, product, of numbers or of arrays.

Whole numbers are reckoned with exactly as long as they fit in 64 bits, and in float64 beyond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from sim.errors import AgentError
from sim.ids import did_you_mean

Combine = Callable[[Any, Any], Any]


def _widening(reckon: np.ufunc) -> Combine:
    """An operation on arrays, in float64 where whole numbers would overflow."""

    def combine(first: Any, second: Any) -> Any:
        with np.errstate(over="ignore"):
            found = reckon(first, second)
            if found.dtype.kind != "i":
                return found
            rough = reckon(first, second, dtype=np.float64)
        # What has wrapped around is off by a multiple of 2**64, what is rounded by far less.
        return found if np.all(np.abs(found - rough) < 2.0**63) else rough

    return combine


OPERATORS: Final[dict[str, Combine]] = {
    "sum": _widening(np.add),
    "mean": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "product": _widening(np.multiply),
}
"""By name, of two partial results. A mean is a sum until `finished` divides it."""


def operator(name: str) -> Combine:
    """Raises: AgentError naming the nearest one."""
    if not isinstance(name, str) or name not in OPERATORS:
        raise AgentError(f"op: there is no {name!r}; {did_you_mean(str(name), OPERATORS)}")
    return OPERATORS[name]


def finished(name: str, value: Any, contributors: int) -> Any:
    """The result of an operator over so many contributions."""
    return value / contributors if name == "mean" else value


def taken(value: Any, op: str = "sum") -> Any:
    """A contribution as it is reckoned with: an array, or a number as an array of no dimension.

    Integers and truth values become int64; for a mean, and where one does not fit, float64.
    Raises: AgentError if it is neither.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and all(type(each) is int for each in array.flat):
            array = array.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise AgentError(f"a contribution: {error}, found {value!r:.60}") from None
    if array.dtype.kind not in "biuf":
        raise AgentError(f"a contribution is a number or an array of numbers, found {value!r:.60}")
    if array.dtype.kind == "f":
        return array
    is_beyond = array.dtype == np.uint64 and bool(np.any(array > np.uint64(2**63 - 1)))
    return array.astype(np.float64 if is_beyond or op == "mean" else np.int64)


def given(value: Any) -> Any:
    """A result as its caller wants it: a number for numbers, an array for arrays."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and not value.shape else value
