"""What learned policies of the smart grid's devices see: their observation at a scale of about 1.

Prices are relative to the mean of the day-ahead tariff, powers to the device's rating, energies of
a quarter to what the rating gives in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from agents.behaviours.smart_grid import WH_PER_KW, View
from sim.spaces import Field
from sim.worlds.smart_grid_spaces import HOURS

DAY_MIN: Final = 1440.0
VOLTS: Final = 10.0
"""Voltages from nominal: 1 is the edge of the band."""

COMMON: Final = (
    Field("time", size=2, help="of the day: sine and cosine"),
    Field("price", help="tariff now"),
    Field("price_next", help="tariff in the quarter that is offered for"),
    Field("rank_next", help="share of the coming hours that are cheaper than that"),
    Field("price_day", size=HOURS, help="day-ahead forecast of the tariff"),
    Field("award", help="bought for this quarter; negative if sold"),
    Field("answered", help="share of its offers that were answered of late"),
    Field("is_heard", help="whether the offer for this quarter was answered"),
    Field("offered_sold", help="offered to sell for this quarter"),
    Field("offered_bought", help="offered to buy for this quarter"),
    Field("is_limited", help="whether limits of the operator are in force"),
    Field("p_min", help="limits, within the rating"),
    Field("p_max"),
    Field("v", help="voltage from nominal; 1 is the edge of the band"),
    Field("is_supplied"),
    Field("p", help="fed in, last minute"),
)
FORECASTS: Final = (
    Field("now", help="what it has or needs"),
    Field("lasted", help="its mean of the last quarter"),
    Field("ahead", size=6, help="day-ahead forecast of the next hours"),
)


def features(see: View, trades: tuple[Any, Any, Any, Any], own: tuple[str, ...]) -> Any:
    """The network's input.

    Shapes: trades: the share of offers answered of late, whether this quarter's was, Wh offered to
            sell and to buy, [B, 1] each; own: names of the role's own fields
            -> [B, 41 and the role's own].
    """
    xp = see.xp
    mean = xp.maximum(xp.mean(see["price_day"], axis=1, keepdims=True), see.zero + 1e-3)
    rated = xp.maximum(see["rated_kw"], see.zero + 1e-3)
    angle = see["minute"] * (2 * math.pi / DAY_MIN)
    # Offers are for the next quarter, which may be in the next hour.
    day = see["price_day"]
    after = xp.where(see["minute"] % 60 >= 45, day[:, 1:2], see["import_price"])
    cheaper = xp.mean(xp.astype(day < after, day.dtype), axis=1, keepdims=True)
    quarter = rated * WH_PER_KW
    answered, is_heard, sold, bought = trades
    parts = [
        xp.sin(angle), xp.cos(angle), see["import_price"] / mean - 1, after / mean - 1, cheaper,
        day / mean - 1, see.award_wh / quarter, answered, is_heard, sold / quarter,
        bought / quarter, xp.astype(see.is_told, day.dtype), xp.clip(see.low / rated, -1.0, 1.0),
        xp.clip(see.high / rated, -1.0, 1.0), VOLTS * (see["v_pu"] - 1), see["is_supplied"],
        see["p_kw"] / rated, *(_OWN[name](see, rated, mean) for name in own),
    ]  # fmt: skip
    return xp.concat(parts, axis=1)


def _now(see: View, rated: Any, mean: Any) -> Any:
    for name in ("available_kw", "demand_kw"):
        if name in see.at:
            return see[name] / rated
    return see["base_kw"] / rated


def _urgency(see: View, rated: Any, mean: Any) -> Any:
    xp = see.xp
    left = xp.maximum(see["left_min"] / 60, see.zero + 0.25)
    return xp.clip(see["need_kwh"] / (left * rated), 0.0, 2.0)


_OWN: Final[dict[str, Callable[[View, Any, Any], Any]]] = {
    "charge": lambda see, rated, mean: see["energy_kwh"] / see["capacity_kwh"],
    "is_connected": lambda see, rated, mean: see["is_connected"],
    "need": lambda see, rated, mean: see["need_kwh"] / rated,
    "left": lambda see, rated, mean: see["left_min"] / DAY_MIN,
    "urgency": _urgency,
    "now": _now,
    "lasted": lambda see, rated, mean: see["next_kw"] / rated,
    "ahead": lambda see, rated, mean: see["day_kw"][:, :6] / rated,
    "waits": lambda see, rated, mean: (
        see["backlog_kwh"] / (see["backlog_kwh"] + see["room_kwh"] + 1e-3)
    ),
    "room": lambda see, rated, mean: see["room_kwh"] / 10.0,
    "value": lambda see, rated, mean: see["value_eur"] / mean,
}
