"""Collective operations among some agents, made of messages on their links.

    team = sim.Communicator(self, "battery-*", timeout="5s")
    total = await team.all_reduce(self.power_kw, "sum", algorithm="tree")
    if total.is_complete: ...

All members make the same calls in the same order, each with its own value; a call is known by its
number. Nothing is added up behind the network's back: what a link loses is missing, and the result
says whose contribution it was. No call lasts longer than its timeout, whoever dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import networkx as nx
import numpy as np

from agents.channels import Message
from agents.collectives import elect, gather, gossip, reduce, spread, trees
from agents.collectives.call import MEMBERS_MAX, Call, Collected, Mail, Part
from agents.collectives.operators import finished, given, operator, taken
from sim.errors import AgentError, MalformedFrameError
from sim.ids import did_you_mean, matching
from sim.units import SECOND, duration_ns
from sim.wire.messages import REQUEST
from sim.worlds.graphs import convergence_rate, metropolis

if TYPE_CHECKING:
    from agents.agent import Agent

    Graph = nx.Graph[str] | Mapping[str, Sequence[str]]

RELIABILITY: Final = ("none", "acknowledged")
FIRST_RETRY_SHARE: Final = 1 / 16
"""Of a call's timeout until what was not acknowledged is sent again for the first time."""


