"""Robots are trained by the `learn` blocks of their scenarios, and play what they learnt; a crowd
tells its goal to those whom it sees."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.cli import main

pytestmark = [pytest.mark.torch, pytest.mark.slow]
SHORT = {
    "formation": ("faults=[]", "duration=4s", "world.robots=3", "world.cell=10"),
    "coverage": ("faults=[]", "duration=4s", "world.robots=3", "world.cell=10"),
}


@pytest.mark.parametrize(("name", "rollout"), [("formation", "batched"), ("coverage", "kernel")])
def test_a_short_training_leaves_policies_that_drive(
    name: str, rollout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options = [word for override in SHORT[name] for word in ("--set", override)]
    assert main(["train", name, *options, "--copies", "2", "--frames", "60"]) == 0
    said = capsys.readouterr()
    assert rollout[:6] in said.out + said.err
    result = sim.run(
        name, behaviours={"robot-*": "policy:last"}, overrides=SHORT[name], inline=True,
        record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    assert result.metrics["distance"].value > 0


def test_a_crowd_follows_the_few_that_know_the_way_and_not_without_messages() -> None:
    small = ("world.robots=30", "world.informed=3", "world.width=60", "world.height=60",
             "duration=30s")  # fmt: skip
    told, untold = (
        sim.run(
            "swarm_thousand", overrides=(*small, f"network.default.loss={loss}%"), inline=True,
            record=False, compare=False,
        ).metrics["away"].value
        for loss in (0, 100)
    )  # fmt: skip
    assert told < 0.8 * untold
