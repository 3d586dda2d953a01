"""A motorway: the fundamental diagram of IDM, MOBIL's safety, contacts, and that everybody who has
entered has left or is still there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from checkers.vehicles import absent, tensor
from hypothesis import given, note, settings
from hypothesis import strategies as st

from sim.errors import BoundError
from sim.worlds.motorway.lanes import PARKED, neighbours
from sim.worlds.motorway.laws import (
    EMPTY_M,
    FREE,
    OTHERS_WISH,
    Beside,
    Manners,
    follow,
    gains,
    mobil,
    stop,
    urge,
)
from sim.worlds.motorway.world import make
from sim.worlds.vehicles.laws import DRIVER, equilibrium, idm
from sim.worlds.vehicles.theory import capacity

SIZE = 5.0
DIRECT = {"lag": 0, "delay": 0, "noise": 0, "latency": 0, "jerk": 1e6}
"""Everybody's wish is what happens."""


def put(
    world: Any, state: Any, lane: list[int], place: list[float], speed: list[float]
) -> dict[str, Any]:
    """The state with the first vehicles of a batch of one where they are said to be, and no other
    on the road, ever."""
    n, k = state["place"].shape[1], len(lane)
    lanes = torch.tensor([[*lane, *[PARKED] * (n - k)]])
    places, speeds = (tensor(*x, *[0.0] * (n - k))[None] for x in (place, speed))
    gone = torch.tensor([[False] * k + [True] * (n - k)])
    here = neighbours(SIZE, places, speeds, lanes)
    seen = torch.stack((places, speeds, lanes.double()), -1)
    seen = seen[..., None].expand_as(state["seen"])
    return {
        **state, "lane": lanes, "place": places, "speed": speeds, "gone": gone, "seen": seen,
        "gap": here.ahead[1], "closing": here.ahead_closing[1],
    }  # fmt: skip


# --- laws of driving ------------------------------------------------------------------------------


def test_a_wish_of_ones_own_changes_nothing_else_in_idm() -> None:
    gap, closing, speed = tensor(20.0, 50.0), tensor(-1.0, 3.0), tensor(15.0, 25.0)
    own = follow(tensor(DRIVER.speed), gap, closing, speed)
    assert torch.allclose(own, idm(DRIVER, gap, closing, speed), atol=1e-14)


def test_the_end_of_a_lane_brakes_nobody_before_it_must() -> None:
    assert float(stop(tensor(20.0), tensor(200.0))) == np.inf
    assert float(stop(tensor(20.0), tensor(54.0))) == pytest.approx(-(20**2) / 100)


def lanes_of(*rows: tuple[float, float, float, float]) -> Beside:
    return Beside(*(tensor(*x) for x in zip(*rows, strict=True)))


EMPTY = (EMPTY_M, 0.0, EMPTY_M, 0.0)


def test_mobil_by_its_equations() -> None:
    """Behind somebody slow, with the left lane free but for one who comes from behind."""
    speed, manners = tensor(25.0)[0], Manners(politeness=0.5, threshold=0.2, right=0.1)
    lanes = lanes_of(EMPTY, (30.0, 5.0, EMPTY_M, 0.0), (EMPTY_M, 0.0, 60.0, 3.0))
    gained, is_safe = gains(manners, tensor(30.0)[0], speed, SIZE, lanes)
    mine = DRIVER.accelerate - idm(FREE, tensor(30.0), tensor(5.0), tensor(25.0))[0]
    theirs = idm(FREE, tensor(60.0), tensor(3.0), tensor(28.0))[0] - DRIVER.accelerate
    assert float(gained[1]) == pytest.approx(float(mine + 0.5 * theirs))
    assert bool(is_safe.all())
    none = torch.tensor(True)
    told = (manners, tensor(30.0)[0], speed, SIZE)
    assert float(mobil(*told, lanes, (none, none), ~none)) == -1.0
    assert float(mobil(*told, lanes, (~none, none), ~none)) == 1.0
    assert float(mobil(*told, lanes, (~none, ~none), ~none)) == 0.0
    near = lanes_of(EMPTY, (30.0, 5.0, EMPTY_M, 0.0), (EMPTY_M, 0.0, 8.0, 3.0))
    assert float(mobil(*told, near, (~none, none), ~none)) == 0.0
    assert float(mobil(*told, near, (~none, none), none)) == 0.0, "not even at the end of a ramp"


