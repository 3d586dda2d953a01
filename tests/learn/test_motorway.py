"""Those on the ramp are trained by the `learn` block of `merge`, and play what they learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.cli import main

pytestmark = [pytest.mark.torch, pytest.mark.slow]
SHORT = (
    "duration=20s", "world.dt=100ms", "world.latency=0", "world.vehicles=12", "world.ramps=2",
    "world.length=600", "world.scene=550", "network.default.radio=none",
)  # fmt: skip


def test_a_short_training_leaves_a_policy_that_merges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for override in SHORT for word in ("--set", override)]
    people = ["--as", "vehicle-*=none", "--links", "ideal"]
    size = ["--copies", "2", "--frames", "200"]
    assert main(["train", "merge", *people, *options, *size]) == 0
    said = capsys.readouterr()
    assert "batched, 2 copies" in said.out + said.err
    result = sim.run(
        "merge", behaviours={"vehicle-*": "none", "ramp-*": "policy:last"}, overrides=SHORT,
        inline=True, record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    assert result.metrics["changes"].value > 0
    assert result.metrics["collisions"].value == result.metrics["near_misses"].value == 0
