"""A world on the network: messages to a venue take effect as they arrive; it answers at once."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from checkers.books import check_books
from checkers.memory import completed, play, trace
from checkers.worlds import kernel_with

import sim
from agents.agent import Refused
from sim.errors import ScenarioError
from sim.prepare import with_plans
from sim.scenario.load import parse_scenario
from sim.scenario.roster import resolve_roster
from sim.spaces import Space
from sim.worlds.blank import Blank, Params
from sim.worlds.world import Array, Group, Said

HERE = "agents: {{\"agent-*\": {{behaviour: '{file}:{name}'}}, desk: {{behaviour: none}}}}"


class Desk:
    """Gives out numbers in order of arrival; tells the one who asked, and everybody."""

    def __init__(self, world: Bureau) -> None:
        self.world = world

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        if payload == "bad":
            raise ValueError("we do not serve that")
        self.world.served.append((time_ns // 1_000_000, agent, verb, payload))
        self.world.words.append(Said("desk", "served", agent))
        self.world.words.append(Said("desk", "ticket", len(self.world.served), agent))
        return len(self.world.served)


class Bureau(Blank):
    """The blank world with one desk."""

    def __init__(self, agents: int = 2) -> None:
        super().__init__(Params(agents=agents, step="100ms"))
        nothing = Space(())
        self.groups = (*self.groups, Group("desk", ("desk",), nothing, nothing, self.dt_ns))
        self.venues = {"desk": Desk(self)}
        self.served: list[tuple[int, str, str, Any]] = []
        self.words: list[Said] = []

    def reset(self, seed: int, episode: int) -> None:
        super().reset(seed, episode)
        self.words = [Said("desk", "served", f"opens {episode}")]

    def advance(self, actions: Any, present: Any) -> None:
        super().advance(actions, present)
        if self._steps == 5:
            self.words.append(Said("desk", "served", "half time"))

    def observe(self) -> dict[str, Array]:
        return {**super().observe(), "desk": np.zeros((1, 0))}

    def rewards(self) -> dict[str, Array]:
        return {**super().rewards(), "desk": np.zeros((1, 0))}

    def said(self) -> list[Said]:
        words, self.words = self.words, []
        return words


class Sender(sim.Agent):
    """agent-1 sends first; its link is slower."""

    async def run(self) -> None:
        await asyncio.sleep(0.050 if self.name == "agent-1" else 0.055)
        self.send("desk", "order", f"from {self.name}")
        ticket = await self.receive("ticket")
        assert ticket is not None
        self.log(f"ticket {ticket.payload}")


class Asker(sim.Agent):
    async def run(self) -> None:
        if self.name == "agent-2":
            return
        reply = await self.request("desk", "order", 1, timeout=1)
        self.log(f"reply {reply.payload if reply else reply}")
        try:
            await self.request("desk", "order", "bad", timeout=1)
        except Refused as error:
            self.log(str(error))
        self.log(str(await self.request("desk", "order", 2, timeout=0.3)))


class Listener(sim.Agent):
    async def run(self) -> None:
        while True:
            said = await self.receive("served")
            assert said is not None
            self.log(f"{said.sender}: {said.payload}")


def ran(name: str, more: str = "", world: Bureau | None = None) -> Any:
    text = f"""
duration: 1s
world: {{kind: blank}}
{HERE.format(file=__file__, name=name)}
network:
  default: {{latency: 1ms}}
  links: [{{from: agent-1, to: desk, latency: 20ms}}]
{more}
"""
    world = world or Bureau()
    kernel = kernel_with(world, text)
    completed(play(kernel, on_window=check_books))
    return world, kernel


def test_who_arrives_first_is_served_first() -> None:
    world, kernel = ran("Sender")
    assert world.served == [
        (56, "agent-2", "order", "from agent-2"), (70, "agent-1", "order", "from agent-1"),
    ]  # fmt: skip
    assert trace(kernel) == [(57, "agent-2", "ticket 1"), (71, "agent-1", "ticket 2")]


def test_a_request_is_answered_refused_or_lost() -> None:
    fault = "faults: [{at: 41500us, partition: [[agent-1], [desk]]}]"
    world, kernel = ran("Asker", fault)
    assert world.served == [(20, "agent-1", "order", 1)]
    assert [(t, text) for t, _, text in trace(kernel)] == [
        (21, "reply 1"), (42, "desk refused 'order': we do not serve that"), (342, "None"),
    ]  # fmt: skip


def test_it_speaks_of_its_own_accord() -> None:
    world, kernel = ran("Listener")
    assert [(t, text) for t, agent, text in trace(kernel) if agent == "agent-2"] == [
        (1, "desk: opens 0"), (501, "desk: half time"),
    ]  # fmt: skip
    assert not world.served


@pytest.mark.parametrize("kind", ["kill", "hang"])
def test_what_comes_to_a_closed_venue_is_lost(kind: str) -> None:
    """Closed when both orders arrive; open again later, with all it had."""
    world, kernel = ran("Sender", f"faults: [{{at: 40ms, {kind}: desk, for: 40ms}}]")
    assert world.served == []
    assert kernel.network.ledger.totals(0)["dropped"] == {"down": 2}
    world, kernel = ran("Sender", f"faults: [{{at: 10ms, {kind}: desk, for: 40ms}}]")
    assert len(world.served) == 2
    check_books(kernel)


def test_packing_changes_nothing() -> None:
    digests = set()
    for packed in (1, 3):
        world = Bureau()
        text = f"""
duration: 1s
world: {{kind: blank}}
{HERE.format(file=__file__, name="Sender")}
network: {{default: {{latency: 1ms, jitter: {{exponential: 3ms}}}}}}
"""
        kernel = kernel_with(world, text, agents_per_host=packed)
        completed(play(kernel))
        digests.add(kernel.digest.chain)
    assert len(digests) == 1


def test_a_new_episode_opens_anew() -> None:
    _, kernel = ran("Listener", "episodes: 2")
    told = [(t, text) for t, agent, text in trace(kernel) if agent == "agent-1"]
    assert (1, "desk: opens 0") in told
    assert (1001, "desk: opens 1") in told


def test_nobody_plays_a_venue() -> None:
    text = f"""
duration: 1s
world: {{kind: blank}}
agents: {{"*": {{behaviour: '{__file__}:Sender'}}}}
network: {{default: {{latency: 1ms}}}}
"""
    scenario, world = parse_scenario(text), Bureau()
    with pytest.raises(ScenarioError, match="'desk' is a venue"):
        with_plans(scenario, world, resolve_roster(scenario, world))
