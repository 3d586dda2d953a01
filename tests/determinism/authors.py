"""Agents for the tests of determinism: chatty, with timers, timeouts, tasks at equal instants."""

from __future__ import annotations

import asyncio

import sim


class Chatter(sim.Agent):
    """Publishes on two topics, answers requests, asks others, and acts on what it heard."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.decide())
            group.create_task(self.listen())
            group.create_task(self.ask())
            group.create_task(self.tick())

    async def decide(self) -> None:
        async for obs in self.observations():
            heard = self.inbox("state", last=4)
            value = sum(m.payload["x"] for m in heard) + float(self.rng.normal())
            self.act([value + obs.time])
            self.publish("state", {"x": value, "n": obs.missed})

    async def listen(self) -> None:
        while True:
            message = await self.receive("alarm", timeout=0.7)
            if message is None:
                self.publish("alarm", self.now)

    async def ask(self) -> None:
        others = [name for name in self.names if name != self.name]
        while True:
            await asyncio.sleep(float(self.rng.uniform(0.05, 0.5)))
            try:
                async with asyncio.timeout(0.1):
                    await self.request(others[int(self.rng.integers(len(others)))], "guess", 3)
            except TimeoutError:
                self.log("no answer")

    async def tick(self) -> None:
        async for _ in self.every(0.25):
            tasks = [asyncio.create_task(asyncio.sleep(d)) for d in (0.05, 0.05, 0.1)]
            done, pending = await asyncio.wait(tasks, timeout=0.05)
            for task in pending:
                task.cancel()
            self.publish("ticked", [len(done), len(pending)])

    @sim.serves("guess")
    async def guess(self, message: sim.Message) -> float:
        await asyncio.sleep(0.03)
        return float(self.rng.integers(1000)) + message.payload


class Bystander(sim.Agent):
    """Draws, and talks on a topic of its own."""

    async def run(self) -> None:
        async for _ in self.every(0.1):
            self.publish("aside", float(self.rng.normal()))
            self.latest("aside")


class Walker(sim.Agent):
    """Leaves a trace of its random numbers."""

    async def run(self) -> None:
        self.subscribe("step")
        async for _ in self.observations():
            self.log(f"{self.rng.normal():.17g}")
            self.publish("step", 1)


class Meter(sim.Agent):
    """Observes, listens, talks, acts and asks, and says all that it sees."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.decide())
            group.create_task(self.tick())
            group.create_task(self.ask())

    async def decide(self) -> None:
        async for obs in self.observations():
            heard = [m.payload for m in self.inbox("state", last=4)]
            x = sum(h["x"] for h in heard) / 4 + float(self.rng.normal())
            self.act([x + obs.time])
            self.publish("state", {"x": x, "n": len(heard), "seen": obs.values})
            self.log(f"sees {obs.values.tolist()} {obs.missed} hears {heard}")
            if self.name == "agent-4":
                await asyncio.sleep(0.23)

    async def tick(self) -> None:
        async for _ in self.every(0.07):
            self.publish("clock", [self.clock, self.now])
            self.log(f"{self.clock:.9f} {[m.payload for m in self.inbox('clock', last=3)]}")

    async def ask(self) -> None:
        while True:
            await asyncio.sleep(float(self.rng.uniform(0.05, 0.4)))
            other = self.names[int(self.rng.integers(len(self.names)))]
            reply = await self.request(other, "guess", 3, timeout=0.2)
            self.log(f"{other}: {reply.payload if reply else None}")

    @sim.serves("guess")
    async def guess(self, message: sim.Message) -> float:
        await asyncio.sleep(0.03)
        return float(self.rng.integers(1000)) + message.payload
