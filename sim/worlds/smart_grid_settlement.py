"""Settlement of one quarter of an hour: who pays what to whom, in whole units, to the last one.

Energies are whole Wh, bought positive; prices whole milli-cents per kWh; money is their product,
whole units of 1e-8 EUR. Of a participant that traded T and was metered E:

    T at the clearing price
    E beyond T, in the same direction     not traded: upstream tariff (import, feed-in)
    T not kept, sold and not delivered    bought back at the dearer imbalance price
    T not kept, bought and not used       sold back at the cheaper imbalance price

Without a trade (an offer lost, late or not served) all of E is at the tariff. The imbalance prices
are the tariff made worse by a share, so that nobody gains by breaking a trade, and what all pay
together is never less than the tariff on their sum. A table of awards that does not sum to zero is
made up for by the market's own account.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from array_api_compat import array_namespace

EUR: Final = 100_000_000
"""Units of money in one euro."""


@dataclasses.dataclass(frozen=True)
class Settlement:
    """Payments of one quarter, positive where paid, in 1e-8 EUR.

    Shapes: paid, at_tariff int64 [B, n]; upstream, imbalance, market int64 [B], which receive:
            sum(paid) = upstream + imbalance + market. at_tariff is what each would have paid
            without any trade for the same energy.
    """

    paid: Any
    at_tariff: Any
    upstream: Any
    imbalance: Any
    market: Any


def imbalance_prices(import_mc: Any, feed_in_mc: Any, share_permille: int) -> tuple[Any, Any]:
    """Prices of what is bought back and sold back: the tariff, worse by a share."""
    up = import_mc * (1000 + share_permille) // 1000
    down = feed_in_mc * (1000 - share_permille) // 1000
    return up, down


def settle(
    metered_wh: Any, traded_wh: Any, price_mc: Any, import_mc: Any, feed_in_mc: Any, share: int
) -> Settlement:
    """The payments of one quarter.

    Shapes: metered_wh, traded_wh int64 [B, n], bought positive; prices int64 [B]; share permille.
    """
    xp = array_namespace(metered_wh)
    price, buy, sell = price_mc[:, None], import_mc[:, None], feed_in_mc[:, None]
    up, down = imbalance_prices(buy, sell, share)
    rest = metered_wh - traded_wh
    short, long = xp.clip(rest, 0, None), xp.clip(-rest, 0, None)
    undelivered = xp.minimum(short, xp.clip(-traded_wh, 0, None))
    unused = xp.minimum(long, xp.clip(traded_wh, 0, None))
    traded = traded_wh * price
    tariff = (short - undelivered) * buy - (long - unused) * sell
    imbalance = undelivered * up - unused * down
    return Settlement(
        paid=traded + tariff + imbalance,
        at_tariff=xp.clip(metered_wh, 0, None) * buy - xp.clip(-metered_wh, 0, None) * sell,
        upstream=xp.sum(tariff, axis=-1),
        imbalance=xp.sum(imbalance, axis=-1),
        market=xp.sum(traded, axis=-1),
    )


def jain(gains: Any) -> float:
    """Jain's index of fairness, (sum g)^2 / (n sum g^2), in [1/n, 1]; losses count as no gain.

    1 where nobody gains. Source: Jain, Chiu and Hawe 1984.
    """
    values = [max(float(g), 0.0) for g in gains]
    square = sum(g * g for g in values)
    return sum(values) ** 2 / (len(values) * square) if square > 0 else 1.0
