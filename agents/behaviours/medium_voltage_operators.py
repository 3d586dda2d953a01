"""Rule behaviours of the two operators: what the network bears, and what the system needs.

The distribution operator expects of each line what it carries now and what those behind it say they
will do, and where that is too much for the next quarter it calls offers that relieve it, if that is
cheaper than limiting. Minute by minute it limits what feeds in over a line that is loaded too
much, those first that lose least by it, and has inverters take reactive power where voltages are
too high. Offers that it did not call it passes on to the transmission operator, but for those that
would load a full line further. The transmission operator clears them against what it needs and what
that costs elsewhere, and calls. What either is not told of, it can neither correct nor call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from agents.behaviours.medium_voltage import WH_PER_KW
from sim.mechanisms.double_auction import clear
from sim.worlds.medium_voltage.spaces import CALL, CALL_HEAD, FREE_KW, LIMIT, OFFER, REPORT
from sim.worlds.smart_grid_spaces import QUARTER_MIN

SEEN: Final = ("line", "line_loading", "line_kva")
POOL: Final = len(OFFER) - 1
"""Numbers of one unit in the pool."""


class Dso:
    """Keeps lines below their rating and voltages within their band.

    params: buys (whether it calls offers, default 1), aim (share of a line's rating above which it
            expects to need them, default 0.95), decides (minute of the quarter in which it calls,
            default 3), repeats (minutes in which it says so, default 3); margin (share of a line's
            rating it uses, default 0.98), watch (share from which on everybody behind it is held
            to a part of what is left, default 0.7), strike (share from which on offers that load it
            further are struck out, default 0.85), v_max (p.u. it aims below, default 1.08), v_limit
            (p.u. above which it limits, default 1.095), valid (seconds a limit holds, default 130),
            stale (seconds after which a report counts as nothing, default 300).
    Memory: reactive power it has told each unit to feed in; what it measured a minute ago, `SEEN`;
    and its calls for the next quarter.
    """

    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        units = self.at["feeder"].stop - self.at["feeder"].start
        self.units = units
        self.buys = float(params.get("buys", 1.0))
        self.aim = float(params.get("aim", 0.95))
        self.decides = int(params.get("decides", 3))
        self.repeats = int(params.get("repeats", 3))
        self.margin = float(params.get("margin", 0.98))
        self.watch = float(params.get("watch", 0.7))
        self.strike = float(params.get("strike", 0.85))
        self.v_max = float(params.get("v_max", 1.08))
        self.v_limit = float(params.get("v_limit", 1.095))
        self.valid_s = float(params.get("valid", 130.0))
        self.stale_s = float(params.get("stale", 300.0))
        self.speaks: Mapping[str, int] = {
            "limit": 1 + len(LIMIT) * units, "pool": POOL * units,
            "relief": len(CALL_HEAD) + len(CALL) * units,
        }  # fmt: skip
        self.hears: Mapping[str, int] = {"report": len(REPORT), "offer": len(OFFER)}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, (1 + len(SEEN) + len(CALL)) * self.units), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 6 + 6 N] -> limits, calls [B, 3 N]; limit, relief [B, 1 + 2 N], pool
        [B, 4 N]; memory."""
        xp, b = array_namespace(obs), obs.shape[0]
        see = {name: obs[:, at] for name, at in self.at.items()}
        told, *seen = (memory[:, i * self.units : (i + 1) * self.units] for i in range(4))
        was = dict(zip(SEEN, seen, strict=True))
        calls = memory[:, -len(CALL) * self.units :]
        known, reports = by_slot(xp, inbox["report"], self.units, self.stale_s)
        v, p, able, q_max, worth, least, coming = (reports[..., i] for i in range(1, len(REPORT)))
        see["is_export"] = v > see["busbar_v_pu"]
        is_export = known & see["is_export"]
        same = xp.astype(was["line"][:, :, None] == was["line"][:, None, :], obs.dtype)

        # Without limits, in the minute that the reports are about: the one before the last.
        free = was["line_loading"] * was["line_kva"] + times(xp, same, able - p)
        excess = free - self.margin * was["line_kva"]
        room = xp.where(is_export, xp.clip(able - least, 0.0, None), 0.0 * able)
        less = shared(xp, same, room, worth, xp.clip(excess, 0.0, None))
        q = self.reactive(xp, see, v, q_max, told, known)
        answer = xp.clip(see["p_sensitivity"], 1e-9, None)
        # What is too high even with the reactive power it is told to take.
        high = v + answer * (able - p) + see["q_sensitivity"] * (q - told) - self.v_limit
        less = xp.maximum(less, xp.where(known, xp.clip(high / answer, 0.0, None), 0.0 * less))
        # Nor may anybody behind a line that is nearly full take, by the next minute, more of what
        # is left of it than a share.
        is_near = (free > self.watch * was["line_kva"]) & (room > 0)
        more = xp.clip(-excess, 0.0, None) * room / xp.clip(times(xp, same, room), 1e-9, None)
        most = xp.where(is_near | (less > 0), xp.clip(able - less, 0.0, None) + more, FREE_KW)

        limits = xp.reshape(xp.stack((most, q), axis=-1), (b, -1))
        valid = xp.full_like(obs[:, :1], self.valid_s)
        within = see["minute"] % QUARTER_MIN
        calls = xp.where(within < self.decides, 0.0 * calls, calls)
        offers = self.offers(xp, see, inbox["offer"])
        if self.buys and bool(xp.any(within == self.decides)):
            change = xp.where(known, coming - p, 0.0 * p)
            bought = self.bought(xp, was, see["is_export"], same, offers, change)
            calls = xp.where(within == self.decides, bought, calls)
        relief = xp.concat((xp.floor(see["minute"] / QUARTER_MIN), calls), axis=1)
        pool = self.pool(xp, see, offers, v, calls)
        is_said = within >= self.decides
        is_called = is_said & (within < self.decides + self.repeats)
        said = {
            "limit": xp.concat((valid, limits), axis=1),
            "relief": xp.where(is_called, relief, xp.nan + 0.0 * relief),
            "pool": xp.where(is_said, pool, xp.nan + 0.0 * pool),
        }
        memory = xp.concat((q, *(see[name] for name in SEEN), calls), axis=1)
        return xp.concat((most, calls), axis=1), said, memory

    def bought(
        self, xp: Any, was: Mapping[str, Any], is_export: Any, same: Any, offers: Any, change: Any
    ) -> Any:
        """What it calls for the next quarter: the cheapest that takes off what is too much, each
        at the price it asked. What costs as much as limiting, when it comes to it, is not called.

        Shapes: same [B, N, N]; offers [B, N, 4]; change [B, N] kW of each unit -> [B, 2 N].
        """
        sign = xp.where(is_export, 1.0 + 0.0 * change, -1.0)
        flow = was["line_loading"] * was["line_kva"] + sign * times(xp, same, change)
        excess = xp.clip(flow - self.aim * was["line_kva"], 0.0, None)
        price = xp.where(is_export, offers[..., 3], offers[..., 1])
        energy = xp.where(is_export & (price > 0), offers[..., 2], 0.0 * price)
        energy = xp.where(is_export, energy, offers[..., 0])
        less = shared(xp, same, energy / WH_PER_KW, -sign * price, excess)
        called = -sign * xp.floor(less * WH_PER_KW)
        return xp.reshape(xp.stack((called, price), axis=-1), (len(price), -1))

    def offers(self, xp: Any, see: Mapping[str, Any], heard: Any) -> Any:
        """This quarter's offers, without the slot. Shapes: -> [B, N, 4]."""
        within = see["minute"] % QUARTER_MIN
        known, table = by_slot(xp, heard, self.units, 60.0 * within + 1.0)
        return xp.where(known[..., None], table[..., 1:], 0.0 * table[..., 1:])

    def reactive(
        self, xp: Any, see: Mapping[str, Any], v: Any, q_max: Any, told: Any, known: Any
    ) -> Any:
        """As much of what a feeder's inverters can take as its highest voltage needs. [B, N]."""
        same = xp.astype(see["feeder"][:, :, None] == see["feeder"][:, None, :], v.dtype)
        effect = see["q_sensitivity"] * q_max
        without = xp.where(known, v - see["q_sensitivity"] * told, 0.0 * v)
        over = xp.max(same * xp.clip(without - self.v_max, 0.0, None)[:, None, :], axis=2)
        share = xp.clip(over / xp.clip(times(xp, same, effect), 1e-9, None), 0.0, 1.0)
        return -share * q_max

    def pool(self, xp: Any, see: Mapping[str, Any], offers: Any, v: Any, calls: Any) -> Any:
        """The offers it did not call, less what would load a line further that is nearly full."""
        is_full = see["line_loading"] > self.strike
        is_up = see["is_export"]
        called = calls[:, :: len(CALL)] != 0
        struck = (is_full & is_up) | (v > self.v_max) | called, (is_full & ~is_up) | called
        parts = [xp.where(struck[i // 2], 0.0 * v, offers[..., i]) for i in range(POOL)]
        return xp.reshape(xp.stack(parts, axis=-1), (v.shape[0], -1))


class Tso:
    """Calls the offers that are better than balancing energy from elsewhere, at a common price.

    params: clears (minute of the quarter in which it decides, default 6), repeats (minutes in which
            it says so, default 3), share (of its need that it calls, default 1).
    Memory: the table of calls for the next quarter.
    """

    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        self.units = group.action.size // len(CALL)
        self.clears = int(params.get("clears", 6))
        self.repeats = int(params.get("repeats", 3))
        self.share = float(params.get("share", 1.0))
        self.speaks: Mapping[str, int] = {"call": len(CALL_HEAD) + len(CALL) * self.units}
        self.hears: Mapping[str, int] = {"pool": POOL * self.units}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, len(CALL) * self.units), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 5] -> calls [B, 2 N]; call [B, 1 + 2 N]; memory."""
        xp = array_namespace(obs)
        minute = obs[:, self.at["minute"]]
        within = minute % QUARTER_MIN
        table = memory
        if bool(xp.any(within == self.clears)):
            table = xp.where(within == self.clears, self.cleared(xp, obs, inbox, within), memory)
        table = xp.where(within < self.clears, 0.0 * table, table)
        head = xp.floor(minute / QUARTER_MIN)
        call = xp.concat((head, table), axis=1)
        is_said = (within >= self.clears) & (within < self.clears + self.repeats)
        return table, {"call": xp.where(is_said, call, xp.nan + 0.0 * call)}, table

    def cleared(self, xp: Any, obs: Any, inbox: Mapping[str, Any], within: Any) -> Any:
        """The table of calls by a double auction in which it is the one buyer, or the one seller.

        Shapes: -> [B, 2 N].
        """
        b = obs.shape[0]
        heard = inbox["pool"]
        is_new = heard.present & (heard.age_s <= 60.0 * within + 1.0)
        count = xp.sum(xp.astype(is_new, obs.dtype), axis=1, keepdims=True)
        pool = xp.sum(xp.where(is_new[..., None], heard.values, 0.0), axis=1)
        offers = xp.reshape(pool / xp.clip(count, 1.0, None), (b, self.units, POOL))
        need = xp.round(self.share * obs[:, self.at["next_need_wh"]])
        is_up = need > 0
        energy = xp.where(is_up, -offers[..., 0], offers[..., 2])
        price = xp.where(is_up, offers[..., 1], offers[..., 3])
        limit = xp.where(is_up, obs[:, self.at["up_price"]], obs[:, self.at["down_price"]])
        bids = xp.stack(
            (xp.concat((energy, need), axis=1), xp.concat((price, limit), axis=1)), axis=-1
        )
        present = xp.ones(bids.shape[:2], dtype=xp.bool, device=device(obs))
        awards = clear(bids, present)[:, :-1]
        # Who sells gives more, who buys takes more: as power into the network.
        return xp.reshape(xp.stack((-awards[..., 0], awards[..., 1]), axis=-1), (b, -1))


def by_slot(xp: Any, heard: Any, units: int, oldest_s: Any) -> tuple[Any, Any]:
    """Fresh messages in the order of the slots that they begin with; zeros where there is none.

    Shapes: -> bool [B, N], [B, N, width].
    """
    is_fresh = heard.present & (heard.age_s <= oldest_s)
    values = xp.where(is_fresh[..., None], heard.values, 0.0 * heard.age_s[..., None])
    number = xp.arange(units, dtype=values.dtype, device=device(values))
    is_of = (values[..., 0][..., None] == number) & is_fresh[..., None]
    weight = xp.astype(is_of, values.dtype)
    count = xp.sum(weight, axis=1)
    table = xp.matmul(xp.permute_dims(weight, (0, 2, 1)), values)
    return count > 0, table / xp.clip(count, 1.0, None)[..., None]


def shared(xp: Any, same: Any, room: Any, worth: Any, needed: Any) -> Any:
    """What each gives of what its line needs: the cheapest first, equals in proportion.

    Shapes: same [B, N, N]; room, worth, needed [B, N] -> [B, N].
    """
    cheaper = same * xp.astype(worth[:, None, :] < worth[..., None], same.dtype)
    equal = same * xp.astype(worth[:, None, :] == worth[..., None], same.dtype)
    before, alike = times(xp, cheaper, room), times(xp, equal, room)
    return room * xp.clip((needed - before) / xp.clip(alike, 1e-9, None), 0.0, 1.0)


def times(xp: Any, matrix: Any, vector: Any) -> Any:
    """Shapes: [B, N, N], [B, N] -> [B, N]."""
    return xp.matmul(matrix, vector[..., None])[..., 0]
