"""From a scenario to a training run, and from the directory of one to its going on."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from sim.errors import CheckpointError, InstallationError, ScenarioError
from sim.learn.batched import why_not
from sim.learn.cast import cast_rollout
from sim.learn.family import Family
from sim.learn.learner import Learner
from sim.learn.links import link_mode
from sim.learn.networks import Shape
from sim.learn.plan import Plan, plan_training
from sim.learn.presets import make_family
from sim.learn.record import Rollout
from sim.learn.rollout import make_rollout
from sim.learn.train import CHECKPOINTS, KIND, OnProgress, Outcome, train
from sim.learn.yardstick import Yardstick
from sim.scenario.load import dump, load_scenario
from sim.scenario.policies import trained_runs
from sim.scenario.schema import Scenario
from sim.store.rundir import RunDirectory, create_run, manifest

DEVICES: Final = ("auto", "cpu", "cuda")
ROLLOUTS: Final = ("batched", "kernel")
COPIES: Final = {"cpu": 128, "cuda": 1024}
"""Of the world in a batched rollout, by device, where nothing is said."""
KERNELS: Final = 8
"""Copies in a kernel rollout, for each worker."""
OnBegin = Callable[[Plan, Rollout, RunDirectory, int], None]
"""Told what is trained by what on which rollout, and how many decisions of each copy make an
update, before the first decision."""


@dataclass(frozen=True)
class Machine:
    """What a training run uses of the machine. device: one of `DEVICES`. workers: processes that
    multiply the rollout. rollout: one of `ROLLOUTS`, or None to let it be chosen.
    """

    device: str = "auto"
    workers: int = 1
    rollout: str | None = None

    def torch_device(self) -> str:
        """Where the learner computes. Raises: InstallationError if it is not there."""
        has_cuda = torch.cuda.is_available()
        if self.device == "cuda" and not has_cuda:
            raise InstallationError("--device cuda: torch sees no such device; `sim doctor` looks")
        return "cuda" if self.device != "cpu" and has_cuda else "cpu"


def start(
    scenario: Scenario,
    machine: Machine,
    *,
    run_dir: str | Path | None = None,
    on_begin: OnBegin | None = None,
    on_progress: OnProgress | None = None,
    on_interrupt: Callable[[], None] | None = None,
) -> Outcome:
    """Trains a scenario of `sim.learn.plan.load_training` in a new directory, to its end.

    Raises: ScenarioError and other SimErrors of the user's; divergence is in the outcome.
    """
    plan, device = plan_training(scenario), machine.torch_device()
    with _rollout(plan, machine, device, plan.spec.copies) as rollout:
        learner = _learner(plan, rollout, device)
        run = create_run(scenario.name, run_dir)
        run.write_text("scenario.yaml", dump(scenario))
        given = {
            **asdict(machine), "device": device, "rollout": rollout.kind, "copies": rollout.copies,
        }  # fmt: skip
        run.write_json(
            "manifest.json",
            manifest(kind=KIND, scenario=scenario.name, seed=plan.seed, training=given,
                     groups=dict(plan.groups)),
        )  # fmt: skip
        with _alone(run.path):
            if on_begin is not None:
                on_begin(plan, rollout, run, learner.decisions)
            with Yardstick(plan) as yardstick:
                return train(
                    plan, rollout, learner, run, device=device, score=yardstick.score,
                    on_progress=on_progress, on_interrupt=on_interrupt,
                )  # fmt: skip


def resume(
    path: Path,
    *,
    frames: int | None = None,
    on_begin: OnBegin | None = None,
    on_progress: OnProgress | None = None,
    on_interrupt: Callable[[], None] | None = None,
) -> Outcome:
    """Goes on with a training run in its own directory, from its newest checkpoint.

    frames: to train until, in place of what the run was asked for.
    Raises: CheckpointError if it has come to its end, still goes on, or is no training run.
    """
    scenario, given = _past(path)
    plan = plan_training(scenario)
    total = frames or plan.spec.frames
    summary = path / "summary.json"
    known: dict[str, Any] = json.loads(summary.read_text()) if summary.is_file() else {}
    if known.get("status") == "completed" and known.get("frames", 0) >= total:
        raise CheckpointError(
            f"{path} has come to its end, {known['frames']:,} frames; --frames takes it further"
        )
    machine = Machine(given["device"], given["workers"], given["rollout"])
    device = machine.torch_device()
    with _alone(path), _rollout(plan, machine, device, given["copies"]) as rollout:
        learner, run = _learner(plan, rollout, device), RunDirectory(path)
        if on_begin is not None:
            on_begin(plan, rollout, run, learner.decisions)
        with Yardstick(plan) as yardstick:
            return train(
                plan, rollout, learner, run, total=total, device=device, is_resumed=True,
                score=yardstick.score, on_progress=on_progress, on_interrupt=on_interrupt,
            )  # fmt: skip


def _past(path: Path) -> tuple[Scenario, dict[str, Any]]:
    """Scenario and options of a training run. Raises: CheckpointError if it is none."""
    try:
        known = json.loads((path / "manifest.json").read_text())
        given: dict[str, Any] = known["training"]
    except (OSError, ValueError, KeyError):
        raise CheckpointError(
            f"{path} is no training run; `sim resume` goes on with others"
        ) from None
    return load_scenario(str(path / "scenario.yaml")), given


def rate_before(scenario: str, device: str, rollout: Rollout) -> float | None:
    """Frames per second of the newest run of this scenario on the same device and rollout."""
    wanted = (device, rollout.kind, rollout.copies)
    for run in trained_runs():
        try:
            known = json.loads((run / "manifest.json").read_text())
            given = known["training"]
            if known["scenario"] == scenario and wanted == (
                given["device"], given["rollout"], given["copies"],
            ):  # fmt: skip
                return float(json.loads((run / "summary.json").read_text())["frames_per_second"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While inside, nobody else trains in this directory. Raises: CheckpointError."""
    folder = path / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CheckpointError(f"{path} is still being trained by another process") from None
        yield


