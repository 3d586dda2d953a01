"""Networks of relays for tests against a plain event simulation: wires, scenarios, and outcomes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from checkers.books import check_books
from checkers.memory import completed, kernel_of, play
from checkers.script import Script, Stage
from hypothesis import strategies as st

from broker.kernel import Kernel

MS = 1_000_000
DURATION = 2_000 * MS
Edge = tuple[str, str]


@dataclass(frozen=True)
class Wire:
    """A directed link of the reference: ns, bytes per second, bytes."""

    latency: int
    rate: float = math.inf
    queue: int = 16 * 1024 * 1024


Sending = tuple[int, str, str, int]
"""time, source, destination, bytes"""


def next_hops(nodes: list[str], edges: set[Edge], dest: str) -> dict[str, str]:
    """Next node towards `dest`: fewest hops, then the name that comes first."""
    hops, todo = {dest: 0}, deque([dest])
    while todo:
        node = todo.popleft()
        for other in nodes:
            if (other, node) in edges and other not in hops:
                hops[other] = hops[node] + 1
                todo.append(other)
    return {
        node: min(o for o in nodes if (node, o) in edges and hops.get(o, math.inf) == count - 1)
        for node, count in hops.items()
        if node != dest
    }


def scenario(agents: int, relays: list[str], edges: dict[Edge, Wire], default: Wire) -> str:
    """YAML of a network of given edges (both directions), with a rule for each direction."""
    lines = [
        f"duration: {DURATION}ns",
        f"world: {{kind: blank, agents: {agents}, step: 100ms}}",
        "network:",
        "  topology: edges",
        f"  default: {{latency: {default.latency}ns}}",
        "  relays: [" + ", ".join(relays) + "]",
        "  edges: [" + ", ".join(f"[{a}, {b}]" for a, b in edges if a < b) + "]",
        "  links:" if edges else "  links: []",
    ]
    for (a, b), wire in edges.items():
        rate = "unlimited" if math.isinf(wire.rate) else f"{wire.rate}B/s"
        keys = f"latency: {wire.latency}ns, rate: {rate}, queue: {wire.queue}B"
        lines.append(f"    - {{from: {a}, to: {b}, {keys}}}")
    return "\n".join(lines)


def simulate(text: str, sends: list[Sending], awaits: bool) -> tuple[Kernel, Stage]:
    scripts = {}
    for name in {source for _, source, _, _ in sends} | {dest for _, _, dest, _ in sends}:
        mine = [
            (time, "t", dest, i.to_bytes(4, "big") + bytes(size - 4))
            for i, (time, source, dest, size) in enumerate(sends)
            if source == name
        ]
        scripts[name] = Script(tuple(mine), awaits=awaits)
    stage = Stage(scripts)
    kernel = completed(play(kernel_of(text), stage.transport(), check_books))
    return kernel, stage


def compare_outcome(
    expected: list[tuple[int, str]], kernel: Kernel, stage: Stage, sends: list[Sending],
    awaits: bool,
) -> Kernel:  # fmt: skip
    """The kernel, if its messages arrived and ended as is expected of each."""
    arrivals = {
        int.from_bytes(heard.body[:4], "big"): (name, heard.arrival)
        for name, all_heard in stage.heard.items()
        for heard in all_heard
    }
    ended: dict[str, int] = {}
    for i, (time, how) in enumerate(expected):
        if how != "delivered":
            ended[how] = ended.get(how, 0) + 1
            assert i not in arrivals, (sends[i], how)
        elif awaits and time < DURATION:
            assert arrivals[i] == (sends[i][2], time), sends[i]
        elif i in arrivals:
            assert arrivals[i] == (sends[i][2], time), sends[i]
    books = kernel.network.totals()
    on_time = sum(how == "delivered" and time < DURATION for time, how in expected)
    assert books["delivered"] == on_time
    assert books["dropped"] == ended
    return kernel


@st.composite
def networks(
    draw: st.DrawFn, agents: int = 4, relays: int = 0, links: int = 1
) -> tuple[int, list[str], dict[Edge, Wire]]:
    """Agents, relays and links: each direction of a pair has its own wire.

    agents: at most. relays, links: at least.
    """
    people = draw(st.integers(2, agents))
    others = [f"r{i}" for i in range(draw(st.integers(relays, 3)))]
    nodes = [f"agent-{i + 1}" for i in range(people)] + others
    pairs = [(a, b) for a in nodes for b in nodes if a < b]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=links, max_size=9))
    wire = st.builds(
        Wire,
        latency=st.sampled_from([0, MS, 3 * MS, 3 * MS + 1, 20 * MS]),
        rate=st.sampled_from([math.inf, 2e4, 1e5, 333_333.0]),
        queue=st.sampled_from([300, 2_000, 2**20]),
    )
    return people, others, {e: draw(wire) for a, b in chosen for e in ((a, b), (b, a))}
