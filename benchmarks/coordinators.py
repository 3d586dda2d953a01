"""Agents of the benchmark of collectives and auctions."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import sim

APART_S: Final = 20.0
"""From one call to the next."""
TOLD: list[tuple[bool, float]] = []
"""Of each call and who took part: whether it ended as it should, and its virtual seconds."""


class Member(sim.Agent):
    """Makes the same call of its communicator again and again, all members at the same time."""

    async def run(self) -> None:
        ring = {
            name: [self.names[i - 1], self.names[(i + 1) % len(self.names)]]
            for i, name in enumerate(self.names)
        }
        team = sim.Communicator(self, timeout="10s", graph=ring)
        call, options = self.params["call"], self.params["options"]
        value = {"scatter": [[1.0] * team.size], "barrier": [], "elect": []}.get(call, [1.0])
        for number in range(self.params["calls"]):
            await asyncio.sleep((number + 1) * APART_S - self.now)
            found = await getattr(team, call)(*value, **options)
            # News from afar does not come round a large ring in these rounds of consensus.
            is_right = found.outcome in ("complete", "sent", "estimate") or call == "consensus"
            TOLD.append((is_right, found.seconds))


def bid_of(format: str, rank: int) -> Any:
    """One item, or one unit of it, for everybody; in a market every other sells."""
    if format == "parallel":
        return {"lot": 1.0 + rank}
    if format == "vcg":
        return [[["lot"], 1.0 + rank]]
    if format.startswith("double"):
        return [[1.0, 9.0]] if rank % 2 else [[-1.0, 3.0]]
    return 1.0 + rank % 9


class Trader(sim.Agent):
    """The first of the group sells, the others bid."""

    async def run(self) -> None:
        auction, format = sim.Auction(self), self.params["format"]
        rank = self.names.index(self.name)
        if rank:
            async for call in auction.calls():
                call.bid(bid_of(format, rank))
        for number in range(self.params["calls"]):
            await asyncio.sleep((number + 1) * APART_S - self.now)
            start = 10.0 if format == "dutch" else 0.0
            found = await auction.hold("lot", format=format, start=start, closes_in="5s")
            TOLD.append((not found.missing and not found.invalid, found.seconds))
