"""The evaluation protocol on a world whose rule and optimum are known."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from sim.console.evaluation import print_evaluation
from sim.errors import ScenarioError, SimError
from sim.learn.evaluate import Evaluation, evaluate, figures, seeds_of, table
from sim.learn.play import play, silenced
from sim.learn.statistics import NO_SCORE
from sim.prepare import load, prepare
from sim.report.evaluation import figures_of
from sim.scenario.load import dump, parse_scenario
from sim.worlds.world import Metric

SHORT = ["duration=3s", "faults=[]"]


def row(cost: float, returns: dict[str, float], size: int = 100) -> dict[str, Any]:
    groups = {name: name.split("-")[0] for name in returns}
    return {"metrics": {"cost": cost}, "returns": returns, "groups": groups, "sent": 1,
            "delivered": 1, "bytes": size}  # fmt: skip


def known() -> Evaluation:
    """Two episodes: the rule costs 10, the policies 6, the bound 2, silence 8, selfish 8."""
    found = {
        "own": [row(6.0, {"a-1": -2.0, "a-2": -4.0}), row(6.0, {"a-1": -2.0, "a-2": -4.0})],
        "rule": [row(10.0, {"a-1": -4.0, "a-2": -6.0}), row(10.0, {"a-1": -4.0, "a-2": -6.0})],
        "reference": [{"metrics": {"cost": 2.0}}, {"metrics": {"cost": 2.0}}],
        "silent": [row(8.0, {"a-1": 0.0, "a-2": 0.0}), row(8.0, {"a-1": 0.0, "a-2": 0.0})],
        "selfish": [row(8.0, {"a-1": 0.0, "a-2": 0.0}), row(8.0, {"a-1": 0.0, "a-2": 0.0})],
    }
    cards = {"cost": Metric(0.0, "EUR", "lower", True)}
    return figures(found, cards, load("rendezvous"))


def test_figures_of_a_case_worked_by_hand() -> None:
    found = known()
    assert found.score is not None
    assert found.score.value == 0.5
    assert found.gain["cost"].value == -4.0
    assert found.return_sum["own"].value == -6.0
    assert found.groups["own"] == {"a": -3.0}
    assert found.fairness_of_gains == 1.0
    assert found.losers == []
    assert found.cooperation == pytest.approx(2 / 6)
    assert found.communication is not None
    assert found.communication.value == 2.0
    assert found.communication_per_byte == pytest.approx(0.02)
    assert found.summary()["score"]["value"] == 0.5


def test_what_cannot_be_computed_is_absent() -> None:
    cards = {"cost": Metric(0.0, "EUR", "lower", True)}
    found = figures(
        {"own": [row(6.0, {"a-1": 1.0})], "rule": [row(6.0, {"a-1": 1.0})],
         "reference": [{"metrics": {}}]},
        cards, load("rendezvous"),
    )  # fmt: skip
    summary = found.summary()
    assert {"score", "cooperation", "communication", "fairness_of_gains"}.isdisjoint(summary)


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_nobody_scores_by_losing_to_a_rule_that_beats_the_reference(better: str) -> None:
    sign = 1.0 if better == "lower" else -1.0
    found = figures(
        {"own": [row(sign * 9.0, {"a-1": 1.0})], "rule": [row(sign * 1.0, {"a-1": 1.0})],
         "reference": [{"metrics": {"cost": sign * 2.0}}]},
        {"cost": Metric(0.0, "EUR", better, True)}, load("rendezvous"),
    )  # fmt: skip
    assert "score" not in found.summary()
    console = Console(file=StringIO(), width=100)
    print_evaluation(console, found, {}, ["sim"])
    assert NO_SCORE in console.file.getvalue()  # type: ignore[attr-defined]
    assert "no better than the rule" in str(figures_of(found.summary()))
    # The same columns with the reference ahead.
    assert known().score is not None
    print_evaluation(console := Console(file=StringIO(), width=100), known(), {}, ["sim"])
    assert NO_SCORE not in console.file.getvalue()  # type: ignore[attr-defined]


def test_held_out_seeds_are_the_same_for_all_and_unlike_those_of_training() -> None:
    assert seeds_of(0, 3) == seeds_of(0, 5)[:3]
    assert set(seeds_of(0, 50)).isdisjoint(range(10_000))


def test_rules_in_every_slot_score_0() -> None:
    prepared = prepare(load("rendezvous", overrides=[*SHORT, "world.norm=quadratic"]))
    found, rows = evaluate(prepared, episodes=2)
    assert found.score is not None
    assert found.score.value == pytest.approx(0.0)
    assert found.metrics["own"]["reward"].value == found.metrics["rule"]["reward"].value
    assert found.metrics["reference"]["reward"].value > found.metrics["rule"]["reward"].value
    assert set(found.returns["own"]) == {"agent-1", "agent-2", "agent-3", "agent-4"}
    assert found.communication is not None
    assert found.communication.value > 0
    assert set(rows["column"]) == {"own", "rule", "reference", "silent"}
    assert rows.groupby("column")["seed"].nunique().eq(2).all()


def test_an_episode_is_the_run_of_that_seed_to_the_bit() -> None:
    from sim.runner import run

    scenario = load("rendezvous", overrides=SHORT)
    played = play({"scenario": dump(scenario), "seed": 7})
    ran = run("rendezvous", seed=7, overrides=SHORT, inline=True, record=False, compare=False)
    assert played["metrics"] == {name: metric.value for name, metric in ran.metrics.items()}
    assert played["bytes"] == ran.messages["bytes"]
    # The reward is shared: an agent's return is the mean reward of a step, times the steps.
    assert played["returns"]["agent-1"] == pytest.approx(30 * played["metrics"]["reward"])


@pytest.mark.process
def test_in_processes_it_is_the_same_episode() -> None:
    job = {"scenario": dump(load("rendezvous", overrides=["duration=1s", "faults=[]"])), "seed": 7}
    assert play({**job, "processes": True}) == play(job)


def test_silence_is_silence_whatever_links_and_faults_say() -> None:
    text = """\
