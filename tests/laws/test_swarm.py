"""Swarm, whatever the task: nobody ends inside anything, limits hold, sensors, batteries and maps
are as said, and a copy does not depend on its batch."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import BoundError, UnknownKeyError
from sim.worlds.swarm.contact import SKIN
from sim.worlds.swarm.maps import middles
from sim.worlds.swarm.motion import norm, turned
from sim.worlds.swarm.near import DENSE_MAX, near, nearest, parts
from sim.worlds.swarm.world import make

MOTIONS = ("unicycle", "double_integrator")


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def driven(world: Any, batch: int = 1) -> dict[str, torch.Tensor]:
    return {world.group: torch.ones(batch, world.agents, dtype=torch.bool)}


def act(world: Any, *action: float, batch: int = 1) -> dict[str, torch.Tensor]:
    """The same of everybody."""
    return {world.group: tensor(*action).expand(batch, world.agents, len(action))}


def places(*at: tuple[float, float]) -> torch.Tensor:
    return tensor(*at)[None]


# --- motion and contact ---------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(MOTIONS), st.integers(0, 2**31), st.integers(2, 30), st.integers(0, 4))
def test_nobody_ends_inside_anything(motion: str, seed: int, robots: int, obstacles: int) -> None:
    """However they push: at random, or all towards one place, in a narrow room."""
    sizes = {"width": 14, "height": 14, "radius": 0.4, "speed": 3, "acceleration": 20}
    world = make({
        **sizes, "robots": robots, "motion": motion, "obstacles": obstacles, "sight": 1,
        "start": "middle" if seed % 2 and not obstacles else "anywhere", "targets": 1,
    })  # fmt: skip
    state = world.reset([(seed, 0)])
    draw = np.random.default_rng(seed)
    obstacle = state["obstacle"]
    touched = False
    for step in range(60):
        asked = torch.from_numpy(draw.uniform(-20, 20, (1, robots, 2)))
        if step > 20 and motion == "double_integrator":
            asked = 20 * (7.0 - state["position"])
        if motion == "unicycle":
            asked = torch.stack((3.0 * torch.ones(1, robots), asked[..., 1] / 5), -1).double()
        state, _ = world.advance(state, {world.group: asked}, driven(world))
        at = state["position"]
        apart = torch.pdist(at[0])
        assert float(apart.min()) >= 2 * 0.4
        assert bool(((at >= 0.4) & (at <= 14 - 0.4)).all())
        if obstacles:
            gap = norm(at[:, :, None] - obstacle[:, None, :, :2]) - obstacle[:, None, :, 2]
            assert float(gap.min()) >= 0.4
        assert float(norm(state["velocity"]).max()) <= 3 + 1e-9
        touched = touched or bool(state["held"].any())
    assert touched or robots < 10, "a test without contact proves little"


def test_two_that_meet_head_on_share_the_gap_and_stand() -> None:
    world = make({"robots": 2, "radius": 0.5, "motion": "double_integrator", "speed": 2})
    state = world.reset([(0, 0)])
    state = {
        **state,
        "position": places((5, 5), (6.15 + SKIN, 5)),
        "velocity": places((2, 0), (-1, 0)),
    }
    for _ in range(3):
        state, _ = world.advance(state, act(world, 0, 0), driven(world))
        assert state["position"][0, :, 0].tolist() == pytest.approx([5.1, 6.1 + SKIN])
    assert state["velocity"].abs().max() < 1e-9
    assert world.metrics(state)["contacts"].value == 2


def test_who_touches_something_slides_along_it() -> None:
    rock = {"obstacles": [[10, 10, 2]], "robots": 1, "motion": "double_integrator"}
    world = make({**rock, "acceleration": 100})
    state = {**world.reset([(0, 0)]), "position": places((10 - 2.2 - SKIN, 10))}
    for _ in range(20):
        wanted = 10 * (places((0.7, 0.7)) - state["velocity"])
        state, _ = world.advance(state, {world.group: wanted}, driven(world))
    far = norm(state["position"] - tensor(10, 10))
    assert 2.2 <= float(far) < 2.5
    assert float(state["position"][0, 0, 1]) > 11


def test_who_goes_past_or_away_is_not_held_up() -> None:
    world = make({"robots": 3, "radius": 0.5, "motion": "double_integrator"})
    state = world.reset([(0, 0)])
    at = places((5, 5), (5, 6 + SKIN), (6 + SKIN, 5))
    state = {**state, "position": at, "velocity": places((0, 0), (1, 0), (1, 0))}
    state, _ = world.advance(state, act(world, 0, 0), driven(world))
    wanted = at + places((0, 0), (0.1, 0), (0.1, 0))
    assert float((state["position"] - wanted).abs().max()) < 1e-12
    assert not state["held"].any()


@pytest.mark.parametrize("motion", MOTIONS)
def test_speed_acceleration_and_turning_have_limits(motion: str) -> None:
    world = make({"robots": 1, "motion": motion, "speed": 2, "acceleration": 0.5, "turn": 1})
    state = world.reset([(0, 0)])
    state = {**state, "position": places((20, 15)), "heading": places((1, 0))}
    for step in range(1, 61):
        state, _ = world.advance(state, act(world, 100, 0), driven(world))
        assert float(norm(state["velocity"])) == pytest.approx(min(0.05 * step, 2.0))
    before = state["position"]
    state, _ = world.advance(state, act(world, 0, 0), {world.group: torch.zeros(1, 1).bool()})
    assert float(norm(state["velocity"])) == pytest.approx(1.95), "nobody in charge: it brakes"
    assert float(norm(state["position"] - before)) == pytest.approx(0.1975)


def test_a_unicycle_drives_a_circle() -> None:
    """At 1 m/s and 0.5 rad/s its radius is 2 m, and it is back after 4 pi seconds."""
    world = make({"robots": 1, "dt": "50ms", "decide": "50ms"})
    state = world.reset([(0, 0)])
    begin = places((20, 15))
    state = {**state, "position": begin, "heading": places((1, 0)), "velocity": places((1, 0))}
    farthest = 0.0
    for _ in range(round(80 * math.pi)):
        state, _ = world.advance(state, act(world, 1, 0.5), driven(world))
        farthest = max(farthest, float(norm(state["position"] - begin)))
    assert farthest == pytest.approx(4.0, abs=2e-3)
    assert float(norm(state["position"] - begin)) < 0.05
    assert float(norm(state["heading"])) == pytest.approx(1.0, abs=1e-12)


def test_turning_is_exact_enough() -> None:
    angle = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
    found = turned(tensor(0.6, 0.8).expand(101, 2), angle)
    begin = math.atan2(0.8, 0.6)
    wanted = torch.stack((torch.cos(begin + angle), torch.sin(begin + angle)), -1)
    assert float((found - wanted).abs().max()) < 1e-6


# --- who is near ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [0.3, 2.0, 40.0])
def test_the_spatial_hash_finds_what_trying_all_pairs_finds(reach: float) -> None:
    draw = np.random.default_rng(3)
    at = torch.from_numpy(draw.uniform(0, 20, (3, 2 * DENSE_MAX, 2)))
    at[1] = 7.0  # all in one place
    found = near(at, reach)
    wanted = []
    for row in range(3):
        apart = norm(at[row, :, None] - at[row, None])
        i, j = torch.triu(apart <= reach, 1).nonzero().T
        wanted += [
            (row * 2 * DENSE_MAX + a, row * 2 * DENSE_MAX + b)
            for a, b in zip(i.tolist(), j.tolist(), strict=True)
        ]
    assert list(zip(found.i.tolist(), found.j.tolist(), strict=True)) == wanted


def test_the_nearest_are_in_order_and_within_reach() -> None:
    at = places((0, 0), (3, 0), (1, 0), (9, 0))
    index, there = nearest(near(at, 3.5), 4, 2)
    assert there.tolist() == [[True, True], [True, True], [True, True], [False, False]]
    assert index[:3].tolist() == [[2, 1], [2, 0], [0, 1]]


def test_connected_parts_are_those_of_the_graph() -> None:
    at = torch.from_numpy(np.random.default_rng(1).uniform(0, 30, (1, 200, 2)))
    for reach in (1.0, 2.5, 4.0):
        pairs = near(at, reach)
        graph = nx.Graph(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))
        graph.add_nodes_from(range(200))
        label = parts(pairs, 1, 200)[0]
        wanted = sorted(sorted(part) for part in nx.connected_components(graph))
        found = [torch.nonzero(label == low)[:, 0].tolist() for low in label.unique().tolist()]
        assert sorted(found) == wanted


# --- sensors, map ---------------------------------------------------------------------------------


def field(world: Any, state: Any, name: str, robot: int = 0) -> list[float]:
    seen = world.observe(state)[world.group][0, robot]
    return list(seen[world.groups[0].observation.index(name)].tolist())


def test_beams_end_at_walls_and_obstacles() -> None:
    sizes = {"width": 40, "height": 30, "radius": 0.5, "sight": 6, "obstacles": [[10, 15, 2]]}
    world = make({**sizes, "robots": 1, "beams": 4, "neighbours": 1})
    state = {**world.reset([(0, 0)]), "position": places((5, 2))}
    assert field(world, state, "free") == pytest.approx([6, 6, 4.5, 1.5])
    state = {**state, "position": places((5, 15))}
    assert field(world, state, "free") == pytest.approx([5 - 2 - 0.5, 6, 4.5, 6])
    state = {**state, "position": places((10, 11))}
    assert field(world, state, "free")[1] == pytest.approx(4 - 2.5)
    state = {**state, "position": places((12.6, 11))}
    assert field(world, state, "free")[1] == pytest.approx(6), "past it"


def test_only_who_is_within_sight_is_seen_and_nobody_by_the_blind() -> None:
    world = make({"robots": 3, "sight": 4, "neighbours": 2, "beams": 4, "motion": MOTIONS[1]})
    state = world.reset([(0, 0)])
    state = {**state, "position": places((10, 10), (13, 10), (10, 18))}
    state = {**state, "velocity": places((1, 0), (0, 0.5), (0, 0))}
    assert field(world, state, "near") == [1, 0]
    assert field(world, state, "near_x") == [3, 0]
    assert field(world, state, "near_speed_x") == [-1, 0]
    assert field(world, state, "near_speed_y") == [0.5, 0]
    state = world.inject(state, "blindness", "robot-1", True)
    assert field(world, state, "near") == [0, 0]
    assert field(world, state, "sighted") == [0]
    assert field(world, state, "free") == [0] * 4
    assert field(world, state, "near", 1) == [1, 0], "others still see it"
    state = world.inject(state, "blindness", "robot-1", False)
    assert field(world, state, "near") == [1, 0]


def test_noise_is_on_positions_and_has_the_spread_that_is_asked_for() -> None:
    world = make({"robots": 40, "noise": 0.2, "neighbours": 3, "sight": 30})
    state = world.reset([(i, 0) for i in range(20)])
    seen = world.observe(state)[world.group]
    off = seen[..., :2] - state["position"]
    assert float(off.std()) == pytest.approx(0.2, rel=0.05)
    assert float(off.mean()) == pytest.approx(0.0, abs=0.02)


def test_the_map_is_what_was_within_sight_and_not_behind_anything() -> None:
    sizes = {"width": 20, "height": 20, "cell": 0.5, "sight": 6, "robots": 1}
    world = make({**sizes, "obstacles": [[13, 10, 1.5]]})
    state = {**world.reset([(0, 0)]), "position": places((9.75, 9.75))}
    state["seen"] = torch.zeros_like(state["seen"])
    seen = world.look(state)["seen"][0]
    middle = middles(world.params, seen)
    far = norm(middle - tensor(9.75, 9.75))
    assert not seen[far > 6].any()
    assert seen[(far <= 6) & (middle[..., 0] < 11)].all()
    behind = (far <= 6) & (middle[..., 0] > 14.8) & ((middle[..., 1] - 10).abs() < 1)
    assert behind.any()
    assert not seen[behind].any()


def test_times_of_the_map_are_those_at_which_its_share_was_reached() -> None:
    world = make({"robots": 20, "targets": 1})
    state = world.reset([(0, 0)])
    share = []
    for _ in range(300):
        state, _ = world.advance(state, act(world, 1, 0.1), driven(world))
        share.append(float(state["share"][0]))
    assert share == sorted(share)
    half = world.metrics(state)["half_time"].value
    first = (
        next((i + 1) * world.dt for i, s in enumerate(share) if s >= 0.5) if share[0] < 0.5 else 0
    )
    assert half == pytest.approx(first)
    assert world.metrics(state)["seen"].value == pytest.approx(100 * share[-1])


# --- batteries and failures -----------------------------------------------------------------------


def test_energy_is_rolling_resistance_and_what_speed_takes_and_idling() -> None:
    world = make({"robots": 1, "motion": MOTIONS[1], "battery": 1, "idle": 5, "mass": 10})
    state = {**world.reset([(0, 0)]), "position": places((20, 15))}
    for _ in range(10):
        state, _ = world.advance(state, act(world, 1, 0), driven(world))
    # 5 W for 1 s, 0.05 x 98.1 N over half a metre, 10 kg to 1 m/s.
    joules = 5.0 + 0.05 * 98.1 * 0.5 + 5.0
    assert world.metrics(state)["energy"].value * 3600 == pytest.approx(joules)
    assert float(state["charge"][0, 0]) == pytest.approx(3600 - joules)
    assert field(world, state, "battery") == pytest.approx([1 - joules / 3600])


def test_an_empty_battery_stops_a_robot_until_a_charger_fills_it() -> None:
    world = make({"robots": 1, "battery": 0.01, "chargers": [[20, 15]], "charge": 50, "dock": 2})
    state = {**world.reset([(0, 0)]), "position": places((10, 15)), "heading": places((1, 0))}
    for _ in range(100):
        state, _ = world.advance(state, act(world, 1, 0), driven(world))
    assert float(state["charge"][0, 0]) == 0
    assert not world.alive(state)[world.group].any()
    assert state["velocity"].abs().max() == 0
    there = state["position"]
    state, _ = world.advance(state, act(world, 1, 0), driven(world))
    assert torch.equal(state["position"], there)
    assert world.metrics(state)["working"].value == 0
    state = {**state, "position": places((19, 15))}
    for _ in range(5):
        state, _ = world.advance(state, act(world, 1, 0), driven(world))
    assert world.alive(state)[world.group].all()
    assert float(state["velocity"][0, 0, 0]) > 0


def test_a_breakdown_stops_a_robot_and_can_be_lifted() -> None:
    world = make({"robots": 2})
    state = world.inject(world.reset([(0, 0)]), "breakdown", "robot-2", True)
    at = state["position"]
    for _ in range(5):
        state, _ = world.advance(state, act(world, 1, 0), driven(world))
    assert torch.equal(state["position"][0, 1], at[0, 1])
    assert not torch.equal(state["position"][0, 0], at[0, 0])
    assert world.alive(state)[world.group].tolist() == [[True, False]]
    assert world.metrics(state)["connectivity"].value < 100
    state = world.inject(state, "breakdown", "robot-2", False)
    state, _ = world.advance(state, act(world, 1, 0), driven(world))
    assert not torch.equal(state["position"][0, 1], at[0, 1])


# --- the world ------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("robots", [5, DENSE_MAX + 4])
def test_rows_do_not_depend_on_the_batch_and_repeat_to_the_bit(motion: str, robots: int) -> None:
    rows = [(3, i) for i in range(4)]
    params = {
        "robots": robots, "motion": motion, "obstacles": 4, "battery": 1, "chargers": [[3, 3]],
        "noise": 0.1, "width": 14, "height": 14, "radius": 0.3,
    }  # fmt: skip

    def play(of: list[tuple[int, int]]) -> Any:
        world = make(params)
        state = world.reset(of)
        for step in range(40):
            asked = [
                torch.from_numpy(np.random.default_rng([*row, step]).uniform(-2, 2, (robots, 2)))
                for row in of
            ]
            state, reward = world.advance(
                state, {world.group: torch.stack(asked)}, driven(world, len(of))
            )
            if step == 10:
                state = world.inject(state, "breakdown", "robot-2", True)
        return {**state, "paid": reward[world.group], "observed": world.observe(state)[world.group]}

    together = play(rows)
    assert bool(together["contacts"].sum(1).gt(0).any())
    for i, row in enumerate(rows):
        alone = play([row])
        for name, value in alone.items():
            if name == "observed":
                assert torch.allclose(value[0], together[name][i], atol=1e-9)
            else:
                assert torch.equal(value[0], together[name][i]), (row, name)


def test_spaces_hold_what_is_observed() -> None:
    world = make({"robots": 20, "obstacles": 5, "battery": 1, "width": 20, "height": 20})
    state = world.reset([(i, 0) for i in range(10)])
    for _ in range(20):
        state, _ = world.advance(state, act(world, 1, 0.5, batch=10), driven(world, 10))
    seen = world.observe(state)[world.group]
    space = world.groups[0].observation
    assert seen.shape == (10, 20, space.size)
    assert bool((seen >= torch.from_numpy(space.low) - 1e-9).all())
    assert bool((seen <= torch.from_numpy(space.high) + 1e-9).all())


def test_what_makes_no_sense_is_refused() -> None:
    for params, word in (
        ({"robots": 4000, "width": 20}, "no room for 4000"),
        ({"obstacles": 200}, "room for"),
        ({"decide": "150ms"}, "multiple of dt"),
        ({"motion": "legs"}, "unicycle, double_integrator"),
        ({"speed": -1}, "world.speed"),
        ({"chargers": [[1, 1], [41, 1]]}, r"world.chargers\[1\]: expected a place on 40 x 30 m"),
        ({"task": "construction", "depot": [1, -1]}, "world.depot: expected a place on"),
    ):
        with pytest.raises(BoundError, match=word):
            make(params).reset([(0, 0)])
    with pytest.raises(UnknownKeyError, match="search"):
        make({"task": "seach"})
    with pytest.raises(UnknownKeyError, match="radius"):
        make({"radios": 1})
    world = make({})
    with pytest.raises(UnknownKeyError, match="robot-3"):
        world.inject(world.reset([(0, 0)]), "breakdown", "robot-13", True)
