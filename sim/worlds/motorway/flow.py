"""Who arrives when, in which lane and with which wish; and how one enters and leaves.

Arrivals are regular but for a jitter: the k-th of a lane comes within (k, k + jitter) times the
mean time between two. Who finds no room at the beginning waits outside, and its time runs; so do
all behind it in the lane. One enters at the speed of who is ahead, its own wish at most, at the
distance that it would keep.
"""

from __future__ import annotations

import torch

from sim.worlds.motorway.lanes import PARKED
from sim.worlds.motorway.params import Params
from sim.worlds.noise import uniforms
from sim.worlds.vehicles.laws import DRIVER
from sim.worlds.vehicles.outcome import PER_HOUR
from sim.worlds.world import State

_ARRIVAL, _WISH = 10, 11
Tensor = torch.Tensor


def arrivals(p: Params, called: float, keys: Tensor) -> State:
    """due: s; wish: m/s; home: the lane one enters, int64; door: where one enters it, m.

    Shapes: keys [B] -> [B, n] each.
    """
    n = p.vehicles + p.ramps + p.emergencies
    drawn = uniforms(keys, torch.zeros_like(keys), n, _ARRIVAL)
    lot = uniforms(keys, torch.zeros_like(keys), n, _WISH)
    early = p.length / p.speed if p.filled else 0.0
    device = keys.device
    main, between = torch.arange(p.vehicles, device=device), p.lanes * PER_HOUR / p.demand
    # Lanes take turns, so that not all come at once.
    turn = (main % p.lanes) / p.lanes
    due = (main // p.lanes + turn + p.jitter * drawn[:, : p.vehicles]) * between - early
    home = (1 + main % p.lanes).expand_as(due)
    wish = p.speed * (1 + p.spread * (2 * lot - 1))
    on_ramp = drawn[:, p.vehicles : p.vehicles + p.ramps]
    ramps = (torch.arange(p.ramps, device=device) + p.jitter * on_ramp) * (PER_HOUR / p.ramp_demand)
    hurried = torch.arange(p.emergencies, device=device) * 30.0 + called
    hurried = hurried.expand(len(keys), -1).to(due.dtype)
    wish[:, p.vehicles + p.ramps :] = p.hurry
    lanes = (home, torch.zeros_like(ramps).long(), torch.full_like(hurried, p.lanes).long())
    home = torch.cat(lanes, 1)
    return {
        "due": torch.cat((due, ramps, hurried), 1),
        "wish": wish,
        "home": home,
        "door": torch.where(home == 0, p.ramp, 0.0).to(due.dtype),
    }


def first_placed(p: Params, state: State) -> State:
    """Those that were due before the beginning, on the road already."""
    place = torch.where(state["due"] < 0, -state["due"] * p.speed, 0.0)
    is_there = (state["due"] < 0) & (place < p.length)
    return {
        "lane": torch.where(is_there, state["home"], PARKED),
        "place": torch.where(is_there, place, state["door"]),
        "speed": torch.where(is_there, torch.clamp(state["wish"], max=p.speed), 0.0),
        "gone": (state["due"] < 0) & ~is_there,
    }


def leave(p: Params, state: State) -> State:
    """The state without those that have reached the end of the road."""
    leaves = (state["lane"] != PARKED) & (state["place"] >= p.length)
    if not bool(leaves.any()):
        return state
    gone = {
        "lane": torch.where(leaves, PARKED, state["lane"]),
        "speed": torch.where(leaves, 0.0, state["speed"]),
        "acceleration": torch.where(leaves, 0.0, state["acceleration"]),
        "pending": torch.where(leaves[..., None], 0.0, state["pending"]),
        "gone": state["gone"] | leaves,
        "wreck": state["wreck"] & ~leaves,
        "broken": state["broken"] & ~leaves,
    }
    return {**state, **gone}


def enter(p: Params, state: State, lane: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
    """Lanes and speeds after the entries of a step. lane: int64 [B, n], now: s [B]."""
    speed, place = state["speed"], state["place"]
    waits = (lane == PARKED) & ~state["gone"] & (state["due"] <= now[:, None])
    if not bool(waits.any()):
        return lane, speed
    number = torch.arange(lane.shape[1], device=lane.device)
    for home in range(p.lanes + 1):
        mine = waits & (state["home"] == home)
        first = torch.where(mine, state["due"], torch.inf).argmin(1, keepdim=True)
        is_next = mine & (number == first)
        last, who = torch.where((lane == home), place, torch.inf).min(1, keepdim=True)
        is_empty = torch.isinf(last)
        most = state["wish"] if home else torch.clamp(state["wish"], max=p.ramp_speed)
        fast = torch.where(is_empty, most, torch.minimum(most, speed.gather(1, who)))
        room = last - p.size - state["door"]
        enters = is_next & (room >= DRIVER.standstill + DRIVER.headway * fast)
        lane = torch.where(enters, home, lane)
        speed = torch.where(enters, fast, speed)
    return lane, speed
