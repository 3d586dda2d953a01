"""Vehicles: equilibrium and capacity of IDM, what grows on a ring, how short a headway may be with
what delay, and that nobody passes through anybody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from checkers.vehicles import absent, tensor
from hypothesis import given, note, settings
from hypothesis import strategies as st

from agents.behaviours.vehicles import Cacc
from sim.errors import BoundError
from sim.worlds.vehicles.laws import (
    DRIVER,
    GAINS,
    SINGER,
    command,
    equilibrium,
    estimated,
    idm,
)
from sim.worlds.vehicles.motion import Body, ahead
from sim.worlds.vehicles.outcome import specific_power
from sim.worlds.vehicles.theory import capacity, excess, gain, growth, seen, smallest_headway
from sim.worlds.vehicles.world import make

LENGTH = 5.0
DIRECT = {"lag": 0, "delay": 0, "radar_noise": 0, "radar_latency": 0, "jerk": 1e6}
"""Everybody's wish is what happens."""


def begin(world: Any, state: Any, place: torch.Tensor, speed: torch.Tensor) -> Any:
    """The state with everybody somewhere else. Shapes: [B, n]."""
    gap, closing = ahead(world.body, place, speed)
    return {**state, "place": place, "speed": speed, "gap": gap, "closing": closing}


# --- human drivers --------------------------------------------------------------------------------


def test_the_equilibrium_gap_of_idm() -> None:
    assert equilibrium(DRIVER, 20.0) == pytest.approx(36.443, abs=5e-4)
    at_rest = idm(DRIVER, tensor(equilibrium(DRIVER, 20.0)), tensor(0.0), tensor(20.0))
    assert float(at_rest) == pytest.approx(0.0, abs=1e-12)


def test_drivers_find_the_equilibrium_behind_a_leader() -> None:
    world = make({**DIRECT, "vehicles": 3, "speed": 20, "drop": 0, "start_gap": 40, "dt": "100ms"})
    state, nobody = world.reset([(0, 0)]), absent(world)
    for _ in range(1500):
        state, _ = world.advance(state, *nobody)
    for i in range(1, 4):
        assert float(state["gap"][0, i]) == pytest.approx(36.443, abs=0.02)


def ring(speed: float, vehicles: int) -> Any:
    """A ring on which drivers keep a speed in equilibrium."""
    around = vehicles * (equilibrium(DRIVER, speed) + LENGTH)
    sizes = {"vehicles": vehicles, "ring": around, "speed": speed, "dt": "10ms"}
    return make({**DIRECT, **sizes, "length": LENGTH})


def test_the_capacity_of_a_lane_is_reached_at_its_density_and_not_beside_it() -> None:
    most, best = capacity(DRIVER, LENGTH)
    flows = []
    for speed in (0.8 * best, best, 1.2 * best):
        world = ring(speed, 5)  # too few for waves
        state, nobody = world.reset([(0, 0)]), absent(world)
        for _ in range(400):
            state, _ = world.advance(state, *nobody)
        flows.append(world.metrics(state)["throughput"].value / 3600)
    assert flows[1] == pytest.approx(most, rel=1e-6)
    assert flows[1] > 1.01 * max(flows[0], flows[2])
    assert most * 3600 == pytest.approx(1743, abs=1)


@pytest.mark.parametrize(
    "speed",
    [
        pytest.param(12.0, marks=pytest.mark.slow),
        17.0,
        20.0,
        pytest.param(25.0, marks=pytest.mark.slow),
    ],
)
def test_waves_on_a_ring_grow_and_decay_as_linear_theory_says(speed: float) -> None:
    vehicles = 20
    world, wave = ring(speed, vehicles), 2 * np.pi / vehicles
    sigma = growth(DRIVER, speed, wave)
    state, nobody = world.reset([(0, 0)]), absent(world)
    turn = torch.exp(1j * wave * torch.arange(vehicles))[None]
    begun = {"place": state["place"] + 0.1 * turn.real}
    begun["speed"] = state["speed"] + 0.1 * (sigma * turn).real
    state = begin(world, state, **begun)

    def amplitude() -> float:
        return float((state["speed"] * turn.conj()).sum().abs())

    before = amplitude()
    for _ in range(3000):
        state, _ = world.advance(state, *nobody)
    rate = np.log(amplitude() / before) / 30
    assert rate == pytest.approx(sigma.real, rel=0.02, abs=2e-4)
    assert (rate > 0) == (sigma.real > 0) == (speed < 19)