def test_who_is_free_keeps_right_and_who_must_go_goes() -> None:
    true, false = torch.tensor(True), torch.tensor(False)
    told = (Manners(), tensor(30.0)[0], tensor(25.0)[0], SIZE)
    free = lanes_of(EMPTY, EMPTY, EMPTY)
    assert float(mobil(*told[:3], SIZE, free, (true, true), false)) == 0.0
    keen = (Manners(right=0.3), *told[1:])
    assert float(mobil(*keen, free, (true, true), false)) == -1.0
    assert float(mobil(*told, free, (false, true), true)) == 1.0


# --- traffic --------------------------------------------------------------------------------------


def speed_at(flow: float, wish: float) -> float:
    """The speed in m/s at which IDM carries a flow in vehicles per s, on its free branch."""
    low, high = capacity(DRIVER, SIZE)[1], wish
    while high - low > 1e-9:
        middle = (low + high) / 2
        carried = middle / (equilibrium(DRIVER, middle) + SIZE)
        low, high = (middle, high) if carried > flow else (low, middle)
    return low


def open_road(demand: float, seconds: float, **params: Any) -> tuple[Any, Any]:
    """One lane of identical drivers, at regular intervals, after so many seconds."""
    lane = {"lanes": 1, "length": 2000, "speed": DRIVER.speed, "spread": 0, "jitter": 0}
    slots = {"vehicles": int((seconds + 60) * demand / 3600) + 2, "hurry": 40, "dt": "100ms"}
    world = make({**DIRECT, **lane, **slots, "demand": demand, **params})
    state, nobody = world.reset([(0, 0)]), absent(world)
    for _ in range(round(seconds * 10)):
        state, _ = world.advance(state, *nobody)
    return world, state


@pytest.mark.parametrize("demand", [900.0, pytest.param(1400.0, marks=pytest.mark.slow)])
def test_a_lane_carries_what_comes_at_the_speed_of_its_fundamental_diagram(demand: float) -> None:
    world, state = open_road(demand, 150.0)
    on_it = (state["lane"] == 1) & (state["place"] > 1000)
    mean = float(state["speed"][on_it].mean())
    assert mean == pytest.approx(speed_at(demand / 3600, DRIVER.speed), rel=0.01)
    far = torch.sort(state["place"][on_it]).values
    flow = mean / float(torch.diff(far).mean()) * 3600
    assert flow == pytest.approx(demand, rel=0.01)
    # From the beginning on, when those on the road still slow down from their wish.
    told = world.metrics(state)
    assert told["lane_1"].value == told["throughput"].value == pytest.approx(demand, rel=0.05)
    assert told["throughput"].value < demand


@pytest.mark.slow
def test_more_than_the_capacity_of_a_lane_does_not_pass() -> None:
    """Whatever waits outside: 1,743 vehicles per hour at most, and most of that."""
    most = capacity(DRIVER, SIZE)[0] * 3600
    world, early = open_road(2600.0, 150.0, filled=False)
    nobody, state = absent(world), early
    for _ in range(900):
        state, _ = world.advance(state, *nobody)
    passed = float(state["gone"].sum() - early["gone"].sum()) / 90 * 3600
    assert 0.9 * most < passed < 1.02 * most
    waiting = (state["due"] < 240) & (state["lane"] == PARKED) & ~state["gone"]
    assert int(waiting.sum()) > 10


