"""Binomial trees: rank 0 is the root, and a rank's parent has its lowest set bit cleared.

A tree over n ranks has n - 1 links and a depth of ceil(log2 n); with another root all ranks are
counted from it, around the end.
"""

from __future__ import annotations

from agents.collectives.call import Call, Part


def depth(size: int) -> int:
    """Levels below the root: ceil(log2 size)."""
    return (size - 1).bit_length()


def parent(rank: int) -> int:
    """Of a rank other than 0."""
    return rank & (rank - 1)


def children(rank: int, size: int) -> list[int]:
    """Those with the largest subtrees first."""
    low = (rank & -rank).bit_length() - 1 if rank else depth(size)
    return [rank + (1 << k) for k in reversed(range(low)) if rank + (1 << k) < size]


def subtree(rank: int, size: int) -> range:
    """A rank and all below it."""
    return range(rank, min(rank + (rank & -rank), size)) if rank else range(size)


def height(rank: int, size: int) -> int:
    """Levels below a rank."""
    below = children(rank, size)
    return 1 + max(height(child, size) for child in below) if below else 0


class Tree:
    """A binomial tree as one member sees it, in ranks of the call."""

    def __init__(self, call: Call, root: int) -> None:
        size, place = call.size, (call.rank - root) % call.size
        self.is_root = place == 0
        self.parent = (parent(place) + root) % size
        self.children = [(child + root) % size for child in children(place, size)]
        self.height, self.depth = height(place, size), depth(size)


async def down(call: Call, part: Part | None, root: int, step: int) -> Part | None:
    """The root's part, passed on to all; None if it did not come."""
    tree = Tree(call, root)
    if not tree.is_root:
        part = await call.receive(tree.parent, step)
    if part is not None:
        for child in tree.children:
            call.send(child, step, part)
    return part
