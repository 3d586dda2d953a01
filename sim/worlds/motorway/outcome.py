"""What a drive comes to: delay, throughput by lane, safety, energy, how soon help arrives.

delay          time since a vehicle was due, less that in which it drives as far at its own wish;
               who waits outside for room is late too
throughput     distance driven in a lane / (length of the road x time), as vehicles per hour
near miss      time to collision falls below 1.5 s, in the own lane
energy         vehicle specific power at the wheels, without recovery
response time  of an emergency vehicle, from when it was due until it reaches the scene; if it has
               not yet, as if the road were free from now on

Sources: Edie 1963; Hayward 1972; Jimenez-Palacios 1999, as in `vehicles.outcome`.
"""

from __future__ import annotations

import torch

from sim.worlds.motorway.lanes import PARKED, Driven
from sim.worlds.motorway.params import Params
from sim.worlds.vehicles.outcome import (
    KWH,
    MASS_KG,
    NEAR_S,
    PER_HOUR,
    TTC_MAX_S,
    specific_power,
    time_to_collision,
)
from sim.worlds.world import Metric, State

Tensor = torch.Tensor


def began(p: Params, speed: Tensor) -> State:
    """The sums before anything has happened. speed: any [B, n]."""
    none, zero = torch.zeros_like(speed), torch.zeros_like(speed[:, 0])
    return {
        "earned": none, "late": none, "driven": none, "work": none, "near": none.bool(),
        "hit": none.bool(), "response": torch.full_like(none, -1.0),
        "by_lane": none[..., None].expand(-1, -1, p.lanes + 1), "changes": zero, "scrapes": zero,
        "near_misses": zero, "impact": zero, "least_ttc": torch.full_like(zero, TTC_MAX_S),
    }  # fmt: skip


def counted(
    p: Params, state: State, driven: Driven, scraped: Tensor, now: Tensor, dt: float
) -> tuple[State, Tensor]:
    """The sums after a step, and the rewards of it [B, n, 3]. state: its lanes are those of the
    step, its sums those before it. scraped: who has touched a side. now: s at its end [B].

    Per second since one was due: - (1 - v / wish) for progress, of emergency vehicles `urgency`
    times as much; - (a / 3 m/s2)^2, at most 1, for comfort; - 1 while time to collision is below
    1.5 s, and - 20 for the first collision and for each side touched.
    """
    lane = state["lane"]
    is_on = lane != PARKED
    is_due = (state["due"] < now[:, None]) & ~state["gone"]
    ttc = torch.where(is_on, time_to_collision(driven.gap, driven.closing), TTC_MAX_S)
    is_near = ttc < NEAR_S
    power = torch.clamp(specific_power(driven.speed, driven.acceleration), min=0.0) * is_on
    crashed = driven.touched & ~state["hit"]
    late = is_due * (dt - driven.way / state["wish"])
    weight = torch.ones_like(late)
    weight[:, p.vehicles + p.ramps :] = p.urgency
    progress = -late * weight
    comfort = -torch.clamp(driven.acceleration * driven.acceleration / 9.0, max=1.0) * is_on * dt
    safety = -(is_near * dt + (crashed.double() + scraped.double()) * 20.0)
    rewards = torch.stack((progress, comfort, safety), -1)
    lanes = torch.arange(p.lanes + 1, device=lane.device)
    by_lane = driven.way[..., None] * (lane[..., None] == lanes)
    arrives = is_on & (driven.place >= p.scene) & (state["response"] < 0)
    sums = {
        "earned": state["earned"] + (progress + comfort + safety),
        "late": state["late"] + late,
        "driven": state["driven"] + driven.way,
        "work": state["work"] + power * dt,
        "near": is_near,
        "hit": state["hit"] | driven.touched,
        "response": torch.where(arrives, now[:, None] - state["due"], state["response"]),
        "by_lane": state["by_lane"] + by_lane,
        "near_misses": state["near_misses"] + (is_near & ~state["near"]).sum(1),
        "scrapes": state["scrapes"] + scraped.sum(1),
        "impact": torch.maximum(state["impact"], driven.impact),
        "least_ttc": torch.minimum(state["least_ttc"], ttc.amin(1)),
    }
    return sums, rewards


