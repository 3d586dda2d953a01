"""The platoon is trained by the `learn` block of its scenario, and plays what it learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.cli import main

pytestmark = [pytest.mark.torch, pytest.mark.slow]
SHORT = ("duration=2s", "world.vehicles=2")
DRAWN = ("agents.vehicle-*.behaviour=policy:last", "agents.vehicle-*.params.sample=true")


def test_a_short_training_leaves_policies_that_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for override in SHORT for word in ("--set", override)]
    assert main(["train", "platoon_discrete", *options, "--copies", "2", "--frames", "80"]) == 0
    said = capsys.readouterr()
    assert "batched, 2 copies" in said.out + said.err
    result = sim.run(
        "platoon_discrete", overrides=(*SHORT, *DRAWN), inline=True, record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    assert result.metrics["collisions"].value == 0
