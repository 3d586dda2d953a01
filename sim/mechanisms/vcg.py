"""Several items, bids for bundles, and payments under which truth is best: Vickrey, Clarke, Groves.

A bidder names bundles and what each is worth to it, and wins at most one of them (XOR bids). The
allocation is the one of greatest total value, found as an integer programme (HiGHS); everybody
pays what its presence costs the others: Clarke, Multipart pricing of public goods (1971); Cramton,
Shoham, Steinberg (eds.), Combinatorial auctions (2006), chapters 1 and 12.

Values are integers (micro-units, say). HiGHS works in floating point, so payments are worked out
from the chosen bids in integers, and values are bounded so that a unit is above its tolerances.
Of several allocations of greatest value a second programme takes the one with the greatest sum of
lots, one lot per bid, drawn by key. Choosing bundles is NP-hard, and one market is solved at a
time: no batch, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from array_api_compat import numpy as xn
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from sim.mechanisms.double_auction import lots

VALUE_MAX: Final = 2**40
Bid = tuple[frozenset[int], int]
"""Items by number, and the value of having all of them."""


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
    Cost:   two integer programmes, and one more for each winner: some 20 ms each for 4 bidders,
            0.2 s for 20 bidders with 7 bundles of 15 items.
    """
    chosen = allocate(bids, key)
    total = _value(bids, chosen)
    awards = []
    for i, at in enumerate(chosen):
        if at < 0:
            awards.append(Award(frozenset(), -1, 0))
            continue
        items, value = bids[i][at]
        others = [each if k != i else () for k, each in enumerate(bids)]
        without = _value(others, _greatest(_Programme(others)))
        awards.append(Award(items, at, without - (total - value)))
    return awards


def allocate(bids: Sequence[Sequence[Bid]], key: int = 0) -> list[int]:
    """Which of its bids each bidder wins, -1 for none: of greatest value, ties by lot."""
    programme = _Programme(bids)
    best = _greatest(programme)
    if not programme.rows:
        return best
    worth = programme.values @ programme.pick(best)
    drawn = lots(xn, key, (1, len(programme.rows)), "cpu")[0] >> 8
    return programme.solve(drawn, at_least=int(worth))


class _Programme:
    """One variable per bid; no bidder wins twice, and no item is won twice."""

    def __init__(self, bids: Sequence[Sequence[Bid]]) -> None:
        self.bidders = len(bids)
        self.rows = [(i, at) for i, own in enumerate(bids) for at in range(len(own))]
        self.values = np.array([bids[i][at][1] for i, at in self.rows], dtype=np.int64)
        entries: list[tuple[int, int]] = []
        for column, (i, at) in enumerate(self.rows):
            items, value = bids[i][at]
            if not 0 <= value <= VALUE_MAX or not items:
                raise ValueError(
                    f"bidder {i}, bid {at}: expected items and a value from 0 to {VALUE_MAX}, "
                    f"found {sorted(items)} and {value}"
                )
            entries.append((i, column))
            entries.extend((len(bids) + item, column) for item in sorted(items))
        self.entries = np.array(entries, dtype=np.int64).reshape(-1, 2)

    def pick(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        return np.array([chosen[i] == at for i, at in self.rows], dtype=np.int64)

    def solve(self, weights: NDArray[np.int64], at_least: int | None = None) -> list[int]:
        """Each bidder's bid in a solution of greatest weight, of so much value at least."""
        height = int(self.entries[:, 0].max()) + 1
        ones = np.ones(len(self.entries))
        shape = (height, len(self.rows))
        limits = [LinearConstraint(csr_array((ones, self.entries.T), shape=shape), -np.inf, 1.0)]
        if at_least is not None:
            limits.append(LinearConstraint(self.values[None, :].astype(float), at_least - 0.5))
        found = milp(
            -weights.astype(float), integrality=1, bounds=Bounds(0, 1), constraints=limits,
            options={"mip_rel_gap": 0.0},
        )  # fmt: skip
        if found.x is None:
            raise ArithmeticError(f"winner determination: {found.message}")
        chosen = [-1] * self.bidders
        for (i, at), x in zip(self.rows, found.x, strict=True):
            if x > 0.5:
                chosen[i] = at
        return chosen


def _greatest(programme: _Programme) -> list[int]:
    return programme.solve(programme.values) if programme.rows else [-1] * programme.bidders


def _value(bids: Sequence[Sequence[Bid]], chosen: Sequence[int]) -> int:
    return sum(bids[i][at][1] for i, at in enumerate(chosen) if at >= 0)
