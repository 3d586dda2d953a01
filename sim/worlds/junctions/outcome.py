"""What a run comes to: delay, queues, stops, throughput, energy, near misses.

delay        per vehicle that came: time less that at the speed of the free road, summed over all
             that are on the way or wait before the edge (1 - v / v_free of each second)
cost         the same, weighted with what each vehicle's time is worth
queue        vehicles slower than 2 m/s, and those before the edge; mean over time
stops        per vehicle that came
throughput   vehicles that left, per hour and lane at the edge
energy       as of `vehicles`
near misses  times to collision that fell below 1.5 s, and go-aheads on which the box was not free

Sums are integers of millionths, so that no row depends on how it was added up.
"""

from __future__ import annotations

from typing import Final

import torch

from sim.worlds.junctions.params import CITY
from sim.worlds.vehicles.outcome import KWH, MASS_KG, NEAR_S, specific_power, time_to_collision
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
SLOW: Final = 2.0
"""m/s; who is slower is in a queue."""
_STANDS: Final = 0.5
_MOVES: Final = 5.0
"""m/s; a stop counts once until a vehicle has been this fast again."""
_MILLION: Final = 1e6
SUMS: Final = (
    "delay", "cost", "queued", "stops", "way", "work", "near_misses", "conflicts", "collisions",
    "came", "entered", "left",
)  # fmt: skip


def total(values: Tensor) -> Tensor:
    """The sum of each row, in millionths. Shapes: [B, n] -> int64 [B]."""
    return torch.round(values * _MILLION).long().sum(1)


def began(key: Tensor) -> State:
    return {name: torch.zeros_like(key) for name in SUMS}


def counted(state: State, there: Tensor, gap: Tensor, ahead: Tensor, dt: float) -> State:
    """The sums and marks after a step. state: after motion. there: bool [B, n], before it."""
    speed = torch.where(there, state["speed"], 0.0)
    delay = torch.where(there, (1 - speed / CITY.speed) * dt, 0.0)
    near = there & (time_to_collision(gap, speed - ahead) < NEAR_S)
    stops = there & (speed < _STANDS) & ~state["stands"]
    stands = there & (speed < torch.where(state["stands"], _MOVES, _STANDS))
    power = torch.clamp(specific_power(speed, state["acceleration"]), min=0.0)
    before = state["waiting"].sum(1)
    outside = before * round(dt * _MILLION)
    return {
        "waited": state["waited"] + delay,
        "near": near,
        "stands": stands,
        "delay": state["delay"] + total(delay) + outside,
        "cost": state["cost"] + total(delay * state["worth"]) + outside,
        "queued": state["queued"] + (there & (speed < SLOW)).sum(1) + before,
        "stops": state["stops"] + stops.sum(1),
        "way": state["way"] + total(speed * dt),
        "work": state["work"] + total(torch.where(there, power * dt, 0.0)),
        "near_misses": state["near_misses"] + (near & ~state["near"]).sum(1),
        "collisions": state["collisions"] + (there & (gap < 0)).sum(1),
    }


def metrics(state: State, lanes: int, seconds: float) -> dict[str, Metric]:
    """Of a batch of one after so many seconds. lanes: at the edge."""
    of = {name: int(state[name][0]) for name in SUMS}
    came, steps = max(of["came"], 1), max(int(state["step"][0]), 1)
    metres = of["way"] / _MILLION
    energy = of["work"] / _MILLION * MASS_KG / KWH / metres * 1e5 if metres else 0.0
    per_hour = of["left"] / lanes * 3600 / seconds if seconds else 0.0
    misses = of["near_misses"] + of["conflicts"]
    told = "times to collision below 1.5 s, and go-aheads into a box that was not free"
    return {
        "delay": Metric(of["delay"] / _MILLION / came, "s", "lower", True, "per vehicle"),
        "cost": Metric(
            of["cost"] / _MILLION / came, "s", "lower", False, "delay by what time is worth"
        ),
        "queue": Metric(of["queued"] / steps, "vehicles", "lower", False, "mean over time"),
        "stops": Metric(of["stops"] / came, "", "lower", False, "per vehicle"),
        "throughput": Metric(per_hour, "vehicles/h", "higher", False, "per lane at the edge"),
        "energy": Metric(energy, "kWh/100km", "lower", False, "at the wheels, of 1,500 kg"),
        "near_misses": Metric(misses, "", "lower", False, told),
        "collisions": Metric(of["collisions"], "", "lower", False, "steps of vehicles in another"),
    }
