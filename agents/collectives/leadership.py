"""A leader at all times: chosen, heard from, and replaced when it is silent.

    async for leader in sim.leadership(self, "station-*", period="1s"):
        if leader == self.name: ...

The leader says so every period, with the number of its term. Whoever hears nothing for `patience`
periods goes on to the next term and holds an election (`Communicator.elect`). Of two leaders, as
after a partition, the one of the higher term stays, and in one term the earlier member; that is
also how a member that was started anew learns whom to follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from agents.arguments import span_ns
from agents.channels import Message
from agents.collectives.communicator import Communicator
from sim.errors import MalformedFrameError
from sim.units import SECOND

if TYPE_CHECKING:
    from agents.agent import Agent


async def leadership(
    agent: Agent,
    members: str | Sequence[str] = "*",
    tag: str = "leader",
    *,
    period: float | str = 1.0,
    patience: int = 3,
    **options: object,
) -> AsyncIterator[str | None]:
    """Each new leader's name, as this member comes to know of it; None while there is none.

    period:   between two words of the leader. patience: periods of silence until it is given up.
    options:  those of `Communicator`; an election lasts `patience` periods unless `timeout` says.

    A leader that dies is replaced within that silence and one election. Words go on the topic
    `<tag>-word`, elections on `<tag>`. Iterate to the end of the run: it is the iteration that
    leads and listens; work belongs into a task beside it.
    """
    view = View(agent, members, tag, span_ns("period", period), patience, options)
    async for leader in view.changes():
        yield leader


class View:
    """Whom one member follows, in which term; true while `changes` is iterated.

    leader:  by name, None while there is none. heard_ns: when its last word came.
    """

    def __init__(
        self,
        agent: Agent,
        members: str | Sequence[str],
        tag: str,
        period_ns: int,
        patience: int,
        options: dict[str, object],
    ) -> None:
        self._agent, self._topic = agent, f"{tag}-word"
        self._period_ns, self._silence_ns = period_ns, patience * period_ns
        lasting = {"timeout": self._silence_ns / SECOND, **options}
        self._team = Communicator(agent, members, tag, **lasting)  # type: ignore[arg-type]
        self._woken = asyncio.Event()
        self.term, self.heard_ns = 0, agent.now_ns
        self.leader: str | None = None
        agent._cell.channels.claim(self._topic, self._on_word)

    async def changes(self) -> AsyncIterator[str | None]:
        """Each new leader, as `leadership` tells of it."""
        told: str | None = ""
        while True:
            if self.leader != told:
                told = self.leader
                yield told
            await self.step()

    async def step(self) -> None:
        """What comes next: an election, a word, or waiting for one."""
        now = self._agent.now_ns
        if self.leader is None:
            await self._elect()
        elif self.leader == self._agent.name:
            for name in self._team.members:
                if name != self.leader:
                    self._agent.send(name, self._topic, self.term)
            await self._wait(self._period_ns)
        elif now < self.heard_ns + self._silence_ns:
            await self._wait(self.heard_ns + self._silence_ns - now)
        else:
            self.term, self.leader = self.term + 1, None

    async def _elect(self) -> None:
        term = self.term
        found = await self._team.elect(number=term)
        if self.leader is None and self.term == term:
            self.leader, self.heard_ns = found.value, self._agent.now_ns
            self.term += found.value is None

    async def _wait(self, longest_ns: int) -> None:
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_ns / SECOND):
                await self._woken.wait()

    def _on_word(self, message: Message) -> None:
        """Follows the sender if its term is later, or it stands earlier in the same."""
        try:
            term = message.payload
        except MalformedFrameError:
            return
        if type(term) is not int or message.sender not in self._team.members:
            return
        place = self._team.members.index
        is_better = term > self.term or (
            term == self.term
            and (self.leader is None or place(message.sender) <= place(self.leader))
        )
        if is_better:
            self.term, self.leader = term, message.sender
            self.heard_ns = self._agent.now_ns
            self._woken.set()
