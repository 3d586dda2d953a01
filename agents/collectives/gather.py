"""Everybody's value to everybody, and waiting for each other: `all_gather` and `barrier`.

What a gathering returns has a list of [rank, value].
Source of the barrier: Hensgen, Finkel, Manber, Two algorithms for barrier synchronization (1988).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from agents.collectives.call import Call, Part


async def gather_ring(call: Call, part: Part) -> Part:
    """Each hands on to its right neighbour what came from its left: n (n - 1) messages."""
    size, rank = call.size, call.rank
    right, left = (rank + 1) % size, (rank - 1) % size
    found: list[list[object]] = [[rank, part.value]]
    who, going = part.who, part
    for step in range(size - 1):
        call.send(right, step, going)
        heard = await call.receive(left, step)
        origin = (rank - step - 1) % size
        if heard is None or heard.who != 1 << origin:
            break
        going = heard
        found.append([origin, heard.value])
        who |= heard.who
    return Part(found, who)


async def gather_flat(call: Call, part: Part) -> Part:
    """Each sends to each: n (n - 1) messages in depth 1. Who is dead is missing, nobody else."""
    others = [rank for rank in range(call.size) if rank != call.rank]
    for to in others:
        call.send(to, 0, part)
    heard = await call.receive_all(others, 0)
    who = part.who
    for other in heard.values():
        who |= other.who
    return Part([[call.rank, part.value], *([r, p.value] for r, p in heard.items())], who)


async def disseminate(call: Call) -> Part:
    """Rounds at distance 1, 2, 4, ...: n ceil(log2 n) messages; then all have been heard of."""
    size, rank = call.size, call.rank
    rounds, who = (size - 1).bit_length(), 1 << call.rank
    for k in range(rounds):
        call.send((rank + (1 << k)) % size, k, Part(None, who))
        heard = await call.receive((rank - (1 << k)) % size, k, call.by((k + 1) / rounds))
        who |= 0 if heard is None else heard.who
    return Part(True, who)


ALL_GATHER: Final[dict[str, Callable[[Call, Part], Awaitable[Part]]]] = {
    "flat": gather_flat,
    "ring": gather_ring,
}
