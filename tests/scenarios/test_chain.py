"""A message over a relay, and one that is faster because it is nearer.

left ──10ms── middle ──20ms── right
                 │
                5ms
                 │
               spur
"""

from __future__ import annotations

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 200ms
world: {{kind: blank, agents: 0}}
agents:
  left:  {{count: 1, behaviour: "{__file__}:Sender"}}
  right: {{count: 1, behaviour: "{__file__}:Receiver"}}
  spur:  {{count: 1, behaviour: "{__file__}:Receiver"}}
network:
  topology: edges
  relays: [middle]
  edges: [[left, middle], [middle, right], [middle, spur]]
  default: {{latency: 10ms}}
  links:
    - {{from: middle, to: right, latency: 20ms}}
    - {{from: middle, to: spur, latency: 5ms}}
"""


class Sender(sim.Agent):
    async def run(self) -> None:
        async for now in self.every(0.05):
            if now < 0.15:
                self.publish("news", now)
                self.log("sent")


class Receiver(sim.Agent):
    async def run(self) -> None:
        while True:
            message = await self.receive("news")
            self.log(f"heard what was sent at {message.sent * 1000:.0f} ms")


def test_chain() -> None:
    kernel = run(SCENARIO)
    assert trace(kernel) == [
        (0, "left", "sent"),
        (15, "spur", "heard what was sent at 0 ms"),
        (30, "right", "heard what was sent at 0 ms"),
        (50, "left", "sent"),
        (65, "spur", "heard what was sent at 50 ms"),
        (80, "right", "heard what was sent at 50 ms"),
        (100, "left", "sent"),
        (115, "spur", "heard what was sent at 100 ms"),
        (130, "right", "heard what was sent at 100 ms"),
    ]
    assert kernel.network.totals()["delivered"] == 6
