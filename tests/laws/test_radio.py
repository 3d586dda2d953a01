"""Reception by radio against Friis, the log-distance law and laws of fading; in runs, by place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checkers.memory import completed, play
from checkers.sameness import assert_same_run
from numpy.typing import NDArray
from scipy import integrate, stats

import sim
from broker.kernel import Kernel
from broker.ledger import FADING, LOSS, OUTAGE, RANGE
from broker.links import Links
from broker.radio import radios, unheard
from broker.tape import Tape
from sim.errors import ScenarioError
from sim.learn.rollout import make_rollout
from sim.prepare import load, prepare
from sim.rng import key_of
from sim.scenario.link import LinkSpec
from sim.scenario.outages import Outage
from sim.scenario.radio import Radio

MS = 1_000_000
N = 1_000_000
SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""


def fates(
    radio: Radio, distance: float, shadow: int = 0, n: int = N, **more: object
) -> NDArray[np.int64]:
    """Of messages of one link over a distance in m."""
    links = Links()
    links.add([LinkSpec(floor_ns=MS, radio=radio, **more)], [False], (), [shadow])  # type: ignore[arg-type]
    _, found = links.offer(
        np.zeros(n, dtype=np.intp), np.arange(n), np.full(n, 64),
        np.full(n, key_of(1, "link", "a", "b", "t"), dtype=np.uint64),
        np.arange(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64),
        None, np.full(n, distance),
    )  # fmt: skip
    return found


def test_free_space_at_a_metre_is_that_of_friis() -> None:
    """47.87 dB at 5.9 GHz: the published figure of vehicular channel models."""
    radio = Radio(power_dbm=0, sensitivity_dbm=0)
    assert -radio.margin_db == pytest.approx(47.87, abs=0.01)
    assert Radio(sensitivity_dbm=-82).margin_db == pytest.approx(20 - 47.87 + 82, abs=0.01)
    assert Radio().reach_m == pytest.approx(10 ** ((20 - 47.86 + 82) / 20), rel=2e-3)
    assert Radio(range_m=90).reach_m == 90


def test_without_fading_there_is_an_edge() -> None:
    radio = Radio(exponent=2.7)
    reach = radio.reach_m
    assert not fates(radio, reach * 0.999, n=10).any()
    assert set(fates(radio, reach * 1.001, n=10).tolist()) == {RANGE}
    # Nearer than the reference distance nothing is gained, and the range is a wall.
    assert not fates(radio, 0.0, n=10).any()
    assert set(fates(Radio(range_m=50), 51.0, n=10).tolist()) == {RANGE}


@pytest.mark.parametrize("m", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("part", [0.5, 1.0, 1.5])
def test_reception_under_fading(m: float, part: float) -> None:
    """The power of a message is gamma of shape m about its mean: the integral beyond the
    sensitivity, done numerically; of Rayleigh exp(-g_th / g)."""
    radio = Radio(exponent=3.0, fading_m=m)
    found = fates(radio, radio.reach_m * part)
    ratio = part**3
    density = stats.gamma(m, scale=1 / m).pdf
    expected = integrate.quad(density, ratio, math.inf)[0]
    if m == 1:
        assert expected == pytest.approx(math.exp(-ratio))
    assert stats.binomtest(int((found == 0).sum()), N, expected).pvalue > SURE
    assert set(found.tolist()) <= {0, RANGE if part > 1 else FADING}


def test_shadowing_is_log_normal_over_pairs() -> None:
    """P(received) over pairs = Phi(margin / sigma)."""
    radio = Radio(exponent=2.0, shadowing_db=6.0)
    known, pairs = radios(), 50_000
    number = known.number(radio)
    for part in (0.7, 1.0, 1.6):
        normals = np.random.default_rng(2).normal(size=pairs)
        found = unheard(
            known.columns, np.full(pairs, number), np.full(pairs, radio.reach_m * part),
            normals, np.full(pairs, 0.5),
        )  # fmt: skip
        expected = stats.norm.cdf(-20 * math.log10(part) / 6.0)
        assert stats.binomtest(int((found == 0).sum()), pairs, expected).pvalue > SURE
    # Of one pair it is always the same, by its key; of different ones it is normal.
    keys = [key_of(1, "shadow", 0, "a", f"b-{i}") for i in range(400)]
    each = [fates(radio, radio.reach_m, key, n=3) for key in keys]
    assert all(len(set(found.tolist())) == 1 for found in each)
    assert stats.binomtest(sum(bool(f[0]) for f in each), 400, 0.5).pvalue > SURE


def test_other_stages_beside_radio() -> None:
    radio = Radio(fading_m=1.0)
    found = fates(radio, radio.reach_m, loss_probability=0.3)
    heard = found[(found != FADING) & (found != RANGE)]
    assert stats.binomtest(int((heard == LOSS).sum()), len(heard), 0.3).pvalue > SURE
    out = fates(radio, radio.reach_m, n=100, outages=(Outage(0, 50),))
    assert set(out[:50].tolist()) == {OUTAGE}
    assert not fates(radio, math.nan, n=100).any()


# --- in runs ------------------------------------------------------------------------------------

RADIO = "network.default={latency: 20ms, radio: {power_dbm: 15, exponent: 2.5%s}}"


def kernel(more: str = "", **options: object) -> Kernel:
    given = ["duration=20s", "world.agents=4", RADIO % more]
    given += [f"{key}={value}" for key, value in options.items()]
    behaviours = {"agent-*": f"{__file__}:Wanderer"}
    return prepare(load("spread", overrides=given, behaviours=behaviours)).kernel()


class Wanderer(sim.Agent):
    """Goes round and says so."""

    async def run(self) -> None:
        self.subscribe("here")
        async for obs in self.observations():
            self.act([float(self.rng.integers(1, 5))])
            self.publish("here", obs.time)


def test_a_run_hears_by_where_agents_are() -> None:
    """Every message against the distance that the world itself shows when it is sent."""
    made = kernel()
    tape = made.network.tape = Tape()
    places: dict[int, dict[str, tuple[float, ...]]] = {}
    advance = made.world.advance

    def noted(*given: object) -> None:
        advance(*given)  # type: ignore[arg-type]
        places[made.now] = made.world.positions()  # type: ignore[attr-defined]

    places[0] = made.world.positions()  # type: ignore[attr-defined]
    made.world.advance = noted  # type: ignore[method-assign]
    completed(play(made))
    told = tape.take()
    reasons = dict(zip(told.dropped["sequence"].tolist(), told.dropped["reason"].tolist()))
    names, reach, seen = made.agents.names, Radio(power_dbm=15, exponent=2.5).reach_m, set()
    columns = (told.sent[name].tolist() for name in ("sequence", "sent", "sender", "to"))
    for sequence, sent, sender, to in zip(*columns):
        at = places[sent - sent % made.world.dt_ns]
        is_near = math.dist(at[names[sender]], at[names[to]]) <= reach
        assert (reasons.get(sequence) != RANGE) == is_near
        seen.add(is_near)
    assert seen == {True, False}


def test_radio_repeats_and_shadowing_is_mutual() -> None:
    more = ", shadowing_db: 9, fading: {nakagami: 2}"
    one, other = (completed(play(kernel(more))) for _ in range(2))
    assert_same_run(one, other)
    assert {"range", "fading"} <= one.network.totals()["dropped"].keys()
    shadows = one.network._links._of["shadow"]
    rows = one.network._link_rows
    assert all(shadows[row] == shadows[rows[to, at]] for (at, to), row in rows.items())
    assert len(set(shadows.tolist())) == len(rows) / 2
    third = completed(play(kernel(more, seed=9)))
    assert third.network.totals() != one.network.totals()


def test_a_fault_makes_a_link_a_radio_for_a_while() -> None:
    option = "{at: 5s, link: [agent-1, '*'], radio: {range: 1m}, for: 5s}"
    plain = ["duration=20s", "world.agents=4", f"faults=[{option}]"]
    made = prepare(load("spread", overrides=plain)).kernel()
    completed(play(made))
    dropped = made.network.totals()["dropped"]
    assert dropped.keys() <= {"loss", "range"}


def test_what_has_no_places_has_no_radio() -> None:
    with pytest.raises(ScenarioError, match="radio need a world that says where its"):
        prepare(load("rendezvous", overrides=["network.default.radio={range: 1km}"]))


def test_training_by_radio_is_played_in_kernels() -> None:
    made = prepare(load("spread", overrides=["duration=2s", RADIO % ""]))
    rollout = make_rollout(made, ["agent"], 1)
    assert rollout.kind == "kernel"
    assert "radio" in rollout.reason
    rollout.close()
