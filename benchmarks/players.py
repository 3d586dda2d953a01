"""Agents of the benchmarks."""

from __future__ import annotations

import asyncio

import sim

BODY = b"x" * 58
"""64 bytes as a payload on the wire, with its header."""


class Lockstep(sim.Agent):
    """One action for each observation."""

    async def run(self) -> None:
        async for _ in self.observations():
            self.act([0.5, 1.0, 2.0, 3.0])


class AtNextTick(sim.Agent):
    """Broadcasts each tick; reads what came since when it next wakes."""

    async def run(self) -> None:
        self.subscribe("state")
        async for _ in self.observations():
            self.publish("state", BODY)


class Awaiting(sim.Agent):
    """Broadcasts each tick; a task of its own awaits every single message."""

    async def run(self) -> None:
        listener = asyncio.create_task(self.listen())
        async for _ in self.observations():
            self.publish("state", BODY)
        await listener

    async def listen(self) -> None:
        while True:
            await self.receive("state")
