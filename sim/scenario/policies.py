"""The policies that a training run left: what `policy:last` and `policy:RUN` name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean

RUNS: Final = "runs"
"""Folder of all runs, in the working folder."""
LAST: Final = "last"
POLICIES: Final = "policies"
"""Folder of a training run's policies: one file per group, named after it."""
SUFFIX: Final = ".safetensors"


def groups_in(folder: Path) -> list[str]:
    """The groups for which a folder holds policies."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))


def trained_runs(runs: str | Path = RUNS) -> list[Path]:
    """The runs that have policies, the newest first."""
    found = [
        path
        for path in Path(runs).glob("*")
        if not path.is_symlink() and groups_in(path / POLICIES)
    ]
    return sorted(found, key=lambda path: (_began(path), path.name), reverse=True)


def _began(run: Path) -> int:
    """When a run began: its manifest is written first, and only once."""
    manifest = run / "manifest.json"
    return manifest.stat().st_mtime_ns if manifest.is_file() else 0


def scenario_of(run: Path) -> str:
    """The name of the scenario that a run trained."""
    try:
        return str(json.loads((run / "manifest.json").read_text())["scenario"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.name.rpartition("-")[0]


def policy_folder(name: str, folders: Iterable[str], scenario: str) -> Path | None:
    """The folder of policies of a run: `last` (the newest of this scenario that has any), a name
    under runs/, or a directory, relative to one of `folders`. None if there is no such run.
    """
    if name == LAST:
        own = (run for run in trained_runs() if scenario_of(run) == scenario)
        newest = next(own, None)
        return (newest / POLICIES).absolute() if newest else None
    for candidate in (*(Path(folder, name) for folder in folders), Path(RUNS, name)):
        for path in (candidate / POLICIES, candidate):
            if path.is_dir() and groups_in(path):
                return path.absolute()
    return None


def no_policies(name: str, scenario: str) -> str:
    """A clause for an error: what could have been meant instead of the run `name`."""
    runs = trained_runs()
    if not runs:
        return "no run has policies yet: `sim train SCENARIO` makes some"
    if name == LAST:
        return (
            f"no run has trained scenario {scenario!r} yet; the newest policies are of "
            f"{scenario_of(runs[0])!r}: policy:{runs[0].name} names them"
        )
    known = [path.name for path in runs]
    return f"no run of that name has policies; {did_you_mean(name, [*known, LAST])}"


def policy_file(folder: Path, group: str) -> Path:
    """The file of a group. Raises: UnknownKeyError naming the groups there are."""
    path = folder / f"{group}{SUFFIX}"
    if not path.is_file():
        known = ", ".join(groups_in(folder))
        raise UnknownKeyError(f"{folder} has no policy for group {group!r}; there is: {known}")
    return path
