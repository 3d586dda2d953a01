"""Everything at 200 ms: a fault, a step of the world, an observation, a message, a timer, a task.

sender ──── 50ms ────▶ agent-1          the partition begins at 200 ms, too
"""

from __future__ import annotations

import asyncio

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 300ms
world: {{kind: blank, agents: 1, step: 100ms}}
agents:
  agent-1: {{behaviour: "{__file__}:Watcher"}}
  sender:  {{count: 1, behaviour: "{__file__}:Sender"}}
network: {{default: {{latency: 50ms}}}}
faults: [{{at: 200ms, partition: [agent-1, sender]}}]
"""


class Sender(sim.Agent):
    """Its message of 150 ms is on its way when the link is cut; that of 200 ms is not."""

    async def run(self) -> None:
        async for _ in self.every(0.05):
            self.send("agent-1", "news", self.now)


class Watcher(sim.Agent):
    async def run(self) -> None:
        tasks = (self.timer(), self.listen(), self.watch(), self.follow())
        self.turn = asyncio.Event()
        await asyncio.gather(*tasks)

    async def watch(self) -> None:
        async for obs in self.observations():
            self.log(f"sees {obs.time:.1f}")

    async def listen(self) -> None:
        while True:
            message = await self.receive("news")
            self.log(f"hears {message.payload:.2f}")

    async def timer(self) -> None:
        await asyncio.sleep(0.2)
        self.log("timer")
        self.turn.set()

    async def follow(self) -> None:
        await self.turn.wait()
        self.log("follows")


def test_one_instant() -> None:
    assert [line for line in trace(run(SCENARIO)) if line[1] == "agent-1"] == [
        (0, "agent-1", "sees 0.0"),
        (50, "agent-1", "hears 0.00"),
        (100, "agent-1", "sees 0.1"),
        (100, "agent-1", "hears 0.05"),
        (150, "agent-1", "hears 0.10"),
        (200, "agent-1", "sees 0.2"),
        (200, "agent-1", "hears 0.15"),
        (200, "agent-1", "timer"),
        (200, "agent-1", "follows"),
    ]
