"""Links of a batch: the draws of a run, on NumPy and torch; ways, eras, what training draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.links import Links
from sim.learn.arrays import arrays_on
from sim.learn.course import course_of, missing
from sim.learn.links import Ways, clock_keys, link_mode, way_keys
from sim.prepare import load, prepare
from sim.rng import key_of, uniforms, uniforms_torch
from sim.scenario.link import LinkSpec

pytestmark = pytest.mark.torch

words = st.integers(0, 2**64 - 1)
counts = st.integers(0, 2**40)


@given(st.lists(st.tuples(words, counts), min_size=1, max_size=30), st.integers(0, 9))
def test_uniforms_are_the_same_to_the_bit(draws: list[tuple[int, int]], hop: int) -> None:
    keys, counters = (np.array(column, dtype=np.uint64) for column in zip(*draws, strict=True))
    hops = np.full(len(keys), hop, dtype=np.uint64)
    ours = uniforms(keys, counters, 3, hops)
    first, second = uniforms_torch(
        torch.from_numpy(keys.view(np.int64)), torch.from_numpy(counters.view(np.int64)), 3, hop
    )
    assert ours.tobytes() == np.stack((first.numpy(), second.numpy())).tobytes()


def test_keys_of_ways_are_those_of_the_network() -> None:
    direct = np.array([[True, False], [False, True]])
    keys = way_keys([(7, 0), (7, 3)], ["r-1", "r-2"], ["s-1", "s-2"], "talk", direct)
    assert keys.shape == (2, 2, 2)
    assert int(keys[1, 0, 1]) == key_of(7, "link", 3, "s-2", "r-1", "talk")
    assert int(keys[1, 1, 1]) == key_of(7, "link", 3, "s-2", "r-2", "talk", "direct")


def test_keys_of_bursts_in_time_are_those_of_the_network() -> None:
    keys = clock_keys([(7, 0), (7, 3)], [("a", "b"), ("b", "a"), ("a", "hub")])
    assert keys.shape == (2, 3)
    assert int(keys[1, 1]) == key_of(7, "burst", 3, "b", "a")


def ways_of(options: list[str], is_numpy: bool) -> Ways:
    prepared = prepare(load("rendezvous", overrides=["duration=60s", *options]))
    names = [f"agent-{i}" for i in range(1, 4)]
    return Ways(course_of(prepared), names, names, arrays_on("cpu", is_numpy))


def messages() -> tuple[Any, Any, Any]:
    """Keys of ways, serials and instants of 40 broadcasts among three. Shapes: [40, 3, 3] each."""
    draws = np.random.Generator(np.random.Philox(5))
    keys = draws.integers(0, 2**63, (40, 3, 3)).astype(np.uint64) * np.uint64(2)
    serials = draws.integers(0, 1000, keys.shape)
    return keys, serials, draws.integers(0, 60 * 10**9, (40, 1, 1)) + 0 * serials


JITTERS = (
    "{uniform: 70ms}", "{exponential: 30ms}", "{normal: [20ms, 50ms]}", "{lognormal: [9ms, 1.3]}",
    "{constant: 5ms}", "none", "{pareto: [4ms, 1.5]}", "{empirical: [1ms, 4ms, 5ms, 70ms]}",
)  # fmt: skip


@pytest.mark.parametrize("jitter", JITTERS)
@settings(max_examples=tries(20), deadline=None)
@given(data=st.data())
def test_one_hop_is_what_a_link_of_the_broker_does(jitter: str, data: Any) -> None:
    options = [f"network.default={{latency: 3ms, loss: 30%, jitter: {jitter}}}", "faults=[]"]
    keys = np.array(data.draw(st.lists(words, min_size=18, max_size=18)), dtype=np.uint64)
    keys = keys.reshape(2, 3, 3)
    serials = np.full(keys.shape, data.draw(counts), dtype=np.int64)
    sent = np.full(keys.shape, data.draw(st.integers(0, 10**12)), dtype=np.int64)
    arrival, lost, _ = ways_of(options, True).cross(keys, serials, sent, {})
    links = Links()
    links.add([prepare(load("rendezvous", overrides=options)).table.specs[0]], [False])
    rows, flat = np.zeros(18, dtype=np.intp), sent.reshape(-1)
    zero = np.zeros(18, dtype=np.uint64)
    theirs, fates = links.offer(
        rows, flat, 0 * flat, keys.reshape(-1), serials.reshape(-1).astype(np.uint64), zero
    )
    apart = ~np.eye(3, dtype=bool)[None].repeat(2, 0)  # nobody has a way to itself
    assert (arrival[apart] == theirs.reshape(arrival.shape)[apart]).all()
    assert (lost[apart] == (fates.reshape(lost.shape) > 0)[apart]).all()
    assert lost[~apart].all()


@pytest.mark.parametrize("jitter", JITTERS)
def test_torch_crosses_as_numpy_does(jitter: str) -> None:
    default = f"{{latency: 3ms, loss: 30%, jitter: {jitter}}}"
    options = [
        f"network={{topology: star, hub: hub, default: {default}}}",
        "faults=[{at: 20s, partition: [[agent-1], [agent-2]], for: 10s}]",
    ]  # fmt: skip
    keys, serials, sent = messages()
    arrival, lost, _ = ways_of(options, True).cross(keys, serials, sent, {})
    there, gone, _ = ways_of(options, False).cross(
        torch.from_numpy(keys.view(np.int64)), torch.from_numpy(serials), torch.from_numpy(sent), {}
    )
    assert (lost == gone.numpy()).all()
    # The inverse of the normal distribution is another's: a nanosecond may differ.
    assert np.abs(arrival - there.numpy()).max() <= 1
    is_cut = (sent[:, 0, 0] >= 20 * 10**9) & (sent[:, 0, 0] < 30 * 10**9)
    assert is_cut.any()
    assert lost[is_cut, 0, 1].all()


BURSTS = (
    "'30%:6'", "'30%:400ms'", "{enter: 0.02, leave: 0.3, good: 1%, bad: 90%}",
    "{loss: 40%, length: 3s, bad: 80%}",
)  # fmt: skip


@pytest.mark.parametrize("burst", BURSTS)
def test_torch_loses_in_the_bursts_that_numpy_does(burst: str) -> None:
    default = f"{{latency: 3ms, loss: 5%, burst: {burst}}}"
    options = [
        f"network={{topology: star, hub: hub, default: {default}, "
        "links: [{from: agent-1, to: hub, burst: none}]}",
        "faults=[{at: 20s, link: [agent-2, hub], burst: '60%:2s', for: 10s}]",
    ]  # fmt: skip
    keys, serials, sent = messages()
    ours, theirs = ways_of(options, True), ways_of(options, False)
    draws = np.random.Generator(np.random.Philox(6))
    clocks = draws.integers(0, 2**63, (40, len(ours.links))).astype(np.uint64)
    assert len(ours.links) >= 2
    assert ours.needs_draws({})
    arrival, lost, _ = ours.cross(keys, serials, sent, {}, clocks)
    there, gone, _ = theirs.cross(
        *(torch.from_numpy(x) for x in (keys.view(np.int64), serials, sent)), {},
        torch.from_numpy(clocks.view(np.int64)),
    )  # fmt: skip
    assert (lost == gone.numpy()).all()
    assert (arrival == there.numpy()).all()
    rest = ~np.eye(3, dtype=bool)[None].repeat(40, 0)
    assert 0.1 < lost[rest].mean() < 0.8


STAGES = (
    "duplicate: 30%", "corrupt: 30%", "corrupt: 30%, integrity: off", "expiry: 20ms",
    "outages: {every: 10s, for: 3s, offset: 1s}", "outages: [[5s, 10s], [20s, 40s]]",
    "duplicate: 40%, corrupt: 20%, loss: 10%, expiry: 60ms, outages: [[5s, 10s]], burst: '20%:3'",
)  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_torch_knows_every_stage(stage: str) -> None:
    """On two hops, with a link that has less of them and a fault that has more."""
    default = f"{{latency: 3ms, jitter: {{uniform: 30ms}}, {stage}}}"
    options = [
        f"network={{topology: star, hub: hub, default: {default}, "
        "links: [{from: agent-1, to: hub, duplicate: 0, corrupt: 0, expiry: none}]}",
        "faults=[{at: 20s, link: [agent-2, hub], corrupt: 50%, jitter: {empirical: [1ms, 50ms]}}]",
    ]  # fmt: skip
    keys, serials, sent = messages()
    ours, theirs = ways_of(options, True), ways_of(options, False)
    assert ours.copies == ([0, 1] if "duplicate" in stage else [])
    for copied in (-1, *ours.copies):
        found = ours.cross(keys, serials, sent, {}, None, copied)
        there = theirs.cross(
            *(torch.from_numpy(x) for x in (keys.view(np.int64), serials, sent)), {}, None, copied
        )
        assert all((one == other.numpy()).all() for one, other in zip(found, there, strict=True))
        rest = ~np.eye(3, dtype=bool)[None].repeat(40, 0)
        _, lost, is_damaged = found
        assert 0.05 < (lost | is_damaged)[rest].mean() < 0.95
        assert is_damaged.any() == ("integrity" in stage)


def test_eras_follow_the_schedule() -> None:
    options = [
        "faults=[{at: 1s, link: [agent-1, agent-2], latency: 9ms, for: 2s}, {at: 2s, heal: true}, "
        "{at: 2500ms, kill: agent-3, for: 1s}, {at: 5s, slow: agent-1}]"
    ]
    prepared = prepare(load("rendezvous", overrides=["duration=10s", *options]))
    course = course_of(prepared)
    floors = {era.begins_ns: era.link(0, 1)[0].floor_ns for era in course.eras}
    normal = prepared.table.spec_of(0, 1)
    assert isinstance(normal, LinkSpec)
    assert floors[0] == floors[2 * 10**9] == normal.floor_ns
    assert floors[10**9] == 9_000_000
    is_up, started = course.presence["agent-3"].at(np.array([0, 2_500_000_000, 3_500_000_000]))
    assert is_up.tolist() == [True, False, True]
    assert started.tolist() == [0, 0, 3_500_000_000]
    assert missing(prepared) == ["slow"]
    assert len(course_of(prepared, is_ideal=True).eras) == 1


def test_what_is_drawn_belongs_to_the_episode() -> None:
    mode = link_mode({"loss": [0.1, "40%"], "latency": ["10ms", "2s"]})
    drawn = [mode.drawn(3, episode) for episode in range(200)]
    assert drawn == [mode.drawn(3, episode) for episode in range(200)]
    losses = np.array([values.loss_probability for values in drawn])
    latencies = np.array([values.latency_ns for values in drawn])
    assert 0.1 <= losses.min() < 0.13 < 0.37 < losses.max() <= 0.4
    assert 10**7 <= latencies.min() < 10**8 < 19 * 10**8 < latencies.max() <= 2 * 10**9
    assert abs(np.corrcoef(losses, latencies)[0, 1]) < 0.2
    assert mode.drawn(4, 0) != mode.drawn(3, 0)
    assert link_mode("scenario").text == "scenario"
    assert mode.text == "randomised"
