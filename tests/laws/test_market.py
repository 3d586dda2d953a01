"""The laws of markets, measured in runs in which agents learn, quote and trade over links.

Figures: Glosten and Milgrom 1985, Kyle 1985, Roll 1984, Avellaneda and Stoikov 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers.memory import completed, kernel_of, play

from agents.behaviours.market_execution import left_after
from agents.behaviours.market_makers import quotes_of
from broker.kernel import Kernel
from sim.cli import main
from sim.prepare import load, prepare

FREE = "taker_fee: 0, maker_fee: 0, delay: 0s"


def run(
    world: str, agents: str, duration: str, on_window: Callable[[Kernel], None] = lambda k: None,
    topic: str = "",
) -> tuple[Any, list[Any]]:  # fmt: skip
    """The world after a run in one host, and what it said on a topic. world, agents: YAML keys."""
    text = f"""
duration: {duration}
world: {{kind: market, {world}}}
agents: {{{agents}}}
network: {{default: {{latency: 1ms}}}}
"""
    kernel = kernel_of(text, agents_per_host=100)
    heard: list[Any] = []
    speak = kernel.world.said  # type: ignore[attr-defined]

    def said() -> Any:
        words = speak()
        heard.extend(word.payload for word in words if word.topic == topic)
        return words

    kernel.world.said = said  # type: ignore[attr-defined]
    return completed(play(kernel, on_window=on_window)).world, heard


# --- dealer -------------------------------------------------------------------------------------


def opening_quotes(informed: float, believed: float, rounds: int) -> tuple[np.ndarray, Any]:
    """Bid and ask of a learning dealer before the first trade of each round, from 0 (the low
    value) to 1 (the high one). Shapes: [rounds, 2].
    """
    quotes: dict[int, tuple[int, int]] = {}
    seen = {"round": -1, "trades": 0}

    def look(kernel: Kernel) -> None:
        world: Any = kernel.world
        if world.round != seen["round"]:
            seen.update(round=world.round, trades=world.measures.trades)
        book = world.venues["venue-1"].book
        if world.measures.trades == seen["trades"] and book.bid and book.ask:
            quotes[world.round] = book.bid, book.ask

    rate = max(informed, 1e-9)
    world, _ = run(
        f"form: dealer, makers: 1, informed: 1, noise: 1, round: 10s, dt: 2s, lead: 2s, "
        f"price: 100000, volatility: 1000, {FREE}",
        f"maker-1: {{params: {{lots: 1, informed: {believed}, range: 1000}}}}, "
        f"informed-1: {{params: {{rate: {rate}, size: 1, most: 1000000}}}}, "
        f"noise-1: {{params: {{rate: {1 - informed}, size: 1}}}}",
        f"{10 * rounds}s",
        look,
    )
    return (np.array(list(quotes.values()), dtype=float) - 99_000) / 2_000, world


@pytest.mark.slow
def test_a_dealer_learns_the_quotes_of_glosten_and_milgrom() -> None:
    """With 30 % informed: ask .65, bid .35; and then it neither gains nor loses."""
    quotes, world = opening_quotes(0.3, believed=0.8, rounds=400)
    assert quotes[0] == pytest.approx([0.1, 0.9], abs=0.02)  # what it believed
    assert quotes[-200:].mean(axis=0) == pytest.approx([0.35, 0.65], abs=0.015)
    gains = world.measures.gains
    from_noise, to_informed = gains["maker", "noise"], -gains["maker", "informed"]
    assert from_noise == pytest.approx(to_informed, rel=0.25)
    assert from_noise > 0


@pytest.mark.slow
def test_where_nobody_knows_more_there_is_no_spread() -> None:
    quotes, _ = opening_quotes(0.0, believed=0.8, rounds=150)
    assert quotes[-50:].mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.06)


# --- call ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "noise", "impact"), [(2, 10, 0.1), (2, 20, 0.05)])
def test_in_calls_the_price_moves_by_kyles_lambda(
    deviation: float, noise: float, impact: float
) -> None:
    """Maker and insider each learn from the calls so far; from three times that impact they come
    to sqrt(variance) / (2 noise). A tick is a hundredth of the unit of value.
    """
    world, calls = run(
        f"form: call, makers: 1, informed: 1, noise: 1, round: 1s, dt: 500ms, lead: 500ms, "
        f"volatility: {100 * deviation}, {FREE}",
        f"maker-1: {{params: {{start: {300 * impact}}}}}, "
        f"informed-1: {{params: {{start: {300 * impact}, most: 1000}}}}, "
        f"noise-1: {{params: {{size: {noise}}}}}",
        "3000s",
        topic="call",
    )
    told = [(c["flow"], (c["price"] - c["reference"]) / 100) for c in calls if c["price"]]
    flow, move = np.array(told[500:]).T
    assert len(flow) > 2400
    assert (flow @ move) / (flow @ flow) == pytest.approx(impact, rel=0.05)
    assert flow.std() == pytest.approx(
        noise * 2**0.5, rel=0.06
    )  # half of the flow is the insider's
    earned = world.clearing.accounts["informed-1"].cash / 100 / 100 / 3000
    assert earned == pytest.approx(deviation * noise / 2, rel=0.1)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(1800)
def test_an_insider_learns_from_profits_alone_to_trade_as_kyles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It earns deviation x noise / 2 a call; half as many lots would earn 750, twice as many 0."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "insider", "--run-dir", "run"]) == 0
    policy = tmp_path / "run/policies/informed.safetensors"
    world, _ = run(
        f"form: call, makers: 1, informed: 1, noise: 1, round: 1s, dt: 500ms, lead: 500ms, "
        f"every: 1s, volatility: 200, {FREE}",
        f"informed-1: {{behaviour: 'policy:{policy}'}}, noise-1: {{params: {{size: 10}}}}",
        "1000s",
    )
    assert world.clearing.accounts["informed-1"].cash / 100 / 1000 == pytest.approx(1000, rel=0.2)


# --- book ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(1800)
def test_a_maker_learns_from_profits_alone_how_wide_to_quote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It earns as much as the rule, who is told k; twice the width would cost a quarter."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "market_maker", "--run-dir", "run"]) == 0
    policy = f"policy:{tmp_path / 'run/policies/maker.safetensors'}"

    def earned(*overrides: str) -> float:
        given = [*overrides, "duration=500s", "seed=11"]
        world: Any = completed(play(prepare(load("market_maker", overrides=given)).kernel())).world
        return float(world.metrics()["maker profit"].value)

    learned, rule = earned(f"as={{maker-1: '{policy}'}}"), earned()
    wide = earned("agents.maker-1.params.k=0.125", "agents.maker-1.params.gamma=0.001")
    assert learned > 0.9 * rule
    assert wide < 0.85 * rule


@pytest.mark.slow
def test_rolls_estimator_finds_the_spread_in_the_prices_alone() -> None:
    """Trades at a bid and an ask around a price that walks: cov of successive changes is
    minus the square of half the spread.
    """
    world, _ = run(
        f"makers: 1, informed: 0, noise: 4, volatility: 1, {FREE}",
        "maker-1: {params: {strategy: symmetric, lots: 50, impact: 0, most: 100000}}, "
        "'noise-*': {params: {rate: 4, size: 1}}",
        "160s",
    )
    price = np.array([t.price for t in world.measures.tape], dtype=float)
    half = np.mean([abs(t.price - t.mid) for t in world.measures.tape])
    change = np.diff(price)
    covariance = float(np.cov(change[1:], change[:-1])[0, 1])
    assert len(price) > 2000
    assert half > 3
    assert (-covariance) ** 0.5 == pytest.approx(half, rel=0.07)


@pytest.mark.parametrize(
    ("uses_inventory", "profit", "deviation"), [(True, 65.0, 6.5), (False, 68.0, 13.0)]
)
def test_avellaneda_and_stoikov_in_their_own_market(
    uses_inventory: bool, profit: float, deviation: float
) -> None:
    """The paper's table for gamma 0.1: fills are Poisson with rate A exp(-k distance)."""
    gamma, sigma, k, rate, dt, paths = 0.1, 2.0, 1.5, 140.0, 0.005, 4000
    draw = np.random.default_rng(5)
    mid, held, cash = np.full(paths, 100.0), np.zeros(paths), np.zeros(paths)
    for left in np.arange(1.0, 0.0, -dt):
        seen: Any = held if uses_inventory else 0 * held
        bid, ask = quotes_of(mid, seen, gamma, sigma, k, left)  # type: ignore[arg-type]
        sold = draw.random(paths) < rate * dt * np.exp(-k * (ask - mid))
        bought = draw.random(paths) < rate * dt * np.exp(-k * (mid - bid))
        held += bought * 1.0 - sold * 1.0
        cash += sold * ask - bought * bid
        mid = mid + sigma * dt**0.5 * np.where(draw.random(paths) < 0.5, 1, -1)
    final = cash + held * mid
    assert final.mean() == pytest.approx(profit, abs=1.5)
    assert final.std() == pytest.approx(deviation, rel=0.1)


