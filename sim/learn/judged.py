"""The evaluations of a training run's policies, kept in its directory: `evaluations/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agents.networks import read_policy
from sim.clock import timestamp
from sim.errors import CheckpointError, SimError
from sim.scenario.policies import POLICIES
from sim.store.rundir import RunDirectory

EVALUATIONS: Final = "evaluations"
"""A file per evaluation, numbered from the oldest."""


def keep_evaluation(summary: Mapping[str, Any]) -> None:
    """Leaves the figures with the run that trained the policies, if it was one run.

    summary: document of the evaluation. Kept with it are when it ended (`at`) and what the policies
             had been trained for (`frames`).
    Raises: SimError if the disk does not take it.
    """
    files = [Path(file) for file in summary["policies"].values()]
    runs = {file.parent.parent for file in files}
    if len(runs) != 1 or {file.parent.name for file in files} != {POLICIES}:
        return
    folder = runs.pop() / EVALUATIONS
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SimError(f"cannot write {folder}: {error.strerror or error}") from None
    number = max((int(path.name[:4]) for path in folder.glob("[0-9]*.json")), default=0) + 1
    told = {**summary, "at": timestamp(), "frames": read_policy(files[0])[1].get("frames")}
    RunDirectory(folder).write_json(f"{number:04d}.json", told)


def evaluations_of(run: Path) -> list[dict[str, Any]]:
    """The evaluations of a run's policies, the newest first.

    Raises: CheckpointError if one cannot be read.
    """
    found = []
    for path in sorted((run / EVALUATIONS).glob("[0-9]*.json"), reverse=True):
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
    return found


def best_known(evaluations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of those of the policies as they are now, the one of most episodes; {} if there is none."""
    frames = max((each.get("frames") or 0 for each in evaluations), default=0)
    newest = [each for each in evaluations if (each.get("frames") or 0) == frames]
    return max(newest, key=lambda each: int(each["episodes"]), default={})
