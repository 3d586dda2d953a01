"""Marks in a world: a field on a grid that agents write to and read from, that fades and spreads.

    field = deposit(field, position, amount, cell)          who passes leaves a mark
    field = spread(field, diffusion, decay, dt, cell)       a step of the world
    value, slope = read(field, position, cell)              what the next one finds there

Pure functions on tensors with a leading batch, for BatchWorlds. Cells are squares of side `cell`,
cell (i, j) has its middle at x = (j + 1/2) cell, y = (i + 1/2) cell; nothing crosses the border.

    df/dt = D laplace f - k f
Sources: Grasse 1959 (stigmergy); Dorigo, Bonabeau and Theraulaz 2000; the scheme is forward in time
and centred in space, Courant, Friedrichs and Lewy 1928.
"""

from __future__ import annotations

import math

import torch

from sim.errors import BoundError

Tensor = torch.Tensor


def steps_for(diffusion: float, dt: float, cell: float) -> int:
    """Into how many parts a step must be divided for the scheme to be stable: D dt / h^2 <= 1/4."""
    return max(math.ceil(4 * diffusion * dt / cell**2), 1)


def spread(field: Tensor, diffusion: float, decay: float, dt: float, cell: float) -> Tensor:
    """One step of diffusion and exponential decay. Shapes: [B, h, w] -> [B, h, w].

    diffusion: D, area per time. decay: k, per time; exact whatever dt is. Without decay the sum
    stays as it is, and no value leaves the range of its neighbourhood.
    Raises: BoundError if D dt / h^2 > 1/4: take `steps_for` shorter steps.
    """
    rate = diffusion * dt / cell**2
    if not 0 <= rate <= 0.25:
        raise BoundError(
            f"marks: D dt / h^2 is {rate:.3g}, stable is at most 0.25; "
            f"{steps_for(diffusion, dt, cell)} shorter steps would be"
        )
    down, right = torch.diff(field, dim=1), torch.diff(field, dim=2)
    # What flows between two cells leaves one and enters the other, so that nothing is lost.
    flow = torch.zeros_like(field)
    flow[:, :-1] += down
    flow[:, 1:] -= down
    flow[:, :, :-1] += right
    flow[:, :, 1:] -= right
    return (field + rate * flow) * math.exp(-decay * dt)


def deposit(
    field: Tensor, position: Tensor, amount: Tensor, cell: float, is_smooth: bool = True
) -> Tensor:
    """The field with marks added. Shapes: [B, h, w], position [B, n, 2] as (x, y), amount [B, n].

    is_smooth: each mark is divided among the four nearest cells (bilinear); else it goes to the
    cell that it lies in. Who is outside leaves it at the border. The sum grows by the amounts.
    Agents are added one after another, so that a row's bits do not depend on its batch.
    Raises: TypeError for what are no tensors of torch.
    """
    for name, given in (("field", field), ("position", position), ("amount", amount)):
        if not isinstance(given, Tensor):
            raise TypeError(f"marks: {name}: expected a torch.Tensor, found {type(given).__name__}")
    flat = field.flatten(1).clone()
    for cells, weights in _cells(field, position, cell, is_smooth):
        for i in range(position.shape[1]):
            part = (weights[:, i] * amount[:, i])[:, None]
            flat.scatter_add_(1, cells[:, i : i + 1], part)
    return flat.view_as(field)


def read(field: Tensor, position: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Values and slopes at positions, bilinear between the middles of cells.

    Shapes: [B, h, w], [B, n, 2] -> [B, n], [B, n, 2] as (d/dx, d/dy) per unit of length. Beyond the
    outermost middles the field is as it is there, and its slope 0.
    """
    column, along, is_in_x = _between(position[..., 0] / cell - 0.5, field.shape[2])
    row, across, is_in_y = _between(position[..., 1] / cell - 0.5, field.shape[1])
    right = torch.clamp(column + 1, max=field.shape[2] - 1)
    below = torch.clamp(row + 1, max=field.shape[1] - 1)
    flat, width = field.flatten(1), field.shape[2]
    near, far = row * width, below * width
    a, b, c, d = (torch.gather(flat, 1, at) for at in
                  (near + column, near + right, far + column, far + right))  # fmt: skip
    top, bottom = a + along * (b - a), c + along * (d - c)
    value = top + across * (bottom - top)
    slope_x = ((b - a) + across * ((d - c) - (b - a))) * is_in_x / cell
    slope_y = (bottom - top) * is_in_y / cell
    return value, torch.stack((slope_x, slope_y), -1)


def _between(at: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The cell before a place, the way to the next in 0 ... 1, and whether it is between two."""
    held = torch.clamp(at, 0.0, size - 1.0)
    before = torch.clamp(torch.floor(held), max=max(size - 2.0, 0.0))
    return before.to(torch.int64), held - before, (at >= 0) & (at <= size - 1)


def _cells(
    field: Tensor, position: Tensor, cell: float, is_smooth: bool
) -> list[tuple[Tensor, Tensor]]:
    """Cells and shares of marks. Shapes: each [B, n]."""
    height, width = field.shape[1:]
    if not is_smooth:
        column = torch.clamp(torch.floor(position[..., 0] / cell), 0, width - 1)
        row = torch.clamp(torch.floor(position[..., 1] / cell), 0, height - 1)
        return [((row * width + column).to(torch.int64), torch.ones_like(position[..., 0]))]
    column, along, _ = _between(position[..., 0] / cell - 0.5, width)
    row, across, _ = _between(position[..., 1] / cell - 0.5, height)
    right, below = torch.clamp(column + 1, max=width - 1), torch.clamp(row + 1, max=height - 1)
    return [
        (row * width + column, (1 - across) * (1 - along)),
        (row * width + right, (1 - across) * along),
        (below * width + column, across * (1 - along)),
        (below * width + right, across * along),
    ]
