"""Messages over relays, hop by hop, against a plain event simulation that knows no windows.

The reference is a heap of (time, round, number of the message): each event takes a message to the
next node, through a queue that is one number per link. A hop that takes no time belongs to the next
round of the same instant. The kernel must agree to the nanosecond.
"""

from __future__ import annotations

import heapq
import math

import pytest
from checkers.effort import tries
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
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.kernel import Kernel


def reference(
    nodes: list[str], wires: dict[Edge, Wire], sends: list[Sending]
) -> list[tuple[int, str]]:
    """(arrival, "delivered") or (time, reason) of each message, in order of `sends`."""
    routes = {dest: next_hops(nodes, set(wires), dest) for dest in nodes}
    free_at = dict.fromkeys(wires, 0)
    outcome: list[tuple[int, str]] = [(0, "")] * len(sends)
    heap = [(time, 0, i, source) for i, (time, source, _, _) in enumerate(sends)]
    heapq.heapify(heap)
    while heap:
        time, turn, i, node = heapq.heappop(heap)
        dest, size = sends[i][2:]
        if node == dest:
            outcome[i] = time, "delivered"
            continue
        if node not in routes[dest]:
            outcome[i] = time, "unreachable"
            continue
        hop = node, routes[dest][node]
        wire = wires[hop]
        leaves = time
        if not math.isinf(wire.rate):
            waiting = max(free_at[hop] - time, 0)
            if waiting and waiting * 1e-9 * wire.rate + size > wire.queue:
                outcome[i] = time, "queue"
                continue
            leaves = free_at[hop] = time + waiting + round(size / wire.rate * 1e9)
        arrival = leaves + wire.latency
        heapq.heappush(heap, (arrival, turn + 1 if arrival == time else 0, i, hop[1]))
    return outcome


def compare(
    nodes: list[str], wires: dict[Edge, Wire], text: str, sends: list[Sending], awaits: bool
) -> Kernel:
    expected = reference(nodes, wires, sends)
    return compare_outcome(expected, *simulate(text, sends, awaits), sends, awaits)


@settings(max_examples=tries(60), deadline=None, print_blob=True)
@given(network=networks(), data=st.data(), awaits=st.booleans())
def test_random_networks_agree_to_the_nanosecond(
    network: tuple[int, list[str], dict[Edge, Wire]], data: st.DataObject, awaits: bool
) -> None:
    agents, relays, wires = network
    names = [f"agent-{i + 1}" for i in range(agents)]
    times = st.one_of(st.integers(0, 100 * MS), st.sampled_from([0, MS, 5 * MS, 100 * MS]))
    sending = st.tuples(times, st.sampled_from(names), st.sampled_from(names), st.integers(4, 900))
    sends = data.draw(st.lists(sending.filter(lambda s: s[1] != s[2]), max_size=40))
    # Messages of one instant are numbered by sender, then in the order in which it sends.
    sends.sort(key=lambda s: (s[0], s[1]))
    text = scenario(agents, relays, wires, Wire(MS))
    compare([*names, *relays], wires, text, sends, awaits)


def star(rate: float, n: int = 4) -> tuple[list[str], dict[Edge, Wire]]:
    names = [f"agent-{i + 1}" for i in range(n)]
    wires: dict[Edge, Wire] = {}
    for name in names:
        wires[name, "hub"] = Wire(5 * MS)
        wires["hub", name] = Wire(2 * MS, rate)
    return names, wires


def test_a_queue_at_a_relay_merges_streams_by_time() -> None:
    """Three agents reach the hub interleaved; the one link behind it serves by arrival."""
    names, wires = star(1e5)
    sends = [(t * MS, names[1 + t % 3], "agent-1", 100) for t in range(0, 60)]
    kernel = compare([*names, "hub"], wires, scenario(4, ["hub"], wires, Wire(MS)), sends, True)
    assert kernel.network.totals()["delivered"] == 60