def test_long_waves_turn_at_the_threshold_of_string_instability() -> None:
    """dv_e/ds = (a_ahead - a_v) / 2: where the growth of long waves changes its sign."""
    low, high = 15.0, 30.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(DRIVER, middle) > 0 else (low, middle)
    assert low == pytest.approx(22.95, abs=0.01)
    long = 2 * np.pi / 2000
    assert growth(DRIVER, low - 0.05, long).real > 0 > growth(DRIVER, low + 0.05, long).real


# --- automation -----------------------------------------------------------------------------------


def test_the_smallest_headway_by_the_transfer_function() -> None:
    assert smallest_headway(None) == pytest.approx(3.16, abs=0.005)
    assert smallest_headway(0.02) == pytest.approx(0.25, abs=0.005)
    delays = [smallest_headway(theta) for theta in (0.02, 0.05, 0.1, 0.2, 0.4)]
    assert delays == sorted(delays)


def passed_on(
    headways: list[float], omega: list[float], period: int, delay: int, by_radar: bool = False
) -> Any:
    """Gains of one vehicle in the world, behind a leader that swings.

    A message leaves every `period` steps of 20 ms, holds until the next and is late by `delay`
    steps. by_radar: instead of a message, what the vehicle behind estimates.
    Shapes: -> [headways, omega].
    """
    world = make({"vehicles": 1, "drop": 0, "start_gap": 60, "radar_noise": 0, "radar_latency": 0})
    h = torch.tensor(headways, dtype=torch.float64).repeat_interleave(len(omega))[:, None]
    w = torch.tensor(omega * len(headways), dtype=torch.float64)[:, None]
    state = world.reset([(0, 0)] * len(h))
    place = state["place"].clone()
    place[:, 1] = -LENGTH - (GAINS.standstill + h * 25.0)[:, 0]
    state = begin(world, state, place, state["speed"])
    present = {"leader": torch.ones(len(h), 1, dtype=bool), "vehicle": torch.ones(len(h), 1).bool()}
    u, held, sent, kept = torch.zeros_like(h), torch.zeros_like(h), {}, []
    believed = (state["speed"][:, 1:], torch.zeros_like(h))
    begins, steps = 2000, 2000 + round(2 * np.pi / 0.2 / world.dt)
    for step in range(steps):
        if step % period == 0:
            sent[step + delay] = 0.5 * torch.sin(w * (step * world.dt))
            measured = state["speed"][:, 1:] - state["closing"][:, 1:]
            believed = estimated(SINGER, believed, measured, period * world.dt)
        held = believed[1] if by_radar else sent.pop(step, held)
        own = (state["speed"][:, 1:], state["acceleration"][:, 1:])
        radar = (state["gap"][:, 1:], state["closing"][:, 1:])
        before, u = u, command(GAINS, u, radar, own, held, h, world.dt)
        # What holds for a step is what both intend in its middle.
        lead = 0.5 * torch.sin(w * ((step + 0.5) * world.dt))
        actions = {"leader": lead[..., None], "vehicle": (before + u)[..., None] / 2}
        state, _ = world.advance(state, actions, present)
        if step >= begins:
            kept.append(state["acceleration"])
    course = torch.stack(kept).numpy()
    turn = np.exp(-1j * w.numpy()[:, 0] * np.arange(len(course))[:, None] * world.dt)
    size = np.abs(np.einsum("tb,tbn->bn", turn, course))
    return (size[:, 1] / size[:, 0]).reshape(len(headways), len(omega))


def test_a_vehicle_of_the_world_passes_on_what_its_transfer_function_says() -> None:
    omega = [0.2, 0.6, 1.0, 2.0]
    found = passed_on([0.3, 0.8], omega, period=1, delay=2)
    for row, headway in zip(found, (0.3, 0.8), strict=True):
        # A message that holds for a step of 20 ms is late by another half of it.
        assert row == pytest.approx(gain(np.array(omega), headway, 0.05), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delay", "wanted"), [pytest.param(1, 0.47, id="at once"), pytest.param(5, 0.70, id="next")]
)
def test_the_smallest_headway_with_ten_messages_a_second(delay: int, wanted: float) -> None:
    """Held between messages: late by 20 ms they ask for 0.47 s, and 0.70 s if they only count from
    the next decision on."""
    headways = [0.85 * wanted, 0.95 * wanted, 1.05 * wanted, 1.15 * wanted]
    peaks = passed_on(headways, [0.4, 0.6, 0.8], period=5, delay=delay).max(1)
    assert peaks[0] > 1 > peaks[-1]
    crossing = float(np.interp(-1.0, -peaks, headways))
    assert crossing == pytest.approx(wanted, rel=0.05)


