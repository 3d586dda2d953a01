"""What each role sees and does, and the layout of messages.

All powers are in kW and positive into the network. Messages are vectors:
    report  unit -> dso, each minute                `REPORT`
    limit   dso -> units, each minute               valid_s, then per unit `LIMIT`
    offer   unit -> dso, as a quarter begins        `OFFER`, for the next quarter: so much more (up)
            or less (down) power into the network than nominated, at what price; it asks for the
            price of up and would pay that of down
    relief  dso -> units, some minutes later        `CALL_HEAD`, then per unit `CALL`
    pool    dso -> tso, from then on, each minute   per unit `OFFER[1:]`: what the network bears
    call    tso -> units, some minutes later        as `relief`
Energies are in Wh of a quarter, prices in milli-cents per kWh.
"""

from __future__ import annotations

from typing import Final

from sim.spaces import Field, Space
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.roster import ROLES
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_spaces import HOURS, MINUTE_NS, kw
from sim.worlds.world import Group

REPORT: Final = (
    "slot", "v_pu", "p_kw", "able_kw", "q_max_kvar", "worth_eur_per_kwh", "least_kw", "coming_kw",
)  # fmt: skip
"""able: what it would feed in without a limit; q_max: reactive power it could take; worth: what it
loses by each kWh that it may not feed in; least: what it feeds in under any limit; coming: what it
expects to feed in in the next quarter, called for nothing."""
LIMIT: Final = ("p_max_kw", "q_kvar")
OFFER: Final = ("slot", "up_wh", "up_price", "down_wh", "down_price")
CALL_HEAD: Final = ("quarter",)
"""In which quarter of the day it was said; it is for the next."""
CALL: Final = ("energy", "price")
FREE_KW: Final = 1e9
"""A limit that is none."""


def common(units: int) -> tuple[Field, ...]:
    """The fields with which the observation of every unit begins."""
    return (
        Field("slot", "", 0, units - 1, help="its place among all units"),
        Field("minute", "min", 0, 1440, help="of the day"),
        Field("v_pu", "p.u.", 0, 2, help="voltage at its bus, last minute"),
        Field("p_kw", "kW", help="fed in, last minute; negative if drawn"),
        Field("q_kvar", "kvar", help="reactive power fed in, last minute"),
        Field("is_running", "", 0, 1, help="0 behind an open line, or out of order"),
        Field("rated_kw", "kW"),
        Field("plan_kw", "kW", help="nominated for this quarter, beside wind and demand"),
        Field("next_kw", "kW", help="nominated so far for the next"),
        Field("beyond_wh", "Wh", help="fed in beyond the baseline, so far in this quarter"),
        Field("spot_day", "EUR/kWh", size=HOURS, help="day-ahead prices, hour by hour from now"),
        Field("spot_next", "EUR/kWh", help="price in the next quarter"),
    )


def observation(role: str, units: int) -> Space:
    """The observation of a unit."""
    own = {
        "wind": (kw("available_kw", 0, 1e6), Field("s_kva", "kVA", 0, 1e6)),
        "biomass": (
            kw("profile_kw", 0, 1e6, "what it does by itself"),
            kw("least_kw", 0, 1e6),
            Field("fuel_eur", "EUR/kWh"),
        ),
        "industrial": (
            kw("demand_kw", 0, 1e6),
            Field("owed_kwh", "kWh", help="put off; negative if done ahead"),
            Field("bound_kwh", "kWh", 0, 1e6, help="what may be put off, or done ahead"),
            kw("least_kw", -1e6, 0, "the least it can shed now; negative: demand more"),
            kw("most_kw", 0, 1e6, "the most it can shed now"),
            Field("rebound", "", 1, 2),
            Field("delay_eur", "EUR/(kWh h)"),
        ),
        "hydro": (
            Field("head_m", "m", 0, 1e4),
            Field("filling", "", 0, 1, help="of the upper reservoir"),
            Field("worth_kwh", "kWh", help="what the turbine could make of the water above"),
            Field("full_kwh", "kWh", help="the same of a full reservoir"),
            kw("turbine_kw", 0, 1e6, "at this head"),
            kw("turbine_least_kw", 0, 1e6),
            kw("pump_kw", 0, 1e6),
            kw("pump_least_kw", 0, 1e6),
            Field("round_trip", "", 0, 1, help="efficiency of pumping and generating"),
            Field("mode", "", -1, 1, help="1 turbine, -1 pump, 0 stands"),
            Field("start_eur", "EUR"),
        ),
    }
    return Space((*common(units), *own[role]))


