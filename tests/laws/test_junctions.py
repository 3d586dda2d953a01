"""Junctions: delay at fixed-time signals as Webster has it, saturation flow, what max-pressure
keeps stable, and that nobody is lost, passes through anybody, or meets anybody in the box."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, note, settings
from hypothesis import strategies as st

from sim.errors import BoundError
from sim.worlds.catalogue import make_batch
from sim.worlds.junctions import progression, webster
from sim.worlds.junctions.params import CITY, LENGTH_M, Params
from sim.worlds.junctions.reference import instant

BOX = 14.0
SHOWN = -webster.LOST_S
"""By so much effective green is longer than what is shown."""


def make(**params: Any) -> Any:
    return make_batch("junctions", params)


def absent(world: Any, batch: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Actions of nobody."""
    nothing = {
        g.name: torch.zeros(batch, len(g.agents), g.action.size, dtype=torch.float64)
        for g in world.groups
    }
    there = {g.name: torch.zeros(batch, len(g.agents), dtype=torch.bool) for g in world.groups}
    return nothing, there


# --- Webster --------------------------------------------------------------------------------------


def test_websters_formula_by_hand() -> None:
    """C 60 s, g 30 s, 600 vehicles/h, s 1,800: x = 2/3."""
    found = webster.delay(60, 30, 1 / 6, 0.5)
    assert webster.uniform(60, 30, 1 / 6, 0.5) == pytest.approx(11.25)
    assert found == pytest.approx(11.25 + 4.0 - 1.356, abs=5e-3)
    with pytest.raises(ValueError, match="expected below"):
        webster.delay(60, 30, 0.25, 0.5)


@pytest.mark.parametrize("flow", [250.0, 400.0, 600.0])
def test_websters_cycle_has_nearly_the_least_delay(flow: float) -> None:
    p = Params(north_south=flow, east_west=flow, least_green=1.0)

    def delay(green: float) -> float:
        return webster.delay(2 * green + 10, green + SHOWN, flow / 3600)

    least = min(delay(green) for green in np.arange(5.0, 60.0, 0.25) if _serves(p, green, flow))
    assert delay(webster.greens(p)[0][0]) < 1.05 * least


def _serves(p: Params, green: float, flow: float) -> bool:
    return webster.capacity(p, [green, green])[0] > 1.01 * flow


def at_the_line(params: dict[str, Any], batch: int, warm: int, steps: int) -> Any:
    """Mean delay of those that come from north or south, and from east or west, up to the line.

    A point queue, which is what Webster's is, begins to lose time at the line, and ends there.
    """
    world = make(**params, dt="200ms")
    state, nobody = world.reset([(7, i) for i in range(batch)]), absent(world, batch)
    lost, road = np.zeros(4), world.params.road
    for step in range(warm + steps):
        state, _ = world.advance(state, *nobody)
        if step >= warm:
            slow = 1 - state["speed"] / CITY.speed
            for lane in range(4):
                there = (state["lane"] == lane) & (state["place"] < road)
                lost[lane] += float((slow * there).sum() + state["waiting"][:, lane].sum())
    flow = np.array([world.params.north_south, world.params.east_west] * 2) / 3600
    mean = lost * world.dt / (flow * steps * world.dt * batch)
    return (mean[0] + mean[2]) / 2, (mean[1] + mean[3]) / 2


def test_even_arrivals_lose_what_the_uniform_term_says() -> None:
    """Within 3 % where x is 0.48 and 0.78; the formula knows no acceleration."""
    params = {"greens": (30, 30), "arrivals": "even", "north_south": 400, "east_west": 650}
    found = at_the_line(params, batch=4, warm=350, steps=700)
    for delay, flow in zip(found, (400, 650), strict=True):
        assert delay == pytest.approx(webster.uniform(70, SHOWN + 30, flow / 3600), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("green", "flows"),
    [pytest.param(20, (400, 400), id="20 s"), pytest.param(30, (400, 550), id="30 s")],
)
def test_random_arrivals_lose_what_webster_says(green: float, flows: tuple[float, float]) -> None:
    """Within 12 %, where x is 0.48 to 0.66; some 2,000 vehicles of each direction are few."""
    cycle = 2 * green + 10
    params = {"greens": (green, green), "north_south": flows[0], "east_west": flows[1]}
    found = at_the_line(params, batch=24, warm=500, steps=1500)
    for delay, flow in zip(found, flows, strict=True):
        wanted = webster.delay(cycle, SHOWN + green, flow / 3600)
        assert delay == pytest.approx(wanted, rel=0.12)


