"""Learning from running agents: experience and weights are messages, the learner one more agent."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from agents.networks import read_policy
from agents.online import Experience, Parts, weight_parts
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.learn.returns import gae, v_trace
from sim.online import figures_of, told_of
from sim.outcome import Result
from sim.prepare import prepare
from sim.report.report import write_report
from sim.runner import run
from sim.scenario.load import load_scenario
from sim.scenario.policies import POLICIES

pytestmark = pytest.mark.torch

SCENARIO: dict[str, Any] = {
    "name": "online",
    "seed": 3,
    "duration": "12s",
    "world": {"kind": "rendezvous", "norm": "quadratic", "agents": 2},
    "network": {"topology": "complete", "default": {"latency": "20ms"}},
    "learn": {
        "online": True,
        "update": 20,
        "network": {"hidden": [8]},
        "options": {"mappo": {"epochs": 2, "minibatches": 2, "deviation": 0.1}},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """The scenario; keys of `learn` and `network` are merged, others replaced."""
    made = copy.deepcopy(SCENARIO)
    for key, value in changes.items():
        made[key] = {**made[key], **value} if key in ("learn", "network", "world") else value
    return made


def played(folder: Path, scenario: dict[str, Any], **options: Any) -> Result:
    file = folder / "online.yaml"
    file.write_text(yaml.safe_dump(scenario))
    options = {"inline": True, "record": False, "compare": False, **options}
    return run(file, **options)


def updates(result: Result) -> list[tuple[float, dict[str, float]]]:
    """(time, figures) of every update that the learner told of."""
    found = [(e["time"], figures_of(e["text"])) for e in result.events if e["kind"] == "learn"]
    return [(time, told[1]) for time, told in found if told is not None]


def is_balanced(result: Result) -> bool:
    books = result.messages
    dropped = sum(books["dropped"].values())
    return bool(books["sent"] == books["delivered"] + dropped + books["in_flight"])


# --- runs ---------------------------------------------------------------------------------------


def test_a_run_learns_and_all_of_it_is_in_the_books(tmp_path: Path) -> None:
    result = played(tmp_path, SCENARIO)
    assert (result.status, result.agents) == ("completed", 3)
    figures = updates(result)
    assert [f["version"] for _, f in figures] == list(range(1, len(figures) + 1))
    assert len(figures) >= 4
    assert all(f["arrived"] == 1.0 and f["late"] == 0 for _, f in figures)
    assert is_balanced(result)
    lines = {(a.source, a.destination, a.topic): a for a in result.accounts}
    for agent in ("agent-1", "agent-2"):
        assert lines["learner", agent, "weights.agent"].delivered == len(figures) + 1
        assert lines[agent, "learner", "experience"].bytes > 1000


@pytest.mark.process
@pytest.mark.parametrize("tap", ["agents", pytest.param("broker", marks=pytest.mark.slow)])
def test_the_digest_covers_learning_wherever_it_runs(tmp_path: Path, tap: str) -> None:
    scenario = changed(learn={"tap": tap}, duration="6s")
    here = played(tmp_path, scenario)
    assert len(updates(here)) >= 2
    for packing in ({"agents_per_host": 1}, {"agents_per_host": 3}):
        there = played(tmp_path, scenario, inline=False, **packing)
        assert there.digest == here.digest
        assert updates(there) == updates(here)
    rate = {"options": {"mappo": {"epochs": 2, "minibatches": 2, "learning_rate": 2e-3}}}
    control = played(tmp_path, changed(learn={"tap": tap, **rate}, duration="6s"))
    assert control.digest != here.digest


def test_links_delay_and_lose_what_is_told_like_anything_else(tmp_path: Path) -> None:
    bad = {
        "links": [
            {"from": "agent-*", "to": "learner", "both": True, "loss": "30%", "latency": "250ms"}
        ]
    }
    good, result = played(tmp_path, SCENARIO), played(tmp_path, changed(network=bad))
    figures = [f for _, f in updates(result)]
    assert figures
    assert min(f["arrived"] for f in figures) < 1.0
    assert max(f["staleness"] for f in figures) > max(f["staleness"] for _, f in updates(good))
    assert is_balanced(result)


def test_killing_the_learner_stops_learning_and_nothing_else(tmp_path: Path) -> None:
    kill = [{"at": "6s", "kill": "learner"}]
    result = played(tmp_path, changed(faults=kill))
    before = [f for time, f in updates(result)]
    assert before
    assert all(time < 6.0 for time, _ in updates(result))
    assert result.status == "completed"
    assert not result.agent_failures
    assert is_balanced(result)
    assert result.actions == {}  # nobody missed a decision
    lines = {(a.source, a.destination, a.topic): a for a in result.accounts}
    assert sum(lines["agent-1", "learner", "experience"].dropped.values()) > 0


@pytest.mark.parametrize("tap", ["agents", "broker"])
def test_restarted_it_goes_on_from_its_version(tmp_path: Path, tap: str) -> None:
    kill = [{"at": "5s", "kill": "learner", "for": "2s"}]
    result = played(tmp_path, changed(faults=kill, learn={"tap": tap}))
    figures = updates(result)
    last = max(f["version"] for time, f in figures if time < 5.0)
    first = min(f["version"] for time, f in figures if time > 7.0)
    assert first == last + 1
    said = [e["text"] for e in result.events if e["agent"] == "learner" and "goes on" in e["text"]]
    assert said == [f"goes on from version {last:g}"]


def test_an_agent_that_begins_anew_takes_the_next_weights(tmp_path: Path) -> None:
    kill = [{"at": "5s", "kill": "agent-1", "for": "1s"}]
    result = played(tmp_path, changed(faults=kill, duration="16s"))
    arrived = {time: f["arrived"] for time, f in updates(result)}
    assert min(share for time, share in arrived.items() if 5.0 < time < 9.0) < 1.0
    assert arrived[max(arrived)] == 1.0


# --- what is told -------------------------------------------------------------------------------


def test_a_version_of_which_a_part_is_lost_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.online.PART_BYTES", 64)
    tensors = {"w": np.arange(40, dtype=np.float32)}
    card = {"schema": {}, "version": 1}
    one, two = (weight_parts(version, tensors, card) for version in (1, 2))
    assert len(one) > 2
    parts = Parts()
    assert [parts.add(p) for p in one[1:]] == [None] * (len(one) - 1)
    found = [parts.add(p) for p in reversed(two)]
    assert found[:-1] == [None] * (len(two) - 1)
    assert found[-1] is not None
    version, read, read_card = found[-1]
    assert (version, read_card["version"]) == (2, 1)
    assert (read["w"] == tensors["w"]).all()


@pytest.mark.parametrize("wrong", [None, 3, {}, {"version": "x"}, {"version": 1, "part": 0}])
def test_malformed_parts_are_as_good_as_lost(wrong: Any) -> None:
    parts, whole = Parts(), weight_parts(4, {"w": np.zeros(3, np.float32)}, {"schema": {}})[0]
    assert parts.add(wrong) is None
    assert parts.add({**whole, "bytes": b"no tensors"}) is None
    assert parts.add({**whole, "parts": 3}) is None
    found = parts.add({**whole, "version": 5})
    assert found is not None
    assert found[0] == 5


LEARNER = """
import numpy as np
import sim
from agents.networks import read_policy
from agents.online import weight_parts
from pathlib import Path


