"""What a market is held against, beside what runs come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sim
from sim.errors import UnknownKeyError
from sim.prepare import load
from sim.worlds.market.world import make, reference


def metrics(scenario: str, *overrides: str) -> dict[str, float]:
    result = sim.run(
        scenario, overrides=[*overrides], inline=True, record=False, compare=False
    )  # fmt: skip
    assert result.status == "completed", result
    return {name: metric.value for name, metric in result.metrics.items()}


@pytest.mark.parametrize(
    "params",
    [
        {"form": "book", "delay": "1s", "volatility": 6},
        {"form": "dealer", "volatility": 50, "round": "1s"},
        {"form": "call", "volatility": 50, "round": "1s"},
        {"form": "call", "volatility": 50, "round": "1s", "value": "binary"},
    ],
)
def test_the_news_are_as_far_off_as_they_are_in_the_world(params: dict[str, Any]) -> None:
    """In calls at the instant of a call."""
    world: Any = make(params)
    world.reset(5, 0)
    off = []
    for step in range(1, 301):
        before, told = world.value, world.worth.news
        world.advance({}, {})
        if params["form"] == "book":
            off.append(world.value - world.worth.news)
        elif params["form"] == "dealer" or step % 10 == 0:
            off.append(before - told)
    columns = reference(params, 5, 30 * 10**9)
    assert columns["news"]["pricing error"] == pytest.approx(np.sqrt(np.mean(np.square(off))))
    assert columns["optimum"] == {"pricing error": 0, "efficiency": 100}
    assert reference(params, 5, 0) == {}


def test_the_seed_decides_what_the_news_miss() -> None:
    first, again, other = (
        reference({}, seed, 10**10)["news"]["pricing error"] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_insider_and_maker_come_to_kyles_equilibrium() -> None:
    """Half of what the insider knows is in the price, and noise pays for it."""
    given = ("duration=300s", "seed=3")
    found = metrics("insider", *given)
    kyle = reference(load("insider").world.params, 3, 300 * 10**9)["kyle"]
    for name, within in {
        "pricing error": 0.08, "efficiency": 0.15, "informed profit": 0.12, "noise profit": 0.15,
    }.items():  # fmt: skip
        assert found[name] == pytest.approx(kyle[name], rel=within), name
    assert kyle["efficiency"] == pytest.approx(50, abs=3)
    late = metrics("insider", *given, "agents.informed-1.processing=600ms")
    assert late["efficiency"] < 5
    assert abs(late["realised spread"]) > 4 * abs(found["realised spread"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", ["book", "dealer"])
def test_prices_know_more_than_the_news_where_somebody_does(form: str, seed: int) -> None:
    """The rules bring the pricing error at least a tenth below that of the news, and far below that
    of the opening price, where it stays if nobody trades; without informed traders it is above."""
    more = [] if form == "book" else ["world.volatility=50"]
    given = (f"world.form={form}", f"seed={seed}", "duration=60s", *more)
    params = load("market", overrides=list(given)).world.params
    news = reference(params, seed, 60 * 10**9)["news"]["pricing error"]
    found = metrics("market", *given)
    assert found["pricing error"] < 0.9 * news
    assert found["efficiency"] > 30
    blind = metrics("market", *given, "agents.informed-*.behaviour=none")
    assert blind["pricing error"] > news
    assert blind["efficiency"] < 0.6 * found["efficiency"]


def test_the_objective_is_a_figure_of_the_world() -> None:
    told = make({"objective": "maker profit"}).metrics()
    assert [name for name, metric in told.items() if metric.objective] == ["maker profit"]
    assert "optimum" not in reference({"objective": "maker profit"}, 0, 10**9)
    with pytest.raises(UnknownKeyError, match="did you mean 'maker profit'"):
        make({"objective": "makers profit"})
