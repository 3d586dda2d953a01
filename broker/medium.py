"""A medium that several senders share, in slots: who speaks in one that another uses too is lost.

Slotted ALOHA (Roberts 1975). What enters a link from a member waits until the end of the slot in
which it came, and only then is it known whether anybody else spoke in it; so however windows are
cut, all of a slot are decided together. Messages of one sender do not disturb each other: a
publication goes out once, for whomever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Medium:
    """Slots of `slot_ns` since an episode began; members bool [nodes]. Rows: of the network."""

    def __init__(self, slot_ns: int, members: NDArray[np.bool_]) -> None:
        self._slot_ns, self._members = slot_ns, members
        self._began = 0

    def reset(self, now: int) -> None:
        """An episode begins."""
        self._began = now

    def wait(
        self, rows: NDArray[Any], bodies: NDArray[np.object_]
    ) -> tuple[NDArray[Any], NDArray[np.object_]]:
        """The rows in order of time, those that are to be decided at the end of their slots."""
        new = self._members[rows["at"]] & (rows["slot"] == 0)
        if not new.any():
            return rows, bodies
        rows = rows.copy()
        since = rows["arrival"][new] - self._began
        ends = self._began + (since // self._slot_ns + 1) * self._slot_ns
        rows["arrival"][new] = rows["slot"][new] = ends
        order = np.lexsort((rows["sequence"], rows["arrival"]))
        return rows[order], bodies[order]

    def collide(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows, all of their slots among them, met another sender's; the slots are over."""
        found = np.zeros(len(rows), dtype=bool)
        at = np.flatnonzero(rows["slot"] > 0)
        if len(at):
            speakers = np.unique(rows[["slot", "at"]][at])
            slots, counts = np.unique(speakers["slot"], return_counts=True)
            found[at] = counts[np.searchsorted(slots, rows["slot"][at])] > 1
            rows["slot"] = 0
        return found