class Learner(sim.Agent):
    async def run(self):
        tensors, card = read_policy(Path(self.params["policy"]))
        for version, keep in ((5, True), (3, True), (7, False), (6, True)):
            for part in weight_parts(version, tensors, card if keep else {"schema": {}}):
                self.publish("weights.agent", part)
            message = await self.receive("experience")
            print(sorted({int(v) for v in message.payload["version"]}))
"""


def test_an_older_version_never_replaces_a_newer_one(tmp_path: Path) -> None:
    played(tmp_path, SCENARIO, record=True, run_dir=tmp_path / "first")
    policy = tmp_path / "first" / POLICIES / "agent.safetensors"
    (tmp_path / "mine.py").write_text(LEARNER)
    scenario = changed(
        agents={
            "agent-*": {"behaviour": "agents.online:LearningAgent", "params": {"batch": 4}},
            "learner": {
                "count": 1, "behaviour": "mine.py:Learner", "params": {"policy": str(policy)}
            },
        },
        duration="4s",
    )  # fmt: skip
    del scenario["learn"]
    result = played(tmp_path, scenario)
    said = [e["text"] for e in result.events if e["agent"] == "learner" and e["kind"] == "print"]
    assert json.loads(said[0]) == [5]
    assert all(version >= 5 for line in said for version in json.loads(line))
    warned = [e["text"] for e in result.events if e["kind"] == "warning"]
    assert any("version 7" in text for text in warned)  # refused, and the one before goes on acting


def test_rows_end_when_the_next_decision_begins_and_what_was_missed_is_not_told() -> None:
    told = Experience(episode=2, every_ns=100)
    for k in range(4):
        told.earn(float(k), missed=1 if k == 2 else 0)
        state = np.full((1, 2), float(k))
        told.decide(100 * k, 7, state, np.full((1, 1), k), np.array([-0.5]))
    found = told.take()
    assert found["time"].tolist() == [0, 200]  # the second came to its end unseen
    assert found["reward"].tolist() == [1.0, 3.0]
    assert found["next_seen"][:, 0].tolist() == [1.0, 3.0]
    assert (found["version"].tolist(), found["episode"]) == ([7, 7], 2)
    assert len(told) == 0


def test_figures_are_read_back_from_the_story() -> None:
    figures = {"version": 12, "reward": -0.25, "approx_kl": 1.5e-5, "value_loss": float("nan")}
    found = figures_of(told_of("agent", figures))
    assert found is not None
    assert found[0] == "agent"
    assert found[1] == pytest.approx(figures, nan_ok=True)
    assert figures_of("goes on from version 3") is None


# --- correction ---------------------------------------------------------------------------------


def test_v_trace_corrects_what_an_older_policy_did() -> None:
    """Two choices, rewards 1 and 0. The older policy takes the first with probability 0.5, the
    newer with 0.8: by experience of the older, corrected values become the newer's 0.8, and the
    better choice is as much better as it is; uncorrected, both are the older policy's.
    """
    generator = torch.Generator().manual_seed(1)
    first = torch.rand((1, 200_000), generator=generator) < 0.5
    log_ratio = torch.where(first, np.log(0.8 / 0.5), np.log(0.2 / 0.5))
    reward, zero = first.float(), torch.zeros(1, 200_000)
    ends = torch.ones_like(first)

    def solved(step: Any) -> float:
        value = 0.0
        for _ in range(60):
            value += 0.5 * float(step(torch.full_like(zero, value)).mean())
        return value

    def corrected(value: torch.Tensor) -> torch.Tensor:
        found = v_trace(log_ratio, reward, zero, ends, value, zero, rho_max=10.0)
        return found.targets - value

    def plain(value: torch.Tensor) -> torch.Tensor:
        return gae(reward, zero, ends, value, zero, 1.0)

    assert solved(corrected) == pytest.approx(0.8, abs=0.01)
    assert solved(plain) == pytest.approx(0.5, abs=0.01)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learn", "error", "words"),
    [
        ({"groups": {"agent": "qmix"}}, ScenarioError, "qmix cannot learn from running agents"),
        ({"groups": {"agents": "mappo"}}, UnknownKeyError, "no group 'agents'; did you mean"),
        ({"network": {"recurrent": 8}}, ScenarioError, "recurrent"),
        ({"critic_sees": "state"}, ScenarioError, "learn.tap: broker has it"),
        ({"groups": {"agent": "ippo"}, "critic_sees": "state", "tap": "broker", "options": {}},
         ScenarioError, "ippo: its critic sees own"),
        ({"options": {"mappo": {"epoch": 3}}}, UnknownKeyError, "no option 'epoch'"),
        ({"options": {"mappo": {"clip": "x"}}}, BoundError, "clip is a number"),
        ({"options": {"ppo": {"clip": 0.1}}}, ScenarioError, "nobody learns by 'ppo'"),
    ],
)  # fmt: skip
def test_what_cannot_learn_so_is_refused_by_name_before_anything_starts(
    tmp_path: Path, learn: dict[str, Any], error: type[Exception], words: str
) -> None:
    file = tmp_path / "online.yaml"
    file.write_text(yaml.safe_dump(changed(learn=learn)))
    with pytest.raises(error, match=words):
        prepare(load_scenario(str(file)))


def test_an_update_that_is_never_reached_is_said(tmp_path: Path) -> None:
    result = played(tmp_path, changed(learn={"update": 50}, duration="2s"))
    warned = [e["text"] for e in result.events if e["kind"] == "warning"]
    assert any("decides 20 times in an episode, learns after 50" in text for text in warned)


def test_an_agent_without_weights_asks_for_them(tmp_path: Path) -> None:
    """Publications are cut off at the beginning; what is asked for later arrives."""
    cut = {"at": "0s", "partition": [["learner"], ["agent-1", "agent-2"]], "for": "1s"}
    result = played(tmp_path, changed(faults=[cut], learn={"update": 64}))
    assert [f["version"] for _, f in updates(result)] == [1.0]
    lines = {(a.source, a.destination, a.topic): a for a in result.accounts}
    assert lines["learner", "agent-1", "weights.agent"].delivered >= 2


def test_a_scenario_that_has_a_learner_already_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "online.yaml"
    agents = {"learner": {"count": 1, "behaviour": "mine.py:A"}}
    file.write_text(yaml.safe_dump(changed(agents=agents)))
    with pytest.raises(ScenarioError, match="there is an agent 'learner' already"):
        prepare(load_scenario(str(file)))


# --- what remains -------------------------------------------------------------------------------


@pytest.mark.parametrize("tap", ["agents", "broker"])
def test_what_was_learned_is_kept_and_plays(tmp_path: Path, tap: str) -> None:
    result = played(
        tmp_path, changed(learn={"tap": tap}), record=True, run_dir=tmp_path / "learned"
    )
    tensors, card = read_policy(tmp_path / "learned" / POLICIES / "agent.safetensors")
    assert card["tap"] == tap
    assert card["version"] == max(f["version"] for _, f in updates(result))
    assert {"mean", "scale"} <= set(tensors)
    summary = json.loads((tmp_path / "learned" / "summary.json").read_text())
    assert summary["learning"] == {
        "tap": tap, "is_privileged": tap == "broker", "versions": {"agent": card["version"]},
    }  # fmt: skip
    page = write_report(tmp_path / "learned").read_text()
    assert "<h2>Learning</h2>" in page
    assert ("Privileged." in page) == (tap == "broker")
    plain = changed(duration="2s")
    del plain["learn"]
    again = played(tmp_path, plain, behaviours={"agent-*": f"policy:{tmp_path / 'learned'}"})
    assert again.status == "completed"
    assert "learning" not in again.summary()
    assert (
        again.metrics["spread"].value < 0.05 * result.metrics["spread"].value
    )  # it plays greedily


def test_what_agents_say_to_each_other_is_learned_too(tmp_path: Path) -> None:
    """And plays where no learner is: it was never one of those that may speak."""
    says = {"agent": {"speaks": {"opinion": 2}, "hears": {"opinion": 2}}}
    scenario = changed(learn={"roles": says})
    result = played(tmp_path, scenario, record=True, run_dir=tmp_path / "learned")
    assert len(updates(result)) >= 3
    assert any(a.topic == "opinion" and a.delivered > 50 for a in result.accounts)
    plain = changed(duration="2s")
    del plain["learn"]
    again = played(tmp_path, plain, behaviours={"agent-*": f"policy:{tmp_path / 'learned'}"})
    assert (again.status, again.agent_failures) == ("completed", [])
