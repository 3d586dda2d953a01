"""Random small scenarios: every kind of link, topology and fault, and agents with a script."""

from __future__ import annotations

from dataclasses import dataclass

from checkers.script import Script
from hypothesis import strategies as st

MS = 1_000_000
TOPICS = ("news", "price", "x.1")
AGENTS = 4
RULE = "{from: agent-2, to: '*'"
NAMES = [f"agent-{i + 1}" for i in range(AGENTS)]

OUTAGES = ("none", "{every: 200ms, for: 30ms, offset: 50ms}", "[[100ms, 250ms], [1s, 1020ms]]")

durations = st.sampled_from(["0ms", "1ms", "7ms", "20ms", "33ms"])
jitters = st.sampled_from(
    [
        "none", "{constant: 3ms}", "{uniform: 50ms}", "{exponential: 20ms}",
        "{normal: [5ms, 10ms]}", "{lognormal: [10ms, 1.5]}", "{pareto: [2ms, 0.7]}",
        "{empirical: [0ms, 1ms, 5ms, 90ms]}",
    ]
)  # fmt: skip
topologies = st.sampled_from(
    [
        "topology: complete", "topology: star, hub: centre", "topology: star, hub: agent-2",
        "topology: ring", "topology: tree, relays: [r1, r2]",
        "topology: edges, edges: [[agent-1, agent-2], [agent-2, agent-3]]",
        "topology: line", "topology: grid, rows: 2, wrap: true, relays: [r1, r2]",
        "topology: random_geometric, relays: [r1, r2, r3]", "topology: scale_free, m: 1",
    ]
)  # fmt: skip
routings = st.sampled_from(
    ["", "routing: fixed, ", "routing: reroute, ", "routing: reroute, detection: 120ms, "]
)
steps = st.sampled_from(["100ms", "70ms"])
names = st.sampled_from(['"*"', "agent-1", "agent-2", "[agent-1, agent-3]"])
instants = st.sampled_from([0, 1, 50, 99, 100, 101, 250, 333, 500, 760, 999])


@st.composite
def links(draw: st.DrawFn, latency: bool = True) -> str:
    keys = [f"latency: {draw(durations)}"] if latency else []
    if draw(st.booleans()):
        keys.append(f"jitter: {draw(jitters)}")
    if draw(st.booleans()):
        keys.append(f"loss: {draw(st.sampled_from(['10%', '50%', '100%']))}")
    if draw(st.booleans()):
        keys.append(f"burst: {draw(st.sampled_from(['20%:3', '30%:40ms', 'none']))}")
    if draw(st.booleans()):
        keys.append(f"rate: {draw(st.sampled_from(['2kB/s', '100kB/s']))}")
        keys.append(f"queue: {draw(st.sampled_from([0, 200, 5000]))}")
    if draw(st.booleans()):
        keys.append(f"duplicate: {draw(st.sampled_from(['30%', '100%']))}")
        keys.append(f"order: {draw(st.sampled_from(['keep', 'overtake']))}")
    if draw(st.booleans()):
        keys.append(f"corrupt: 40%, integrity: {draw(st.sampled_from(['on', 'off']))}")
    if draw(st.booleans()):
        keys.append(f"expiry: {draw(st.sampled_from(['none', '20ms', '60ms']))}")
        keys.append(f"outages: {draw(st.sampled_from(OUTAGES))}")
    return ", ".join(keys)


@st.composite
def faults(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["kill", "hang", "restart", "partition", "link", "noise"]))
    span = draw(st.sampled_from(["", ", for: 1ms", ", for: 150ms", ", for: 10s"]))
    what = {
        "partition": f"partition: [agent-4, {draw(names)}]",
        "link": f"link: [{draw(names)}, agent-4], {draw(links(latency=False)) or 'loss: 1'}",
        "noise": "noise: 10%",
        "restart": f"restart: {draw(names)}",
    }.get(kind, f"{kind}: {draw(names)}")
    span = "" if kind == "restart" else span
    return f"{{at: {draw(instants)}ms, {what}{span}}}"


@dataclass(frozen=True)
class Case:
    text: str
    scripts: dict[str, Script]
    agents_per_host: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    lines = [
        f"seed: {draw(st.integers(0, 5))}",
        f"duration: {draw(st.sampled_from(['1s', '1050ms', '777ms']))}",
        f"episodes: {draw(st.sampled_from([1, 1, 1, 2]))}",
        f"world: {{kind: blank, agents: {AGENTS}, step: {draw(steps)}}}",
        'agents: {"agent-*": {}, agent-3: {processing: '
        + draw(st.sampled_from(["0ms", "9ms", "120ms"]))
        + "}}",
        f"network: {{{draw(topologies)}, {draw(routings)}default: {{{draw(links())}}}, ",
        f"  links: [{draw(st.sampled_from(['', f'{RULE}, {draw(links())}}}']))}]}}",
        "faults: [" + ", ".join(draw(st.lists(faults(), max_size=5))) + "]",
    ]
    text = "\n".join(lines)
    sizes = st.sampled_from([0, 1, 64, 300])
    scripts = {}
    for name in NAMES:
        others = ["", *(n for n in NAMES if n != name)]
        sending = st.tuples(
            st.integers(0, 1_100).map(lambda t: t * MS),
            st.sampled_from(TOPICS), st.sampled_from(others), sizes.map(bytes),
        )  # fmt: skip
        scripts[name] = Script(
            sends=tuple(draw(st.lists(sending, max_size=12))),
            hears=tuple(draw(st.lists(st.sampled_from(TOPICS), unique=True))),
            awaits=draw(st.booleans()),
        )
    return Case(text, scripts, draw(st.sampled_from([1, 1, 3])))
