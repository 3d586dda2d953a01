"""Venues: the names under which a world is itself on the network.

What reaches a venue over its links is applied to the world at the instant of its arrival, in order
of arrival, so that latency decides who is first. What the world says, in answer or of its own
accord after a step, leaves from the venue at that instant, like a message of an agent that answers
at once. A venue that asks for it is told before every step whom it has lost: whose process does not
run, or to whom there is no way, or no way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broker.network import Bodies, Network, Rows
from broker.population import UP, VENUE
from sim.errors import MalformedFrameError
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import DIRECT, PUBLISH, REFUSAL, REPLY, REQUEST, Send
from sim.worlds.world import Venue, World


class Venues:
    """All venues of a world. Messages wait here until the window closes."""

    def __init__(self, world: World, names: Sequence[str], topics: Sequence[str]) -> None:
        """names: of all agents by number. topics: by number; it grows as the run goes on."""
        self._world = world
        self._names, self._topics = names, topics
        found: dict[str, Venue] = dict(getattr(world, "venues", {}))
        self._index = {name: names.index(name) for name in found}
        self._at = {self._index[name]: venue for name, venue in found.items()}
        self._is_venue: NDArray[np.bool_] = np.isin(np.arange(len(names)), list(self._at))
        self._numbers = {name: i for i, name in enumerate(names)}
        self._began = 0
        self._checks = {i: venue for i, venue in self._at.items() if hasattr(venue, "check")}
        self._sends: list[tuple[int, int, int, Send]] = []

    def begin_episode(self, time: int) -> None:
        """Forgets what was said; a world's time begins anew."""
        self._began = time
        self._sends.clear()

    def check(self, time: int, state: NDArray[np.int8], network: Network) -> None:
        """Lets venues that are open look after those who deal with them. state: of all agents."""

        def is_connected(name: str, venue: int) -> bool:
            agent = self._numbers[name]
            ways = (agent, venue), (venue, agent)
            return bool(state[agent] == UP) and all(_is_open(network, *way) for way in ways)

        for i, venue in self._checks.items():
            if state[i] == VENUE:
                venue.check(time - self._began, partial(is_connected, venue=i))

    def take(self, rows: Rows, bodies: Bodies) -> tuple[Rows, Bodies]:
        """Applies what has come to venues, and leaves the rest."""
        if not self._at:
            return rows, bodies
        mine = self._is_venue[rows["to"]]
        if mine.any():
            for row, body in zip(rows[mine], bodies[mine].tolist(), strict=True):
                self._apply(row, body)
        return rows[~mine], bodies[~mine]

    def _apply(self, row: Any, body: bytes) -> None:
        time, to, sender, topic = (int(row[c]) for c in ("arrival", "to", "sender", "topic"))
        try:
            payload = decode_payload(body)
        except MalformedFrameError:
            return  # damaged on its way, and nobody at a venue can read it
        name, verb = self._names[sender], self._topics[topic]
        try:
            since = time - self._began
            answer, answered = self._at[to].apply(since, name, verb, payload), REPLY
        except ValueError as error:
            answer, answered = str(error), REFUSAL
        if row["kind"] == REQUEST:
            self._say(time, to, answered, verb, name, answer, int(row["reference"]))
        self.listen(time)

    def listen(self, time: int) -> None:
        """Takes what the world has said by now."""
        if self._at:
            for said in self._world.said():  # type: ignore[attr-defined]
                kind = DIRECT if said.to else PUBLISH
                self._say(time, self._index[said.venue], kind, said.topic, said.to, said.payload)

    def _say(
        self, time: int, venue: int, kind: int, topic: str, to: str, payload: Any, ref: int = 0
    ) -> None:
        send = Send(time, kind, topic, to, ref, encode_payload(payload))
        self._sends.append((time, venue, len(self._sends), send))

    def sends(self) -> list[tuple[int, int, int, Send]]:
        """What was said in the window, (time, venue, number, message); taken once."""
        sends, self._sends = self._sends, []
        return sends


def _is_open(network: Network, at: int, to: int) -> bool:
    """Whether messages from one node come to another, some of them at least."""
    if (network.sides[:, at] * network.sides[:, to] < 0).any():
        return False
    while at != to:
        hop = network.routes.next_hop(at, to)
        if hop < 0:
            return False
        spec, is_cut = network.link(at, hop)
        if is_cut or spec.loss_probability >= 1 or (hop != to and network.is_down(hop)):
            return False
        at = hop
    return True
