"""What is compared of two crossings, each figure with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from kernel.referee import Crossing, Ints
from numpy.typing import NDArray

MS = 1_000_000
BLOCK = 100
"""Datagrams per batch mean; many times what bursts, or overtaking, correlate over."""
WIDTH = 3.0
"""How many standard errors of the difference two figures may be apart."""


@dataclass(frozen=True)
class Row:
    """A figure of both sides. slack: by how much the method itself may make the first larger."""

    name: str
    theirs: float
    ours: float
    error: float
    slack: float

    @property
    def is_within(self) -> bool:
        return -WIDTH * self.error <= self.theirs - self.ours <= WIDTH * self.error + self.slack

    def __str__(self) -> str:
        mark = "" if self.is_within else "  <--"
        return (
            f"{self.name:16} netem {self.theirs:9.4f}  ours {self.ours:9.4f}  "
            f"error {self.error:.4f}  floor {self.slack:.4f}{mark}"
        )


def compared(
    theirs: Crossing, ours: Crossing, bare: Crossing, quantiles: tuple[float, ...]
) -> list[Row]:
    """Loss, burst length, overtaking, and quantiles of the delay in ms.

    bare: a crossing of the same kernel without netem. A delay that a timer makes is longer by how
    late timers were, and by the crossing itself. Both are laid over our delays, and what this adds
    to a quantile is the floor of the method there.
    """
    rows = [_row("loss", *(_share(c.lost) for c in (theirs, ours)))]
    if theirs.lost.any() and ours.lost.any():
        rows.append(_row("burst length", *(_mean_burst(c.lost) for c in (theirs, ours))))
    rows.append(_row("overtaken", *(_share(_overtaken(c)) for c in (theirs, ours))))
    draw = np.random.default_rng(1)
    noise = sum(draw.choice(x, len(ours.delays)) for x in (theirs.late, bare.delays))
    seen = ours.delays + noise
    for q in quantiles:
        parts = (_quantile(c.delays, q) for c in (theirs, ours))
        rows.append(_row(f"delay {100 * q:g} %", *parts, slack=_quantile(seen, q)[0]))
    return rows


def _row(
    name: str, theirs: tuple[float, float], ours: tuple[float, float], slack: float = math.nan
) -> Row:
    added = 0.0 if math.isnan(slack) else slack - ours[0]
    return Row(name, theirs[0], ours[0], math.hypot(theirs[1], ours[1]), added)


def _share(are: NDArray[np.bool_]) -> tuple[float, float]:
    """A share and its standard error, from batch means."""
    means = are[: len(are) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    return float(are.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def _mean_burst(lost: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean length of runs of losses, which are independent of each other in all chains here."""
    edges = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return float(lengths.mean()), float(lengths.std(ddof=1) / math.sqrt(len(lengths)))


def _overtaken(crossing: Crossing) -> NDArray[np.bool_]:
    """Of what arrived, in order of sending: whether something sent later was there before."""
    arrived = crossing.arrived[~crossing.lost]
    earliest_after = np.minimum.accumulate(arrived[::-1])[::-1]
    return np.r_[earliest_after[1:] < arrived[:-1], False]


def _quantile(delays: Ints, q: float) -> tuple[float, float]:
    """An order statistic in ms; the error is half the width between those one standard deviation of
    a binomial count to either side, whatever the distribution.
    """
    ordered: Any = np.sort(delays) / MS
    place, spread = q * len(ordered), math.sqrt(len(ordered) * q * (1 - q))
    low, at, high = (
        float(ordered[min(max(int(p), 0), len(ordered) - 1)])
        for p in (place - spread, place, place + spread)
    )
    return at, (high - low) / 2
