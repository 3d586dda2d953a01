"""Reservations at a junction without signals: a manager sells zones of the box, vehicles bid.

A vehicle that nears the line bids for all zones of its way at once: what a second of its time is
worth, times the seconds it has lost and a few for having to stop. It says so again and again until
it crosses. Twice a second the manager auctions the zones that are free among those it has heard
(VCG: those who are in nobody's way win together, and nobody gains by saying anything but the
truth). Who wins has a lease, until an instant. A zone that somebody from one approach has may be
had by those who follow from there, `platoon` times in a row.

All state is soft: ten times a second the manager says whom it has heard and who has a lease, the
next message makes good for one that was lost, and what is not heard of runs out by itself. Who is
not known to the manager for `patience` stops at the line and goes in turn, as at an all-way stop;
who has a lease and sees somebody in its way waits for that. A manager that starts anew sells
nothing, and knows nobody, until the leases of the one before it have run out.

Sources: Dresner and Stone, A multiagent approach to autonomous intersection management, 2008;
Gray and Cheriton, Leases, 1989; SAE J2735 repeats requests and their status likewise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from agents.agent import Agent, Observation
from agents.channels import Message
from sim.errors import MalformedFrameError
from sim.mechanisms.vcg import clear
from sim.worlds.junctions.crossing import HARD
from sim.worlds.junctions.layout import zones_of
from sim.worlds.junctions.params import GO, STOP, WAIT

BIDS: Final = "bids"
"""From a vehicle to the manager: a `Bid`."""
SLOTS: Final = "slots"
"""From the manager to all: a `Slot` for each vehicle that it knows of, by name."""
STOPPING_S: Final = 5.0
"""What having to stop costs, about."""
_TICKS: Final = 1_000_000
"""Of bids and prices, which the rule counts in integers."""


class Bid(msgspec.Struct, frozen=True, array_like=True):
    """value: of its way, in seconds of an average vehicle."""

    serial: int
    approach: Annotated[int, Meta(ge=0, le=3)]
    movement: Annotated[int, Meta(ge=0, le=2)]
    value: Annotated[float, Meta(ge=0, le=1e6)]

    @property
    def zones(self) -> frozenset[int]:
        return zones_of(self.approach, self.movement)


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """until: s up to which it may go; 0: it has been heard, and has not won. pays: as its bid."""

    serial: int
    until: float = 0.0
    pays: float = 0.0


def sell(bids: Sequence[Bid], key: int = 0) -> list[float | None]:
    """By VCG, every zone at most once: what each pays, None for who does not win.

    key: of the lots among equals.
    """
    awards = clear([[(bid.zones, round(bid.value * _TICKS))] for bid in bids], key)
    return [award.pays / _TICKS if award.items else None for award in awards]


def read(message: Message | None, kind: Any) -> Any:
    """What a message says, None if there is none or it is nonsense."""
    try:
        return message and msgspec.convert(message.payload, kind)
    except (msgspec.ValidationError, MalformedFrameError):
        return None


class Manager(Agent):
    """Sells zones of the box, every `period`, and says every `repeat` how things stand.

    lease: s for which zones are kept for who has won them, before it is seen there. platoon: how
    many in a row may have a zone from one approach. fresh: s for which a bid counts.
    """

    def __init__(
        self, period: float | str = "500ms", repeat: float | str = "100ms", lease: float = 2.5,
        platoon: int = 6, fresh: float = 1.0,
    ) -> None:  # fmt: skip
        self.period, self.repeat = period, repeat
        self.lease, self.platoon, self.fresh = float(lease), int(platoon), float(fresh)
        self.taken: list[int] = [-1] * 4
        self.heard: dict[int, tuple[float, str, Bid]] = {}
        """By approach, where only who is first bids: when the last bid was sent, by whom, what."""
        self.leases: dict[str, tuple[Bid, Slot]] = {}
        self.row = [0] * 4

    async def run(self) -> None:
        self.subscribe(BIDS)
        if self.now:  # not the first one: what was sold before has to run out
            await asyncio.sleep(self.lease)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._listen())
            tasks.create_task(self._tell())
            async for _ in self.every(self.period):
                self._sell()

    async def _watch(self) -> None:
        async for seen in self.observations():
            self.taken = [int(k) for k in seen.held]

    async def _listen(self) -> None:
        while True:
            message = await self.receive(BIDS)
            bid = read(message, Bid)
            if message and bid:
                sent, *_ = self.heard.get(bid.approach, (0.0,))
                if message.sent >= sent:
                    self.heard[bid.approach] = message.sent, message.sender, bid

    async def _tell(self) -> None:
        async for _ in self.every(self.repeat):
            told = {name: Slot(bid.serial) for name, bid in self._known().items()}
            told |= {name: slot for name, (_, slot) in self._leased().items()}
            self.publish(SLOTS, msgspec.to_builtins(told))

    def _known(self) -> dict[str, Bid]:
        since = self.now - self.fresh
        return {name: bid for sent, name, bid in self.heard.values() if sent >= since}

    def _leased(self) -> dict[str, tuple[Bid, Slot]]:
        self.leases = {k: lease for k, lease in self.leases.items() if lease[1].until > self.now}
        return self.leases

    def _sell(self) -> None:
        owners = self._owners()
        leased = {(name, slot.serial) for name, (_, slot) in self.leases.items()}
        bids = {
            name: bid
            for name, bid in self._known().items()
            if (name, bid.serial) not in leased and self._may_have(bid, owners)
        }
        prices = sell(list(bids.values()), int(self.rng.integers(2**32)))
        for (name, bid), pays in zip(bids.items(), prices, strict=True):
            if pays is not None:
                self.leases[name] = bid, Slot(bid.serial, self.now + self.lease, pays)
                for zone in bid.zones:
                    self.row[zone] += 1

    def _owners(self) -> list[set[int]]:
        """Approaches that have each zone, as is seen and was sold."""
        owners = [{k} if k >= 0 else set() for k in self.taken]
        for bid, _ in self._leased().values():
            for zone in bid.zones:
                owners[zone].add(bid.approach)
        self.row = [n if own else 0 for n, own in zip(self.row, owners, strict=True)]
        return owners

    def _may_have(self, bid: Bid, owners: Sequence[set[int]]) -> bool:
        return all(
            not owners[zone] or (owners[zone] == {bid.approach} and self.row[zone] < self.platoon)
            for zone in bid.zones
        )


class Vehicle(Agent):
    """Bids for its way through the box, in time to pass without stopping.

    lead: s before it has to decide, at which it begins to bid. patience: s without a word of the
    manager's on this vehicle, after which it takes the junction for an all-way stop.
    """

    def __init__(self, lead: float = 1.5, patience: float = 2.0) -> None:
        self.lead, self.patience = float(lead), float(patience)
        self.slot, self.told = Slot(-1), 0.0
        """What the manager last said of this vehicle, and when."""

    async def run(self) -> None:
        self.subscribe(SLOTS)
        async for seen in self.observations():
            if seen.present and seen.approach >= 0:
                self._hear(int(seen.serial))
                self._bid(seen)
            self.act(crossing=self._crossing(seen))

    def _hear(self, serial: int) -> None:
        """Takes the last of the manager's messages that names it."""
        message = self.latest(SLOTS, self.patience)
        slots = read(message, dict[str, Slot]) or {}
        slot = slots.get(self.name)
        if message and slot and slot.serial == serial:
            self.slot, self.told = slot, message.sent

    def _bid(self, seen: Observation) -> None:
        reach = seen.speed * seen.speed / (2 * HARD) + seen.speed * self.lead + 3.0
        if seen.first and not seen.committed and seen.distance <= reach:
            value = float(seen.worth * (seen.waited + STOPPING_S))
            bid = Bid(int(seen.serial), int(seen.approach), int(seen.movement), value)
            self.send("manager", BIDS, msgspec.to_builtins(bid))

    def _crossing(self, seen: Observation) -> int:
        is_known = self.slot.serial == seen.serial and self.now - self.told < self.patience
        if is_known and self.now < self.slot.until and seen.free:
            return GO
        return WAIT if is_known else STOP
