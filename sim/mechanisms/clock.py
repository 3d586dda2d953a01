"""Clock auctions of one item: who wins, and at which price, given where each bidder stops.

english   The price goes up from `start` by `increment`; a bidder is in as long as the price is at
          most its stop. It ends at the first price at which at most one is in. Who is left wins at
          that price; if the last ones leave together, one of them wins at the price before. Also
          known as the Japanese auction; Milgrom and Weber, A theory of auctions and competitive
          bidding (1982).
dutch     The price goes down from `start` by `decrement`, never below `floor`; the first bidder
          whose stop it reaches wins at that price. Strategically a first-price sealed bid (Vickrey
          1961), in steps.

Stops are rounded to integers before anything is compared; who stops together draws lots by key.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from sim.mechanisms.double_auction import lots
from sim.mechanisms.sealed_bid import whole


def english(bids: Any, present: Any, key: Any = 0, start: int = 0, increment: int = 1) -> Any:
    """The ascending clock.

    Shapes: bids [B, n, 1] (stops), present bool [B, n], key int or integer [B]
            -> [B, n, 2]: 1 for the winner and what it pays, typed as the bids.
    Units:  as submitted, rounded to integers; start and increment likewise, increment >= 1.
    """
    xp = array_namespace(bids)
    stops, counts = whole(xp, bids, present)
    steps = (stops[..., 0] - start) // increment
    steps = xp.where(counts[..., 0] & (steps >= 0), steps, xp.full_like(steps, -1))
    if bids.shape[1] == 0:
        return xp.zeros((bids.shape[0], 0, 2), dtype=bids.dtype)
    top = xp.max(steps, axis=-1, keepdims=True)
    winner = drawn(xp, (steps == top) & (steps >= 0), key)
    second = xp.max(xp.where(winner, xp.full_like(steps, -1), steps), axis=-1, keepdims=True)
    return _award(xp, winner, start + increment * xp.minimum(top, second + 1), bids.dtype)


def dutch(
    bids: Any, present: Any, key: Any = 0, start: int = 0, decrement: int = 1, floor: int = 0
) -> Any:
    """The descending clock. Shapes and units: as `english`."""
    xp = array_namespace(bids)
    stops, counts = whole(xp, bids, present)
    last = (start - floor) // decrement
    steps = xp.clip(-((stops[..., 0] - start) // decrement), 0, None)
    steps = xp.where(counts[..., 0] & (steps <= last), steps, xp.full_like(steps, last + 1))
    if bids.shape[1] == 0:
        return xp.zeros((bids.shape[0], 0, 2), dtype=bids.dtype)
    first = xp.min(steps, axis=-1, keepdims=True)
    winner = drawn(xp, (steps == first) & (steps <= last), key)
    return _award(xp, winner, start - decrement * first, bids.dtype)


def drawn(xp: Any, among: Any, key: Any) -> Any:
    """One of those in question, by lot; nobody where there is none. Shapes: bool [B, n] twice."""
    tickets = lots(xp, key, among.shape, device(among))
    tickets = xp.where(among, tickets, xp.full_like(tickets, -1))
    best = xp.argmax(tickets, axis=-1, keepdims=True)
    return among & (xp.arange(among.shape[1], device=device(among))[None, :] == best)


def _award(xp: Any, winner: Any, price: Any, dtype: Any) -> Any:
    paid = xp.where(winner, price, xp.zeros_like(price))
    return xp.astype(xp.stack((xp.astype(winner, paid.dtype), paid), axis=-1), dtype)
