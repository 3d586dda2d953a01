"""Messages that go round what is cut or down, against a plain event simulation, to the nanosecond.

The reference is that of `test_relays`, with a network that changes: at each hop it asks what is
broken then, and what was broken so long ago as it takes to notice.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import pytest
from checkers.effort import tries
from checkers.memory import kernel_of
from checkers.relays import (
    DURATION,
    MS,
    Edge,
    Sending,
    Wire,
    compare_outcome,
    networks,
    next_hops,
    scenario,
    simulate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.kernel import Kernel


@dataclass
class Weather:
    """What breaks from when until when: links that lose everything, links and ends that are cut by
    partitions, relays that are down.
    """

    lossy: list[tuple[int, int, Edge]] = field(default_factory=list)
    apart: list[tuple[int, int, Edge]] = field(default_factory=list)
    down: list[tuple[int, int, str]] = field(default_factory=list)

    def lossy_at(self, time: int) -> set[Edge]:
        return {edge for begin, end, edge in self.lossy if begin <= time < end}

    def apart_at(self, time: int) -> set[Edge]:
        return {e for b, end, (x, y) in self.apart if b <= time < end for e in ((x, y), (y, x))}

    def down_at(self, time: int) -> set[str]:
        return {relay for begin, end, relay in self.down if begin <= time < end}

    def text(self, routing: str) -> str:
        lines = [f"  routing: {routing}", "faults:"]
        lines += [
            f"  - {{at: {b}ns, link: [{x}, {y}], both: false, loss: 100%, for: {e - b}ns}}"
            for b, e, (x, y) in self.lossy
        ]
        lines += [
            f"  - {{at: {b}ns, partition: [[{x}], [{y}]], for: {e - b}ns}}"
            for b, e, (x, y) in self.apart
        ]
        lines += [f"  - {{at: {b}ns, kill: {r}, for: {e - b}ns}}" for b, e, r in self.down]
        return "\n".join(lines if len(lines) > 2 else [*lines[:1], "faults: []"])


def reference(
    nodes: list[str], wires: dict[Edge, Wire], sends: list[Sending], weather: Weather,
    detection: int | None,
) -> list[tuple[int, str]]:  # fmt: skip
    """As that of `test_relays`. detection: None for ways that never change."""
    free_at = dict.fromkeys(wires, 0)
    outcome: list[tuple[int, str]] = [(0, "")] * len(sends)
    heap = [(time, 0, i, source, 0) for i, (time, source, _, _) in enumerate(sends)]
    heapq.heapify(heap)
    while heap:
        time, turn, i, node, hops = heapq.heappop(heap)
        _, source, dest, size = sends[i]
        if node == dest:
            outcome[i] = time, "delivered"
            continue
        noticed = -1 if detection is None else time - detection
        down = weather.down_at(noticed)
        broken = weather.lossy_at(noticed) | weather.apart_at(noticed)
        usable = {(a, b) for a, b in wires if b not in down and (a, b) not in broken}
        way = next_hops(nodes, usable, dest).get(node)
        if hops and node in weather.down_at(time):
            outcome[i] = time, "down"
        elif way is None:
            outcome[i] = time, "unreachable"
        elif (source, dest) in weather.apart_at(time) or (node, way) in weather.apart_at(time):
            outcome[i] = time, "partition"
        else:
            hop, leaves = (node, way), time
            wire = wires[hop]
            if not math.isinf(wire.rate):
                waiting = max(free_at[hop] - time, 0)
                if waiting and waiting * 1e-9 * wire.rate + size > wire.queue:
                    outcome[i] = time, "queue"
                    continue
                leaves = free_at[hop] = time + waiting + round(size / wire.rate * 1e9)
            if hop in weather.lossy_at(time):
                outcome[i] = time, "loss"
                continue
            arrival = leaves + wire.latency
            again = turn + 1 if arrival == time else 0
            heapq.heappush(heap, (arrival, again, i, way, hops + 1))
    return outcome


@st.composite
def weathers(draw: st.DrawFn, wires: list[Edge], relays: list[str]) -> Weather:
    def spans(what: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
        begins, lengths = st.integers(0, 60), st.sampled_from([7, 20, 100])
        made = st.tuples(begins, lengths, what)
        return made.map(lambda s: (s[0] * MS, (s[0] + s[1]) * MS, s[2]))

    edges = st.sampled_from(wires)
    return Weather(
        draw(st.lists(spans(edges), min_size=1, max_size=4)),
        draw(st.lists(spans(edges), max_size=1)),
        draw(st.lists(spans(st.sampled_from(relays)), max_size=3, unique_by=lambda s: s[2]))
        if relays else [],
    )  # fmt: skip


@settings(max_examples=tries(120), deadline=None, print_blob=True)
@given(
    network=networks(agents=2, relays=3, links=6),
    data=st.data(),
    detection=st.sampled_from([None, 0, 3 * MS, 15 * MS]),
    awaits=st.booleans(),
)
def test_random_networks_that_break_agree_to_the_nanosecond(
    network: tuple[int, list[str], dict[Edge, Wire]], data: st.DataObject, detection: int | None,
    awaits: bool,
) -> None:  # fmt: skip
    agents, relays, wires = network
    names = [f"agent-{i + 1}" for i in range(agents)]
    weather = data.draw(weathers(list(wires), relays))
    times = st.one_of(st.integers(0, 100 * MS), st.integers(0, 60).map(lambda t: t * MS))
    pairs = st.sampled_from([(a, b) for a in names for b in names if a != b])
    sending = st.tuples(times, pairs, st.integers(4, 900)).map(lambda s: (s[0], *s[1], s[2]))
    sends = data.draw(st.lists(sending, min_size=15, max_size=40))
    sends.sort(key=lambda s: (s[0], s[1]))
    routing = "fixed" if detection is None else f"reroute\n  detection: {detection}ns"
    text = scenario(agents, relays, wires, Wire(MS)) + "\n" + weather.text(routing)
    expected = reference([*names, *relays], wires, sends, weather, detection)
    compare_outcome(expected, *simulate(text, sends, awaits), sends, awaits)


# --- by hand ------------------------------------------------------------------------------------

RING = {
    edge: Wire(5 * MS)
    for pair in (("agent-1", "a"), ("a", "agent-2"), ("agent-1", "b"), ("b", "c"), ("c", "agent-2"))
    for edge in (pair, pair[::-1])
}
"""agent-1 reaches agent-2 over a (two hops), or over b and c (three)."""


def arrivals(
    weather: Weather, routing: str, times: tuple[int, ...] = (0, 10, 20, 30, 40, 50, 60)
) -> tuple[dict[int, int], Kernel]:
    """When messages sent at these ms arrive, in ms."""
    sends = [(t * MS, "agent-1", "agent-2", 10) for t in times]
    text = scenario(2, ["a", "b", "c"], RING, Wire(MS)) + "\n" + weather.text(routing)
    kernel, stage = simulate(text, sends, True)
    heard = stage.heard["agent-2"]
    found = {times[int.from_bytes(h.body[:4], "big")]: h.arrival // MS for h in heard}
    return found, kernel


@pytest.mark.parametrize(
    "weather",
    [
        Weather(down=[(16 * MS, 46 * MS, "a")]),
        Weather(lossy=[(16 * MS, 46 * MS, ("agent-1", "a"))]),
        Weather(apart=[(16 * MS, 46 * MS, ("agent-1", "a"))]),
    ],
    ids=["relay", "link", "partition"],
)
def test_messages_go_round_what_breaks_and_come_back_when_it_is_whole(weather: Weather) -> None:
    found, _ = arrivals(weather, "reroute")
    assert found == {0: 10, 10: 20, 20: 35, 30: 45, 40: 55, 50: 60, 60: 70}
    late, kernel = arrivals(weather, "reroute\n  detection: 10ms")
    assert late == {0: 10, 10: 20, 30: 45, 40: 55, 50: 65, 60: 70}
    assert sum(kernel.network.totals()["dropped"].values()) == 1
    fixed, _ = arrivals(weather, "fixed")
    assert fixed == {0: 10, 10: 20, 50: 60, 60: 70}


def test_what_waits_at_a_relay_takes_the_way_that_is_known_when_it_goes_on() -> None:
    """Sent at 10 over b, as a is down; at b at 15, when a is whole again: back, and over a."""
    weather = Weather(down=[(5 * MS, 12 * MS, "a")], lossy=[(12 * MS, 100 * MS, ("b", "c"))])
    found, _ = arrivals(weather, "reroute", times=(10,))
    assert found == {10: 30}


def test_where_no_way_is_left_messages_are_unreachable() -> None:
    weather = Weather(down=[(16 * MS, 46 * MS, "a")], lossy=[(25 * MS, 45 * MS, ("b", "c"))])
    found, kernel = arrivals(weather, "reroute")
    assert found == {0: 10, 10: 20, 50: 60, 60: 70}
    assert kernel.network.totals()["dropped"] == {"unreachable": 3}


def test_an_agent_that_is_down_passes_nothing_on_where_ways_change() -> None:
    text = """
