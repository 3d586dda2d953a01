"""Requests to a server that takes its time: served side by side, one refused, one too late.

alice ══10ms══ server ══30ms══ bob
"""

from __future__ import annotations

import asyncio

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 500ms
world: {{kind: blank, agents: 0}}
agents:
  alice:  {{count: 1, behaviour: "{__file__}:Client"}}
  bob:    {{count: 1, behaviour: "{__file__}:Client"}}
  server: {{count: 1, behaviour: "{__file__}:Server"}}
network:
  topology: star
  hub: server
  default: {{latency: 10ms}}
  links: [{{from: bob, to: server, latency: 30ms, both: true}}]
"""


class Server(sim.Agent):
    @sim.serves("root")
    async def root(self, message: sim.Message) -> float:
        self.log(f"{message.sender} asks for {message.payload}")
        await asyncio.sleep(0.05)
        return message.payload**0.5 if message.payload >= 0 else 1 / 0


class Client(sim.Agent):
    async def run(self) -> None:
        for number, timeout in ((4, None), (9, 0.1), (-1, None)):
            try:
                reply = await self.request("server", "root", number, timeout=timeout)
            except sim.SimError as error:
                self.log(str(error))
            else:
                self.log(f"{number}: {reply.payload if reply else 'too late'}")


def test_request() -> None:
    told = trace(run(SCENARIO))
    refused = "server refused 'root': ZeroDivisionError: division by zero"
    assert [line for line in told if line[1] == "alice"] == [
        (70, "alice", "4: 2.0"),
        (140, "alice", "9: 3.0"),
        (210, "alice", refused),
    ]
    assert [line for line in told if line[1] == "bob"] == [
        (110, "bob", "4: 2.0"),
        (210, "bob", "9: too late"),
        (320, "bob", refused),
    ]
    assert [line for line in told if line[1] == "server"] == [
        (10, "server", "alice asks for 4"),
        (30, "server", "bob asks for 4"),
        (80, "server", "alice asks for 9"),
        (140, "server", "bob asks for 9"),
        (150, "server", "alice asks for -1"),
        (240, "server", "bob asks for -1"),
    ]
