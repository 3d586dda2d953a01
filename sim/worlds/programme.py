"""Linear programmes that are put together block by block, solved by HiGHS (`scipy.optimize`)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Term: TypeAlias = tuple[Ints, Ints, float | Floats]
"""Rows, their columns, and the coefficient of these, in some constraints."""


class Programme:
    """A linear programme that grows by blocks of columns and of rows."""

    def __init__(self) -> None:
        self.fixed_eur = 0.0
        self._columns: list[tuple[Floats, Floats, Floats]] = []
        self._rows: list[tuple[Floats, Floats]] = []
        self._terms: list[tuple[Ints, Ints, Floats]] = []
        self._width = self._height = 0

    def columns(self, cost: Floats, high: float | Floats = np.inf, low: float = 0.0) -> Ints:
        """New columns with their costs and limits; returns where they stand."""
        self._columns.append((cost, cost * 0 + low, cost * 0 + high))
        self._width += len(cost)
        return np.arange(self._width - len(cost), self._width)

    def rows(self, terms: list[Term], low: Floats, high: Floats) -> None:
        """New constraints, low <= sum of coefficient times column <= high, row by row."""
        for rows, columns, coefficient in terms:
            values = np.full(len(rows), coefficient, dtype=np.float64)
            self._terms.append((self._height + rows, columns, values))
        self._rows.append((low, high))
        self._height += len(low)

    def least(self) -> float:
        """The optimum, less `fixed_eur`. Raises: ArithmeticError."""
        return self.solved()[0]

    def solved(self) -> tuple[float, Floats]:
        """The optimum and the columns there. Raises: ArithmeticError."""
        rows, columns, values = (np.concatenate(x) for x in zip(*self._terms, strict=True))
        matrix = sp.csr_matrix((values, (rows, columns)), (self._height, self._width))
        cost, low, high = (np.concatenate(x) for x in zip(*self._columns, strict=True))
        between = (np.concatenate(x) for x in zip(*self._rows, strict=True))
        found = milp(cost, bounds=Bounds(low, high), constraints=LinearConstraint(matrix, *between))
        if found.status != 0:
            raise ArithmeticError(f"the programme has no solution: {found.message}")
        return float(found.fun), np.asarray(found.x, dtype=np.float64)
