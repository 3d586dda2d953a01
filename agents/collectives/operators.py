"""What several contributions become: sum, mean, min, max, product, of numbers or of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from sim.errors import AgentError
from sim.ids import did_you_mean

OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "sum": np.add,
    "mean": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "product": np.multiply,
}
"""By name, of two partial results. A mean is a sum until `finished` divides it."""


def operator(name: str) -> Callable[[Any, Any], Any]:
    """Raises: AgentError naming the nearest one."""
    if name not in OPERATORS:
        raise AgentError(f"there is no operator {name!r}; {did_you_mean(name, list(OPERATORS))}")
    return OPERATORS[name]


def finished(name: str, value: Any, contributors: int) -> Any:
    """The result of an operator over so many contributions."""
    return value / contributors if name == "mean" else value


def taken(value: Any) -> Any:
    """A contribution as it is reckoned with: an array, or a number as an array of no dimension.

    Integers and truth values stay whole numbers; a mean of them is a float.
    Raises: AgentError if it is neither.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise AgentError(f"a contribution is a number or an array of numbers, found {value!r:.60}")
    return array.astype(np.int64) if array.dtype.kind == "b" else array


def given(value: Any) -> Any:
    """A result as its caller wants it: a number for numbers, an array for arrays."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and not value.shape else value
