"""The market in runs: the same whatever the packing, and what one gains others lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play

from broker.kernel import Kernel
from sim.prepare import load, prepare

FORMS = {
    "book": "venues: 2, trend: 1, reverters: 1, arbitrageurs: 1, institutions: 1",
    "dealer": "volatility: 50, round: 2s",
    "call": "volatility: 50, round: 2s",
}


def played(form: str, agents_per_host: int, seed: int = 0) -> Kernel:
    text = f"""
seed: {seed}
duration: 10s
world: {{kind: market, form: {form}, makers: 2, informed: 1, noise: 3, {FORMS[form]}}}
network: {{default: {{latency: 2ms, jitter: {{exponential: 2ms}}, loss: 2%}}}}
faults: [{{at: 6s, kill: maker-2, for: 2s}}]
"""
    return completed(play(kernel_of(text, agents_per_host), on_window=check_books))


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_played_by_the_same_participants(form: str) -> None:
    kernel = played(form, 1)
    assert kernel.digest.chain == played(form, 100).digest.chain
    assert kernel.digest.chain != played(form, 100, seed=1).digest.chain
    assert not kernel.agents.failures
    world: Any = kernel.world
    assert world.measures.lots > 0
    metrics = world.metrics()
    profits = [m.value for name, m in metrics.items() if name.endswith("profit")]
    assert len(profits) == len(world.holdings) + 1
    assert sum(profits) == pytest.approx(0, abs=1e-6)
    spread, impact, kept = (
        metrics[f"{name}"].value for name in ("effective spread", "impact", "realised spread")
    )
    assert spread == pytest.approx(impact + kept)


LOST = {
    "killed": "{at: 4s, kill: maker-1}",
    "hung": "{at: 4s, hang: maker-1}",
    "cut off": "{at: 4s, partition: [[maker-1], ['*']]}",
    "not heard": "{at: 4s, link: [maker-1, venue-1], loss: 100%}",
}


@pytest.mark.parametrize("fault", LOST)
def test_orders_of_who_is_disconnected_are_taken_out_where_the_venue_does_so(fault: str) -> None:
    """After half a second at venue-1, never at venue-2; nobody but makers is there to quote."""
    resting: dict[int, list[set[str]]] = {}

    def look(kernel: Kernel) -> None:
        world: Any = kernel.world
        resting[kernel.now // 10**8] = [set(v.holders()) for v in world.venues.values()]

    text = f"""
duration: 8s
world:
  {{kind: market, makers: 4, informed: 0, noise: 0, venues: 2, volatility: 0,
   cancel_on_disconnect: [venue-1]}}
network: {{default: {{latency: 2ms}}}}
faults: [{LOST[fault]}, {LOST[fault].replace("maker-1", "maker-2").replace("venue-1", "venue-2")}]
"""
    completed(play(kernel_of(text, 100 if fault != "hung" else 1), on_window=look))
    both = [{"maker-1", "maker-3"}, {"maker-2", "maker-4"}]
    assert resting[39] == resting[44] == both
    assert resting[46] == resting[79] == [{"maker-3"}, both[1]]


def test_who_is_back_quotes_again() -> None:
    text = """
duration: 6s
world: {kind: market, makers: 1, informed: 0, noise: 0, cancel_on_disconnect: ["*"], heartbeat: 0s}
network: {default: {latency: 2ms}}
faults: [{at: 2s, partition: [[maker-1], ['*']], for: 2s}]
"""
    world: Any = completed(play(kernel_of(text, 100))).world
    assert world.venues["venue-1"].holders() == ["maker-1"]
    assert 60 <= world.metrics()["quoted"].value <= 70


def test_the_only_maker_quotes_again_after_its_death() -> None:
    """Though nothing has changed in between, and so nothing was told."""
    text = """
duration: 8s
world: {kind: market, makers: 1, informed: 0, noise: 1, cancel_on_disconnect: ["*"], heartbeat: 0s}
network: {default: {latency: 2ms}}
faults: [{at: 2s, kill: maker-1, for: 2s}]
"""
    world: Any = completed(play(kernel_of(text, 1))).world
    assert world.venues["venue-1"].holders() == ["maker-1"]
    assert 55 <= world.metrics()["quoted"].value <= 70


def test_a_halt_ends_in_later_episodes_too() -> None:
    """Times of a venue are those of the episode."""
    text = """
duration: 6s
episodes: 2
world: {kind: market, makers: 1, informed: 0, noise: 0, institutions: 1, pause: 1s, band: 0.001}
agents: {institution-1: {params: {lots: -60, at: 1s, over: 100ms, parts: 1}}}
network: {default: {latency: 2ms}}
"""
    world: Any = completed(play(kernel_of(text, 100))).world
    assert world.venues["venue-1"].breaker.halts
    assert world.venues["venue-1"].holders() == ["maker-1"]


def test_who_waits_at_the_best_price_pays_less_and_leaves_nothing_behind() -> None:
    def sold(rests: bool) -> Any:
        sale = f"lots: -60, at: 2s, over: 20s, parts: 20, rests: {str(rests).lower()}"
        text = f"""
