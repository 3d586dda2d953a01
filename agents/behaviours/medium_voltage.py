"""Rule behaviours of the units of a medium-voltage network: nominate, offer, deliver, obey.

As a quarter of an hour begins a unit nominates what it will do in the next one, by the day-ahead
prices, and offers the distribution operator how much more or less it could do, at what that is
worth to it. If one of the operators calls it, it delivers; within a quarter it makes up for what it
is behind, by its own meter. Each minute it reports, and keeps within the limit it last
heard until that expires.

Pure functions on arrays with a leading batch dimension; every quantity has the shape [B, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.worlds.medium_voltage.spaces import CALL, CALL_HEAD, FREE_KW, LIMIT, OFFER, REPORT
from sim.worlds.smart_grid_droop import DROOP_Q, droop_kvar
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR, QUARTERS
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN

WH_PER_KW: Final = 250.0
"""Energy of one kW in a quarter of an hour."""
QUARTER_H: Final = 0.25
CALLED: Final = ("call", "relief")
"""Topics on which the operators call."""
KEPT: Final = 2 * len(CALLED)
"""Numbers of the memory before the nomination."""
SURE: Final = 0.8
"""Share of a power that a plant with a ramp can deliver within a quarter as energy."""


class View:
    """What a unit knows at one decision: its observation by name, limits, calls.

    Shapes: [B, 1] each; `spot_day` [B, 24]. left: minutes of this quarter, this one included.
    """

    def __init__(
        self, at: Mapping[str, slice], obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> None:
        self.xp = xp = array_namespace(obs)
        self.obs, self.at, self.zero = obs, at, 0.0 * obs[:, :1]
        within = self["minute"] % QUARTER_MIN
        self.within, self.left, self.is_first = within, QUARTER_MIN - within, within == 0
        calls = [
            self._calls(inbox[topic], memory[:, i : i + 1], memory[:, i + 2 : i + 3])
            for i, topic in enumerate(CALLED)
        ]
        self.now, self.next = ([call[when] for call in calls] for when in (0, 1))
        self.now_wh, self.next_wh = sum(self.now), sum(self.next)
        self.p_max, self.q, self.is_told = self._limit(inbox["limit"])
        self.mean = xp.mean(self["spot_day"], axis=1, keepdims=True)

    def __getitem__(self, name: str) -> Any:
        return self.obs[:, self.at[name]]

    def positive(self, x: Any) -> Any:
        """What of it is above zero."""
        return self.xp.maximum(x, self.zero)

    def between(self, x: Any, low: Any, high: Any) -> Any:
        """Kept between the two; low wins."""
        return self.xp.maximum(self.xp.minimum(x, high), low)

    def behind_kw(self) -> Any:
        """Power beyond the baseline with which the quarter ends as called."""
        return (self.now_wh - self["beyond_wh"]) * (60 / 1000) / self.left

    def price_at(self, rank: Any) -> Any:
        """The day's price of that rank, 0 the lowest; ranks may be fractions, rounded down."""
        xp = self.xp
        at = xp.astype(xp.clip(xp.floor(rank), 0.0, HOURS - 1.0), xp.int64)
        return xp.take_along_axis(xp.sort(self["spot_day"], axis=1), at, axis=1)

    def _calls(self, heard: Any, before: Any, then: Any) -> tuple[Any, Any]:
        """Wh called for this quarter and for the next; before, then: what was known of both."""
        xp, first = self.xp, len(CALL_HEAD)
        now = xp.where(self.is_first, then, before)
        then = xp.where(self.is_first, self.zero, then)
        mine = self._mine(heard.values, first, len(CALL))[..., 0]
        quarter = xp.floor(self["minute"] / QUARTER_MIN)
        is_new = heard.present & (heard.age_s < 60.0 * 2 * QUARTER_MIN)
        said = heard.values[..., 0]
        late = (quarter + QUARTERS - 1) % QUARTERS
        for_next, for_now = is_new & (said == quarter), is_new & (said == late)
        return self._picked(mine, for_now, now), self._picked(mine, for_next, then)

    def _limit(self, heard: Any) -> tuple[Any, Any, Any]:
        """Most power and reactive power of the limits in force, and whether there are any."""
        is_fresh = heard.present & (heard.age_s <= heard.values[..., 0])
        mine = self._mine(heard.values, 1, len(LIMIT))
        p_max = self._picked(mine[..., 0], is_fresh, self.zero + FREE_KW)
        q = self._picked(mine[..., 1], is_fresh, self.zero)
        return p_max, q, self.xp.any(is_fresh, axis=1, keepdims=True)

    def _picked(self, values: Any, is_it: Any, otherwise: Any) -> Any:
        """The mean of those that count. Shapes: [B, n], [B, n], [B, 1] -> [B, 1]."""
        xp = self.xp
        count = xp.sum(xp.astype(is_it, self.obs.dtype), axis=1, keepdims=True)
        # What is not present may hold anything, and 0 times infinity is not 0.
        total = xp.sum(xp.where(is_it, values, 0.0 * self.zero), axis=1, keepdims=True)
        return xp.where(count > 0, total / xp.maximum(count, self.zero + 1.0), otherwise)

    def _mine(self, values: Any, first: int, width: int) -> Any:
        """The part of each row's own slot. Shapes: [B, n, first + width N] -> [B, n, width]."""
        xp = self.xp
        start = first + width * xp.astype(self["slot"], xp.int64)
        index = (start + xp.arange(width, device=device(self.obs)))[:, None, :]
        index = xp.broadcast_to(index, (*values.shape[:2], width))
        return xp.take_along_axis(values, index, axis=-1)


