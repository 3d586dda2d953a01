"""Three agents share one thin line behind a hub; what finds no room is dropped.

a ──┐
b ──┼── hub ═══ 1 kB/s, 250 bytes may wait ═══▶ sink
c ──┘
"""

from __future__ import annotations

import asyncio

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 1s
world: {{kind: blank, agents: 0}}
agents:
  a: {{count: 1, behaviour: "{__file__}:Source", params: {{at: 0.002}}}}
  b: {{count: 1, behaviour: "{__file__}:Source", params: {{at: 0.001}}}}
  c: {{count: 1, behaviour: "{__file__}:Source", params: {{at: 0.003}}}}
  sink: {{count: 1, behaviour: "{__file__}:Sink"}}
network:
  topology: star
  hub: hub
  default: {{latency: 5ms}}
  links: [{{from: hub, to: sink, rate: 1kB/s, queue: 250}}]
"""


class Source(sim.Agent):
    """Sends payloads of 97 bytes, 100 on the wire."""

    async def run(self) -> None:
        await asyncio.sleep(self.params["at"])
        for _ in range(2):
            self.send("sink", "block", bytes(98))
            await asyncio.sleep(0.2)


class Sink(sim.Agent):
    async def run(self) -> None:
        while True:
            message = await self.receive("block")
            self.log(f"{message.sender}, {len(message.body)} bytes")


def test_shared_queue() -> None:
    kernel = run(SCENARIO)
    # b is first at the hub (6 ms) and takes 100 ms; a waits; c finds 199 of 250 bytes taken.
    assert trace(kernel) == [
        (111, "sink", "b, 100 bytes"),
        (211, "sink", "a, 100 bytes"),
        (311, "sink", "b, 100 bytes"),
        (411, "sink", "a, 100 bytes"),
    ]
    dropped = {a.source: a.dropped for a in kernel.network.ledger.accounts()}
    assert dropped == {"a": {}, "b": {}, "c": {"queue": 2}}
