"""What docs/foreign.md shows runs: other people's worlds here, other people's learners there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.scenario.load import parse_scenario

PAGE = (Path(__file__).parents[2] / "docs/foreign.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL)
FILES = {block.split()[1].rstrip(";"): block for block in BLOCKS if block.startswith("# ")}
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files of the page."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def play(name: str, **options: Any) -> Any:
    return sim.run(name, inline=True, record=False, compare=False, **options)


def test_the_short_forms_of_worlds_are_read() -> None:
    shown = next(block for block in BLOCKS if block.startswith("world: {pettingzoo"))
    kinds = []
    for line in shown.splitlines():
        if ".py" not in line:
            text = f"{line}\nduration: 1s\nnetwork: {{default: {{latency: 1ms}}}}"
            kinds.append(parse_scenario(text).world.kind)
    assert kinds == ["pettingzoo", "gym", "gym"]


@pytest.mark.slow
def test_highway_env_runs_here(folder: Path) -> None:
    pytest.importorskip("highway_env", reason="pip install highway-env", exc_type=ImportError)
    driven = play("highway.yaml", seed=0, duration="8s")
    assert driven.status == "completed"
    assert driven.metrics["steps"].value == 8
    nobody = play("highway.yaml", seed=0, duration="8s", behaviours={"agent": "none"})
    assert driven.metrics["return"].value > nobody.metrics["return"].value
    assert play("highway.yaml", seed=0, duration="8s").digest == driven.digest


@pytest.mark.slow
def test_vmas_runs_here(folder: Path) -> None:
    pytest.importorskip("vmas", reason="pip install vmas", exc_type=ImportError)
    gone = play("vmas.yaml", seed=1)
    assert gone.status == "completed"
    assert gone.metrics["return"].value > 3
    assert play("vmas.yaml", seed=1).digest == gone.digest != play("vmas.yaml", seed=2).digest


@pytest.mark.slow
def test_stable_baselines_learns_there(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(
        "stable_baselines3", reason="pip install stable-baselines3", exc_type=ImportError
    )
    (shown,) = (block for block in BLOCKS if "stable_baselines3" in block)
    exec(compile(shown, "docs/foreign.md", "exec"), {})  # the example as it stands
    named = int(re.findall(r"(\d+) of 100 named", capsys.readouterr().out)[0])
    assert named > 85
