"""What a drive comes to: safety, string stability, energy, throughput.

string gain   max over followers of |a_i| / |a_ahead|, |a| the root of the time integral of a^2
              since the first disturbance, a_ahead of whoever was ahead at the time: above 1 it
              grows somewhere along the string
tail gain     |a_last| / |a_leader|: what reaches the last
near miss     time to collision, gap / closing speed, falls below 1.5 s
energy        at the wheels, without recovery: the integral of max(VSP, 0), with the vehicle
              specific power VSP = v (1.1 a + 0.132) + 0.000302 v^3 in W/kg on a level road
throughput    distance driven / (length of the file x time), as vehicles per hour and lane
Shaking, distance and energy are of those in the file.

Sources: Ploeg, van de Wouw and Nijmeijer 2014 (L2 string stability); Hayward, Near-Miss
Determination Through Use of a Scale of Danger, 1972, and van der Horst 1990 (1.5 s);
Jimenez-Palacios, Understanding and Quantifying Motor Vehicle Emissions with Vehicle Specific Power
and TILDAS Remote Sensing, 1999; Edie, Discussion of Traffic Stream Measurements, 1963.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from sim.worlds.noise import ordered_sum
from sim.worlds.vehicles.motion import Body, Moved
from sim.worlds.world import Metric, State

NEAR_S: Final = 1.5
TTC_MAX_S: Final = 100.0
"""No time to collision is longer."""
MASS_KG: Final = 1500.0
KWH: Final = 3.6e6
PER_HOUR: Final = 3600.0
Tensor = torch.Tensor


def specific_power(speed: Any, acceleration: Any) -> Any:
    """Vehicle specific power in W/kg, that is kW/t. Shapes: any. Units: m/s, m/s2."""
    return speed * (1.1 * acceleration + (0.132 + 0.000302 * (speed * speed)))


def time_to_collision(gap: Tensor, closing: Tensor) -> Tensor:
    """In s, at most TTC_MAX_S. Shapes: [...]. Units: m, m/s."""
    # Who does not close in has a time beyond the greatest, at contact, too.
    time = torch.clamp(gap, min=1e-6) / torch.clamp(closing, min=1e-9)
    return torch.clamp(time, max=TTC_MAX_S)


def began(speed: Tensor) -> State:
    """The sums before anything has happened. speed: any [B, n]."""
    none, zero = torch.zeros_like(speed), torch.zeros_like(speed[:, 0])
    return {
        "squares": none, "driven": none, "work": none,
        "hit": none.bool(), "near": none.bool(),
        "area": zero, "impact": zero, "near_misses": zero,
        "least_ttc": torch.full_like(zero, TTC_MAX_S), "least_gap": torch.full_like(zero, 1e4),
    }  # fmt: skip


def counted(
    state: State, moved: Moved, length: Tensor | float, is_shaken: Tensor, dt: float
) -> State:
    """The sums after a step. length: of the file, m. is_shaken: bool [B], whether the string gain
    counts the step."""
    ttc = time_to_collision(moved.gap, moved.closing)
    is_near = ttc < NEAR_S
    power = torch.clamp(specific_power(moved.speed, moved.acceleration), min=0.0)
    square = moved.acceleration * moved.acceleration
    return {
        "squares": torch.addcmul(state["squares"], square, is_shaken[:, None], value=dt),
        "driven": state["driven"] + moved.way,
        "work": torch.add(state["work"], power, alpha=dt),
        "hit": state["hit"] | moved.touched,
        "near": is_near,
        "area": torch.add(state["area"], length, alpha=dt),
        "impact": torch.maximum(state["impact"], moved.impact.amax(1)),
        "near_misses": state["near_misses"] + (is_near > state["near"]).sum(1),
        "least_ttc": torch.minimum(state["least_ttc"], ttc.amin(1)),
        "least_gap": torch.minimum(state["least_gap"], moved.gap.amin(1)),
    }


def metrics(
    body: Body, state: State, ahead: Tensor, last: int, seconds: float
) -> dict[str, Metric]:
    """The outcome of a batch of one after so many seconds. ahead: `squares` of who was ahead of
    each, [n]. last: the hindmost of the file."""
    followers = slice(None) if body.ring else slice(1, None)
    squares, driven = state["squares"][0], state["driven"][0]
    work, area = float(state["work"][0].sum()), float(state["area"][0])
    is_shaken = ahead[1:] > 0
    gains = torch.sqrt(squares[1:][is_shaken] / ahead[1:][is_shaken])
    gain = float(gains.max()) if len(gains) else 1.0
    tail = float(torch.sqrt(squares[last] / squares[0])) if float(squares[0]) > 0 else 1.0
    metres = max(float(driven.sum()), 1e-9)
    flow = float(driven[followers].sum()) / area * PER_HOUR if area else 0.0
    of = {
        "string_gain": Metric(gain, "", "lower", False, "shaking, over that of who is ahead"),
        "tail_gain": Metric(tail, "", "lower", False, "shaking of the last over the leader's"),
        "near_misses": Metric(
            float(state["near_misses"][0]), "", "lower", False, "times to collision below 1.5 s"
        ),
        "collisions": Metric(float(state["hit"][0].sum()), "", "lower", False, "vehicles that hit"),
        "least_ttc": Metric(
            float(state["least_ttc"][0]), "s", "higher", False, "shortest time to collision"
        ),
        "least_gap": Metric(
            max(float(state["least_gap"][0]), 0.0), "m", "higher", False, "smallest gap"
        ),
        "impact": Metric(
            float(state["impact"][0]), "m/s", "lower", False, "highest closing speed at contact"
        ),
        "throughput": Metric(flow, "vehicles/h", "higher", False, "of the lane"),
        "energy": Metric(
            work * MASS_KG / KWH / metres * 1e5 if seconds else 0.0, "kWh/100km", "lower", False,
            "at the wheels, of 1,500 kg",
        ),
    }  # fmt: skip
    if body.ring:
        del of["string_gain"], of["tail_gain"]
    return of


def rewards(sums: State, moved: Moved, wanted: Tensor, is_hit: Tensor, dt: float) -> Tensor:
    """Of a step, for spacing, comfort and safety. wanted: gaps in m [B, n]. -> [B, n, 3].

    sums: those after it. is_hit: who has hit somebody before it.

    Per second: - |gap - wanted| / wanted, at most 1; - (a / 3 m/s2)^2, at most 1; - 1 while time
    to collision is below 1.5 s; and - 20 once for a collision.
    """
    spacing = torch.clamp((moved.gap / wanted - 1.0).abs(), max=1.0)
    comfort = torch.clamp(moved.acceleration * moved.acceleration, max=9.0) / 9.0
    safety = sums["near"] + (moved.touched > is_hit) * (20.0 / dt)
    return torch.stack((spacing, comfort, safety), -1) * -dt


def mean_reward(earned: Tensor, seconds: float) -> float:
    """Per follower and second. earned: what the followers got, [n]."""
    return float(ordered_sum(earned[None], 1)[0]) / max(len(earned), 1) / max(seconds, 1e-9)