duration: 30s
world: {{kind: market, makers: 1, informed: 0, noise: 4, institutions: 1, volatility: 0, delay: 0s}}
agents:
  "noise-*": {{params: {{rate: 1, size: 3}}}}
  institution-1: {{params: {{{sale}}}}}
network: {{default: {{latency: 2ms}}}}
"""
        world: Any = completed(play(kernel_of(text, 100))).world
        assert "institution-1" not in world.venues["venue-1"].holders()
        assert world.clearing.accounts["institution-1"].position == -60
        return world.metrics()["institution profit"].value

    assert sold(rests=True) > sold(rests=False) + 60


def test_a_fundamentalist_holds_the_price_to_the_news() -> None:
    def error(behaviour: str) -> float:
        text = f"""
duration: 20s
world: {{kind: market, makers: 1, informed: 0, noise: 3, trend: 1, volatility: 6, delay: 500ms}}
agents:
  maker-1: {{params: {{impact: 2}}}}
  trend-1: {{behaviour: {behaviour}, params: {{}}}}
network: {{default: {{latency: 2ms}}}}
"""
        world: Any = completed(play(kernel_of(text, 100))).world
        return float(world.metrics()["pricing error"].value)

    known = error("agents.behaviours.market:Fundamentalist")
    assert known < 0.8 * error("none")


class Seller:
    """A policy that sells two lots whenever it decides."""

    speaks: Mapping[str, int] = {"order": 1}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        pass

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0))

    def __call__(self, obs: Any, inbox: Any, memory: Any, key: Any) -> Any:
        return obs[:, :0], {"order": np.full((len(obs), 1), -2.0)}, memory


def test_a_policy_trades_at_the_venue_that_a_program_would_choose() -> None:
    text = f"""
duration: 1s
world: {{kind: market, makers: 2, informed: 0, noise: 2, venues: 2, every: 200ms, volatility: 0}}
agents: {{noise-2: {{behaviour: '{__file__}:Seller'}}, noise-1: {{behaviour: none}}}}
network: {{default: {{latency: 2ms}}}}
"""
    world: Any = completed(play(kernel_of(text, 100))).world
    assert {t.venue for t in world.measures.tape} == {"venue-2"}
    assert world.clearing.accounts["noise-2"].position == -8  # nobody quotes at the first decision


def test_the_dearer_the_fewer_trade() -> None:
    """Of those who accept a price within `reach` ticks of the news on average, at distance d a
    share exp(-d / reach) does."""

    def traded(half: float) -> int:
        maker = f"lots: 100, levels: 1, most: 100000, k: {1 / half}, gamma: 0.0001, impact: 0"
        text = f"""
duration: 40s
world: {{kind: market, makers: 1, informed: 0, noise: 1, volatility: 0, delay: 0s, dt: 500ms}}
agents:
  maker-1: {{params: {{{maker}}}}}
  noise-1: {{params: {{rate: 20, size: 1, reach: 6}}}}
network: {{default: {{latency: 2ms}}}}
"""
        world: Any = completed(play(kernel_of(text, 100))).world
        return int(world.measures.lots)

    near, far = traded(2.5), traded(8.5)
    assert far / near == pytest.approx(np.exp(-1), rel=0.2)


def runaway(*overrides: str) -> Any:
    return completed(play(prepare(load("runaway", overrides=list(overrides))).kernel())).world


@pytest.mark.slow
def test_each_limit_stops_what_runs_away() -> None:
    """What it loses falls with every limit that stands in its way; the breaker halts where no other
    does, and a kill switch ends it."""
    free = ("world.drawdown_max=0", "world.position_max=0", "duration=60s")
    held, halted, wild = (
        runaway(*given)
        for given in (
            ("duration=60s",), free, (*free, "world.messages_per_second=0", "world.band=0")
        )
    )  # fmt: skip
    loss = [-world.metrics()["institution profit"].value for world in (held, halted, wild)]
    assert loss[0] < 0.5 * loss[1] < 0.5 * loss[2]
    assert held.clearing.accounts["institution-1"].position == 200
    assert halted.metrics()["halts"].value > 2
    assert held.metrics()["refused"].value > 300
    assert wild.metrics()["refused"].value == wild.metrics()["halts"].value == 0
    cut = runaway(*free, "faults=[{at: 21s, world: kill_switch, target: institution-1}]")
    assert cut.metrics()["cut off"].value == 1
    assert -cut.metrics()["institution profit"].value < 0.2 * loss[1]
