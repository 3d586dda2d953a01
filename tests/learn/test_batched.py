"""The batched rollout: equal to the kernel rollout, row by row; resets, snapshots, refusals."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agents.roles import PlainRole
from sim.errors import AgentError, BoundError, ScenarioError, UnknownKeyError
from sim.learn.batched import BatchedRollout
from sim.learn.kernels import KernelRollout
from sim.learn.record import Record
from sim.learn.rollout import make_rollout
from sim.prepare import Prepared, load, prepare
from sim.worlds import rendezvous
from sim.worlds.rendezvous import Rendezvous

pytestmark = pytest.mark.torch

TALK = {"agent": {"speaks": {"talk": 2}, "hears": {"talk": 2, "state": 4}}}
RANDOM = {"loss": [0, "40%"], "latency": ["0s", "300ms"]}
STRUCK = "faults=[{at: 1s, kill: agent-2, for: 1s}, {at: 3s, link: [agent-1, agent-2], loss: 90%}]"
CASES: dict[str, tuple[str, list[str], Any, dict[str, Any], int, list[str]]] = {
    "silent": ("rendezvous", ["agent"], "scenario", {}, 15, ["duration=2s", "faults=[]"]),
    "ideal": (
        "rendezvous",
        ["agent"],
        "ideal",
        TALK,
        15,
        ["duration=2s", "network.default.burst=60%:5"],
    ),
    "struck": ("rendezvous", ["agent"], RANDOM, TALK, 22, ["duration=4s", STRUCK]),
    "bursts": (
        "rendezvous",
        ["agent"],
        RANDOM,
        TALK,
        22,
        [
            "duration=4s",
            "network.default.burst=30%:300ms",
            "network.links=[{from: agent-1, to: '*', burst: 40%:4}]",
            "faults=[{at: 1s, link: [agent-2, '*'], burst: {enter: 0.1, leave: 0.2}, for: 2s}]",
        ],
    ),
    "stages": (
        "rendezvous",
        ["agent"],
        RANDOM,
        TALK,
        22,
        [
            "duration=4s",
            "network.default={latency: 20ms, jitter: {pareto: [5ms, 1.1]}, duplicate: 40%, "
            "corrupt: 5%, integrity: off, expiry: 120ms, outages: {every: 2s, for: 200ms}}",
            "faults=[{at: 1s, link: [agent-2, '*'], duplicate: 0, corrupt: 40%, integrity: 'on', "
            "jitter: {empirical: [1ms, 9ms, 80ms]}, for: 2s}]",
        ],
    ),
    "signals": ("signalling", ["sender", "receiver"], "scenario", {}, 15, ["duration=2s"]),
    "market": ("smart_grid", ["battery", "pv"], "scenario", {}, 2, ["duration=1h"]),
}


class Line:
    """A deterministic actor that counts its decisions."""

    memory_size = 2

    def __init__(self, side: Any) -> None:
        draws = torch.Generator().manual_seed(3)
        self.weights = 0.3 * torch.randn(side.layout.size, side.decides.size, generator=draws)

    def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> Any:
        memory = torch.where(is_first[:, None, None], 0.0, memory) + 1
        raw = torch.tanh(seen / 10) @ self.weights + 0.01 * memory[..., :1]
        return raw, raw.sum(-1), memory


def made(name: str, options: list[str]) -> Prepared:
    return prepare(load(name, overrides=options))


def collected(rollout: Any, decisions: int) -> dict[str, Record]:
    found: dict[str, Record] = rollout.collect({s.group: Line(s) for s in rollout.sides}, decisions)
    return found


def differences(ours: Record, theirs: Record) -> list[str]:
    """Names of what differs, where somebody is alive to mean something by it."""
    names = []
    for name in (f.name for f in fields(ours)):
        a, b = getattr(ours, name).double(), getattr(theirs, name).double()
        assert a.shape == b.shape, name
        if name in ("seen", "decision", "log_prob", "next_seen"):
            alive = theirs.next_alive if name == "next_seen" else theirs.alive
            alive = alive if a.ndim == 3 else alive[..., None]
            a, b = a * alive, b * alive
        if not torch.allclose(a, b, rtol=1e-5, atol=1e-5):
            names.append(name)
    return names


@pytest.mark.parametrize("case", CASES)
def test_it_records_what_kernels_record(case: str) -> None:
    name, learning, links, params, decisions, options = CASES[case]
    batched, kernel = (
        make(made(name, options), learning, 3, links=links, role_params=params, seed=5)
        for make in (BatchedRollout, KernelRollout)
    )
    assert batched.state_size == kernel.state_size
    for _ in range(2):
        ours, theirs = collected(batched, decisions), collected(kernel, decisions)
        for group, record in ours.items():
            assert differences(record, theirs[group]) == []
    ended = {e.episode: e for e in kernel.finished()}
    found = batched.finished()
    assert sorted(ended) == sorted(e.episode for e in found) == [0, 1, 2]
    for episode in found:
        other = ended[episode.episode]
        assert (episode.seed, episode.steps) == (other.seed, other.steps)
        assert episode.team == pytest.approx(other.team)
        assert episode.returns == pytest.approx(other.returns)
        assert episode.metrics == pytest.approx(other.metrics, abs=1e-8)


def test_control_other_links_are_seen() -> None:
    name, learning, _, params, _, options = CASES["struck"]

    def record(links: str) -> Record:
        prepared = made(name, options)
        rollout = BatchedRollout(prepared, learning, 3, links=links, role_params=params)
        return collected(rollout, 9)["agent"]

    one, other = record("scenario"), record("ideal")
    assert "seen" in differences(one, other)


@pytest.mark.parametrize("case", ["struck", "bursts", "stages", "market"])
def test_torch_and_numpy_agree(case: str) -> None:
    """What policies get on another device, here on the processor."""
    name, learning, links, params, decisions, options = CASES[case]
    one, other = (
        collected(
            BatchedRollout(
                made(name, options), learning, 3, links=links, role_params=params, is_numpy=x
            ),
            decisions,
        )
        for x in (True, False)
    )
    for group in one:
        assert differences(one[group], other[group]) == []


@pytest.mark.parametrize("case", ["struck", "bursts", "stages", "market"])
def test_a_snapshot_goes_on_to_the_same_records(case: str) -> None:
    name, learning, links, params, decisions, options = CASES[case]

    def fresh() -> BatchedRollout:
        return BatchedRollout(made(name, options), learning, 3, links=links, role_params=params)

    one, other = fresh(), fresh()
    collected(one, decisions // 2)
    other.restore(one.snapshot())
    ours, theirs = collected(one, decisions), collected(other, decisions)
    for group in ours:
        for f in fields(ours[group]):
            assert torch.equal(getattr(ours[group], f.name), getattr(theirs[group], f.name)), f.name
    assert one.finished() == other.finished()
    assert "state" in differences(collected(one, 3)[learning[0]], _first(fresh(), learning[0]))


def _first(rollout: BatchedRollout, group: str) -> Record:
    return collected(rollout, 3)[group]


def test_pieces_make_the_whole() -> None:
    whole, pieces = (
        BatchedRollout(made("rendezvous", ["duration=1s"]), ["agent"], 3, role_params=TALK)
        for _ in range(2)
    )
    record = collected(whole, 24)["agent"]
    parts = [collected(pieces, count)["agent"] for count in (1, 11, 12)]
    for name in (f.name for f in fields(record) if f.name != "memory"):
        assert torch.equal(getattr(record, name), torch.cat([getattr(p, name) for p in parts]))
    assert parts[2].memory[0, 0, 0] == 2  # decisions since the episode began, two before


# --- ends of episodes ---------------------------------------------------------------------------


@pytest.fixture
def _mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Games of 4 to 7 steps, each copy its own number of them."""

    def terminated(self: Rendezvous, state: Any) -> torch.Tensor:
        return state["step"] >= 4 + state["key"] % 4

    monkeypatch.setattr(Rendezvous, "terminated", terminated)


