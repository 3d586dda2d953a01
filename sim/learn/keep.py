"""The policy files of a training run: one per group, as of its newest checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents.networks import save_policy
from sim.errors import SimError
from sim.learn.plan import Plan
from sim.scenario.policies import POLICIES, SUFFIX
from sim.store.rundir import versions


def keep_policies(
    run: Path,
    policies: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
    plan: Plan,
    frames: int,
    returns: float | None,
) -> None:
    """Writes each policy, whole or not at all; their cards say where they come from.

    Raises: SimError if the disk does not take it.
    """
    folder = run / POLICIES
    try:
        folder.mkdir(exist_ok=True)
        for group, (tensors, card) in policies.items():
            arrays = {name: _array(value) for name, value in tensors.items()}
            told = {
                **card, "group": group, "algorithm": plan.groups.get(group, ""),
                "scenario": plan.scenario.name, "run": run.name, "seed": plan.seed,
                "frames": frames, "scores": {"team_return": returns}, "versions": versions(),
            }  # fmt: skip
            save_policy(folder / f"{group}{SUFFIX}", arrays, told)
    except OSError as error:
        raise SimError(f"cannot write {folder}: {error.strerror or error}") from None


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
