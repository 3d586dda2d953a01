"""Rollouts in worker processes: the same records as in one, and an end for everybody."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkers.processes import children, kill, wait_until
from learn.acting import Linear

from sim.errors import AgentError, CheckpointError, MalformedFrameError, ScenarioError, WorkerError
from sim.launch.crew import shares
from sim.learn.acting import EpsilonActor, NetworkActor, policy_network
from sim.learn.cast import sides_of
from sim.learn.crates import packed, unpacked
from sim.learn.distributions import Decisions
from sim.learn.kernels import KernelRollout
from sim.learn.links import link_mode
from sim.learn.networks import Network, Shape
from sim.learn.normalise import RunningNorm
from sim.learn.portable import made_again, portable
from sim.learn.rollout import make_rollout
from sim.learn.teams import PartActor
from sim.learn.workers import WorkerRollout
from sim.prepare import Prepared, prepare
from sim.scenario.load import parse_scenario
from sim.spaces import Field, Space

pytestmark = [pytest.mark.torch, pytest.mark.process]

GIVEN: dict[str, Any] = {
    "seed": 3,
    "duration": "1s",
    "world": {"kind": "rendezvous", "agents": 3},
    "network": {"default": {"latency": "20ms", "loss": 0.3}},
}
OPTIONS: dict[str, Any] = {
    "seed": 3,
    "role_params": {"agent": {"speaks": {"hint": 2}, "hears": {"hint": 2}}},
}


def prepared_of(folder: Path, **over: Any) -> Prepared:
    return prepare(parse_scenario(yaml.safe_dump({**GIVEN, **over}), folder=str(folder)))


def crew_of(folder: Path, workers: int, copies: int = 3, **over: Any) -> WorkerRollout:
    return WorkerRollout(prepared_of(folder, **over), ["agent"], copies, workers=workers, **OPTIONS)


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerRollout]:
    """Two workers, which every test takes back to their beginning if it needs to."""
    rollout = crew_of(tmp_path_factory.mktemp("crew"), 2)
    with contextlib.closing(rollout):
        yield rollout


@pytest.fixture(scope="module")
def beginning(crew: WorkerRollout) -> dict[str, Any]:
    return crew.snapshot()


def same(one: Any, two: Any) -> bool:
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(one))


def test_workers_give_the_records_of_one_process(
    crew: WorkerRollout, beginning: dict[str, Any], tmp_path: Path
) -> None:
    alone = KernelRollout(prepared_of(tmp_path), ["agent"], 3, **OPTIONS)
    crew.restore(beginning)
    assert (crew.kind, crew.copies, crew.state_size) == ("kernel", 3, alone.state_size)
    assert crew.sides[0].agents == alone.sides[0].agents
    assert crew.reason == "asked for; 2 workers"
    actors = {"agent": Linear(alone.sides[0])}
    for decisions in (13, 9):
        expected = alone.collect(actors, decisions)["agent"]
        found = crew.collect(actors, decisions)["agent"]
        assert found.seen.shape == (decisions, 3, 3, alone.sides[0].layout.size)
        assert same(found, expected)
    key = [(e.episode, e.team) for e in crew.finished()]
    assert sorted(key) == sorted((e.episode, e.team) for e in alone.finished())
    assert len(key) == 6


def test_a_batch_is_split_among_workers_too(tmp_path: Path) -> None:
    prepared = prepared_of(tmp_path)
    options = {**OPTIONS, "links": link_mode({"loss": [0, 0.5], "latency": ["1ms", "0.1s"]})}
    alone = make_rollout(prepared, ["agent"], 3, **options)
    with contextlib.closing(make_rollout(prepared, ["agent"], 3, workers=2, **options)) as crew:
        assert (crew.kind, alone.kind) == ("batched", "batched")
        assert crew.reason == "everybody is a policy or a mechanism; 2 workers"
        actors = {"agent": Linear(crew.sides[0])}
        for _ in range(2):
            expected = alone.collect(actors, 13)["agent"]
            found = crew.collect(actors, 13)["agent"]
            for name in vars(expected):
                one, two = getattr(found, name), getattr(expected, name)
                torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_what_is_drawn_depends_on_the_worker_and_goes_on_from_a_snapshot(
    crew: WorkerRollout, beginning: dict[str, Any]
) -> None:
    crew.restore(beginning)
    actors = {"agent": Linear(crew.sides[0], noise=1.0)}
    crew.collect(actors, 7)
    snapshot = unpacked(packed(crew.snapshot()))
    expected = crew.collect(actors, 12)["agent"]
    first = expected.log_prob[expected.is_first]
    assert len(first.unique()) == first.numel() == 9
    control = crew.collect(actors, 12)["agent"]
    crew.restore(snapshot)
    assert same(crew.collect(actors, 12)["agent"], expected)
    assert not same(control, expected)
    with pytest.raises(CheckpointError, match="of 1 workers, not of 2"):
        crew.restore({"0": snapshot["0"]})


def test_a_worker_that_is_killed_ends_the_training_with_a_clear_error(tmp_path: Path) -> None:
    crew = crew_of(tmp_path, 2)
    pids = crew._crew.pids
    kill(pids[1])
    with pytest.raises(WorkerError, match=rf"worker 2 of 2 \(pid {pids[1]}\) was ended by SIGKILL"):
        crew.collect({"agent": Linear(crew.sides[0])}, 5)
    assert not Path(f"/proc/{pids[0]}").exists()
    with pytest.raises(WorkerError, match="have been ended"):
        crew.collect({"agent": Linear(crew.sides[0])}, 5)


def test_an_agent_that_fails_in_a_worker_is_told_with_its_frames(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(
        textwrap.dedent("""
        import sim

        class Faulty(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    self.act([1.0 / (obs.time - 0.3), 0.0])
        """)
    )
    crew = crew_of(tmp_path, 1, agents={"agent-3": {"behaviour": "faulty.py:Faulty"}})
    assert crew.sides[0].agents == ("agent-1", "agent-2")
    with pytest.raises(AgentError, match=r"agent-3 failed: ZeroDivisionError(.|\n)*faulty.py"):
        crew.collect({"agent": Linear(crew.sides[0])}, 5)


def test_too_many_workers_and_actors_that_cannot_travel_are_refused(
    crew: WorkerRollout, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError, match="expected 1 to 3, as many as there are copies"):
        crew_of(tmp_path, 4)

    class Fixed:
        memory_size = 0

        def act(self, *given: Any) -> Any:
            raise AssertionError

    with pytest.raises(ScenarioError, match="Fixed, which decides for 'agent', cannot be sent"):
        crew.collect({"agent": Fixed()}, 1)


SCRIPT = """
import sys
from pathlib import Path
import learn.test_workers as tests
from sim.learn.teams import PartActor
from sim.learn.workers import WorkerRollout
crew = WorkerRollout(
    tests.prepared_of(Path(sys.argv[1])), ["agent"], 2, workers=2, **tests.OPTIONS
)
print("ready", flush=True)
while True:
    crew.collect({"agent": tests.Linear(crew.sides[0])}, 200)
"""


@pytest.mark.slow
def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {tests!r}){SCRIPT}"
    learner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with learner:
        assert learner.stdout is not None
        assert learner.stdout.readline() == "ready\n"
        workers = children(learner.pid)
        assert len(workers) == 2
        kill(learner.pid)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.parametrize("kind", ["gaussian", "greedy", "epsilon", "part"])
def test_actors_of_networks_are_the_same_elsewhere(kind: str, tmp_path: Path) -> None:
    role = {"agent": {"hears": {"hint": 2}}}
    given = prepared_of(tmp_path, world={"kind": "rendezvous", "agents": 3})
    (side,) = sides_of(given, ["agent"], role)
    if kind == "epsilon":
        side.role.decides = Space((Field("choice", choices=4),))
    decisions = Decisions(side.decides, side.role.sees)
    shape = Shape(hidden=(8,), recurrent=3, attention=4, identity=True, share="none")
    network = policy_network(side, decisions, shape, torch.Generator().manual_seed(5))
    norm = RunningNorm(side.layout.size)
    norm.update(torch.arange(5.0 * side.layout.size).reshape(5, -1).sin())

    def make(network: Network) -> Any:
        generator = torch.Generator().manual_seed(7)
        if kind == "epsilon":
            return EpsilonActor(network, decisions, generator, 0.5, norm)
        whole = NetworkActor(network, decisions, generator, norm, kind == "greedy")
        return PartActor(whole, slice(0, 3), 3) if kind == "part" else whole

    sent = unpacked(packed(portable("agent", make(network))))
    again = made_again(side, sent, torch.Generator().manual_seed(7))
    shape_of_seen = (2, 3, side.layout.size)
    seen = torch.linspace(-1, 1, 6 * side.layout.size).reshape(shape_of_seen)
    inputs = (seen, torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, 3),
              torch.tensor([True, False]))  # fmt: skip
    found, expected = again.act(*inputs), make(network).act(*inputs)
    assert again.memory_size == 3
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
    other = policy_network(side, decisions, shape, torch.Generator().manual_seed(6))
    assert not torch.equal(make(other).act(*inputs)[2], expected[2])


def test_copies_are_shared_out_in_order() -> None:
    assert [list(share) for share in shares(7, 3)] == [[0, 1], [2, 3], [4, 5, 6]]


def test_crates_keep_tensors_to_the_bit_and_refuse_what_is_not_data() -> None:
    value = {
        "a": torch.tensor([[1.5, math.nan], [-0.0, math.inf]]),
        "b": [torch.tensor([True, False]), torch.zeros(0, 3, dtype=torch.int64)],
        "c": {"d": torch.tensor(7, dtype=torch.uint8), "e": "text", "f": None, "g": 1e300},
    }
    found = unpacked(packed(value))
    assert found["c"] | {"d": 0} == value["c"] | {"d": 0}
    pairs = [(found["a"], value["a"]), (found["c"]["d"], value["c"]["d"]),
             *zip(found["b"], value["b"], strict=True)]  # fmt: skip
    for one, two in pairs:
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.numpy().tobytes() == two.numpy().tobytes()
    with pytest.raises(TypeError, match="cannot be sent to another process: function"):
        packed({"a": same})
    for damaged in (packed(value)[:-3], b"\xc1", packed(value).replace(b"float32", b"float99")):
        with pytest.raises(MalformedFrameError):
            unpacked(damaged)
