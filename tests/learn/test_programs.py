"""A program among those who learn: the bundled `Saver` plays either of its roles in training."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.learn.plan import load_training
from sim.learn.start import Machine, start
from sim.runner import run

pytestmark = pytest.mark.torch

SAVER = f"{Path(__file__).parents[2] / 'scenarios' / 'my_agents.py'}:Saver"


@pytest.mark.parametrize("slot", ["battery-1", "household-3"])
def test_the_program_to_begin_from_plays_either_role(slot: str) -> None:
    result = run(
        "smart_grid", duration="2min", overrides=["faults=[]"], behaviours={slot: SAVER},
        inline=True, record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed", result.error


@pytest.mark.slow
def test_a_household_is_played_by_a_program_while_batteries_learn(tmp_path: Path) -> None:
    scenario = load_training(
        "smart_grid", behaviours=[f"household-3={SAVER}"],
        overrides=["duration=1h", "learn.frames=12", "learn.copies=2"],
    )  # fmt: skip
    kinds: list[str] = []
    outcome = start(
        scenario, Machine("cpu"), run_dir=tmp_path / "run",
        on_begin=lambda plan, rollout, run, decisions: kinds.append(rollout.kind),
    )  # fmt: skip
    assert (outcome.status, kinds) == ("completed", ["kernel"])
    assert outcome.frames >= 12
    assert (tmp_path / "run" / "policies" / "battery.safetensors").is_file()
