"""A run's tables as files for other tools: Parquet or CSV, one file per table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd

from sim.errors import CheckpointError, InstallationError, ScenarioError, SimError
from sim.ids import did_you_mean
from sim.store.rundata import TABLES, RunData, load

FORMATS: Final = ("parquet", "csv")
_OTHERS: Final = {"training": "metrics", "evaluation": "evaluation", "sweep": "sweep"}
"""The one table, a CSV file, of directories that hold no run of one episode, by their kind."""


def export(
    run: str | Path | RunData = "last",
    to: str = "parquet",
    out_dir: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Writes every table of a run; the files written, each of which it says.

    out_dir: made if it is not there; default `export` in the run's directory. Tables that the run
    did not record are left out, and said.

    Raises: InstallationError if Parquet needs a package; ScenarioError for another format.
    """
    if to not in FORMATS:
        raise ScenarioError(f"no format {to!r}; {did_you_mean(to, FORMATS)}")
    if to == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InstallationError(
            "Parquet needs pyarrow: pip install 'sim-agents[parquet]', or --to csv"
        )
    data = run if isinstance(run, RunData) else load(run)
    folder = Path(out_dir) if out_dir is not None else data.path / "export"
    written = []
    for name in (_OTHERS[data.kind],) if data.kind in _OTHERS else TABLES:
        try:
            table = _table(data, name)
        except SimError as error:
            say(f"- {name}: {error}")
            continue
        path = folder / f"{name}.{to}"
        _write(table.reset_index() if table.index.name else table, path, to)
        say(f"{path}: {len(table):,} rows of {', '.join(_short(list(table.columns)))}")
        written.append(path)
    return written


def _table(data: RunData, name: str) -> pd.DataFrame:
    """Raises: CheckpointError if the run has no such table."""
    if data.kind not in _OTHERS:
        found: pd.DataFrame = getattr(data, name)
        return found
    path = data.path / f"{name}.csv"
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _write(table: pd.DataFrame, path: Path, to: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if to == "parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
    except OSError as error:
        raise SimError(f"cannot write {path}: {error.strerror or error}") from None


def _short(names: list[str]) -> list[str]:
    return [*names[:8], f"{len(names) - 8} more"] if len(names) > 9 else names
