"""What proofs share: training as `sim train` does, and playing as `sim evaluate` and batches do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.errors import SimError
from sim.learn.evaluate import seeds_of
from sim.learn.plan import load_training
from sim.learn.record import Episode
from sim.learn.rollout import make_rollout
from sim.learn.start import Machine, start
from sim.learn.train import Outcome
from sim.prepare import Prepared, load, prepare
from sim.scenario.policies import POLICIES

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


def trained(task: Task, seed: int, folder: Path) -> Outcome:
    """Trains in a new directory; its policies are in `policies/<group>.safetensors`.

    Raises: SimError if training did not come to its end.
    """
    scenario = load_training(
        task.scenario, seed=seed, algorithm=task.algorithm, overrides=task.overrides()
    )
    outcome = start(scenario, Machine("cpu", rollout=task.rollout), run_dir=folder)
    if outcome.status != "completed":
        raise SimError(f"{task.scenario}, seed {seed}: training {outcome.status}: {outcome.error}")
    return outcome


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


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for one run, gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="proof-")
