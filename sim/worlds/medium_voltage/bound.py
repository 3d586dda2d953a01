"""The least cost of a run: a linear programme with perfect foresight (HiGHS).

It knows wind, demand, prices and needs, has neither network nor losses, plans energies by the
quarter of an hour, and nominates what suits it. Each of these only lets it do more than any control
can, so cost >= bound for every run, whatever is lost, late, tripped or out of order. The water is
counted by its potential energy, which pump and turbine change by exactly what they draw and give
(see `hydro`).

Columns, per quarter k of h hours, in kWh:
    g           biomass; at most its rating
    s, u, o     of each consumer: put off; made up or done ahead; owed at the end of the quarter
    e           of what is owed, what is owed for the whole quarter: |o| less what may have grown
    d, c, z     hydro: generated, pumped; potential energy of the water at the quarter's end
    w           wind not fed in, to deliver less
    y           delivered to the transmission operator, between 0 and its need R
Least   sum fuel g + delay h e - spot (M - y) + P (R - y) - value (eta z - o) of what is left
with    M = wind - w + g + d - c - demand + sum (s - u), and P the price of balancing elsewhere, up
or down; so that
    o = o' + rebound s - u        |o| <= bound         z = z' + eta c - d / eta + inflow
with ' for the quarter before. Nominating more or less than M - y costs no less than spot, as the
imbalance has a dear and a cheap side, and what the distribution operator calls it trades at spot;
what units and operators pay each other adds up to nothing. Starts cost nothing here, and what runs
has no least power.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from sim.worlds.catalogue import parse
from sim.worlds.medium_voltage.exogenous import exogenous
from sim.worlds.medium_voltage.hydro import WEIGHT, potential_kj, slope
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.roster import make_roster
from sim.worlds.programme import Floats, Programme, Term
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR, QUARTERS
from sim.worlds.smart_grid_spaces import HOURS, MINUTE_NS, QUARTER_MIN

TOLERANCE_EUR: Final = 1e-4
"""Taken off the optimum, beside what the meters round: one Wh of each unit in each quarter."""
KJ: Final = 3600.0
"""Of one kWh."""


def bound(params: Mapping[str, Any], seed: int, duration_ns: int) -> dict[str, float]:
    """Metrics that no run can beat: its `cost`. Cost: about 0.3 s for a day."""
    p = parse(Params, params, "medium_voltage")
    roster = make_roster(p)
    steps = int(max(duration_ns // MINUTE_NS, 1))
    return {"cost": least(p, roster, exogenous(p, roster, seed, 0, steps))}


class Day:
    """What a run meets, by quarters; the last may be cut short, and then has no need.

    Shapes: [Q] each; own_kwh [Q, N]. Units: kWh, hours, EUR per kWh.
    """

    def __init__(self, p: Params, given: Mapping[str, torch.Tensor]) -> None:
        own = given["own"].numpy()
        steps = len(own)
        first = np.arange(0, steps, QUARTER_MIN)
        self.quarters = len(first)
        self.minutes = np.diff(np.append(first, steps))
        self.hours: Floats = self.minutes / 60
        self.own_kwh: Floats = np.add.reduceat(own, first) / 60
        spot = given["spot_mc"].numpy() / MILLICENT_PER_EUR
        self.spot: Floats = spot[first // 60 % HOURS]
        need = given["need_wh"].numpy()[first // QUARTER_MIN % QUARTERS] / 1000
        self.need: Floats = need * (self.minutes == QUARTER_MIN)
        self.end = float(spot.mean() * p.end_share)
        self.elsewhere = self.spot + np.sign(self.need) * p.balancing_eur_per_kwh


def least(p: Params, roster: Roster, given: Mapping[str, torch.Tensor]) -> float:
    """The programme for what `exogenous` says, EUR. Raises: ArithmeticError."""
    day, lp = Day(p, given), Programme()
    at, hours = roster.slices, day.hours
    rated = {role: float(roster.rated_kw[where].sum()) for role, where in at.items()}
    wind = day.own_kwh[:, at["wind"]].sum(1)
    demand = day.own_kwh[:, at["industrial"]].sum(1)
    # What follows the weather and the customers is sold, or bought, at spot in any case.
    fixed = float((day.spot * (demand - wind)).sum() + (day.elsewhere * day.need).sum())
    rows = np.arange(day.quarters)
    up, down = day.need.clip(min=0), day.need.clip(max=0)
    delivered = lp.columns(day.spot - day.elsewhere, high=np.inf, low=-np.inf)
    lp.rows([(rows, delivered, 1.0)], down, up)
    spilt = lp.columns(day.spot, high=wind)
    burnt = lp.columns(p.biomass_eur_per_kwh - day.spot, high=rated["biomass"] * hours)
    moved: list[Term] = [(rows, spilt, -1.0), (rows, burnt, 1.0)]
    for i in range(at["industrial"].start, at["industrial"].stop):
        moved += _consumer(lp, p, day, day.own_kwh[:, i], float(roster.rated_kw[i]))
    if p.hydros:
        moved += _hydro(lp, p, day)
        fixed += day.end * p.turbine_efficiency * _first_kwh(p)
    meters = 1e-3 * len(roster.names) * float((day.spot + p.balancing_eur_per_kwh).sum())
    return lp.least() + fixed - meters - TOLERANCE_EUR


def _consumer(lp: Programme, p: Params, day: Day, demand: Floats, rated: float) -> list[Term]:
    """One consumer: what it puts off, makes up and owes."""
    rows, hours = np.arange(day.quarters), day.hours
    most = p.industrial_share * rated
    shed = lp.columns(-day.spot, high=p.industrial_share * demand)
    made = lp.columns(day.spot, high=most * hours)
    limit = most * p.industrial_hours
    value = np.zeros(day.quarters)
    value[-1] = day.end
    owed = lp.columns(value, high=limit, low=-limit)
    whole = lp.columns(p.delay_eur_per_kwh_h * hours)
    chain: list[Term] = [(rows, owed, 1.0), (rows[1:], owed[:-1], -1.0)]
    none = np.zeros(day.quarters)
    lp.rows([*chain, (rows, shed, -p.rebound), (rows, made, 1.0)], none, none)
    # What is owed at the end has been owed throughout, but for what can grow within a quarter.
    grown, endless = p.rebound * most * hours, np.full(day.quarters, np.inf)
    lp.rows([(rows, whole, 1.0), (rows, owed, -1.0)], -grown, endless)
    lp.rows([(rows, whole, 1.0), (rows, owed, 1.0)], -grown, endless)
    return [(rows, shed, 1.0), (rows, made, -1.0)]


def _hydro(lp: Programme, p: Params, day: Day) -> list[Term]:
    """The plant, by the potential energy of its water above the least there can be."""
    rows, hours = np.arange(day.quarters), day.hours
    highest = p.head_m + p.depth_m
    turbine = p.turbine_efficiency * WEIGHT * highest * p.turbine_m3_per_s
    made = lp.columns(-day.spot, high=turbine * hours)
    pumped = lp.columns(day.spot, high=p.pump_kw * hours)
    value = np.zeros(day.quarters)
    value[-1] = -day.end * p.turbine_efficiency
    full = WEIGHT * p.upper_m3 * (p.head_m + 0.5 * slope(p) * p.upper_m3) / KJ
    stored = lp.columns(value, high=full)
    inflow = WEIGHT * highest * p.inflow_m3_per_s * hours
    start = inflow.copy()
    start[0] += _first_kwh(p)
    chain: list[Term] = [(rows, stored, 1.0), (rows[1:], stored[:-1], -1.0)]
    lp.rows(
        [*chain, (rows, pumped, -p.pump_efficiency), (rows, made, 1 / p.turbine_efficiency)],
        start - np.inf, start,
    )  # fmt: skip
    return [(rows, made, 1.0), (rows, pumped, -1.0)]


def _first_kwh(p: Params) -> float:
    """Potential energy at the start, above that of all water below."""
    upper = torch.tensor(p.upper_start * p.upper_m3, dtype=torch.float64)
    below = torch.tensor(p.upper_m3, dtype=torch.float64)
    first = potential_kj(p, upper, below - upper) - potential_kj(p, 0 * upper, below)
    return float(first) / KJ
