"""Where roads meet: a grid of junctions, the lanes between them, and who is in whose way.

Sides and approaches are counted clockwise: 0 north, 1 east, 2 south, 3 west; traffic keeps right.
Lane 4 j + k leads to junction j from its side k; after these come the lanes out of the grid.
A box has four zones, its quadrants: zone k is where approach k comes in. Turning to a zone on the
left is one step back (north-west is 0, and whoever comes from the north goes on to zone 3):
    movement    zones that it takes     leaves at side
    through     k, k - 1                k + 2
    right       k                       k + 3
    left        k, k - 1, k - 2         k + 1
Two that leave at the same side take the same last zone, so zones are all there is to a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import pi
from typing import TYPE_CHECKING, Final, TypeVar

import torch

MOVEMENTS: Final = ("through", "right", "left")
SIDES: Final = ("north", "east", "south", "west")
_ZONES: Final = ((0, 3), (0,), (0, 3, 2))
"""Zones by movement, counted from the approach on."""
LEAVES: Final = (2, 3, 1)
_BEYOND: Final = -1e9
"""The end of a zone that a movement does not take: everybody is past it."""
Tensor = torch.Tensor
if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)


@dataclass(frozen=True)
class Layout:
    """Of a grid of rows x columns junctions.

    Shapes: entries int64 [E], lanes by which vehicles come; after int64 [L + 1, 3], the next lane
            by movement, the number of lanes where there is none; path [3], way through the box
            in m; ends [3, 4], metres past the stop line at which a rear has left a zone, counted
            from the approach on.
    """

    rows: int
    columns: int
    lanes: int
    entries: Tensor
    after: Tensor
    path: Tensor
    ends: Tensor

    @property
    def junctions(self) -> int:
        return self.rows * self.columns

    @property
    def inner(self) -> int:
        """How many lanes lead to a junction."""
        return 4 * self.junctions


def layout(rows: int, columns: int, box: float) -> Layout:
    """box: from one stop line to the one across, m."""
    count = rows * columns
    exits: dict[tuple[int, int], int] = {}
    leads: dict[tuple[int, int], int] = {}
    entries = []
    for j in range(count):
        for side in range(4):
            other = _neighbour(rows, columns, j, side)
            if other >= 0:
                leads[j, side] = 4 * other + (side + 2) % 4
            else:
                leads[j, side] = exits[j, side] = 4 * count + len(exits)
                entries.append(4 * j + side)
    lanes = 4 * count + len(exits)
    after = torch.full((lanes + 1, 3), lanes, dtype=torch.int64)
    for j in range(count):
        for k in range(4):
            for movement, turn in enumerate(LEAVES):
                after[4 * j + k, movement] = leads[j, (k + turn) % 4]
    half = box / 2
    path = torch.tensor([box, pi / 4 * half, 3 * pi / 4 * half], dtype=torch.float64)
    ends = torch.full((3, 4), _BEYOND, dtype=torch.float64)
    for movement, zones in enumerate(_ZONES):
        for zone in zones:
            ends[movement, zone] = path[movement]
    ends[0, 0] = half
    return Layout(rows, columns, lanes, torch.tensor(entries), after, path, ends)


def on_device(record: Record, device: torch.device) -> Record:
    """A record with its tensors there."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    there = {name: x.to(device) for name, x in values.items() if isinstance(x, Tensor)}
    return replace(record, **there)


def neighbours(rows: int, columns: int) -> list[list[int]]:
    """Of each junction by side, -1 where the grid ends."""
    return [
        [_neighbour(rows, columns, j, side) for side in range(4)] for j in range(rows * columns)
    ]


def _neighbour(rows: int, columns: int, junction: int, side: int) -> int:
    row, column = divmod(junction, columns)
    row, column = row + (-1, 0, 1, 0)[side], column + (0, 1, 0, -1)[side]
    return row * columns + column if 0 <= row < rows and 0 <= column < columns else -1


def phases(has_left: bool) -> list[list[int]]:
    """Approaches that are green together. Without left turns those that face each other are not in
    each other's way; with them each approach has a phase of its own (split phasing)."""
    return [[0], [1], [2], [3]] if has_left else [[0, 2], [1, 3]]


def zones_of(approach: int, movement: int) -> frozenset[int]:
    """The zones that a movement takes."""
    return frozenset((approach + zone) % 4 for zone in _ZONES[movement])
