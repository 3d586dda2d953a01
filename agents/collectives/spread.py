"""One to all: `broadcast` along a star or a tree, or by flooding a graph; `scatter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.collectives import trees
from agents.collectives.call import Call, Part

Neighbours = Mapping[int, Sequence[int]]
"""Of every rank."""


async def star(call: Call, part: Part | None, root: int, step: int = 0) -> Part | None:
    """The root sends to each: n - 1 messages, one after another in depth 1."""
    if call.rank != root:
        return await call.receive(root, step)
    assert part is not None
    for to in range(call.size):
        if to != root:
            call.send(to, step, part)
    return part


async def tree(call: Call, part: Part | None, root: int, step: int = 0) -> Part | None:
    """Along a binomial tree: n - 1 messages in depth ceil(log2 n)."""
    return await trees.down(call, part, root, step)


async def flood(call: Call, part: Part | None, root: int, neighbours: Neighbours) -> Part | None:
    """Whoever hears it first hands it to all neighbours but the one it came from.

    2 m - n + 1 messages on a graph of m links; it arrives as long as any way is left.
    """
    near = neighbours[call.rank]
    came_from = -1
    if call.rank != root:
        came_from, part = await call.receive_any(near, 0)
    if part is not None:
        for to in near:
            if to != came_from:
                call.send(to, 0, part)
    return part


async def scatter(call: Call, values: Sequence[Any] | None, root: int) -> Part | None:
    """To each its own: n - 1 messages from the root."""
    if call.rank != root:
        return await call.receive(root, 0)
    assert values is not None
    for to, value in enumerate(values):
        if to != root:
            call.send(to, 0, Part(value, 1 << root))
    return Part(values[root], 1 << root)
