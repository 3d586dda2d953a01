"""Rule behaviours of the two operators: what the network bears, and what the system needs.

The distribution operator limits what feeds in over a line that is loaded too much, those first that
lose least by it, and has inverters take reactive power where voltages are too high. It passes
offers on to the transmission operator, but for those that would make that worse. The
transmission operator clears them against what it needs and what that costs elsewhere, and calls.
What either is not told of, it can neither correct nor call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.mechanisms.double_auction import clear
from sim.worlds.medium_voltage.spaces import CALL, CALL_HEAD, FREE_KW, LIMIT, OFFER, REPORT
from sim.worlds.smart_grid_spaces import QUARTER_MIN

POOL: Final = len(OFFER) - 1
"""Numbers of one unit in the pool."""


class Dso:
    """Keeps lines below their rating and voltages within their band.

    params: margin (share of a line's rating it uses, default 0.98), strike (share from which on
            offers that load it further are struck out, default 0.85), v_max (p.u. it aims below,
            default 1.08), v_limit (p.u. above which it limits, default 1.095), valid (seconds a
            limit holds, default 130), stale (seconds after which a report counts as nothing,
            default 300).
    """

    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        units = self.at["feeder"].stop - self.at["feeder"].start
        self.units = units
        self.margin = float(params.get("margin", 0.98))
        self.strike = float(params.get("strike", 0.85))
        self.v_max = float(params.get("v_max", 1.08))
        self.v_limit = float(params.get("v_limit", 1.095))
        self.valid_s = float(params.get("valid", 130.0))
        self.stale_s = float(params.get("stale", 300.0))
        self.speaks: Mapping[str, int] = {"limit": 1 + len(LIMIT) * units, "pool": POOL * units}
        self.hears: Mapping[str, int] = {"report": len(REPORT), "offer": len(OFFER)}

    def memory(self, xp: Any, batch: int) -> Any:
        """Reactive power it has told each unit to feed in."""
        return xp.zeros((batch, self.units), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 6 + 6 N] -> limits [B, N]; limit [B, 1 + 2 N], pool [B, 4 N]."""
        xp, b = array_namespace(obs), obs.shape[0]
        see = {name: obs[:, at] for name, at in self.at.items()}
        known, reports = by_slot(xp, inbox["report"], self.units, self.stale_s)
        v, p, able, q_max, worth = (reports[..., i] for i in range(1, len(REPORT)))
        is_export = known & (v > see["busbar_v_pu"])
        same = xp.astype(see["line"][:, :, None] == see["line"][:, None, :], obs.dtype)

        # Without limits, in the minute that the reports are about.
        free = see["line_loading"] * see["line_kva"] + times(xp, same, able - p)
        excess = free - self.margin * see["line_kva"]
        room = xp.where(is_export, xp.clip(able, 0.0, None), 0.0 * able)
        less = shared(xp, same, room, worth, xp.clip(excess, 0.0, None))
        q = self.reactive(xp, see, v, q_max, memory, known)
        answer = xp.clip(see["p_sensitivity"], 1e-9, None)
        # What is too high even with the reactive power it is told to take.
        high = v + answer * (able - p) + see["q_sensitivity"] * (q - memory) - self.v_limit
        less = xp.maximum(less, xp.where(known, xp.clip(high / answer, 0.0, None), 0.0 * less))
        p_max = xp.where(less > 0, xp.clip(able - less, 0.0, None), FREE_KW + 0.0 * able)

        limits = xp.reshape(xp.stack((p_max, q), axis=-1), (b, -1))
        valid = xp.full_like(obs[:, :1], self.valid_s)
        pool = self.pool(xp, see, inbox["offer"], v)
        return p_max, {"limit": xp.concat((valid, limits), axis=1), "pool": pool}, q

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

    def pool(self, xp: Any, see: Mapping[str, Any], offers: Any, v: Any) -> Any:
        """This quarter's offers, less what would load a line further that is nearly full."""
        within = see["minute"] % QUARTER_MIN
        known, table = by_slot(xp, offers, self.units, 60.0 * within + 1.0)
        table = table[..., 1:]
        is_full = see["line_loading"] > self.strike
        is_up = v > see["busbar_v_pu"]
        struck = (is_full & is_up) | (v > self.v_max), is_full & ~is_up
        parts = [xp.where(struck[i // 2] | ~known, 0.0 * v, table[..., i]) for i in range(POOL)]
        return xp.reshape(xp.stack(parts, axis=-1), (v.shape[0], -1))


class Tso:
    """Calls the offers that are better than balancing energy from elsewhere, at a common price.

    params: clears (minute of the quarter in which it decides, default 4), repeats (minutes in which
            it says so, default 3), share (of its need that it calls, default 1).
    Memory: the table of calls for the next quarter.
    """

    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        self.units = group.action.size // len(CALL)
        self.clears = int(params.get("clears", 4))
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
