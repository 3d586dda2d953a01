"""Agents for the tests of kills: they use all that a replay has to bring back."""

import asyncio
import os
import time

import sim


class Busy(sim.Agent):
    """Random numbers, timers, saved state, requests, publications, tasks, prints."""

    async def run(self):
        self.count = (self.load() or {"count": 0})["count"]
        self.tasks = [asyncio.create_task(each) for each in (self.listen(), self.ask())]
        async for obs in self.observations():
            self.count += 1
            self.act([float(self.rng.normal()) + obs.time])
            self.publish("beat", {"n": self.count, "x": float(self.rng.random())})
            if self.count % 5 == 0:
                self.save({"count": self.count})
                print("count", self.count, self.latest("beat"))

    @sim.serves("sum")
    async def total(self, message):
        await asyncio.sleep(float(self.rng.random()) * 0.02)
        return sum(message.payload) + self.count

    async def listen(self):
        self.heard = 0.0
        while True:
            message = await self.receive("beat")
            self.heard += message.payload["x"]

    async def ask(self):
        others = ("agent-1", "agent-2", "agent-3", "agent-4")
        while True:
            await asyncio.sleep(0.03 + float(self.rng.random()) * 0.05)
            to = others[int(self.rng.integers(4))]
            if to != self.name:
                try:
                    reply = await self.request(to, "sum", [self.count, 1], timeout=0.2)
                    self.publish("answer", reply.payload)
                except Exception as error:
                    print("no answer", type(error).__name__)


class Urandom(sim.Agent):
    """Asks the machine for a number, and says it."""

    async def run(self):
        async for obs in self.observations():
            self.publish("beat", {"n": 0, "x": os.urandom(1)[0] / 1e9 + obs.time})


class Clock(sim.Agent):
    """Reads the wall clock, and acts by it."""

    async def run(self):
        async for obs in self.observations():
            self.act([time.time()])


class Stuck(sim.Agent):
    """Spins at 0.3 s."""

    async def run(self):
        await asyncio.sleep(0.3)
        while True:
            pass


class Once(sim.Agent):
    """Finishes at once."""

    async def run(self):
        self.publish("beat", {"n": 1, "x": 1.0})
