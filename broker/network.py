"""Topology, routing and everything in flight, as columns.

A message advances one hop at a time: what arrives at a relay is merged in time order with what is
newly sent, so that queues at relays are right. A message to be sent later (an agent with a
processing time) waits at its own node like one that arrives there.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.damage import damaged
from broker.ledger import BUDGET, COLLISION, DOWN, EPISODE, PARTITION, UNREACHABLE, Ledger
from broker.links import COPY, Links
from broker.medium import Medium
from broker.processing import Processing
from broker.routes import Condition, IsCut, Overlay, Routes
from broker.tape import Tape
from sim.digest import Digest
from sim.rng import key_of
from sim.scenario.link import LinkSpec
from sim.scenario.topology import LinkTable
from sim.units import NEVER
from sim.wire.messages import COPIED, PUBLISH, Send

ROW: Final = np.dtype(
    [
        ("arrival", "<i8"), ("sequence", "<i8"), ("sent", "<i8"), ("reference", "<i8"),
        ("key", "<u8"), ("counter", "<u8"), ("hop", "<u8"), ("length", "<i8"),
        ("account", "<i8"), ("sender", "<i4"), ("at", "<i4"), ("to", "<i4"),
        ("topic", "<i4"), ("kind", "<i4"), ("link", "<i4"), ("slot", "<i8"),
    ]
)  # fmt: skip
"""A message in flight: due at node `at` at `arrival`, bound for node `to`. slot: the end of its
slot on a shared medium, 0 as long as it does not wait for one."""
COPIES: Final = 1 << 36
"""What the sequence number of a second copy is above that of its message, per link until there."""
_HEAD: Final = struct.Struct("<qii")
Rows = NDArray[Any]
Bodies = NDArray[np.object_]


@dataclass
class Stream:
    """All messages of one sender on one topic (to one receiver, if direct): who gets them.

    version: of its subscribers. routed: of the ways.
    """

    rows: Rows
    serial: int = 0
    version: int = -1
    routed: int = 0


_NO_ROWS: Final[tuple[Rows, Bodies]] = np.zeros(0, dtype=ROW), np.zeros(0, dtype=object)


def _no_rows() -> tuple[Rows, Bodies]:
    return _NO_ROWS


class Network:
    """Links, routes, subscriptions and messages in flight. Nodes are numbers, agents first."""

    def __init__(
        self, table: LinkTable, processing_ns: Sequence[int], seed: int, digest: Digest
    ) -> None:
        self.table = table
        self.ledger = Ledger()
        self.topics: list[str] = []
        self.rows, self.bodies = _no_rows()
        self.pace = Processing(processing_ns)
        self.routes = Routes(table)
        self._seed = seed
        self._episode = 0
        self._digest = digest
        self._links = Links()
        self._link_rows: dict[tuple[int, int], int] = {}
        self._starts = self._ends = np.zeros(0, dtype=np.int32)
        self._places = np.full((len(table.names), 2), np.nan)
        self._topic_ids: dict[str, int] = {}
        self._index = {name: i for i, name in enumerate(table.names)}
        self._subscribers: dict[str, dict[int, None]] = {}
        self._version: dict[str, int] = {}
        self._streams: dict[tuple[int, str, int], Stream] = {}
        self._sequence = 0
        self._condition = Condition()
        self._is_down = np.zeros(len(table.names), dtype=bool)
        self._sides: NDArray[np.int8] = np.zeros((0, len(table.names)), dtype=np.int8)
        self._has_damaged = False
        self.medium: Medium | None = None
        self.tape: Tape | None = None

    # --- who hears what -------------------------------------------------------------------------

    def topic_id(self, topic: str) -> int:
        found = self._topic_ids.get(topic)
        if found is None:
            found = self._topic_ids[topic] = len(self.topics)
            self.topics.append(topic)
        return found

    def subscribe(self, agent: int, topic: str, is_on: bool) -> None:
        """Publications sent from this instant on do, or do not, go to `agent`."""
        subscribers = self._subscribers.setdefault(topic, {})
        if is_on:
            subscribers[agent] = None
        else:
            subscribers.pop(agent, None)
        self._version[topic] = self._version.get(topic, 0) + 1

    def forget(self, agent: int) -> None:
        """Ends all subscriptions of an agent, which starts anew or never will."""
        self.pace.forget(agent)
        for topic, subscribers in self._subscribers.items():
            if agent in subscribers:
                self.subscribe(agent, topic, is_on=False)

    # --- sending --------------------------------------------------------------------------------

    def send(self, sends: Sequence[tuple[int, int, Send]], until: int) -> None:
        """Takes what was sent in a window, (time, sender, message) sorted by key, and advances it
        together with what came to relays before `until`.
        """
        rows, bodies = self._relayed(until)
        if sends:
            fresh, fresh_bodies = self._expand(sends)
            if len(rows) or not self.pace.is_instant:
                rows = np.concatenate((rows, fresh))
                bodies = np.concatenate((bodies, fresh_bodies))
                order = np.lexsort((rows["sequence"], rows["arrival"]))
                rows, bodies = rows[order], bodies[order]
            else:
                rows, bodies = fresh, fresh_bodies
        if not len(rows):
            return
        if self.medium is not None:
            rows, bodies = self.medium.wait(rows, bodies)
        later = rows["arrival"] >= until
        if later.any():
            self._hold(rows[later], bodies[later])
            rows, bodies = rows[~later], bodies[~later]
        if len(rows):
            self._advance(rows, bodies)

    def _expand(self, sends: Sequence[tuple[int, int, Send]]) -> tuple[Rows, Bodies]:
        """One row per message and receiver, due now at the sender's own node."""
        streams, counts = [], np.empty(len(sends), dtype=np.int64)
        values = np.empty((5, len(sends)), dtype=np.int64)
        bodies = np.empty(len(sends), dtype=object)
        hashed: list[bytes] = []
        for i, (time, sender, send) in enumerate(sends):
            stream = self._stream(sender, send)
            streams.append(stream.rows)
            counts[i] = len(stream.rows)
            values[:, i] = time, send.reference, stream.serial, len(send.body), send.kind
            bodies[i] = send.body
            stream.serial += 1
            if self.tape is not None and not counts[i]:
                self.tape.unheard.append((time, sender, send.topic))
            hashed += _HEAD.pack(time, sender, len(send.body)), send.topic.encode(), send.body
        self._digest.add("payloads", *hashed)
        rows = np.concatenate(streams, dtype=ROW, casting="no")
        spread = np.repeat(values, counts, axis=1)
        rows["arrival"] = rows["sent"] = self.pace.sending(rows["sender"], spread[0])
        rows["reference"], rows["counter"] = spread[1], spread[2]
        rows["length"], rows["kind"] = spread[3], spread[4]
        rows["sequence"] = np.arange(self._sequence, self._sequence + len(rows))
        self._sequence += len(rows)
        self.ledger.count_sent(rows["account"], rows["length"])
        spread_bodies = np.repeat(bodies, counts)
        if self.tape is not None:
            self.tape.send(rows, spread_bodies)
        is_over = np.array([send.is_over for _, _, send in sends])
        if is_over.any():
            return self._within_budget(rows, spread_bodies, np.repeat(is_over, counts))
        return rows, spread_bodies

    def _within_budget(
        self, rows: Rows, bodies: Bodies, is_over: NDArray[np.bool_]
    ) -> tuple[Rows, Bodies]:
        over = rows[is_over]
        self._digest.add("sends", over["sequence"].tobytes())
        self.ledger.count_dropped(over["account"].astype(np.intp), BUDGET)
        if self.tape is not None:
            self.tape.drop(over["sequence"], BUDGET)
        return rows[~is_over], bodies[~is_over]

    def _stream(self, sender: int, send: Send) -> Stream:
        to = -1 if send.kind == PUBLISH else self._index[send.to]
        key = (sender, send.topic, to)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(np.zeros(0, dtype=ROW))
        version = self._version.get(send.topic, 0) if to < 0 else 0
        if stream.version != version:
            receivers = [to] if to >= 0 else self._receivers(sender, send.topic)
            stream.rows = self._template(sender, send.topic, receivers, to >= 0)
            stream.version, stream.routed = version, self.routes.version
        elif stream.routed != self.routes.version:
            rows = stream.rows
            rows["link"] = self._next_links(rows["at"].tolist(), rows["to"].tolist())
            stream.routed = self.routes.version
        return stream

    def _receivers(self, sender: int, topic: str) -> list[int]:
        return sorted(a for a in self._subscribers.get(topic, ()) if a != sender)

    def _template(self, sender: int, topic: str, receivers: list[int], is_direct: bool) -> Rows:
        names, source = self.table.names, self.table.names[sender]
        rows = np.zeros(len(receivers), dtype=ROW)
        rows["sender"] = rows["at"] = sender
        rows["topic"] = self.topic_id(topic)
        rows["to"] = receivers
        rows["account"] = [self.ledger.open(source, names[r], topic) for r in receivers]
        way = ("direct",) if is_direct else ()
        rows["key"] = [
            key_of(self._seed, "link", self._episode, source, names[r], topic, *way)
            for r in receivers
        ]
        rows["link"] = self._next_links([sender] * len(receivers), receivers)
        return rows

    # --- hops -----------------------------------------------------------------------------------

    def _next_links(self, at: Sequence[int], to: Sequence[int]) -> list[int]:
        """The row of the link each message takes next; -1 where there is no route."""
        hops = [(a, self.routes.next_hop(a, t)) for a, t in zip(at, to, strict=True)]
        unknown = [h for h in dict.fromkeys(hops) if h[1] >= 0 and h not in self._link_rows]
        if unknown:
            specs = [self._spec(*hop) for hop in unknown]
            cuts = [self._condition.is_cut(*hop) for hop in unknown]
            keys = [self._keys(*hop, spec) for hop, spec in zip(unknown, specs, strict=True)]
            for hop in unknown:
                self._link_rows[hop] = len(self._link_rows)
            self._links.add(specs, cuts, *zip(*keys, strict=True))
            starts, ends = np.array(unknown, dtype=np.int32).T
            self._starts = np.concatenate((self._starts, starts))
            self._ends = np.concatenate((self._ends, ends))
        return [self._link_rows.get(hop, -1) for hop in hops]

    def _spec(self, at: int, to: int) -> LinkSpec:
        spec = self.table.spec_of(at, to)
        assert spec is not None
        return self._condition.overlay(at, to, spec)

    def _keys(self, at: int, to: int, spec: LinkSpec) -> tuple[int, int]:
        """The key of a link's bursts in time, one chain for all that crosses it this way, and that
        of its radio's shadowing, the same both ways.
        """
        ends, clock, shadow = (self.table.names[at], self.table.names[to]), 0, 0
        if spec.burst.length_ns:
            clock = key_of(self._seed, "burst", self._episode, *ends)
        if spec.radio.shadowing_db:
            shadow = key_of(self._seed, "shadow", self._episode, *sorted(ends))
        return clock, shadow

    def locate(self, positions: Mapping[str, Sequence[float]]) -> None:
        """Where nodes are from now on, as far as the world says. Units: m."""
        self._places = np.full((len(self.table.names), 2), np.nan)
        for name, place in positions.items():
            self._places[self._index[name]] = place

    def _advance(self, rows: Rows, bodies: Bodies) -> None:
        """Sends rows, sorted by time, over their next link."""
        if self._links.has_copies:
            rows, bodies = self._with_copies(rows, bodies)
        fates = np.where(rows["link"] < 0, UNREACHABLE, 0)
        if self.medium is not None:
            fates[self.medium.collide(rows) & (fates == 0)] = COLLISION
        if len(self._sides):
            apart = (self._sides[:, rows["sender"]] * self._sides[:, rows["to"]] < 0).any(axis=0)
            fates[apart & (fates == 0)] = PARTITION
        if self._condition.down:
            fates[self._is_down[rows["at"]] & (rows["hop"] > 0)] = DOWN
        linked = fates == 0
        if linked.all():
            self._cross(rows, fates, slice(None))
        elif linked.any():
            self._cross(rows, fates, np.flatnonzero(linked))
        rows["hop"] += 1
        hashed = np.empty((len(rows), 2), dtype=np.int64)
        hashed[:, 0] = np.where(fates > 0, -fates, rows["arrival"])
        hashed[:, 1] = rows["sequence"] << 16 | rows["to"]
        self._digest.add("sends", hashed.tobytes())
        if self._links.has_damage and (fates < 0).any():
            bodies, self._has_damaged = damaged(rows, bodies, np.flatnonzero(fates < 0)), True
        dropped = fates > 0
        if dropped.any():
            self.ledger.count_dropped(rows["account"][dropped], fates[dropped])
            if self.tape is not None:
                self.tape.drop(rows["sequence"][dropped], fates[dropped])
            rows, bodies = rows[~dropped], bodies[~dropped]
        self._hold(rows, bodies)

    def _with_copies(self, rows: Rows, bodies: Bodies) -> tuple[Rows, Bodies]:
        """The rows, each followed by the second copy of it that its link makes, if it does."""
        linked = np.flatnonzero(rows["link"] >= 0)
        part = rows[linked]
        copied = self._links.copied(part["link"], part["key"], part["counter"], part["hop"])
        if not copied.any():
            return rows, bodies
        times = np.ones(len(rows), dtype=np.int64)
        times[linked[copied]] = 2
        rows, bodies = np.repeat(rows, times), np.repeat(bodies, times)
        places = np.cumsum(times)[times == 2] - 1
        copies = rows[places]
        number = copies["hop"] + 1
        copies["hop"] += number * COPY
        copies["sequence"] += number.astype(np.int64) * COPIES  # however windows are cut
        rows[places] = copies
        self.ledger.count_duplicated(copies["account"])
        if self.tape is not None:
            told = copies.copy()
            told["kind"] = COPIED
            self.tape.send(told, bodies[places])
        return rows, bodies

    def _cross(self, rows: Rows, fates: NDArray[np.int64], where: Any) -> None:
        part = rows[where]
        links = part["link"]
        arrivals, found = self._links.offer(
            links, part["arrival"], part["length"], part["key"], part["counter"], part["hop"],
            part["sent"], self._distances(links) if self._links.has_radio else None,
        )  # fmt: skip
        rows["arrival"][where] = arrivals
        rows["at"][where] = self._ends[links]
        fates[where] = found

    def _distances(self, links: NDArray[np.int32]) -> NDArray[np.float64]:
        """Between the ends of links, in m; NaN where one is nowhere."""
        apart = self._places[self._ends[links]] - self._places[self._starts[links]]
        found: NDArray[np.float64] = np.hypot(apart[:, 0], apart[:, 1])
        return found

    def _hold(self, rows: Rows, bodies: Bodies) -> None:
        if len(self.rows):
            rows = np.concatenate((self.rows, rows))
            bodies = np.concatenate((self.bodies, bodies))
        self.rows, self.bodies = rows, bodies

    def _take(self, chosen: NDArray[np.bool_]) -> tuple[Rows, Bodies]:
        """Removes the chosen rows and returns them in order of arrival."""
        rows, bodies = self.rows[chosen], self.bodies[chosen]
        self.rows, self.bodies = self.rows[~chosen], self.bodies[~chosen]
        order = np.lexsort((rows["sequence"], rows["arrival"]))
        return rows[order], bodies[order]

    def _relayed(self, until: int) -> tuple[Rows, Bodies]:
        """What reached a relay (or its time of sending) before `until`, with its next link."""
        if not len(self.rows):
            return _no_rows()
        chosen = (self.rows["arrival"] < until) & (self.rows["at"] != self.rows["to"])
        if not chosen.any():
            return _no_rows()
        rows, bodies = self._take(chosen)
        rows["link"] = self._next_links(rows["at"].tolist(), rows["to"].tolist())
        return rows, bodies

    # --- arriving -------------------------------------------------------------------------------

    def next_wake(self, awaits: NDArray[np.bool_]) -> int:
        """The earliest arrival that matters by itself: at a relay, or at an agent that waits.

        Shapes: awaits bool [agents, topics].
        """
        rows = self.rows
        if not len(rows):
            return NEVER
        is_final = rows["at"] == rows["to"]
        wakes = ~is_final
        wakes[is_final] = awaits[rows["to"][is_final], rows["topic"][is_final]]
        return int(rows["arrival"][wakes].min()) if wakes.any() else NEVER

    @property
    def next_arrival(self) -> int:
        return int(self.rows["arrival"].min()) if len(self.rows) else NEVER

    def deliver(self, until: int, is_up: NDArray[np.bool_]) -> tuple[Rows, Bodies]:
        """Everything that reaches its receiver before `until`, in order, booked and hashed.

        Shapes: is_up bool [agents]; what comes to an agent that is not up drops as `down`.
        """
        if not len(self.rows):
            return _no_rows()
        chosen = (self.rows["arrival"] < until) & (self.rows["at"] == self.rows["to"])
        if not chosen.any():
            return _no_rows()
        rows, bodies = self._take(chosen)
        if self._has_damaged:
            rows["length"] = [len(body) for body in bodies]
        alive = is_up[rows["to"]]
        hashed = np.empty((len(rows), 2), dtype=np.int64)
        hashed[:, 0] = np.where(alive, rows["arrival"], -rows["arrival"])
        hashed[:, 1] = rows["sequence"]
        self._digest.add("deliveries", hashed.tobytes())
        if self.tape is not None:
            self.tape.arrive(rows[alive])
        if alive.all():
            self._book(rows)
            return rows, bodies
        if self.tape is not None:
            self.tape.drop(rows["sequence"][~alive], DOWN)
        self.ledger.count_dropped(rows["account"][~alive], DOWN)
        rows = rows[alive]
        self._book(rows)
        return rows, bodies[alive]

    def _book(self, rows: Rows) -> None:
        """What was delivered."""
        self.ledger.count_delivered(rows["account"], rows["sent"], rows["arrival"], rows["length"])

    # --- faults and episodes --------------------------------------------------------------------

    def degrade(
        self, overlay: Overlay, is_cut: IsCut, sides: NDArray[np.int8], now: int | None
    ) -> None:
        """From `now` on links are what `overlay` makes of them, and cut where `is_cut` says; None
        at the start of an episode, when they are whole.

        Shapes: sides int8 [partitions, nodes]: 1 and -1 for the nodes of either side, else 0. No
        message goes from one side to the other, on whatever way.
        """
        self._sides = sides
        self._condition = Condition(overlay, is_cut, self._condition.down, is_whole=now is None)
        if now is not None:
            self.routes.see(self._condition, now)
        hops = list(self._link_rows)
        specs = [self._spec(*hop) for hop in hops]
        keys = [self._keys(*hop, spec) for hop, spec in zip(hops, specs, strict=True)]
        clocks, shadows = zip(*keys, strict=True) if keys else ((), ())
        self._links.replace(range(len(hops)), specs, (is_cut(*h) for h in hops), clocks, shadows)

    def take_down(self, nodes: slice | int, is_down: NDArray[np.bool_] | bool, now: int) -> None:
        """Nodes that pass no messages on from `now` on, or do so again."""
        before = self._is_down.copy()
        self._is_down[nodes] = is_down
        if (self._is_down != before).any():
            down = frozenset(np.flatnonzero(self._is_down).tolist())
            self._condition = replace(self._condition, down=down, is_whole=False)
            self.routes.see(self._condition, now)

    def is_down(self, node: int) -> bool:
        """Whether a node passes nothing on."""
        return bool(self._is_down[node])

    @property
    def sides(self) -> NDArray[np.int8]:
        """The partitions in force, as given to `degrade`."""
        return self._sides

    def link(self, at: int, to: int) -> tuple[LinkSpec, bool]:
        """One hop as it is now: its parameters, and whether it is cut."""
        return self._spec(at, to), self._condition.is_cut(at, to)

    def begin_episode(self, episode: int, now: int = 0) -> None:
        """Drops what is in flight, and keys the ways anew; `degrade` does so with the links."""
        self.ledger.count_dropped(self.rows["account"].astype(np.intp), EPISODE)
        if self.tape is not None:
            self.tape.drop(self.rows["sequence"], EPISODE)
        self.rows, self.bodies = _no_rows()
        self._episode = episode
        self._streams.clear()
        self._subscribers.clear()
        self._links.reset(now)
        self._is_down[:] = False
        self._condition = Condition()
        self.routes.reset()
        if self.medium is not None:
            self.medium.reset(now)

    def totals(self) -> dict[str, Any]:
        """The books. Raises: InvariantError if they do not balance."""
        return self.ledger.totals(len(self.rows))
