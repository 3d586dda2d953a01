"""A stopped agent misses no message: when it goes on, everything happens at once, in order.

clock ──10ms──▶ sleeper            stopped from 150 to 400 ms
"""

from __future__ import annotations

import asyncio

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 600ms
world: {{kind: blank, agents: 0}}
agents:
  clock:   {{count: 1, behaviour: "{__file__}:Clock"}}
  sleeper: {{count: 1, behaviour: "{__file__}:Sleeper"}}
network: {{default: {{latency: 10ms}}}}
faults: [{{at: 150ms, hang: sleeper, for: 250ms}}]
"""


class Clock(sim.Agent):
    async def run(self) -> None:
        async for now in self.every(0.1):
            self.publish("tick", round(now * 10))


class Sleeper(sim.Agent):
    async def run(self) -> None:
        await asyncio.gather(self.listen(), self.count())

    async def listen(self) -> None:
        while True:
            message = await self.receive("tick")
            self.log(f"tick {message.payload}, {self.age(message) * 1000:.0f} ms old")

    async def count(self) -> None:
        for number in range(4):
            self.log(f"timer {number}")
            await asyncio.sleep(0.14)


def test_hang() -> None:
    assert trace(run(SCENARIO)) == [
        (0, "sleeper", "timer 0"),
        (10, "sleeper", "tick 0, 10 ms old"),
        (110, "sleeper", "tick 1, 10 ms old"),
        (140, "sleeper", "timer 1"),
        (400, "sleeper", "tick 2, 200 ms old"),
        (400, "sleeper", "tick 3, 100 ms old"),
        (400, "sleeper", "timer 2"),
        (410, "sleeper", "tick 4, 10 ms old"),
        (510, "sleeper", "tick 5, 10 ms old"),
        (540, "sleeper", "timer 3"),
    ]