class Unit(ABC):
    """What all units share. What a role nominates, offers and does is its own.

    params: repeats (minutes in which an offer is said, default 3).
    Memory: called by each operator for this quarter, and for the next (Wh); nominated for the next
    (kW); the offer, as in a message.
    """

    speaks: Mapping[str, int] = {"report": len(REPORT), "offer": len(OFFER)}
    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        units = int(group.observation.high[self.at["slot"]][0]) + 1
        self.repeats = int(params.get("repeats", 3))
        call = len(CALL_HEAD) + len(CALL) * units
        self.hears: Mapping[str, int] = {
            "limit": 1 + len(LIMIT) * units, **dict.fromkeys(CALLED, call)
        }  # fmt: skip

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, KEPT + len(OFFER)), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, k] -> action [B, 2]; report [B, 8], offer [B, 5]; memory."""
        return self.decided(View(self.at, obs, inbox, memory), memory)

    def decided(
        self, see: View, memory: Any, shifts: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any], Any]:
        """What comes of a view. shifts: of the plan (kW), of up_at and down_at (EUR/kWh)."""
        xp, by = see.xp, {"plan": 0.0, "up_at": 0.0, "down_at": 0.0, **(shifts or {})}
        runs = see["is_running"]
        plan = (self.nominate(see) + by["plan"]) * runs
        up, up_at, down, down_at = self.offer(see, plan)
        energies = [xp.floor(see.positive(kw) * runs * WH_PER_KW) for kw in (up, down)]
        prices = [xp.floor((up_at + by["up_at"]) * MILLICENT_PER_EUR),
                  xp.floor((down_at + by["down_at"]) * MILLICENT_PER_EUR)]  # fmt: skip
        fresh = xp.concat((plan, energies[0], prices[0], energies[1], prices[1]), axis=1)
        kept = xp.where(see.is_first, fresh, memory[:, KEPT:])
        power, able, q_max, worth = self.act(see, kept[:, :1])
        coming = self.coming(see, kept[:, :1]) * runs
        least = self.least(see) * runs
        report = (see["slot"], see["v_pu"], see["p_kw"], able, q_max, worth, least, coming)
        said = {"report": xp.concat([x + see.zero for x in report], axis=1)}
        offer = xp.concat((see["slot"], kept[:, 1:]), axis=1)
        said["offer"] = xp.where(see.within < self.repeats, offer, xp.nan + 0.0 * offer)
        action = xp.concat((power, self.second(see, kept[:, :1])), axis=1)
        return action, said, xp.concat((*see.now, *see.next, kept), axis=1)

    def coming(self, see: View, plan: Any) -> Any:
        """What it expects to feed in in the next quarter, as nominated."""
        return plan

    def least(self, see: View) -> Any:
        """What it feeds in under any limit."""
        return see.zero

    def second(self, see: View, plan: Any) -> Any:
        """The second number of the action: the nomination, or an inverter's reactive power."""
        return plan

    @abstractmethod
    def nominate(self, see: View) -> Any:
        """Power nominated for the next quarter, kW (of a consumer what it puts off)."""

    @abstractmethod
    def offer(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        """More (kW) at a price (EUR/kWh) asked for, and less at a price paid, than nominated."""

    @abstractmethod
    def act(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        """Action; what it would feed in without limits; reactive power it could take; what it loses
        by each kWh not fed in. plan: nominated for the next quarter."""


class Wind(Unit):
    """Feeds in all there is, less if it is called or limited; voltage by its droop, or as told."""

    def nominate(self, see: View) -> Any:
        return see.zero

    def coming(self, see: View, plan: Any) -> Any:
        return see["available_kw"]

    def offer(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        return see.zero, see.zero, SURE * see["available_kw"], see.zero

    def act(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        able = see["available_kw"]
        wished = see.xp.where(see.now_wh < 0, able + see.behind_kw(), see.zero + FREE_KW)
        power = see.between(see.xp.minimum(wished, see.p_max), see.zero, see["rated_kw"])
        return power, able, DROOP_Q * see["s_kva"], see["spot_day"][:, :1]

    def second(self, see: View, plan: Any) -> Any:
        alone = droop_kvar(see["v_pu"], see["s_kva"])
        return see.xp.where(see.is_told, see.q, alone)


class Biomass(Unit):
    """Full power while energy earns its fuel, else its least; offers what is between."""

    def least(self, see: View) -> Any:
        return see["least_kw"]

    def nominate(self, see: View) -> Any:
        earns = see["spot_next"] >= see["fuel_eur"]
        return see.xp.where(earns, see["rated_kw"], see["least_kw"])

    def offer(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        fuel = see["fuel_eur"]
        return SURE * (see["rated_kw"] - plan), fuel, SURE * (plan - see["least_kw"]), fuel

    def act(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        wished = see.between(see["plan_kw"] + see.behind_kw(), see.zero, see["rated_kw"])
        worth = see.positive(see["spot_day"][:, :1] - see["fuel_eur"])
        return see.xp.minimum(wished, see.p_max), wished, see.zero, worth


class Industrial(Unit):
    """Puts off what it can while energy is dear, makes up and does ahead while it is cheap.

    params: margin (by which a price is dear or cheap against the day's mean, default 0.12), hours
            (for which it counts on owing what it is called for, default 2).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.margin = float(params.get("margin", 0.12))
        self.hours = float(params.get("hours", 2.0))

    def room(self, see: View) -> tuple[Any, Any]:
        """The least and the most it can put off throughout the next quarter, kW, asked as a
        quarter begins."""
        xp, soon = see.xp, see["plan_kw"] * see.left / 60 + see.now_wh / 1000
        then = see["owed_kwh"] + xp.where(soon > 0, see["rebound"] * soon, soon)
        most = (see["bound_kwh"] - then) / (see["rebound"] * QUARTER_H)
        least = (see["bound_kwh"] + then) / QUARTER_H
        least = -see.positive(xp.minimum(least, see["bound_kwh"] / self.hours))
        return least, see.positive(xp.minimum(most, see["most_kw"]))

    def nominate(self, see: View) -> Any:
        xp, price = see.xp, see["spot_next"]
        least, most = self.room(see)
        is_dear = price > (1 + self.margin) * see.mean
        is_cheap = price < (1 - self.margin) * see.mean
        return xp.where(is_dear, most, xp.where(is_cheap, least, see.zero))

    def offer(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        least, most = self.room(see)
        waits = self.hours * see["delay_eur"]
        back = see["rebound"] * see.mean + waits
        return most - plan, back, plan - least, see.mean / see["rebound"] - waits

    def coming(self, see: View, plan: Any) -> Any:
        return plan - see["demand_kw"]

    def act(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        wished = see["plan_kw"] + see.behind_kw()
        return wished, see["p_kw"], see.zero, see.zero


class Hydro(Unit):
    """Generates in the dearest hours that its water lasts for, pumps where that pays its losses.

    A kWh of water is worth what the dearest hour pays that is not yet served. It starts a little
    before it has to, so that it has its power in time.

    params: lead (minutes it needs to start, default 3), runs (quarters of full power that a start
            for a call has to pay for itself in, default 0.5: calls are for a part, and end soon).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.lead = float(params.get("lead", 3.0))
        self.runs = float(params.get("runs", 0.5))

    def values(self, see: View) -> tuple[Any, Any, Any]:
        """EUR/kWh: what water has to earn, what more of it would, and a start for a quarter."""
        hours = see["worth_kwh"] / see["turbine_kw"]
        earns, more = see.price_at(HOURS - hours), see.price_at(HOURS - 1.0 - hours)
        start = see["start_eur"] / (QUARTER_H * see["turbine_kw"])
        return earns, more, start

    def nominate(self, see: View) -> Any:
        xp, price = see.xp, see["spot_next"]
        earns, more, start = self.values(see)
        lasts = see["worth_kwh"] > QUARTER_H * see["turbine_kw"]
        fits = see["full_kwh"] - see["worth_kwh"] > QUARTER_H * see["pump_kw"]
        pays = price + 0.25 * start < see["round_trip"] * more  # it runs for an hour or longer
        generates = (price >= earns) & lasts
        plan = xp.where(generates, see["turbine_kw"], see.zero)
        return xp.where(pays & fits & ~generates, -see["pump_kw"], plan)

    def offer(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        xp = see.xp
        earns, more, start = self.values(see)
        start = start / self.runs
        lasts = xp.where(see["worth_kwh"] > QUARTER_H * see["turbine_kw"], see["turbine_kw"], 0.0)
        fits = see["full_kwh"] - see["worth_kwh"] > QUARTER_H * see["pump_kw"]
        stands, stored = plan == 0, see["round_trip"] * more
        up = xp.where(stands, lasts, see.positive(-plan))
        up_at = xp.where(stands, earns, stored) + start
        down = xp.where(stands, xp.where(fits, see["pump_kw"], see.zero), see.positive(plan))
        return up, up_at, down, xp.where(stands, stored, earns) - start

    def act(self, see: View, plan: Any) -> tuple[Any, Any, Any, Any]:
        xp = see.xp
        now = see["plan_kw"] + see.behind_kw()
        then = plan + see.next_wh / WH_PER_KW
        is_idle = (see["plan_kw"] == 0) & (see.now_wh == 0) & (see.left <= self.lead)
        wished = xp.where(is_idle, then, now)
        wished = see.between(wished, -see["pump_kw"], see["turbine_kw"])
        earns, _, _ = self.values(see)
        power = xp.minimum(wished, see.p_max)
        return power, see.positive(wished), see.zero, see.positive(earns)
