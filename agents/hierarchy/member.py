"""How a member of a group is led: it answers who calls it, and keeps the latest set-point.

    async for setpoint in sim.follow(self, tree, report=lambda: [self.demand_kw]):
        self.act(draw=setpoint.value[0])

Several of a group's line may believe that they lead it. A member answers and follows the one of the
highest term, and in one term the earlier in the line, until that one's lease has run out; so it
need not find out who is alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.channels import Message
from agents.hierarchy.tree import Tree
from sim.errors import AgentError, MalformedFrameError
from sim.ids import did_you_mean
from sim.units import SECOND

if TYPE_CHECKING:
    from agents.agent import Agent

Vector = NDArray[np.float64]
CALL, SETPOINT = range(2)
"""What comes down: [CALL, term, lease_ns, round], [SETPOINT, term, lease_ns, issued_ns, vector].
What goes up: [term, round, when the last set-point was sent, by whom, member, vector]; the term is
that in which a member that is a group is led itself."""


@dataclass(frozen=True)
class Setpoint:
    """What a member is to do.

    value:     vector. issued_ns: when the root decided; coordinators on the way keep that instant.
    sender:    the coordinator of `group` that sent it, in its `term`.
    age:       seconds from the root's decision to its arrival here.
    recovered: seconds since the last set-point of another coordinator, if this is the first of a
               new one; else None.
    """

    value: Vector
    group: str
    sender: str
    term: int
    issued_ns: int
    sent_ns: int
    age: float
    recovered: float | None = None

    @property
    def issued(self) -> float:
        return self.issued_ns / SECOND


async def follow(
    agent: Agent, tree: Mapping[str, Any], report: Callable[[], Any], tag: str = "tree"
) -> AsyncIterator[Setpoint]:
    """Each set-point for this agent as it comes; if it was busy, only the latest.

    report: a number or a vector that says how it is with this agent, asked once per round;
            None: nothing to say. tag: of the topics, the same for the whole tree.
    Raises: AgentError if the tree is none, or this agent in no group of it.
    """
    found = Tree(tree, agent.names)
    if agent.name not in found.parent:
        close = did_you_mean(agent.name, found.parent)
        raise AgentError(f"tree: {agent.name!r} is in no group; {close}")
    news = asyncio.Event()
    follower = Follower(agent, found, agent.name, tag, news.set)

    def answer() -> None:
        said = report()
        if said is not None:
            follower.answer(np.atleast_1d(np.asarray(said, dtype=np.float64)), 0)

    follower.on_call = answer
    while True:
        await news.wait()
        news.clear()
        assert follower.setpoint is not None
        yield follower.setpoint


class Follower:
    """A member of a group as one agent plays it: whom it follows, what it was told.

    on_call: what to do when it is called. setpoint: the last one; None before the first.
    """

    def __init__(
        self, agent: Agent, tree: Tree, member: str, tag: str, on_setpoint: Callable[[], None]
    ) -> None:
        self.group = tree.parent[member]
        self.setpoint: Setpoint | None = None
        self.on_call: Callable[[], None] = lambda: None
        self._agent, self._member, self._on_setpoint = agent, member, on_setpoint
        self._line = tree.groups[self.group].line
        self._topic = f"{tag}-up-{self.group}"
        self._call: tuple[str, int] | None = None
        self._best, self._until_ns = (-1, 0), 0
        agent._cell.channels.claim(f"{tag}-down-{member}", self._on_message)

    def answer(self, value: Vector, term: int) -> None:
        """Tells who called last; once per call."""
        if self._call is not None:
            (caller, number), self._call = self._call, None
            last = self.setpoint
            told = (-1, "") if last is None else (last.sent_ns, last.sender)
            self._agent.send(caller, self._topic, [term, number, *told, self._member, value])

    def _on_message(self, message: Message) -> None:
        body = whole(message, 4)
        if body is None or message.sender not in self._line:
            return
        kind, term, lease_ns, number = body[:4]
        if not self._follows(message, term, lease_ns):
            return
        if kind == CALL:
            self._call = message.sender, number
            self.on_call()
        elif kind == SETPOINT and len(body) == 5 and (value := vector(body[4])) is not None:
            self._take(message, term, number, value)

    def _follows(self, message: Message, term: int, lease_ns: int) -> bool:
        rank, now = (term, -self._line.index(message.sender)), message.arrived_ns
        if rank < self._best and now < self._until_ns:
            return False
        self._best, self._until_ns = rank, now + lease_ns
        return True

    def _take(self, message: Message, term: int, issued_ns: int, value: Vector) -> None:
        last, sent_ns = self.setpoint, message.sent_ns
        if last is not None and sent_ns < last.sent_ns and message.sender == last.sender:
            return  # overtaken on its way
        is_first = last is not None and last.sender != message.sender
        since = (sent_ns - last.sent_ns) / SECOND if last is not None and is_first else None
        age = (message.arrived_ns - issued_ns) / SECOND
        self.setpoint = Setpoint(
            value, self.group, message.sender, term, issued_ns, sent_ns, age, since
        )
        self._on_setpoint()


def whole(message: Message, numbers: int) -> list[Any] | None:
    """A payload that is a list and begins with so many whole numbers; None for any other."""
    try:
        body = message.payload
    except MalformedFrameError:
        return None
    is_fine = isinstance(body, list) and len(body) >= numbers
    return body if is_fine and all(type(each) is int for each in body[:numbers]) else None


def vector(given: Any) -> Vector | None:
    """Numbers as float64 [k]; None if they are none, or not finite."""
    try:
        found = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return found if found.ndim == 1 and np.isfinite(found).all() else None