@pytest.mark.usefixtures("_mortal")
def test_copies_that_end_by_themselves_begin_anew_each_on_its_own() -> None:
    batched, kernel = (
        make(made("rendezvous", ["duration=60s"]), ["agent"], 4, role_params=TALK)
        for make in (BatchedRollout, KernelRollout)
    )
    ours, theirs = collected(batched, 30)["agent"], collected(kernel, 30)["agent"]
    assert differences(ours, theirs) == []
    assert ours.terminated.any()
    assert not ours.truncated.any()
    lengths = {e.steps for e in batched.finished()}
    assert len(lengths) > 1


class Slow(PlainRole):
    """Decides every third step."""

    every = 3


@pytest.mark.usefixtures("_mortal")
def test_a_decision_that_is_cut_is_shorter_and_the_rest_is_nobodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rendezvous, "ROLES", {"agent": "slow_roles:Slow"}, raising=False)
    monkeypatch.setitem(sys.modules, "slow_roles", SimpleNamespace(Slow=Slow))
    rollout = BatchedRollout(made("rendezvous", ["duration=60s"]), ["agent"], 4)
    record = collected(rollout, 12)["agent"]
    (side,) = rollout.sides
    assert side.every_ns == 300_000_000
    whole = torch.tensor(1.0)
    assert torch.equal(
        record.duration[~record.terminated], whole.expand(int((~record.terminated).sum()))
    )
    lengths = {e.episode: e.steps for e in rollout.finished()}
    for b in range(4):
        decided = -(-lengths[b] // 3)
        assert record.terminated[:decided, b].tolist() == [False] * (decided - 1) + [True]
        assert float(record.duration[decided - 1, b]) == pytest.approx(
            (lengths[b] - 1) % 3 / 3 + 1 / 3
        )
        assert bool(record.is_first[decided, b])
    assert torch.isfinite(record.next_seen).all()


def test_the_horizon_cuts_and_the_future_has_a_value() -> None:
    rollout = BatchedRollout(made("rendezvous", ["duration=1s"]), ["agent"], 2)
    record = collected(rollout, 25)["agent"]
    assert record.truncated[:, 0].nonzero().flatten().tolist() == [9, 19]
    assert record.is_first[:, 0].nonzero().flatten().tolist() == [0, 10, 20]
    assert not record.terminated.any()
    kept = record.next_seen[:-1] == record.seen[1:]
    assert kept[:9].all()
    assert not kept[9].all()
    assert [e.episode for e in rollout.finished()] == [0, 1, 2, 3]


# --- what it cannot be --------------------------------------------------------------------------


BROKEN = """
import numpy as np

class Broken:
    speaks, hears = {}, {}

    def __init__(self, name, group, params):
        self.how = params["how"]

    def memory(self, xp, batch):
        return xp.zeros((batch, 0))

    def __call__(self, obs, inbox, memory, key):
        if self.how == "raises":
            return 1 / 0
        if self.how == "says":
            return obs[:, :2], {"undeclared": obs}, memory
        return np.full((len(obs), 2 if self.how == "nan" else 3), np.nan), {}, memory
"""


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ("raises", "ZeroDivisionError"),
        ("says", "undeclared"),
        ("nan", "agent-2.*finite"),
        ("size", "agent-2.*expected 2"),
    ],
)
def test_a_policy_at_fault_is_named(tmp_path: Path, how: str, word: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    agents = f"agents={{agent-2: {{behaviour: {path}:Broken, params: {{how: {how}}}}}}}"
    rollout = BatchedRollout(made("rendezvous", ["duration=1s", agents]), ["agent"], 2)
    with pytest.raises(AgentError, match=word):
        collected(rollout, 2)


PROGRAM = ["agents={agent-2: {behaviour: agents.policy:MechanismAgent}}"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (PROGRAM, "agent-2"),
        (["network.default.rate=1kB/s"], "finite rate"),
        (["faults=[{at: 500ms, link: [agent-1, agent-2], rate: 1kB/s}]"], "finite rate"),
        (["network.default.order=keep"], "order of messages"),
        (["faults=[{at: 500ms, link: [agent-1, agent-2], order: keep}]"], "order of messages"),
        (["faults=[{at: 500ms, hang: agent-1}]"], "hang"),
        (["faults=[{at: 500ms, kill: r}]", "network.relays=[r]"], "kills a relay"),
        (["faults=[{at: 500ms, kill: agent-1}]", "network.routing=reroute"], "go round"),
        (
            ["faults=[{at: 0s, link: [agent-1, agent-2], loss: 1}]", "network.routing=reroute"],
            "go round",
        ),
    ],
)
def test_what_a_batch_cannot_have_goes_to_kernels(options: list[str], word: str) -> None:
    prepared = made("rendezvous", ["duration=1s", *options])
    with pytest.raises(ScenarioError, match=word):
        make_rollout(prepared, ["agent"], 2, force="batched")
    rollout = make_rollout(prepared, ["agent"], 2)
    assert rollout.kind == "kernel"
    assert word in rollout.reason
    rollout.close()


