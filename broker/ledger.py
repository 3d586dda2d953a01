"""The books: every message ends in exactly one place, per source, destination and topic.

sent + duplicated = delivered + dropped (by reason) + in flight        at every instant
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import InvariantError

REASONS: Final = (
    "loss", "partition", "queue", "unreachable", "down", "episode", "burst", "outage", "corrupt",
    "expired", "range", "fading", "collision",
)  # fmt: skip
"""Why a message is dropped: lost on a link, cut, no room in a queue, no route, receiver not alive,
episode over, lost in a burst, link out, damaged, too old on arrival, out of
radio's reach, faded, met another on a shared medium."""
(
    LOSS, PARTITION, QUEUE, UNREACHABLE, DOWN, EPISODE, BURST, OUTAGE, CORRUPT, EXPIRED,
    RANGE, FADING, COLLISION,
) = range(1, len(REASONS) + 1)  # fmt: skip
_SENT, _DELIVERED, _DROPPED, _BYTES = 0, 1, 1, 2 + len(REASONS)
_DUPLICATED: Final = _BYTES + 1
_COLUMNS: Final = _DUPLICATED + 1


@dataclass(frozen=True)
class Account:
    """One line of the books."""

    source: str
    destination: str
    topic: str
    sent: int
    delivered: int
    dropped: dict[str, int]
    in_flight: int
    bytes: int
    duplicated: int = 0


class Ledger:
    """Counts per account; an account is a row number handed out by `open`."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str, str]] = []
        self._rows: dict[tuple[str, str, str], int] = {}
        self._counts: NDArray[np.int64] = np.zeros((64, _COLUMNS), dtype=np.int64)

    def open(self, source: str, destination: str, topic: str) -> int:
        """The row of an account, made on first use."""
        key = (source, destination, topic)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.names)
            self.names.append(key)
            if row >= len(self._counts):
                self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        return row

    def count_sent(self, rows: NDArray[np.intp], lengths: NDArray[np.int64]) -> None:
        """Shapes: rows, lengths in bytes: [n]."""
        np.add.at(self._counts[:, _SENT], rows, 1)
        np.add.at(self._counts[:, _BYTES], rows, lengths)

    def count_duplicated(self, rows: NDArray[np.intp]) -> None:
        """Second copies that links made, each of which ends like a message."""
        np.add.at(self._counts[:, _DUPLICATED], rows, 1)

    def count_delivered(self, rows: NDArray[np.intp]) -> None:
        np.add.at(self._counts[:, _DELIVERED], rows, 1)

    def count_dropped(self, rows: NDArray[np.intp], reasons: NDArray[np.int64] | int) -> None:
        """Shapes: rows [n]; reasons: 1-based index into REASONS, one or [n]."""
        cells = rows * _COLUMNS + reasons + _DROPPED
        np.add.at(self._counts.reshape(-1), cells, 1)

    @property
    def sent(self) -> int:
        """Messages sent so far. Cost: one sum."""
        return int(self._counts[:, _SENT].sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Shapes: [accounts, columns]: sent, delivered, dropped for each of REASONS, bytes,
        duplicated.
        """
        return self._counts[: len(self.names)]

    def totals(self, in_flight: int) -> dict[str, Any]:
        """The books of the whole network; `duplicated` is there if any message was.

        Raises: InvariantError if they do not balance with what the network holds.
        """
        sums = self._counts.sum(axis=0)
        dropped = {r: int(n) for r, n in zip(REASONS, sums[2:_BYTES], strict=True) if n}
        duplicated = int(sums[_DUPLICATED])
        if sums[_SENT] + duplicated != sums[_DELIVERED] + sum(dropped.values()) + in_flight:
            raise InvariantError(
                f"books do not balance: sent {sums[_SENT]}, duplicated {duplicated}, delivered "
                f"{sums[_DELIVERED]}, dropped {dropped}, in flight {in_flight}"
            )
        return {
            "sent": int(sums[_SENT]),
            "delivered": int(sums[_DELIVERED]),
            "dropped": dropped,
            "in_flight": in_flight,
            "bytes": int(sums[_BYTES]),
            **({"duplicated": duplicated} if duplicated else {}),
        }

    def accounts(self) -> list[Account]:
        """Every line of the books, in order of first use."""
        found = []
        for (source, destination, topic), counts in zip(
            self.names, self._counts.tolist(), strict=False
        ):
            dropped = {r: n for r, n in zip(REASONS, counts[2:_BYTES], strict=True) if n}
            begun = counts[_SENT] + counts[_DUPLICATED]
            in_flight = begun - counts[_DELIVERED] - sum(dropped.values())
            found.append(
                Account(
                    source, destination, topic, counts[_SENT], counts[_DELIVERED], dropped,
                    in_flight, counts[_BYTES], counts[_DUPLICATED],
                )
            )  # fmt: skip
        return found