def test_greens_are_for_what_comes_to_each_junction() -> None:
    """Two in a row, by hand: a fifth of those from the south turn right, and go on to the east."""
    p = Params(columns=2, north_south=300, east_west=600, right=0.2)
    west, east = webster.flows(p)
    assert [3600 * flow for flow in west] == pytest.approx([300, 540, 300, 600])
    assert [3600 * flow for flow in east] == pytest.approx([300, 600, 300, 540])
    plan = webster.greens(p)
    assert plan[0] == pytest.approx(plan[1])
    cycle = (1.5 * 8.6 + 5) / (1 - 900 / 3600 / webster.SATURATION)
    assert sum(plan[0]) + 10 == pytest.approx(cycle)
    assert (plan[0][1] + SHOWN) / (plan[0][0] + SHOWN) == pytest.approx(2)


def test_a_platoon_waits_for_green_by_hand() -> None:
    """Cycle 60 s, green from 10 to 40 s, a platoon of 20 s."""
    for arrives, wanted in ((15, 0.0), (75, 0.0), (40, 20.5), (0, 2.75), (30, 12.75)):
        assert progression.wait(arrives, 20, 10, 30, 60) == pytest.approx(wanted)


def test_offsets_let_platoons_through_both_ways() -> None:
    """A road takes 15 s to drive, the cycle is 60 s, so that half a cycle there and back is two
    roads: neighbours half a cycle apart would wait, and the hill is climbed to less than all at
    once has."""
    p = Params(columns=3, north_south=200, east_west=600, road=CITY.speed * 15 - BOX)
    shown = [[20.0, 30.0]] * 3
    begun = progression.offsets(p, shown)
    assert begun[0] == 0

    def waits(offsets: list[float]) -> float:
        pairs = [(0, 1), (1, 2), (1, 0), (2, 1)]
        return sum(
            progression.wait(offsets[a] + 25 + 15, 30, offsets[b] + 25, 30, 60) for a, b in pairs
        )

    assert waits(begun) < 0.7 * waits([0, 0, 0])
    every = [[0.0, float(b), float(c)] for b in range(0, 60, 5) for c in range(0, 60, 5)]
    assert waits(begun) < 1.1 * min(map(waits, every))


@pytest.mark.slow
def test_the_green_wave_loses_a_tenth_less_than_the_same_greens_at_once() -> None:
    demand = {"rows": 3, "columns": 3, "north_south": 300, "east_west": 650, "dt": "200ms"}
    lost = []
    for greens in (
        (),
        webster.greens(Params(rows=3, columns=3, north_south=300, east_west=650))[0],
    ):
        world = make(**demand, greens=tuple(greens))
        state, nobody = world.reset([(5, 0), (6, 0)]), absent(world, 2)
        for _ in range(1500):
            state, _ = world.advance(state, *nobody)
        lost.append(float((state["delay"] / state["came"]).mean()))
    assert lost[0] < 0.9 * lost[1]


# --- queues and flows -----------------------------------------------------------------------------


def queued(world: Any, state: Any, lanes: list[int], count: int) -> Any:
    """The state with so many standing on each of some lanes."""
    changes = {k: state[k].clone() for k in ("lane", "place", "committed", "entered", "came")}
    for i, lane in enumerate(lanes):
        which = slice(i * count, (i + 1) * count)
        changes["lane"][:, which] = lane
        standing = torch.arange(count) * (LENGTH_M + CITY.standstill)
        changes["place"][:, which] = world.params.road - 1.0 - standing
    changes["entered"] += count * len(lanes)
    changes["came"] += count * len(lanes)
    return {**state, **changes}


def test_a_queue_discharges_at_the_capacity_of_idm() -> None:
    world = make(greens=(60, 30), road=200, north_south=0, east_west=0, right=0)
    nobody, starts = absent(world), []
    state = queued(world, world.reset([(0, 0)]), [0], 20)
    for step in range(450):
        before, (state, _) = state["place"], world.advance(state, *nobody)
        crossed = (before <= 200) & (state["place"] > 200) & (state["lane"] == 0)
        starts += [step * world.dt] * int(crossed.sum())
    assert len(starts) == 20
    headway = (starts[-1] - starts[9]) / 10
    assert headway == pytest.approx(1 / webster.SATURATION, rel=0.03)
    assert 3600 * webster.SATURATION == pytest.approx(1899, abs=1)
    assert 1.0 < starts[-1] - 20 * headway < 2.5  # lost at the start


