"""The kernel rollout: the same as a run in processes, whatever the agents, links and faults."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from learn.acting import Linear, write_policy

import sim.runner
from sim.errors import AgentError, ScenarioError
from sim.learn import copies as copies_module
from sim.learn.acting import NetworkActor, policy_network
from sim.learn.distributions import Decisions
from sim.learn.kernels import KernelRollout, network_of
from sim.learn.links import link_mode
from sim.learn.networks import Shape
from sim.learn.rollout import make_rollout
from sim.prepare import Prepared, prepare
from sim.scenario.load import parse_scenario
from sim.worlds import catalogue, smart_grid

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _forget_authors() -> Iterator[None]:
    yield
    for name in [n for n in sys.modules if n.startswith("sim_author_")]:
        del sys.modules[name]


def document(kind: str = "rendezvous", **over: Any) -> dict[str, Any]:
    base = {
        "seed": 3,
        "duration": "2s",
        "world": {"kind": kind, "agents": 3},
        "network": {"default": {"latency": "20ms", "loss": 0.3, "jitter": {"exponential": "60ms"}}},
    }
    if kind == "smart_grid":
        base |= {"duration": "3h", "world": {"kind": kind}}
    return {**base, **over}


def prepared_of(given: dict[str, Any], folder: Path) -> Prepared:
    return prepare(parse_scenario(yaml.safe_dump(given, sort_keys=False), folder=str(folder)))


def rollout_of(
    given: dict[str, Any], folder: Path, *learning: str, copies: int = 1, **options: Any
) -> KernelRollout:
    return KernelRollout(
        prepared_of(given, folder), learning, copies, **{"seed": given["seed"], **options}
    )


def actors_of(rollout: KernelRollout, noise: float = 0.0) -> dict[str, Linear]:
    return {side.group: Linear(side, noise) for side in rollout.sides}


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Of every episode that ended in a rollout, by its number."""
    found: dict[int, str] = {}
    result = copies_module.Copy.result

    def noted(self: Any) -> Any:
        found[self.episode] = self.kernel.digest.chain.hex()
        return result(self)

    monkeypatch.setattr(copies_module.Copy, "result", noted)
    return found


TALK = {"speaks": {"hint": 2}, "hears": {"hint": 2}}
SYMBOL = {"speaks": {"hint": {"choices": 3}}, "hears": {"hint": 3}}
FAULTS = [
    {"at": "450ms", "kill": "agent-2"},
    {"at": "1020ms", "restart": "agent-2"},
    {"at": "700ms", "for": "500ms", "hang": "agent-3"},
    {"at": "1300ms", "for": "300ms", "partition": [["agent-1"], ["agent-*"]]},
]


@pytest.mark.parametrize(
    ("kind", "params", "faults"),
    [
        ("rendezvous", {}, []),
        ("rendezvous", TALK, []),
        ("blank", TALK, FAULTS),
        ("rendezvous", SYMBOL, FAULTS),
    ],
)
def test_what_learning_agents_do_is_what_the_same_policy_does_in_a_run(
    kind: str, params: dict[str, Any], faults: list[Any], tmp_path: Path, digests: dict[int, str]
) -> None:
    given = document(kind, faults=faults)
    behaviour = {"behaviour": write_policy(tmp_path), "params": params}
    played = prepared_of({**given, "agents": {"agent-*": behaviour}}, tmp_path)
    ran = sim.runner.run(played.scenario, inline=True, record=False, compare=False)
    assert ran.status == "completed"
    rollout = rollout_of(given, tmp_path, "agent", role_params={"agent": params})
    actors = actors_of(rollout)
    rollout.collect(actors, 25)
    assert digests == {0: ran.digest}
    (episode,) = rollout.finished()
    assert episode.metrics == {name: m.value for name, m in ran.metrics.items()}
    actors["agent"].noise = 1e-6
    rollout.collect(actors, 20)
    assert digests[1] != ran.digest


