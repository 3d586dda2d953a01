"""What `policy:last`, `policy:RUN` and `policy:FILE` name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sim.errors import ScenarioError, UnknownKeyError
from sim.prepare import make_world
from sim.scenario.load import dump, load_scenario, parse_scenario
from sim.scenario.roster import resolve_roster

RENDEZVOUS = """\
duration: 1s
world: {kind: rendezvous}
network: {default: {latency: 20ms}}
"""


def trained(name: str, began: int, *groups: str, scenario: str = "") -> Path:
    run = Path("runs", name)
    (run / "policies").mkdir(parents=True)
    for group in groups:
        (run / "policies" / f"{group}.safetensors").write_bytes(b"x")
    (run / "manifest.json").write_text(json.dumps({"scenario": scenario} if scenario else {}))
    os.utime(run / "manifest.json", ns=(began, began))
    return run.absolute()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meet.yaml").write_text(RENDEZVOUS)
    return tmp_path


def behaviours(*texts: str) -> list[str]:
    scenario = load_scenario("meet.yaml", behaviours=texts)
    return [plan.behaviour for plan in resolve_roster(scenario, make_world(scenario))]


def test_last_is_the_newest_run_of_the_scenario_that_has_policies(folder: Path) -> None:
    trained("meet-0002", 200, "agent")
    new = trained("first", 300, "agent", scenario="meet")
    trained("meet-0003", 400)
    trained("meet-0004", 500, "agent", scenario="spread")
    assert behaviours("agent-1=policy:last")[:2] == [
        f"policy:{new}/policies/agent.safetensors", "rule",
    ]  # fmt: skip


def test_the_resolved_file_names_the_run_for_good(folder: Path) -> None:
    run = trained("meet-0001", 1, "agent")
    text = dump(load_scenario("meet.yaml", behaviours=["agent-*=policy:last"]))
    trained("meet-0002", 2, "agent")
    scenario = parse_scenario(text)
    assert scenario.assignments[0].behaviour == f"policy:{run}/policies"
    plans = resolve_roster(scenario, make_world(scenario))
    assert {plan.behaviour for plan in plans} == {f"policy:{run}/policies/agent.safetensors"}


@pytest.mark.parametrize("name", ["meet-0001", "runs/meet-0001", "runs/meet-0001/policies"])
def test_a_run_by_its_name(folder: Path, name: str) -> None:
    run = trained("meet-0001", 1, "agent")
    found = behaviours(f"agent-*=policy:{name}")
    assert set(found) == {f"policy:{run}/policies/agent.safetensors"}


def test_policies_of_another_scenario_are_not_taken_but_named(folder: Path) -> None:
    trained("spread-0001", 1, "agent")
    trained("spread-0002", 2, "agent")
    told = "no run has trained scenario 'meet' yet; .* of 'spread': policy:spread-0002 names them"
    with pytest.raises(ScenarioError, match=told):
        behaviours("agent-*=policy:last")
    assert behaviours("agent-*=policy:spread-0002")[0].endswith("agent.safetensors")


def test_mistakes_are_answered(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="no run has policies yet: `sim train"):
        behaviours("agent-*=policy:last")
    trained("meet-0001", 1, "battery")
    with pytest.raises(ScenarioError, match="did you mean 'meet-0001'"):
        behaviours("agent-*=policy:meet-0002")
    with pytest.raises(UnknownKeyError, match="no policy for group 'agent'; there is: battery"):
        behaviours("agent-*=policy:last")


def test_policies_of_the_learn_block_are_named_for_good(folder: Path) -> None:
    run = trained("learn-0001", 1, "agent")
    (folder / "learn.yaml").write_text(RENDEZVOUS + "learn: {groups: {agent: policy:last}}\n")
    text = dump(load_scenario("learn.yaml"))
    assert f"agent: policy:{run}/policies" in text
