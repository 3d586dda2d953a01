"""The books of a batch: per copy how many messages were sent and came, and how many bytes they had.

They say what `broker.ledger` says of a run: a publication counts once for each subscriber that is
up, a direct message once, whether or not anybody reads it; its bytes are those of the body that an
agent's process would send.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sim.learn.course import Presence
from sim.wire.codec import encode_payload

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@cache
def body_bytes(width: int) -> int:
    """Of a message of so many numbers."""
    return len(encode_payload(np.zeros(width)))


class Books:
    """Counts of B copies. Deliveries are kept by the step of the world in which they fall, so that
    an episode that ends by itself has those until then.

    unplayed: agents that nobody plays, to whom nothing is delivered.
    """

    def __init__(
        self, copies: int, horizon: int, dt_ns: int, presence: Mapping[str, Presence],
        unplayed: Collection[str],
    ) -> None:  # fmt: skip
        self._dt_ns, self._presence, self._unplayed = dt_ns, presence, unplayed
        self._sent = np.zeros(copies, dtype=np.int64)
        self._bytes = np.zeros(copies, dtype=np.int64)
        self._came = np.zeros((copies, horizon + 1), dtype=np.int64)

    def begin(self, rows: Ints) -> None:
        """Empties the books of copies that begin anew. Shapes: [m]."""
        for kept in (self._sent, self._bytes, self._came):
            kept[rows] = 0

    def count(
        self, receivers: Sequence[str], width: int, sent: Bools, crosses: Bools, arrival: Ints
    ) -> None:
        """Enters messages of one topic and instant. Shapes: sent, crosses, arrival [B, R, S]."""
        number = sent.sum(axis=(1, 2))
        self._sent += number
        self._bytes += number * body_bytes(width)
        for r, name in enumerate(receivers):
            if name in self._unplayed:
                continue
            copies, senders = np.nonzero(crosses[:, r])
            when = arrival[copies, r, senders]
            if name in self._presence:
                is_up, _ = self._presence[name].at(when)
                copies, when = copies[is_up], when[is_up]
            step = np.minimum(when // self._dt_ns, self._came.shape[1] - 1)
            np.add.at(self._came, (copies, step), 1)

    def totals(self, copy: int, steps: int) -> dict[str, int]:
        """`sent`, `delivered`, `bytes` of a copy whose episode ends now, after so many steps."""
        came = int(self._came[copy, :steps].sum())
        return {"sent": int(self._sent[copy]), "delivered": came, "bytes": int(self._bytes[copy])}