class Communicator:
    """Some agents, in an order that all of them know, and the operations among them.

    members:     their names in that order, or a pattern, which takes the run's order; 1 to 64.
    tag:         the topic of the messages; one communicator per agent and tag.
    timeout:     how long a call lasts at most from when it is made; each call may say its own.
    reliability: none: a message is sent once. acknowledged: again and again, after `retry` and
                 then twice as long each time, until it is acknowledged or the call is over.
    retry:       until the first time that it is sent again; default a sixteenth of the timeout.
    graph:       who is a neighbour of whom, for flooding and consensus; default everybody.

    neighbours:  the ranks next to every rank in the graph, ascending.
    Raises:      AgentError for members who are unknown, twice there or too many, or without
                 oneself.
    """

    def __init__(
        self,
        agent: Agent,
        members: str | Sequence[str] = "*",
        tag: str = "team",
        *,
        timeout: float | str = 5.0,
        reliability: str = "none",
        retry: float | str | None = None,
        graph: Graph | None = None,
    ) -> None:
        self._agent = agent
        self._channels = agent._cell.channels
        self.members = _members(members, agent.names, agent.name)
        self.rank = self.members.index(agent.name)
        self._ranks = {name: rank for rank, name in enumerate(self.members)}
        self.tag = tag
        self.timeout_ns = duration_ns(timeout)
        self.is_acknowledged = _one_of("reliability", reliability, RELIABILITY) == "acknowledged"
        self.retry_ns = None if retry is None else duration_ns(retry)
        self.neighbours = self._near(graph)
        self._mail = Mail()
        self._next = 0
        self._is_busy = False
        self._channels.claim(tag, self._on_message)

    @property
    def size(self) -> int:
        return len(self.members)

    # --- one to all, all to one -------------------------------------------------------------------

    async def broadcast(
        self, value: Any = None, root: str = "", algorithm: str = "tree", **options: Any
    ) -> Collected:
        """The root's value, for all. algorithm: star, tree, or flood along the graph.

        root: by name; default the first member. options: those of every call, `timeout` and
        `number`. Only the root's contribution is wanted: the others cannot be missing.
        """
        at = self._rank_of(root)

        async def run(call: Call) -> Part | None:
            part = call.mine(value) if self.rank == at else None
            if algorithm == "flood":
                return await spread.flood(call, part, at, self.neighbours)
            return await (spread.star if algorithm == "star" else spread.tree)(call, part, at)

        _one_of("algorithm", algorithm, ("star", "tree", "flood"))
        return await self._call(run, wanted=1 << at, **options)

    async def scatter(
        self, values: Sequence[Any] | None = None, root: str = "", **options: Any
    ) -> Collected:
        """To each member its own of the root's values, one for every member in their order.

        Raises: AgentError at the root if their number is another.
        """
        at = self._rank_of(root)
        if self.rank == at and (values is None or len(values) != self.size):
            found = "none" if values is None else str(len(values))
            raise AgentError(f"scatter: expected {self.size} values, one per member, found {found}")
        return await self._call(
            lambda call: spread.scatter(call, values, at), wanted=1 << at, **options
        )

    async def reduce(
        self, value: Any, op: str = "sum", root: str = "", algorithm: str = "tree", **options: Any
    ) -> Collected:
        """All values in one, for the root; the others have what they sent on, and of whom.

        algorithm: tree, star.
        """
        at, combine = self._rank_of(root), operator(op)
        way = reduce.REDUCE[_one_of("algorithm", algorithm, tuple(reduce.REDUCE))]
        part = taken(value)

        async def run(call: Call) -> Part:
            return await way(call, call.mine(part), combine, at)

        place = (self.rank - at) % self.size
        below = trees.subtree(place, self.size) if algorithm == "tree" or not place else [place]
        wanted = sum(1 << (each + at) % self.size for each in below)
        return _finished(await self._call(run, wanted, **options), op)

    # --- all to all -------------------------------------------------------------------------------

    async def all_reduce(
        self, value: Any, op: str = "sum", algorithm: str = "tree", **options: Any
    ) -> Collected:
        """All values in one, for all: sum, mean, min, max, product of numbers or arrays.

        algorithm: star, tree, doubling, ring. Of partial results a star's and a tree's are the
        same for all who get one, a doubling's are each member's own, and a ring has none.
        """
        combine = operator(op)
        way = reduce.ALL_REDUCE[_one_of("algorithm", algorithm, tuple(reduce.ALL_REDUCE))]
        part = taken(value)
        found = await self._call(lambda call: way(call, call.mine(part), combine), **options)
        return _finished(found, op)

    async def all_gather(self, value: Any, algorithm: str = "flat", **options: Any) -> Collected:
        """Every member's value, for all: a dict by name. algorithm: flat, ring."""
        way = gather.ALL_GATHER[_one_of("algorithm", algorithm, tuple(gather.ALL_GATHER))]
        found = await self._call(lambda call: way(call, call.mine(value)), **options)
        pairs = sorted(found.value, key=lambda pair: pair[0])
        return replace(found, value={self.members[rank]: each for rank, each in pairs})

    async def barrier(self, **options: Any) -> Collected:
        """Waits until all have called it, or the timeout is over; `missing` says who has not."""
        return await self._call(gather.disseminate, **options)

    async def gossip(self, value: Any, rounds: int = 20, **options: Any) -> Collected:
        """An estimate of the mean by push-sum, in rounds of timeout / rounds each."""
        part = taken(value)
        found = await self._call(
            lambda call: gossip.push_sum(call, call.mine(part), rounds, self._agent.rng), **options
        )
        return replace(found, value=given(found.value))

    async def consensus(
        self,
        value: Any,
        rounds: int = 20,
        on_round: Callable[[int, Any], None] | None = None,
        **options: Any,
    ) -> Collected:
        """The mean, by averaging with one's neighbours in the graph with Metropolis weights.

        on_round: is told each round's number and the value after it. `convergence_rate` predicts
        how quickly it comes about.
        """
        weights, part = metropolis(self.neighbours), taken(value)

        async def run(call: Call) -> Part:
            return await gossip.consensus(call, call.mine(part), weights, rounds, on_round)

        found = await self._call(run, **options)
        return replace(found, value=given(found.value))

    @property
    def convergence_rate(self) -> float:
        """By what consensus among these members multiplies the distance to the mean, per round."""
        return convergence_rate(metropolis(self.neighbours))

    async def elect(self, **options: Any) -> Collected:
        """A leader's name: of the members that live, the first. None if none said that it leads."""
        found = await self._call(elect.elect, wanted=0, **options)
        return replace(found, value=None if found.value is None else self.members[found.value])

    # --- one's own --------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The run's, for lots that all members draw alike."""
        return self._agent._cell.start.seed

    async def run(self, operation: Callable[[Call], Any], **options: Any) -> Collected:
        """An operation of one's own: a coroutine function of a `Call` that returns a part."""
        return await self._call(operation, **options)

    # --- how a call is made -----------------------------------------------------------------------

    async def _call(
        self,
        run: Callable[[Call], Any],
        wanted: int | None = None,
        timeout: float | str | None = None,
        number: int | None = None,
    ) -> Collected:
        """Runs one operation under the next number, or under one that all members agree on."""
        if self._is_busy:
            raise AgentError(
                f"a call of the communicator {self.tag!r} is not over yet; what goes on at the "
                "same time needs a communicator with another tag"
            )
        loop = self._channels.loop
        at = self._next if number is None else number
        lasts = self.timeout_ns if timeout is None else duration_ns(timeout)
        call = Call(
            at, self.rank, self.members, self._mail, loop, self._post, self._warn,
            loop.now_ns, loop.now_ns + lasts,
        )  # fmt: skip
        self._mail.forget(at - 1)
        self._next, self._is_busy = at + 1, True
        try:
            return call.result(await run(call), wanted)
        finally:
            self._is_busy = False
            self._mail.forget(at)

    def _post(self, call: Call, to: int, body: list[Any]) -> None:
        name = self.members[to]
        call.spent.messages += 1
        if self.is_acknowledged:
            self._channels.loop.create_task(
                self._persist(call, name, body), name=f"{self.tag} to {name}"
            )
        else:
            call.spent.bytes += self._channels.direct(name, self.tag, body)

    async def _persist(self, call: Call, to: str, body: list[Any]) -> None:
        """Sends until it is acknowledged, or the call's time is over."""
        loop = self._channels.loop
        patience = self.retry_ns or round((call.ends_ns - call.began_ns) * FIRST_RETRY_SHARE)
        while True:
            until = min(loop.now_ns + patience, call.ends_ns)
            try:
                async with asyncio.timeout((until - loop.now_ns) / SECOND):
                    await self._channels.request(to, self.tag, body)
                return
            except TimeoutError:
                if loop.now_ns >= call.ends_ns:
                    return
            call.spent.resent += 1
            patience *= 2

    def _on_message(self, message: Message) -> None:
        """Files what a member sent, and acknowledges it if that is asked for."""
        sender = self._ranks.get(message.sender)
        try:
            body = message.payload
        except MalformedFrameError:
            return
        if sender is None or not _is_body(body, self.size):
            return
        number, step, who, value = body
        self._mail.put((number, step, sender), Part(value, who))
        if message.kind == REQUEST:
            self._channels.reply(message, None)

    def _warn(self, text: str) -> None:
        self._agent.log(f"{self.tag}: {text}", level="warning")

    def _rank_of(self, name: str) -> int:
        if name and name not in self._ranks:
            raise AgentError(f"{name!r} is no member; {did_you_mean(name, list(self.members))}")
        return self._ranks.get(name, 0)

    def _near(self, graph: Any) -> dict[int, list[int]]:
        """The neighbours of every rank, ascending."""
        if graph is None:
            return {r: [k for k in range(self.size) if k != r] for r in range(self.size)}
        edges: nx.Graph[str] = nx.Graph(graph)
        return {
            rank: sorted(self._ranks[n] for n in edges[name] if n in self._ranks and n != name)
            if name in edges
            else []
            for rank, name in enumerate(self.members)
        }


