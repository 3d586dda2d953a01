"""The players of a batch: policies, roles and mechanisms, each called once for all copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import AgentError
from sim.learn.arrays import Array, Arrays, unsigned
from sim.learn.cast import Cast, Clearing, Party, heard_by, own_rounds
from sim.learn.links import Start
from sim.learn.mail import Topic
from sim.rng import key_of, philox, philox_torch
from sim.worlds.world import World

Key = tuple[str, int]
"""A topic, and the width of what is said on it: another width is not understood."""


class Player:
    """A party at work: agents of one group, one policy object (or a side's role).

    Shapes: memory [B * n, m], rows of a copy together; counts int64 [B, n], decisions so far.
    """

    def __init__(self, party: Party, arrays: Arrays, copies: int) -> None:
        self.party, self.policy = party, party.policy
        self.agents = party.agents
        self.n = len(party.agents)
        self.slots = _slice(party.slots)
        self._arrays, self._copies = arrays, copies
        self._initial = arrays.here(party.policy.memory(arrays.xp, copies * self.n))
        self.memory = self._initial
        self.hears: dict[str, tuple[Topic, slice | list[int], Any]] = {}
        self.speaks: dict[str, tuple[Key, list[int], list[int]]] = {}
        self._is_random = bool(getattr(party.policy, "is_random", True))
        self._bases: Array | None = None
        self._counts = arrays.full((copies, self.n), 0, "int64")

    def connect(self, topics: Mapping[Key, Topic], world: World, names: Sequence[str]) -> None:
        """Finds its place on the topics it hears and speaks on."""
        for topic, width in self.policy.hears.items():
            found = topics[topic, width]
            who = heard_by(world, names, self.agents[0], topic)
            if getattr(self.policy, "ignores_absent", False):
                who = tuple(name for name in who if name in found.senders) or who[:1]
            rows = _slice([found.receivers.index(name) for name in self.agents])
            self.hears[topic] = (found, rows, found.slots(who))
        for topic, width in self.policy.speaks.items():
            if (topic, width) in topics:
                senders = topics[topic, width].senders
                speaking = [i for i, name in enumerate(self.agents) if name in senders]
                at = [senders.index(self.agents[i]) for i in speaking]
                self.speaks[topic] = ((topic, width), at, speaking)

    def begin(self, rows: Array, is_begun: Array, starts: Sequence[Start]) -> None:
        """New episodes in some copies. Shapes: rows int64 [m], is_begun bool [B] of the same."""
        self.forget(is_begun[:, None] | self._arrays.full((1, self.n), False, "bool"))
        if self._is_random:
            words = [[key_of(s, "policy", a, e) for a in self.agents] for s, e in starts]
            if self._bases is None:
                zeros = np.zeros((self._copies, self.n), dtype=np.uint64)
                self._bases = self._arrays.put(zeros)
            self._bases[rows] = self._arrays.put(np.array(words, dtype=np.uint64))

    def forget(self, is_new: Array) -> None:
        """Some agents start anew. Shapes: bool [B, n]."""
        xp = self._arrays.xp
        if self.memory.shape[1]:
            self.memory = xp.where(is_new.reshape(-1, 1), self._initial, self.memory)
        self._counts = xp.where(is_new, 0 * self._counts, self._counts)

    def inbox(self, now: Array) -> dict[str, Any]:
        """What it has heard by now."""
        return {
            topic: found.read(rows, slots, now)
            for topic, (found, rows, slots) in self.hears.items()
        }

    def keys(self) -> Array:
        """The keys of its decisions now, as `agents.policy.decision_key`. Shapes: [B * n]."""
        if not self._is_random or self._bases is None:
            return np.uint64(0)
        count, base = self._counts, self._bases
        if self._arrays.is_numpy:
            count, shift, zero = count.astype(np.uint64), np.uint64(32), np.uint64(0)
            low, high, _, _ = philox(
                count & np.uint64(0xFFFFFFFF), count >> shift, zero, zero, base
            )
            return (high << shift | low).reshape(-1)
        zeros = 0 * count
        low, high, _, _ = philox_torch(count & 0xFFFFFFFF, count >> 32, zeros, zeros, base)
        return (high << 32 | low).reshape(-1)

    def took(self, memory: Array, who: Array | None) -> None:
        """After a decision. Shapes: who bool [B, n] decided, or None if all did."""
        xp = self._arrays.xp
        if who is not None and memory.shape[1]:
            memory = xp.where(who.reshape(-1, 1), memory, self.memory)
        self.memory = memory
        if self._is_random:
            self._counts = self._counts + (1 if who is None else who)

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {"memory": self.memory, "bases": self._bases, "counts": self._counts}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self.memory, self._counts = state["memory"], state["counts"]
        self._bases = None if state["bases"] is None else unsigned(state["bases"])


class Outgoing:
    """What is said on the topics at one instant, by all who speak then."""

    def __init__(self, topics: Mapping[Key, Topic], arrays: Arrays, copies: int) -> None:
        self._topics, self._arrays, self._copies = topics, arrays, copies
        self._said: dict[Key, tuple[Array, Array]] = {}

    def add(self, player: Player, outbox: Mapping[str, Array], may: Array | None) -> None:
        """Takes an outbox of a player. Shapes: [B * n, width] each; may bool [B, n].

        Raises: AgentError for a topic the policy does not declare, or another width.
        """
        for topic, values in outbox.items():
            width = player.policy.speaks.get(topic)
            if width is None or values.shape[-1] != width:
                raise AgentError(
                    f"{player.agents[0]} says {values.shape[-1]} numbers on {topic!r}, and "
                    f"declares {width or 'none'} in `speaks`"
                )
            if topic not in player.speaks:
                continue  # nobody hears it
            key, columns, who = player.speaks[topic]
            xp, n = self._arrays.xp, player.n
            values = self._arrays.here(values).reshape(self._copies, n, width)
            spoken = xp.isfinite(values).all(-1)
            if may is not None:
                spoken = spoken & may
            if len(who) < n:
                values, spoken = values[:, who], spoken[:, who]
            self._put(key, columns, values, spoken)

    def _put(self, key: Key, columns: list[int], values: Array, spoken: Array) -> None:
        senders = len(self._topics[key].senders)
        if columns == list(range(senders)):
            self._said[key] = (values, spoken)
            return
        if key not in self._said:
            shape = (self._copies, senders)
            self._said[key] = (
                self._arrays.full((*shape, key[1]), 0.0, "float64"),
                self._arrays.full(shape, False, "bool"),
            )
        self._said[key][0][:, columns] = values
        self._said[key][1][:, columns] = spoken

    def post(
        self, now: Array, delays: Mapping[Key, Array], drawn: Mapping[str, Array],
        is_up: Mapping[Key, Array],
    ) -> None:  # fmt: skip
        """Sends all of it. Shapes: now int64 [B]; per topic delays int64 [S], is_up bool [B, R]."""
        for key, (values, spoken) in self._said.items():
            leaving = now[:, None] + delays[key]
            self._topics[key].post(
                leaving[:, None], values[:, None], spoken[:, None], drawn, is_up.get(key)
            )


class Clerk:
    """A mechanism at work: when it clears, from what, and what it answers."""

    def __init__(self, clearing: Clearing, topics: Mapping[Key, Topic], arrays: Arrays) -> None:
        self.clearing, self._arrays = clearing, arrays
        round_ = clearing.round
        self._offers = topics.get((round_.topic, round_.width))
        self.reply = topics.get((round_.reply, round_.reply_width)) if round_.reply else None
        if self._offers is not None:
            self._slots = self._offers.slots(round_.senders)
        if self.reply is not None:
            senders = list(round_.senders)
            who = [senders.index(r) if r in senders else 0 for r in self.reply.receivers]
            self._who, self._column = who, self.reply.senders.index(clearing.agent)
        self.bases: list[int] = []

    def begin(self, rows: Sequence[int], copies: int, starts: Sequence[Start]) -> None:
        """New episodes in some copies."""
        self.bases = self.bases or [0] * copies
        for row, (seed, episode) in zip(rows, starts, strict=True):
            self.bases[row] = key_of(seed, "mechanism", self.clearing.agent, episode)

    def due(self, now: np.ndarray[Any, Any], dt_ns: int) -> tuple[Any, Any]:
        """The period it clears between now and the next step: its beginning, and when that is.

        Shapes: int64 [B] -> int64 [B] each; the instant is -1 where none is.
        """
        every, deadline = self.clearing.round.every_ns, self.clearing.round.deadline_ns
        begin = -((deadline - now) // every) * every
        when = begin + deadline
        return begin, np.where((begin >= 0) & (when < now + dt_ns), when, -1)

    def clear(self, begin: Array, now: Array, keys: Array, since: Array | None) -> tuple[Any, Any]:
        """Awards [B, n, width] of the round's senders, and who was heard [B, n]."""
        xp, n = self._arrays.xp, len(self.clearing.round.senders)
        bids = self._arrays.full((len(now), n, self.clearing.round.width), 0.0, "float64")
        present = self._arrays.full((len(now), n), False, "bool")
        if self._offers is not None:
            there = self._slots >= 0
            to, come = np.flatnonzero(there).tolist(), self._slots[there].tolist()
            got, is_heard = self._offers.collect(self.clearing.agent, begin, now, since)
            bids[:, to], present[:, to] = got[:, come], is_heard[:, come]
        awards = self._arrays.here(self.clearing.clear(bids, present, keys))
        return xp.asarray(awards, dtype=xp.float64), present

    def answer(
        self, leaving: Array, awards: Array, present: Array, drawn: Mapping[str, Array]
    ) -> None:
        """Tells each that was heard its award. Shapes: leaving int64 [B], present bool [B, n]."""
        if self.reply is None:
            return
        receivers, senders = len(self._who), len(self.reply.senders)
        values = self._arrays.full(
            (len(leaving), receivers, senders, self.reply.width), 0.0, "float64"
        )
        spoken = self._arrays.full(values.shape[:3], False, "bool")
        values[:, :, self._column] = awards[:, self._who]
        spoken[:, :, self._column] = present[:, self._who]
        leave = leaving[:, None, None] + self._arrays.full((1, 1, senders), 0, "int64")
        self.reply.post(leave, values, spoken, drawn)


def decision_keys(base: NDArray[np.uint64], count: NDArray[np.int64]) -> NDArray[np.uint64]:
    """As `agents.policy.decision_key`, of arrays of one shape."""
    number, zero, shift = count.astype(np.uint64), np.uint64(0), np.uint64(32)
    low, high, _, _ = philox(number & np.uint64(0xFFFFFFFF), number >> shift, zero, zero, base)
    found: NDArray[np.uint64] = high << shift | low
    return found


def make_topics(
    cast: Cast, players: Sequence[Player], world: World, names: Sequence[str], arrays: Arrays,
    copies: int,
) -> dict[Key, Topic]:  # fmt: skip
    """Every topic on which messages go, with all who speak on it. Receivers are those that hear it,
    and those to whom it goes unheard: who is spoken to, or subscribes and expects another width.

    Order: of the roster.
    """
    hearers: dict[Key, list[str]] = {}
    speakers: dict[Key, dict[str, tuple[str, ...] | None]] = {}
    for player in players:
        for key in player.policy.hears.items():
            hearers.setdefault(key, []).extend(player.agents)
        for key in player.policy.speaks.items():
            speakers.setdefault(key, {}).update(
                {agent: _receivers(world, agent, key[0]) for agent in player.agents}
            )
    for clearing in cast.clearings:
        round_ = clearing.round
        hearers.setdefault((round_.topic, round_.width), []).append(clearing.agent)
        if round_.reply:
            reply = speakers.setdefault((round_.reply, round_.reply_width), {})
            reply[clearing.agent] = round_.senders
    listeners: dict[str, set[str]] = {}
    for (topic, _), heard_by_all in hearers.items():
        listeners.setdefault(topic, set()).update(heard_by_all)
    rank = {name: i for i, name in enumerate(names)}
    topics = {}
    for key in dict.fromkeys((*hearers, *speakers)):
        said = speakers.get(key, {})
        heard, reached = set(hearers.get(key, ())), set[str]()
        for to in said.values():
            reached.update(listeners.get(key[0], ()) if to is None else to)
        receivers = sorted(heard | reached, key=rank.__getitem__)
        if not receivers:
            continue
        senders = sorted(said, key=rank.__getitem__)
        way = np.zeros((len(receivers), len(senders)), dtype=np.int8)
        for r, s in np.ndindex(*way.shape):
            to = said[senders[s]]
            if receivers[r] != senders[s]:
                way[r, s] = 1 if to is None else 2 if receivers[r] in to else 0
        is_heard = [name in heard for name in receivers]
        topics[key] = Topic(key[0], key[1], receivers, senders, way, is_heard, arrays, copies)
    return topics


def _receivers(world: World, agent: str, topic: str) -> tuple[str, ...] | None:
    """To whom a policy's message goes directly, as `agents.policy.speak`; None: it is published."""
    for round_ in own_rounds(world, agent):
        if round_.topic == topic:
            return (round_.receiver,) if agent in round_.senders else ()
    return None


def _slice(places: Sequence[int]) -> slice | list[int]:
    """Consecutive places as a slice, which copies nothing."""
    first = places[0]
    if list(places) == list(range(first, first + len(places))):
        return slice(first, first + len(places))
    return list(places)
