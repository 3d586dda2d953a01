"""The map: squares of the ground, which of them are free, and which somebody has seen.

A robot has seen a square once its middle was within sight and no obstacle stood between. Square
(i, j) has its middle at x = (j + 1/2) cell, y = (i + 1/2) cell, as in `sim.worlds.marks`.
"""

from __future__ import annotations

import math

import torch

from sim.worlds.swarm.motion import dot
from sim.worlds.swarm.params import Params

Tensor = torch.Tensor


def middles(p: Params, like: Tensor) -> Tensor:
    """Shapes: -> [h, w, 2]. Units: m."""
    across, up = math.ceil(p.width / p.cell), math.ceil(p.height / p.cell)
    x = (torch.arange(across, dtype=torch.float64, device=like.device) + 0.5) * p.cell
    y = (torch.arange(up, dtype=torch.float64, device=like.device) + 0.5) * p.cell
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def free(p: Params, obstacle: Tensor) -> Tensor:
    """Squares whose middle is on the ground and in no obstacle. Shapes: [B, m, 3] -> bool
    [B, h, w]."""
    middle = middles(p, obstacle)
    is_ground = (middle[..., 0] < p.width) & (middle[..., 1] < p.height)
    apart = middle[None, :, :, None] - obstacle[:, None, None, :, :2]
    is_clear = (dot(apart, apart) >= (obstacle[..., 2] ** 2)[:, None, None]).all(-1)
    return is_clear & is_ground


def see(p: Params, seen: Tensor, position: Tensor, looks: Tensor, obstacle: Tensor) -> Tensor:
    """What has been seen now. Shapes: bool [B, h, w], [B, n, 2], bool [B, n], [B, m, 3]."""
    rows, high, wide = seen.shape
    reach = math.ceil(p.sight / p.cell)
    offset = torch.arange(-reach, reach + 1, device=seen.device)
    square = torch.floor(position / p.cell).to(torch.int64)
    # A robot's surroundings as a block of squares; most of what is in it is in sight.
    x = square[..., 0, None, None] + offset + 0 * offset[:, None]
    y = square[..., 1, None, None] + offset[:, None] + 0 * offset
    middle = (torch.stack((x, y), -1).to(position.dtype) + 0.5) * p.cell
    apart = middle - position[:, :, None, None]
    is_seen = (dot(apart, apart) <= p.sight**2) & looks[..., None, None]
    is_seen = is_seen & (x >= 0) & (x < wide) & (y >= 0) & (y < high)
    if obstacle.shape[1]:
        is_seen = is_seen & ~hidden(position, apart, obstacle)
    row = torch.arange(rows, device=seen.device)[:, None, None, None]
    place = ((row * high + y) * wide + x)[is_seen]
    after = seen.reshape(-1).clone()
    after[place] = True
    return after.view(seen.shape)


def hidden(position: Tensor, apart: Tensor, obstacle: Tensor) -> Tensor:
    """Whether an obstacle is between. Shapes: [B, n, 2], [B, n, k, k, 2] -> bool [B, n, k, k]."""
    to = (obstacle[:, None, :, :2] - position[:, :, None])[:, :, None, None]
    line = apart[..., None, :]
    length = torch.clamp(dot(line, line), min=1e-12)
    share = torch.clamp(dot(to.expand_as(line * to), line.expand_as(line * to)) / length, 0.0, 1.0)
    off = to - share[..., None] * line
    square = obstacle[..., 2] ** 2
    return (dot(off, off) < square[:, None, None, None]).any(-1)
