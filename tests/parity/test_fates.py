"""Third promise of parity: the same message is lost, or arrives at the same decision, in a run and
in a batch; here to the nanosecond, which is more.

Every message of policies and mechanisms counts. The controls, another seed and another loss, must
part.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from checkers.fates import Fates, batch_fates, kernel_fates

from sim.learn.batched import BatchedRollout
from sim.prepare import load, prepare

pytestmark = pytest.mark.torch

JITTERS = [
    "{jitter: {normal: [60ms, 80ms]}, latency: 10ms, loss: 20%}",
    "{jitter: {lognormal: [40ms, 0.9]}, latency: 1ms, loss: 5%}",
    "{jitter: {exponential: 50ms}, latency: 99ms}",
    "{jitter: {constant: 3ms}, latency: 20ms}",
]
AGED = "copies, damage, outages, age"
CASES = {
    "its own faults": ("rendezvous", ["duration=105s"]),
    "two hours of a grid": ("smart_grid", ["duration=2h", "network.default.loss=15%", "faults=[]"]),
    "relays": (
        "rendezvous",
        [
            "duration=20s",
            "network={topology: star, hub: hub, default: {latency: 20ms, jitter: {uniform: 70ms}, "
            "loss: 10%}, links: [{from: agent-2, to: hub, loss: 60%}]}",
            "faults=[{at: 6s, partition: [[agent-2], [agent-3]], for: 6s}, "
            "{at: 14.05s, link: [agent-1, hub], latency: 160ms}]",
        ],
    ),
    "bursts of messages": (
        "rendezvous",
        [
            "duration=20s",
            "network={topology: star, hub: hub, default: {latency: 20ms, jitter: {uniform: 70ms}, "
            "burst: '20%:4', loss: 3%}, links: [{from: agent-2, to: hub, burst: {enter: 0.05, "
            "leave: 0.3, good: 2%, bad: 70%}}, {from: hub, to: agent-1, burst: none}]}",
            "faults=[{at: 7s, link: [agent-3, hub], burst: '50%:9', for: 6s}, "
            "{at: 9.05s, link: [agent-1, hub], burst: 0, for: 7s}]",
        ],
    ),
    "bursts in time": (
        "rendezvous",
        [
            "duration=20s",
            "network={topology: star, hub: hub, default: {latency: 20ms, jitter: {uniform: 70ms}, "
            "burst: '20%:700ms'}, links: [{from: agent-2, to: hub, burst: {loss: 30%, length: 2s, "
            "bad: 80%}}, {from: hub, to: agent-1, loss: 10%, burst: '10%:3'}]}",
            "faults=[{at: 7s, link: [agent-3, hub], burst: '40%:300ms', for: 6s}, "
            "{at: 9.05s, link: [agent-1, hub], burst: '20%:3', for: 7s}]",
        ],
    ),
    AGED: (
        "rendezvous",
        [
            "duration=20s",
            "network={topology: star, hub: hub, default: {latency: 20ms, jitter: {pareto: [5ms, 1]}"
            ", duplicate: 40%, corrupt: 10%, expiry: 300ms, outages: {every: 3s, for: 200ms}}, "
            "links: [{from: agent-2, to: hub, duplicate: 0, burst: '20%:3'}]}",
            "faults=[{at: 7s, link: [agent-3, hub], duplicate: 100%, outages: [[8s, 9s]], for: 6s}"
            ", {at: 9.05s, link: [agent-1, hub], jitter: {empirical: [0ms, 9ms, 1s]}, for: 7s}]",
        ],
    ),
    "slow agents": (
        "rendezvous",
        ["duration=10s", "agents.agent-2={processing: 130ms}", "faults=[]"],
    ),
    **{
        text: ("rendezvous", ["duration=5s", "faults=[]", f"network.default={text}"])
        for text in JITTERS
    },
}  # fmt: skip


@cache
def run_of(case: str) -> Fates:
    name, options = CASES[case]
    return kernel_fates(prepare(load(name, overrides=options)).kernel())


def batch_of(
    monkeypatch: pytest.MonkeyPatch, case: str, other: tuple[str, ...] = (), row: int = 0
) -> Fates:
    """The fates in a row of a batch, made with other options."""
    name, options = CASES[case]
    scenario = load(name, overrides=[*options, *other])
    rollout = BatchedRollout(prepare(scenario), [], 2)
    steps = scenario.duration_ns // rollout.step_ns
    return batch_fates(monkeypatch, row, lambda: rollout.collect({}, steps), scenario.duration_ns)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow) if c == "two hours of a grid" else c for c in CASES],
)
def test_every_message_has_the_same_fate(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    theirs, ours = run_of(case), batch_of(monkeypatch, case)
    assert len(theirs) > 300
    assert ours.keys() == theirs.keys()
    differ = [
        (name, fate, ours[name])
        for name, fate in theirs.items()
        if ours[name] != fate and not (fate == "down" and isinstance(ours[name], int))
    ]
    assert not differ, differ[:5]
    if case in ("its own faults", "relays", "bursts of messages", "bursts in time", AGED):
        assert "lost" in theirs.values()


@pytest.mark.parametrize(
    ("other", "row"), [(("seed=3",), 0), (("network.default.loss=6%",), 0), ((), 1)]
)
def test_control_others_part(
    monkeypatch: pytest.MonkeyPatch, other: tuple[str, ...], row: int
) -> None:
    theirs, ours = run_of("its own faults"), batch_of(monkeypatch, "its own faults", other, row)
    shared = ours.keys() & theirs.keys()
    assert np.mean([ours[name] != theirs[name] for name in shared]) > 0.02


@pytest.mark.parametrize("case", ["bursts of messages", "bursts in time"])
def test_control_a_fault_changes_bursts(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    theirs, ours = run_of(case), batch_of(monkeypatch, case, ("faults=[]",))
    differ = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    assert len(differ) > 20
    assert min(sent for *_, sent in differ) >= 6_800_000_000