@pytest.mark.slow
def test_the_smallest_headway_without_messages_by_an_estimate() -> None:
    """Ten times a second, and held in between; plain ACC needs 3.16 s."""
    wanted = smallest_headway(None, late=0.05)
    assert wanted == pytest.approx(1.18, abs=0.01)
    headways = [0.85 * wanted, 0.95 * wanted, 1.05 * wanted, 1.15 * wanted]
    peaks = passed_on(headways, [0.3, 0.4, 0.5, 0.6, 0.8], 5, 0, by_radar=True).max(1)
    assert peaks[0] > 1 > peaks[-1]
    assert float(np.interp(-1.0, -peaks, headways)) == pytest.approx(wanted, rel=0.05)


def test_the_estimate_of_an_acceleration_is_that_of_its_transfer_function() -> None:
    period, omega = 0.1, np.array([0.3, 1.0, 4.0])
    believed, course = (np.zeros(3), np.zeros(3)), []
    for step in range(1260):
        believed = estimated(SINGER, believed, np.sin(omega * step * period) / omega, period)
        course.append(believed[1])
    turn = np.exp(-1j * omega * period * np.arange(1260)[:, None])
    found = 2 * (np.array(course) * turn)[630:].mean(0)
    assert np.abs(found) == pytest.approx(np.abs(seen(omega)), rel=0.02)
    assert np.angle(found / seen(omega)) == pytest.approx(np.zeros(3), abs=0.02)


class Jumpy(Cacc):
    """A law without a state, that takes its other headway at once."""

    def follow(self, xp: Any, obs: Any, memory: Any, wanted: Any, intended: Any) -> Any:
        gap, closing, speed, own = (
            self.field(obs, name) for name in ("gap", "closing", "speed", "acceleration")
        )
        error = gap - self.gains.standstill - wanted * speed
        rate = -closing - wanted * own
        u = self.gains.kp * error + self.gains.kd * rate + xp.nan_to_num(intended)
        return u, (wanted, gap, speed, own)


@pytest.mark.parametrize(("law", "most"), [(Cacc, 2.0), (Jumpy, None)])
def test_the_acceleration_does_not_jump_when_messages_stop_and_when_they_return(
    law: type[Cacc], most: float | None
) -> None:
    """Behind a leader that swings with 1 m/s2: the jerk stays in its bounds. Control: Jumpy."""
    world = make({"vehicles": 1, "drop": 0, "start_gap": 22, "radar_noise": 0})
    state = world.reset([(0, 0)])
    policy = law("vehicle-1", world.groups[1], {"patience": 0.1})
    memory, course = policy.memory(np, 1), []
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    for step in range(1300):
        seconds = step * world.dt
        if step % 5 == 0:
            lead = float(np.sin(0.6 * seconds))
            actions["leader"] = actions["leader"] * 0 + lead
            place, speed = float(state["place"][0, 0]), float(state["speed"][0, 0])
            cam = SimpleNamespace(
                values=np.array([[[place, LENGTH, speed, 0.0, lead]]]),
                present=np.array([[not 8 <= seconds < 18]]),
                age_s=np.zeros((1, 1)),
            )
            observed = world.observe(state)["vehicle"][0].numpy()
            action, _, memory = policy(observed, {"cam": cam}, memory, 0)
            actions["vehicle"] = torch.from_numpy(action)[None]
        state, _ = world.advance(state, actions, there)
        course.append(float(state["acceleration"][0, 1]))
    jerk = np.abs(np.diff(course)) / world.dt
    around = max(jerk[400:500].max(), jerk[900:1000].max())
    if most is None:
        assert around > 8.0
    else:
        assert around < most
        assert jerk[300:].max() < most, "nor does it later"


