"""Rule behaviours of the smart grid's devices: offer, keep what was traded, report, obey.

Each minute a device reports to the operator what it does and could do, and keeps within the limit
it last heard until that expires; then it does what standards ask of a device on its own (Q(U)
droop, a vehicle at its least power). At each quarter's beginning it offers energy for the next one
at what the energy is worth to it, given the forecast of the tariff, and what it is awarded then is
its plan for that quarter.

Pure functions on arrays with a leading batch dimension; every quantity has the shape [B, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.worlds.smart_grid_droop import DROOP_Q, DROOP_SPEED, droop_kvar
from sim.worlds.smart_grid_spaces import LIMIT, MEASUREMENT, OFFER_WIDTH, QUARTER_MIN

MILLICENT: Final = 100_000.0
WH_PER_KW: Final = 250.0
"""Energy of one kW in a quarter of an hour."""
QUARTER_S: Final = 900.0
FREE_KW: Final = 1e9


class View:
    """What a device knows at one decision: its observation by name, its limit, its award.

    Shapes: [B, 1] each; `price_day` and `day_kw` [B, 24]. `zero` is an array of zeros.
    """

    def __init__(
        self, at: Mapping[str, slice], obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> None:
        self.xp = xp = array_namespace(obs)
        self.obs, self.at = obs, at
        self.zero = zero = 0.0 * obs[:, :1]
        self.is_first = self["minute"] % QUARTER_MIN == 0
        self.low, self.high, self.q, self.is_told = self._limit(inbox["limit"])
        award = inbox["award"]
        self.is_new = award.present[:, :1] & (award.age_s[:, :1] < QUARTER_S)
        new = xp.where(self.is_new, award.values[:, :1, 0], zero)
        self.award_wh = xp.where(self.is_first, new, memory[:, :1])

    def __getitem__(self, name: str) -> Any:
        return self.obs[:, self.at[name]]

    def _limit(self, heard: Any) -> tuple[Any, Any, Any, Any]:
        """The corridor and reactive power of the limits in force, and whether there are any."""
        xp, zero = self.xp, self.zero
        is_fresh = heard.present & (heard.age_s <= heard.values[..., 0])
        count = xp.sum(xp.astype(is_fresh, self.obs.dtype), axis=1, keepdims=True)
        mine = self._mine(heard.values)
        # What is not present may hold anything, and 0 times infinity is not 0.
        mine = xp.sum(xp.where(is_fresh[..., None], mine, zero[..., None]), axis=1)
        mine = mine / xp.maximum(count, zero + 1.0)
        is_told = count > 0
        low = xp.where(is_told, mine[:, 0:1], zero - FREE_KW)
        high = xp.where(is_told, mine[:, 1:2], zero + FREE_KW)
        return low, high, mine[:, 2:3], is_told

    def _mine(self, limits: Any) -> Any:
        """The part of each row's own slot. Shapes: [B, n, 1 + 3 N] -> [B, n, 3]."""
        width, slot = len(LIMIT), self["slot"]
        if slot.shape[0] == 1:  # one agent in its process: a slice costs less than a gather
            first = 1 + width * int(slot[0, 0])
            return limits[..., first : first + width]
        xp = self.xp
        first = 1 + width * xp.astype(slot, xp.int64)
        index = (first + xp.arange(width, device=device(slot)))[:, None, :]
        index = xp.broadcast_to(index, (*limits.shape[:2], width))
        return xp.take_along_axis(limits, index, axis=-1)

    def within(self, p_kw: Any) -> Any:
        """Power kept within the limit."""
        return self.xp.minimum(self.xp.maximum(p_kw, self.low), self.high)

    def positive(self, x: Any) -> Any:
        """What of it is above zero."""
        return self.xp.maximum(x, self.zero)


