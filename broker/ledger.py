"""The books: every message ends in exactly one place, per source, destination and topic.

sent + duplicated = delivered + dropped (by reason) + in flight        at every instant

How long messages took and what they brought is booked some thousand at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.delays import Delays
from sim.errors import InvariantError

REASONS: Final = (
    "loss", "partition", "queue", "unreachable", "down", "episode", "burst", "outage", "corrupt",
    "expired", "range", "fading", "collision", "budget",
)  # fmt: skip
"""Why a message is dropped: lost on a link, cut, no room in a queue, no route, receiver not alive,
episode over, lost in a burst, link out, damaged, too old on arrival, out of radio's reach, faded,
met another on a shared medium, over the sender's budget."""
(
    LOSS, PARTITION, QUEUE, UNREACHABLE, DOWN, EPISODE, BURST, OUTAGE, CORRUPT, EXPIRED,
    RANGE, FADING, COLLISION, BUDGET,
) = range(1, len(REASONS) + 1)  # fmt: skip
_SENT, _DELIVERED, _DROPPED, _BYTES = 0, 1, 1, 2 + len(REASONS)
_DUPLICATED: Final = _BYTES + 1
_COLUMNS: Final = _DUPLICATED + 1
_SHARES: Final = (0.5, 0.95, 0.99)
_AT_ONCE: Final = 4096
ALL: Final = "*"
"""In place of both ends, in the sums of a topic."""


@dataclass(frozen=True)
class Account:
    """One line of the books.

    Units: bytes of payloads as sent, delivered_bytes of those that arrived; delay_p50 and so on in
           seconds: of what was delivered half was not slower, within 3 % (`broker.delays`); None
           where nothing was, or where there are too many lines for delays of their own.
    """

    source: str
    destination: str
    topic: str
    sent: int
    delivered: int
    dropped: dict[str, int]
    in_flight: int
    bytes: int
    duplicated: int = 0
    delivered_bytes: int = 0
    delay_p50: float | None = None
    delay_p95: float | None = None
    delay_p99: float | None = None


class Ledger:
    """Counts per account; an account is a row number handed out by `open`."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str, str]] = []
        self._rows: dict[tuple[str, str, str], int] = {}
        self._counts: NDArray[np.int64] = np.zeros((64, _COLUMNS), dtype=np.int64)
        self._arrived_bytes = np.zeros(64, dtype=np.int64)
        self._delays = Delays()
        self._unread: list[tuple[NDArray[Any], ...]] = []
        self._unread_size = 0

    def open(self, source: str, destination: str, topic: str) -> int:
        """The row of an account, made on first use."""
        key = (source, destination, topic)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.names)
            self.names.append(key)
            self._delays.open(row, topic)
            if row >= len(self._counts):
                self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
                more = np.zeros_like(self._arrived_bytes)
                self._arrived_bytes = np.concatenate((self._arrived_bytes, more))
        return row

    def count_sent(self, rows: NDArray[np.intp], lengths: NDArray[np.int64]) -> None:
        """Shapes: rows, lengths in bytes: [n]."""
        np.add.at(self._counts[:, _SENT], rows, 1)
        np.add.at(self._counts[:, _BYTES], rows, lengths)

    def count_duplicated(self, rows: NDArray[np.intp]) -> None:
        """Second copies that links made, each of which ends like a message."""
        np.add.at(self._counts[:, _DUPLICATED], rows, 1)

    def count_delivered(
        self,
        rows: NDArray[np.intp],
        sent: NDArray[np.int64],
        arrived: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Shapes: rows, times in ns, lengths in bytes: [n]."""
        np.add.at(self._counts[:, _DELIVERED], rows, 1)
        self._unread.append((rows.copy(), arrived - sent, lengths.copy()))
        self._unread_size += len(rows)
        if self._unread_size >= _AT_ONCE:
            self._read()

    def _read(self) -> None:
        """Books delays and bytes of what was delivered since the last time."""
        if self._unread:
            rows, delays, lengths = map(np.concatenate, zip(*self._unread, strict=True))
            self._unread, self._unread_size = [], 0
            self._delays.count(rows, delays)
            np.add.at(self._arrived_bytes, rows, lengths)

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

    @property
    def arrived_bytes(self) -> NDArray[np.int64]:
        """Shapes: [accounts]."""
        self._read()
        return self._arrived_bytes[: len(self.names)]

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

    def accounts(self, of: Callable[[str, str], bool] = lambda a, b: True) -> list[Account]:
        """The lines of the books in order of first use; only those of ends of which `of` is true.

        Cost: 20 us a line.
        """
        self._read()
        rows = [row for row, (a, b, _) in enumerate(self.names) if of(a, b)]
        delays = self._delays.by_row(np.array(rows, dtype=np.intp), _SHARES).T
        return [
            _account(self.names[row], self._counts[row], self._arrived_bytes[row], times)
            for row, times in zip(rows, delays.tolist(), strict=True)
        ]

    def topics(self) -> list[Account]:
        """The sums of each topic, in order of first use; both ends are `ALL`."""
        self._read()
        delays = self._delays.by_topic(_SHARES)
        rows: dict[str, list[int]] = {}
        for row, (_, _, topic) in enumerate(self.names):
            rows.setdefault(topic, []).append(row)
        return [
            _account(
                (ALL, ALL, topic), self._counts[chosen].sum(axis=0),
                self._arrived_bytes[chosen].sum(), delays[topic],
            )
            for topic, chosen in rows.items()
        ]  # fmt: skip


def _account(
    names: tuple[str, str, str], columns: NDArray[np.int64], arrived: int, delays: Sequence[int]
) -> Account:
    """One line. Shapes: columns as of `Ledger.counts`; delays in ns, -1 if none."""
    counts = columns.tolist()
    dropped = {r: n for r, n in zip(REASONS, counts[2:_BYTES], strict=True) if n}
    begun = counts[_SENT] + counts[_DUPLICATED]
    in_flight = begun - counts[_DELIVERED] - sum(dropped.values())
    times = [None if ns < 0 else float(f"{ns * 1e-9:.3g}") for ns in delays]
    return Account(
        *names, counts[_SENT], counts[_DELIVERED], dropped, in_flight, counts[_BYTES],
        counts[_DUPLICATED], int(arrived), *times,
    )  # fmt: skip