def test_falling_back_changes_the_rate_of_the_command_and_not_the_command() -> None:
    radar, own = (tensor(20.0), tensor(-1.0)), (tensor(25.0), tensor(0.3))
    for period in (1e-3, 1e-4):
        with_, without = (
            command(GAINS, tensor(0.7), radar, own, tensor(intended), tensor(0.8), period)
            for intended in (-2.0, 0.0)
        )
        assert float(abs(with_ - 0.7)) < 10 * period
        assert float(abs(with_ - without)) == pytest.approx(2.0 / 0.8 * period, rel=0.01)


# --- motion and contact ---------------------------------------------------------------------------

FILES = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0, 40), st.floats(-8, 2.5)), min_size=2, max_size=6
)


@settings(max_examples=tries(25), deadline=None)
@given(FILES, st.booleans(), st.integers(0, 2**32 - 1))
def test_nobody_passes_through_anybody(
    file: list[tuple[float, float, float]], is_ring: bool, seed: int
) -> None:
    """Whatever they do, from wherever; what the hardest contact was is told."""
    note(f"gaps, speeds, accelerations {file}, ring {is_ring}, seed {seed}")
    n = len(file)
    gaps, speeds, accelerations = (torch.tensor(x, dtype=torch.float64) for x in zip(*file))
    around = float(gaps.sum()) + n * LENGTH
    fixed = {"ring": around, "vehicles": n} if is_ring else {"vehicles": n - 1}
    world = make({**fixed, "length": LENGTH})
    state = world.reset([(seed, 0)])
    place = -torch.cumsum(gaps + LENGTH, 0)[None]
    state = {**begin(world, state, place, speeds[None]), "acceleration": accelerations[None]}
    draw = np.random.default_rng(seed)
    _, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    for _ in range(60):
        asked = torch.from_numpy(draw.uniform(-8, 2.5, (1, n, 1)))
        before = state
        state, _ = world.advance(state, world.by_group(asked), there)
        assert float(state["gap"].min()) >= -1e-9
        assert bool((state["speed"] >= 0).all())
        assert bool((state["place"] >= before["place"] - 1e-9).all())
        assert bool((state["hit"] | ~before["hit"]).all())
    assert (float(state["impact"]) > 0) <= bool(state["hit"].any())


def test_the_closing_speed_of_a_contact_and_what_is_left_of_it() -> None:
    """One that stands, one that comes at 10 m/s over 2.1 m: both go on at 5, and are wrecks."""
    world = make({**DIRECT, "vehicles": 1, "start_gap": 2.1})
    state = world.reset([(0, 0)])
    state = begin(world, state, state["place"], tensor(0.0, 10.0)[None])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    for _ in range(10):
        state, _ = world.advance(state, actions, there)
    assert not bool(state["hit"].any())
    state, _ = world.advance(state, actions, there)
    assert state["hit"].tolist() == [[False, True]]
    assert state["wreck"].tolist() == [[True, True]]
    assert not bool(world.alive(state)["vehicle"].any()), "there is nothing left to decide"
    assert state["speed"].tolist() == [[5.0, 5.0]]
    assert float(state["gap"][0, 1]) == pytest.approx(0.0, abs=1e-12)
    assert world.metrics(state)["impact"].value == pytest.approx(10.0)
    assert world.metrics(state)["collisions"].value == 1
    for _ in range(100):
        state, _ = world.advance(state, actions, there)
    assert state["speed"].tolist() == [[0.0, 0.0]]
    assert world.metrics(state)["collisions"].value == 1


def test_the_lag_the_delay_and_the_jerk_are_as_said() -> None:
    world = make({"vehicles": 1, "drop": 0, "lag": "100ms", "delay": "200ms", "jerk": 1e6})
    state = world.reset([(0, 0)])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    actions["leader"] = actions["leader"] - 2.0
    for step in range(1, 31):
        state, _ = world.advance(state, actions, there)
        since = max(step * 0.02 - 0.2, 0.0)
        wanted = -2.0 * (1 - np.exp(-since / 0.1))
        assert float(state["acceleration"][0, 0]) == pytest.approx(wanted, abs=1e-12)
    stiff = make({"vehicles": 1, "drop": 0, "lag": 0, "delay": 0, "jerk": 5})
    state = stiff.reset([(0, 0)])
    state, _ = stiff.advance(state, actions, there)
    assert float(state["acceleration"][0, 0]) == pytest.approx(-5 * 0.02, abs=1e-12)


