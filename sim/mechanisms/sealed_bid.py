"""Sealed-bid auctions of one item, or of k identical units, with a reserve price.

A bidder says what it would pay for its first unit, its second, and so on; with one number it wants
one unit. The k highest offers win that are not below the reserve. What they pay is the rule:

first_price    what each of them offered (for several units: pay-as-bid, discriminatory).
second_price   the highest offer that did not win, or the reserve: Vickrey, Counterspeculation,
               auctions, and competitive sealed tenders (1961). Saying one's value is then best,
               for who wants one unit; who wants several gains by saying less for the later ones.

Offers are rounded to integers before anything is compared; equal ones are served in the order of a
keyed lottery. Written on the array API: NumPy and torch give equal bits, and so do a batch and its
rows one by one.
"""

from __future__ import annotations

from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.mechanisms.double_auction import lots

OFFER_MAX: Final = 2**52
"""An offer beyond this magnitude, or not a finite number, counts as not submitted."""

_NONE: Final = -(2**60)


def first_price(bids: Any, present: Any, key: Any = 0, reserve: Any = 0, units: int = 1) -> Any:
    """Units won and what is paid for them, where everybody pays its own offers.

    Shapes: bids [B, n, u], present bool [B, n], key and reserve int or integer [B]
            -> [B, n, 2], typed as the bids.
    Units:  as submitted, rounded to integers; payments are sums over the units won.
    Cost:   two sorts of n u offers.
    """
    xp = array_namespace(bids)
    won, offers, _ = served(bids, present, key, reserve, units)
    return _awards(xp, won, offers, bids.dtype)


def second_price(bids: Any, present: Any, key: Any = 0, reserve: Any = 0, units: int = 1) -> Any:
    """Units won and what is paid for them, where a unit costs the highest offer that lost.

    Shapes: as `first_price`. With `units` above 1 this is the uniform-price auction, at the
    (k + 1)-th price.
    """
    xp = array_namespace(bids)
    won, offers, price = served(bids, present, key, reserve, units)
    return _awards(xp, won, price[:, None, None] + xp.zeros_like(offers), bids.dtype)


clear = second_price


def served(
    bids: Any, present: Any, key: Any = 0, reserve: Any = 0, units: int = 1
) -> tuple[Any, Any, Any]:
    """Which offers win, the offers as integers, and the highest that lost or the reserve.

    Shapes: as `first_price` -> bool [B, n, u], int64 [B, n, u], int64 [B].
    """
    xp = array_namespace(bids)
    batch, n, width = bids.shape
    floor = xp.zeros((batch,), dtype=xp.int64, device=device(bids)) + reserve
    offers, counts = whole(xp, bids, present)
    counts = xp.reshape(counts & (offers >= floor[:, None, None]), (batch, n * width))
    flat = xp.where(
        counts, xp.reshape(offers, counts.shape), _NONE + xp.zeros_like(counts, dtype=xp.int64)
    )
    if n * width == 0:
        return xp.reshape(counts, bids.shape), offers, floor
    drawn = xp.argsort(lots(xp, key, counts.shape, device(bids)), axis=-1, stable=True)
    falling = xp.argsort(-xp.take_along_axis(flat, drawn, axis=-1), axis=-1, stable=True)
    order = xp.take_along_axis(drawn, falling, axis=-1)
    place = xp.argsort(order, axis=-1, stable=True)
    won = (place < units) & counts
    lost = xp.max(xp.where(won, xp.full_like(flat, _NONE), flat), axis=-1)
    return xp.reshape(won, bids.shape), offers, xp.maximum(floor, lost)


def whole(xp: Any, bids: Any, present: Any) -> tuple[Any, Any]:
    """Offers as integers, 0 where they do not count, and which count.

    Shapes: bids [B, n, u], present bool [B, n] -> int64 [B, n, u], bool [B, n, u].
    """
    # Comparisons with NaN are false, so this also refuses what is not a number.
    counts = (xp.abs(bids) <= OFFER_MAX) & present[..., None]
    return xp.astype(xp.round(xp.where(counts, bids, xp.zeros_like(bids))), xp.int64), counts


def _awards(xp: Any, won: Any, prices: Any, dtype: Any) -> Any:
    units = xp.sum(xp.astype(won, xp.int64), axis=-1)
    paid = xp.sum(xp.where(won, prices, xp.zeros_like(prices)), axis=-1)
    return xp.astype(xp.stack((units, paid), axis=-1), dtype)
