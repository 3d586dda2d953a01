"""Sharing one supply: what is drawn never exceeds it, and nobody does better than water-filling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from agents.behaviours.hierarchy import PER_PRICE, curve, split
from sim.worlds.sharing import make, reference, water_filling

N = 6
WEIGHTS = st.lists(st.floats(0.05, 5.0), min_size=N, max_size=N)
AMOUNTS = st.lists(st.floats(0.0, 40.0), min_size=N, max_size=N)


def advanced(asked: list[list[float]], present: Any = True, **params: Any) -> tuple[Any, Any, Any]:
    """One step of a batch in which row b asks for asked[b]: states before and after, rewards."""
    world = make({"agents": N, **params})
    before = world.reset([(7, b) for b in range(len(asked))])
    ask = torch.tensor(asked, dtype=torch.float64)[..., None]
    there = {
        "source": torch.ones(len(asked), 1, dtype=torch.bool),
        "consumer": torch.as_tensor(present).expand(len(asked), N),
    }
    actions = {"source": torch.zeros(len(asked), 1, 0, dtype=torch.float64), "consumer": ask}
    after, rewards = world.advance(before, actions, there)
    return before, after, rewards["consumer"][..., 0]


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=3))
def test_never_more_is_drawn_than_there_is_and_all_are_cut_alike(asked: list[list[float]]) -> None:
    before, after, _ = advanced(asked)
    want, drawn, supply = torch.tensor(asked), after["drawn"], before["supply"]
    want = want.clamp(max=5.0 * N).to(torch.float64)
    assert (drawn.sum(1) <= supply * (1 + 1e-12)).all()
    cut = torch.clamp(supply / want.sum(1).clamp(min=1e-9), max=1.0)
    assert torch.allclose(drawn, want * cut[:, None])


@settings(max_examples=tries(60), deadline=None)
@given(AMOUNTS)
def test_nobody_beats_the_optimum(asked: list[float]) -> None:
    before, _, rewards = advanced([asked])
    best = water_filling(before["weight"], before["supply"])
    _, _, rewards_best = advanced(best.tolist())
    assert float(rewards.sum()) <= float(rewards_best.sum()) + 1e-9


@settings(max_examples=tries(100), deadline=None)
@given(WEIGHTS, st.floats(0.01, 100.0))
def test_water_filling_is_feasible_and_equalises_what_one_more_is_worth(
    weights: list[float], supply: float
) -> None:
    weight = torch.tensor([weights], dtype=torch.float64)
    drawn = water_filling(weight, torch.tensor([supply], dtype=torch.float64))[0].numpy()
    assert (drawn >= 0).all()
    assert drawn.sum() == pytest.approx(supply, rel=1e-9)
    margin = np.array(weights) / (1 + drawn)
    price = margin[drawn > 0].max()
    assert margin[drawn > 0] == pytest.approx(price, rel=1e-6)
    assert (margin <= price * (1 + 1e-6)).all()


@settings(max_examples=tries(100), deadline=None)
@given(WEIGHTS, st.floats(0.0, 200.0), st.integers(1, N - 1))
def test_split_adds_up_and_is_the_same_through_groups(
    weights: list[float], quantity: float, cut: int
) -> None:
    """Curves of groups, split once and then within each, give everybody what one split gives."""
    curves = {str(i): curve(w) for i, w in enumerate(weights)}
    direct = split(np.array([quantity]), curves)
    assert sum(each[0] for each in direct.values()) == pytest.approx(quantity, abs=1e-9)
    groups = [dict(list(curves.items())[:cut]), dict(list(curves.items())[cut:])]
    sums = {str(i): np.sum(list(group.values()), axis=0) for i, group in enumerate(groups)}
    shares = split(np.array([quantity]), sums)
    nested = {}
    for i, group in enumerate(groups):
        nested |= split(shares[str(i)], group)
    for name, each in direct.items():
        assert nested[name] == pytest.approx(each, rel=1e-6, abs=1e-6)


@settings(max_examples=tries(100), deadline=None)
@given(WEIGHTS, st.floats(1.0, 5.0))
def test_split_is_nearly_water_filling(weights: list[float], per_consumer: float) -> None:
    supply = per_consumer * N
    drawn = split(np.array([supply]), {str(i): curve(w) for i, w in enumerate(weights)})
    weight = torch.tensor([weights], dtype=torch.float64)
    best = water_filling(weight, torch.tensor([supply], dtype=torch.float64))[0].numpy()
    price = max(w / (1 + x) for w, x in zip(weights, best, strict=True) if x > 0)
    if not PER_PRICE[0] < 1 / price < PER_PRICE[-1]:
        return
    worth = [np.log1p(x) @ np.array(weights) for x in (best, [d[0] for d in drawn.values()])]
    assert worth[1] <= worth[0] + 1e-9
    assert worth[1] >= 0.995 * worth[0]


def test_who_does_not_ask_draws_what_is_safe() -> None:
    before, after, _ = advanced([[9.0] * N] * 4, present=False)
    assert (after["drawn"] == 1.0).all()
    assert (before["supply"] >= N).all()
    assert float(after["overload"].max()) == 0.0


def test_rows_do_not_depend_on_the_batch() -> None:
    asked = np.random.default_rng(0).uniform(0, 9, (5, N)).tolist()
    _, together, _ = advanced(asked)
    for b, row in enumerate(asked):
        world = make({"agents": N})
        alone = world.reset([(7, b)])
        there = {"source": torch.ones(1, 1, dtype=torch.bool),
                 "consumer": torch.ones(1, N, dtype=torch.bool)}  # fmt: skip
        ask = torch.tensor([row], dtype=torch.float64)[..., None]
        empty = torch.zeros(1, 1, 0, dtype=torch.float64)
        after, _ = world.advance(alone, {"source": empty, "consumer": ask}, there)
        for name in ("weight", "supply", "drawn"):
            assert torch.equal(after[name][0], together[name][b]), name


def played(*overrides: str) -> sim.Result:
    """The bundled scenario."""
    result = sim.run("hierarchy", overrides=overrides, inline=True, record=False, compare=False)
    assert result.status == "completed", result
    return result


def test_the_rule_beats_doing_nothing_and_not_the_optimum() -> None:
    cast = [f"as={{source: rule, consumer-*: {each}}}" for each in ("none", "rule")]
    short = ("duration=60s", "faults=[]", "network.default.loss=0")
    nothing, rule = (played(each, *short).metrics["welfare"].value for each in cast)
    columns = reference({"agents": 12, "task": 30}, 0, 60 * 10**9)
    assert nothing < 0.8 * rule
    assert rule < columns["equal"]["welfare"] < columns["optimum"]["welfare"]


def test_deputies_keep_the_welfare_that_a_lone_controller_takes_along() -> None:
    """Both die at 30 s of 90 s; what is lost is the time until somebody leads again."""
    short = ("duration=90s", "faults=[{at: 30s, kill: root-1}]")
    best = reference({"agents": 12, "task": 30}, 0, 90 * 10**9)["optimum"]["welfare"]
    areas = played(*short)
    central = played(*short, "agents.*.params.tree=central")
    assert 0.95 * best < areas.metrics["welfare"].value <= best
    assert central.metrics["welfare"].value < 0.85 * best
    (taken,) = [e for e in areas.events if e["agent"] == "root-2"]
    assert taken["text"].startswith("all: root-2 leads after root-1")
    assert not [e for e in central.events if e["agent"].startswith("root")]
