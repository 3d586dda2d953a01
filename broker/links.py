"""What a link does to the messages that enter it, for all links of a window at once.

A link is a pipeline of stages: copies, cut, outages, radio, loss, bursts, damage, queue and
bandwidth, latency, order, expiry. Every random number is keyed by (origin, destination, topic,
serial on that topic, hop and copy), or by (link, slot of time) if what it decides strikes all that
is on the link, so that no other message, link or order of calls can shift it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from broker.bursts import Known, burst_losses, chains
from broker.jitters import KINDS, jitters, tables
from broker.ledger import BURST, CORRUPT, EXPIRED, LOSS, OUTAGE, PARTITION, QUEUE
from broker.outages import are_out, outage_sets
from broker.radio import radios, unheard
from sim.rng import uniform_pair, uniforms, uniforms_of_stages
from sim.scenario.link import LinkSpec
from sim.units import NEVER

LOSS_AND_JITTER: Final = 0
"""Stage number of the one Philox block that gives both loss and jitter."""
COPY_AND_DAMAGE: Final = 2
"""Stage number of the block that decides on a second copy, and on changed bytes."""
RADIO: Final = 4
"""Stage number of the block of a message's fading; also of a pair's shadowing, by its own key."""
COPY: Final = 1 << 16
"""What a second copy adds to the number of the hop in its counters, per link of its way."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_COLUMNS: Final = {
    "floor": np.int64, "kind": np.int8, "a": np.float64, "b": np.float64, "loss": np.float64,
    "chain": np.int64, "clock": np.uint64, "rate": np.float64, "queue": np.int64, "is_cut": bool,
    "free_at": np.int64, "keeps": bool, "last": np.int64, "duplicate": np.float64,
    "corrupt": np.float64, "is_checked": bool, "expiry": np.int64, "outages": np.int64,
    "radio": np.int64, "shadow": np.float64,
}  # fmt: skip