duration: 2s
world: {kind: rendezvous}
network:
  default: {latency: 20ms}
  links: [{from: agent-1, to: agent-2, loss: 0}]
faults: [{at: 1s, link: [agent-3, agent-4], loss: 0}]
"""
    scenario = parse_scenario(text)
    assert play({"scenario": text, "seed": 1})["delivered"] > 0
    assert play({"scenario": text, "seed": 1, "column": "silent"})["delivered"] == 0
    assert silenced(scenario).network.default.latency_ns == scenario.network.default.latency_ns


def test_no_episodes_are_refused() -> None:
    with pytest.raises(ScenarioError, match="at least 1 episode"):
        evaluate(prepare(load("rendezvous", overrides=SHORT)), episodes=0)


def test_an_episode_that_fails_is_told(tmp_path: Any) -> None:
    agent = tmp_path / "bad.py"
    agent.write_text(
        "import sim\n"
        "class Bad(sim.Agent):\n"
        "    async def run(self):\n"
        "        raise ValueError('x')\n"
    )
    scenario = load("rendezvous", overrides=SHORT, behaviours=[f"agent-1={agent}:Bad"])
    with pytest.raises(SimError, match=r"seed \d+, own: the run failed: agent-1: .*x"):
        evaluate(prepare(scenario), episodes=1)


def test_the_table_is_tidy() -> None:
    rows = table({"own": [row(1.0, {"a-1": 2.0})]}, [9])
    assert rows.values.tolist() == [
        [0, 9, "own", "cost", 1.0], [0, 9, "own", "return/a-1", 2.0], [0, 9, "own", "sent", 1],
        [0, 9, "own", "delivered", 1], [0, 9, "own", "bytes", 100],
    ]  # fmt: skip
