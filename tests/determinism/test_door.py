"""What onlookers do through a run's door leaves the digest as it is: whoever pauses, steps,
watches, inspects, records or slows down a run sees the run that would have been.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.live import Conducted, ask, finish, step

import sim.runner
from sim.outcome import Result
from sim.scenario.load import parse_scenario
from sim.scenario.schema import Scenario
from sim.wire.control import ControlClient

PLAYERS = Path(__file__).parents[1] / "faults" / "players.py"
SCENARIO = {
    "duration": "2s", "seed": 9,
    "world": {"kind": "blank", "agents": 4, "step": "100ms"},
    "agents": {"agent-*": {"behaviour": f"{PLAYERS}:Busy"}},
    "network": {"default": {"latency": "5ms", "jitter": {"exponential": "2ms"}, "loss": "2%"}},
    "faults": [{"at": "700ms", "kill": "agent-2", "for": "300ms"}],
}  # fmt: skip


def scenario(**over: Any) -> Scenario:
    return parse_scenario(yaml.safe_dump({**SCENARIO, **over}, sort_keys=False))


@pytest.fixture(scope="module")
def plain() -> Result:
    return sim.runner.run(scenario(), inline=True, record=False, compare=False)


def pausing(client: ControlClient) -> None:
    for _ in range(3):
        assert ask(client, "pause").startswith("paused at")
        ask(client, "speed", "0.5x")
        ask(client, "go")
    finish(client)


def stepping(client: ControlClient) -> None:
    ask(client, "pause")
    step(client, 4)
    for _ in range(5):
        ask(client, "window")
    finish(client)


def attaching(client: ControlClient) -> None:
    others = [ControlClient(f"ipc://{client._path}") for _ in range(2)]
    for other, what in zip(others, ("agent-1", "agent-2->agent-3"), strict=True):
        assert other.ask("intro", "", 30).intro is not None
        ask(other, "watch")
        other.ask("inspect", what, 30)
    ask(client, "watch")
    ask(client, "speed", "0.2x")
    seen = 0
    while seen < 3:
        seen += len(client.news(0.2))
    assert all(other.news(1.0) for other in others)
    others[0].close()
    ask(client, "leave")
    finish(client)
    others[1].close()


def pacing(client: ControlClient) -> None:
    for speed in ("0.5x", "realtime", "0.01x", "0.2x", "0.1x"):
        ask(client, "speed", speed)
    finish(client)


def mistaking(client: ControlClient) -> None:
    """What is refused has no effect."""
    for what, text in (
        ("inject", "{kill: nobody}"), ("inject", "{kill: agent-1, at: 0s}"), ("inject", "heal"),
        ("inject", "{"), ("speed", "backwards"), ("fly", ""), ("inject", "{kill: agent-1, for: 9d"),
        ("inspect", "nobody"),
    ):  # fmt: skip
        client.ask(what, text, 30)
    finish(client)


SCRIPTS = (pausing, stepping, attaching, pacing, mistaking)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("is_recorded", [True, False])
def test_whoever_looks_on_changes_nothing(
    tmp_path: Path, plain: Result, script: Any, is_recorded: bool
) -> None:
    path = tmp_path / "run" if is_recorded else None
    out = Conducted(script, scenario(), path, inline=True)
    assert out.result.status == "completed", out.result.error
    assert out.result.folds == plain.folds
    assert out.result.digest == plain.digest
    assert out.result.messages == plain.messages


@pytest.mark.process
@pytest.mark.parametrize("script", [pausing, stepping, attaching])
def test_nor_when_agents_are_processes(tmp_path: Path, plain: Result, script: Any) -> None:
    out = Conducted(script, scenario(), tmp_path / "run", agents_per_host=2)
    assert out.result.folds == plain.folds


@pytest.mark.parametrize("record", [{"every": 0}, {"every": "10ms"}, {"payloads": False},
                                    {"messages": "none"}])  # fmt: skip
def test_what_is_recorded_changes_nothing(
    tmp_path: Path, plain: Result, record: dict[str, Any]
) -> None:
    path = tmp_path / "run"
    result = sim.runner.run(scenario(record=record), inline=True, run_dir=path, compare=False)
    assert result.folds == plain.folds


def test_control_who_interferes_changes_it(tmp_path: Path, plain: Result) -> None:
    def interfere(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 1)
        assert "agent-1" in ask(client, "inject", "{kill: agent-1, for: 100ms}")
        finish(client)

    out = Conducted(interfere, scenario(), tmp_path / "run", inline=True)
    assert out.result.folds != plain.folds
    assert out.result.folds[0] == plain.folds[0]
