"""Figures of an evaluation: robust means, their intervals, fairness, cooperation.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
NeurIPS 2021, sections 4.1 to 4.3: the interquartile mean over all runs of all tasks, with a
stratified percentile bootstrap (runs are drawn again within their task).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import trim_mean

from sim.rng import generator

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Of the last axis. Shapes: [..., n] -> [...]."""
LEVEL: Final = 0.95
REPEATS: Final = 2000
"""Of the bootstrap, as in the paper's own figures."""
NO_SCORE: Final = "the reference does no better than the rule, so there is no score"
_ROUNDING: Final = 1e-6
"""Relative: by so much the same episodes may differ between a batch and a kernel."""


@dataclass(frozen=True)
class Estimate:
    """A figure with the 95 % interval in which it is to be expected; both ends equal the figure
    where there is one value alone.
    """

    value: float
    low: float
    high: float


def iqm(values: Array) -> Array:
    """Interquartile mean: of the middle half, the quarter at either end left out.

    Shapes: [..., n] -> [...]; int(n / 4) values are left out at each end.
    """
    return np.asarray(trim_mean(values, 0.25, axis=-1), dtype=np.float64)


def mean(values: Array) -> Array:
    """Plain mean. Shapes: [..., n] -> [...]."""
    return np.asarray(np.mean(values, axis=-1), dtype=np.float64)


def bootstrap(
    strata: Sequence[Sequence[float]], statistic: Statistic = iqm, name: str = ""
) -> Estimate:
    """The statistic of all values, with a percentile interval: values are drawn again, with
    replacement, within their stratum.

    strata: values per task (a day, a scenario). name: keys the draws, so that they are repeatable.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    together = np.concatenate(groups) if groups else np.full(1, np.nan)
    value = float(statistic(together))
    if len(together) < 2:
        return Estimate(value, value, value)
    drawn = []
    for i, group in enumerate(groups):
        rng = generator(0, "bootstrap", name, i)
        drawn.append(group[rng.integers(len(group), size=(REPEATS, len(group)))])
    found = statistic(np.concatenate(drawn, axis=1))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def scores(own: Array, rule: Array, reference: Array) -> Array:
    """0 as good as the rule, 1 as good as the reference; more is better. Shapes: all [n].

    (J - J_rule) / (J_reference - J_rule), J of the same episode in the numerator. The denominator
    is the mean over all episodes: what there is to gain differs from episode to episode, and where
    that is next to nothing a quotient of one episode alone would be noise. NaN where the reference
    does not do better than the rule by more than rounding: there a quotient would reward losing.
    """
    scale = float(np.mean(reference - rule))
    if not scale > _ROUNDING * float(np.mean(np.abs(reference) + np.abs(rule))):
        return np.full(len(own), np.nan)
    return np.asarray((own - rule) / scale, dtype=np.float64)


def jain(gains: Sequence[float]) -> float | None:
    """Fairness of gains, from 1/n (one has all) to 1 (all the same): (sum g)^2 / (n sum g^2).

    A loss counts as a gain of 0. None if nobody gains.
    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness", DEC TR-301, 1984.
    """
    positive = np.clip(np.asarray(gains, dtype=np.float64), 0.0, None)
    squares = float(np.sum(positive**2))
    return float(np.sum(positive)) ** 2 / (len(positive) * squares) if squares else None


def cooperation(team: float, selfish: float, optimum: float) -> float | None:
    """(J_team - J_selfish) / (J_optimum - J_selfish): 0 as if everybody looked after themselves, 1
    the best that all together can do. None if there is nothing to gain.
    """
    return (team - selfish) / (optimum - selfish) if optimum > selfish else None


def within(values: Array) -> tuple[Array, Array]:
    """Mean over seeds per setting, and half of its 95 % interval within seeds: what a seed does to
    all settings alike is taken out. 0 with one seed.

    Shapes: values [settings, seeds] -> [settings], [settings].
    Source: Loftus and Masson, "Using confidence intervals in within-subject designs", Psychonomic
            Bulletin & Review 1, 1994; the factor of Morey, Tutorials in Quantitative Methods for
            Psychology 4, 2008.
    """
    settings, seeds = values.shape
    level = np.asarray(values.mean(axis=1), dtype=np.float64)
    if seeds < 2:
        return level, np.zeros(settings)
    apart, factor = values, 1.0
    if settings > 1:
        apart = values - values.mean(axis=0) + values.mean()
        factor = float(np.sqrt(settings / (settings - 1)))
    spread = apart.std(axis=1, ddof=1) * factor
    reach = float(student.ppf((1 + LEVEL) / 2, seeds - 1))
    return level, np.asarray(reach * spread / np.sqrt(seeds), dtype=np.float64)
