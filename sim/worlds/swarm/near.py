"""Who is near whom, by a spatial hash: squares as wide as the reach, and their neighbours."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch

Tensor = torch.Tensor
DENSE_MAX: Final = 48
"""Up to so many robots all pairs are tried, which is quicker than sorting them into squares."""
_AROUND: Final = ((0, 0), (1, 0), (-1, 1), (0, 1), (1, 1))
"""A square, and half of those about it: the other half are found from there."""


class Pairs(NamedTuple):
    """Pairs i < j of robots, in order, numbered through all rows of the batch. Shapes: int64 [k],
    apart [k, 2] from i to j in m, distance [k] in m."""

    i: Tensor
    j: Tensor
    apart: Tensor
    distance: Tensor


def near(position: Tensor, reach: float) -> Pairs:
    """All pairs that are at most `reach` apart. Shapes: [B, n, 2], none below 0. Units: m."""
    rows, n, _ = position.shape
    flat = position.reshape(-1, 2)
    i, j = _all(rows, n, position.device) if n <= DENSE_MAX else _hashed(position, reach)
    apart = flat[j] - flat[i]
    square = apart * apart
    distance = torch.sqrt(square[:, 0] + square[:, 1])
    keep = (distance <= reach).nonzero()[:, 0]
    return Pairs(i[keep], j[keep], apart[keep], distance[keep])


def _all(rows: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    i, j = torch.triu_indices(n, n, 1, device=device)
    first = n * torch.arange(rows, device=device)[:, None]
    return (first + i).flatten(), (first + j).flatten()


def _hashed(position: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    rows, n, _ = position.shape
    square = torch.floor(position / reach).to(torch.int64) + 1
    # One empty column and row between copies, so that nobody is a neighbour across the border.
    wide, high = int(square[..., 0].max()) + 2, int(square[..., 1].max()) + 2
    row = torch.arange(rows, device=position.device)[:, None]
    key = ((row * high + square[..., 1]) * wide + square[..., 0]).flatten()
    order = torch.argsort(key, stable=True)
    keys = key[order]
    owners, others = [], []
    for right, up in _AROUND:
        there = key + up * wide + right
        begin, end = torch.searchsorted(keys, there), torch.searchsorted(keys, there, right=True)
        count = end - begin
        owner = torch.repeat_interleave(torch.arange(len(key), device=key.device), count)
        before = torch.cumsum(count, 0) - count
        place = torch.arange(len(owner), device=key.device) - before[owner] + begin[owner]
        other = order[place]
        if not right and not up:
            is_later = owner < other
            owner, other = owner[is_later], other[is_later]
        owners.append(owner)
        others.append(other)
    owner, other = torch.cat(owners), torch.cat(others)
    i, j = torch.minimum(owner, other), torch.maximum(owner, other)
    found = torch.sort(i * (rows * n) + j).values
    i = torch.div(found, rows * n, rounding_mode="floor")
    return i, found - i * (rows * n)


def nearest(pairs: Pairs, robots: int, k: int) -> tuple[Tensor, Tensor]:
    """The numbers of the k nearest of each robot, and whether they are there.

    robots: in all rows. Shapes: -> int64 [robots, k] (0 where nobody is), bool [robots, k].
    """
    owner, other = torch.cat((pairs.i, pairs.j)), torch.cat((pairs.j, pairs.i))
    by_distance = torch.argsort(pairs.distance.repeat(2), stable=True)
    order = by_distance[torch.argsort(owner[by_distance], stable=True)]
    owner, other = owner[order], other[order]
    first = torch.searchsorted(owner, torch.arange(robots, device=owner.device))
    rank = torch.arange(len(owner), device=owner.device) - first[owner]
    keep = (rank < k).nonzero()[:, 0]
    index = torch.zeros(robots, k, dtype=torch.int64, device=owner.device)
    index[owner[keep], rank[keep]] = other[keep]
    there = torch.zeros(robots, k, dtype=torch.bool, device=owner.device)
    there[owner[keep], rank[keep]] = True
    return index, there


def parts(pairs: Pairs, rows: int, n: int) -> Tensor:
    """Connected parts of the graph of the pairs: to each robot the lowest number within its part.

    Shapes: -> int64 [B, n], numbered through all rows.
    """
    label = torch.arange(rows * n, device=pairs.i.device)
    while True:
        lower = torch.minimum(label[pairs.i], label[pairs.j])
        after = label.scatter_reduce(0, pairs.i, lower, "amin")
        after = after.scatter_reduce(0, pairs.j, lower, "amin")
        after = after[after]
        if torch.equal(after, label):
            return label.view(rows, n)
        label = after
