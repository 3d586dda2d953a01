"""A counter is killed and comes back: what it saved is there, what was said meanwhile is not.

clock ──10ms──▶ counter            killed from 250 to 450 ms
"""

from __future__ import annotations

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 700ms
world: {{kind: blank, agents: 0}}
agents:
  clock:   {{count: 1, behaviour: "{__file__}:Clock"}}
  counter: {{count: 1, behaviour: "{__file__}:Counter"}}
network: {{default: {{latency: 10ms}}}}
faults: [{{at: 250ms, kill: counter, for: 200ms}}]
"""


class Clock(sim.Agent):
    async def run(self) -> None:
        async for now in self.every(0.1):
            self.publish("tick", round(now * 10))


class Counter(sim.Agent):
    async def run(self) -> None:
        count = self.load() or 0
        self.log(f"begins with {count}")
        while True:
            message = await self.receive("tick")
            count += 1
            self.save(count)
            self.log(f"tick {message.payload}, count {count}")


def test_restart() -> None:
    kernel = run(SCENARIO)
    assert trace(kernel) == [
        (0, "counter", "begins with 0"),
        (10, "counter", "tick 0, count 1"),
        (110, "counter", "tick 1, count 2"),
        (210, "counter", "tick 2, count 3"),
        (450, "counter", "begins with 3"),
        (510, "counter", "tick 5, count 4"),
        (610, "counter", "tick 6, count 5"),
    ]
    # Nobody subscribes while it is down, so the ticks of 300 and 400 ms are sent to nobody.
    assert kernel.network.totals()["sent"] == 5
