"""What went through the network in a window, as columns: for the recorder and for onlookers.

Messages are named by their sequence number, which is unique in a run. The tape holds what happened
until it is taken; a kernel without one spends nothing on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass
class Columns:
    """Everything since the last time. Shapes: [n] within each of the three.

    sent:    sequence, time (ns), sender, receiver, topic, kind, bytes; `bodies` beside it.
    dropped: sequence, reason (1-based, of `broker.ledger.REASONS`).
    arrived: sequence, arrival and sent (ns), sender, to, topic; only what was delivered.
    unheard: (time, sender, topic) of publications that nobody subscribed to.
    """

    sent: dict[str, NDArray[Any]]
    bodies: NDArray[np.object_]
    dropped: dict[str, Ints]
    arrived: dict[str, NDArray[Any]]
    unheard: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        rows = len(self.sent["length"]) + len(self.arrived["sequence"])
        return 64 * rows + int(self.sent["length"].sum())


SENT: Final = ("sequence", "sent", "sender", "to", "topic", "kind", "length")
ARRIVED: Final = ("sequence", "arrival", "sent", "sender", "to", "topic")


@dataclass
class Tape:
    """Collects; `take` hands over and forgets."""

    unheard: list[tuple[int, int, str]] = field(default_factory=list)
    _sent: list[NDArray[Any]] = field(default_factory=list)
    _bodies: list[NDArray[np.object_]] = field(default_factory=list)
    _dropped: list[tuple[Ints, Any]] = field(default_factory=list)
    _arrived: list[NDArray[Any]] = field(default_factory=list)

    def send(self, rows: NDArray[Any], bodies: NDArray[np.object_]) -> None:
        """Rows of `broker.network.ROW` just made; the fields read here never change."""
        self._sent.append(rows)
        self._bodies.append(bodies)

    def drop(self, sequences: Ints, reasons: Any) -> None:
        """reasons: one for all, or one each."""
        self._dropped.append((sequences, reasons))

    def arrive(self, rows: NDArray[Any]) -> None:
        """Rows that were delivered."""
        self._arrived.append(rows)

    def take(self) -> Columns:
        """Everything since the last time."""
        sent, bodies, dropped, arrived = self._sent, self._bodies, self._dropped, self._arrived
        self._sent, self._bodies, self._dropped, self._arrived = [], [], [], []
        unheard, self.unheard = self.unheard, []
        return Columns(
            {name: _joined([rows[name] for rows in sent]) for name in SENT},
            np.concatenate(bodies) if bodies else np.zeros(0, dtype=object),
            {
                "sequence": _joined([s for s, _ in dropped]),
                "reason": _joined([np.broadcast_to(r, len(s)) for s, r in dropped]),
            },
            {name: _joined([rows[name] for rows in arrived]) for name in ARRIVED},
            unheard,
        )


def _joined(parts: list[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
