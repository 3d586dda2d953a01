"""Uniform-price double auction: everybody trades at one price, and the books balance exactly.

A participant submits a step curve of k orders, laid out (quantity_1, price_1, ..., quantity_k,
price_k). A positive quantity buys at most so much at no more than its price; a negative one sells.
Quantities and prices are rounded to integers before anything is compared (Wh and milli-cents per
kWh, say), so that no floating-point noise can turn a clearing; equal prices are served in the
order of a keyed lottery. Written on the array API: NumPy and torch give equal bits, and so do a
batch and its rows one by one.

The traded quantity is the largest that willing buyers and sellers share, so the welfare, the sum
of price times quantity over served buys less served sells, is the greatest there is. The price is
the middle of the interval that supports the allocation, rounded down: nobody served would rather
not be, and nobody unserved would trade at it. The last step served may be served in part.

Under `pay_as_bid` the same steps are served, and each at the price it named; what the buyers pay
more than the sellers get stays with the auctioneer.
"""

from __future__ import annotations

from typing import Any, Final

from array_api_compat import array_namespace, device, is_torch_namespace

from sim.rng import philox, philox_torch

PRICE_MAX: Final = 2**30 - 1
QUANTITY_MAX: Final = 2**40
"""A step beyond these magnitudes, or not a finite number, counts as not submitted."""

_FAR: Final = 2**40


def clear(bids: Any, present: Any, key: Any = 0) -> Any:
    """Awards of one clearing: net quantity bought (sold if negative) and the common price.

    Shapes: bids [B, n, 2k], present bool [B, n], key int or integer [B] -> [B, n, 2], typed
            as the bids.
    Units:  as submitted, rounded to integers. Absent participants get (0, 0); where nothing is
            traded the price is 0.
    Order:  ties by lottery of (key, participant, step); sums of quantities are 0 to the bit.
    Cost:   one sort of n k orders; 0.3 ms for 30 participants of 4 steps at B = 1.
    """
    xp = array_namespace(bids)
    served, price = fills(bids, present, key)
    net = xp.sum(served, axis=-1)
    both = xp.stack((net, xp.where(present, price[:, None], xp.zeros_like(net))), axis=-1)
    return xp.astype(both, bids.dtype)


def pay_as_bid(bids: Any, present: Any, key: Any = 0) -> Any:
    """Awards where every step trades at its own price: net quantity, and what is paid for it.

    Shapes: as `clear` -> [B, n, 2], typed as the bids; who sells is paid, so pays less than 0.
    Units:  payments in quantity times price, exact up to 2^53. Their sum is the auctioneer's, and
            never below 0: it is the welfare of the allocation.
    """
    xp = array_namespace(bids)
    served, _ = fills(bids, present, key)
    price = xp.where(served != 0, xp.round(bids[..., 1::2]), xp.zeros_like(bids[..., 1::2]))
    paid = xp.sum(xp.astype(price, xp.float64) * xp.astype(served, xp.float64), axis=-1)
    net = xp.astype(xp.sum(served, axis=-1), xp.float64)
    return xp.astype(xp.stack((net, paid), axis=-1), bids.dtype)


