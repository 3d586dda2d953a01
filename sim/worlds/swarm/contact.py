"""Nobody ends inside anything, and nobody passes through anything.

Between any two round bodies there is a line with one on either side. A robot moves in a straight
line within a step, and only as far as it stays on its own side of all its lines: with gap g, and a
and b what the two would approach each other, the shares a and b of g (the idea of buffered Voronoi
cells). What leads farther is lost, and the rest of the way leads along: no friction, no rebound,
and nobody is pushed. Where several things are in the way, that may still lead across a line; then
only a part of the way is gone.
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
    bodies = _Bodies(p, position, obstacle, dt)
    way = within_walls(p, position, bodies.slide(moved.way))
    share = bodies.share(way)
    is_held = (share < 1) | (way != moved.way).any(-1)
    way = way * share[..., None]
    velocity = torch.where(is_held[..., None], way / dt, moved.velocity)
    if p.motion == "unicycle":
        along = torch.clamp(dot(moved.heading, velocity), min=0.0)
        velocity = torch.where(is_held[..., None], moved.heading * along[..., None], velocity)
    return position + way, Moved(way, velocity, moved.heading), is_held


def within_walls(p: Params, position: Tensor, way: Tensor) -> Tensor:
    """The way, along the walls where it leads into them. Shapes: [B, n, 2]."""
    far = torch.tensor([p.width, p.height], dtype=way.dtype, device=way.device) - p.radius
    there = position + way
    kept = torch.minimum(torch.clamp(there, min=p.radius), far)
    return torch.where(kept != there, kept - position, way)


class _Bodies:
    """What is near whom at the beginning of a step: pairs of robots, and robots and obstacles.

    Shapes: gap [k], normal [k, 2] of pairs from i to j; of obstacles [B, n, m], [B, n, m, 2].
    """

    def __init__(self, p: Params, position: Tensor, obstacle: Tensor, dt: float) -> None:
        self.shape = position.shape
        pairs = near(position, 2 * (p.radius + p.speed * dt) + SKIN)
        self.i, self.j = pairs.i, pairs.j
        self.normal = pairs.apart / torch.clamp(pairs.distance, min=LEAST)[:, None]
        self.gap = torch.clamp(pairs.distance - 2 * p.radius - SKIN, min=0.0)
        apart = obstacle[:, None, :, :2] - position[:, :, None]
        distance = norm(apart)
        self.normals = apart / torch.clamp(distance, min=LEAST)[..., None]
        self.gaps = torch.clamp(distance - obstacle[:, None, :, 2] - p.radius - SKIN, min=0.0)

    def slide(self, way: Tensor) -> Tensor:
        """The way without what leads into things. Shapes: [B, n, 2]."""
        if self.gaps.shape[-1]:
            gap, nearest = self.gaps.min(-1)
            index = nearest[..., None, None].expand(*nearest.shape, 1, 2)
            normal = torch.gather(self.normals, 2, index)[:, :, 0]
            way = way - normal * torch.clamp(dot(way, normal) - gap, min=0.0)[..., None]
        if len(self.i):
            ours, theirs = self._approach(way)
            both = ours + theirs
            part = torch.clamp(both - self.gap, min=0.0) / torch.clamp(both, min=LEAST)
            flat = way.reshape(-1, 2)
            for index, own, sign in ((self.i, ours, -1.0), (self.j, theirs, 1.0)):
                flat = flat.index_add(0, index, self.normal * (own * part * sign)[:, None])
            way = flat.view(self.shape)
        return way

    def share(self, way: Tensor) -> Tensor:
        """Of its way that each can go. Shapes: [B, n, 2] -> [B, n]."""
        share = torch.ones(self.shape[:2], dtype=way.dtype, device=way.device)
        if self.gaps.shape[-1]:
            ours = dot(way[:, :, None].expand_as(self.normals), self.normals)
            is_close = (ours > self.gaps) & (ours > LEAST)
            part = torch.where(is_close, self.gaps / torch.clamp(ours, min=LEAST), 1.0)
            share = torch.minimum(share, part.amin(-1))
        if len(self.i):
            ours, theirs = self._approach(way)
            both = ours + theirs
            part = torch.where(both > self.gap, self.gap / torch.clamp(both, min=LEAST), 1.0)
            flat = share.flatten()
            # Who does not approach is not held up by it.
            for index, own in ((self.i, ours), (self.j, theirs)):
                flat = flat.scatter_reduce(0, index, torch.where(own > LEAST, part, 1.0), "amin")
            share = flat.view(share.shape)
        return share

    def _approach(self, way: Tensor) -> tuple[Tensor, Tensor]:
        """How far the two of each pair would come towards each other. Shapes: [k] each."""
        flat = way.reshape(-1, 2)
        ours = torch.clamp(dot(flat[self.i], self.normal), min=0.0)
        return ours, torch.clamp(-dot(flat[self.j], self.normal), min=0.0)
