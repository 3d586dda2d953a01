"""Two loops at one instant, without latency: turns of one instant, then time goes on.

┌── 0 ──▶ b ── 0 ──┐
a                  │       a counts three turns through b and two through c
▲└─ 0 ──▶ c ── 0 ──┤
└──────────────────┘
"""

from __future__ import annotations

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 30ms
world: {{kind: blank, agents: 0, step: 10ms}}
agents:
  a: {{count: 1, behaviour: "{__file__}:Counter"}}
  b: {{count: 1, behaviour: "{__file__}:Echo"}}
  c: {{count: 1, behaviour: "{__file__}:Echo"}}
network: {{default: {{latency: 0s}}}}
"""


class Counter(sim.Agent):
    async def run(self) -> None:
        left = {"b": 3, "c": 2}
        for name in left:
            self.send(name, "ball", 1)
        while any(left.values()):
            message = await self.receive("ball")
            self.log(f"turn {message.payload} from {message.sender}")
            left[message.sender] -= 1
            if left[message.sender]:
                self.send(message.sender, "ball", message.payload + 1)
        await self.receive("ball", timeout=0.02)
        self.log("rest")


class Echo(sim.Agent):
    async def run(self) -> None:
        while True:
            message = await self.receive("ball")
            self.log(f"turn {message.payload}")
            self.send(message.sender, "ball", message.payload)


def test_two_loops() -> None:
    kernel = run(SCENARIO)
    told = trace(kernel)
    assert [line for line in told if line[1] == "a"] == [
        (0, "a", "turn 1 from b"),
        (0, "a", "turn 1 from c"),
        (0, "a", "turn 2 from b"),
        (0, "a", "turn 2 from c"),
        (0, "a", "turn 3 from b"),
        (20, "a", "rest"),
    ]
    assert [text for _, name, text in told if name == "b"] == ["turn 1", "turn 2", "turn 3"]
    assert [text for _, name, text in told if name == "c"] == ["turn 1", "turn 2"]
    # A window for the start, six for the rounds of messages, two for steps of the world.
    assert kernel.windows == 1 + 6 + 2