ROADS = st.fixed_dictionaries(
    {
        "lanes": st.integers(1, 4),
        "ramps": st.integers(0, 4),
        "emergencies": st.integers(0, 1),
        "demand": st.sampled_from([1500, 4000, 8000]),
        "spread": st.sampled_from([0.0, 0.3]),
        "filled": st.booleans(),
    }
)
SHORT = {
    "length": 500, "ramp": 50, "opens": 100, "ends": 250, "scene": 300, "called": "3s",
    "vehicles": 24, "ramp_demand": 2000, "dt": "100ms", "latency": 0,
}  # fmt: skip


def count(state: Any) -> tuple[int, int, int]:
    """Who has entered, is on the road, and has left."""
    on_it, gone = int((state["lane"] != PARKED).sum()), int(state["gone"].sum())
    return int(((state["driven"] > 0) | (state["place"] > state["door"])).sum()), on_it, gone


@settings(max_examples=tries(10), deadline=None)
@given(ROADS, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_nobody_passes_through_anybody_and_nobody_is_lost(
    road: dict[str, Any], seed: int, share: float
) -> None:
    """Whatever a part of them does, pedal and lane at random, and whoever breaks down."""
    note(f"road {road}, seed {seed}, at random {share}")
    world = make({**SHORT, **road})
    state, n = world.reset([(seed, 0)]), world.agents
    draw = np.random.default_rng(seed)
    entered = torch.zeros_like(state["gone"])
    for step in range(100):
        if step in (20, 80):
            state = world.inject(state, "accident", f"lane-{road['lanes']}", step == 20)
        asked = np.stack([draw.uniform(-8, 2.5, (1, n)), draw.integers(-1, 2, (1, n))], -1)
        there = torch.from_numpy(draw.uniform(size=(1, n)) < share)
        before = state
        state, _ = world.advance(
            state, world.by_group(torch.from_numpy(asked)), world.by_group(there)
        )
        lane, place = state["lane"], state["place"]
        is_on = lane != PARKED
        entered |= is_on | state["gone"]
        assert torch.equal(entered, is_on | state["gone"]), "entered = left + on the road"
        assert not bool((is_on & state["gone"]).any())
        assert bool((state["gone"] | ~before["gone"]).all()), "nobody comes back"
        for k in range(road["lanes"] + 1):
            file = torch.sort(place[lane == k]).values
            assert bool((torch.diff(file) >= SIZE - 1e-6).all()), "overlap"
        stays = (lane == before["lane"]) & is_on
        first, second = (x["place"][0, :, None] - x["place"][0] for x in (before, state))
        together = (lane[0, :, None] == lane[0]) & stays[0, :, None] & stays[0]
        assert not bool((together & (first > 0) & (second < 0)).any()), "passed through"
        assert bool((place[lane == 0] <= 250 + 1e-9).all()), "nobody drives off the ramp"
        assert bool((state["speed"] >= 0).all())


@settings(max_examples=tries(10), deadline=None)
@given(ROADS, st.integers(0, 2**32 - 1))
def test_no_change_of_lane_makes_anybody_brake_harder_than_is_safe(
    road: dict[str, Any], seed: int
) -> None:
    """MOBIL's criterion, looked at from outside: who is behind after each change."""
    note(f"road {road}, seed {seed}")
    world = make({**SHORT, **DIRECT, **road})
    state, nobody = world.reset([(seed, 0)]), absent(world)
    for _ in range(100):
        before = state
        state, _ = world.advance(state, *nobody)
        moved = (state["changes"] > before["changes"]) & (before["lane"] != state["lane"])
        moved &= (before["lane"] != PARKED) & (state["lane"] != PARKED)
        lane = torch.where(moved, state["lane"], before["lane"])
        here = neighbours(SIZE, before["place"], before["speed"], lane)
        gap, closing = here.behind[1], here.behind_closing[1]
        theirs = before["speed"] + closing
        brakes = idm(FREE, gap, closing, theirs) + urge(OTHERS_WISH, theirs)
        assert bool((brakes[moved] > -4.0).all())
    assert float(state["scrapes"]) == 0


def test_changes_do_happen() -> None:
    """Without them the two properties above prove little."""
    world = make({**SHORT, **DIRECT, "lanes": 3, "ramps": 4, "spread": 0.3, "demand": 4000})
    state, nobody = world.reset([(1, 0)]), absent(world)
    for _ in range(200):
        state, _ = world.advance(state, *nobody)
    assert float(state["changes"]) > 8
    assert bool((state["lane"][0, 24:] > 0).any()), "somebody from the ramp"


# --- contacts, accidents, the ramp ----------------------------------------------------------------


def test_the_closing_speed_of_a_contact_in_a_lane_and_none_beside_it() -> None:
    world = make({**DIRECT, "vehicles": 3})
    state = world.reset([(0, 0)])
    state = put(world, state, [1, 1, 2], [107.1, 100.0, 103.0], [0.0, 10.0, 30.0])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    for _ in range(11):
        state, _ = world.advance(state, actions, there)
    assert state["hit"].tolist() == [[False, True, False]]
    assert state["wreck"].tolist() == [[True, True, False]]
    told = world.metrics(state)
    assert told["impact"].value == pytest.approx(10.0)
    assert told["collisions"].value == 1


def test_a_near_miss_is_counted_once_and_the_time_to_collision_is_what_was_left() -> None:
    """35 m behind a wreck at 20 m/s, for a second and beside another lane where nobody is near."""
    world = make({**DIRECT, "vehicles": 3})
    state = world.reset([(0, 0)])
    state = put(world, state, [1, 1, 2], [140.0, 100.0, 120.0], [0.0, 20.0, 0.0])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    counts = []
    for _ in range(50):
        state, _ = world.advance(state, actions, there)
        counts.append(world.metrics(state)["near_misses"].value)
    assert counts == [0.0] * 12 + [1.0] * 38, "below 1.5 s from the first step after 0.25 s on"
    assert world.metrics(state)["least_ttc"].value == pytest.approx(0.75)
    assert world.metrics(state)["collisions"].value == 0


def test_who_does_not_leave_the_ramp_hits_its_end() -> None:
    world = make({**DIRECT, "vehicles": 1, "ramps": 1, "opens": 400, "ends": 500})
    state = world.reset([(0, 0)])
    n = world.agents
    state = {**state, "gone": torch.tensor([[True, False]])}
    state = {**state, "lane": torch.tensor([[PARKED, 0]]), "place": tensor(0.0, 489.0)[None]}
    state = {**state, "speed": tensor(0.0, 20.0)[None]}
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    for _ in range(40):
        state, _ = world.advance(state, actions, there)
    assert n == 2
    assert float(state["impact"]) == pytest.approx(20.0)
    assert float(state["place"][0, 1]) == pytest.approx(500.0, abs=1e-6)
    assert bool(state["wreck"][0, 1])
    assert not bool(world.alive(state)["ramp"].any()), "there is nothing left to decide"


def test_nobody_enters_a_place_that_is_taken() -> None:
    world = make({**DIRECT, "vehicles": 2})
    state = put(world, world.reset([(0, 0)]), [1, 2], [100.0, 103.0], [20.0, 20.0])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    actions["vehicle"][0, 0, 1] = 1.0
    state, _ = world.advance(state, actions, there)
    assert state["lane"].tolist() == [[1, 2]]
    for _ in range(4):  # the wish holds until the next decision
        state, _ = world.advance(state, actions, there)
    assert world.metrics(state)["scrapes"].value == 1
    assert world.metrics(state)["changes"].value == 0


def test_of_two_that_would_enter_a_lane_at_once_the_foremost_does() -> None:
    world = make({**DIRECT, "vehicles": 2, "lanes": 3})
    state = put(world, world.reset([(0, 0)]), [1, 3], [100.0, 103.0], [20.0, 20.0])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    actions["vehicle"][0, :, 1] = tensor(1.0, -1.0)
    state, _ = world.advance(state, actions, there)
    assert state["lane"].tolist() == [[1, 2]]
    assert state["settling"].tolist() == [[0, 150]]


def test_who_passes_the_scene_breaks_down_and_goes_on_when_it_is_lifted() -> None:
    world = make({**DIRECT, "vehicles": 2, "scene": 500})
    state = put(world, world.reset([(0, 0)]), [1, 2], [490.0, 480.0], [25.0, 25.0])
    state = world.inject(state, "accident", "lane-1", True)
    nobody = absent(world)
    for _ in range(400):
        state, _ = world.advance(state, *nobody)
    assert state["broken"].tolist() == [[True, False]]
    assert float(state["speed"][0, 0]) == 0
    assert float(state["speed"][0, 1]) > 20
    state = world.inject(state, "accident", "lane-1", False)
    for _ in range(100):
        state, _ = world.advance(state, *nobody)
    assert float(state["speed"][0, 0]) > 0
    assert float(state["hit"].sum()) == 0


def test_response_time_and_the_bound_that_it_has() -> None:
    """An emergency vehicle that is alone needs distance over wish, but for its own IDM."""
    from sim.worlds.motorway.world import reference

    params = {**DIRECT, "vehicles": 1, "emergencies": 1, "called": "1s", "scene": 1000}
    world = make({**params, "demand": 1.0, "filled": False, "jitter": 0, "dt": "100ms"})
    state, nobody = world.reset([(0, 0)]), absent(world)
    for _ in range(400):
        state, _ = world.advance(state, *nobody)
    found = world.metrics(state)["response_time"].value
    bound = reference(params, 0, 40 * 10**9)["free"]["response_time"]
    assert bound == pytest.approx(25.0)
    assert bound <= found < 1.1 * bound


# --- the world ------------------------------------------------------------------------------------


def drive(rows: list[tuple[int, int]], steps: int = 100) -> Any:
    """Everybody at random, with contacts, sides touched, and an accident."""
    world = make({**SHORT, "emergencies": 1, "ramps": 3, "lanes": 3, "demand": 6000})
    state = world.reset(rows)
    n = world.agents
    for step in range(steps):
        made = [np.random.default_rng([*row, step]) for row in rows]
        asked = [np.stack((d.uniform(-8, 2.5, n), d.integers(-1, 2, n)), -1) for d in made]
        there = torch.from_numpy(np.stack([d.uniform(size=n) < 0.5 for d in made]))
        if step in (20, 90):
            state = world.inject(state, "accident", "lane-2", step == 20)
        actions = world.by_group(torch.from_numpy(np.stack(asked)))
        state, reward = world.advance(state, actions, world.by_group(there))
    return {**state, "observed": world.observe(state)["vehicle"], "paid": reward["vehicle"]}


def test_rows_do_not_depend_on_the_batch_and_repeat_to_the_bit() -> None:
    rows = [(3, i) for i in range(4)]
    together = drive(rows)
    assert bool(together["hit"].any()), "a test without contact proves little"
    assert bool((together["scrapes"] > 0).any())
    for i, row in enumerate(rows):
        alone = drive([row])
        for name, value in alone.items():
            assert torch.equal(value[0], together[name][i]), (row, name)


def test_what_is_observed_is_what_is_there() -> None:
    world = make({**DIRECT, "vehicles": 3, "sight": 100})
    lanes, places, speeds = [1, 2, 1], [200.0, 180.0, 150.0], [20.0, 25.0, 30.0]
    state = put(world, world.reset([(0, 0)]), lanes, places, speeds)
    space = world.groups[0].observation
    seen = world.observe(state)["vehicle"][0]

    def of(i: int, name: str) -> float:
        return float(seen[i, space.index(name).start])

    assert [of(2, "own_ahead"), of(2, "own_ahead_closing")] == [45.0, 10.0]
    assert [of(0, "own_behind"), of(0, "own_behind_closing")] == [45.0, 10.0]
    assert [of(1, "right_ahead"), of(1, "right_behind")] == [15.0, 25.0]
    assert [of(0, "left_behind"), of(0, "left_behind_closing")] == [15.0, 5.0]
    assert [of(0, "own_ahead"), of(0, "own_ahead_closing")] == [100.0, 0.0]
    assert [of(0, "may_right"), of(0, "may_left"), of(1, "may_left")] == [0.0, 1.0, 0.0]


@settings(max_examples=tries(20), deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 12))
def test_who_is_beside_whom_is_what_looking_at_all_pairs_tells(
    seed: int, lanes: int, count: int
) -> None:
    """On a grid, so that many are abreast; among those the lower number is ahead."""
    draw = np.random.default_rng(seed)
    cells = draw.permutation((lanes + 1) * 10)[:count]
    lane = np.where(draw.uniform(size=count) < 0.2, PARKED, cells // 10)
    place, speed = cells % 10 * 7.3, draw.uniform(0, 30, count)
    found = neighbours(
        SIZE, tensor(*place)[None], tensor(*speed)[None], torch.from_numpy(lane)[None]
    )
    for i in range(count):
        for side in range(3):
            there = [
                j for j in range(count)
                if j != i and PARKED != lane[i] and lane[j] == lane[i] + side - 1 != PARKED
            ]  # fmt: skip
            ranks = {j: (place[j], -j) for j in there}
            first = min((j for j in there if ranks[j] > (place[i], -i)), key=ranks.get, default=i)
            last = max((j for j in there if ranks[j] < (place[i], -i)), key=ranks.get, default=i)
            gaps = (
                EMPTY_M if first == i else place[first] - place[i] - SIZE,
                EMPTY_M if last == i else place[i] - place[last] - SIZE,
            )
            assert (found.ahead[side, 0, i], found.behind[side, 0, i]) == pytest.approx(gaps)
            closing = found.ahead_closing[side, 0, i], found.behind_closing[side, 0, i]
            assert closing == pytest.approx((speed[i] - speed[first], speed[last] - speed[i]))


def test_sensors_are_late_and_noisy_and_nobody_knows_oneself_so_badly() -> None:
    """Two steps late at 20 m/s and 30 m/s; and 0.5 m of noise on 1,000 gaps."""
    late = make({**DIRECT, "latency": "40ms", "lanes": 1, "vehicles": 2})
    state = put(late, late.reset([(0, 0)]), [1, 1], [200.0, 100.0], [20.0, 30.0])
    index, nobody = late.groups[0].observation.index("own_ahead").start, absent(late)
    gaps = [float(state["gap"][0, 1])]
    for _ in range(4):
        state, _ = late.advance(state, *nobody)
        gaps.append(float(state["gap"][0, 1]))
    assert float(late.observe(state)["vehicle"][0, 1, index]) == pytest.approx(gaps[-3])
    assert gaps[-1] < gaps[-3] - 0.3

    noisy = make({**DIRECT, "noise": 0.5, "vehicles": 2})
    rows = noisy.reset([(i, 0) for i in range(1000)])
    one = put(noisy, noisy.reset([(0, 0)]), [1, 1], [200.0, 100.0], [20.0, 30.0])
    told = {name: one[name].expand_as(rows[name]) for name in ("lane", "place", "speed", "seen")}
    seen = noisy.observe({**rows, **told})["vehicle"][:, 1]
    error = seen[:, index] - 95.0
    assert float(error.mean()) == pytest.approx(0.0, abs=4 * 0.5 / 1000**0.5)
    assert float(error.std()) == pytest.approx(0.5, rel=0.1)
    own = noisy.groups[0].observation.index("speed").start
    assert bool((seen[:, own] == 30.0).all())


def test_what_makes_no_sense_is_refused() -> None:
    for params, word in (
        ({"ramps": 1, "opens": 100}, "ramp < opens < ends < length"),
        ({"scene": 2000}, "less than length"),
        ({"hurry": 20}, "at least speed"),
        ({"latency": "30ms"}, "multiple of dt"),
        ({"lanes": 0}, "world.lanes"),
    ):
        with pytest.raises(BoundError, match=word):
            make(params)
