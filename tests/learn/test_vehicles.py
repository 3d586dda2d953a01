"""The platoon is trained by its own `learn` block, over radio, and plays what it learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.cli import main

pytestmark = [pytest.mark.torch, pytest.mark.slow]
SHORT = ("faults=[]", "duration=2s", "world.vehicles=2", "agents.vehicle-*.params={}")


def test_a_short_training_leaves_policies_that_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for override in SHORT for word in ("--set", override)]
    assert main(["train", "platoon", *options, "--copies", "2", "--frames", "80"]) == 0
    said = capsys.readouterr()
    assert "kernel" in said.out + said.err
    result = sim.run(
        "platoon", behaviours={"vehicle-*": "policy:last"}, overrides=SHORT, inline=True,
        record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    assert result.metrics["collisions"].value == 0
