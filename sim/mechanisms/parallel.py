"""Several items at once, each in a second-price auction of its own, and bids for tasks.

A bidder's offers for different items have nothing to do with each other: what suits whoever values
a set of items at the sum of their values, and has room for all. For bundles see `vcg`; for
bidders who can do only so much, `cbba`.

Rounding, ties and libraries: as in `sealed_bid`.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from sim.mechanisms.double_auction import lots
from sim.mechanisms.sealed_bid import whole


def clear(bids: Any, present: Any, key: Any = 0, reserve: Any = 0) -> Any:
    """What every bidder wins and pays.

    Shapes: bids [B, n, m], NaN for no bid; present bool [B, n]; key int or integer [B]; reserve
            int or integer [m] -> [B, n, 2m]: for each item 1 if it is won, and what is paid.
    Units:  as submitted, rounded to integers.
    """
    xp = array_namespace(bids)
    batch, n, m = bids.shape
    if n * m == 0:
        return xp.zeros((batch, n, 2 * m), dtype=bids.dtype)
    offers, counts = whole(xp, bids, present)
    floor = xp.zeros((m,), dtype=xp.int64, device=device(bids)) + reserve
    counts = counts & (offers >= floor)
    below = xp.zeros_like(offers) + (floor - 1)
    offers = xp.where(counts, offers, below)
    top = xp.max(offers, axis=1, keepdims=True)
    tickets = xp.reshape(lots(xp, key, (batch, n * m), device(bids)), bids.shape)
    tickets = xp.where(counts & (offers == top), tickets, xp.full_like(tickets, -1))
    at = xp.arange(n, device=device(bids))[None, :, None]
    won = counts & (at == xp.argmax(tickets, axis=1, keepdims=True))
    second = xp.max(xp.where(won, below, offers), axis=1, keepdims=True)
    price = xp.maximum(second, floor + xp.zeros_like(second))
    paid = xp.where(won, price, xp.zeros_like(price))
    both = xp.stack((xp.astype(won, paid.dtype), paid), axis=-1)
    return xp.astype(xp.reshape(both, (batch, n, 2 * m)), bids.dtype)


def bids_from(capabilities: Any, requirements: Any, costs: Any = None) -> Any:
    """What truthful bidders offer for tasks: how well they match, less what it costs them.

    Bidder i is able to do task j if it has at least what the task requires, of everything. Its
    value is the sum of what is required, less the cost; if none is given, the cost is the sum of
    what it can and the task does not need, so that the one that fits best offers most.
    Who is unable, or would lose by it, makes no bid: NaN.

    Shapes: capabilities [B, n, k], requirements [B, m, k], costs [B, n, m] or None -> [B, n, m].
    Units:  any, the same in all three; what is to be compared exactly is whole numbers.
    Raises: ValueError for other shapes.
    """
    xp = array_namespace(capabilities)
    able, needed = tuple(capabilities.shape), tuple(requirements.shape)
    if not (len(able) == len(needed) == 3 and able[::2] == needed[::2]):
        raise ValueError(
            "expected capabilities [B, n, k] and requirements [B, m, k], "
            f"found {list(able)} and {list(needed)}"
        )
    pairs = [able[0], able[1], needed[1]]
    if costs is not None and list(costs.shape) != pairs:
        raise ValueError(f"expected costs [B, n, m], here {pairs}, found {list(costs.shape)}")
    can, needs = capabilities[:, :, None, :], requirements[:, None, :, :]
    spare = can - needs
    is_able = xp.all(spare >= 0, axis=-1)
    value = xp.sum(needs + xp.zeros_like(can), axis=-1)
    value = value - (xp.sum(spare, axis=-1) if costs is None else costs)
    return xp.where(is_able & (value >= 0), value, xp.full_like(value, xp.nan))