class Device(ABC):
    """What all devices share. `decide` is a role's own.

    Memory: the award in force (Wh, bought positive), and what the role adds.
    """

    speaks: Mapping[str, int] = {"measurement": len(MEASUREMENT), "offer": OFFER_WIDTH}
    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        devices = int(group.observation.high[self.at["slot"]][0]) + 1
        self.hears: Mapping[str, int] = {"limit": 1 + len(LIMIT) * devices, "award": 2}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, k] -> action [B, a]; measurement [B, 10], offer [B, 6]; memory."""
        see = View(self.at, obs, inbox, memory)
        action, report, offers, kept = self.decide(see, memory)
        return action, say(see, report, offers), see.xp.concat((see.award_wh, *kept), axis=1)

    @abstractmethod
    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        """Action; report (wish, low, high, q_max, down, up); offers (Wh, EUR/kWh); more memory."""


def say(see: View, report: tuple[Any, ...], offers: Any) -> dict[str, Any]:
    """What a device tells operator and market.

    Shapes: report: wish, low, high, q_max, down, up [B, 1] or numbers; offers: steps of (Wh,
            EUR/kWh) -> measurement [B, 10], offer [B, 6], NaN where it is not the time for one.
    """
    xp, zero = see.xp, see.zero
    wish, low, high, q_max, down, up = (x + zero for x in report)
    said = {
        "measurement": xp.concat(
            (
                see["slot"], see["v_pu"], see["p_kw"], see["q_kvar"],
                xp.minimum(low, wish), xp.maximum(high, wish), wish, q_max, down, up,
            ),
            axis=1,
        )
    }  # fmt: skip
    if bool(xp.any(see.is_first)):
        flat = [x + zero for quantity, price in offers for x in (quantity, price * MILLICENT)]
        flat += [zero] * (OFFER_WIDTH - len(flat))
        said["offer"] = xp.where(see.is_first, xp.concat(flat, axis=1), xp.nan + zero)
    return said


class Household(Device):
    """Buys what cannot wait; lets the rest wait for the cheapest hour, or for a cheap award."""

    def memory(self, xp: Any, batch: int) -> Any:
        """The award, and what of the next one is for demand that cannot wait (Wh), twice."""
        return xp.zeros((batch, 3), dtype=xp.float64)

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        xp = see.xp
        base, waits, price = see["base_kw"], see["backlog_kwh"], see["import_price"]
        expected = xp.where(see.is_first, memory[:, 2:3], memory[:, 1:2])
        hours = xp.arange(1, 25, dtype=price.dtype, device=device(price))
        worth = xp.min(see["price_day"] + see["delay_eur"] * hours, axis=1, keepdims=True)
        most = xp.minimum(see.zero + self.most_kw, waits * 60)
        awarded = see.positive(see.award_wh - expected) / WH_PER_KW
        plan = xp.where((price <= worth) | (see["room_kwh"] < 0.5), most, awarded)
        wish = -base - xp.minimum(plan, most)
        serve = see.positive(-see.within(wish) - base)
        firm = base * WH_PER_KW
        offers = ((firm, price), (xp.minimum(waits * 1000, most * WH_PER_KW), worth))
        report = (wish, -base - most, -base, 0.0, 0.0, 0.01)
        coming = xp.where(see.is_first, firm, memory[:, 2:3])
        return serve, report, offers, (expected, coming)

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.most_kw = float(group.action.high[0])


class Inverter(Device):
    """Sun and wind: sells nearly what it expects, feeds in what it may.

    params: share (of the expected energy that is offered, default 0.95).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.share = float(params.get("share", 0.95))

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        xp = see.xp
        available, s_kva = see["available_kw"], see["s_kva"]
        alone = droop_kvar(see["v_pu"], s_kva) - see["q_kvar"]
        q = xp.where(see.is_told, see.q, see["q_kvar"] + DROOP_SPEED * alone)
        # Half way between persistence and the day-ahead forecast where that is lower.
        lasts = 0.5 * (available + see["next_kw"])
        passed = (see["minute"] % 60 + 1.5 * QUARTER_MIN) / 60
        ahead = see["day_kw"][:, :1] + (passed - 0.5) * (
            see["day_kw"][:, 1:2] - see["day_kw"][:, :1]
        )
        expected = xp.minimum(xp.minimum(lasts, 0.5 * (lasts + ahead)), see.high)
        offers = ((-self.share * WH_PER_KW * expected, see["feed_in_price"]),)
        report = (available, 0.0, available, DROOP_Q * s_kva, 2 * see["feed_in_price"], 0.0)
        limit = see.positive(xp.minimum(see.high, see["rated_kw"]))
        return xp.concat((limit, q), axis=1), report, offers, ()