def metrics(p: Params, state: State, seconds: float) -> dict[str, Metric]:
    """The outcome of a batch of one after so many seconds."""
    one = {name: value[0] for name, value in state.items()}
    is_due = one["due"] < seconds
    ramp, last = p.vehicles, p.vehicles + p.ramps
    count = max(int(is_due.sum()), 1)
    metres = max(float(one["driven"].sum()), 1e-9)
    energy = float(one["work"].sum()) * MASS_KG / KWH / metres * 1e5
    flows = one["by_lane"].sum(0) / (p.length * max(seconds, 1e-9)) * PER_HOUR
    found = {
        "reward": Metric(
            float(one["earned"].sum()) / count, "per vehicle", "higher", True,
            "progress, comfort, safety; mean over all that were due",
        ),
        "delay": Metric(_mean(one["late"][:ramp], is_due[:ramp]), "s", "lower", False, _LATE),
    }  # fmt: skip
    if p.ramps:
        found["ramp_delay"] = Metric(
            _mean(one["late"][ramp:last], is_due[ramp:last]), "s", "lower", False,
            "the same of those on the ramp",
        )  # fmt: skip
    if p.emergencies:
        found["response_time"] = Metric(
            _response(p, one, seconds), "s", "lower", False, "of emergency vehicles, to the scene"
        )
    found |= {
        "near_misses": _count(one["near_misses"], "times to collision below 1.5 s"),
        "least_ttc": Metric(
            float(one["least_ttc"]), "s", "higher", False, "shortest time to collision"
        ),
        "collisions": _count(one["hit"].sum(), "vehicles that ran into something"),
        "scrapes": _count(one["scrapes"], "changes into somebody's side"),
        "impact": Metric(
            float(one["impact"]), "m/s", "lower", False, "highest closing speed at contact"
        ),
        "throughput": Metric(
            float(flows[1:].sum()), "vehicles/h", "higher", False, "of all lanes but the ramp"
        ),
    }
    found |= {
        f"lane_{k}": Metric(
            float(flows[k]), "vehicles/h", "higher", False, "throughput of the lane"
        )
        for k in range(1, p.lanes + 1)
    }
    return found | {
        "left": Metric(float(one["gone"].sum()), "vehicles", "higher", False, "at the end of it"),
        "changes": _count(one["changes"], "of lane"),
        "energy": Metric(energy, "kWh/100km", "lower", False, "at the wheels, of 1,500 kg"),
    }


_LATE = "per vehicle on the lanes, against its own wish"


def _count(value: Tensor, help: str) -> Metric:
    return Metric(float(value), "", "lower", False, help)


def _mean(values: Tensor, of: Tensor) -> float:
    return float((values * of).sum()) / max(int(of.sum()), 1)


def _response(p: Params, one: State, seconds: float) -> float:
    """Mean over emergency vehicles that were due; 0 without any."""
    first = p.vehicles + p.ramps
    due, place, found = (one[name][first:] for name in ("due", "place", "response"))
    rest = torch.clamp(p.scene - place, min=0.0) / one["wish"][first:]
    found = torch.where(found < 0, seconds - due + rest, found)
    return _mean(found, due < seconds)


def free(p: Params, state: State, seconds: float) -> dict[str, float]:
    """What it would come to with nobody in the way. state: a first one, of a batch of one."""
    one = {name: value[0] for name, value in state.items()}
    due, wish, last = one["due"], one["wish"], p.vehicles + p.ramps
    found = {"reward": 0.0, "delay": 0.0}
    if p.ramps:
        found["ramp_delay"] = 0.0
    if p.emergencies:
        found["response_time"] = _mean(p.scene / wish[last:], due[last:] < seconds)
    # By now each would be here, if it were not beyond the end.
    begun = torch.where(due < 0, one["place"], one["door"])
    driven = torch.clamp(seconds - torch.clamp(due, min=0.0), min=0.0) * wish
    driven = torch.minimum(driven, p.length - begun)
    flow = float(driven[one["home"] > 0].sum()) / (p.length * max(seconds, 1e-9)) * PER_HOUR
    at_wish = specific_power(wish, torch.zeros_like(wish)) * driven / wish
    energy = float(at_wish.sum()) * MASS_KG / KWH / max(float(driven.sum()), 1e-9) * 1e5
    return found | {"throughput": flow, "energy": energy, "near_misses": 0.0, "collisions": 0.0}
