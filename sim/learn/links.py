"""The network's links in a batch: the same draws, so the same losses and arrivals as in a run.

What a link does is `broker.links`: second copies, cut, outages, loss, bursts, damage, latency
floor, jitter, expiry, with Philox blocks keyed by (seed, episode, source, target, topic) and
counted by the message's number on its way, the hop and the copy, and those of the chains behind
bursts (`broker.bursts`). Here all episodes of the batch and all ways of a topic are one array.
Absent on purpose: all in which messages meet each other, as in the queues of finite rates, and
radio, whose reach depends on where agents will be; the kernel rollout has it (`coupled`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from scipy.special import ndtri

from broker.bursts import burst_losses, chains
from broker.jitters import KINDS, jitters, tables
from broker.links import COPY, COPY_AND_DAMAGE, LOSS_AND_JITTER
from broker.outages import are_out, outage_sets
from sim.errors import BoundError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.arrays import Array, Arrays
from sim.learn.course import Course
from sim.prepare import Prepared
from sim.rng import key_of, uniforms, uniforms_torch
from sim.scenario.link import LinkValues
from sim.scenario.topology import uses_radio
from sim.units import NEVER, duration_ns

MODES: Final = ("ideal", "scenario")
_RANGES: Final = ("loss", "latency")
_FLOATS: Final = ("a", "b", "loss", "duplicate", "corrupt")
_INTEGERS: Final = (
    "floor", "kind", "cut", "chain", "is_own_floor", "is_own_loss", "expiry", "outages", "checked",
)  # fmt: skip
Start: TypeAlias = tuple[int, int]
"""What an episode follows from: seed and number."""


@dataclass(frozen=True)
class LinkMode:
    """How links are in training. loss, latency_ns: (low, high) of what is drawn per episode.

    ideal: nothing is lost or noisy, and everything is there at the receiver's next decision.
    """

    is_ideal: bool = False
    loss: tuple[float, float] | None = None
    latency_ns: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """For people."""
        if self.is_ideal:
            return "ideal"
        return "scenario" if self.loss is None and self.latency_ns is None else "randomised"

    @property
    def plain(self) -> str | dict[str, Any]:
        """What `link_mode` makes this of again."""
        if self.is_ideal:
            return "ideal"
        found: dict[str, Any] = {}
        if self.loss is not None:
            found["loss"] = list(self.loss)
        if self.latency_ns is not None:
            found["latency"] = [f"{latency}ns" for latency in self.latency_ns]
        return found or "scenario"

    def drawn(self, seed: int, episode: int) -> LinkValues:
        """What every link of an episode gets in place of its own loss and latency (1 ns or more).

        Order: keyed by (seed, "links", episode), so a batch and a kernel draw the same.
        """
        key = np.array([key_of(seed, "links", episode)], dtype=np.uint64)
        zero = np.zeros(1, dtype=np.uint64)
        first, second = uniforms(key, zero, 0, zero)[:, 0].tolist()
        loss = latency = None
        if self.loss is not None:
            loss = self.loss[0] + (self.loss[1] - self.loss[0]) * first
        if self.latency_ns is not None:
            low, high = self.latency_ns
            latency = max(round(low + (high - low) * second), 1)
        return LinkValues(loss_probability=loss, latency_ns=latency)


def link_mode(links: str | Mapping[str, Any] | LinkMode) -> LinkMode:
    """From `ideal`, `scenario`, or {loss: [low, high], latency: [low, high]}.

    Raises: UnknownKeyError, BoundError.
    """
    if isinstance(links, LinkMode):
        return links
    if isinstance(links, str):
        if links not in MODES:
            raise UnknownKeyError(
                f"links: there is no mode {links!r}; {did_you_mean(links, MODES)}"
            )
        return LinkMode(is_ideal=links == "ideal")
    for name in links:
        if name not in _RANGES:
            raise UnknownKeyError(f"links: no key {name!r}; {did_you_mean(str(name), _RANGES)}")
    loss, latency = links.get("loss"), links.get("latency")
    return LinkMode(
        loss=None if loss is None else _range("loss", loss, _fraction),
        latency_ns=None if latency is None else _range("latency", latency, duration_ns),
    )


def _range(name: str, given: Any, read: Any) -> tuple[Any, Any]:
    try:
        low, high = (read(value) for value in given)
    except (TypeError, ValueError) as error:
        raise BoundError(f"links.{name}: expected [low, high], found {given!r}: {error}") from None
    if not 0 <= low <= high or (name == "loss" and high > 1):
        raise BoundError(f"links.{name}: expected low <= high within bounds, found {given!r}")
    return low, high


def _fraction(value: Any) -> float:
    text = str(value).strip()
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def coupled(prepared: Prepared) -> str:
    """Why links do more than a batch can say, by the first of them or fault; "" if they do not."""
    specs, values = prepared.table.specs, [f.values for f in prepared.faults]
    if any(np.isfinite(spec.rate_bytes_per_s) for spec in specs):
        return "links have a finite rate"
    if any(spec.order == "keep" for spec in specs):
        return "links keep the order of messages"
    if prepared.scenario.network.medium is not None:
        return "senders share a medium"
    if any(v.rate_bytes_per_s is not None for v in values):
        return "a fault gives links a finite rate"
    if any(v.order == "keep" for v in values):
        return "a fault keeps the order of messages"
    return "links reach by radio" if uses_radio(prepared.table, prepared.faults) else ""


class Ways:
    """The ways of one topic, from every sender to every receiver: hops, and each hop's link by era.

    Shapes: tables [E, R, S, H]; H hops of the longest way; `is_hop` and `_link`, the place of a hop
            in `links`, [R, S, H]; `is_apart` [E, R, S]. A way that does not exist has no hops and
            loses everything.
    links:  the ends of the directed links with bursts in time in any era, by name.
    copies: the hops at which any link makes second copies.
    """

    def __init__(
        self, course: Course, receivers: Sequence[str], senders: Sequence[str], arrays: Arrays
    ) -> None:
        table = course.eras[0].network.table
        index = {name: i for i, name in enumerate(table.names)}
        ends = [[(index[s], index[r]) for s in senders] for r in receivers]
        routes = [[_route(table, *pair) for pair in row] for row in ends]
        shape = (len(receivers), len(senders), max(len(w) for row in routes for w in row) or 1)
        columns = {name: np.zeros((len(course.eras), *shape)) for name in _FLOATS}
        for name in _INTEGERS:
            columns[name] = np.zeros((len(course.eras), *shape), dtype=np.int64)
        is_hop = np.zeros(shape, dtype=bool)
        is_apart = np.zeros((len(course.eras), *shape[:2]), dtype=bool)
        link = np.zeros(shape, dtype=np.int64)
        bursts, measured, outages = chains(), tables(), outage_sets()
        places: dict[tuple[str, str], int] = {}
        for e, era in enumerate(course.eras):
            for r, s in np.ndindex(*shape[:2]):
                is_apart[e, r, s] = era.is_apart(*ends[r][s])
                for h, hop in enumerate(routes[r][s]):
                    spec, is_cut = era.link(*hop)
                    is_hop[r, s, h] = True
                    at = (e, r, s, h)
                    columns["floor"][at], columns["kind"][at] = spec.floor_ns, KINDS[spec.jitter]
                    a = measured.number(spec.table) if spec.table else spec.a_ns
                    columns["a"][at], columns["b"][at] = a, spec.b
                    columns["loss"][at], columns["cut"][at] = spec.loss_probability, is_cut
                    columns["duplicate"][at], columns["corrupt"][at] = spec.duplicate, spec.corrupt
                    columns["expiry"][at] = spec.expiry_ns
                    columns["checked"][at] = spec.integrity == "on"
                    columns["outages"][at] = outages.number(spec.outages)
                    columns["chain"][at] = bursts.number(spec.burst)
                    if spec.burst.length_ns:
                        names = table.names[hop[0]], table.names[hop[1]]
                        link[r, s, h] = places.setdefault(names, len(places))
                    own = table.spec_of(*hop)
                    assert own is not None
                    columns["is_own_floor"][at] = spec.floor_ns == own.floor_ns
                    columns["is_own_loss"][at] = spec.loss_probability == own.loss_probability
        self.kinds = set(np.unique(columns["kind"][:, is_hop]).tolist())
        self.is_lossy = bool(columns["loss"].any())
        self.has_bursts = bool(columns["chain"].any())
        self.copies = np.flatnonzero(columns["duplicate"].any(axis=(0, 1, 2))).tolist()
        self._has_damage = bool(columns["corrupt"].any())
        self._has_outages = bool(columns["outages"].any())
        self._has_expiry = bool((columns["expiry"][:, is_hop] < NEVER).any())
        self.links = tuple(places)
        self.hops = shape[2]
        self._is_plain = len(course.eras) == 1
        self._begins = arrays.put(np.array([era.begins_ns for era in course.eras]))
        self._columns = {name: arrays.put(column) for name, column in columns.items()}
        self._is_hop, self._is_apart = arrays.put(is_hop), arrays.put(is_apart)
        self._link = arrays.put(link)
        self._chains, self._tables, self._outages = (
            {name: arrays.put(column) for name, column in kept.columns.items()}
            for kept in (bursts, measured, outages)
        )
        self._rows = arrays.put(np.arange(shape[0])[:, None] + 0 * np.arange(shape[1]))
        self._cols = arrays.put(0 * np.arange(shape[0])[:, None] + np.arange(shape[1]))
        self._arrays = arrays

    def needs_draws(self, drawn: Mapping[str, Array]) -> bool:
        """Whether anything random happens on these ways."""
        is_lossy = self.is_lossy or self.has_bursts or self._has_damage or "loss" in drawn
        return is_lossy or bool(self.copies) or bool(self.kinds - {0, 1})

    def cross(
        self, keys: Array | None, serials: Array, sent: Array, drawn: Mapping[str, Array],
        clocks: Array | None = None, copied: int = -1,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """Arrival times, which messages are lost, and which of the others cannot be read.

        Shapes: keys, serials, sent [B, R, S], clocks (keys of `links`) [B, L] -> int64 [B, R, S],
                bool [B, R, S], bool [B, R, S].
        drawn:  per copy, [B, 1, 1]: the `loss` and `floor` that replace every link's own; what a
                fault gives a link, it keeps.
        copied: the hop at which the second copies are made that this is about; lost is then what
                was not copied too. -1: the messages themselves.
        """
        xp = array_namespace(sent)
        now, lost = sent, serials < 0
        is_damaged = lost
        for hop in range(self.hops):
            link, is_apart = self._links_at(now, hop)
            is_hop = self._is_hop[..., hop][None]
            number = 0 if hop < copied else copied + 1
            if hop == copied:
                first = self._draw(keys, serials, hop, COPY_AND_DAMAGE)[0]
                lost = lost | ~(is_hop & (first < link["duplicate"]))
            if self._has_outages:
                lost = lost | (is_hop & are_out(self._outages, link["outages"], now))
            lost = lost | (is_hop & ((link["cut"] > 0) | is_apart))
            if hop == 0:
                lost = lost | ~is_hop
            floor, loss = (
                xp.where(link[f"is_own_{name}"] > 0, drawn[name], link[name])
                if name in drawn
                else link[name]
                for name in ("floor", "loss")
            )
            arrival = now + floor
            if keys is not None:
                word = hop + COPY * number
                first, second = self._draw(keys, serials, word)
                if self.has_bursts:
                    burst = self._bursts(xp, link["chain"], keys, clocks, serials, now, hop)
                    loss = loss + (1.0 - loss) * burst
                lost = lost | (is_hop & (first < loss))
                arrival = arrival + self._jitter(xp, link, second)
                if self._has_damage:
                    second = self._draw(keys, serials, word, COPY_AND_DAMAGE)[1]
                    is_hit = is_hop & (second < link["corrupt"])
                    lost = lost | (is_hit & (link["checked"] > 0))
                    is_damaged = is_damaged | is_hit
            elif 1 in self.kinds:
                arrival = arrival + self._jitter(xp, link, 0.0)
            if self._has_expiry:
                lost = lost | (is_hop & (arrival - sent > link["expiry"]))
            now = xp.where(is_hop, arrival, now) if self.hops > 1 else arrival
        return now, lost, is_damaged & ~lost

    def _links_at(self, now: Array, hop: int) -> tuple[dict[str, Array], Array]:
        """Parameters of each message's hop as it begins. Shapes: [B or 1, R, S]."""
        columns = self._columns
        if self._is_plain:
            return {n: c[:, :, :, hop] for n, c in columns.items()}, self._is_apart
        if self._arrays.is_numpy:
            era: Any = np.searchsorted(self._begins, now, side="right") - 1
        else:
            import torch

            era = torch.searchsorted(self._begins, now.contiguous(), right=True) - 1
        at = (era, self._rows[None], self._cols[None])
        return {n: c[..., hop][at] for n, c in columns.items()}, self._is_apart[at]

    def _draw(
        self, keys: Array, serials: Array, hop: int, stage: int = LOSS_AND_JITTER
    ) -> tuple[Array, Array]:
        if not self._arrays.is_numpy:
            return uniforms_torch(keys, serials, stage, hop)
        shape = keys.shape
        counters = serials.reshape(-1).astype(np.uint64)
        drawn = uniforms(keys.reshape(-1), counters, stage, np.full(len(counters), hop, np.uint64))
        return drawn[0].reshape(shape), drawn[1].reshape(shape)

    def _bursts(
        self, xp: Any, chain: Array, keys: Array, clocks: Array | None, serials: Array, now: Array,
        hop: int,
    ) -> Array:  # fmt: skip
        """As `broker.links.Links._bursts`. Shapes: [B, R, S], chain of it or [1, R, S]."""
        own = 0 * keys if clocks is None else clocks[:, self._link[..., hop]]
        each = (chain, keys, own, serials, now, 0 * serials + hop)
        flat = (xp.broadcast_to(column, serials.shape).reshape(-1) for column in each)
        return burst_losses(xp, self._chains, *flat).reshape(serials.shape)

    def _jitter(self, xp: Any, link: Mapping[str, Array], uniform: Array | float) -> Array:
        """As `broker.links.Links._jitter`, in whole ns."""
        columns = (link["kind"], link["a"], link["b"], self._tables, uniform)
        return xp.astype(jitters(xp, self.kinds, *columns, self._normal), xp.int64)

    def _normal(self, uniform: Array) -> Array:
        if self._arrays.is_numpy:
            return ndtri(uniform)
        import torch

        return torch.special.ndtri(uniform)