def test_the_reason_is_told() -> None:
    prepared = made("rendezvous", ["duration=1s"])
    assert make_rollout(prepared, ["agent"], 2).kind == "batched"
    calm = made("rendezvous", ["duration=1s", "network.routing=reroute", "faults=[]"])
    assert make_rollout(calm, ["agent"], 2).kind == "batched"
    forced = make_rollout(prepared, ["agent"], 2, force="kernel")
    assert (forced.kind, forced.reason) == ("kernel", "asked for")
    forced.close()


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"learning": ["agents"]}, UnknownKeyError, "agent"),
        ({"links": "scenaro"}, UnknownKeyError, "scenario"),
        ({"links": {"los": [0, 1]}}, UnknownKeyError, "loss"),
        ({"links": {"loss": [0.5, 0.1]}}, BoundError, "loss"),
        ({"links": {"latency": ["1s", "a while"]}}, BoundError, "latency"),
        ({"force": "batch"}, UnknownKeyError, "batched"),
        ({"role_params": {"agnt": {}}}, UnknownKeyError, "agent"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], error: type[Exception], word: str) -> None:
    options: dict[str, Any] = {"learning": ["agent"], **change}
    with pytest.raises(error, match=word):
        make_rollout(made("rendezvous", ["duration=1s"]), copies=2, **options)


def test_a_frozen_policy_stays_where_it_was_put() -> None:
    options = [
        "duration=1s",
        "agents={agent-2: {behaviour: agents.behaviours.rendezvous:RivalRule}}",
    ]
    rollout = BatchedRollout(made("rendezvous", options), ["agent"], 2)
    (side,) = rollout.sides
    assert side.agents == ("agent-1", "agent-3", "agent-4")
    record = collected(rollout, 12)["agent"]
    assert record.seen.shape == (12, 2, 3, 4)
    assert np.isfinite(record.reward.numpy()).all()
