"""The evaluation protocol: how good policies are, with intervals, on what they were not trained on.

Every episode has a seed of its own, held out (training never draws it) and, in worlds that have
days, a day of `learn.held_out`. In each the same is played by the policies, by the world's rules,
with every message lost, and, if asked for, by a selfish column: common random numbers, so that
columns are compared episode by episode. The last checkpoint counts, not the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import ScenarioError
from sim.learn.many import OnDone, Stadium, Task, how, task_of
from sim.learn.play import OWN, REFERENCE, SILENT
from sim.learn.statistics import Estimate, bootstrap, cooperation, jain, mean, scores
from sim.outcome import RULE
from sim.prepare import Prepared
from sim.rng import key_of
from sim.scenario.schema import Scenario
from sim.worlds import catalogue
from sim.worlds.joint import own_team_reward
from sim.worlds.world import Metric

KIND: Final = "evaluation"
SELFISH: Final = "selfish"
FILE: Final = "evaluation.csv"
TEAM: Final = "team return"
"""Sum of all agents' returns, ..."""
SUM: Final = "sum of returns"
"""... and its name in a world that says itself what the team earns, which is something else."""
EPISODES: Final = 10
_MAX_SEED: Final = 2**63
Results = dict[str, list[dict[str, Any]]]


@dataclass
class Evaluation:
    """What an evaluation found. Estimates are of the mean over episodes, where they are not said to
    be interquartile.

    objective:     the metric that J is, negated where less is better; or the sum of the agents'
                   returns in a world without an objective.
    score:         interquartile mean of (J - J_rule) / (J_reference - J_rule); None without a
                   reference or rule.
    metrics:       per column and metric. gain: per metric, policies minus rule, paired.
    returns:       per column and agent. groups: per column and group, per agent (the mean).
    return_sum:    per column: sum of all agents' returns. sum_name: how it is called, see `TEAM`.
    fairness_of_gains: Jain's index of the agents' returns above the rule's. losers: who lost.
    cooperation:   (J_team - J_selfish) / (J_optimum - J_selfish).
    communication: J with messages minus J without, in all and per byte sent.
    held_out:      what of the episodes training never saw, for people.
    played:        how the policies' episodes were, for people.
    """

    scenario: str
    seed: int
    episodes: int
    objective: str
    better: str
    unit: str
    days: tuple[str, str] | None = None
    held_out: str = "seeds"
    processes: bool = False
    played: str = ""
    score: Estimate | None = None
    metrics: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    gain: dict[str, Estimate] = field(default_factory=dict)
    returns: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    return_sum: dict[str, Estimate] = field(default_factory=dict)
    sum_name: str = TEAM
    fairness_of_gains: float | None = None
    losers: list[str] = field(default_factory=list)
    cooperation: float | None = None
    communication: Estimate | None = None
    communication_per_byte: float | None = None
    bytes: float = 0.0
    policies: dict[str, str] = field(default_factory=dict)
    wall_seconds: float = 0.0
    run: str = ""

    def summary(self) -> dict[str, Any]:
        """The document of `--json` and of summary.json; what could not be computed is left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        return {"kind": KIND, "status": "completed", **plain}


def seeds_of(seed: int, episodes: int) -> list[int]:
    """Held-out seeds: none of them is a seed that training draws."""
    return [key_of(seed, "evaluation", i) % _MAX_SEED for i in range(episodes)]


def evaluate(
    prepared: Prepared,
    *,
    episodes: int = EPISODES,
    selfish: Scenario | None = None,
    processes: bool = False,
    workers: int = 1,
    on_begin: Callable[[str], None] = lambda told: None,
    on_done: OnDone = lambda done, total: None,
) -> tuple[Evaluation, pd.DataFrame]:
    """Plays the episodes in all columns. Returns the figures, and a row per episode, column and
    figure.

    selfish:   the same scenario with everybody on their own, for the cooperation figure.
    processes: every agent a process, instead of in memory.
    workers:   jobs at a time: batches, episodes, references.
    on_begin:  told how the policies' episodes are played, for people.
    Raises: ScenarioError; SimError of an episode that does not come to its end.
    """
    scenario = prepared.scenario
    if episodes < 1:
        raise ScenarioError(f"expected at least 1 episode, found {episodes}")
    days = scenario.learn.held_out if scenario.learn else None
    seeds = seeds_of(scenario.seed, episodes)
    tasks = {
        column: task_of(scenario, column, seeds, processes) for column in (OWN, RULE, REFERENCE)
    }
    if selfish is not None:
        tasks[SELFISH] = task_of(selfish, OWN, seeds, processes)
    played = how([tasks[OWN]])
    on_begin(played)
    with Stadium(workers, processes) as stadium:
        found = _played(stadium, tasks, on_done, 0)
        if any(each["sent"] for each in found[OWN]):
            silent = {SILENT: task_of(scenario, SILENT, seeds, processes)}
            found |= _played(stadium, silent, on_done, len(tasks) * episodes)
    evaluation = figures(found, prepared.world.metrics(), scenario)
    evaluation.days, evaluation.processes, evaluation.played = days, processes, played
    evaluation.held_out = _held_out(scenario, days)
    if own_team_reward(prepared.world) is not None:
        evaluation.sum_name = SUM
    evaluation.policies = {
        plan.name: plan.behaviour.removeprefix("policy:")
        for plan in prepared.plans
        if plan.behaviour.startswith("policy:")
    }
    return evaluation, table(found, seeds)


def _held_out(scenario: Scenario, days: tuple[str, str] | None) -> str:
    if days is not None:
        return f"seeds and days, {days[0]} to {days[1]}"
    has_days = hasattr(catalogue.world_module(scenario.world.kind), "over_days")
    return "seeds, but not days: learn.held_out names none" if has_days else "seeds"


def _played(stadium: Stadium, tasks: Mapping[str, Task], report: OnDone, before: int) -> Results:
    """The results of columns, in order of the seeds. before: episodes that are done already."""
    found: dict[str, dict[int, dict[str, Any]]] = {column: {} for column in tasks}
    columns = list(tasks)

    def take(task: int, seed: int, result: dict[str, Any]) -> None:
        found[columns[task]][seed] = result

    def done(played: float, total: int) -> None:
        report(before + played, before + total)

    stadium.play(list(tasks.values()), take, done)
    return {column: [found[column][seed] for seed in task.seeds] for column, task in tasks.items()}


def figures(found: Results, cards: Mapping[str, Metric], scenario: Scenario) -> Evaluation:
    """What the episodes of all columns come to. found: per column, results of `sim.learn.play`."""
    objective = next((name for name, card in cards.items() if card.objective), "")
    card = cards.get(objective, Metric(0.0, "", "higher", True))
    episodes = len(found[OWN])
    result = Evaluation(
        scenario.name, scenario.seed, episodes, objective or SUM, card.better, card.unit
    )
    own = _worth(found[OWN], objective, card.better)
    worth = {
        column: _worth(each, objective, card.better)
        for column, each in found.items()
        if _has_worth(each, objective)
    }
    rule, best = worth.get(RULE), worth.get(REFERENCE)
    if rule is not None and best is not None:
        per_episode = scores(own, rule, best)
        if np.isfinite(per_episode).all():
            result.score = bootstrap([per_episode.tolist()], name="score")
    for column, each in found.items():
        names = [name for name in cards if all(name in row["metrics"] for row in each)]
        result.metrics[column] = {
            name: bootstrap([[row["metrics"][name] for row in each]], mean, name) for name in names
        }
        if column != REFERENCE:
            _add_returns(result, column, each)
    if RULE in found:
        for name in result.metrics[OWN]:
            apart = [
                row["metrics"][name] - other["metrics"][name]
                for row, other in zip(found[OWN], found[RULE], strict=True)
            ]
            result.gain[name] = bootstrap([apart], mean, name)
        _add_fairness(result)
    selfish = worth.get(SELFISH)
    if selfish is not None and best is not None:
        levels = [float(np.mean(each)) for each in (own, selfish, best)]
        result.cooperation = cooperation(*levels)
    result.bytes = float(np.mean([row["bytes"] for row in found[OWN]]))
    silent = worth.get(SILENT)
    if silent is not None:
        result.communication = bootstrap([(own - silent).tolist()], mean, "communication")
        result.communication_per_byte = result.communication.value / result.bytes
    return result


def _has_worth(each: Sequence[Mapping[str, Any]], objective: str) -> bool:
    """Whether a column has what J is made of; a world without a reference has none there."""
    return all(objective in row["metrics"] if objective else "returns" in row for row in each)


def _worth(each: Sequence[Mapping[str, Any]], objective: str, better: str) -> NDArray[np.float64]:
    """J of each episode, more is better. Shapes: [episodes]."""
    if not objective:
        return np.array([sum(row["returns"].values()) for row in each], dtype=np.float64)
    values = np.array([row["metrics"][objective] for row in each], dtype=np.float64)
    return values if better == "higher" else -values


def _add_returns(result: Evaluation, column: str, each: Sequence[Mapping[str, Any]]) -> None:
    """Individual and group returns, and their sum."""
    names = list(each[0]["returns"])
    by_agent = {name: float(np.mean([row["returns"][name] for row in each])) for name in names}
    groups: dict[str, list[float]] = {}
    for name, value in by_agent.items():
        groups.setdefault(each[0]["groups"][name], []).append(value)
    result.returns[column] = by_agent
    result.groups[column] = {group: float(np.mean(values)) for group, values in groups.items()}
    sums = [float(sum(row["returns"].values())) for row in each]
    result.return_sum[column] = bootstrap([sums], mean, "return_sum")


def _add_fairness(result: Evaluation) -> None:
    own, rule = result.returns[OWN], result.returns[RULE]
    gains = {name: value - rule[name] for name, value in own.items() if name in rule}
    result.fairness_of_gains = jain(list(gains.values()))
    result.losers = [name for name, gain in gains.items() if gain < 0]


def table(found: Results, seeds: Sequence[int]) -> pd.DataFrame:
    """The tidy table: episode, seed, column, name, value."""
    rows = []
    for column, each in found.items():
        for episode, (seed, row) in enumerate(zip(seeds, each, strict=True)):
            values = dict(row["metrics"])
            values |= {f"return/{name}": value for name, value in row.get("returns", {}).items()}
            values |= {name: row[name] for name in ("sent", "delivered", "bytes") if name in row}
            rows += [(episode, seed, column, name, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["episode", "seed", "column", "name", "value"])


def write(evaluation: Evaluation, rows: pd.DataFrame, folder: Path) -> None:
    """Writes the table beside the summary."""
    rows.to_csv(folder / FILE, index=False)
