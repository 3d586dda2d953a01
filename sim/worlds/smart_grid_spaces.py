"""What each role of the smart grid sees and does, the message rounds, and the layout of messages.

Every device's observation begins with the same fields (`common`), then its forecasts, then what is
its own. All powers are in kW and positive into the network; what a consumer draws is negative.

Messages are vectors too:
    measurement  device -> operator, each minute           `MEASUREMENT`
    limit        operator -> all devices, each minute      valid_s, then per device `LIMIT`, in the
                 order of their slots
    offer        device -> market, at each quarter's begin, for the next quarter: three steps of
                 (energy, price); positive buys, negative sells; Wh and milli-cents per kWh
    award        market -> device, 30 s later: (net energy bought, clearing price), in these units
"""

from __future__ import annotations

from typing import Final

from sim.spaces import Field, Space
from sim.units import SECOND
from sim.worlds.smart_grid_devices import ROLES, Params, Roster
from sim.worlds.world import Group, Round

MINUTE_NS: Final = 60 * SECOND
QUARTER_MIN: Final = 15
HOURS: Final = 24
"""Hours that a forecast looks ahead; the first one is the hour now."""
DEADLINE_NS: Final = 30 * SECOND
STEPS: Final = 3
"""Steps of an offer."""
AWARD: Final = ("energy", "price")
OFFER: Final = STEPS * AWARD
OFFER_WIDTH: Final = len(OFFER)
AWARD_WIDTH: Final = len(AWARD)
MEASUREMENT: Final = (
    "slot", "v_pu", "p_kw", "q_kvar", "low_kw", "high_kw", "wish_kw", "q_max_kvar",
    "down_eur_per_kwh", "up_eur_per_kwh",
)  # fmt: skip
"""low and high: the least and most it could feed in during the next minute; wish: what it would
by itself; q_max: the reactive power it could give or take; down and up: what it costs to feed in
less, or more, than it would."""
LIMIT: Final = ("p_min_kw", "p_max_kw", "q_kvar")
"""A corridor for active power, and reactive power to feed in."""

OWN_FORECASTS: Final = (
    Field("next_kw", "kW", help="persistence: its mean of the last quarter, for the next"),
    Field("day_kw", "kW", size=HOURS, help="day-ahead forecast of what it has or needs"),
)


def kw(name: str, low: float, high: float, text: str = "") -> Field:
    """A power in kW."""
    return Field(name, "kW", low, high, help=text)


def common(devices: int) -> tuple[Field, ...]:
    """The fields every device's observation begins with, of so many devices in all."""
    return (
        Field("slot", "", 0, devices - 1, help="its place among all devices"),
        Field("minute", "min", 0, 1440, help="of the day"),
        Field("v_pu", "p.u.", 0, 2, help="voltage at its bus, last minute"),
        Field("p_kw", "kW", help="fed in, last minute; negative if drawn"),
        Field("q_kvar", "kvar", help="reactive power fed in, last minute"),
        Field("is_supplied", "", 0, 1, help="0 behind an open line"),
        Field("import_price", "EUR/kWh", help="upstream tariff now"),
        Field("feed_in_price", "EUR/kWh"),
        Field("rated_kw", "kW", help="its own largest power"),
        Field("price_day", "EUR/kWh", size=HOURS, help="tariff, day-ahead forecast, hour by hour"),
    )


def observation(p: Params, role: str, devices: int) -> Space:
    """The observation of a device role."""
    own: dict[str, tuple[Field, ...]] = {
        "household": (
            *OWN_FORECASTS,
            kw("base_kw", 0, 1e3, "demand that cannot wait"),
            Field("backlog_kwh", "kWh", 0, 1e3, help="demand that waits"),
            Field("room_kwh", "kWh", 0, 1e3, help="what else may wait"),
            Field("delay_eur", "EUR/(kWh h)", help="discomfort of waiting"),
        ),
        "pv": (*OWN_FORECASTS, kw("available_kw", 0, 1e6), Field("s_kva", "kVA", 0, 1e6)),
        "battery": (
            Field("energy_kwh", "kWh", 0, p.battery_kwh),
            Field("capacity_kwh", "kWh", 0, 1e6),
            Field("efficiency", "", 0, 1, help="each way"),
            Field("wear_eur", "EUR/kWh", help="throughput cost"),
        ),
        "ev": (
            Field("is_connected", "", 0, 1),
            Field("need_kwh", "kWh", 0, 500, help="still needed at departure"),
            Field("left_min", "min", 0, 2880, help="to its departure; 0 if away"),
            kw("min_kw", 0, 1e3, "charging power without communication"),
        ),
        "commercial": (
            *OWN_FORECASTS,
            kw("demand_kw", 0, 1e6),
            kw("forgo_max_kw", 0, 1e6, "what it can do without"),
            Field("value_eur", "EUR/kWh", help="of what it does without"),
        ),
        "generator": (Field("marginal_eur", "EUR/kWh", help="marginal cost"),),
    }
    own["wind"], own["industrial"] = own["pv"], own["commercial"]
    return Space((*common(devices), *own[role]))


