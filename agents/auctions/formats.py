"""The formats of auctions: how a bid is read, and by which rule of `sim.mechanisms` it is cleared.

Money and quantities are counted in ticks and grains before anything is compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.auctions.messages import Share, Terms
from sim.mechanisms import clock, double_auction, parallel, sealed_bid

BUNDLES_MAX: Final = 256
STEPS_MAX: Final = 64
"""Of one bid: bundles of a combinatorial one, and steps of a curve."""
Shares = dict[str, Share]
Read = Callable[[Any, Terms], Any]
Clear = Callable[[Mapping[str, Any], Terms, int], Shares]


class Format(NamedTuple):
    """read: a bid as it counts; raises ValueError. clear: bids by name, terms, key -> shares.

    is_clock: bids are answers to prices. is_joint: an award does not stand without the others.
    tick: by default, in units of money.
    """

    read: Read
    clear: Clear
    is_clock: bool = False
    is_joint: bool = False
    tick: float = 1e-6


def ticks(amount: float, terms: Terms) -> int:
    """An amount of money in ticks."""
    return round(amount / terms.tick)


def money(count: float, terms: Terms) -> float:
    """Ticks in units of money; divided, as 1 / tick is a whole number where tick is not exact."""
    return count / (1 / terms.tick)


# --- reading --------------------------------------------------------------------------------------


def _number(value: Any, of: float, largest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {value!r:.40}")
    if not math.isfinite(value) or abs(value) > of * largest:
        raise ValueError(f"expected a number up to {of * largest:g}, found {value!r:.40}")
    return float(value)


def _offer(value: Any, terms: Terms) -> float:
    return _number(value, terms.tick, sealed_bid.OFFER_MAX)


def _offers(value: Any, terms: Terms) -> list[float]:
    """A number, or one for each unit."""
    found = value if isinstance(value, list) else [value]
    if not 1 <= len(found) <= terms.units:
        raise ValueError(f"expected an offer for each of 1 to {terms.units} units")
    return [_offer(each, terms) for each in found]


def _offers_by_item(value: Any, terms: Terms) -> dict[str, float]:
    if not isinstance(value, dict) or not value or not set(value) <= set(terms.items):
        raise ValueError(f"expected offers by item: {', '.join(terms.items)}")
    return {item: _offer(each, terms) for item, each in value.items()}


def _bundles(value: Any, terms: Terms) -> list[tuple[list[str], float]]:
    if not isinstance(value, list) or not 1 <= len(value) <= BUNDLES_MAX:
        raise ValueError(f"expected 1 to {BUNDLES_MAX} pairs of items and value")
    found = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError("expected pairs of items and value")
        items, worth = pair
        is_bundle = isinstance(items, list | tuple) and all(isinstance(i, str) for i in items)
        if not is_bundle or not items or not set(items) <= set(terms.items):
            raise ValueError(f"expected a bundle of items: {', '.join(terms.items)}")
        if _number(worth, terms.tick, 2.0**40) < 0:
            raise ValueError("expected a value from 0")
        found.append((sorted(set(items)), float(worth)))
    return found


def _curve(value: Any, terms: Terms) -> list[tuple[float, float]]:
    if not isinstance(value, list) or not 1 <= len(value) <= STEPS_MAX:
        raise ValueError(f"expected 1 to {STEPS_MAX} pairs of quantity and price")
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        raise ValueError("expected pairs of quantity and price")
    return [
        (
            _number(quantity, terms.grain, double_auction.QUANTITY_MAX),
            _number(price, terms.tick, double_auction.PRICE_MAX),
        )
        for quantity, price in value
    ]


# --- clearing -------------------------------------------------------------------------------------


def _matrix(rows: list[list[float]], width: int) -> tuple[NDArray[np.float64], Any]:
    """[1, n, width] with NaN for what was not offered, and everybody present."""
    bids = np.full((1, len(rows), width), np.nan)
    for row, offers in zip(bids[0], rows, strict=True):
        row[: len(offers)] = offers
    return bids, np.ones((1, len(rows)), dtype=bool)


def _units(rule: Any, bids: Mapping[str, Any], terms: Terms, key: int) -> Shares:
    """Sealed bids for one item or several units of it."""
    offers = [each if isinstance(each, list) else [each] for each in bids.values()]
    said, present = _matrix([[ticks(o, terms) for o in row] for row in offers], terms.units)
    awards = rule(said, present, key, ticks(terms.reserve, terms), terms.units)[0]
    return _shares(bids, awards.tolist(), terms)


def _clock(rule: Any, bids: Mapping[str, Any], terms: Terms, key: int) -> Shares:
    """Stops of a clock that goes up from its start, or down to its reserve."""
    said, present = _matrix([[ticks(stop, terms)] for stop in bids.values()], 1)
    start, step = ticks(terms.start, terms), ticks(terms.increment, terms)
    floor = (ticks(terms.reserve, terms),) if rule is clock.dutch else ()
    return _shares(bids, rule(said, present, key, start, step, *floor)[0].tolist(), terms)


def _shares(bids: Mapping[str, Any], awards: list[list[float]], terms: Terms) -> Shares:
    return {
        name: Share(list(terms.items), won, money(paid, terms))
        for name, (won, paid) in zip(bids, awards, strict=True)
        if won
    }


def _parallel(bids: Mapping[str, Any], terms: Terms, key: int) -> Shares:
    nothing = math.nan
    rows = [
        [ticks(own[item], terms) if item in own else nothing for item in terms.items]
        for own in bids.values()
    ]
    said, present = _matrix(rows, len(terms.items))
    awards = parallel.clear(said, present, key, ticks(terms.reserve, terms))[0]
    shares = {}
    for name, row in zip(bids, awards.reshape(len(bids), -1, 2), strict=True):
        items = [item for item, won in zip(terms.items, row[:, 0], strict=True) if won]
        if items:
            shares[name] = Share(items, float(len(items)), money(float(row[:, 1].sum()), terms))
    return shares


def _vcg(bids: Mapping[str, Any], terms: Terms, key: int) -> Shares:
    from sim.mechanisms import vcg  # scipy takes a while to load

    at = {item: i for i, item in enumerate(terms.items)}
    said = [
        [(frozenset(at[i] for i in items), ticks(worth, terms)) for items, worth in own]
        for own in bids.values()
    ]
    shares = {}
    for name, award in zip(bids, vcg.clear(said, key), strict=True):
        if award.items:
            items = [terms.items[i] for i in sorted(award.items)]
            shares[name] = Share(items, float(len(items)), money(award.pays, terms))
    return shares


def _double(bids: Mapping[str, Any], terms: Terms, key: int, is_uniform: bool) -> Shares:
    rows = [
        [n for quantity, price in own for n in (round(quantity / terms.grain), ticks(price, terms))]
        for own in bids.values()
    ]
    said, present = _matrix(rows, max(map(len, rows), default=2))
    rule = double_auction.clear if is_uniform else double_auction.pay_as_bid
    shares = {}
    for name, (net, amount) in zip(bids, rule(said, present, key)[0].tolist(), strict=True):
        paid = net * amount if is_uniform else amount
        if net or paid:
            quantity, pays = net / (1 / terms.grain), money(paid, terms) / (1 / terms.grain)
            shares[name] = Share(list(terms.items), quantity, pays)
    return shares


FORMATS: Final[Mapping[str, Format]] = {
    "first_price": Format(_offer, partial(_units, sealed_bid.first_price)),
    "second_price": Format(_offer, partial(_units, sealed_bid.second_price)),
    "pay_as_bid": Format(_offers, partial(_units, sealed_bid.first_price)),
    "uniform_price": Format(_offers, partial(_units, sealed_bid.second_price)),
    "english": Format(_offer, partial(_clock, clock.english), is_clock=True),
    "dutch": Format(_offer, partial(_clock, clock.dutch), is_clock=True),
    "parallel": Format(_offers_by_item, _parallel),
    "vcg": Format(_bundles, _vcg),
    "double_auction": Format(_curve, partial(_double, is_uniform=True), is_joint=True, tick=1e-3),
    "double_pay_as_bid": Format(
        _curve, partial(_double, is_uniform=False), is_joint=True, tick=1e-3
    ),
}