def test_a_near_miss_counts_once_however_long_it_lasts() -> None:
    world = make({**DIRECT, "vehicles": 1, "start_gap": 14})
    state = world.reset([(0, 0)])
    state = begin(world, state, state["place"], tensor(20.0, 30.0)[None])
    actions, there = absent(world)
    there = {name: ~value for name, value in there.items()}
    actions["vehicle"] = actions["vehicle"] - 4.0
    for _ in range(130):
        state, _ = world.advance(state, actions, there)
    told = world.metrics(state)
    assert told["near_misses"].value == 1
    assert 0 < told["least_ttc"].value < 1.5
    assert told["collisions"].value == 0
    assert told["least_gap"].value == pytest.approx(14 - 10**2 / 2 / 4, abs=0.01)


def test_energy_is_that_of_vehicle_specific_power() -> None:
    assert float(specific_power(tensor(25.0), tensor(0.0))) == pytest.approx(8.019, abs=1e-3)
    world = make({"vehicles": 1, "drop": 0})
    state, nobody = world.reset([(0, 0)]), absent(world)
    for _ in range(50):
        state, _ = world.advance(state, *nobody)
    # 8.019 W/kg x 1,500 kg / 25 m/s = 481 J/m
    assert world.metrics(state)["energy"].value == pytest.approx(13.36, abs=0.05)


# --- the world ------------------------------------------------------------------------------------


def drive(rows: list[tuple[int, int]], steps: int = 150) -> Any:
    """Everybody at random, hard enough for contacts, with the events of the world."""
    world = make({"vehicles": 4, "first": "1s", "start_gap": 6})
    state = world.reset(rows)
    _, there = absent(world, len(rows))
    for step in range(steps):
        asked = torch.stack(
            [
                torch.from_numpy(np.random.default_rng([*row, step]).uniform(-8, 2.5, (5, 1)))
                for row in rows
            ]
        )
        present = {name: value | (step % 3 > 0) for name, value in there.items()}
        if step in (20, 140):
            state = world.inject(state, "brake", "vehicle-2", step == 20)
        state, reward = world.advance(state, world.by_group(asked), present)
    return {**state, "observed": world.observe(state)["vehicle"], "paid": reward["vehicle"]}


def test_rows_do_not_depend_on_the_batch_and_repeat_to_the_bit() -> None:
    rows = [(3, i) for i in range(5)]
    together = drive(rows)
    assert bool(together["hit"].any()), "a test without contact proves little"
    assert not bool(together["hit"].all(1).all())
    for i, row in enumerate(rows):
        alone = drive([row])
        for name, value in alone.items():
            assert torch.equal(value[0], together[name][i]), (row, name)


def test_episodes_differ_in_their_disturbances() -> None:
    world = make({"first": "0s"})
    wishes = world.wanted_speed(world.reset([(0, i) for i in range(8)]))
    assert len(set(wishes.tolist())) == 8
    assert bool(((wishes >= 25 - 1.25 * 6) & (wishes <= 25 - 0.75 * 6)).all())


def test_what_makes_no_sense_is_refused() -> None:
    for params, word in (
        ({"vehicles": 10, "ring": 49}, "need 50 m"),
        ({"decide": "110ms"}, "multiple of dt"),
        ({"delay": "fast"}, "world.delay"),
        ({"speed": 40}, "world.speed"),
    ):
        with pytest.raises(BoundError, match=word):
            make(params)


def test_a_body_has_no_hidden_units() -> None:
    body = Body(length=5, lag=0.1, accelerate=2, brake=8, jerk=10)
    gap, closing = ahead(body, tensor(0.0, -25.0)[None], tensor(20.0, 23.0)[None])
    assert float(gap[0, 1]) == 20.0
    assert float(closing[0, 1]) == 3.0
    assert float(gap[0, 0]) > 1000


# --- guests ---------------------------------------------------------------------------------------


