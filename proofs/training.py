"""What proofs share: training as `sim train` does, and playing as `sim evaluate` and batches do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from proofs import keep
from sim.errors import SimError
from sim.launch.jobs import tell
from sim.learn.evaluate import seeds_of
from sim.learn.many import Stadium, task_of
from sim.learn.plan import load_training
from sim.learn.record import Episode
from sim.learn.rollout import make_rollout
from sim.learn.start import Machine, resume, start
from sim.learn.train import CHECKPOINTS, Outcome, Progress
from sim.prepare import Prepared, load, prepare
from sim.scenario.policies import POLICIES
from sim.scenario.schema import Scenario

COPIES: Final = 128


@dataclass(frozen=True)
class Task:
    """A training run. learn: keys of the `learn` block; options: hyperparameters of the algorithm.
    world: further overrides, as of `--set`.
    """

    scenario: str
    algorithm: str
    frames: int
    options: Mapping[str, Any] = field(default_factory=dict)
    learn: Mapping[str, Any] = field(default_factory=dict)
    world: Sequence[str] = ()
    rollout: str | None = None

    def overrides(self) -> list[str]:
        """As `--set` takes them."""
        block = {
            "frames": self.frames, "plateau": 0, **self.learn,
            "options": {self.algorithm: dict(self.options)},
        }  # fmt: skip
        return [*self.world, *(f"learn.{key}={json.dumps(value)}" for key, value in block.items())]

    def at(self, *overrides: str) -> Task:
        """The task in another world, as of `--set`."""
        return replace(self, world=(*self.world, *overrides))


def trained(task: Task, seed: int, folder: Path) -> Outcome:
    """Trains in a new directory, or goes on in one that has a checkpoint; policies are in
    `policies/<group>.safetensors`.

    Raises: SimError if training did not come to its end.
    """
    if any((folder / CHECKPOINTS).glob("*.safetensors")):
        outcome = resume(folder, on_progress=_tell)
    else:
        scenario = load_training(
            task.scenario, seed=seed, algorithm=task.algorithm, overrides=task.overrides()
        )
        machine = Machine("cpu", rollout=task.rollout)
        outcome = start(scenario, machine, run_dir=folder, on_progress=_tell)
    if outcome.status != "completed":
        raise SimError(f"{task.scenario}, seed {seed}: training {outcome.status}: {outcome.error}")
    return outcome


def _tell(progress: Progress) -> None:
    tell(progress.frames / progress.total)


def kept(name: str, task: Task, seed: int, sources: Sequence[str]) -> Path:
    """The directory of a training that several proofs ask for. It is done once, goes on where it
    was stopped, and counts until its code changes.

    name: of the proof that it belongs to. sources: as of a proof.
    """
    key = keep.code_key(f"{task}", sources)
    folder = keep.training_of(name, seed, key)
    keep.forget(name, seed, but=folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if keep.read(run / "summary.json").get("status") != "completed":
            if not any((run / CHECKPOINTS).glob("*.safetensors")):
                shutil.rmtree(run, ignore_errors=True)
            trained(task, seed, run)
    finally:
        os.close(lock)
    return run


def policies(run: Path) -> dict[str, Path]:
    """Per group the policy file of a training run."""
    return {path.stem: path for path in sorted((run / POLICIES).glob("*.safetensors"))}


def played_by(task: Task, run: Path, players: Mapping[str, str], seed: int) -> Prepared:
    """The scenario with its trained policies in their slots, ready for an evaluation.

    players: group -> pattern of its agents' names.
    """
    files = policies(run)
    cast = {pattern: f"policy:{files[group]}" for group, pattern in players.items()}
    return prepare(load(task.scenario, seed=seed, overrides=task.world, behaviours=cast))


def greedy_episodes(prepared: Prepared, episodes: int, seed: int) -> list[Episode]:
    """So many held-out episodes, played by who is in the slots: a batch in which nobody learns."""
    rollout = make_rollout(prepared, (), episodes, "batched", seed=seeds_of(seed, 1)[0])
    steps = prepared.scenario.duration_ns // prepared.world.dt_ns
    try:
        rollout.collect({}, int(steps))
        return rollout.finished()
    finally:
        rollout.close()


def episodes(
    cases: Mapping[str, tuple[Scenario, str]], seeds: Sequence[int], processes: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The same held-out episodes of each case, as `sim evaluate` plays them.

    cases: name -> scenario and column. Returns: per case, results of `sim.learn.play.play`.
    """
    tasks = [task_of(scenario, column, seeds, processes) for scenario, column in cases.values()]
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in cases}
    names = list(cases)

    def take(task: int, seed: int, result: dict[str, Any]) -> None:
        found[names[task]][seed] = result

    with Stadium(1, processes) as stadium:
        stadium.play(tasks, take, lambda done, total: tell(done / total))
    return {name: [by_seed[seed] for seed in seeds] for name, by_seed in found.items()}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for one run, gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="proof-")
