"""Nobody ends inside anything, and nobody passes through anything.

Between any two round bodies there is a line with one on either side. A robot moves in a straight
line within a step, and only as far as it stays on its own side of all its lines: with gap g, and a
and b what the two would approach each other, each does the share g / (a + b) of its way if that is
less than all of it (the idea of buffered Voronoi cells). At walls it slides along. Who is held up
by another or by an obstacle stands: no rebound, nobody is pushed.
Source: Zhou, Wang, Bandyopadhyay and Schwager, Fast, On-line Collision Avoidance for Dynamic
Vehicles Using Buffered Voronoi Cells, 2017.
"""

from __future__ import annotations

from typing import Final

import torch

from sim.worlds.swarm.motion import Moved, dot, norm
from sim.worlds.swarm.near import near
from sim.worlds.swarm.params import Params

Tensor = torch.Tensor
LEAST: Final = 1e-9
"""m. Who comes nearer by less than this is not held up: rounding alone comes to as much."""
SKIN: Final = 1e-3
"""m, which bodies keep apart, far more than rounding can take away."""


def settle(
    p: Params, position: Tensor, moved: Moved, obstacle: Tensor, dt: float
) -> tuple[Tensor, Moved, Tensor]:
    """Where robots are after a step, how they move then, and who was held up.

    Shapes: position [B, n, 2], obstacle [B, m, 3] -> [B, n, 2], moved, bool [B, n].
    """
    way, is_walled = within_walls(p, position, moved.way)
    share = torch.minimum(_others(p, position, way, dt), _obstacles(p, position, way, obstacle))
    is_held = share < 1
    there = position + way * share[..., None]
    velocity = torch.where(is_held[..., None], 0.0, moved.velocity)
    if p.motion == "unicycle":
        velocity = torch.where(is_walled.any(-1, keepdim=True), 0.0, velocity)
    else:
        velocity = torch.where(is_walled, 0.0, velocity)
    return there, Moved(there - position, velocity, moved.heading), is_held | is_walled.any(-1)


def within_walls(p: Params, position: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """The way along the walls, and where they changed it, by axis. Shapes: [B, n, 2]."""
    far = torch.tensor([p.width, p.height], dtype=way.dtype, device=way.device) - p.radius
    there = position + way
    kept = torch.minimum(torch.clamp(there, min=p.radius), far)
    is_walled = kept != there
    return torch.where(is_walled, kept - position, way), is_walled


def _others(p: Params, position: Tensor, way: Tensor, dt: float) -> Tensor:
    """Shapes: -> [B, n], the share of its way that each can go."""
    share = torch.ones(position.shape[0] * position.shape[1], dtype=way.dtype, device=way.device)
    pairs = near(position, 2 * (p.radius + p.speed * dt) + SKIN)
    if len(pairs.i):
        normal = pairs.apart / torch.clamp(pairs.distance, min=LEAST)[:, None]
        gap = torch.clamp(pairs.distance - 2 * p.radius - SKIN, min=0.0)
        steps = way.reshape(-1, 2)
        ours = torch.clamp(dot(steps[pairs.i], normal), min=0.0)
        theirs = torch.clamp(-dot(steps[pairs.j], normal), min=0.0)
        both = ours + theirs
        part = torch.where(both > gap, gap / torch.clamp(both, min=LEAST), 1.0)
        # Who does not approach is not held up by it.
        for index, own in ((pairs.i, ours), (pairs.j, theirs)):
            share = share.scatter_reduce(0, index, torch.where(own > LEAST, part, 1.0), "amin")
    return share.view(position.shape[:2])


def _obstacles(p: Params, position: Tensor, way: Tensor, obstacle: Tensor) -> Tensor:
    """Shapes: -> [B, n], the share of its way that each can go."""
    if not obstacle.shape[1]:
        return torch.ones_like(position[..., 0])
    apart = obstacle[:, None, :, :2] - position[:, :, None]
    distance = norm(apart)
    normal = apart / torch.clamp(distance, min=LEAST)[..., None]
    gap = torch.clamp(distance - obstacle[:, None, :, 2] - p.radius - SKIN, min=0.0)
    ours = dot(way[:, :, None].expand_as(normal), normal)
    is_close = (ours > gap) & (ours > LEAST)
    part = torch.where(is_close, gap / torch.clamp(ours, min=LEAST), 1.0)
    return part.amin(-1)
