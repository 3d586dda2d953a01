"""`sim check` of worlds: what keeps its promises is left alone, what breaks one is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sim.check import check, check_world, print_findings
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.templates import files
from sim.worlds import check as checks
from sim.worlds.catalogue import WORLDS, make_batch, make_world

pytestmark = pytest.mark.torch
LONG = ("smart_grid", "pettingzoo")
NEEDED = {"gym": "CartPole-v1", "pettingzoo": "mpe2:simple_spread_v3"}


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in LONG else k for k in WORLDS]
)
def test_every_world_of_the_catalogue_keeps_its_promises(kind: str) -> None:
    if kind in NEEDED:
        pytest.importorskip("mpe2", reason="pip install 'sim-agents[zoo]'", exc_type=ImportError)
        remarks = checks.check_world(kind, {"env": NEEDED[kind]})
        assert [remark for remark in remarks if remark.severity == "fault"] == []
        return
    if kind == "sumo":
        pytest.importorskip("libsumo", reason="pip install 'sim-agents[sumo]'")
    faults = [finding for finding in check_world(kind) if finding.severity == "fault"]
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["smart_grid", "platoon", "market", "request_game"])
def test_the_world_of_a_scenario_takes_its_parameters(scenario: str) -> None:
    assert [f for f in check(scenario) if f.severity == "fault"] == []


# --- worlds that break a promise ----------------------------------------------------------------

Changed = Callable[..., list[Any]]


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changed:
    """Faults and hints of the starting point of `sim new world`, with some of it replaced."""
    monkeypatch.chdir(tmp_path)

    def found(*pairs: tuple[str, str], severities: tuple[str, ...] = ("fault", "hint")) -> Any:
        for name, text in files("world", "pond").items():
            if name == "pond.py":
                for before, after in pairs:
                    assert text.count(before) >= 1, before
                    text = text.replace(before, after)
            Path(name).write_text(text)
        return [f for f in check("pond.py") if f.severity in severities]

    return found


def test_the_starting_point_is_left_alone(
    changed: Changed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert changed() == []
    assert print_findings(check("pond.py"), "pond.py") == 0
    assert "the same bits for the same seed" in capsys.readouterr().out
    assert check("pond.yaml")[-1].severity == "note"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("every_ns=5 * self.dt_ns", "every_ns=5 * self.dt_ns + 1", "no multiple of dt"),
        ('f"room-{i + 1}"', 'f"{i + 1}-room"', "'1-room' cannot name an agent"),
        ('f"room-{i + 1}"', '"room"', "there are two agents 'room'"),
        ('sim.Field("asked", "kW", low=0.0,', 'sim.Field("asked", "kW", low=9.0,',
         "'asked' has its bounds the wrong way round"),
        ('"outside", "degC"', '"outside", "degC", low=5.0', "room.outside is 2 at step 0, outside"),
        ("state[\"heat\"]), -1)}", "state[\"heat\"]), 1)}", "has shape [3, 4], not [4, 3]"),
        ("state[\"heat\"]), -1)}", "state[\"heat\"]), -1).float()}", "is float32, not float64"),
        ("comfort = -hours", "comfort = -hours * float('inf')", "numbers that are not finite"),
        ('"temperature": temperature,', '"temperature": temperature + torch.rand(1).double(),',
         "the same seed and the same actions part at step 1"),
        ("temperature = state[", "state['outside'] += 1\n        temperature = state[",
         "advance changes its state in place: outside"),
        ("ordered_sum(asked, 1)", "asked.sum().expand(len(asked))",
         "a batch of 3 parts from its copies alone at step 0"),
        ("normals(key, step, self.p.rooms, 0)", "torch.arange(1.0 * len(key))[:, None].expand(-1, "
         "self.p.rooms).double()", "a batch of 3 begins otherwise than its copies alone"),
        ("raise UnknownKeyError(", "return state\n        raise UnknownKeyError(",
         "inject takes an event that does not exist"),
        ('state["heat"][0].tolist()', 'state["heat"][0]', "scene: Object of type Tensor"),
        ('"higher", True, "comfort', '"more", True, "comfort', "better is 'more'"),
        ('"higher", True, "comfort', '"higher", False, "comfort', "0 metrics are the objective"),
        ('RULES = {"room": "pond_rule.py:Thermostat"}', "RULES = {}", "no rule plays room"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named(changed: Changed, before: str, after: str, text: str) -> None:
    found = changed((before, after))
    assert any(text in str(finding) for finding in found), found


def test_what_a_world_raises_is_told_by_its_line(changed: Changed) -> None:
    (fault,) = changed(("hours = self.p, self.dt_ns", "hours = self.q, self.dt_ns"))
    assert "no attribute 'q'" in fault.text
    assert fault.line == 1 + Path("pond.py").read_text().partition("self.q")[0].count("\n")


def test_a_file_that_is_no_world_or_does_not_load_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("x = 1\n")
    with pytest.raises(ScenarioError, match="is no world: it has no make"):
        check_world("empty.py")
    Path("broken.py").write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ScenarioError, match=r"broken\.py:2: ZeroDivisionError"):
        check_world("broken.py")
    Path("broken.py").write_text("x = (\n")
    with pytest.raises(ScenarioError, match=r"broken\.py:1: '\(' was never closed"):
        check_world("broken.py")
    with pytest.raises(ScenarioError, match="did you mean 'platoon'"):
        check("platon")
    with pytest.raises(BoundError, match=r"world\.agents"):
        list(checks.check_world("spread", {"agents": -1}))


def test_a_world_is_named_by_its_module_too() -> None:
    assert make_world("sim.worlds.classics.commons", {}, 0).name == "commons"
    with pytest.raises(UnknownKeyError, match=r"no world 'sim\.worlds\.nothing'"):
        make_world("sim.worlds.nothing", {}, 0)
    with pytest.raises(ScenarioError, match="is no world: it has no make"):
        make_world("sim.units", {}, 0)


def test_a_device_that_computes_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no GPU, one is stood in for by another sum on the processor."""
    batch = make_batch("commons", {})
    assert list(checks._batch(batch, 0, 5, "cpu")) == []
    true = batch.advance

    def off(state: Any, actions: Any, present: Any) -> Any:
        after, rewards = true(state, actions, present)
        is_there = batch.calls % 2 == 1
        batch.calls += 1
        return {**after, "stock": after["stock"] * (1 + 1e-4 * is_there)}, rewards

    batch.calls = 0
    monkeypatch.setattr(batch, "advance", off)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    (fault,) = checks._batch(batch, 0, 5, "another")
    assert "on another step 0 is not that of the processor: stock differs by" in fault.text