def inventories(strategy: str) -> np.ndarray:
    """Of two makers of a kind in a book with informed and noise traders. Shapes: [time, 2]."""
    found: list[list[int]] = []

    def look(kernel: Kernel) -> None:
        accounts = kernel.world.clearing.accounts  # type: ignore[attr-defined]
        if kernel.now % 10**9 == 0:
            found.append([accounts[f"maker-{i}"].position for i in (1, 2)])

    world, _ = run(
        "makers: 2, informed: 1, noise: 6",
        f"'maker-*': {{params: {{strategy: {strategy}, most: 1000}}}}",
        "120s",
        look,
    )
    assert world.measures.lots > 500
    return np.array(found, dtype=float)


@pytest.mark.slow
def test_in_the_book_inventory_varies_half_as_much_as_without_regard_to_it() -> None:
    aware, blind = (inventories(s).var() for s in ("inventory", "symmetric"))
    assert aware <= blind / 2


@pytest.mark.slow
def test_who_is_nearer_is_first() -> None:
    """Two informed traders, one of them near: it takes what there is to take, whoever it is."""

    def traded(near: int) -> list[int]:
        text = f"""
duration: 60s
world: {{kind: market, makers: 1, informed: 2, noise: 3, volatility: 8, {FREE}, dt: 100ms}}
agents:
  maker-1: {{params: {{lots: 4, most: 10000}}, processing: 150ms}}
  "informed-*": {{params: {{size: 4, most: 10000, edge: 1}}}}
network:
  default: {{latency: 5ms}}
  links: [{{from: informed-{near}, to: venue-1, latency: 1ms, both: true}}]
"""
        world: Any = completed(play(kernel_of(text, agents_per_host=100))).world
        return [world.clearing.accounts[f"informed-{i}"].trades for i in (1, 2)]

    first, second = traded(1), traded(2)
    assert first[0] > 2 * first[1]
    assert second[1] > 2 * second[0]


def test_the_schedule_of_almgren_and_chriss() -> None:
    """Without urgency equal parts; with it what is left is convex, and ends at 0 all the same."""
    shares = np.linspace(0, 1, 11)
    assert [left_after(s, 0) for s in shares] == pytest.approx(list(1 - shares))
    left = np.array([left_after(s, 3.0) for s in shares])
    assert (left[0], left[-1]) == pytest.approx((1, 0))
    assert (np.diff(left, 2) > 0).all()
    # x'' = kappa^2 x, the Euler-Lagrange equation of cost and risk.
    assert np.diff(left, 2) / 0.01 == pytest.approx(9 * left[1:-1], rel=0.01)