def action(p: Params, role: str, most_kw: float) -> Space:
    """The action of a device role; `most_kw` is the largest rating in its group."""
    if role in ("pv", "wind"):
        return Space(
            (
                Field("limit_kw", "kW", 0, most_kw, default=most_kw, help="feeds in at most"),
                Field("q_kvar", "kvar", -most_kw, most_kw, help="reactive power to feed in"),
            )
        )
    one = {
        "household": kw("serve_kw", 0, p.household_flexible_kw, "of the demand that waits"),
        "battery": kw("power_kw", -p.battery_kw, p.battery_kw, "discharges; charges if negative"),
        "ev": kw("charge_kw", 0, p.ev_kw),
        "commercial": kw("forgo_kw", 0, most_kw, "demand it does without, within its share"),
        "industrial": kw("forgo_kw", 0, most_kw, "demand it does without, within its share"),
        "generator": kw("power_kw", 0, p.generator_kw, "reached at its ramp"),
    }
    return Space((one[role],))


def operator_observation(devices: int) -> Space:
    """What the operator measures at its substation, and what it knows of its own network."""
    return Space(
        (
            Field("minute", "min", 0, 1440),
            kw("import_kw", -1e6, 1e6, "through the transformer, last minute"),
            Field("import_kvar", "kvar", -1e6, 1e6),
            Field("loading", "", 0, 10, help="of the transformer, per rated current"),
            Field("busbar_v_pu", "p.u.", 0, 2),
            Field("rated_kva", "kVA", 0, 1e6, help="of the transformer; 0 without one"),
            Field("feeder", "", size=devices, help="number of each device's feeder"),
            Field("p_sensitivity", "p.u./kW", size=devices, help="of its voltage to its power"),
            Field("q_sensitivity", "p.u./kvar", size=devices, help="to its reactive power"),
        )
    )


def market_observation() -> Space:
    """What the market sees: time and tariff."""
    return Space(
        (
            Field("minute", "min", 0, 1440),
            Field("import_price", "EUR/kWh"),
            Field("feed_in_price", "EUR/kWh"),
        )
    )


def award_space(devices: int) -> Space:
    """The market's action: the whole table of awards, flattened."""
    return Space(
        (Field("awards", "Wh, m-cent/kWh", -1e12, 1e12, size=AWARD_WIDTH * devices),)
    )  # fmt: skip


def groups(p: Params, roster: Roster) -> tuple[Group, ...]:
    """Every group; roles without agents are left out."""
    made = []
    for role in ROLES:
        names = roster.of_role(role)
        if names:
            most = float(roster.rated_kw[roster.slices[role]].max())
            spaces = observation(p, role, len(roster.names)), action(p, role, most)
            # Without a fresh action for two minutes a device counts as left alone.
            made.append(Group(role, names, *spaces, MINUTE_NS, "last", 2 * MINUTE_NS))
    n = len(roster.names)
    quarter = QUARTER_MIN * MINUTE_NS
    made.append(
        Group(
            "market", ("market",), market_observation(), award_space(n),
            quarter, "last", quarter - MINUTE_NS,
        )
    )  # fmt: skip
    made.append(Group("operator", ("operator",), operator_observation(n), Space(()), MINUTE_NS))
    return tuple(made)


def rounds(roster: Roster) -> tuple[Round, ...]:
    """The market's round: offers for the next quarter until 30 s into this one, then awards."""
    return (
        Round(
            topic="offer", senders=roster.names, receiver="market",
            every_ns=QUARTER_MIN * MINUTE_NS, deadline_ns=DEADLINE_NS, width=OFFER_WIDTH,
            reply="award", reply_width=AWARD_WIDTH, mechanism="double_auction",
            fields=OFFER, reply_fields=AWARD,
        ),
    )  # fmt: skip
