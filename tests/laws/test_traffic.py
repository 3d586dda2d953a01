"""Traffic over real networks: all of it is accounted for, and nobody beats the linear programme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from checkers.memory import completed, play
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.errors import BoundError, UnknownKeyError
from sim.prepare import load, prepare
from sim.worlds.traffic import least_utilisation, make, reference
from sim.worlds.traffic_map import load_map

STEADY = ("faults=[]", "world.task=100000", "network.default.loss=0")


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "demands", "total"),
    [("abilene", 12, 15, 132, 3_000_002), ("geant", 22, 36, 462, 2_999_992)],
)
def test_the_matrices_are_those_of_the_source(
    name: str, nodes: int, edges: int, demands: int, total: int
) -> None:
    found = load_map(name, 2)
    assert (len(found.nodes), len(found.edges), len(found.km)) == (nodes, edges, 2 * edges)
    assert (int((found.demands > 0).sum()), int(found.demands.sum())) == (demands, total)
    assert not found.demands.diagonal().any()


def test_paths_lead_where_they_should_and_the_shortest_comes_first() -> None:
    found = load_map("abilene", 3)
    head = np.array([b for a, b in found.edges for b in (b, a)])
    km = found.paths @ found.km
    for a, b, i in np.argwhere(found.paths.any(-1)):
        links = [link for link in found.hops[a, b, i] if link < len(found.km)]
        assert (found.tail[links[0]], head[links[-1]]) == (a, b)
        assert (head[links[:-1]] == found.tail[links[1:]]).all()
        assert set(links) == set(np.flatnonzero(found.paths[a, b, i]))
        assert i == 0 or km[a, b, i] >= km[a, b, i - 1]


def advanced(world: Any, state: Any, split: Any, present: bool = True) -> tuple[Any, Any]:
    b, n = len(state["key"]), len(world.map.nodes)
    actions = {"source": torch.as_tensor(split).expand(b, n, -1).to(torch.float64)}
    return world.advance(state, actions, {"source": torch.full((b, n), present)})  # type: ignore[no-any-return]


@settings(max_examples=tries(25), deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 4.0))
def test_traffic_is_accounted_for_and_no_link_carries_more_than_it_can(
    seed: int, demanded: float
) -> None:
    world = make({"load": demanded})
    state = world.reset([(seed, 0), (seed, 1)])
    split = torch.from_numpy(np.random.default_rng(seed).uniform(-0.2, 1, (2, 12, 36)))
    shares = world.shares(split, torch.ones(2, 12, dtype=torch.bool))
    far = ~torch.eye(12, dtype=torch.bool)
    assert torch.allclose(shares.sum(-1)[:, far], torch.ones(2, 132, dtype=torch.float64))
    after, rewards = advanced(world, state, split)
    paths = torch.from_numpy(world.map.paths)
    traffic = state["demand"][..., None] * shares
    load = torch.einsum("zabk,abkl->zl", traffic, paths)
    assert torch.allclose(after["load"], load)
    come = after["carried"] * state["demand"].sum(2)
    assert (come <= state["demand"].sum(2) * (1 + 1e-12)).all()
    assert (rewards["source"] <= 0).all()
    passes = torch.clamp(1 / load, max=1.0)
    whole = torch.cat((passes, torch.ones(2, 1, dtype=torch.float64)), 1)
    arrives = traffic * whole[:, world.hops].amin(-1)
    assert torch.allclose(arrives.sum((2, 3)), come)
    carried = torch.einsum("zabk,abkl->zl", arrives, paths)
    assert (carried <= 1 + 1e-12).all()


@settings(max_examples=tries(15), deadline=None)
@given(st.integers(0, 10_000))
def test_nobody_beats_the_programme_and_the_programme_reaches_it(seed: int) -> None:
    world = make({})
    state = world.reset([(seed, 0)])
    demand = state["demand"][0].numpy()
    least, traffic = least_utilisation(demand, world.map)
    split = traffic / np.maximum(demand, 1e-300)[..., None]
    best, _ = advanced(world, state, split.reshape(12, 36))
    assert float(best["load"].max()) == pytest.approx(least, abs=1e-6)
    other, _ = advanced(world, state, np.random.default_rng(seed).uniform(0, 1, (12, 36)))
    assert float(other["load"].max()) >= least - 1e-9
    direct, _ = advanced(world, state, np.zeros((12, 36)), present=False)
    assert float(direct["load"].max()) >= least - 1e-9


def test_references_are_in_order_and_one_path_leaves_no_choice() -> None:
    columns = reference({}, 0, 300 * 10**9)
    best, shortest = (columns[name]["max_utilisation"] for name in ("optimum", "shortest"))
    assert best < 0.75 * shortest
    more = reference({"paths": 6}, 0, 300 * 10**9)["optimum"]["max_utilisation"]
    assert more <= best + 1e-9
    alone = reference({"paths": 1}, 0, 300 * 10**9)
    assert alone["optimum"]["max_utilisation"] == pytest.approx(shortest)
    mean = reference({"varies": 0.0, "load": 0.7}, 0, 10**9)["shortest"]
    assert mean["max_utilisation"] == pytest.approx(0.7)


def test_the_absent_take_shortest_paths_and_a_drop_takes_both_directions() -> None:
    world = make({"varies": 0.0})
    state, _ = advanced(world, world.reset([(0, 0)]), np.ones((12, 36)), present=False)
    assert float(state["load"].max()) == pytest.approx(1.0)
    name = world.events[0].targets[4]
    dropped = world.inject(state, "capacity-drop", name, True)
    assert world.capacity(dropped)[0].tolist().count(0.5) == 2
    assert torch.equal(
        world.capacity(world.inject(dropped, "capacity-drop", name, False)), world.capacity(state)
    )
    with pytest.raises(UnknownKeyError, match=f"did you mean '{name}'"):
        world.inject(state, "capacity-drop", name + "x", True)
    with pytest.raises(BoundError, match="expected one of abilene, geant"):
        make({"network": "arpanet"})


def test_rows_do_not_depend_on_the_batch() -> None:
    world = make({"task": 1, "load": 1.5})
    split = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (3, 4, 12, 36)))
    together = world.reset([(7, b) for b in range(4)])
    alone = [world.reset([(7, b)]) for b in range(4)]
    for weights in split:
        together, _ = advanced(world, together, weights)
        alone = [advanced(world, a, w[None])[0] for a, w in zip(alone, weights, strict=True)]
    for b, row in enumerate(alone):
        for name, value in row.items():
            assert torch.equal(value[0], together[name][b]), name


def ended(*overrides: str) -> Any:
    """The state at the end of the bundled scenario, played in memory."""
    given = list(overrides)
    kernel = completed(play(prepare(load("traffic_engineering", overrides=given)).kernel()))
    world: Any = kernel.world
    return world.state


def test_what_routers_say_brings_the_fullest_link_near_to_the_optimum() -> None:
    state = ended(*STEADY, "duration=2min")
    least, _ = least_utilisation(state["demand"][0].numpy(), load_map("abilene", 3))
    assert least - 1e-9 <= float(state["load"].max()) < 1.05 * least
    mute = ended(*STEADY[:2], "network.default.loss=1", "duration=1min")
    assert float(mute["load"].max()) > 1.1 * least


def test_the_same_seed_gives_the_same_digest() -> None:
    first, second, other = (
        sim.run(
            "traffic_engineering", overrides=["duration=5s", f"seed={seed}"], inline=True,
            record=False, compare=False,
        ).digest
        for seed in (0, 0, 1)
    )  # fmt: skip
    assert first == second != other