def test_a_device_of_the_smart_grid_does_what_its_policy_does_in_a_run(
    tmp_path: Path, digests: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_grid, "ROLES", {})  # the plain role, as of the policy in the run
    given = document("smart_grid", duration="20min")
    played = prepared_of(
        {**given, "agents": {"battery-*": {"behaviour": write_policy(tmp_path)}}}, tmp_path
    )
    ran = sim.runner.run(played.scenario, inline=True, record=False, compare=False)
    rollout = rollout_of(given, tmp_path, "battery")
    rollout.collect(actors_of(rollout), 20)
    assert digests == {0: ran.digest}
    assert rollout.finished()[0].metrics == {n: m.value for n, m in ran.metrics.items()}


# --- what is recorded -----------------------------------------------------------------------------


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(catalogue.WORLDS, "counting", "learn.worlds")

    def given(ends: int = 0, **over: Any) -> dict[str, Any]:
        world = {"kind": "counting", "ends": ends}
        return {**document(world=world, duration="1s"), **over}

    return given


def test_a_record_counts_steps_rewards_and_ends(counting: Any, tmp_path: Path) -> None:
    rollout = rollout_of(counting(ends=4), tmp_path, "fast", copies=2)
    record = rollout.collect(actors_of(rollout), 15)["fast"]
    assert record.seen.shape == (15, 2, 2, 3)
    # Copy 0 plays episodes 0, 2, ... to the horizon, copy 1 episodes 1, 3, ... to their own end.
    assert record.seen[:, 0, 0, 0].tolist() == [*range(10), *range(5)]
    assert record.seen[:, 0, 0, 1].tolist() == [0] * 10 + [2] * 5
    assert record.seen[:, 1, 0, 0].tolist() == [0, 1, 2, 3] * 3 + [0, 1, 2]
    assert record.seen[:, 1, 0, 1].tolist() == [1] * 4 + [3] * 4 + [5] * 4 + [7] * 3
    assert record.is_first[:, 0].nonzero().ravel().tolist() == [0, 10]
    assert record.truncated[:, 0].nonzero().ravel().tolist() == [9]
    assert record.terminated[:, 1].nonzero().ravel().tolist() == [3, 7, 11]
    assert not record.terminated[:, 0].any()
    assert not record.truncated[:, 1].any()
    assert torch.equal(record.next_seen[..., 0], record.seen[..., 0] + 1)
    assert torch.equal(record.reward, record.next_seen[..., 0] + torch.tensor([0.0, 1.0]))
    assert torch.equal(record.team, record.reward.sum(-1) / 3)  # slow-1 does nothing, and earns 0
    assert torch.equal(record.duration, torch.ones(15, 2))
    assert record.state.shape == (15, 2, rollout.state_size) == (15, 2, 9)
    assert torch.equal(record.next_state[..., 0], record.state[..., 0] + 1)
    assert record.alive.all()
    assert record.next_alive.all()
    ended = rollout.finished()
    assert [(e.episode, e.steps) for e in ended] == [(1, 4), (3, 4), (0, 10), (5, 4)]
    assert ended[0].returns == {"fast-1": 10.0, "fast-2": 14.0, "slow-1": 0.0}
    assert ended[0].team == pytest.approx(8.0)
    assert rollout.finished() == []


def test_two_periods_and_a_role_that_decides_seldom(counting: Any, tmp_path: Path) -> None:
    given = counting(duration="1s")
    rollout = rollout_of(given, tmp_path, "fast", "slow")
    records = rollout.collect(actors_of(rollout), 4)
    fast, slow = records["fast"], records["slow"]
    assert (fast.team.shape, slow.team.shape) == ((12, 1), (4, 1))
    assert slow.seen[:, 0, 0].tolist() == [[0, 0], [3, 3], [6, 6], [9, 9]]
    assert slow.next_seen[:, 0, 0].tolist() == [[3, 3], [6, 6], [9, 9], [10, 10]]
    assert slow.duration[:, 0].tolist() == pytest.approx([1, 1, 1, 1 / 3])
    assert slow.truncated[:, 0].tolist() == [False, False, False, True]
    # What it decides is held for three steps; the last decision for one only.
    held = torch.tanh(slow.decision[:, 0, 0, 0].double()) * torch.tensor([3, 3, 3, 1])
    assert slow.reward[:, 0, 0].tolist() == pytest.approx(held.tolist(), rel=1e-6)
    assert fast.seen[:, 0, 0, 0].tolist() == [*range(10), 0, 1]
    more = rollout.collect(actors_of(rollout), 2)
    assert more["slow"].seen[:, 0, 0, 0].tolist() == [0, 3]
    assert more["fast"].seen[:, 0, 0, 0].tolist() == [*range(2, 8)]