class Battery(Device):
    """Buys cheap in the cheapest hours of the tariff, sells dear, at prices that pay its losses.

    params: hours (in which it buys, default 5), pace (share of its power at which, default 0.5),
            price (at which it sells, as a share of the day's mean tariff, default 0.6).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.hours = int(params.get("hours", 5))
        self.pace = float(params.get("pace", 0.5))
        self.price = float(params.get("price", 0.6))

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        xp = see.xp
        stored, most, eta = see["energy_kwh"], see["rated_kw"], see["efficiency"]
        take = xp.minimum(most, (see["capacity_kwh"] - stored) * 60 / eta)
        give = xp.minimum(most, stored * 60 * eta)
        wish = xp.maximum(xp.minimum(-see.award_wh / WH_PER_KW, give), -take)
        ranked = xp.sort(see["price_day"], axis=1)
        mean = xp.mean(ranked, axis=1, keepdims=True)
        is_cheap = see["import_price"] <= ranked[:, self.hours - 1 : self.hours]
        sells_at = self.price * mean
        buys_at = eta * eta * sells_at - 2 * see["wear_eur"]
        then = self.stored_then(see, wish)
        buys = xp.minimum(self.pace * most * WH_PER_KW, 1000 * (see["capacity_kwh"] - then) / eta)
        buys = xp.where(is_cheap, see.positive(buys), see.zero)
        sells = see.positive(xp.minimum(most * WH_PER_KW, 1000 * then * eta))
        # What the operator asks it to take it would else buy at the tariff.
        asked = xp.minimum(see.positive(-see.high), take) * WH_PER_KW
        offers = (
            (asked, see["import_price"]),
            (see.positive(buys - asked), buys_at),
            (-sells, sells_at),
        )
        report = (wish, -take, give, 0.0, see["wear_eur"], 2 * see["wear_eur"] + 0.01)
        return see.within(wish), report, offers, ()

    def stored_then(self, see: View, wish: Any) -> Any:
        """The energy at the end of this quarter, with which the next one starts."""
        eta = see["efficiency"]
        left = (QUARTER_MIN - see["minute"] % QUARTER_MIN) / 60
        return see["energy_kwh"] - wish * left * see.xp.where(wish > 0, 1 / eta, eta)


class Vehicle(Device):
    """Charges in the cheapest hours of its stay, or on a cheap award; in time in any case."""

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        xp = see.xp
        need, most, price = see["need_kwh"], see["rated_kw"], see["import_price"]
        hours_left = see["left_min"] / 60
        hours = xp.arange(24, dtype=price.dtype, device=device(price))
        during = xp.where(hours < hours_left, see["price_day"], see.zero + 1e3)
        needed = xp.astype(xp.clip(xp.floor(need / most), 0.0, 23.0), xp.int64)
        worth = xp.take_along_axis(xp.sort(during, axis=1), needed, axis=1)
        is_urgent = need > 0.8 * most * (hours_left - 0.25)
        can = xp.minimum(most, need * 60)
        awarded = see.positive(see.award_wh) / WH_PER_KW
        plan = xp.minimum(xp.where((price <= worth) | is_urgent, most, awarded), can)
        obeyed = see.positive(-see.within(-plan))
        charge = xp.where(see.is_told, obeyed, xp.minimum(see["min_kw"], can))
        pays = xp.where(is_urgent, price, xp.minimum(price, worth))
        offers = ((xp.minimum(need * 1000, most * WH_PER_KW), pays),)
        up = xp.where(is_urgent, see.zero + 0.9, see.zero + 0.02)
        return charge, (-plan, -can, 0.0, 0.0, 0.0, up), offers, ()


class Consumer(Device):
    """Commerce and industry: do without a part when energy costs more than it is worth.

    params: spare (share of the expected demand it buys on top if that is cheap, default 0.1).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.spare = float(params.get("spare", 0.1))

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        xp = see.xp
        demand, forgo_most, price = see["demand_kw"], see["forgo_max_kw"], see["import_price"]
        missing = see.positive(demand - see.award_wh / WH_PER_KW)
        is_dear = price > see["value_eur"]
        plan = xp.where(is_dear, xp.minimum(missing, forgo_most), see.zero)
        wish = plan - demand
        forgo = xp.minimum(see.positive(see.within(wish) + demand), forgo_most)
        expected = 0.5 * (demand + see["next_kw"]) * WH_PER_KW
        part = forgo_most * WH_PER_KW
        offers = (
            (expected - part, price),
            (part, xp.minimum(price, see["value_eur"])),
            (self.spare * expected, 0.5 * price),
        )
        return forgo, (wish, -demand, forgo_most - demand, 0.0, 0.0, see["value_eur"]), offers, ()


class Generator(Device):
    """Offers its power at its marginal cost and runs as it is awarded."""

    def decide(self, see: View, memory: Any) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
        most = see["rated_kw"]
        wish = see.positive(-see.award_wh) / WH_PER_KW
        offers = ((-most * WH_PER_KW, see["marginal_eur"]),)
        report = (wish, 0.0, most, 0.0, 0.05, see["marginal_eur"])
        return see.positive(see.within(wish)), report, offers, ()