def asked_of(world: Any, acceleration: Any, lane: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Actions of everybody who follows, and of a leader that keeps its speed. Shapes: [B, n]."""
    actions = {
        "leader": torch.zeros(len(acceleration), 1, 1, dtype=torch.float64),
        "vehicle": torch.stack((acceleration, lane), -1),
    }
    shape = (len(acceleration), acceleration.shape[1])
    return actions, {"leader": torch.ones(shape[0], 1).bool(), "vehicle": torch.ones(shape).bool()}


def test_guests_that_are_away_change_nothing() -> None:
    plain, world = make({"vehicles": 4}), make({"vehicles": 4, "guests": 3, "enter": "1h"})
    state, with_guests = plain.reset([(0, 0)]), world.reset([(0, 0)])
    draw = np.random.default_rng(0)
    for _ in range(300):
        asked = torch.from_numpy(draw.uniform(-3, 2.5, (1, 4)))
        actions, there = asked_of(plain, asked, asked * 0)
        state, _ = plain.advance(state, {**actions, "vehicle": asked[..., None]}, there)
        more = torch.cat((asked, asked[:, :3]), 1)
        with_guests, paid = world.advance(with_guests, *asked_of(world, more, more * 0))
    for name in ("place", "speed", "acceleration", "gap", "squares", "near_misses", "earned"):
        some = with_guests[name]
        assert torch.equal(some[:, :5] if some.ndim > 1 else some, state[name]), name
    told = world.metrics(with_guests)
    for name, metric in plain.metrics(state).items():
        if name != "reward":  # per slot
            assert told[name].value == pytest.approx(metric.value, rel=1e-12), name
    assert not bool(world.alive(with_guests)["vehicle"][:, 4:].any())
    assert not bool(paid["vehicle"][:, 4:].any())
    assert not bool(world.observe(with_guests)["vehicle"][:, 4:].any())


def test_a_guest_appears_beside_the_file_joins_it_where_there_is_room_and_leaves_it() -> None:
    times = {"enter": "1s", "stay": "8s", "dt": "50ms"}
    world = make({**DIRECT, **times, "vehicles": 2, "guests": 1, "start_gap": 40, "drop": 0})
    state, lanes = world.reset([(0, 0)]), []
    for step in range(300):
        seconds = step * world.dt
        pull = -1.0 if 1.0 <= seconds < 2.0 else 0.0  # falls behind whom it appeared beside
        asked = torch.tensor([[0.0, 0.0, pull]], dtype=torch.float64)
        wish = world.observe(state)["vehicle"][0, 2, -1]
        lane = asked * 0 + (1.0 - wish)
        state, _ = world.advance(state, *asked_of(world, asked, lane))
        lanes.append(int(state["lane"][0, 3]))
        if step == 21:
            apart = state["place"][0, 3] - state["place"][0, 1:3]
            assert float(apart.abs().min()) < 0.1, "beside somebody"
    changes = [i for i in range(1, 300) if lanes[i] != lanes[i - 1]]
    assert [lanes[i] for i in changes][:3] == [1, 0, 1]
    appears, joins, leaves, goes = (i * world.dt for i in changes)
    assert appears == pytest.approx(1.0)
    # It is 0.5 m behind whom it is beside after a second, and then loses a metre each second.
    assert joins == pytest.approx(2.0 + LENGTH - 0.5, abs=0.11)
    assert leaves == pytest.approx(9.0, abs=0.06)
    assert goes == pytest.approx(leaves + 5.0, abs=0.11)
    told = world.metrics(state)
    assert (told["joined"].value, told["left"].value) == (1, 1)
    assert told["join_time"].value == pytest.approx(joins - 1.0)
    assert told["blocked"].value == pytest.approx(joins - 1.0, abs=0.11)
    assert told["collisions"].value == 0


@settings(max_examples=tries(5), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nobody_passes_through_anybody_in_either_lane(seed: int) -> None:
    """With lanes changed at random, and rows that do not depend on the batch."""
    times = {"enter": "0.1s", "enter_every": "0.2s", "stay": "2s"}
    world = make({"vehicles": 3, "guests": 3, "start_gap": 8, **times})
    draw = np.random.default_rng(seed)
    together, alone = world.reset([(seed, 0), (seed, 1)]), world.reset([(seed, 1)])
    for _ in range(60):
        asked = torch.from_numpy(draw.uniform(-8, 2.5, (2, 6)))
        lane = torch.from_numpy(draw.integers(0, 2, (2, 6)).astype(float))
        together, _ = world.advance(together, *asked_of(world, asked, lane))
        alone, _ = world.advance(alone, *asked_of(world, asked[1:], lane[1:]))
        for row in range(2):
            for which in (0, 1):
                places = together["place"][row][together["lane"][row] == which].sort().values
                assert bool((places.diff() >= LENGTH - 1e-6).all())
    for name, value in alone.items():
        assert torch.equal(value[0], together[name][1]), name