def test_who_is_down_does_not_decide_and_begins_with_nothing_remembered(tmp_path: Path) -> None:
    faults = [{"at": "450ms", "kill": "agent-2"}, {"at": "1s", "restart": "agent-2"}]
    rollout = rollout_of(document(faults=faults), tmp_path, "agent")
    actors = actors_of(rollout)
    alive = []
    memories = []
    act = actors["agent"].act

    def watched(seen: Any, is_alive: Any, memory: Any, is_first: Any) -> Any:
        alive.append(is_alive[0].tolist())
        memories.append(memory[0, :, 0].tolist())
        return act(seen, is_alive, memory, is_first)

    actors["agent"].act = watched
    record = rollout.collect(actors, 14)["agent"]
    expected = [not 5 <= step < 10 for step in range(14)]
    assert record.alive[:, 0, 1].tolist() == expected
    assert record.next_alive[:, 0, 1].tolist() == [not 4 <= step < 9 for step in range(14)]
    assert record.alive[:, 0, 0].all()
    assert alive == record.alive[:, 0].tolist()
    assert not record.seen[5:10, 0, 1].any()
    assert [m[1] for m in memories[10:12]] == [0.0, 0.125]
    assert [m[0] for m in memories[10:12]] == [1.25, 1.375]


# --- going on from a snapshot ---------------------------------------------------------------------

TALKER = """
import sim

class Talker(sim.Agent):
    async def run(self):
        count = 0
        async for obs in self.observations():
            heard = self.latest("hint")
            count += 1
            self.publish("hint", [float(count), self.rng.random()])
            self.act([0.0 if heard is None else float(heard.payload[0])] * 2)
"""


@pytest.mark.parametrize("before", [0, 7, 30])
def test_a_restored_rollout_goes_on_to_the_same_records(before: int, tmp_path: Path) -> None:
    (tmp_path / "talker.py").write_text(TALKER)
    agents = {"agent-3": {"behaviour": "talker.py:Talker"}}
    given = document(agents=agents, faults=[{"at": "450ms", "kill": "agent-2"}])
    options: dict[str, Any] = {"copies": 2, "role_params": {"agent": TALK}}
    rollout = rollout_of(given, tmp_path, "agent", **options)
    assert rollout.sides[0].agents == ("agent-1", "agent-2")
    actors = {"agent": Linear(rollout.sides[0], noise=0.5)}
    if before:
        rollout.collect(actors, before)
    snapshot = rollout.snapshot()
    drawn = actors["agent"].generator.get_state()
    expected = [rollout.collect(actors, n)["agent"] for n in (9, 30)]
    other = rollout_of(given, tmp_path, "agent", **options)
    for target in (other, rollout):  # elsewhere, and back in time
        target.restore(snapshot)
        actors["agent"].generator.set_state(drawn)
        found = [target.collect(actors, n)["agent"] for n in (9, 30)]
        for one, two in zip(expected, found, strict=True):
            for name in vars(one):
                assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert [vars(e) for e in rollout.finished()] == [vars(e) for e in other.finished()]
    control = rollout_of(given, tmp_path, "agent", **options)
    if before:
        assert not torch.equal(control.collect(actors, 9)["agent"].seen, expected[0].seen)


# --- programs, links, mistakes --------------------------------------------------------------------


