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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import networkx as nx
import numpy as np

from agents.arguments import one_of, span_ns, whole
from agents.channels import Message
from agents.collectives import elect, gather, gossip, reduce, spread, trees
from agents.collectives.call import MEMBERS_MAX, Call, Collected, Mail, Part
from agents.collectives.kinds import KINDS, kind_of
from agents.collectives.operators import finished, given, operator, taken
from sim.errors import AgentError, MalformedFrameError
from sim.ids import did_you_mean, is_name, matching
from sim.units import SECOND
from sim.wire.codec import encode_payload
from sim.wire.messages import REQUEST
from sim.worlds.graphs import convergence_rate, metropolis

if TYPE_CHECKING:
    from agents.agent import Agent

    Graph = nx.Graph[str] | Mapping[str, Sequence[str]]

RELIABILITY: Final = ("none", "acknowledged")
OPTIONS: Final = ("timeout", "number")
"""Of every call."""
FIRST_RETRY_SHARE: Final = 1 / 16
"""Of a call's timeout until what was not acknowledged is sent again for the first time."""


class Communicator:
    """Some agents, in an order that all of them know, and the operations among them.

    members:     their names in that order, or a pattern, which takes the run's order; 1 to 64.
    tag:         the topic of the messages, the same for all members; an agent in two groups has a
                 communicator with another tag for each.
    timeout:     how long a call lasts at most from when it is made; each call may say its own.
    reliability: none: a message is sent once. acknowledged: again and again, after `retry` and
                 then twice as long each time, until it is acknowledged or the call is over.
    retry:       until the first time that it is sent again; default a sixteenth of the timeout.
    graph:       who is a neighbour of whom, for flooding and consensus; default everybody. Agents
                 who are no members are left out of it.

    neighbours:  the ranks next to every rank in the graph, ascending.
    Raises:      AgentError for members who are unknown, twice there or too many, or without
                 oneself; for a graph with unknown names, a tag in use, a duration that is none.
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
        self.timeout_ns = span_ns("timeout", timeout)
        self.is_acknowledged = one_of("reliability", reliability, RELIABILITY) == "acknowledged"
        self.retry_ns = None if retry is None else span_ns("retry", retry)
        self.neighbours = self._near(graph, agent.names)
        self._mail = Mail()
        self._next = 0
        self._is_busy = False
        if not isinstance(tag, str) or not is_name(tag):
            raise AgentError(f"tag: expected a name, starting with a letter, found {tag!r}")
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
        with self._call(options, "broadcast", algorithm) as call:
            at = self._rank_of(root)
            part = call.mine(value) if self.rank == at else None
            if algorithm == "flood":
                part = await spread.flood(call, part, at, self.neighbours)
            else:
                part = await (spread.star if algorithm == "star" else spread.tree)(call, part, at)
            return call.result(part, 1 << at)

    async def scatter(
        self,
        values: Sequence[Any] | Mapping[str, Any] | None = None,
        root: str = "",
        **options: Any,
    ) -> Collected:
        """To each member its own of the root's values.

        values: one for every member, as a list in their order or by name; of the root alone.
        Raises: AgentError at the root if some member has none, or somebody else has one.
        """
        with self._call(options, "scatter") as call:
            at = self._rank_of(root)
            each = self._one_each(values) if self.rank == at else None
            return call.result(await spread.scatter(call, each, at), 1 << at)

    async def reduce(
        self, value: Any, op: str = "sum", root: str = "", algorithm: str = "tree", **options: Any
    ) -> Collected:
        """All values in one, for the root. algorithm: tree, star.

        The others have no value: theirs ends as `sent`, with those whose contributions they have
        handed on, and those below them in the tree from whom they had none.
        """
        with self._call(options, "reduce", algorithm, op) as call:
            at, combine = self._rank_of(root), operator(op)
            part = call.mine(taken(value, op))
            part = await reduce.REDUCE[algorithm](call, part, combine, at)
            place = (self.rank - at) % self.size
            is_alone = place and algorithm == "star"
            below = [place] if is_alone else trees.subtree(place, self.size)
            wanted = sum(1 << (each + at) % self.size for each in below)
            found = call.result(part, wanted)
            return replace(found, value=None, outcome="sent") if place else _finished(found, op)

    # --- all to all -------------------------------------------------------------------------------

    async def all_reduce(
        self, value: Any, op: str = "sum", algorithm: str = "tree", **options: Any
    ) -> Collected:
        """All values in one, for all: sum, mean, min, max, product of numbers or arrays.

        algorithm: star, tree, doubling, ring. Of partial results a star's and a tree's are the
        same for all who get one, a doubling's are each member's own, and a ring has none.
        Sums and products of whole numbers that do not fit in 64 bits are floats.
        """
        with self._call(options, "all_reduce", algorithm, op) as call:
            part = call.mine(taken(value, op))
            found = await reduce.ALL_REDUCE[algorithm](call, part, operator(op))
            return _finished(call.result(found), op)

    async def all_gather(self, value: Any, algorithm: str = "flat", **options: Any) -> Collected:
        """Every member's value, for all: a dict by name. algorithm: flat, ring."""
        with self._call(options, "all_gather", algorithm) as call:
            found = call.result(await gather.ALL_GATHER[algorithm](call, call.mine(value)))
            pairs = sorted(found.value, key=lambda pair: pair[0])
            return replace(found, value={self.members[rank]: each for rank, each in pairs})

    async def barrier(self, **options: Any) -> Collected:
        """Waits until all have called it, or the timeout is over; `missing` says who has not."""
        with self._call(options, "barrier") as call:
            return call.result(await gather.disseminate(call))

    async def gossip(self, value: Any, rounds: int = 20, **options: Any) -> Collected:
        """An estimate of the mean by push-sum, in rounds of timeout / rounds each.

        It is never `complete`: a lost message takes a share of the sum along, which nobody sees.
        """
        with self._call(options, "gossip") as call:
            part = call.mine(taken(value))
            found = await gossip.push_sum(call, part, whole("rounds", rounds, 1), self._agent.rng)
            return _plain(call.result(found, best="estimate"))

    async def consensus(
        self,
        value: Any,
        rounds: int = 20,
        on_round: Callable[[int, Any], None] | None = None,
        **options: Any,
    ) -> Collected:
        """An estimate of the mean, by averaging with one's neighbours with Metropolis weights.

        on_round: is told each round's number and the value after it. `convergence_rate` predicts
        how quickly it comes about.
        """
        with self._call(options, "consensus") as call:
            weights, part = metropolis(self.neighbours), call.mine(taken(value))
            found = await gossip.consensus(
                call, part, weights, whole("rounds", rounds, 1), on_round
            )
            return _plain(call.result(found, best="estimate"))

    @property
    def convergence_rate(self) -> float:
        """By what consensus among these members multiplies the distance to the mean, per round."""
        return convergence_rate(metropolis(self.neighbours))

    async def elect(self, **options: Any) -> Collected:
        """A leader's name: of the members that live, the first. None if none said that it leads."""
        with self._call(options, "elect") as call:
            found = call.result(await elect.elect(call), wanted=0)
            if found.value is None:
                return replace(found, outcome="nothing")
            return replace(found, value=self.members[found.value])

    # --- one's own --------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The run's, for lots that all members draw alike."""
        return self._agent._cell.start.seed

    async def run(self, operation: Callable[[Call], Any], **options: Any) -> Collected:
        """An operation of one's own: a coroutine function of a `Call` that returns a part."""
        with self._call(options, "run") as call:
            return call.result(await operation(call))

    # --- how a call is made -----------------------------------------------------------------------

    @contextmanager
    def _call(
        self, options: Mapping[str, Any], operation: str, algorithm: str = "", op: str = ""
    ) -> Iterator[Call]:
        """One call under the next number, or under one that all members agree on.

        One that is refused has used its number up, so that the next calls of all still match.
        """
        number = options.get("number")
        is_number = isinstance(number, int | np.integer) and number >= 0
        at = int(number) if is_number else self._next  # type: ignore[arg-type]
        self._next = at + 1
        if self._is_busy:
            raise AgentError(
                f"a call of the communicator {self.tag!r} is not over yet; what goes on at the "
                "same time needs a communicator with another tag"
            )
        self._mail.forget(at - 1)
        self._is_busy = True
        try:
            for key in options:
                one_of("option", key, OPTIONS)
            if number is not None and not is_number:
                raise AgentError(f"number: expected a whole number from 0, found {number!r}")
            timeout = options.get("timeout")
            lasts = self.timeout_ns if timeout is None else span_ns("timeout", timeout)
            loop = self._channels.loop
            call = Call(
                at, kind_of(operation, algorithm, op), self.rank, self.members, self._mail, loop,
                self._post, self._warn, loop.now_ns, loop.now_ns + lasts,
            )  # fmt: skip
            yield call
            for rank, kind in sorted(call.strangers().items()):
                theirs, ours = KINDS[kind], KINDS[call.kind]
                self._warn(f"left out {self.members[rank]!r}: it calls {theirs}, here it is {ours}")
        finally:
            self._is_busy = False
            self._mail.forget(at)

    def _post(self, call: Call, to: int, body: list[Any]) -> None:
        name = self.members[to]
        call.spent.messages += 1
        if self.is_acknowledged:
            try:
                size = len(encode_payload(body))
            except (TypeError, ValueError) as error:
                raise AgentError(f"{self.tag}: {error}") from None
            self._channels.loop.create_task(
                self._persist(call, name, body, size), name=f"{self.tag} to {name}"
            )
        else:
            call.spent.bytes += self._channels.direct(name, self.tag, body)

    async def _persist(self, call: Call, to: str, body: list[Any], size: int) -> None:
        """Sends until it is acknowledged, or the call's time is over. size: in bytes."""
        loop = self._channels.loop
        patience = self.retry_ns or round((call.ends_ns - call.began_ns) * FIRST_RETRY_SHARE)
        while True:
            until = min(loop.now_ns + patience, call.ends_ns)
            call.spent.bytes += size
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
        number, kind, step, who, value = body
        self._mail.put((number, kind, step, sender), Part(value, who))
        if message.kind == REQUEST:
            self._channels.reply(message, None)

    def _warn(self, text: str) -> None:
        self._agent.log(f"{self.tag}: {text}", level="warning")

    def _rank_of(self, name: str) -> int:
        if name and name not in self._ranks:
            close = did_you_mean(str(name), self.members)
            raise AgentError(f"root: {name!r} is no member; {close}")
        return self._ranks.get(name, 0)

    def _one_each(self, values: Any) -> list[Any]:
        """A value for every member, in their order."""
        expected = f"scatter: expected {self.size} values, one per member"
        if isinstance(values, Mapping):
            for name in values:
                if name not in self._ranks:
                    close = did_you_mean(str(name), self.members)
                    raise AgentError(f"scatter: {name!r} is no member; {close}")
            if lacking := [name for name in self.members if name not in values]:
                raise AgentError(f"{expected}, found none for {', '.join(lacking)}")
            return [values[name] for name in self.members]
        if not isinstance(values, list | tuple | np.ndarray) or np.ndim(values) == 0:
            raise AgentError(f"{expected}, as a list or by name, found {values!r:.60}")
        if len(values) != self.size:
            raise AgentError(f"{expected}, found {len(values)}")
        return list(values)

    def _near(self, graph: Any, names: Sequence[str]) -> dict[int, list[int]]:
        """The neighbours of every rank, ascending. A graph may have agents who are no members."""
        if graph is None:
            return {r: [k for k in range(self.size) if k != r] for r in range(self.size)}
        try:
            edges: nx.Graph[str] = nx.Graph(graph)
        except (nx.NetworkXError, TypeError):
            raise AgentError(
                f"graph: expected the neighbours of each by name, found {graph!r:.60}"
            ) from None
        for name in edges:
            if name not in names:
                raise AgentError(
                    f"graph: there is no agent {name!r}; {did_you_mean(str(name), names)}"
                )
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


def _is_body(body: Any, size: int) -> bool:
    """Whether a payload is what `_post` sends: [number, kind, step, who, value]."""
    if not isinstance(body, list) or len(body) != 5:
        return False
    number, kind, step, who, _ = body
    is_whole = all(type(each) is int for each in (number, kind, step, who))
    is_known = is_whole and 0 <= kind < len(KINDS) and number >= 0 and step >= 0
    return is_known and bool(0 < who < 1 << size)


def _finished(found: Collected, op: str) -> Collected:
    """With the operator's last step done, over those who contributed."""
    if found.value is None:
        return found
    value = finished(op, np.asarray(found.value), len(found.contributed))
    return replace(found, value=given(value))


def _plain(found: Collected) -> Collected:
    return replace(found, value=given(found.value))
