"""The training loop: collect, update, log, keep; to the end, a plateau, Ctrl-C or divergence.

    runs/<scenario>-<nnnn>/
      scenario.yaml, manifest.json, summary.json   as of every run; `kind` is `training`
      metrics.csv, events.out.*                    the course, see `sim.learn.logs`
      policies/<group>.safetensors                 as of the newest checkpoint
      checkpoints/<frames>.safetensors             the newest three: everything to go on

A checkpoint is due at the beginning, after the 1st, 2nd, 4th, 8th, ... update, and from when these
are a twentieth of the frames apart, every twentieth. On the CPU a run that goes on from one comes
to the same result, bit for bit, as one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch

from sim.clock import monotonic
from sim.errors import CheckpointError, DivergenceError, SimError
from sim.learn import checkpoint
from sim.learn.family import Family
from sim.learn.keep import keep_policies
from sim.learn.logs import Logs
from sim.learn.plan import Plan
from sim.learn.plateau import Plateau
from sim.learn.record import Episode, Record, Rollout
from sim.process import Interrupts, one_thread
from sim.store.rundir import RunDirectory
from sim.worlds.joint import own_team_reward

CHECKPOINTS: Final = "checkpoints"
KIND: Final = "training"
INTERRUPTED: Final = 130
"""Exit code of a run that Ctrl-C ended."""
_KEEP: Final = 3
_SHARE: Final = 0.05
"""Of the frames, between two checkpoints at most."""
_LOSS_MAX: Final = 1e15
"""A loss beyond it has diverged, even if it still is a number."""
_VITAL: Final = ("loss", "kl", "entropy", "grad_norm")
"""Endings of the names of figures that must be numbers."""
_RECENT: Final = 20
"""Updates over which the rate is told."""
_AGENTS_MAX: Final = 50
"""Agents whose returns are logged one by one; with more of them, those of the groups are."""


@dataclass(frozen=True)
class Progress:
    """How far training has come. rate: frames per second lately. left: seconds, None if unknown.

    reward: of a decision, mean over the newest records. returns: mean team return of the episodes
    that ended lately, None if none has yet. score: None if unknown. figures: the newest logged
    ones. checkpoint: frames of the newest, -1 if there is none.
    """

    frames: int
    total: int
    updates: int
    seconds: float
    rate: float
    left: float | None
    reward: float
    returns: float | None
    figures: Mapping[str, float]
    checkpoint: int
    score: float | None = None


OnProgress = Callable[[Progress], None]
OnScore = Callable[[Mapping[str, float]], float | None]


@dataclass
class Outcome:
    """What came of a training run. status: completed, interrupted or failed.

    reason: why it ended: frames, plateau, interrupted, or what went wrong. returns: mean team
    return of the newest episodes. checkpoint: frames of the newest, -1 if there is none. groups:
    per group that learned, its algorithm. agents: per group of these, its agents.
    """

    scenario: str
    seed: int
    status: str = "failed"
    reason: str = ""
    frames: int = 0
    total: int = 0
    updates: int = 0
    episodes: int = 0
    seconds: float = 0.0
    returns: float | None = None
    checkpoint: int = -1
    groups: dict[str, str] = field(default_factory=dict)
    agents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rollout: str = ""
    rollout_reason: str = ""
    copies: int = 0
    device: str = ""
    error: str = ""
    exit_code: int = 0
    run_dir: Path | None = None

    def summary(self) -> dict[str, Any]:
        """The document of `--json` and of summary.json."""
        document = {
            "kind": KIND, "scenario": self.scenario, "seed": self.seed, "status": self.status,
            "reason": self.reason, "frames": self.frames, "frames_asked": self.total,
            "updates": self.updates, "episodes": self.episodes,
            "wall_seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames / self.seconds, 1) if self.seconds else None,
            "team_return": self.returns, "checkpoint": self.checkpoint, "groups": self.groups,
            "rollout": self.rollout, "rollout_reason": self.rollout_reason, "copies": self.copies,
            "device": self.device, "run": str(self.run_dir or ""),
        }  # fmt: skip
        return {**document, "error": self.error} if self.error else document


@dataclass
class _Course:
    """Counters of a run that go on from a checkpoint."""

    frames: int = 0
    updates: int = 0
    episodes: int = 0
    seconds: float = 0.0
    returns: float | None = None
    kept: int = -1
    kept_update: int = 0


def train(
    plan: Plan,
    rollout: Rollout,
    learner: Family,
    run: RunDirectory,
    *,
    total: int | None = None,
    device: str = "cpu",
    is_resumed: bool = False,
    score: OnScore | None = None,
    on_progress: OnProgress | None = None,
    on_interrupt: Callable[[], None] | None = None,
) -> Outcome:
    """Trains until `total` frames (default the plan's), a plateau, Ctrl-C or divergence.

    is_resumed:   goes on from the newest checkpoint of `run`.
    score:        of the newest figures, for the progress.
    on_interrupt: called on another thread at Ctrl-C, while the update goes on to its end.
    Raises: CheckpointError if it cannot go on; SimErrors of the rollout and the learner.
    """
    outcome = Outcome(
        plan.scenario.name, plan.seed, total=total or plan.spec.frames, groups=dict(plan.groups),
        agents={g.name: g.agents for g in plan.prepared.world.groups if g.name in plan.groups},
        rollout=rollout.kind, rollout_reason=rollout.reason, copies=rollout.copies, device=device,
        run_dir=run.path,
    )  # fmt: skip
    report = on_progress or (lambda progress: None)
    loop = _Loop(plan, rollout, learner, run, outcome, report, score or (lambda figures: None))
    with Interrupts(grace_seconds=None, on_request=on_interrupt) as interrupts, one_thread():
        try:
            loop.begin(is_resumed)
            with interrupts.deferred():
                loop.go_on(interrupts)
        except KeyboardInterrupt:
            outcome.status, outcome.reason = "interrupted", "interrupted during an update"
            outcome.exit_code = INTERRUPTED
        except DivergenceError as error:
            outcome.error, outcome.exit_code = str(error), error.exit_code
            outcome.reason = "diverged"
        except SimError as error:
            outcome.error, outcome.exit_code = str(error), error.exit_code
            raise
        finally:
            loop.end()
            run.write_json("summary.json", outcome.summary())
    return outcome


class _Loop:
    """One run of training."""

    def __init__(
        self,
        plan: Plan,
        rollout: Rollout,
        learner: Family,
        run: RunDirectory,
        outcome: Outcome,
        report: OnProgress,
        score: OnScore,
    ) -> None:
        self._plan, self._rollout, self._learner = plan, rollout, learner
        self._run, self._outcome, self._report = run, outcome, report
        self._score = score
        self._known_score: float | None = None
        self._course = _Course()
        self._plateau = Plateau(plan.spec.plateau, plan.spec.frames)
        self._logs: Logs | None = None
        self._marks: list[tuple[float, int]] = []
        self._folder = run.path / CHECKPOINTS
        self._has_team_reward = own_team_reward(plan.prepared.world) is not None
        self._group_of = {
            name: group.name for group in plan.prepared.world.groups for name in group.agents
        }

    def begin(self, is_resumed: bool) -> None:
        """Opens the logs and keeps how it begins; or goes on from the newest checkpoint."""
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SimError(f"cannot write {self._folder}: {error.strerror}") from None
        if not is_resumed:
            self._logs = Logs(self._run.path)
            self._keep()
            return
        path, state, card = checkpoint.newest(self._folder)
        if card["rollout"] != self._rollout.kind or card["copies"] != self._rollout.copies:
            raise CheckpointError(
                f"{path}: of a {card['rollout']} rollout of {card['copies']} copies, "
                f"not of a {self._rollout.kind} rollout of {self._rollout.copies}"
            )
        self._learner.load(state["learner"])
        self._rollout.restore(state["rollout"])
        self._plateau.load(state["plateau"])
        self._course = _Course(**state["course"])
        self._logs = Logs(self._run.path, keep=card["metrics_bytes"], since=self._course.frames)

    def end(self) -> None:
        """Closes what is open, and says how far it came."""
        course, outcome = self._course, self._outcome
        outcome.frames, outcome.updates, outcome.episodes = (
            course.frames, course.updates, course.episodes,
        )  # fmt: skip
        outcome.seconds, outcome.returns = course.seconds, course.returns
        outcome.checkpoint = course.kept
        if self._logs is not None:
            self._logs.close()

    def go_on(self, interrupts: Interrupts) -> None:
        """To the end."""
        outcome, course = self._outcome, self._course
        while course.frames < outcome.total:
            self._step()
            if interrupts.is_requested:
                self._keep()
                outcome.status, outcome.reason = "interrupted", "interrupted"
                outcome.exit_code = INTERRUPTED
                return
            if self._plateau.is_reached:
                outcome.reason = "plateau"
                break
            if self._is_due():
                self._keep()
        self._keep()
        outcome.status, outcome.reason = "completed", outcome.reason or "frames"

    def _step(self) -> None:
        """Collects, updates, logs, tells."""
        began, course, rollout = monotonic(), self._course, self._rollout
        records = rollout.collect(self._learner.actors(), self._learner.decisions)
        figures = self._learner.update(records)
        episodes = rollout.finished()
        course.frames += max(record.frames for record in records.values())
        course.updates += 1
        course.episodes += len(episodes)
        figures |= _reward(records) | self._returns(episodes)
        if episodes:
            course.returns = figures["team_return"]
        self._plateau.note(course.frames, [episode.team for episode in episodes])
        course.seconds += monotonic() - began
        self._marks = [*self._marks[-_RECENT:], (course.seconds, course.frames)]
        rate = self._rate()
        _check(figures, course.frames)
        if self._logs is not None:
            known = {n: v for n, v in figures.items() if math.isfinite(v)}
            self._logs.write(course.frames, course.seconds, {**known, "frames_per_second": rate})
        left = max(self._outcome.total - course.frames, 0)
        self._known_score = self._score(figures) or self._known_score
        news = Progress(
            course.frames, self._outcome.total, course.updates, course.seconds, rate,
            left / rate if rate else None, figures["reward"], course.returns, figures,
            course.kept, self._known_score,
        )  # fmt: skip
        self._report(news)

    def _rate(self) -> float:
        """Frames per second over the last updates."""
        (began, first), (now, last) = self._marks[0], self._marks[-1]
        if now > began:
            return (last - first) / (now - began)
        return self._course.frames / self._course.seconds if self._course.seconds else 0.0

    def _returns(self, episodes: list[Episode]) -> dict[str, float]:
        """Mean returns of the episodes that ended: the team's, per agent of all and of each group,
        each agent's.
        """
        if not episodes:
            return {}
        sums = [math.fsum(episode.returns.values()) for episode in episodes]
        agents = max(len(episode.returns) for episode in episodes)
        team = [episode.team for episode in episodes] if self._has_team_reward else sums
        found = {"team_return": _mean(team)}
        if agents:
            found["return_per_agent"] = _mean(sums) / agents
        found["episode_steps"] = _mean([float(episode.steps) for episode in episodes])
        for name in {name: None for episode in episodes for name in episode.metrics}:
            values = [e.metrics[name] for e in episodes if name in e.metrics]
            found[f"metric/{name}"] = _mean(values)
        by_group: dict[str, list[float]] = {}
        names = list({name: None for episode in episodes for name in episode.returns})
        for name in names:
            values = [e.returns[name] for e in episodes if name in e.returns]
            by_group.setdefault(self._group_of.get(name, name), []).append(_mean(values))
            if len(names) <= _AGENTS_MAX:
                found[f"return/{name}"] = _mean(values)
        return found | {f"return/{group}": _mean(values) for group, values in by_group.items()}

    # --- checkpoints ----------------------------------------------------------------------------

    def _is_due(self) -> bool:
        course, total = self._course, self._outcome.total
        spacing = min(max(course.kept_update, 1), _updates(total * _SHARE, course))
        return course.updates - course.kept_update >= spacing

    def _keep(self) -> None:
        """Writes a checkpoint and the policies. Raises: DivergenceError if they are not numbers."""
        course = self._course
        if course.kept == course.frames or self._logs is None:
            return
        policies = self._learner.policies()
        for group, (tensors, _) in policies.items():
            for name, tensor in tensors.items():
                if not bool(torch.isfinite(torch.as_tensor(tensor)).all()):
                    raise DivergenceError(_diverged(f"{group}: {name}", course.frames))
        size = self._logs.sync()
        state = {
            "learner": self._learner.state(), "rollout": self._rollout.snapshot(),
            "plateau": self._plateau.state(),
            "course": vars(replace(course, kept=course.frames, kept_update=course.updates)),
        }  # fmt: skip
        card = {
            "frames": course.frames, "updates": course.updates, "metrics_bytes": size,
            "rollout": self._rollout.kind, "copies": self._rollout.copies,
            "scenario": self._plan.scenario.name, "seed": self._plan.seed,
        }  # fmt: skip
        path = checkpoint.checkpoint_path(self._folder, course.frames)
        checkpoint.write_checkpoint(path, state, card)
        course.kept, course.kept_update = course.frames, course.updates
        if course.updates:  # what has learned nothing yet is no policy to play
            keep_policies(self._run.path, policies, self._plan, course.frames, course.returns)
        checkpoint.prune(self._folder, _KEEP)


def _updates(frames: float, course: _Course) -> int:
    """Updates that so many frames take."""
    return max(int(frames / (course.frames / course.updates)), 1) if course.updates else 1


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _reward(records: Mapping[str, Record]) -> dict[str, float]:
    """Mean reward of a decision: the team's, over all sides; and the own ones per side."""
    found = {
        f"reward/{group}": float((record.reward * record.alive).sum() / record.alive.sum())
        for group, record in records.items()
        if bool(record.alive.any())
    }
    team = [float(record.team.mean()) for record in records.values()]
    return {"reward": _mean(team), **found}


def _check(figures: Mapping[str, float], frames: int) -> None:
    """Raises: DivergenceError if a figure that must be a number is none."""
    for name, value in figures.items():
        is_vital = name.endswith(_VITAL) or name == "reward"
        if is_vital and not abs(value) <= _LOSS_MAX:
            raise DivergenceError(_diverged(f"{name} is {value:g}", frames))


def _diverged(what: str, frames: int) -> str:
    return (
        f"training diverged at frame {frames:,}: {what}; "
        "a smaller learning_rate or clipped rewards may help"
    )
