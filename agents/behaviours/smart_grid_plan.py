"""The central controller's plan: a linear programme over the coming day (HiGHS).

It plans energies by the quarter of an hour for the next two hours and by the hour beyond, with
nothing but what devices have reported: their state, the tariff and their forecasts of it, of load
and of generation. What is said of the next quarter counts; the rest is planned again by then.

Columns, per period of h hours, in kWh:
    i, e        bought from and sold to upstream by all together
    c, d, z     battery: charged, discharged (at its terminals), stored at the period's end
    v, y        vehicle: charged; missing as it leaves
    s, w        household: waiting demand served, waiting at the period's end
    f           commercial, industrial: forgone
    g           generator
Least   sum tariff i - feed_in e + wear (c + d) + delay h w + value f + fuel g
            + missing y + end (w - z) of what is left
so that i - e = demand + s + c - d + v - f - g - sun and wind, and each device keeps its bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim.worlds.programme import Floats, Ints, Programme, Term
from sim.worlds.smart_grid_devices import ROLES, Params
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN, observation

QUARTERS: Final = 8
"""Planned by the quarter of an hour; then by the hour."""
SURE: Final = 0.95
"""Of the sun and wind expected that is sold: what is sold and not delivered is dear."""
SPARE_MIN: Final = 15.0
"""A vehicle is to be ready so long before it leaves."""
KEPT: Final = (0.5, 0.25)
"""How much of a deviation from the day-ahead forecast is expected to last in the next quarters."""


@dataclass(frozen=True)
class Values:
    """What the plan takes for granted. EUR per kWh, and kW.

    flexible_share, flexible_kw: of a household's demand; end: of what is stored or waits at the
    end; missing: of a vehicle that leaves too early.
    """

    flexible_share: float = 0.4
    flexible_kw: float = 5.0
    end: float = 0.2
    missing: float = 1.0


@dataclass(frozen=True)
class Report:
    """What a device said of itself: its observation, by name."""

    role: str
    sent_s: float
    values: Mapping[str, Floats]

    def __getitem__(self, name: str) -> float:
        return float(self.values[name][0])


def report_of(role: str, sent_s: float, row: Floats) -> Report | None:
    """The report in a message; None if it is no observation of this role."""
    slices = _LAYOUTS[role].slices
    if row.shape != (_LAYOUTS[role].size,) or not np.isfinite(row).all():
        return None
    return Report(role, sent_s, {name: row[at] for name, at in slices.items()})


class Horizon:
    """Periods from the next quarter on. Shapes: [P] each; hour: whose forecast counts."""

    def __init__(self, minute: float) -> None:
        first = QUARTER_MIN + int(minute) % 60
        edges = [first + QUARTER_MIN * k for k in range(QUARTERS + 1)]
        while edges[-1] % 60:
            edges.append(edges[-1] + QUARTER_MIN)
        edges += range(edges[-1] + 60, HOURS * 60 + 1, 60)
        starts = np.array(edges[:-1])
        self.hours: Floats = np.diff(edges) / 60
        self.hour: Ints = starts // 60
        self.from_min: Floats = starts - int(minute) % 60.0
        self.kept = np.zeros(len(starts))
        self.kept[: len(KEPT)] = KEPT

    def tariff(self, report: Report) -> Floats:
        """Import prices: today's is known, later ones are forecasts."""
        ahead = report.values["price_day"][self.hour]
        return np.asarray(np.where(self.hour == 0, report["import_price"], ahead), np.float64)

    def power(self, report: Report, now: float) -> Floats:
        """Expected kW of demand, sun or wind: the forecast, and at first what is there now."""
        day = report.values["day_kw"]
        lasts = 0.5 * (now + report["next_kw"])
        return np.asarray(
            np.maximum(day[self.hour] + self.kept * (lasts - day[0]), 0.0), np.float64
        )


def plan(
    reports: Mapping[int, Report], given_wh: Mapping[int, float], values: Values
) -> tuple[dict[int, float], float]:
    """Energies of the next quarter by slot, Wh bought positive, and a price in EUR per kWh.

    given_wh: what was planned for the quarter that has just begun.
    Raises: ArithmeticError if the solver fails. Cost: about 20 ms for 28 devices.
    """
    some = next(iter(reports.values()))
    horizon, lp = Horizon(some["minute"]), Programme()
    tariff, feed_in = horizon.tariff(some), some["feed_in_price"]
    rows = np.arange(len(tariff))
    terms: list[Term] = [
        (rows, lp.columns(tariff), -1.0),
        (rows, lp.columns(np.full(len(rows), -feed_in)), 1.0),
    ]
    surplus = np.zeros(len(rows))
    drawn: dict[int, list[tuple[int, float]]] = {}
    fixed: dict[int, float] = {}
    for slot, report in sorted(reports.items()):
        now = given_wh.get(slot, 0.0) / 1000
        mine, free = _DEVICE[report.role](lp, horizon, report, now, values)
        surplus += free
        fixed[slot] = -float(free[0])
        drawn[slot] = [(int(columns[0]), sign) for _, columns, sign in mine if len(columns)]
        terms.extend(mine)
    lp.rows(terms, surplus, surplus)
    _, solution = lp.solved()
    energy = {
        slot: 1000 * (fixed[slot] + sum(sign * solution[column] for column, sign in drawn[slot]))
        for slot in reports
    }
    return energy, 0.5 * (float(tariff[0]) + feed_in)