def action(role: str, most_kw: float) -> Space:
    """The action of a unit; `most_kw` is the largest power in its group."""
    plan = kw("plan_kw", -most_kw, most_kw, "nominated for the next quarter")
    one = {
        "wind": (
            Field("limit_kw", "kW", 0, most_kw, default=most_kw, help="feeds in at most"),
            kw("q_kvar", -most_kw, most_kw, "reactive power to feed in"),
        ),
        "biomass": (kw("power_kw", 0, most_kw), plan),
        "industrial": (kw("shed_kw", -most_kw, most_kw, "demand put off; negative: made up"), plan),
        "hydro": (kw("power_kw", -most_kw, most_kw, "generates; pumps if negative"), plan),
    }
    return Space(one[role])


def dso_observation(units: int) -> Space:
    """What the distribution operator measures in its own network, and knows of it."""
    return Space(
        (
            Field("minute", "min", 0, 1440),
            kw("import_kw", -1e6, 1e6, "from the high voltage, last minute"),
            Field("import_kvar", "kvar", -1e6, 1e6),
            Field("loading", "", 0, 10, help="of the transformer, per rated current"),
            Field("busbar_v_pu", "p.u.", 0, 2),
            Field("spot", "EUR/kWh"),
            Field("feeder", "", size=units, help="number of each unit's feeder"),
            Field("line", "", size=units, help="number of the most loaded line on its way in"),
            Field("line_loading", "", size=units, help="of that line, per rated current"),
            Field("line_kva", "kVA", size=units, help="rating of that line"),
            Field("p_sensitivity", "p.u./kW", size=units, help="of its voltage to its power"),
            Field("q_sensitivity", "p.u./kvar", size=units, help="to its reactive power"),
        )
    )


def tso_observation() -> Space:
    """What the transmission operator needs, and what it costs elsewhere."""
    return Space(
        (
            Field("minute", "min", 0, 1440),
            Field("need_wh", "Wh", help="to be found here in this quarter; negative: down"),
            Field("next_need_wh", "Wh", help="in the next quarter"),
            Field("up_price", "m-cent/kWh", help="of balancing energy from elsewhere, then"),
            Field("down_price", "m-cent/kWh", help="what is paid for it elsewhere, then"),
        )
    )


def groups(p: Params, roster: Roster) -> tuple[Group, ...]:
    """Every group; roles without agents are left out."""
    made = []
    units = len(roster.names)
    for role in ROLES:
        names = roster.of_role(role)
        if names:
            most = 1.2 * float(roster.rated_kw[roster.slices[role]].max())
            spaces = observation(role, units), action(role, most)
            # Without a fresh action for two minutes a unit counts as left alone.
            made.append(Group(role, names, *spaces, MINUTE_NS, "last", 2 * MINUTE_NS))
    calls = Field("calls", "Wh, m-cent/kWh", -1e12, 1e12, size=len(CALL) * units)
    limits = Field("limits_kw", "kW", 0, FREE_KW, size=units, default=FREE_KW)
    for name, sees, does in (
        ("dso", dso_observation(units), (limits, calls)), ("tso", tso_observation(), (calls,)),
    ):  # fmt: skip
        made.append(Group(name, (name,), sees, Space(does), MINUTE_NS, "last", 2 * MINUTE_NS))
    return tuple(made)