@pytest.mark.slow
def test_max_pressure_keeps_a_demand_stable_that_bad_timing_does_not() -> None:
    """Y is 0.55, far inside the region; the plan gives the busy direction 561 of 900 an hour."""
    world = make(columns=2, greens=(40, 20), north_south=150, east_west=900, dt="200ms")
    assert webster.capacity(world.params, [40, 20])[1] == pytest.approx(561, abs=1)
    state, queues = world.reset([(3, 0)] * 2), []
    present = {"signal": torch.tensor([[False, False], [True, True]])}
    actions = {"signal": torch.zeros(2, 2, 1, dtype=torch.float64)}
    for step in range(1500):
        if step % 5 == 0:
            actions = {"signal": instant(world, state)}
        state, _ = world.advance(state, actions, present)
        slow = (state["lane"] < 8) & (state["speed"] < 2)
        queues.append((slow.sum(1) + state["waiting"].sum(1)).tolist())
    third = np.array(queues).reshape(3, 500, 2).mean(1)
    planned, pressed = third[:, 0], third[:, 1]
    assert planned[2] - planned[1] > 0.6 * (planned[1] - planned[0]) > 8
    assert pressed[2] < 1.5 * pressed[0] + 5 < planned[2] / 2


# --- nobody gets lost, nobody hits anybody --------------------------------------------------------

KINDS = st.fixed_dictionaries(
    {
        "control": st.sampled_from(["signals", "vehicles"]),
        "left": st.sampled_from([0.0, 0.25]),
        "right": st.sampled_from([0.0, 0.3]),
        "north_south": st.sampled_from([400.0, 1500.0]),
        "east_west": st.sampled_from([400.0, 1500.0]),
        "road": st.sampled_from([60.0, 100.0]),
        "slots": st.sampled_from([0, 12]),
    }
)