class Links:
    """The parameters of the links in use, as columns; a link is a row."""

    def __init__(self) -> None:
        self._of: dict[str, NDArray[Any]] = {n: np.zeros(0, t) for n, t in _COLUMNS.items()}
        self._chains = chains()
        self._known = Known()
        self._tables = tables()
        self._outages = outage_sets()
        self._radios = radios()
        self._began = 0
        self._survey()

    def __len__(self) -> int:
        return len(self._of["floor"])

    def add(
        self, specs: Iterable[LinkSpec], cuts: Iterable[bool], clocks: Iterable[int] = (),
        shadows: Iterable[int] = (),
    ) -> None:  # fmt: skip
        """Appends rows. clocks: the keys of their bursts in time, needed where they have any;
        shadows: those of their radio's shadowing.
        """
        found, n = list(specs), len(self)
        grown = n + len(found)
        for name, old in self._of.items():
            column = self._of[name] = np.zeros(grown, dtype=old.dtype)
            column[:n] = old
        self.replace(range(n, grown), found, cuts, clocks, shadows)

    def replace(
        self,
        rows: Iterable[int],
        specs: Iterable[LinkSpec],
        cuts: Iterable[bool],
        clocks: Iterable[int] = (),
        shadows: Iterable[int] = (),
    ) -> None:
        """New parameters for existing rows; what is in their queues stays there."""
        keys, others = (itertools.chain(k, itertools.repeat(0)) for k in (clocks, shadows))
        for row, spec, cut in zip(rows, specs, cuts, strict=True):
            self._set(row, spec, cut, next(keys), next(others))
        self._survey()

    def _set(self, row: int, spec: LinkSpec, is_cut: bool, clock: int, shadow: int) -> None:
        values = {
            "floor": spec.floor_ns,
            "kind": KINDS[spec.jitter],
            "a": self._tables.number(spec.table) if spec.table else spec.a_ns,
            "b": spec.b,
            "loss": spec.loss_probability,
            "chain": self._chains.number(spec.burst),
            "clock": clock,
            "rate": spec.rate_bytes_per_s,
            "queue": spec.queue_bytes,
            "is_cut": is_cut,
            "keeps": spec.order == "keep",
            "duplicate": spec.duplicate,
            "corrupt": spec.corrupt,
            "is_checked": spec.integrity == "on",
            "expiry": spec.expiry_ns,
            "outages": self._outages.number(spec.outages),
            "radio": self._radios.number(spec.radio),
            "shadow": ndtri(uniform_pair(shadow, 0, RADIO, 0)[0]) if shadow else 0.0,
        }
        for name, value in values.items():
            self._of[name][row] = value

    def _survey(self) -> None:
        """Which stages any link has, so that the others cost nothing."""
        of = self._of
        self._has_cuts = bool(of["is_cut"].any())
        self._has_outages = bool(of["outages"].any())
        self._kinds = set(of["kind"].tolist())
        self._has_bursts = bool(of["chain"].any())
        self._has_draws = bool(of["loss"].any()) or self._has_bursts or bool(self._kinds - {0, 1})
        self.has_damage = bool(of["corrupt"].any())
        self._has_rates = bool(np.isfinite(of["rate"]).any())
        self._has_order = bool(of["keeps"].any())
        self._has_expiry = bool((of["expiry"] < NEVER).any())
        self.has_radio = bool(of["radio"].any())
        self.has_copies = bool(of["duplicate"].any())
        stages = {
            LOSS_AND_JITTER: self._has_draws,
            COPY_AND_DAMAGE: self.has_damage,
            RADIO: self.has_radio,
        }
        self._stages = [stage for stage, is_used in stages.items() if is_used]

    def copied(
        self, rows: NDArray[np.intp],
        keys: NDArray[np.uint64], counters: NDArray[np.uint64], hops: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Of which messages that are to enter their links a second copy goes along; a copy itself
        is not copied again. Shapes: as `offer`.
        """
        drawn = uniforms(keys, counters, COPY_AND_DAMAGE, hops)[0]
        found: NDArray[np.bool_] = (drawn < self._of["duplicate"][rows]) & (hops < COPY)
        return found

    def offer(
        self, rows: NDArray[np.intp], times: Ints, lengths: Ints,
        keys: NDArray[np.uint64], counters: NDArray[np.uint64], hops: NDArray[np.uint64],
        sent: Ints | None = None, distances: Floats | None = None,
    ) -> tuple[Ints, Ints]:  # fmt: skip
        """Arrival times and fates of messages entering their links, sorted by time.

        Shapes: all [n]. Fate 0 is in flight; below, it is so with bytes changed; above, it is the
                reason of the drop.
        Units:  times in ns, lengths in bytes. sent: when each left its sender, if not just now.
                distances: between the ends of their links in m, needed for radio.
                hops: how many were before, and `COPY` times the number of the copy.
        """
        of = self._of
        fates = np.zeros(len(rows), dtype=np.int64)
        arrivals = times + of["floor"][rows]
        drawn = uniforms_of_stages(keys, counters, self._stages, hops) if self._stages else ()
        by_stage = dict(zip(self._stages, drawn, strict=True))
        if self._has_draws:
            draws = by_stage[LOSS_AND_JITTER]
            loss = of["loss"][rows]
            if self._has_bursts:
                burst = self._bursts(rows, times, keys, counters, hops)
                # One draw for both: lost by either with probability 1 - (1 - loss) (1 - burst).
                fates[draws[0] < loss + (1.0 - loss) * burst] = BURST
            fates[draws[0] < loss] = LOSS
            arrivals += self._jitter(rows, draws[1])
        elif 1 in self._kinds:
            arrivals += self._jitter(rows, np.zeros(len(rows)))
        if self.has_damage:
            is_hit = (by_stage[COPY_AND_DAMAGE][1] < of["corrupt"][rows]) & (fates == 0)
            fates[is_hit] = np.where(of["is_checked"][rows], CORRUPT, -CORRUPT)[is_hit]
        if self.has_radio and distances is not None:
            radio, shadow = of["radio"][rows], of["shadow"][rows]
            fading = by_stage[RADIO][0]
            why = unheard(self._radios.columns, radio, distances, shadow, fading)
            fates = np.where(why > 0, why, fates)
        if self._has_outages:
            out = are_out(self._outages.columns, of["outages"][rows], times - self._began)
            fates[out] = OUTAGE
        if self._has_cuts:
            fates[of["is_cut"][rows]] = PARTITION
        if self._has_rates:
            arrivals += self._queueing(rows, times, lengths, fates)
        if self._has_order:
            self._keep_order(rows, arrivals, fates)
        if self._has_expiry:
            age = arrivals - (times if sent is None else sent)
            fates[(age > of["expiry"][rows]) & (fates <= 0)] = EXPIRED
        return arrivals, fates

    def _bursts(
        self, rows: NDArray[np.intp], times: Ints,
        keys: NDArray[np.uint64], counters: NDArray[np.uint64], hops: NDArray[np.uint64],
    ) -> Floats:  # fmt: skip
        """The probability that each message is lost in a burst, by the state of its chain."""
        found: Floats = burst_losses(
            np, self._chains.columns, self._of["chain"][rows], keys, self._of["clock"][rows],
            counters.astype(np.int64), times - self._began, (hops % COPY).astype(np.int64),
            self._known,
        )  # fmt: skip
        return found

    def _jitter(self, rows: NDArray[np.intp], uniform: Floats) -> Ints:
        of, measured = self._of, self._tables.columns
        kind, a, b = of["kind"][rows], of["a"][rows], of["b"][rows]
        found: Floats = jitters(np, self._kinds, kind, a, b, measured, uniform, ndtri)
        return found.astype(np.int64)

    def _queueing(self, rows: NDArray[np.intp], times: Ints, lengths: Ints, fates: Ints) -> Ints:
        """Waiting and serialisation on links of finite rate; marks what finds no room.

        First come, first served: departure = max(arrival, previous departure) + length / rate
        (Lindley 1952). Messages that share a link are taken one after another, different links
        together. A lost message used the link all the same; one that is cut off did not.
        """
        rate, free_at = self._of["rate"], self._of["free_at"]
        delay = np.zeros(len(rows), dtype=np.int64)
        is_off = (fates == PARTITION) | (fates == OUTAGE)
        queued = np.flatnonzero(np.isfinite(rate[rows]) & ~is_off)
        for now in _turns(queued, rows[queued]):
            link = rows[now]
            waiting = np.maximum(free_at[link] - times[now], 0)
            backlog = waiting * 1e-9 * rate[link]
            fits = backlog + lengths[now] <= self._of["queue"][link] + lengths[now] * (waiting == 0)
            service = np.rint(lengths[now] / rate[link] * 1e9).astype(np.int64)
            free_at[link[fits]] = (times[now] + waiting + service)[fits]
            delay[now] = waiting + service
            fates[now[~fits]] = QUEUE
        return delay

    def _keep_order(self, rows: NDArray[np.intp], arrivals: Ints, fates: Ints) -> None:
        """Delays what would arrive before an earlier message of its link until that is there."""
        last = self._of["last"]
        kept = np.flatnonzero(self._of["keeps"][rows] & (fates <= 0))
        for now in _turns(kept, rows[kept]):
            link = rows[now]
            arrivals[now] = last[link] = np.maximum(arrivals[now], last[link])

    def reset(self, now: int = 0) -> None:
        """Empties all queues, at the start of an episode, from which all that is in time counts."""
        self._of["free_at"][:] = 0
        self._of["last"][:] = 0
        self._known.forget()
        self._began = now


def _turns(messages: NDArray[np.intp], links: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The messages in turns: the first of every link, then the second, and so on."""
    if len(messages) < 2:
        return [messages] if len(messages) else []
    by_link = np.argsort(links, kind="stable")
    ordered = links[by_link]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    if len(starts) == len(links):
        return [messages]
    rank = np.arange(len(links)) - np.repeat(starts, np.diff(np.r_[starts, len(links)]))
    turns = np.argsort(rank, kind="stable")
    return np.split(messages[by_link[turns]], np.cumsum(np.bincount(rank))[:-1])
