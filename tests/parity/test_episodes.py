"""Fourth promise of parity, for evaluations: what a batch says of an episode is what a run says.

World, returns and books, by rule and by policy files, in every column. Messages and bytes are
counted, so they are equal; figures of the smart grid agree to 1e-6, as its power flow is solved to
a tolerance and for all copies at once. A network's sums in float32 depend on how many rows are
multiplied together, so what it decides differs by some 1e-7 and the figures by what comes of that:
here 1e-5 of the figure is asked for. Processes and kernels in memory are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.networks import save_policy
from sim.launch.jobs import Pool
from sim.learn.acting import policy_file, policy_network
from sim.learn.cast import cast_rollout
from sim.learn.distributions import Decisions
from sim.learn.episodes import obstacle, play_all
from sim.learn.evaluate import evaluate, seeds_of
from sim.learn.inputs import input_norm
from sim.learn.networks import Shape
from sim.learn.play import TARGET, play
from sim.prepare import load, prepare
from sim.scenario.load import dump

pytestmark = pytest.mark.torch

COUNTED = ("groups", "sent", "delivered", "bytes")
CALM = ["faults=[]"]
STRUCK = [
    "faults=[{at: 15min10s, kill: market, for: 21min}, {at: 20min20s, kill: battery-2, for: "
    "5min7s}, {at: 50min, partition: [[market], ['*']], for: 6min}]",
    "agents.operator={processing: 700ms}",
]
UNHEARD = ["agents={market: {behaviour: none}, pv-*: {behaviour: none}}"]
CASES: dict[str, tuple[str, list[str], str, int]] = {
    "rendezvous": ("rendezvous", ["duration=20s", "network.default.loss=10%"], "own", 3),
    "rendezvous, silent": ("rendezvous", ["duration=5s", *CALM], "silent", 3),
    "rendezvous, no control": ("rendezvous", ["duration=5s"], "no control", 2),
    "two hours of a grid": ("smart_grid", ["duration=2h", *CALM], "own", 3),
    "a grid that is struck": ("smart_grid", ["duration=1h", *STRUCK], "own", 2),
    "offers to nobody": ("smart_grid", ["duration=20min", *CALM, *UNHEARD], "own", 2),
    "a grid, by the rules": ("smart_grid", ["duration=20min", *CALM, *UNHEARD], "rule", 2),
}  # fmt: skip
LONG = ("two hours of a grid", "a grid that is struck")
POLICIES = {
    "rendezvous": (
        "agent",
        ["duration=2s", *CALM],
        {"hears": {"position": 2}, "speaks": {"position": 2}},
    ),
    "smart_grid": ("household", ["duration=30min", "learn={}", *CALM], {}),
}


def both(
    text: str, column: str, seeds: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same episodes in one batch, and by kernels."""
    batch = play_all({"scenario": text, "seeds": list(seeds), "column": column})["episodes"]
    return batch, [play({"scenario": text, "seed": seed, "column": column}) for seed in seeds]


def apart(batch: Sequence[Mapping[str, Any]], kernels: Sequence[Mapping[str, Any]]) -> float:
    """The largest difference of metrics and returns, relative to the larger of figure and 1e-3."""
    differences = [0.0]
    for ours, theirs in zip(batch, kernels, strict=True):
        for kind in ("metrics", "returns"):
            assert ours[kind].keys() == theirs[kind].keys()
            differences += [
                abs(ours[kind][name] - value) / max(abs(value), 1e-3)
                for name, value in theirs[kind].items()
            ]
    return max(differences)


def counted(each: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: one[name] for name in COUNTED} for one in each]


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c in LONG else c for c in CASES]
)
def test_rules_come_to_the_same_with_the_same_messages(case: str) -> None:
    name, options, column, number = CASES[case]
    text, seeds = dump(load(name, overrides=options)), seeds_of(0, number)
    batch, kernels = both(text, column, seeds)
    assert counted(batch) == counted(kernels)
    assert apart(batch, kernels) < 1e-6
    # The control: the seeds the other way round are other episodes.
    assert apart(batch[::-1], kernels) > 1e-3


def random_policy(name: str, path: Path) -> tuple[str, list[str]]:
    """A policy file with drawn weights for a group, and the options of its game."""
    group, options, params = POLICIES[name]
    prepared = prepare(load(name, overrides=options))
    (side,) = cast_rollout(prepared, [group], {group: params}).sides
    decisions = Decisions(side.role.decides, side.role.sees)
    shape, generator = Shape(hidden=(32,), recurrent=8), torch.Generator().manual_seed(3)
    net = policy_network(side, decisions, shape, generator)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.empty_like(parameter).normal_(generator=generator))
    norm = input_norm(side.layout, shape)
    norm.update(torch.empty(64, side.layout.size).normal_(generator=generator))
    save_policy(path, *policy_file(side, net, norm, params))
    return f"{group}-*=policy:{path}", options


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_file_scores_the_same_in_batch_and_kernels(name: str, tmp_path: Path) -> None:
    who, options = random_policy(name, tmp_path / "policy.safetensors")
    scenario = load(name, overrides=options, behaviours=[who])
    assert not obstacle(scenario, "own")
    batch, kernels = both(dump(scenario), "own", seeds_of(0, 2))
    assert counted(batch) == counted(kernels)
    assert apart(batch, kernels) < 1e-5
    by_rule, _ = both(dump(load(name, overrides=options)), "own", seeds_of(0, 2))
    assert apart(by_rule, kernels) > 1e-3


@pytest.mark.process
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "smart_grid" else n for n in POLICIES],
)
def test_a_policy_file_evaluates_the_same_in_processes(name: str, tmp_path: Path) -> None:
    who, options = random_policy(name, tmp_path / "policy.safetensors")
    prepared = prepare(load(name, overrides=options, behaviours=[who]))
    batch, rows = evaluate(prepared, episodes=1)
    process, their_rows = evaluate(prepared, episodes=1, processes=True)
    assert batch.played == "in memory, batched, 1 episode at once"
    assert process.played == "one by one: every agent is a process"
    key = ["episode", "seed", "column", "name"]
    pair = rows.merge(their_rows, on=key, validate="one_to_one")
    assert len(pair) == len(rows) == len(their_rows)
    scale = np.maximum(pair["value_y"].abs(), 1e-3)
    assert ((pair["value_x"] - pair["value_y"]).abs() / scale).max() < 1e-5
    # A kernel in memory says the same as processes, to the bit: in a worker, as there, since sums
    # of linear algebra may depend on the number of threads.
    with Pool(TARGET, 1) as pool:
        job = {"scenario": dump(prepared.scenario), "seed": seeds_of(0, 1)[0]}
        ((_, alone),) = pool.run([job])
    own = their_rows[their_rows["column"] == "own"].set_index("name")["value"]
    assert {name: own[name] for name in alone["metrics"]} == alone["metrics"]
