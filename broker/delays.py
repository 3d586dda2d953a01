"""How long messages took, as histograms of fixed relative error: quantiles without keeping delays.

Bins are log-linear (as in HdrHistogram, Tene 2012): the exponent of a double and the first four
bits of its fraction, so that finding one is a shift. A quantile is the middle of its bin, within
`ERROR` of the delay at that rank. What is faster than 4 us counts as 0, and what takes longer than
4.8 h as 4.8 h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BITS: Final = 4
_LEAST: Final = 12
_OCTAVES: Final = 32
BINS: Final = 1 + (_OCTAVES << _BITS)
ERROR: Final = 1 / (2 << _BITS)
"""Half a bin's width, relative to its lower end."""
_SHIFT: Final = 52 - _BITS
_BASE: Final = ((1023 + _LEAST) << _BITS) - 1
_EDGES: Final = ((np.arange(BINS + 1) + _BASE) << _SHIFT).view(np.float64)
_MIDDLES: Final = np.r_[0.0, (_EDGES[1:-1] + _EDGES[2:]) / 2]

Ints = NDArray[np.int64]


def bins(delays: Ints) -> Ints:
    """The bin of each delay in ns, 0 to BINS - 1. Cost: 3 ns each."""
    found: Ints = (delays.astype(np.float64).view(np.int64) >> _SHIFT) - _BASE
    return np.clip(found, 0, BINS - 1, out=found)


def quantiles(counts: NDArray[np.integer], shares: Sequence[float]) -> list[Ints]:
    """Delays in ns that these shares of messages do not exceed; -1 where there is no message.

    Shapes: counts [..., BINS] -> [...] for each share, of the message of rank ceil(share x number).
    """
    below = counts.cumsum(axis=-1)
    total = below[..., -1]
    found = []
    for share in shares:
        rank = np.maximum(np.ceil(share * total), 1)
        place = (below < rank[..., None]).sum(axis=-1)
        middle = _MIDDLES[np.minimum(place, BINS - 1)]
        found.append(np.where(total > 0, middle, -1).astype(np.int64))
    return found


class Delays:
    """A histogram per row of the books, up to `ROWS_MAX`; further ones share one per topic."""

    ROWS_MAX: Final = 16_384

    def __init__(self) -> None:
        self._counts: NDArray[np.int32] = np.zeros((0, BINS), dtype=np.int32)
        self._place = np.zeros(64, dtype=np.int64)
        self._shared: dict[str, int] = {}
        self._topics: list[str] = []

    def open(self, row: int, topic: str) -> None:
        """Makes room for a new row of the books, which come in order."""
        if row >= len(self._place):
            self._place = np.concatenate((self._place, np.zeros_like(self._place)))
        if row >= self.ROWS_MAX and topic in self._shared:
            self._place[row] = self._shared[topic]
            return
        self._place[row] = len(self._topics)
        if row >= self.ROWS_MAX:
            self._shared[topic] = len(self._topics)
        self._topics.append(topic)

    def count(self, rows: NDArray[np.intp], delays: Ints) -> None:
        """Messages that were delivered. Shapes: [n]; delays in ns."""
        if len(self._counts) < len(self._topics):
            more = max(len(self._topics) - len(self._counts), len(self._counts))
            self._counts = np.concatenate((self._counts, np.zeros((more, BINS), dtype=np.int32)))
        cells = self._place[rows] * BINS + bins(delays)
        np.add.at(self._counts.reshape(-1), cells, np.int32(1))

    def by_row(self, rows: NDArray[np.intp], shares: Sequence[float]) -> Ints:
        """Quantiles in ns of rows of the books, as of `quantiles`. Shapes: [n] -> [shares, n]; -1
        too for rows without a histogram of their own.
        """
        found = np.full((len(shares), len(rows)), -1, dtype=np.int64)
        own = np.flatnonzero(rows < min(self.ROWS_MAX, len(self._counts)))
        found[:, own] = quantiles(self._counts[rows[own]], shares)
        return found

    def by_topic(self, shares: Sequence[float]) -> dict[str, list[int]]:
        """Quantiles in ns of all messages of each topic."""
        names = {topic: i for i, topic in enumerate(dict.fromkeys(self._topics))}
        sums = np.zeros((len(names), BINS), dtype=np.int64)
        known = self._topics[: len(self._counts)]
        np.add.at(sums, [names[topic] for topic in known], self._counts[: len(known)])
        table = np.stack(quantiles(sums, shares), axis=-1).tolist() if names else []
        return dict(zip(names, table, strict=True))
