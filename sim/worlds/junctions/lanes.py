"""Who is where on the lanes: who is ahead of whom, who is first at a line, who is last on a lane.

A vehicle belongs to the lane by which it came until its rear has left the box, and then to the
next; its place is the way of its front along the lane, over the stop line and into the box. So all
who come from one approach are in one file, and gaps go on over the box.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sim.worlds.junctions.layout import Layout
from sim.worlds.junctions.params import LENGTH_M
from sim.worlds.world import State

Tensor = torch.Tensor
FREE_M = 1e4
"""The gap of who has nobody ahead."""
_LANE_M = 1e5
"""More than a place can be, so that places are sorted within their lanes."""


@dataclass(frozen=True)
class Files:
    """Shapes: gap in m and ahead, speed there in m/s, float64 [B, n]; tail, the last vehicle of
    each lane, and head, the first that has not set out, int64 [B, L + 1], n where there is none;
    count int64 [B, L + 1], vehicles of each lane. The last lane is nowhere."""

    gap: Tensor
    ahead: Tensor
    tail: Tensor
    head: Tensor
    count: Tensor


def files(at: Layout, road: float, state: State) -> Files:
    """The order on all lanes."""
    lane, place, speed = state["lane"], state["place"], state["speed"]
    batch, n = place.shape
    order = torch.argsort(lane * _LANE_M + place, 1)
    lanes, ready = lane.gather(1, order), ~state["committed"].gather(1, order)
    edge = torch.ones(batch, 1, dtype=torch.bool, device=lane.device)
    differs = lanes[:, 1:] != lanes[:, :-1]
    is_last, is_front = torch.cat((edge, differs), 1), torch.cat((differs, edge), 1)
    next_ready = torch.cat((ready[:, 1:], ~edge), 1)
    tail = _placed(at.lanes, lanes, order, is_last, n)
    head = _placed(at.lanes, lanes, order, ready & (is_front | ~next_ready), n)
    tail[:, -1] = head[:, -1] = n  # who is nowhere is nobody
    count = torch.zeros(batch, at.lanes + 1, dtype=torch.int64, device=lane.device)
    count.scatter_add_(1, lane, torch.ones_like(lane))

    # Who is next in the file, and for the front of a file who is last on the next lane.
    before = torch.cat((order[:, 1:], torch.full_like(order[:, :1], n)), 1)
    onto = at.after[lanes, state["movement"].gather(1, order)]
    before = torch.where(is_front, tail.gather(1, onto), before)
    over = torch.where(is_front, road + at.path[state["movement"].gather(1, order)], 0.0)
    is_free = before == n
    before = torch.clamp(before, max=n - 1)
    gap = over + place.gather(1, before) - LENGTH_M - place.gather(1, order)
    ahead = speed.gather(1, before)
    gap = torch.where(is_free, FREE_M, gap)
    back = order.argsort(1)
    return Files(gap.gather(1, back), ahead.gather(1, back), tail, head, count)


def of(values: Tensor, vehicle: Tensor, none: float) -> Tensor:
    """What belongs to vehicles, `none` where there is none.

    Shapes: [B, n], int64 [B, k] -> [B, k].
    """
    beyond = torch.full_like(values[:, :1], none)
    return torch.cat((values, beyond), 1).gather(1, vehicle)


def put(values: Tensor, vehicle: Tensor, new: Tensor) -> Tensor:
    """The values with new ones for some vehicles, each at most once; n is nobody.

    Shapes: [B, n], int64 [B, k], [B, k] -> [B, n].
    """
    wider = torch.cat((values, values[:, :1]), 1)
    return wider.scatter(1, vehicle, new.to(values.dtype))[:, :-1]


def _placed(lanes: int, lane: Tensor, order: Tensor, is_it: Tensor, none: int) -> Tensor:
    """By lane who it is of those in order, of whom it is at most one.

    Shapes: -> int64 [B, L + 1].
    """
    found = torch.full((len(lane), lanes + 2), none, dtype=torch.int64, device=lane.device)
    # Column L + 1 takes those that it is not.
    return found.scatter_(1, torch.where(is_it, lane, lanes + 1), order)[:, :-1].contiguous()