def test_a_program_that_fails_stops_the_rollout_with_its_authors_frames(tmp_path: Path) -> None:
    source = TALKER.replace("count += 1", "count += 1; count // (5 - count)")
    (tmp_path / "talker.py").write_text(source)
    given = document(agents={"agent-3": {"behaviour": "talker.py:Talker"}})
    rollout = rollout_of(given, tmp_path, "agent")
    with pytest.raises(AgentError) as caught:
        rollout.collect(actors_of(rollout), 30)
    text = str(caught.value)
    assert text.startswith("agent-3 failed: ZeroDivisionError")
    assert "talker.py" in text
    assert "count += 1; count // (5 - count)" in text


def test_an_action_that_is_not_finite_fails_its_agent(tmp_path: Path) -> None:
    rollout = rollout_of(document("blank"), tmp_path, "agent")
    actors = actors_of(rollout)
    actors["agent"].act = lambda seen, alive, memory, is_first: (
        torch.full((1, 3, 1), torch.nan), torch.zeros(1, 3), memory,
    )  # fmt: skip
    with pytest.raises(AgentError, match="agent-1 failed: act: every number must be finite"):
        rollout.collect(actors, 3)


def heard(given: dict[str, Any], folder: Path, links: Any) -> Any:
    """Per step after the first, whether agent-1 has a message of agent-2 of the step before."""
    rollout = rollout_of(given, folder, "agent", role_params={"agent": TALK}, links=links)
    record = rollout.collect(actors_of(rollout), 19)["agent"]
    _, blocks = rollout.sides[0].layout.split(record.seen[1:, 0, 0])
    return blocks["hint"][:, 1, 2] * (blocks["hint"][:, 1, 3] == 1.0)


def test_links_are_the_scenarios_ideal_or_drawn(tmp_path: Path) -> None:
    given = document()
    fresh = [float(heard(given, tmp_path, links).mean()) for links in ("ideal", "scenario")]
    assert fresh[0] == 1.0
    assert 0.05 < fresh[1] < 0.95
    assert not heard(given, tmp_path, {"loss": [1, 1]}).any()
    assert not heard(given, tmp_path, {"latency": ["1s", "1s"]}).any()
    network = prepared_of(given, tmp_path).scenario.network
    ranges = link_mode({"loss": [0.1, 0.3], "latency": ["10ms", 0.05]})
    drawn = [network_of(network, ranges, 3, episode).default for episode in range(50)]
    assert drawn[7] == network_of(network, ranges, 3, 7).default
    losses = [float(d.loss_probability or 0) for d in drawn]
    assert 0.1 <= min(losses) < 0.14
    assert 0.26 < max(losses) <= 0.3
    assert {10e6 <= (d.latency_ns or 0) <= 50e6 for d in drawn} == {True}
    assert drawn[0].jitter == network.default.jitter


def test_groups_that_cannot_learn_are_refused_by_name(tmp_path: Path) -> None:
    given = document()
    with pytest.raises(ScenarioError, match="did you mean 'agent'"):
        rollout_of(given, tmp_path, "agnet")


def test_without_learners_steps_of_the_world_are_played(counting: Any, tmp_path: Path) -> None:
    rollout = rollout_of(counting(ends=4), tmp_path, copies=2)
    for _ in range(2):
        assert rollout.collect({}, 6) == {}
    ended = rollout.finished()
    assert [(e.episode, e.steps) for e in ended] == [(1, 4), (3, 4), (0, 10), (5, 4)]


