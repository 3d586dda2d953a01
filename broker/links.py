"""What a link does to the messages that enter it, for all links of a window at once.

A link is a pipeline of stages: cut, loss, bursts, queue and bandwidth, latency. Every random number
is keyed by (origin, destination, topic, serial on that topic, hop), or by (link, slot of time) if
what it decides strikes all that is on the link, so that no other message, link or order of calls
can shift it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from broker.bursts import Chains, burst_losses
from broker.ledger import BURST, LOSS, PARTITION, QUEUE
from sim.rng import uniforms
from sim.scenario.schema import LinkSpec

KINDS: Final = {
    "none": 0,
    "constant": 1,
    "uniform": 2,
    "exponential": 3,
    "normal": 4,
    "lognormal": 5,
}
LOSS_AND_JITTER: Final = 0
"""Stage number of the one Philox block that gives both loss and jitter."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Links:
    """The parameters of the links in use, as columns; a link is a row."""

    def __init__(self) -> None:
        self._floor = np.zeros(0, dtype=np.int64)
        self._kind = np.zeros(0, dtype=np.int8)
        self._a = np.zeros(0)
        self._b = np.zeros(0)
        self._loss = np.zeros(0)
        self._chain = np.zeros(0, dtype=np.int64)
        self._clock = np.zeros(0, dtype=np.uint64)
        self._rate = np.zeros(0)
        self._queue = np.zeros(0, dtype=np.int64)
        self._is_cut = np.zeros(0, dtype=bool)
        self._free_at = np.zeros(0, dtype=np.int64)
        self._chains = Chains()
        self._began = 0
        self._survey()

    def __len__(self) -> int:
        return len(self._floor)

    def add(
        self, specs: Iterable[LinkSpec], cuts: Iterable[bool], clocks: Iterable[int] = ()
    ) -> None:
        """Appends rows. clocks: the keys of their bursts in time, needed where they have any."""
        found, n = list(specs), len(self)
        grown = n + len(found)
        for name in (
            "_floor",
            "_kind",
            "_a",
            "_b",
            "_loss",
            "_chain",
            "_clock",
            "_rate",
            "_queue",
            "_is_cut",
            "_free_at",
        ):
            old = getattr(self, name)
            column = np.zeros(grown, dtype=old.dtype)
            column[:n] = old
            setattr(self, name, column)
        self.replace(range(n, grown), found, cuts, clocks)

    def replace(
        self,
        rows: Iterable[int],
        specs: Iterable[LinkSpec],
        cuts: Iterable[bool],
        clocks: Iterable[int] = (),
    ) -> None:
        """New parameters for existing rows; what is in their queues stays there."""
        keys = itertools.chain(clocks, itertools.repeat(0))
        for row, spec, cut in zip(rows, specs, cuts, strict=True):
            self._set(row, spec, cut, next(keys))
        self._survey()

    def _set(self, row: int, spec: LinkSpec, is_cut: bool, clock: int) -> None:
        self._floor[row] = spec.floor_ns
        self._kind[row] = KINDS[spec.jitter]
        self._a[row] = spec.a_ns
        self._b[row] = spec.b
        self._loss[row] = spec.loss_probability
        self._chain[row] = self._chains.number(spec.burst)
        self._clock[row] = clock
        self._rate[row] = spec.rate_bytes_per_s
        self._queue[row] = spec.queue_bytes
        self._is_cut[row] = is_cut

    def _survey(self) -> None:
        """Which stages any link has, so that the others cost nothing."""
        self._has_cuts = bool(self._is_cut.any())
        self._kinds = set(self._kind.tolist())
        self._has_bursts = bool(self._chain.any())
        self._has_draws = bool(self._loss.any()) or self._has_bursts or bool(self._kinds - {0, 1})
        self._has_rates = bool(np.isfinite(self._rate).any())

    def offer(
        self, rows: NDArray[np.intp], times: Ints, lengths: Ints,
        keys: NDArray[np.uint64], counters: NDArray[np.uint64], hops: NDArray[np.uint64],
    ) -> tuple[Ints, Ints]:  # fmt: skip
        """Arrival times and fates of messages entering their links, sorted by time.

        Shapes: all [n]. Fate 0 is in flight, otherwise the reason of the drop.
        Units:  times in ns, lengths in bytes.
        """
        fates = np.zeros(len(rows), dtype=np.int64)
        arrivals = times + self._floor[rows]
        if self._has_draws:
            draws = uniforms(keys, counters, LOSS_AND_JITTER, hops)
            loss = self._loss[rows]
            if self._has_bursts:
                burst = self._bursts(rows, times, keys, counters, hops)
                # One draw for both: lost by either with probability 1 - (1 - loss) (1 - burst).
                fates[draws[0] < loss + (1.0 - loss) * burst] = BURST
            fates[draws[0] < loss] = LOSS
            arrivals += self._jitter(rows, draws[1])
        elif 1 in self._kinds:
            arrivals += self._jitter(rows, np.zeros(len(rows)))
        if self._has_cuts:
            fates[self._is_cut[rows]] = PARTITION
        if self._has_rates:
            arrivals += self._queueing(rows, times, lengths, fates)
        return arrivals, fates

    def _bursts(
        self, rows: NDArray[np.intp], times: Ints,
        keys: NDArray[np.uint64], counters: NDArray[np.uint64], hops: NDArray[np.uint64],
    ) -> Floats:  # fmt: skip
        """The probability that each message is lost in a burst, by the state of its chain."""
        found: Floats = burst_losses(
            np, self._chains.columns, self._chain[rows], keys, self._clock[rows],
            counters.astype(np.int64), times - self._began, hops.astype(np.int64),
        )  # fmt: skip
        return found

    def _jitter(self, rows: NDArray[np.intp], uniform: Floats) -> Ints:
        """The random part of the latency by inversion, in ns, never negative."""
        kinds, a, b = self._kind[rows], self._a[rows], self._b[rows]
        extra = np.where(kinds == 1, a, 0.0)
        for kind in self._kinds - {0, 1}:
            if kind == 2:
                drawn = a * uniform
            elif kind == 3:
                drawn = -a * np.log(uniform)
            elif kind == 4:
                drawn = np.maximum(a + b * ndtri(uniform), 0.0)
            else:
                drawn = a * np.exp(np.minimum(b * ndtri(uniform), 50.0))
            extra = drawn if self._kinds == {kind} else np.where(kinds == kind, drawn, extra)
        return np.rint(np.minimum(extra, 4e18)).astype(np.int64)

    def _queueing(self, rows: NDArray[np.intp], times: Ints, lengths: Ints, fates: Ints) -> Ints:
        """Waiting and serialisation on links of finite rate; marks what finds no room.

        First come, first served: departure = max(arrival, previous departure) + length / rate
        (Lindley 1952). Messages that share a link are taken one after another, different links
        together. A lost message used the link all the same; a cut one did not.
        """
        delay = np.zeros(len(rows), dtype=np.int64)
        queued = np.flatnonzero(np.isfinite(self._rate[rows]) & (fates != PARTITION))
        for now in _turns(queued, rows[queued]):
            link = rows[now]
            waiting = np.maximum(self._free_at[link] - times[now], 0)
            backlog = waiting * 1e-9 * self._rate[link]
            fits = backlog + lengths[now] <= self._queue[link] + lengths[now] * (waiting == 0)
            service = np.rint(lengths[now] / self._rate[link] * 1e9).astype(np.int64)
            self._free_at[link[fits]] = (times[now] + waiting + service)[fits]
            delay[now] = waiting + service
            fates[now[~fits]] = QUEUE
        return delay

    def reset(self, now: int = 0) -> None:
        """Empties all queues, at the start of an episode, from which bursts in time count on."""
        self._free_at[:] = 0
        self._began = now


def _turns(messages: NDArray[np.intp], links: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The messages in turns: the first of every link, then the second, and so on."""
    if len(messages) < 2:
        return [messages] if len(messages) else []
    by_link = np.argsort(links, kind="stable")
    ordered = links[by_link]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(links)) - np.repeat(starts, np.diff(np.r_[starts, len(links)]))
    turns = np.argsort(rank, kind="stable")
    return np.split(messages[by_link[turns]], np.cumsum(np.bincount(rank))[:-1])