duration: 2s
world: {kind: blank, agents: 4, step: 100ms}
network: {topology: ring, default: {latency: 5ms}, routing: ROUTING}
faults: [{at: 500ms, kill: agent-2}]
"""
    sends = [(t * MS, "agent-1", "agent-3", 10) for t in (400, 600)]
    ways = {}
    for routing in ("fixed", "reroute"):
        kernel, stage = simulate(text.replace("ROUTING", routing), sends, True)
        assert len(stage.heard["agent-3"]) == 2
        rows = kernel.network._link_rows
        ways[routing] = {(kernel.agents.names[a], kernel.agents.names[b]) for a, b in rows}
    assert ("agent-4", "agent-3") not in ways["fixed"]
    assert ("agent-4", "agent-3") in ways["reroute"]


def test_in_a_complete_network_somebody_else_passes_it_on() -> None:
    text = """
duration: 2s
world: {kind: blank, agents: 4, step: 100ms}
network: {default: {latency: 5ms}, routing: reroute}
faults: [{at: 500ms, link: [agent-1, agent-3], loss: 100%}, {at: 500ms, kill: agent-2}]
"""
    kernel, stage = simulate(text, [(600 * MS, "agent-1", "agent-3", 10)], True)
    assert [h.arrival for h in stage.heard["agent-3"]] == [610 * MS]
    assert kernel.network.totals()["dropped"] == {}


def test_an_episode_begins_whole() -> None:
    text = scenario(2, ["a", "b", "c"], RING, Wire(MS)).replace(
        f"duration: {DURATION}ns", "duration: 1s\nepisodes: 2"
    )
    weather = Weather(down=[(16 * MS, 10_000 * MS, "a")])
    sends = [(t * MS, "agent-1", "agent-2", 10) for t in (0, 20, 1000, 1020)]
    _, stage = simulate(f"{text}\n{weather.text('reroute')}", sends, True)
    heard = [h.arrival // MS for h in stage.heard["agent-2"]]
    assert heard == [10, 35, 1010, 1035]


def test_a_fault_of_relays_needs_their_names() -> None:
    text = scenario(2, ["a", "b", "c"], RING, Wire(MS))
    everybody = kernel_of(f"{text}\nfaults: [{{at: 1s, kill: '*'}}]").scheduled
    assert everybody[0].targets == ("agent-1", "agent-2")
    some = kernel_of(f"{text}\nfaults: [{{at: 1s, kill: ['[ab]', agent-2]}}]").scheduled
    assert some[0].targets == ("agent-2", "a", "b")
