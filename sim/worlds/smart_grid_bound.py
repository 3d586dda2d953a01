"""The least cost of a smart-grid run: a linear programme with perfect foresight (HiGHS).

It knows every demand, cloud, tariff and vehicle (`smart_grid_profiles.exogenous`), has neither
network nor losses, and plans energies by the quarter of an hour, as the market settles them. Each
of these only lets it do more than any control can, so cost >= bound for every run, whatever is
lost, late or tripped. Devices of one role that differ in nothing are one column.

Columns, per quarter k of h hours, in kWh:
    i, e        bought from and sold to upstream by all agents together
    a           carried by the meters, which count whole Wh, to the next quarter: half of one each
    c, d, z     batteries: charged, discharged (at the terminals); stored at the quarter's end
    g           generators
    f, n        commercial, industrial: forgone; not supplied
    s, w, u     household: waiting demand served; waiting at the quarter's end; fixed demand not
                supplied
    x, r        served beyond its power after an interruption; how much of that is left
    v, y        vehicle: charged during a stay; missing as it leaves, or when the run ends
Least   sum import i - feed_in e + wear (c + d) + fuel g + value f + value y + delay h w
            + unserved (n + u) + end (w - z) of what is left
so that
    i - e = demand - n - u - f + s + v + c - d - g - sun and wind + a' - a
    z = z' + eta c - d / eta      0 <= z <= capacity       c + d <= h power
    w = w' + waiting - s          0 <= w <= most + r       s <= h power + waiting + x
    r = r' + rho u - x            0 <= r
    sum of v over a stay + y = what it needs               v <= power times hours connected
    g / h <= g' / h + 15 min ramp                          g of the first: climbing from nothing
with ' for the quarter before and rho = flexible / fixed share of the demand: only who was not
supplied can have more waiting than the most, or serve it at more than the power. What is
traded within adds up to nothing; what breaks a trade costs no less than the tariff. Sun and wind
are fed in whole: curtailing costs at least what feeding in earns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.worlds.catalogue import parse
from sim.worlds.programme import Floats, Ints, Programme, Term
from sim.worlds.smart_grid_devices import CONSUMERS, INVERTERS, Params, Roster, make_roster
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR, exogenous
from sim.worlds.smart_grid_spaces import MINUTE_NS, QUARTER_MIN

TOLERANCE_EUR: Final = 1e-6
"""Taken off the optimum, which the solver finds to 1e-7."""
HALF_WH: Final = 0.5e-3


def bound(params: Mapping[str, Any], seed: int, duration_ns: int) -> dict[str, float]:
    """Metrics that no run can beat: its `cost`.

    Cost: about 0.5 s for a day, half of it for drawing what the day brings.
    """
    p = parse(Params, params, "smart_grid")
    roster = make_roster(p)
    steps = int(max(duration_ns // MINUTE_NS, 1))
    return least(p, roster, exogenous(p, roster, seed, 0, steps))


def least(p: Params, roster: Roster, given: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """The programme for what `exogenous` says. Raises: ArithmeticError if it is not solved."""
    day = Day(p, roster, given)
    lp = Programme()
    bought = lp.columns(day.import_eur)
    sold = lp.columns(np.full(day.quarters, -p.feed_in_eur_per_kwh))
    wh = HALF_WH * len(roster.names)
    carried = lp.columns(np.zeros(day.quarters), high=wh, low=-wh)
    rows = np.arange(day.quarters)
    terms: list[Term] = [
        (rows, bought, -1.0), (rows, sold, 1.0), (rows, carried, -1.0),
        (rows[1:], carried[:-1], 1.0),
        *_batteries(lp, p, day, len(roster.of_role("battery"))),
        *_generators(lp, p, day, len(roster.of_role("generator"))),
        *_forgoing(lp, p, day, roster),
    ]  # fmt: skip
    for demand in day.own_kw[:, roster.slices["household"]].T:
        terms.extend(_household(lp, p, day, day.kwh(demand)))
    for i in range(len(roster.of_role("ev"))):
        needs = given["first_need_kwh"][i], given["stay_kwh"][:, i]
        terms.extend(_vehicle(lp, p, day, given["is_connected"][:, i], *needs))
    lp.rows(terms, day.surplus_kwh, day.surplus_kwh)
    return {"cost": lp.least() + lp.fixed_eur - TOLERANCE_EUR}


class Day:
    """What a run meets, by quarters; the last one may be cut short.

    Shapes: [Q] each. Units: kWh, hours, EUR per kWh; surplus_kwh: sun and wind less demand that
    cannot wait.
    """

    def __init__(self, p: Params, roster: Roster, given: Mapping[str, NDArray[Any]]) -> None:
        self.own_kw: Floats = given["own_kw"]
        steps = len(self.own_kw)
        self.first = np.arange(0, steps, QUARTER_MIN)
        self.quarters = len(self.first)
        self.minutes = np.diff(np.append(self.first, steps))
        self.hours = self.minutes / 60
        self.import_eur: Floats = given["import_mc"][self.first] / MILLICENT_PER_EUR
        kw = np.zeros(steps)
        for role in (*INVERTERS, *CONSUMERS):
            at = roster.slices[role]
            if role in INVERTERS:
                kw += np.minimum(self.own_kw[:, at], roster.s_kva[at]).sum(1)
            else:
                share = p.household_flexible_share if role == "household" else 0.0
                kw -= (1 - share) * self.own_kw[:, at].sum(1)
        self.surplus_kwh = self.kwh(kw)

    def kwh(self, kw: NDArray[Any]) -> Floats:
        """Energies of the quarters. Shapes: [steps] -> [Q]."""
        return np.asarray(np.add.reduceat(kw, self.first) / 60, dtype=np.float64)

    def flat(self, value: float) -> Floats:
        """The same value in each quarter."""
        return np.full(self.quarters, value)


def _chain(now: Ints) -> list[Term]:
    """now - before, for a quantity that is carried on."""
    rows = np.arange(len(now))
    return [(rows, now, 1.0), (rows[1:], now[:-1], -1.0)]


def _from(first: float, size: int) -> Floats:
    """What a chain begins with."""
    return np.concatenate([[first], np.zeros(size - 1)])


def _batteries(lp: Programme, p: Params, day: Day, n: int) -> Iterator[Term]:
    """All batteries as one: they are equal, and so the mean of their plans is one, too."""
    if not n:
        return
    eta, size = p.battery_efficiency, n * p.battery_kwh
    most = n * p.battery_kw * day.hours
    first = p.battery_charge * size
    charge = lp.columns(day.flat(p.battery_eur_per_kwh))
    discharge = lp.columns(day.flat(p.battery_eur_per_kwh))
    value = day.flat(0.0)
    value[-1] = -p.end_eur_per_kwh
    stored = lp.columns(value, high=size)
    lp.fixed_eur += p.end_eur_per_kwh * first
    rows = np.arange(day.quarters)
    lp.rows([(rows, charge, 1.0), (rows, discharge, 1.0)], most * 0, most)
    start = _from(first, day.quarters)
    lp.rows([*_chain(stored), (rows, charge, -eta), (rows, discharge, 1 / eta)], start, start)
    yield rows, charge, 1.0
    yield rows, discharge, -1.0


def _generators(lp: Programme, p: Params, day: Day, n: int) -> Iterator[Term]:
    """All generators as one. They climb no faster than their ramp; they may fall at once."""
    if not n:
        return
    climb = np.minimum(p.generator_ramp_kw * np.arange(1, QUARTER_MIN + 1), p.generator_kw)
    most = n * p.generator_kw * day.hours
    most[0] = n * climb[: day.minutes[0]].sum() / 60
    power = lp.columns(day.flat(p.generator_eur_per_kwh), high=most)
    whole = int((day.minutes == QUARTER_MIN).sum())
    hour = QUARTER_MIN / 60
    step = np.full(max(whole - 1, 0), n * QUARTER_MIN * p.generator_ramp_kw * hour)
    rows = np.arange(len(step))
    lp.rows([(rows, power[1:whole], 1.0), (rows, power[: whole - 1], -1.0)], step - np.inf, step)
    yield np.arange(day.quarters), power, -1.0


def _forgoing(lp: Programme, p: Params, day: Day, roster: Roster) -> Iterator[Term]:
    """Commercial and industrial consumers: what is forgone, and what is not supplied."""
    rows = np.arange(day.quarters)
    for role, share, value in (
        ("commercial", p.commercial_share, p.commercial_eur_per_kwh),
        ("industrial", p.industrial_share, p.industrial_eur_per_kwh),
    ):
        demand = day.kwh(day.own_kw[:, roster.slices[role]].sum(1))
        yield rows, lp.columns(day.flat(value), high=share * demand), -1.0
        yield rows, lp.columns(day.flat(p.unserved_eur_per_kwh), high=demand), -1.0


def _household(lp: Programme, p: Params, day: Day, demand: Floats) -> Iterator[Term]:
    """One household. Units: demand kWh [Q]."""
    share = p.household_flexible_share
    waiting, fixed = share * demand, (1 - share) * demand
    rho = share / (1 - share) if share < 1 else 0.0
    delay = p.delay_eur_per_kwh_h * np.where(day.minutes == QUARTER_MIN, QUARTER_MIN / 60, 0.0)
    delay[-1] += p.end_eur_per_kwh
    free = np.zeros(day.quarters)
    served, waits = lp.columns(free), lp.columns(delay)
    missed = lp.columns(day.flat(p.unserved_eur_per_kwh), high=fixed)
    beyond, room = lp.columns(free), lp.columns(free)
    rows = np.arange(day.quarters)
    lp.rows([*_chain(waits), (rows, served, 1.0)], waiting, waiting)
    lp.rows([*_chain(room), (rows, missed, -rho), (rows, beyond, 1.0)], free, free)
    if share < 1:
        most = free + p.household_backlog_kwh
        lp.rows([(rows, waits, 1.0), (rows, room, -1.0)], free - np.inf, most)
        most = p.household_flexible_kw * day.hours + waiting
        lp.rows([(rows, served, 1.0), (rows, beyond, -1.0)], free - np.inf, most)
    yield rows, served, 1.0
    yield rows, missed, -1.0


def _vehicle(
    lp: Programme, p: Params, day: Day, is_connected: NDArray[Any], first: float, begins: Floats
) -> Iterator[Term]:
    """The stays of one vehicle. Shapes: is_connected, begins (kWh of a stay) [steps]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_connected, [False]])))
    for start, end in edges.reshape(-1, 2):
        need = float(begins[start:end].sum()) + (first if start == 0 else 0.0)
        value = p.ev_unserved_eur_per_kwh if end < len(is_connected) else p.end_eur_per_kwh
        there = np.zeros(len(is_connected))
        there[start:end] = p.ev_kw
        most = day.kwh(there)
        rows = np.flatnonzero(most)
        charge = lp.columns(np.zeros(len(rows)), high=most[rows])
        missing = lp.columns(np.array([value]))
        total: list[Term] = [
            (np.zeros(len(rows), dtype=np.int64), charge, 1.0),
            (np.zeros(1, dtype=np.int64), missing, 1.0),
        ]
        lp.rows(total, np.array([need]), np.array([need]))
        yield rows, charge, 1.0