@contextlib.contextmanager
def _rollout(plan: Plan, machine: Machine, device: str, copies: int | None) -> Iterator[Rollout]:
    links, groups = _links(plan), tuple(plan.groups)
    if copies is None:
        cast = cast_rollout(plan.prepared, groups, plan.spec.roles)
        is_kernel = machine.rollout == "kernel" or (
            machine.rollout is None and bool(why_not(plan.prepared, cast, link_mode(links)))
        )
        copies = KERNELS * machine.workers if is_kernel else COPIES[device]
    rollout = make_rollout(
        plan.prepared, groups, copies, force=machine.rollout, links=links, device=device,
        seed=plan.seed, role_params=plan.spec.roles, workers=machine.workers,
    )  # fmt: skip
    try:
        yield rollout
    finally:
        rollout.close()


def _links(plan: Plan) -> str | dict[str, Any]:
    """The links of training, as a rollout takes them."""
    links = plan.spec.links
    if isinstance(links, str):
        return links
    found: dict[str, Any] = {}
    if links.loss is not None:
        found["loss"] = list(links.loss)
    if links.latency_ns is not None:
        found["latency"] = [f"{bound}ns" for bound in links.latency_ns]
    return found


def _learner(plan: Plan, rollout: Rollout, device: str) -> Family:
    """One family per algorithm, over the groups that it trains."""
    spec, families = plan.spec, []
    _check_options(plan)
    by_preset: dict[str, list[str]] = {}
    for group, preset in plan.groups.items():
        by_preset.setdefault(preset, []).append(group)
    for preset, groups in by_preset.items():
        sides = [side for side in rollout.sides if side.group in groups]
        family = make_family(
            preset, sides, rollout.state_size, options=spec.options.get(preset, {}),
            shape=_shape(plan), share=spec.share, critic_sees=spec.critic_sees,
            reward=spec.reward, seed=plan.seed, device=device,
        )  # fmt: skip
        families.append(family)
    return Learner(families)


def _shape(plan: Plan) -> Shape | None:
    """The networks, if the scenario says something of them; otherwise the preset's own."""
    block = plan.scenario.document.get("learn", {})
    if not isinstance(block, Mapping) or "network" not in block:
        return None
    given: dict[str, Any] = msgspec.structs.asdict(plan.spec.network)
    return Shape(**given, share=plan.spec.share)  # type: ignore[arg-type]


def _check_options(plan: Plan) -> None:
    """Raises: ScenarioError for options of an algorithm that trains nobody."""
    for preset in plan.spec.options:
        if preset not in plan.groups.values():
            used = ", ".join(sorted(set(plan.groups.values())))
            raise ScenarioError(
                f"{plan.spec.where}.options: nobody learns by {preset!r}; used is: {used}"
            )
