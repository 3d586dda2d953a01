"""Vehicles on several lanes: who is where beside whom, changing lanes, and one step of motion.

For a step all lanes are laid one behind the other on one long line, the ramp first, with more room
between two of them than anybody can see. On that line everybody is in single file, so motion and
contact are those of `vehicles.motion`. Who is not on the road is parked behind the last lane; the
end of the ramp is a thing that stands on it, which nobody can push.

A change of lane takes no time. One vehicle may enter a lane in a step, of several the foremost, so
that what was safe for one stays safe. Where somebody is already nobody enters: sides touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from sim.worlds.motorway.laws import EMPTY_M, Beside
from sim.worlds.vehicles.motion import FREE_M, Body, ahead, behind, move
from sim.worlds.world import State

PARKED: Final = -1
"""The lane of who is not on the road."""
_APART_M: Final = 40_000.0
"""Between the beginnings of two lanes where neighbours are searched for; no road is as long."""
_NOWHERE: Final = 99
"""The lane beside who is not on the road: nobody's."""
Tensor = torch.Tensor


@dataclass(frozen=True)
class Driven:
    """After a step. Shapes: [B, n] each. impact, m/s, is that of the hardest contact [B].

    gap, closing: to who is ahead in the same lane. way: what was driven, m. touched: ran into who
    is ahead. struck: was run into.
    """

    place: Tensor
    speed: Tensor
    acceleration: Tensor
    gap: Tensor
    closing: Tensor
    way: Tensor
    touched: Tensor
    struck: Tensor
    impact: Tensor


def drive(
    body: Body, lanes: int, span: float, barrier: float | None, state: State, target: Tensor,
    dt: float,
) -> Driven:  # fmt: skip
    """One step of dt seconds. state: lane int64, place, speed, acceleration [B, n]. span: m between
    the beginnings of two lanes on the line. barrier: where the ramp ends, m; None without one.
    target: acceleration that reaches the actuators [B, n]."""
    n = target.shape[1]
    line, order = _line(body, lanes, span, barrier, state)
    speed, acceleration, target = (
        _widen(x, barrier).gather(1, order) for x in (state["speed"], state["acceleration"], target)
    )
    gap, closing = ahead(body, line, speed)
    before = {
        "place": line, "speed": speed, "acceleration": acceleration, "gap": gap, "closing": closing,
    }  # fmt: skip
    moved = move(body, before, target, dt)
    gap, closing = moved.gap, moved.closing
    speed = moved.speed
    if barrier is not None:
        is_barrier = order == n
        speed = torch.where(is_barrier, 0.0, speed)
        closing = torch.where(_roll(is_barrier), speed, closing)
    is_free = gap >= FREE_M
    gap, closing = torch.where(is_free, EMPTY_M, gap), torch.where(is_free, 0.0, closing)
    back = order.argsort(1)[:, :n]
    way = moved.way.gather(1, back)
    struck = behind(body, moved.touched)
    return Driven(
        state["place"] + way, speed.gather(1, back), moved.acceleration.gather(1, back),
        gap.gather(1, back), closing.gather(1, back), way, moved.touched.gather(1, back),
        struck.gather(1, back), moved.impact.amax(1),
    )  # fmt: skip


def _line(
    body: Body, lanes: int, span: float, barrier: float | None, state: State
) -> tuple[Tensor, Tensor]:
    """Places on the line from the foremost on, and who is there; n is the end of the ramp."""
    lane, place = state["lane"], state["place"]
    number = torch.arange(lane.shape[1], dtype=place.dtype, device=place.device)
    parked = -(lanes + 1) * span - number * 2 * body.length
    line = torch.where(lane == PARKED, parked, place - lane * span)
    line = _widen(line, barrier, 0.0 if barrier is None else barrier + body.length)
    order = torch.argsort(line, dim=1, descending=True, stable=True)
    return line.gather(1, order), order


def _widen(values: Tensor, barrier: float | None, value: float = 0.0) -> Tensor:
    """With a column for the end of the ramp, if there is one."""
    if barrier is None:
        return values
    return torch.cat((values, torch.full_like(values[:, :1], value)), 1)


def _roll(values: Tensor) -> Tensor:
    return torch.roll(values, 1, 1)


def neighbours(size: float, place: Tensor, speed: Tensor, lane: Tensor) -> Beside:
    """Who is beside everybody, searched for in the order of lanes and places: of two side by side
    to the millimetre the one with the lower number is ahead.

    Shapes: [B, n] -> [3, B, n]; EMPTY_M and 0 for nobody.
    """
    batch, n = place.shape
    is_parked = lane == PARKED
    line = torch.where(is_parked, torch.inf, place + lane * _APART_M)
    line, order = torch.sort(line, dim=1, stable=True)
    beside = lane[:, None] + torch.arange(-1, 2, device=lane.device)[:, None]
    sought = (place[:, None] + beside * _APART_M).reshape(batch, -1)
    beside = torch.where(is_parked[:, None], _NOWHERE, beside).reshape(batch, -1)
    mine = torch.arange(n, device=lane.device).repeat(3).expand(batch, -1)
    at = torch.searchsorted(line, sought)
    # Who is found there is ahead, unless it is oneself, or abreast with a higher number.
    found = at.clamp(max=n - 1)
    who = order.gather(1, found)
    is_level = (line.gather(1, found) == sought) & (at < n)
    first = at + (is_level & (who >= mine))
    last = torch.where(is_level & (who > mine), at, at - 1)
    told = torch.stack((place, speed, lane.double()), 1).gather(2, order[:, None].expand(-1, 3, -1))

    def gap(to: Tensor, sign: float) -> tuple[Tensor, Tensor]:
        where = to.clamp(0, n - 1)[:, None].expand(-1, 3, -1)
        there, fast, which = told.gather(2, where).unbind(1)
        is_there = (to >= 0) & (to < n) & (which == beside)
        apart = sign * (there - place.repeat(1, 3)) - size
        closing = sign * (speed.repeat(1, 3) - fast)
        return torch.where(is_there, apart, EMPTY_M), torch.where(is_there, closing, 0.0)

    four = torch.stack((*gap(first, 1.0), *gap(last, -1.0)))
    return Beside(*four.reshape(4, batch, 3, n).transpose(1, 2))


def change(
    size: float, lanes: int, state: State, wish: Tensor, may: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Carries out changes. wish: -1, 0 or 1, may: to the right and to the left [B, n].

    Returns: lanes afterwards, who has changed, who has touched a side: [B, n] each.
    """
    lane, place = state["lane"], state["place"]
    wants = ((wish < 0) & may[0]) | ((wish > 0) & may[1])
    if not bool(wants.any()):
        return lane, wants, wants
    goal = torch.where(wants, lane + torch.sign(wish).long(), PARKED)
    beside = neighbours(size, place, state["speed"], lane)
    room = torch.minimum(beside.ahead, beside.behind)
    is_full = (torch.where(wish < 0, room[0], room[2]) < 0) & wants
    free = wants & ~is_full
    for number in range(1, lanes + 1):
        here = free & (goal == number)
        lead = torch.where(here, place, -torch.inf).argmax(1, keepdim=True)
        is_lead = torch.zeros_like(here).scatter(1, lead, True)
        free = free & (~here | is_lead)
    return torch.where(free, goal, lane), free, is_full
