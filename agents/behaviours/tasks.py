"""Ways of a team to divide tasks: bundles by consensus, sealed bids, or one who knows it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from agents.agent import Agent, Observation, serves
from agents.auctions.allocate import allocate
from agents.auctions.auction import Auction
from agents.behaviours.classics import Rule as ClassicRule
from agents.channels import Message
from agents.collectives.communicator import Communicator
from sim.worlds.graphs import graph_of
from sim.worlds.tasks import assignment

MILLIONTHS: Final = 1e6


class Rule(ClassicRule):
    """Sets out for what is worth most to itself, without a word to anybody."""

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        worth, room = self.field(obs, "worth"), self.field(obs, "room")
        place = xp.argsort(xp.argsort(worth, axis=1, descending=True), axis=1)
        claim = xp.astype((xp.astype(place, obs.dtype) < room) & (worth > 0), obs.dtype)
        return xp.concat((claim, xp.ones_like(room)), axis=-1), {}


class Robot(Agent):
    """What all methods have in common. The first of the team leads, where somebody does."""

    @property
    def lead(self) -> str:
        return self.names[0]

    async def rounds(self) -> AsyncIterator[Observation]:
        """The first observation of every round."""
        known = -1.0
        async for seen in self.observations():
            if seen.round != known:
                known = seen.round
                yield seen

    def take(self, tasks: Iterable[int]) -> None:
        """States for which tasks this robot sets out."""
        claim = np.zeros(self.observation_space.index("worth").stop)
        claim[list(tasks)] = 1.0
        self.act(np.append(claim, 1.0))


class Cbba(Robot):
    """A bundle for each, agreed upon with its neighbours.

    graph: of the neighbours. rounds, timeout: of `sim.allocate`, within a round of the world.
    """

    def __init__(self, graph: str = "ring", rounds: int = 20, timeout: float = 8.0) -> None:
        self.graph, self.steps, self.timeout = graph, rounds, timeout

    async def run(self) -> None:
        team = Communicator(self, graph=graph_of(self.graph, self.names))
        async for seen in self.rounds():
            worth = np.rint(MILLIONTHS * seen.worth).astype(int).tolist()

            def score(path: tuple[int, ...], worth: list[int] = worth) -> int:
                return sum(worth[j] for j in path)

            found = await allocate(
                team, score, len(worth), rounds=self.steps, room=int(seen.room),
                number=int(seen.round), timeout=self.timeout,
            )  # fmt: skip
            self.take(found.path)


class Sealed(Robot):
    """The first of the team sells all tasks at once, by sealed bids, to the others and itself.

    Who wins more than it can do keeps what is worth most to it, and the rest is sold again among
    those with room left.

    span: seconds of a round for sales. closes_in, settle, tries: of each, see `sim.Auction.hold`.
    """

    def __init__(
        self, span: float = 8.0, closes_in: float = 1.0, settle: float = 1.0, tries: int = 2
    ) -> None:
        self.span = span
        self.options: Any = {"closes_in": closes_in, "settle": settle, "tries": tries}
        self.seen: Observation | None = None
        self.mine: list[int] = []

    async def run(self) -> None:
        auction = Auction(self, "tasks")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._buy(auction))
            async for seen in self.rounds():
                self.seen, self.mine = seen, []
                if self.name == self.lead:
                    await self._sell(auction, seen)

    async def _sell(self, auction: Auction, seen: Observation) -> None:
        longest = self.options["closes_in"] + self.options["settle"]
        room = dict.fromkeys(self.names, int(seen.room))
        left = [f"{int(seen.round)}:{j}" for j in range(len(seen.worth))]
        while left and room and self.now + longest <= seen.time + self.span:
            result = await auction.hold(left, list(room), format="parallel", **self.options)
            for name, share in result.shares.items():
                kept = _greatest(share.items, result.bids[name], room[name])
                left = [item for item in left if item not in kept]
                room[name] -= len(kept)
            room = {name: places for name, places in room.items() if places}

    async def _buy(self, auction: Auction) -> None:
        async for call in auction.calls():
            bid = self._worth(call.items)
            if not bid:
                call.decline()
                continue
            call.bid(bid)
            won = (await call.award()).items
            if self.seen is not None and (still := self._worth(won)):
                kept = _greatest(won, bid, int(self.seen.room) - len(self.mine))
                self.mine += [int(item.partition(":")[2]) for item in kept if item in still]
                self.take(self.mine)

    def _worth(self, items: Iterable[str]) -> dict[str, float]:
        """Of those items that are of this round; of none without room."""
        if self.seen is None or len(self.mine) >= self.seen.room:
            return {}
        now = f"{int(self.seen.round)}"
        parts = {item: item.partition(":") for item in items}
        worth = {i: float(self.seen.worth[int(j)]) for i, (n, _, j) in parts.items() if n == now}
        return {item: each for item, each in worth.items() if each > 0}


def _greatest(items: Sequence[str], worth: Mapping[str, float], room: int) -> list[str]:
    return sorted(items, key=lambda item: -worth[item])[:room]


class Central(Robot):
    """The first of the team is told everything, and tells each its part of the best allocation.

    wait:  seconds for which it waits for those of whom it has not heard; it plans without them.
    retry: seconds after which it is asked again, for `tries` times in all.
    """

    def __init__(self, wait: float = 4.0, retry: float = 1.0, tries: int = 8) -> None:
        self.wait, self.retry, self.tries = wait, retry, tries
        self.plan: _Plan | None = None

    async def run(self) -> None:
        async for seen in self.rounds():
            number, room, worth = int(seen.round), int(seen.room), seen.worth.tolist()
            if self.name == self.lead:
                self.take(await self._part(self.name, number, room, worth))
                continue
            for _ in range(self.tries):
                reply = await self.request(self.lead, "worth", [number, room, worth], self.retry)
                if reply is not None:
                    self.take(reply.payload)
                    break

    @serves("worth")
    async def asked(self, message: Message) -> list[int]:
        return await self._part(message.sender, *message.payload)

    async def _part(self, name: str, number: int, room: int, worth: list[float]) -> list[int]:
        if self.plan is None or number > self.plan.number:
            self.plan = _Plan(number, room, self.now + self.wait)
        plan = self.plan
        if number < plan.number:
            return []
        return await plan.part(name, worth, len(self.names), self.now)


class _Plan:
    """What the lead knows of a round, and what it decides once that is all, or time is up."""

    def __init__(self, number: int, room: int, due: float) -> None:
        self.number, self.room, self.due = number, room, due
        self.heard: dict[str, list[float]] = {}
        self.is_whole = asyncio.Event()
        self.parts: dict[str, list[int]] | None = None

    async def part(self, name: str, worth: list[float], among: int, now: float) -> list[int]:
        self.heard[name] = worth
        if len(self.heard) == among:
            self.is_whole.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self.due - now, 0.0)):
                await self.is_whole.wait()
        if self.parts is None:
            names = list(self.heard)
            pairs = assignment(np.array(list(self.heard.values())), self.room)
            self.parts = {each: [j for i, j in pairs if names[i] == each] for each in names}
        return self.parts.get(name, [])
