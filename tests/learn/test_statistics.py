"""Figures of an evaluation against values known otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.learn.statistics import bootstrap, cooperation, iqm, jain, mean, scores
from sim.rng import generator


def test_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert iqm(np.arange(1.0, 9.0)) == 4.5
    assert iqm(np.array([-1e9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9])) == pytest.approx(3.5)
    # Of five values one is left out at each end (int(5 / 4) = 1).
    assert iqm(np.array([0.0, 1.0, 2.0, 6.0, 100.0])) == 3.0
    assert iqm(np.array([7.0])) == 7.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=40), st.floats(-10, 10))
def test_interquartile_mean_moves_with_the_values_and_lies_between_them(
    values: list[float], shift: float
) -> None:
    found = float(iqm(np.array(values)))
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6
    assert float(iqm(np.array(values) + shift)) == pytest.approx(found + shift, abs=1e-6)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = generator(5, "test", "coverage")
    hits = {"mean": 0, "iqm": 0}
    for _ in range(300):
        values = rng.normal(2.0, 1.0, 30).tolist()
        for name, statistic in (("mean", mean), ("iqm", iqm)):
            found = bootstrap([values], statistic, "coverage")
            hits[name] += found.low <= 2.0 <= found.high
    # Percentile intervals of 30 values are a little short: about 93 %.
    assert 0.88 <= hits["mean"] / 300 <= 0.98
    assert 0.88 <= hits["iqm"] / 300 <= 0.98


def test_intervals_shrink_with_the_root_of_their_values() -> None:
    rng = generator(6, "test", "width")
    widths = []
    for n in (50, 800):
        found = bootstrap([rng.normal(0.0, 1.0, n).tolist()], mean, "width")
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(4.0, rel=0.3)
    assert widths[1] == pytest.approx(2 * 1.96 / np.sqrt(800), rel=0.1)


def test_strata_are_drawn_within_themselves() -> None:
    apart = bootstrap([[0.0] * 10, [100.0] * 10], mean, "strata")
    assert (apart.value, apart.low, apart.high) == (50.0, 50.0, 50.0)
    together = bootstrap([[0.0] * 10 + [100.0] * 10], mean, "strata")
    assert together.low < 40 < 60 < together.high


def test_intervals_are_repeatable() -> None:
    values = [generator(7, "test", "values").normal(0.0, 1.0, 20).tolist()]
    assert bootstrap(values, iqm, "a") == bootstrap(values, iqm, "a")
    assert bootstrap(values, iqm, "a") != bootstrap(values, iqm, "b")


def test_scores_are_0_at_the_rule_and_1_at_the_reference() -> None:
    rule, best = np.array([-10.0, -20.0]), np.array([-2.0, -8.0])
    assert scores(rule, rule, best).tolist() == [0.0, 0.0]
    assert float(np.mean(scores(best, rule, best))) == pytest.approx(1.0)
    assert scores(rule + 5.0, rule, best).tolist() == [0.5, 0.5]
    assert np.isnan(scores(rule, rule, rule)).all()


def test_there_is_no_score_where_the_reference_does_no_better_than_the_rule() -> None:
    rule, best = np.array([-10.0, -20.0]), np.array([-12.0, -20.0])
    assert np.isnan(scores(rule - 5.0, rule, best)).all()
    assert np.isnan(scores(rule - 5.0, rule, rule * (1 - 1e-9))).all(), "rounding"
    assert np.isnan(scores(rule, np.zeros(2), np.zeros(2))).all()
    # What counts is the mean over episodes: the rule may do better in one of them.
    assert scores(rule, rule, np.array([-12.0, -10.0])).tolist() == [0.0, 0.0]


def test_fairness_by_jain() -> None:
    assert jain([3.0, 3.0, 3.0, 3.0]) == 1.0
    assert jain([5.0, 0.0, 0.0, 0.0]) == 0.25
    assert jain([1.0, 2.0, 3.0]) == pytest.approx(36 / (3 * 14))
    assert jain([1.0, -7.0]) == 0.5
    assert jain([0.0, -1.0]) is None


def test_cooperation() -> None:
    assert cooperation(-4.0, -8.0, 0.0) == 0.5
    assert cooperation(-4.0, 0.0, 0.0) is None
    assert cooperation(-4.0, 0.0, -1.0) is None