@settings(max_examples=tries(3), deadline=None)
@given(KINDS, st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_nobody_gets_lost_or_through_anybody(kind: dict[str, Any], rows: int, seed: int) -> None:
    """Whatever agents do, whether they are there or not."""
    rows = 1 if kind["control"] == "vehicles" else rows
    note(f"{kind}, {rows} rows, seed {seed}")
    world, batch = make(**kind, rows=rows, amber=1, all_red=0, dt="200ms"), 4
    state = world.reset([(seed, i) for i in range(batch)])
    draw = np.random.default_rng(seed)
    group = world.groups[-1]
    actions, there = absent(world, batch)
    for step in range(200):
        if step % 10 == 0:
            shape = actions[group.name].shape
            actions[group.name] = torch.from_numpy(draw.integers(0, 3, shape).astype(float))
            there[group.name] = torch.from_numpy(draw.random(shape[:2]) < 0.8)
        state, _ = world.advance(state, actions, there)
        inside = (state["lane"] < world.at.lanes).sum(1)
        assert torch.equal(state["came"], state["waiting"].sum(1) + inside + state["left"])
        assert torch.equal(state["entered"], inside + state["left"])
        if step % 2 == 0:
            for row in range(batch):
                check_apart(world, {k: v[row] for k, v in state.items() if v.dim() > 1})
    assert int(state["collisions"].sum()) == 0


def check_apart(world: Any, state: dict[str, Any]) -> None:
    """In their lane behind each other, and in a box as far apart as cars are wide."""
    road, lane, place = world.params.road, state["lane"].numpy(), state["place"].numpy()
    for each in range(world.at.lanes):
        file = np.sort(place[lane == each])
        assert (np.diff(file) >= LENGTH_M).all(), (each, file)
    for junction in range(world.at.junctions):
        near = np.flatnonzero((lane // 4 == junction) & (lane < world.at.inner) & (place > road))
        bodies = [
            (lane[i] % 4, body(int(lane[i] % 4), int(state["movement"][i]), place[i] - road))
            for i in near
        ]
        for (k, one), (m, other) in combinations(bodies, 2):
            if k != m:
                apart = np.linalg.norm(one[:, None] - other[None], axis=-1).min()
                assert apart > 1.8, (k, m, apart)


def body(approach: int, movement: int, front: float) -> Any:
    """Points along a car in the box, metres from its centre, with x east and y north.

    From the north: straight on along x = -3.5 m; to the right about (-7, 7) and to the left about
    (7, 7), by a quarter of a circle.
    """
    half, quarter = BOX / 2, BOX / 4
    along = front - np.arange(0.0, LENGTH_M + 0.1, 0.5)
    straight = np.stack((np.full_like(along, -quarter), half - along), -1)
    if movement:
        radius, turn = (quarter, -1) if movement == 1 else (3 * quarter, 1)
        angle = np.clip(along / radius, 0, np.pi / 2)
        centre = np.array([turn * half, half])
        arc = centre + radius * np.stack((-turn * np.cos(angle), -np.sin(angle)), -1)
        beyond = np.clip(along - radius * np.pi / 2, 0, None)
        arc[:, 0] += turn * beyond
        straight = np.where((along > 0)[:, None], arc, straight)
    cos, sin = [(1, 0), (0, -1), (-1, 0), (0, 1)][approach]
    rotation = np.array([[cos, -sin], [sin, cos]])
    return straight @ rotation.T


# --- the world ------------------------------------------------------------------------------------


def drive(rows: list[tuple[int, int]], control: str) -> Any:
    world = make(control=control, north_south=900, east_west=700, left=0.1, road=60, slots=20)
    state, (actions, there) = world.reset(rows), absent(world, len(rows))
    name = world.groups[-1].name
    for step in range(120):
        if step % 10 == 0:
            lots = [np.random.default_rng([*row, step]) for row in rows]
            shape = actions[name].shape[1:]
            drawn = [torch.from_numpy(lot.integers(0, 3, shape).astype(float)) for lot in lots]
            actions[name] = torch.stack(drawn)
            there[name] = there[name] | (step > 30)
        state, reward = world.advance(state, actions, there)
    return {**state, "seen": world.observe(state)[name], "paid": reward[name]}


@pytest.mark.parametrize("control", ["signals", "vehicles"])
def test_rows_do_not_depend_on_the_batch_and_repeat_to_the_bit(control: str) -> None:
    rows = [(3, i) for i in range(4)]
    together = drive(rows, control)
    assert len(set(together["came"].tolist())) > 1
    for i, row in enumerate(rows[:2]):
        for name, value in drive([row], control).items():
            assert torch.equal(value[0], together[name][i]), (row, name)


def test_a_signal_without_an_agent_keeps_its_plan_and_one_with_an_agent_asks_for_amber() -> None:
    world = make(greens=(10, 20), amber=3, all_red=2)
    state, nobody = world.reset([(0, 0)]), absent(world)
    shown = []
    for _ in range(400):
        state, _ = world.advance(state, *nobody)
        shown.append((int(state["phase"][0, 0]), int(state["aspect"][0, 0])))
    green = [shown.count((phase, 0)) * world.dt for phase in (0, 1)]
    assert green == pytest.approx([10, 20], abs=0.3)
    assert shown.count((0, 1)) * world.dt == pytest.approx(3, abs=0.3)
    assert shown.count((0, 2)) * world.dt == pytest.approx(2, abs=0.3)


def test_a_lone_vehicle_loses_nothing_at_green_and_all_stop_without_signals() -> None:
    for control, stops in (("signals", 0), ("vehicles", 1)):
        world = make(control=control, greens=(60, 30), north_south=0, east_west=0)
        state = queued(world, world.reset([(0, 0)]), [0], 1)
        state["place"], state["speed"] = state["place"] - 100, state["speed"] + CITY.speed
        for _ in range(400):
            state, _ = world.advance(state, *absent(world))
        told = world.metrics(state)
        assert int(state["left"]) == 1
        assert told["stops"].value == stops
        assert (told["delay"].value < 0.5) == (stops == 0)


def test_a_driver_sees_whether_somebody_is_on_its_way() -> None:
    """One sets out from the north, straight on: it takes zones 0 and 3 of the box."""
    world = make(control="vehicles", north_south=0, east_west=0)
    field = world.groups[-1].observation.index("free")
    for movement, free in ((0, [1, 0, 1, 0]), (1, [1, 1, 1, 0])):
        state = queued(world, world.reset([(0, 0)]), [0, 0, 1, 2, 3], 1)
        state["committed"][0, 0], state["movement"] = True, state["movement"] + movement
        state["movement"][0, 0] = 0
        assert world.observe(state)["vehicle"][0, 1:5, field].flatten().tolist() == free


def test_what_makes_no_sense_is_refused() -> None:
    for params, word in (
        ({"left": 0.6, "right": 0.5}, "world.left"),
        ({"control": "vehicles", "rows": 2}, "one junction"),
        ({"greens": (20, 20, 20)}, "expected 2 without left"),
        ({"greens": (20, 2)}, "least_green"),
        ({"decide": "110ms", "dt": "100ms"}, "multiple of dt"),
        ({"control": "sigals"}, "signals"),
    ):
        with pytest.raises(BoundError, match=word):
            make(**params)