Mine = tuple[list[tuple[Ints, Ints, float]], Floats]
"""A device's part of the balance: columns with the sign of what they draw, and kWh fed in anyway.
Of each column block the first period comes first."""


def _battery(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    eta, wear, size, rows = (
        r["efficiency"],
        r["wear_eur"],
        r["capacity_kwh"],
        np.arange(len(t.hour)),
    )
    first = np.zeros(len(rows))
    first[0] = min(max(r["energy_kwh"] + (now * eta if now > 0 else now / eta), 0.0), size)
    most = r["rated_kw"] * t.hours
    charge, discharge = lp.columns(0 * most + wear), lp.columns(0 * most + wear)
    worth = np.zeros(len(rows))
    worth[-1] = -values.end
    stored = lp.columns(worth, high=size)
    lp.rows([(rows, charge, 1.0), (rows, discharge, 1.0)], 0 * most, most)
    chain: list[Term] = [(rows, stored, 1.0), (rows[1:], stored[:-1], -1.0)]
    lp.rows([*chain, (rows, charge, -eta), (rows, discharge, 1 / eta)], first, first)
    return [(rows, charge, 1.0), (rows, discharge, -1.0)], np.zeros(len(rows))


def _vehicle(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    need = max(r["need_kwh"] - now, 0.0)
    left = (r["left_min"] - SPARE_MIN - t.from_min) / 60
    rows = np.arange(len(t.hour))
    most = r["rated_kw"] * np.clip(left, 0.0, t.hours) * r["is_connected"]
    charge, missing = lp.columns(0 * most, high=most), lp.columns(np.array([values.missing]))
    all_in_one = np.zeros(len(rows), dtype=np.int64)
    total = np.array([need])
    lp.rows([(all_in_one, charge, 1.0), (all_in_one[:1], missing, 1.0)], total, total)
    return [(rows, charge, 1.0)], np.zeros(len(rows))


def _household(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    share, rows = values.flexible_share, np.arange(len(t.hour))
    demand = t.power(r, r["base_kw"] / max(1 - share, 1e-6)) * t.hours
    inflow = share * demand
    served = max(now - 0.25 * r["base_kw"], 0.0)
    coming = 0.25 * share / max(1 - share, 1e-6) * r["base_kw"]
    inflow[0] += max(r["backlog_kwh"] + coming - served, 0.0)
    delay = r["delay_eur"] * t.hours
    delay[-1] += values.end
    serve = lp.columns(0 * delay, high=values.flexible_kw * t.hours + inflow)
    waits = lp.columns(delay, high=r["backlog_kwh"] + r["room_kwh"])
    chain: list[Term] = [(rows, waits, 1.0), (rows[1:], waits[:-1], -1.0), (rows, serve, 1.0)]
    lp.rows(chain, inflow, inflow)
    return [(rows, serve, 1.0)], -(1 - share) * demand


def _consumer(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    demand = t.power(r, r["demand_kw"]) * t.hours
    share = r["forgo_max_kw"] / max(r["demand_kw"], 1e-6)
    forgone = lp.columns(np.full(len(demand), r["value_eur"]), high=share * demand)
    return [(np.arange(len(demand)), forgone, -1.0)], -demand


def _inverter(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    fed = np.minimum(t.power(r, r["available_kw"]), r["s_kva"]) * t.hours
    return [], SURE * fed


def _generator(lp: Programme, t: Horizon, r: Report, now: float, values: Values) -> Mine:
    most = r["rated_kw"] * t.hours
    power = lp.columns(np.full(len(most), r["marginal_eur"]), high=most)
    return [(np.arange(len(most)), power, -1.0)], np.zeros(len(most))


_DEVICE: Final[Mapping[str, Any]] = {
    "household": _household, "pv": _inverter, "battery": _battery, "ev": _vehicle,
    "commercial": _consumer, "industrial": _consumer, "wind": _inverter, "generator": _generator,
}  # fmt: skip
_LAYOUTS: Final = {role: observation(Params(), role, 1) for role in ROLES}