def _members(given: str | Sequence[str], names: Sequence[str], own: str) -> tuple[str, ...]:
    if isinstance(given, str):
        found = tuple(matching(given, names))
    else:
        found = tuple(given)
    for name in found:
        if name not in names:
            raise AgentError(f"there is no agent {name!r}; {did_you_mean(name, list(names))}")
    if len(set(found)) < len(found):
        raise AgentError("a member is named twice")
    if own not in found:
        raise AgentError(f"{own!r} is not among the members: {given!r}")
    if len(found) > MEMBERS_MAX:
        raise AgentError(f"{len(found)} members; a communicator has at most {MEMBERS_MAX}")
    return found


def _one_of(what: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        raise AgentError(f"{what}: there is no {name!r}; {did_you_mean(name, list(known))}")
    return name


def _is_body(body: Any, size: int) -> bool:
    """Whether a payload is what `_post` sends: [number, step, who, value]."""
    if not isinstance(body, list) or len(body) != 4:
        return False
    number, step, who, _ = body
    is_whole = all(type(each) is int for each in (number, step, who))
    return is_whole and number >= 0 and step >= 0 and bool(0 < who < 1 << size)


def _finished(found: Collected, op: str) -> Collected:
    """With the operator's last step done, over those who contributed."""
    if found.value is None:
        return found
    value = finished(op, np.asarray(found.value), len(found.contributed))
    return replace(found, value=given(value))
