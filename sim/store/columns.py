"""The columns that an outcome is read against, as they grow: `columns.json` of a run's directory.

Each has its metrics at the end, and their course where it was run: so that at any moment a run can
be read against what the rule, or nobody, had come to by then.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from sim.clock import monotonic

FILE: Final = "columns.json"
POINTS: Final = 1_500
"""Moments of a run at which its metrics are noted: each minute of a day."""
_LOOK_SECONDS: Final = 1.0


class Column(msgspec.Struct):
    """One column. metrics: at the end, {} before it. times_ns, series: its course, if known."""

    metrics: dict[str, float] = {}
    times_ns: list[int] = []
    series: dict[str, list[float | None]] = {}

    def note(self, time_ns: int, metrics: Mapping[str, float]) -> None:
        """Adds a moment."""
        self.times_ns.append(time_ns)
        for name, value in metrics.items():
            self.series.setdefault(name, []).append(value)

    def at(self, time_ns: int) -> dict[str, float] | None:
        """The metrics at a time; None if they are not known (yet)."""
        if not self.times_ns or (self.times_ns[-1] < time_ns and not self.metrics):
            return None
        i = max(bisect.bisect_right(self.times_ns, time_ns) - 1, 0)
        found = {name: values[i] for name, values in self.series.items() if i < len(values)}
        return {name: value for name, value in found.items() if value is not None}


def write_columns(path: Path, columns: Mapping[str, Column]) -> None:
    """Puts the file in place at once. Raises: OSError."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(msgspec.json.encode(columns))
    draft.replace(path)


def read_columns(path: Path) -> dict[str, Column]:
    """What is known; nothing from a file that is not there or not readable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Column])
    except (OSError, msgspec.MsgspecError):
        return {}


class Columns:
    """The file, looked at again once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Column] = {}
        self._changed = 0
        self._next = 0.0

    def read(self) -> dict[str, Column]:
        """What is known now."""
        now = monotonic()
        if now >= self._next:
            self._next = now + _LOOK_SECONDS
            try:
                changed = self.path.stat().st_mtime_ns
            except OSError:
                return self._known
            if changed != self._changed:
                self._changed, self._known = changed, read_columns(self.path)
        return self._known

    def at(self, time_ns: int) -> tuple[dict[str, dict[str, float]], list[str]]:
        """Metrics by column at a time; and which columns are known for the whole run alone."""
        found, whole = {}, []
        for name, column in self.read().items():
            values = column.at(time_ns)
            if values is None and column.metrics and not column.times_ns:
                values = column.metrics
                whole.append(name)
            if values is not None:
                found[name] = values
        return found, whole
