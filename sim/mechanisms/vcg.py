"""Several items, bids for bundles, and payments under which truth is best: Vickrey, Clarke, Groves.

A bidder names bundles and what each is worth to it, and wins at most one of them (XOR bids). The
allocation is the one of greatest total value, and everybody pays what its presence costs the
others: Clarke, Multipart pricing of public goods (1971); Cramton, Shoham, Steinberg (eds.),
Combinatorial auctions (2006), chapters 1 and 12. Of several allocations of greatest value the one
with the greatest sum of lots is taken, one lot per bid, drawn by key.

Choosing bundles is NP-hard. It is done by branch and bound over linear programmes, in which bids
may be accepted in part (HiGHS): one model for all payments, each solved from where the last one
ended. HiGHS works in floating point, the proof is in integers: any prices of bidders and items
bound the value of every allocation (weak duality), so those that HiGHS finds are rounded and the
bound is added up from them exactly. Tolerances can cost time, never the optimum.

Values are integers (micro-units, say), bounded so that a unit is above the tolerances of HiGHS. One
market is solved at a time: no batch, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import highspy
import numpy as np
from array_api_compat import numpy as xn
from numpy.typing import NDArray

from sim.mechanisms.double_auction import lots

VALUE_MAX: Final = 2**40
Bid = tuple[frozenset[int], int]
"""Items by number, and the value of having all of them."""
_FINE: Final = 2**12
"""Prices, gains and bounds are integers in this part of a unit of value."""
_WHOLE: Final = 1e-6
"""How near to 0 or 1 the share of a bid counts as it."""
_OPTIONS: Final[dict[str, Any]] = {
    "threads": 1, "parallel": "off", "solver": "simplex", "mip_rel_gap": 0.0,
}  # fmt: skip


class Award(NamedTuple):
    """items: won, empty if none. bid: which of its bids that was, -1 if none. pays: its payment."""

    items: frozenset[int]
    bid: int
    pays: int


def clear(bids: Sequence[Sequence[Bid]], key: int = 0) -> list[Award]:
    """What every bidder wins and pays.

    bids:   those of each bidder, of which it wins at most one. Payments: integers from 0 to the
            value of the bundle won.
    Raises: ValueError for a value beyond 0..2^40, or an empty bundle.
    Cost:   a search for the allocation, and one more for each winner: in all 4 ms for 4 bidders,
            40 ms for 20 bidders with 7 bundles of 15 items, 0.1 to 0.5 s for 40 and 30.
    """
    market = _Market(bids)
    won = market.allocate(key)
    total, awards = market.value(won), [Award(frozenset(), -1, 0)] * len(bids)
    for column in won:
        i, at = market.bids[column]
        items, value = bids[i][at]
        others = [c for c, (bidder, _) in enumerate(market.bids) if bidder != i]
        without, _ = market.greatest(others, [c for c in won if c != column])
        awards[i] = Award(items, at, market.value(without) - (total - value))
    return awards


def allocate(bids: Sequence[Sequence[Bid]], key: int = 0) -> list[int]:
    """Which of its bids each bidder wins, -1 for none: of greatest value, ties by lot."""
    market, chosen = _Market(bids), [-1] * len(bids)
    for column in market.allocate(key):
        i, at = market.bids[column]
        chosen[i] = at
    return chosen


class _Market:
    """One column per bid; one row per bidder, who wins once, and then one per item, sold once."""

    def __init__(self, bids: Sequence[Sequence[Bid]]) -> None:
        self.bids = [(i, at) for i, own in enumerate(bids) for at in range(len(own))]
        self.values = [bids[i][at][1] for i, at in self.bids]
        self.rows: list[list[int]] = []
        for i, at in self.bids:
            items, value = bids[i][at]
            if not 0 <= value <= VALUE_MAX or not items:
                raise ValueError(
                    f"bidder {i}, bid {at}: expected items and a value from 0 to {VALUE_MAX}, "
                    f"found {sorted(items)} and {value}"
                )
            self.rows.append([i, *(len(bids) + item for item in sorted(items))])
        self.model = self._programme(range(len(self.bids)), self.values)

    def value(self, columns: Sequence[int]) -> int:
        return sum(self.values[c] for c in columns)

    def allocate(self, key: int) -> list[int]:
        """The columns of the best allocation, by lot where several are."""
        every = range(len(self.bids))
        best, rivals = self.greatest(every, [])
        if set(rivals) <= set(best):
            return best
        drawn = (lots(xn, key, (1, len(self.bids)), "cpu")[0] >> 8).tolist()
        return self._by_lot(rivals, drawn, self.value(best))

    def greatest(self, columns: Sequence[int], best: list[int]) -> tuple[list[int], list[int]]:
        """A best allocation by some columns, and all columns that may be in any such.

        best: some allocation by them, to begin with.
        """
        if not columns:
            return [], []
        value, low, high = self.value(best), np.zeros(len(self.bids)), np.zeros(len(self.bids))
        high[list(columns)] = 1.0
        nodes, root = [(low, high)], None
        while nodes:
            low, high = nodes.pop()
            share, gains, bound = self._relaxed(low, high)
            root = root or (gains, bound)
            in_part = np.where(low < high, np.minimum(share, 1.0 - share), -1.0)
            if in_part.max() < _WHOLE:
                whole = np.flatnonzero(share > 0.5).tolist()
                best = max(best, whole, key=self.value)
                value = self.value(best)
            branch, left = int(in_part.argmax()), bound - (value + 1) * _FINE
            if left < 0 or in_part[branch] < 0:
                continue  # nothing here is worth more than the best, or nothing is open
            high = np.where((low == 0.0) & np.array([gain < -left for gain in gains]), 0.0, high)
            without, with_it = high.copy(), low.copy()
            without[branch], with_it[branch] = 0.0, 1.0
            nodes += [(low, without), (with_it, high)]
        gains, bound = root or ([], 0)
        return best, [c for c in columns if bound + gains[c] >= value * _FINE]

    def _relaxed(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[int], int]:
        """Shares of the bids between limits, the gain of each over its prices, and the bound.

        Every allocation between the limits has value * _FINE <= bound, whatever the prices are,
        and <= bound + gain if it has a bid of negative gain that is not among `low`.
        """
        self.model.changeColsBounds(len(low), np.arange(len(low), dtype=np.int32), low, high)
        found = _solved(self.model)
        prices = [max(round(price * _FINE), 0) for price in found.row_dual]
        gains = [
            value * _FINE - sum(prices[row] for row in rows)
            for value, rows in zip(self.values, self.rows, strict=True)
        ]
        kept = zip(gains, low.tolist(), high.tolist(), strict=True)
        bound = sum(prices) + sum(gain for gain, a, b in kept if a or (b and gain > 0))
        return np.array(found.col_value), gains, bound

    def _by_lot(self, columns: Sequence[int], drawn: Sequence[int], value: int) -> list[int]:
        """Columns of such a value with the greatest sum of lots, by an integer programme."""
        model, count = self._programme(columns, drawn), len(columns)
        every = np.arange(count, dtype=np.int32)
        model.changeColsIntegrality(count, every, np.full(count, highspy.HighsVarType.kInteger))
        values = np.array([self.values[c] for c in columns], dtype=float)
        model.addRow(value - 0.5, highspy.kHighsInf, count, every, values)
        shares = _solved(model).col_value
        return [c for c, share in zip(columns, shares, strict=True) if share > 0.5]

    def _programme(self, columns: Sequence[int], weights: Sequence[int]) -> Any:
        """The linear programme over some columns. weights: of all columns."""
        rows = [self.rows[c] for c in columns]
        programme = highspy.HighsLp()
        programme.num_col_ = len(columns)
        programme.num_row_ = max((row[-1] for row in rows), default=-1) + 1
        programme.sense_ = highspy.ObjSense.kMaximize
        programme.col_cost_ = np.array([weights[c] for c in columns], dtype=float)
        programme.col_lower_, programme.col_upper_ = np.zeros(len(columns)), np.ones(len(columns))
        programme.row_lower_ = np.full(programme.num_row_, -highspy.kHighsInf)
        programme.row_upper_ = np.ones(programme.num_row_)
        programme.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        programme.a_matrix_.start_ = np.cumsum([0, *map(len, rows)]).astype(np.int32)
        programme.a_matrix_.index_ = np.array([r for row in rows for r in row], dtype=np.int32)
        programme.a_matrix_.value_ = np.ones(sum(map(len, rows)))
        model = _Silent()
        for option, value in _OPTIONS.items():
            model.setOptionValue(option, value)
        model.passModel(programme)
        return model


class _Silent(highspy.Highs):
    """Says nothing: what initialises a `Highs` would print a greeting once in each process."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        self.silent()


def _solved(model: Any) -> Any:
    """The solution. Raises: ArithmeticError if there is none."""
    model.run()
    status = model.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"winner determination: {model.modelStatusToString(status)}")
    return model.getSolution()
