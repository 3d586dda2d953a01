"""The books balance after every window of random scenarios, and agree with an independent count.

sent = delivered + dropped + in flight, per source, destination and topic, whatever is lost, cut,
killed, hung, restarted or comes from relays and full queues. Virtual time never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from checkers.books import Recount
from checkers.clock import ClockChecker
from checkers.memory import kernel_of, play
from checkers.sameness import assert_same_run
from checkers.script import Script, Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.kernel import Kernel

MS = 1_000_000
TOPICS = ("news", "price", "x.1")
AGENTS = 4
RULE = "{from: agent-2, to: '*'"
NAMES = [f"agent-{i + 1}" for i in range(AGENTS)]

durations = st.sampled_from(["0ms", "1ms", "7ms", "20ms", "33ms"])
jitters = st.sampled_from(
    [
        "none", "{constant: 3ms}", "{uniform: 50ms}", "{exponential: 20ms}",
        "{normal: [5ms, 10ms]}", "{lognormal: [10ms, 1.5]}",
    ]
)  # fmt: skip
topologies = st.sampled_from(
    [
        "topology: complete", "topology: star, hub: centre", "topology: star, hub: agent-2",
        "topology: ring", "topology: tree, relays: [r1, r2]",
        "topology: edges, edges: [[agent-1, agent-2], [agent-2, agent-3]]",
    ]
)  # fmt: skip
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
        keys.append(f"rate: {draw(st.sampled_from(['2kB/s', '100kB/s']))}")
        keys.append(f"queue: {draw(st.sampled_from([0, 200, 5000]))}")
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
        f"network: {{{draw(topologies)}, default: {{{draw(links())}}}, ",
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


def simulate(case: Case, agents_per_host: int, is_eager: bool = False) -> Kernel:
    """A run under all checkers."""
    kernel = kernel_of(case.text, agents_per_host, is_eager)
    recount, clock = Recount(kernel), ClockChecker()
    transport = recount.listen(Stage(case.scripts).transport())
    send = transport.send

    def checked_send(host: int, activation: object) -> None:
        clock.check_activation(activation)
        send(host, activation)

    transport.send = checked_send

    def check(kernel: Kernel) -> None:
        recount.check(kernel)
        clock.check(kernel)

    play(kernel, transport, check)
    assert kernel.status == "completed"
    assert recount.windows == kernel.windows + 1
    return kernel


@settings(max_examples=70, deadline=None, print_blob=True)
@given(case=cases())
def test_random_scenarios_balance(case: Case) -> None:
    simulate(case, case.agents_per_host)


@settings(max_examples=30, deadline=None, print_blob=True)
@given(case=cases())
def test_random_scenarios_repeat_however_they_are_run(case: Case) -> None:
    """Packing and eager delivery leave no trace, whatever the scenario."""
    one = simulate(case, 1)
    assert_same_run(one, simulate(case, 3))
    assert_same_run(one, simulate(case, 1, is_eager=True))


@pytest.mark.slow
@settings(max_examples=500, deadline=None, print_blob=True)
@given(case=cases())
def test_more_random_scenarios(case: Case) -> None:
    one = simulate(case, 1)
    assert_same_run(one, simulate(case, 2, is_eager=True))
