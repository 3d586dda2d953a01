"""Joint samples from what single agents tell: rows of experience become records of a side.

A row belongs to its agent and to the instant of its decision, and counts once. A record is cut off
once so many instants are complete, or have waited long enough for what is missing: messages can be
lost. Who is missing counts as not there; where nobody told anything, the chain is cut as by a
horizon. A privileged learner knows state and rewards from the broker (`Witness`); it learns from no
decision that the broker did not see from beginning to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch

from sim.learn.record import Record, Side
from sim.learn.witness import Seen, Witness

_WIDE: Final = ("seen", "next_seen", "decision")
_NARROW: Final = ("log_prob", "reward", "duration", "version")
Array = Any


class Assembly:
    """Rows of one side on their way to records of B = 1.

    decisions: instants per record. episode: of which it takes rows.
    wait_ns:   after this time an instant is used without what is still missing of it.
    witness:   of a privileged learner; state_size: S, 0 without.
    late:      rows that came after their instant had been used. unseen: instants that the broker
               did not see whole.
    """

    def __init__(
        self,
        side: Side,
        decisions: int,
        wait_ns: int,
        episode: int = 0,
        witness: Witness | None = None,
        state_size: int = 0,
        device: str = "cpu",
    ) -> None:
        self.side, self.decisions, self.wait_ns, self.device = side, decisions, wait_ns, device
        self._witness, self._state_size, self._episode = witness, state_size, episode
        self._slots = {name: i for i, name in enumerate(side.agents)}
        self._instants: dict[int, dict[int, dict[str, Any]]] = {}
        self._taken = -1
        self.late = self.unseen = 0

    def add(self, sender: str, payload: Any, now_ns: int) -> int:
        """Takes the rows of one message; returns how many. What is malformed, was told before, or
        comes too late for the record that it belonged to, is none.
        """
        slot = self._slots.get(sender)
        columns = None if slot is None else _columns(payload, self.side)
        if slot is None or columns is None or columns["episode"] != self._episode:
            return 0
        count = 0
        for i, time in enumerate(columns["time"].tolist()):
            if time <= self._taken:
                self.late += 1
            elif time <= now_ns and slot not in self._instants.setdefault(time, {}):
                row = {name: columns[name][i] for name in (*_WIDE, *_NARROW)}
                self._instants[time][slot] = row
                count += 1
        return count

    def take(self, now_ns: int) -> tuple[Record, dict[str, float]] | None:
        """The next record, if there is one, and what is to be said of it: which share of all rows
        arrived, and the mean reward and version.
        """
        ready: dict[int, Seen | None] = {}
        for instant in sorted(self._instants):
            if len(self._instants[instant]) < len(self._slots) and (
                now_ns - instant <= self.wait_ns
            ):
                break
            seen = None
            if self._witness is not None:
                end = instant + self._duration_ns(instant)
                if end > self._witness.newest_ns:
                    break
                seen = self._witness.find(instant, end)
                if seen is None:
                    self.unseen += 1
                    del self._instants[instant]
                    continue
            ready[instant] = seen
            if len(ready) == self.decisions:
                return self._cut(ready)
        return None

    def _duration_ns(self, instant: int) -> int:
        longest = max(float(row["duration"]) for row in self._instants[instant].values())
        return round(longest * self.side.every_ns)

    def _cut(self, ready: Mapping[int, Seen | None]) -> tuple[Record, dict[str, float]]:
        instants = list(ready)
        self._taken = instants[-1]
        rows = [self._instants.pop(instant) for instant in instants]
        seen = [found for found in ready.values() if found is not None]
        record = self._record(instants, rows, seen)
        if self._witness is not None:
            self._witness.forget(self._taken)
        told = [row for joint in rows for row in joint.values()]
        return record, {
            "arrived": len(told) / (len(rows) * len(self._slots)),
            "reward": float(record.team.mean()),
            "version": float(np.mean([row["version"] for row in told])),
        }

    def _record(
        self, instants: list[int], rows: list[dict[int, dict[str, Any]]], seen: list[Seen]
    ) -> Record:
        t, n, side, size = len(rows), len(self._slots), self.side, self._state_size
        arrays = {
            "seen": np.zeros((t, 1, n, side.layout.size), dtype=np.float32),
            "next_seen": np.zeros((t, 1, n, side.layout.size), dtype=np.float32),
            "decision": np.zeros((t, 1, n, side.decides.size), dtype=np.float32),
            "log_prob": np.zeros((t, 1, n), dtype=np.float32),
            "reward": np.zeros((t, 1, n), dtype=np.float32),
        }
        alive = np.zeros((t, 1, n), dtype=bool)
        team, duration = np.zeros((2, t, 1), dtype=np.float32)
        states = np.zeros((2, t, 1, size), dtype=np.float32)
        for k, joint in enumerate(rows):
            for slot, row in joint.items():
                for name, column in arrays.items():
                    column[k, 0, slot] = row[name]
                alive[k, 0, slot] = True
            duration[k] = np.mean([row["duration"] for row in joint.values()])
            team[k] = np.mean([row["reward"] for row in joint.values()])
        for k, found in enumerate(seen):
            states[0, k, 0], states[1, k, 0] = found.state, found.next_state
            team[k], arrays["reward"][k, 0] = found.team, found.own
        follows = [other - one == side.every_ns for one, other in pairwise(instants)]
        is_cut = ~np.array(follows, dtype=bool).reshape(-1, 1)
        edge = np.ones((1, 1), dtype=bool)
        arrays |= {
            "alive": alive, "next_alive": alive, "duration": duration, "team": team,
            "is_first": np.concatenate((edge, is_cut)),
            "truncated": np.concatenate((is_cut, ~edge)),
            "terminated": np.zeros((t, 1), dtype=bool),
            "state": states[0], "next_state": states[1],
            "memory": np.zeros((1, n, 0), dtype=np.float32),
        }  # fmt: skip
        return Record(**{k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()})


def _columns(payload: Any, side: Side) -> Mapping[str, Any] | None:
    """The rows of a message; None if they are not what an agent of this side would tell."""
    try:
        found: dict[str, Any] = {n: np.asarray(payload[n]) for n in (*_WIDE, *_NARROW, "time")}
        found["episode"] = int(payload["episode"])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    rows = found["time"].shape
    sizes = {"seen": side.layout.size, "next_seen": side.layout.size, "decision": side.decides.size}
    if len(rows) != 1 or found["time"].dtype.kind not in "iu":
        return None
    for name in (*_WIDE, *_NARROW):
        wanted = (*rows, sizes[name]) if name in sizes else rows
        if found[name].shape != wanted or found[name].dtype.kind not in "iuf":
            return None
        if not np.isfinite(found[name]).all():
            return None
    if (found["duration"] <= 0).any() or (found["version"] < 0).any():
        return None
    choices = np.concatenate([np.full(f.size, f.choices) for f in side.decides.fields])
    chosen = found["decision"][:, choices > 0]
    if (chosen != np.floor(chosen)).any() or (chosen < 0).any():
        return None
    return None if (chosen >= choices[choices > 0]).any() else found