def test_relayed_and_new_messages_share_a_queue_in_order_of_time() -> None:
    """agent-1 -> agent-2 -> agent-3; agent-2's own messages join those that pass."""
    names = ["agent-1", "agent-2", "agent-3"]
    wires = {
        edge: Wire(3 * MS, 1e5, 1_000)
        for a, b in (("agent-1", "agent-2"), ("agent-2", "agent-3"))
        for edge in ((a, b), (b, a))
    }
    sends = [(t * MS, names[t % 2], "agent-3", 150) for t in range(40)]
    kernel = compare(names, wires, scenario(3, [], wires, Wire(MS)), sends, True)
    books = kernel.network.totals()
    assert books["delivered"]
    assert books["dropped"]["queue"]


def test_what_meets_at_a_relay_goes_on_in_the_order_in_which_it_was_sent() -> None:
    """Two messages reach agent-2 at the instant at which it sends itself; one thin link follows."""
    names = [f"agent-{i}" for i in range(1, 5)]
    thin, thick = Wire(3 * MS, 1e5), Wire(3 * MS)
    wires = {
        ("agent-1", "agent-2"): thick, ("agent-2", "agent-1"): thick,
        ("agent-4", "agent-2"): thick, ("agent-2", "agent-4"): thick,
        ("agent-2", "agent-3"): thin, ("agent-3", "agent-2"): thin,
    }  # fmt: skip
    sends = [(0, "agent-1", "agent-3", 100), (0, "agent-1", "agent-3", 300)]
    sends += [(0, "agent-4", "agent-3", 500), (3 * MS, "agent-2", "agent-3", 700)]
    compare(names, wires, scenario(4, [], wires, Wire(MS)), sends, True)
    assert [time // MS for time, _ in reference(names, wires, sends)] == [7, 10, 15, 22]


def test_what_has_no_way_is_unreachable() -> None:
    wires = {("agent-1", "agent-2"): Wire(MS), ("agent-2", "agent-1"): Wire(MS)}
    sends = [(0, "agent-1", "agent-3", 10), (0, "agent-1", "agent-2", 10)]
    sends += [(MS, "agent-3", "agent-1", 10)]
    names = ["agent-1", "agent-2", "agent-3"]
    kernel = compare(names, wires, scenario(3, [], wires, Wire(MS)), sends, True)
    assert kernel.network.totals()["dropped"] == {"unreachable": 2}
    assert {a.destination: a.dropped for a in kernel.network.ledger.accounts()} == {
        "agent-3": {"unreachable": 1}, "agent-2": {}, "agent-1": {"unreachable": 1},
    }  # fmt: skip


@pytest.mark.parametrize("topology", ["ring", "star\n  hub: middle", "tree", "complete"])
@settings(max_examples=tries(8), deadline=None, print_blob=True)
@given(times=st.lists(st.integers(0, 50 * MS), min_size=1, max_size=25))
@example(times=[0, 0, 0, 1, 1])
def test_named_topologies_agree_too(topology: str, times: list[int]) -> None:
    n = 7
    names = [f"agent-{i + 1}" for i in range(n)]
    nodes, pairs = names, [(i, (i + 1) % n) for i in range(n)]
    if topology.startswith("star"):
        nodes, pairs = [*names, "middle"], [(i, n) for i in range(n)]
    elif topology == "tree":
        pairs = [(i, (i - 1) // 2) for i in range(1, n)]
    elif topology == "complete":
        pairs = [(i, j) for i in range(n) for j in range(n) if i < j]
    wire = Wire(2 * MS, 5e4, 4_000)
    wires = {(nodes[i], nodes[j]): wire for a, b in pairs for i, j in ((a, b), (b, a))}
    text = f"""
duration: {DURATION}ns
world: {{kind: blank, agents: {n}, step: 100ms}}
network:
  topology: {topology}
  default: {{latency: 2ms, rate: 50kB/s, queue: 4000B}}
"""
    sends = [
        (time, names[i % n], names[(i * i + i // n + 1 + i) % n], 50 + i * 7)
        for i, time in enumerate(times)
        if i % n != (i * i + i // n + 1 + i) % n
    ]
    sends.sort(key=lambda s: (s[0], s[1]))
    compare(nodes, wires, text, sends, awaits=True)
