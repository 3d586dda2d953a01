"""What a training run writes of its course: a tidy table, and events for TensorBoard.

metrics.csv   a row per figure: frames, seconds, name, value; only ever appended to
events.out.*  the same figures, for TensorBoard
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from sim.errors import CheckpointError, InstallationError, SimError

FILE: Final = "metrics.csv"
HEADS: Final = ("frames", "seconds", "name", "value")


class Logs:
    """The table and the events of one run, open for writing.

    keep: bytes of the table that stand when a run goes on; what is behind them belongs to frames
          that are trained again. since: the frame from which events are written anew.
    Raises: SimError from every method if the disk does not take it.
    """

    def __init__(self, folder: Path, keep: int | None = None, since: int = 0) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InstallationError(
                "training writes events for TensorBoard and needs tensorboardX: "
                "pip install --upgrade sim-agents"
            ) from None
        self._path = folder / FILE
        try:
            self._file = self._path.open("ab")
            if keep is not None:
                self._file.truncate(min(keep, self._path.stat().st_size))
                self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise SimError(f"cannot write {self._path}: {error.strerror or error}") from None
        if self._path.stat().st_size == 0:
            self._append([HEADS])
        purge = since + 1 if keep is not None else None
        self._events: Any = SummaryWriter(str(folder), purge_step=purge, flush_secs=10)

    def write(self, frames: int, seconds: float, values: Mapping[str, float]) -> None:
        """Appends one row per value."""
        self._append([(frames, f"{seconds:.3f}", n, repr(float(v))) for n, v in values.items()])
        for name, value in values.items():
            self._events.add_scalar(name, value, frames)

    def sync(self) -> int:
        """Forces it to the disk; the size of the table in bytes."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SimError(f"cannot write {self._path}: {error.strerror or error}") from None
        self._events.flush()
        return self._path.stat().st_size

    def close(self) -> None:
        """Closes what is open."""
        self._file.close()
        self._events.close()

    def _append(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        try:
            self._file.write(text.getvalue().encode())
        except OSError as error:
            raise SimError(f"cannot write {self._path}: {error.strerror or error}") from None


def read_logs(run: Path) -> pd.DataFrame:
    """The course of a run: a column per figure, by frames. Raises: CheckpointError."""
    path = run / FILE
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if list(table.columns) != list(HEADS):
        raise CheckpointError(f"{path} is not the table of a training run")
    wide = table.pivot_table(index="frames", columns="name", values="value", aggfunc="last")
    seconds = table.groupby("frames")["seconds"].last()
    return wide.assign(seconds=seconds)
