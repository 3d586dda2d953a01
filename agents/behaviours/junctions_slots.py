"""Reservations at a junction without signals: a manager sells zones of the box, vehicles bid.

Again and again the manager auctions the zones that are free (VCG: those who are in nobody's way win
together, and nobody gains by saying anything but the truth). A vehicle that nears the line bids for
all zones of its way at once: what a second of its time is worth, times the seconds it has lost and
a few for having to stop. Who has won drives on. A zone that somebody from one approach has may be
had by those who follow from there, `platoon` times in a row.

Who has heard of no auction for `patience` stops at the line and goes in turn, as at an all-way
stop. A manager that starts anew first says that it is there, and a `period` later sells what it
then sees to be free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from agents.agent import Agent, Observation
from agents.auctions.auction import Auction
from agents.auctions.calls import Call
from sim.worlds.junctions.crossing import HARD
from sim.worlds.junctions.layout import approach_of, zones_of
from sim.worlds.junctions.params import GO, STOP, WAIT

TOPIC: Final = "slots"
STOPPING_S: Final = 5.0
"""What having to stop costs, about."""


def item(zone: int, approach: int | None = None) -> str:
    """A zone as it is sold: to anybody, or to who follows from an approach that has it already."""
    return f"{zone}" if approach is None else f"{zone} after {approach}"


def bundle(items: Iterable[str], approach: int, movement: int) -> list[str]:
    """What a movement needs of what is sold; nothing if not all of it is."""
    sold, wanted = set(items), []
    for zone in sorted(zones_of(approach, movement)):
        offers = [name for name in (item(zone), item(zone, approach)) if name in sold]
        if not offers:
            return []
        wanted += offers
    return wanted


class Manager(Agent):
    """Sells zones of the box, every `period` if there is time.

    hold: s for which a zone is kept for who has won it, before it is seen there. platoon: how many
    in a row may have a zone from one approach. closes_in, settle, tries: of an auction.
    """

    def __init__(
        self, period: float | str = "500ms", hold: float = 2.5, platoon: int = 6,
        closes_in: float | str = "200ms", settle: float | str = "200ms", tries: int = 2,
    ) -> None:  # fmt: skip
        self.period, self.hold, self.platoon = period, float(hold), int(platoon)
        self.terms: Any = {"closes_in": closes_in, "settle": settle, "tries": tries}
        self.taken: list[int] = [-1] * 4
        self.sold: dict[int, tuple[int, float]] = {}
        self.row = [0] * 4

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            await self._sell(Auction(self, TOPIC))

    async def _watch(self) -> None:
        async for seen in self.observations():
            self.taken = [int(k) for k in seen.held]

    async def _sell(self, auction: Auction) -> None:
        is_new = True
        async for _ in self.every(self.period):
            # Nothing is sold before all have heard that nobody goes in turn any more, and before
            # those who still went are seen in the box.
            offers, is_new = [] if is_new else self._offers(), False
            if not offers:
                # Nothing to sell, but vehicles have to know that somebody is there.
                self.publish("open", [0.0])
                continue
            result = await auction.hold(offers, "vehicle-*", format="vcg", **self.terms)
            for share in result.shares.values():
                self._note(share.items)

    def _offers(self) -> list[str]:
        offers = []
        for zone in range(4):
            owner = self._owner(zone)
            if owner < 0:
                self.row[zone] = 0
                offers.append(item(zone))
            elif self.row[zone] < self.platoon:
                offers.append(item(zone, owner))
        return offers

    def _owner(self, zone: int) -> int:
        """The approach that has a zone, by what is seen or was sold; -1 if it is free."""
        if self.taken[zone] >= 0:
            return self.taken[zone]
        approach, until = self.sold.get(zone, (-1, 0.0))
        return approach if self.now < until else -1

    def _note(self, items: Iterable[str]) -> None:
        zones = frozenset(int(name.split()[0]) for name in items)
        for zone in zones:
            self.sold[zone] = approach_of(zones), self.now + self.hold
            self.row[zone] += 1


class Vehicle(Agent):
    """Bids for its way through the box, in time to pass without stopping.

    lead: s before it has to decide, at which it begins to bid. patience: s without any auction
    after which the junction is an all-way stop. valid: s for which an award counts.
    """

    def __init__(self, lead: float = 1.5, patience: float = 2.0, valid: float = 2.5) -> None:
        self.lead, self.patience, self.valid = float(lead), float(patience), float(valid)
        self.seen: Observation | None = None
        self.heard = -patience
        self.won: tuple[float, float] = (-1.0, 0.0)

    async def run(self) -> None:
        auction = Auction(self, TOPIC)
        self.subscribe("open")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._bid(auction, tasks))
            async for seen in self.observations():
                self.seen = seen
                if (still := self.latest("open")) is not None:
                    self.heard = max(self.heard, still.sent)
                self._act(seen)

    def _act(self, seen: Observation) -> None:
        """States what it does at the line."""
        if self.won[0] == seen.serial and self.now < self.won[1]:
            self.act(crossing=GO)
        else:
            self.act(crossing=WAIT if self.now - self.heard < self.patience else STOP)

    async def _bid(self, auction: Auction, tasks: asyncio.TaskGroup) -> None:
        async for call in auction.calls():
            self.heard = self.now
            seen = self.seen
            wanted = self._wanted(call, seen)
            if seen is None or not wanted:
                call.decline()
                continue
            call.bid([[wanted, float(seen.worth * (seen.waited + STOPPING_S))]])
            tasks.create_task(self._await(call, float(seen.serial)))

    async def _await(self, call: Call, serial: float) -> None:
        if (await call.award()).is_won and self.seen is not None:
            self.won = serial, self.now + self.valid
            self._act(self.seen)

    def _wanted(self, call: Call, seen: Observation | None) -> list[str]:
        if seen is None or not seen.present or not seen.first or seen.approach < 0:
            return []
        has_won = self.won[0] == seen.serial and self.now < self.won[1]
        reach = seen.speed * seen.speed / (2 * HARD) + seen.speed * self.lead + 3.0
        if has_won or seen.distance > reach:
            return []
        return bundle(call.items, int(seen.approach), int(seen.movement))
