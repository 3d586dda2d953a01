"""All to one and all to all, with an operator: `reduce` and four ways of `all_reduce`.

Parts are combined in the order of ranks, so a sum of floats is the same in every run; members of a
star, a tree or a doubling get it to the bit.
Sources: Thakur, Rabenseifner, Gropp, Optimization of collective communication operations in MPICH
(2005); for the ring, Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms (2009).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from agents.collectives import spread, trees
from agents.collectives.call import Call, Part
from agents.collectives.operators import Combine


def merged(call: Call, combine: Combine, first: Part, second: Part | None) -> Part:
    """Both parts in one; what does not fit the first is left out, and said."""
    value = None if second is None else call.fitting(second, np.shape(first.value))
    if second is None or value is None:
        return first
    return Part(np.asarray(combine(first.value, value)), first.who | second.who)


async def to_star(call: Call, part: Part, combine: Combine, root: int, share: float = 1.0) -> Part:
    """Each sends to the root: n - 1 messages. The others keep their own part."""
    if call.rank != root:
        call.send(root, 0, part)
        return part
    others = [rank for rank in range(call.size) if rank != root]
    heard = await call.receive_all(others, 0, call.by(share))
    for rank in others:
        part = merged(call, combine, part, heard.get(rank))
    return part


async def up_tree(call: Call, part: Part, combine: Combine, root: int, share: float = 1.0) -> Part:
    """Along a binomial tree: n - 1 messages in depth ceil(log2 n).

    A member waits for its children a share of the time that grows with its height, so that one
    that is silent costs its own subtree and not the whole. Those below the root keep what they
    have sent up.
    """
    tree = trees.Tree(call, root)
    until = call.by(share * tree.height / max(tree.depth, 1))
    heard = await call.receive_all(tree.children, 0, until)
    for child in reversed(tree.children):
        part = merged(call, combine, part, heard.get(child))
    if not tree.is_root:
        call.send(tree.parent, 0, part)
    return part


async def all_star(call: Call, part: Part, combine: Combine) -> Part | None:
    """To the first member and back: 2 (n - 1) messages in depth 2."""
    gathered = await to_star(call, part, combine, 0, share=0.5)
    return await spread.star(call, gathered, 0, step=1)


async def all_tree(call: Call, part: Part, combine: Combine) -> Part | None:
    """Up a tree and down again: 2 (n - 1) messages in depth 2 ceil(log2 n)."""
    gathered = await up_tree(call, part, combine, 0, share=0.5)
    return await spread.tree(call, gathered, 0, step=1)


async def doubling(call: Call, part: Part, combine: Combine) -> Part | None:
    """Pairs at distance 1, 2, 4, ... exchange what they have: log2 n steps of n messages.

    Beyond the largest power of two p, the last n - p members hand their part to a partner before,
    and get the result after: 2 (n - p) messages and two steps more.
    """
    size, rank = call.size, call.rank
    power = 1 << (size.bit_length() - 1)
    steps, extra = power.bit_length() - 1, size - power
    times = steps + 2 * (extra > 0)
    if rank >= power:
        call.send(rank - power, 0, part)
        return await call.receive(rank - power, steps + 1)
    if rank < extra:
        part = merged(call, combine, part, await call.receive(rank + power, 0, call.by(1 / times)))
    for k in range(steps):
        partner = rank ^ (1 << k)
        call.send(partner, k + 1, part)
        until = call.by((k + 1 + (extra > 0)) / times)
        other = await call.receive(partner, k + 1, until)
        low, high = (part, other) if rank < partner else (other, part)
        part = part if low is None else merged(call, combine, low, high)
    if rank < extra:
        call.send(rank + power, steps + 1, part)
    return part


async def ring(call: Call, part: Part, combine: Combine) -> Part | None:
    """Each to its right neighbour, in n pieces: 2 n (n - 1) messages, each of 1/n of the array.

    The first n - 1 steps leave every member with one piece that is summed up, the next n - 1 hand
    the pieces around. Sends least per member, and has no value unless every member lives.
    """
    size, rank = call.size, call.rank
    right, left = (rank + 1) % size, (rank - 1) % size
    shape = part.value.shape
    pieces = [Part(piece, part.who) for piece in np.array_split(part.value.reshape(-1), size)]
    for step in range(2 * (size - 1)):
        going, coming = (rank - step) % size, (rank - step - 1) % size
        call.send(right, step, pieces[going])
        heard = await call.receive(left, step)
        if heard is None:
            return Part(None, _in_all(pieces))
        if step >= size - 1:
            pieces[coming] = heard
        else:
            pieces[coming] = merged(call, combine, pieces[coming], heard)
    who = _in_all(pieces)
    if any(piece.who != who for piece in pieces):
        return Part(None, who)
    return Part(np.concatenate([np.asarray(p.value) for p in pieces]).reshape(shape), who)


def _in_all(pieces: list[Part]) -> int:
    """Whose contributions are in every piece."""
    who = pieces[0].who
    for piece in pieces:
        who &= piece.who
    return who


ALL_REDUCE: Final[dict[str, Callable[[Call, Part, Combine], Awaitable[Part | None]]]] = {
    "star": all_star,
    "tree": all_tree,
    "doubling": doubling,
    "ring": ring,
}
REDUCE: Final[dict[str, Callable[[Call, Part, Combine, int], Awaitable[Part]]]] = {
    "star": to_star,
    "tree": up_tree,
}
