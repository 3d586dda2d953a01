"""Joint samples from what single agents tell: rows of experience become records of a side.

A row belongs to its agent and to the instant of its decision. A record is cut off once so many
instants are complete, or have waited long enough for what is missing: messages can be lost. Who is
missing counts as not there, as a dead agent does; where nobody told anything, the chain is cut as
by a horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch

from sim.learn.record import Record, Side

_WIDE: Final = ("seen", "next_seen", "decision")
_NARROW: Final = ("log_prob", "reward", "duration", "version")
Array = Any


class Assembly:
    """Rows of one side on their way to records of B = 1.

    decisions: instants per record. wait_ns: how far behind the newest instant one may be that is
    still waited for.
    """

    def __init__(self, side: Side, decisions: int, wait_ns: int, device: str = "cpu") -> None:
        self.side, self.decisions, self.wait_ns, self.device = side, decisions, wait_ns, device
        self._slots = {name: i for i, name in enumerate(side.agents)}
        self._instants: dict[tuple[int, int], dict[int, dict[str, Any]]] = {}
        self._newest = (0, 0)
        self._taken = (0, -1)
        self.late = 0

    def add(self, sender: str, payload: Any) -> int:
        """Takes the rows of one message; returns how many. What is malformed, or comes too late for
        the record that it belonged to, is none.
        """
        slot = self._slots.get(sender)
        columns = None if slot is None else _columns(payload, self.side)
        if slot is None or columns is None:
            return 0
        episode, count = columns["episode"], 0
        for i, time in enumerate(columns["time"].tolist()):
            instant = (episode, time)
            if instant <= self._taken:
                self.late += 1
                continue
            row = {name: columns[name][i] for name in (*_WIDE, *_NARROW)}
            self._instants.setdefault(instant, {})[slot] = row
            self._newest = max(self._newest, instant)
            count += 1
        return count

    def take(self) -> tuple[Record, dict[str, float]] | None:
        """The next record and what is to be said of it, if there is one."""
        ready = []
        for instant in sorted(self._instants):
            if len(self._instants[instant]) < len(self._slots) and not self._is_old(instant):
                break
            ready.append(instant)
            if len(ready) == self.decisions:
                break
        if len(ready) < self.decisions:
            return None
        self._taken = ready[-1]
        rows = [self._instants.pop(instant) for instant in ready]
        return self._record(ready, rows), self._figures(rows)

    def _is_old(self, instant: tuple[int, int]) -> bool:
        episode, time = self._newest
        return instant[0] < episode or time - instant[1] > self.wait_ns

    def _figures(self, rows: list[dict[int, dict[str, Any]]]) -> dict[str, float]:
        told = [row for joint in rows for row in joint.values()]
        rewards = [float(row["reward"]) for row in told]
        return {
            "arrived": len(told) / (len(rows) * len(self._slots)),
            "reward": float(np.mean(rewards)),
            "version": float(np.mean([row["version"] for row in told])),
        }

    def _record(
        self, instants: list[tuple[int, int]], rows: list[dict[int, dict[str, Any]]]
    ) -> Record:
        t, n, side = len(rows), len(self._slots), self.side
        wide = {
            "seen": np.zeros((t, 1, n, side.layout.size), dtype=np.float32),
            "next_seen": np.zeros((t, 1, n, side.layout.size), dtype=np.float32),
            "decision": np.zeros((t, 1, n, side.decides.size), dtype=np.float32),
            "log_prob": np.zeros((t, 1, n), dtype=np.float32),
            "reward": np.zeros((t, 1, n), dtype=np.float32),
        }
        alive = np.zeros((t, 1, n), dtype=bool)
        duration = np.ones((t, 1), dtype=np.float32)
        team = np.zeros((t, 1), dtype=np.float32)
        for k, joint in enumerate(rows):
            for slot, row in joint.items():
                for name, column in wide.items():
                    column[k, 0, slot] = row[name]
                alive[k, 0, slot] = True
            duration[k] = np.mean([row["duration"] for row in joint.values()])
            team[k] = np.mean([row["reward"] for row in joint.values()])
        follows = np.array([_follows(a, b, side.every_ns) for a, b in pairwise(instants)]).reshape(
            -1, 1
        )
        truncated = np.concatenate((~follows, np.zeros((1, 1), dtype=bool)))
        is_first = np.concatenate((np.ones((1, 1), dtype=bool), ~follows))
        arrays = wide | {
            "alive": alive, "next_alive": alive, "duration": duration, "team": team,
            "is_first": is_first, "truncated": truncated, "terminated": np.zeros_like(truncated),
            "state": np.zeros((t, 1, 0), dtype=np.float32),
            "next_state": np.zeros((t, 1, 0), dtype=np.float32),
            "memory": np.zeros((1, n, 0), dtype=np.float32),
        }  # fmt: skip
        return Record(**{k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()})


def _follows(one: tuple[int, int], other: tuple[int, int], every_ns: int) -> bool:
    return one[0] == other[0] and other[1] - one[1] == every_ns


def _columns(payload: Any, side: Side) -> Mapping[str, Any] | None:
    """The rows of a message; None if they are not what an agent of this side would tell."""
    try:
        found: dict[str, Any] = {n: np.asarray(payload[n]) for n in (*_WIDE, *_NARROW, "time")}
        found["episode"] = int(payload["episode"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    rows = found["time"].shape
    sizes = {"seen": side.layout.size, "next_seen": side.layout.size, "decision": side.decides.size}
    for name in (*_WIDE, *_NARROW):
        wanted = (*rows, sizes[name]) if name in sizes else rows
        if len(rows) != 1 or found[name].shape != wanted or not np.isfinite(found[name]).all():
            return None
    return found