def test_what_a_role_raises_is_told_with_its_frames(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learn.worlds import Seldom

    def see(self: Any, obs: Any, inbox: Any, memory: Any) -> Any:
        return np.zeros(0)[3]

    monkeypatch.setattr(Seldom, "see", see)
    rollout = rollout_of(counting(), tmp_path, "slow")
    with pytest.raises(AgentError, match=r"the role of 'slow' failed: IndexError(.|\n)*in see"):
        rollout.collect(actors_of(rollout), 1)


# --- against the batch ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "group", "params", "links", "faults"),
    [
        ("rendezvous", "agent", TALK, "scenario", [FAULTS[0], {"at": "1s", "restart": "agent-2"}]),
        ("rendezvous", "agent", TALK, {"loss": [0, 0.6], "latency": ["1ms", "90ms"]}, []),
        pytest.param("smart_grid", "battery", {}, "scenario", [], marks=pytest.mark.slow),
    ],
)
def test_kernels_and_a_batch_give_the_same_records(
    kind: str, group: str, params: Any, links: Any, faults: list[Any], tmp_path: Path
) -> None:
    given = document(kind, faults=faults)
    if kind == "smart_grid":
        given["duration"] = "10min"
    prepared = prepared_of(given, tmp_path)
    options = {"links": links, "role_params": {group: params}}
    both = [make_rollout(prepared, [group], 2, force, **options) for force in ("kernel", "batched")]
    assert [(r.kind, r.reason) for r in both] == [(k, "asked for") for k in ("kernel", "batched")]
    assert both[0].sides[0].agents == both[1].sides[0].agents
    for decisions in (7, 24):
        actors = [{group: Linear(rollout.sides[0])} for rollout in both]
        found = [r.collect(a, decisions)[group] for r, a in zip(both, actors, strict=True)]
        alive = found[1].alive
        for name in vars(found[0]):
            one, two = (getattr(record, name) for record in found)
            if name in ("seen", "decision", "log_prob"):
                one, two = one[alive], two[alive]
            elif name == "next_seen":
                one, two = one[found[1].next_alive], two[found[1].next_alive]
            elif name == "memory":
                one, two = one[alive[0]], two[alive[0]]
            torch.testing.assert_close(one, two, rtol=2e-5, atol=2e-5, msg=name)
    ended = [rollout.finished() for rollout in both]
    for one, two in zip(*(sorted(e, key=lambda x: x.episode) for e in ended), strict=True):
        assert (one.episode, one.steps) == (two.episode, two.steps)
        assert one.returns == pytest.approx(two.returns, rel=1e-5)
        assert one.team == pytest.approx(two.team, rel=1e-5)


# --- environments of others' making ---------------------------------------------------------------


def environment(env: str, **over: Any) -> dict[str, Any]:
    world = {"kind": "pettingzoo", "env": env, **over}
    return document(world=world, duration="10s", agents={"*": {"behaviour": "none"}})


def test_agents_that_leave_an_environment_are_not_alive(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    rollout = rollout_of(environment("learn.worlds:Leaving"), tmp_path, "player", copies=2)

    class Second:
        """Always the choice 2."""

        memory_size = 0

        def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> Any:
            return torch.full((2, 3, 1), 2.0), torch.zeros(2, 3), memory

    record = rollout.collect({"player": Second()}, 11)["player"]
    assert record.alive[:, 0, 1].tolist() == ([True] * 3 + [False] * 2) * 2 + [True]
    assert record.next_alive[:, 1, 1].tolist() == ([True] * 2 + [False] * 3) * 2 + [True]
    others = torch.stack((record.alive, record.next_alive))[..., [0, 2]]
    assert others.all()
    assert record.truncated[:, 0].nonzero().ravel().tolist() == [4, 9]
    assert not record.terminated.any()
    assert record.next_seen[4, 0, 0].tolist() == [5.0, 0.0]
    assert record.reward[:5, 0].tolist() == [[2, 2, 2]] * 3 + [[2, 0, 2]] * 2


def test_mpe_is_trained_on_by_kernels(tmp_path: Path) -> None:
    pytest.importorskip("mpe2")
    given = environment("mpe2.simple_spread_v3:parallel_env", kwargs={"max_cycles": 5})
    rollout = make_rollout(prepared_of(given, tmp_path), ["agent"], 2)
    assert rollout.kind == "kernel"
    (side,) = rollout.sides
    decisions = Decisions(side.decides, side.role.sees)
    generator = torch.Generator().manual_seed(1)
    actor = NetworkActor(
        policy_network(side, decisions, Shape(hidden=(8,)), generator), decisions, generator
    )
    record = rollout.collect({"agent": actor}, 12)["agent"]
    assert record.truncated[:, 0].nonzero().ravel().tolist() == [4, 9]
    assert set(record.decision.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert (record.reward < 0).all()
    assert len({e.team for e in rollout.finished()}) == 4