def _route(table: Any, source: int, target: int) -> list[tuple[int, int]]:
    """The hops from one node to another; none if there is no way, or no distance."""
    hops, at = [], source
    while at != target:
        onward = table.next_hop(at, target)
        if onward < 0:
            return []
        hops.append((at, onward))
        at = onward
    return hops


def way_keys(
    starts: Iterable[Start],
    receivers: Sequence[str],
    senders: Sequence[str],
    topic: str,
    is_direct: NDArray[np.bool_],
) -> NDArray[np.uint64]:
    """Keys of a topic's ways, as `broker.network` makes them.

    Shapes: is_direct bool [R, S] -> [m, R, S].

    Cost: about 1 us per way and episode.
    """
    tails = [
        (sender, receiver, topic, *(("direct",) if is_direct[r, s] else ()))
        for r, receiver in enumerate(receivers)
        for s, sender in enumerate(senders)
    ]
    return _keys("link", starts, tails).reshape(-1, len(receivers), len(senders))


def clock_keys(starts: Iterable[Start], links: Sequence[tuple[str, str]]) -> NDArray[np.uint64]:
    """Keys of links' bursts in time, as `broker.network` makes them. Shapes: -> [m, L]."""
    return _keys("burst", starts, links)


def _keys(
    purpose: str, starts: Iterable[Start], names: Sequence[Sequence[str]]
) -> NDArray[np.uint64]:
    """`key_of` each start and names, with the hash of what they share made once. -> [m, n]."""
    tails = ["\x1f".join(("", *each)).encode() for each in names]
    found = bytearray()
    for seed, episode in starts:
        head = hashlib.blake2b(f"{seed}\x1f{purpose}\x1f{episode}".encode(), digest_size=8)
        for tail in tails:
            one = head.copy()
            one.update(tail)
            found += one.digest()
    return np.frombuffer(bytes(found), dtype="<u8").astype(np.uint64).reshape(-1, len(tails))