def fills(bids: Any, present: Any, key: Any = 0) -> tuple[Any, Any]:
    """What every step trades, signed as submitted, and the price.

    Shapes: as `clear` -> int64 [B, n, k], int64 [B].
    """
    xp = array_namespace(bids)
    batch, n = bids.shape[:2]
    quantity, price = _orders(xp, bids, present)
    shape = (batch, quantity.shape[1])
    if shape[1] == 0:
        return xp.zeros((batch, n, 0), dtype=xp.int64), xp.zeros((batch,), dtype=xp.int64)
    is_buy = quantity > 0
    rank = ((price + PRICE_MAX) * 2 + xp.astype(is_buy, xp.int64)) << 31
    order = xp.argsort(rank | (lots(xp, key, shape, device(bids)) >> 1), axis=-1, stable=True)
    quantity_up, price_up = (xp.take_along_axis(x, order, axis=-1) for x in (quantity, price))

    # Ascending in price, sells before buys at each: a step's position splits the curves there.
    buy = xp.clip(quantity_up, 0, None)
    sell = xp.clip(-quantity_up, 0, None)
    supplied = xp.cumulative_sum(sell, axis=-1)
    demanded = xp.sum(buy, axis=-1, keepdims=True) - xp.cumulative_sum(buy, axis=-1) + buy
    traded = xp.max(xp.minimum(supplied, demanded), axis=-1, keepdims=True)

    sold = xp.minimum(xp.clip(traded - (supplied - sell), 0, None), sell)
    bought = xp.minimum(xp.clip(traded - (demanded - buy), 0, None), buy)
    clearing = _price(xp, price_up, (buy, bought), (sell, sold), traded[:, 0])
    back = xp.argsort(order, axis=-1, stable=True)
    served = xp.take_along_axis(bought - sold, back, axis=-1)
    return xp.reshape(served, (batch, n, -1)), clearing


def welfare(bids: Any, served: Any) -> Any:
    """Gains from trade of an allocation: price times quantity, bought less sold.

    Shapes: bids [B, n, 2k], served int64 [B, n, k] from `fills` -> float64 [B].
    """
    xp = array_namespace(bids)
    price = xp.where(served != 0, xp.round(bids[..., 1::2]), xp.zeros_like(bids[..., 1::2]))
    product = xp.astype(price, xp.float64) * xp.astype(served, xp.float64)
    return xp.sum(product, axis=(-2, -1))


def lots(xp: Any, key: Any, shape: tuple[int, int], on: Any) -> Any:
    """A 32-bit lot for each column of each row, the same for NumPy and torch.

    Shapes: key int or integer [B], shape (B, m) -> int64 [B, m].
    """
    word = xp.int64 if is_torch_namespace(xp) else xp.uint64
    if getattr(key, "ndim", 0) == 0:
        key = int(key)
        key = key - 2**64 if word is xp.int64 and key >= 2**63 else key
        keys = xp.full((shape[0], 1), key, dtype=word, device=on)
    else:
        keys = xp.astype(key, word)[:, None]
    columns = xp.arange(shape[1], dtype=word, device=on)[None, :] + 0 * keys
    zero = 0 * columns
    draw = philox_torch if is_torch_namespace(xp) else philox
    return xp.astype(draw(columns, zero, zero, zero, keys)[0], xp.int64)


def _orders(xp: Any, bids: Any, present: Any) -> tuple[Any, Any]:
    """Integer quantities and prices [B, n k]; what does not count has quantity 0."""
    raw_quantity, raw_price = bids[..., 0::2], bids[..., 1::2]
    # Comparisons with NaN are false, so this also refuses what is not a number.
    counts = (xp.abs(raw_quantity) <= QUANTITY_MAX) & (xp.abs(raw_price) <= PRICE_MAX)
    counts = counts & present[..., None]
    zero = xp.zeros_like(raw_quantity)

    def whole(x: Any) -> Any:
        return xp.astype(xp.round(xp.where(counts, x, zero)), xp.int64)

    flat = (bids.shape[0], bids.shape[1] * raw_quantity.shape[2])
    return xp.reshape(whole(raw_quantity), flat), xp.reshape(whole(raw_price), flat)


def _price(xp: Any, price: Any, buys: tuple[Any, Any], sells: tuple[Any, Any], traded: Any) -> Any:
    """Middle, rounded down, of the prices that support the allocation; 0 without trade [B]."""
    (buy, bought), (sell, sold) = buys, sells
    at_least = (sold > 0) | (bought < buy)
    at_most = (bought > 0) | (sold < sell)
    far = xp.full_like(price, _FAR)
    low = xp.max(xp.where(at_least, price, -far), axis=-1)
    high = xp.min(xp.where(at_most, price, far), axis=-1)
    return xp.where(traded > 0, (low + high) >> 1, xp.zeros_like(low))
