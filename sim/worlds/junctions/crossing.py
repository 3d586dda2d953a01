"""Who may enter a box: never against a conflict, whatever the right of way says.

A driver decides where braking at 3 m/s2 would end at the line. Who commits there has its zones of
the box from then on, until its rear has left each. Nobody commits against a zone that somebody from
another approach has, nor to a lane that might be full before its rear is out of the box. With
several at one instant: who has a go-ahead before who has stopped, then who stopped first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from sim.worlds.junctions.lanes import Files, of
from sim.worlds.junctions.layout import Layout
from sim.worlds.junctions.params import CITY, GO, LENGTH_M, STOP
from sim.worlds.world import State

Tensor = torch.Tensor
HARD: Final = 3.0
"""m/s2, of who has to stop (Institute of Transportation Engineers, for the length of ambers)."""
NEAR_M: Final = 2.0
"""m before the line, at which who stands there decides."""
_PACKED_M: Final = LENGTH_M + CITY.standstill + 0.3
"""What a vehicle in a queue takes of a lane, and a little."""
_FIRST_S: Final = 1e6
"""By so much who has a go-ahead comes before who has stopped."""


@dataclass(frozen=True)
class Asked:
    """What the first vehicle of each lane asks for. Shapes: [B, 4 J].

    who: n where nobody is. ready: bool, it has the right of way and decides now. refused: bool, it
    was ready, and the box or the next lane would not have it; by the box: `conflict`.
    """

    who: Tensor
    ready: Tensor
    refused: Tensor
    conflict: Tensor


def held(at: Layout, road: float, state: State) -> Tensor:
    """Zones that those have who set out from each approach.

    Shapes: -> bool [B, J, 4, 4], by junction, approach, zone counted from there.
    """
    rear = state["place"] - road - LENGTH_M
    has = (state["committed"][..., None] & (rear[..., None] < at.ends[state["movement"]])).long()
    lanes = torch.zeros(len(rear), at.lanes + 1, 4, dtype=torch.int64, device=rear.device)
    lanes.scatter_add_(1, state["lane"][..., None].expand(-1, -1, 4), has)
    return lanes[:, : at.inner].reshape(len(rear), at.junctions, 4, 4) > 0


def turned(by_approach: Tensor) -> Tensor:
    """Zones counted from approaches as zones of the box. Shapes: [..., 4, 4] -> [..., 4, 4]."""
    k = torch.arange(4, device=by_approach.device)
    return by_approach.gather(-1, ((k[None, :] - k[:, None]) % 4).expand(by_approach.shape))


def is_free(at: Layout, state: State, zones: Tensor) -> Tensor:
    """Whether nobody from another approach has a zone of a vehicle's way. zones: as of `held`.

    Shapes: bool [B, J, 4, 4] -> bool [B, n].
    """
    by_box = turned(zones).long()
    others = by_box.sum(-2, keepdim=True) > by_box
    # Counted from each approach again, and nothing on lanes that lead out.
    k = torch.arange(4, device=others.device)
    others = others.gather(-1, ((k[None, :] + k[:, None]) % 4).expand(others.shape))
    by_lane = torch.nn.functional.pad(others.flatten(1, 2), (0, 0, 0, at.lanes + 1 - at.inner))
    needs = at.ends[state["movement"]] > -1e8
    mine = by_lane.gather(1, state["lane"][..., None].expand(-1, -1, 4))
    return ~(needs & mine).any(-1)


def asked(at: Layout, road: float, state: State, files: Files, right: Tensor) -> Asked:
    """Who sets out in this step. right: int64 [B, n], WAIT, GO or STOP as drivers take it."""
    who = files.head[:, : at.inner]
    n = state["place"].shape[1]
    is_there = who < n
    speed, left = of(state["speed"], who, 0.0), road - of(state["place"], who, 0.0)
    may, rested = of(right, who, 0), of(state["rested"], who, 0.0)
    is_due = left <= speed * speed / (2 * HARD) + NEAR_M + speed * 0.2
    ready = is_there & is_due & ((may == GO) | ((may == STOP) & (rested > 0)))
    refused, conflict = torch.zeros_like(ready), torch.zeros_like(ready)
    if not bool(ready.any()):
        return Asked(who, ready, refused, conflict)

    movement = of(state["movement"], who, 0)
    lane = torch.arange(at.inner, device=who.device)
    onto = at.after[lane, movement]
    room = _room(at, road, state, files).gather(1, onto)
    refused = ready & ~room
    shape = (len(who), at.junctions, 4)
    need = turned((at.ends[movement] > -1e8).reshape(*shape, 4))
    taken = turned(held(at, road, state))
    first = (rested + torch.where(may == GO, _FIRST_S, 0.0)).reshape(shape)
    waiting = (ready & room).reshape(shape)
    clash, number = torch.zeros_like(waiting), torch.arange(4, device=who.device)
    for _ in range(4):
        best = torch.where(waiting, first, -1.0).argmax(-1, keepdim=True)
        is_best = (number == best) & waiting
        others = taken.long().sum(-2, keepdim=True) > taken.long()
        is_clash = (need & others).any(-1) & is_best
        clash = clash | is_clash
        taken = taken | (need & (is_best & ~is_clash)[..., None])
        waiting = waiting & ~is_best
        if not bool(waiting.any()):
            break
    conflict = clash.reshape(ready.shape)
    return Asked(who, ready, refused | conflict, conflict)


def _room(at: Layout, road: float, state: State, files: Files) -> Tensor:
    """Whether one more fits on each lane if all stop there. Shapes: -> bool [B, L + 1]."""
    onto = at.after[state["lane"], state["movement"]]
    coming = torch.zeros_like(files.count)
    coming.scatter_add_(1, onto, state["committed"].long())
    most = int((road - 1) / _PACKED_M)
    room = files.count + coming < most
    # Out of the grid nobody stops.
    room[:, at.inner :] = True
    return room
