"""An auctioneer collects bids until its deadline; the far bidder is late, the cut one absent.

near ──10ms──┐
far  ──80ms──┼── auctioneer        a round each 200 ms, bids count for 50 ms
cut  ──10ms──┘                     cut off from 190 to 390 ms
"""

from __future__ import annotations

import asyncio

from checkers.memory import run, trace

import sim

SCENARIO = f"""
duration: 600ms
world: {{kind: blank, agents: 0}}
agents:
  "[nfc]*": {{}}
  near: {{count: 1, behaviour: "{__file__}:Bidder", params: {{bid: 3}}}}
  far:  {{count: 1, behaviour: "{__file__}:Bidder", params: {{bid: 9}}}}
  cut:  {{count: 1, behaviour: "{__file__}:Bidder", params: {{bid: 5}}}}
  auctioneer: {{count: 1, behaviour: "{__file__}:Auctioneer"}}
network:
  topology: star
  hub: auctioneer
  default: {{latency: 10ms}}
  links: [{{from: far, to: auctioneer, latency: 80ms, both: true}}]
faults: [{{at: 190ms, partition: [cut, auctioneer], for: 200ms}}]
"""


class Bidder(sim.Agent):
    async def run(self) -> None:
        asyncio.get_running_loop().create_task(self.hear())
        async for now in self.every(0.2):
            self.send("auctioneer", "bid", {"round": round(now * 5), "bid": self.params["bid"]})

    async def hear(self) -> None:
        while True:
            award = await self.receive("award")
            self.log(f"award {award.payload}")


class Auctioneer(sim.Agent):
    async def run(self) -> None:
        async for now in self.every(0.2):
            number, bids, late, deadline = round(now * 5), {}, 0, now + 0.05
            while message := await self.receive("bid", timeout=deadline - self.now):
                if message.payload["round"] == number:
                    bids[message.sender] = message.payload["bid"]
                else:
                    late += 1
            winner = max(bids, key=bids.get)
            self.log(f"round {number}: {', '.join(sorted(bids))}; {late} late; {winner} wins")
            self.publish("award", winner)


def test_collect() -> None:
    assert trace(run(SCENARIO)) == [
        (50, "auctioneer", "round 0: cut, near; 0 late; cut wins"),
        (60, "near", "award cut"),
        (60, "cut", "award cut"),
        (130, "far", "award cut"),
        (250, "auctioneer", "round 1: near; 1 late; near wins"),
        (260, "near", "award near"),
        (330, "far", "award near"),
        (450, "auctioneer", "round 2: cut, near; 1 late; cut wins"),
        (460, "near", "award cut"),
        (460, "cut", "award cut"),
        (530, "far", "award cut"),
    ]
