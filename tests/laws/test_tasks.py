"""Dividing tasks: nobody beats the assignment, and each method does on ideal links what it must."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.worlds.tasks import assignment, greedy, judged, make, optima, reference

N, M, ROUND = 3, 5, 2
SIZES = {"agents": N, "tasks": M, "round": ROUND}
CLAIMS = st.lists(
    st.lists(st.integers(0, 1), min_size=M, max_size=M), min_size=N, max_size=N
)  # fmt: skip
BEHAVIOURS = "agents.behaviours.tasks"


def one_round(claims: list[list[list[int]]], present: Any = True, **params: Any) -> Any:
    """The whole of round 0 in a batch in which row b claims claims[b] at first: before, after."""
    world = make({**SIZES, **params})
    before = state = world.reset([(7, b) for b in range(len(claims))])
    claim = torch.tensor(claims, dtype=torch.float64)
    first = torch.cat((claim, torch.ones_like(claim[..., :1])), -1)
    there = {"robot": torch.as_tensor(present).expand(len(claims), N)}
    for step in range(ROUND):
        state, _ = world.advance(
            state, {"robot": torch.zeros_like(first) if step else first}, there
        )
    return before, state


@settings(max_examples=tries(60), deadline=None)
@given(CLAIMS, st.integers(1, 3))
def test_nobody_beats_the_optimum_and_the_optimum_reaches_it(
    claims: list[list[int]], capacity: int
) -> None:
    before, after = one_round([claims], capacity=capacity)
    assert float(after["done"]) <= float(after["best"]) + 1e-12
    best = np.zeros((N, M))
    for i, j in assignment(before["worth"][0].numpy(), capacity):
        best[i, j] = 1
    _, after = one_round([best.tolist()], capacity=capacity)
    assert float(after["done"]) == pytest.approx(float(after["best"]), rel=1e-12)
    assert float(after["conflicts"]) == 0


@settings(max_examples=tries(30), deadline=None)
@given(st.integers(0, 1000), st.integers(1, 2))
def test_the_assignment_is_the_best_of_all(seed: int, capacity: int) -> None:
    worth = make({"agents": 3, "tasks": 4, "reach": 0.7}).reset([(seed, 0)])["worth"]
    all_of_them = product(range(-1, 3), repeat=4)
    best = max(
        sum(float(worth[0, i, j]) for j, i in enumerate(who) if i >= 0)
        for who in all_of_them
        if all(who.count(i) <= capacity for i in range(3))
    )
    assert float(optima(worth, capacity)[0]) == pytest.approx(best, abs=1e-12)
    taken = sum(float(worth[0, i, j]) for i, j in greedy(worth[0].numpy(), capacity))
    assert best / 2 <= taken <= best + 1e-12


def test_who_is_nearest_is_paid_and_the_others_come_in_vain() -> None:
    worth = torch.tensor([[[0.5, 0.2, 0.1], [0.6, 0.3, 0.0]]], dtype=torch.float64)
    claim = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    paid, conflicts, unclaimed = judged(worth, claim, 2)
    assert paid.tolist() == [[0.2, 0.6]]
    assert [float(conflicts), float(unclaimed)] == pytest.approx([1 / 3, 1 / 3])


def test_claims_beyond_what_a_robot_can_do_do_not_count() -> None:
    worth = torch.tensor([[[0.5, 0.2, 0.4]]], dtype=torch.float64)
    paid, _, unclaimed = judged(worth, torch.ones_like(worth), 2)
    assert paid.tolist() == [[0.5 + 0.4]]
    assert float(unclaimed) == pytest.approx(1 / 3)


def test_equal_claims_pay_once() -> None:
    worth = torch.full((1, 2, 1), 0.5, dtype=torch.float64)
    paid, _, _ = judged(worth, torch.ones_like(worth), 1)
    assert paid.tolist() == [[0.5, 0.0]]


def test_who_is_absent_claims_nothing() -> None:
    _, after = one_round([[[1] * M] * N], present=False)
    assert float(after["done"]) == 0.0
    assert float(after["unclaimed"]) == 1.0


def test_rows_do_not_depend_on_the_batch() -> None:
    claims = np.random.default_rng(0).integers(0, 2, (5, N, M)).tolist()
    _, together = one_round(claims)
    world = make(SIZES)
    for b, claim in enumerate(claims):
        state = world.reset([(7, b)])
        said = torch.tensor([claim], dtype=torch.float64)
        said = torch.cat((said, torch.ones_like(said[..., :1])), -1)
        there = {"robot": torch.ones(1, N, dtype=torch.bool)}
        for step in range(ROUND):
            action = torch.zeros_like(said) if step else said
            state, _ = world.advance(state, {"robot": action}, there)
        for name in ("worth", "done", "best", "conflicts", "unclaimed", "return"):
            assert torch.equal(state[name][0], together[name][b]), name


def test_a_run_shorter_than_a_round_has_no_reference() -> None:
    assert reference({"round": 10}, 0, 9 * 10**9) == {}


IDEAL = ("duration=60s", "faults=[]", "network.default.loss=0")
CUT = ("duration=60s", "faults=[{at: 0s, partition: ['robot-[1-4]', '*']}]")


def played(*overrides: str) -> dict[str, float]:
    """The metrics of the bundled scenario."""
    result = sim.run(
        "task_allocation", overrides=overrides, inline=True, record=False, compare=False
    )
    assert result.status == "completed", result
    return {name: metric.value for name, metric in result.metrics.items()}


def by(method: str) -> str:
    return f"agents.robot-*.behaviour={BEHAVIOURS}:{method}"


def test_on_ideal_links_central_is_the_optimum_and_consensus_is_greedy() -> None:
    scenario = {"agents": 8, "tasks": 16, "capacity": 2, "round": 10}
    columns = reference(scenario, 0, 60 * 10**9)
    central, cbba, sealed = (played(by(m), *IDEAL) for m in ("Central", "Cbba", "Sealed"))
    assert central["value"] == pytest.approx(1.0, rel=1e-12)
    assert cbba["value"] == pytest.approx(columns["greedy"]["value"], rel=1e-5)
    assert 0.5 <= cbba["value"] <= 1.0
    assert 0.9 < sealed["value"] <= 1.0
    assert central["conflicts"] == cbba["conflicts"] == sealed["conflicts"] == 0


def test_the_rule_beats_nothing_and_every_method_beats_the_rule() -> None:
    nothing, rule = (played(f"as={{'*': {each}}}", *IDEAL)["value"] for each in ("none", "rule"))
    assert nothing == 0.0
    assert 0.3 < rule < 0.9 * played(*IDEAL)["value"]


def test_a_cut_leaves_robots_idle_under_a_lead_and_in_conflict_by_consensus() -> None:
    central, sealed, cbba = (played(by(m), *CUT) for m in ("Central", "Sealed", "Cbba"))
    for led in (central, sealed):
        assert led["conflicts"] == 0
        assert led["unclaimed"] >= 0.5  # half of the robots are told nothing
    assert cbba["conflicts"] > 0.2
    assert cbba["unclaimed"] < 0.4
    assert cbba["value"] > max(central["value"], sealed["value"])
