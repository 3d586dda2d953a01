"""Rule behaviour of the grid operator: limits for the next minutes from what it has received.

It knows its own substation's measurement, how each device's voltage answers to its power, and what
devices report; a report older than a few minutes counts as nothing. Each minute it sets

    active power     what the transformer would carry if every device did as it wishes, less what
                     it may carry, is taken from those that give way at the least cost; devices of
                     equal cost share it in proportion
    reactive power   a common share of what inverters can absorb, as much as the highest reported
                     voltage needs and no more: reactive power loads the transformer too
    own voltage      who sees more than the band allows at full reactive power feeds in less

and says for how long it holds. What it is not told of, it cannot correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace

from sim.worlds.smart_grid_spaces import LIMIT, MEASUREMENT

FREE_KW: Final = 1e6
_AT: Final = {name: i for i, name in enumerate(MEASUREMENT)}


class Operator:
    """Keeps the transformer below its rating and voltages within their band.

    params: margin (share of the rating it uses, default 0.9), v_max (p.u. it aims below, default
            1.09), valid (seconds a limit holds, default 130), stale (seconds after which a report
            counts as nothing, default 300).
    Memory: share of reactive power called [1]; kW each device must stay below its wish [N].
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        feeder = self.at["feeder"]
        self.devices = feeder.stop - feeder.start
        self.margin = float(params.get("margin", 0.9))
        self.v_max = float(params.get("v_max", 1.09))
        self.valid_s = float(params.get("valid", 130.0))
        self.stale_s = float(params.get("stale", 300.0))
        self.speaks: Mapping[str, int] = {"limit": 1 + len(LIMIT) * self.devices}
        self.hears: Mapping[str, int] = {"measurement": len(MEASUREMENT)}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1 + self.devices), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 6 + 3 N] -> no action [B, 0]; limit [B, 1 + 3 N]; memory."""
        xp = array_namespace(obs)
        known, table = self.table(xp, inbox["measurement"])
        v, p, low, high, wish, q_max, down, up = (
            table[..., _AT[name]]
            for name in (
                "v_pu", "p_kw", "low_kw", "high_kw", "wish_kw", "q_max_kvar",
                "down_eur_per_kwh", "up_eur_per_kwh",
            )
        )  # fmt: skip
        share, cut = self.voltage(xp, obs, known, v, memory)
        cut = xp.minimum(cut, wish - low)
        import_kw = obs[:, self.at["import_kw"]]
        import_kw = import_kw + xp.sum(p - wish + cut, axis=1, keepdims=True)
        q = -share * q_max
        carries = self.carries(
            xp, obs, xp.sum(q - table[..., _AT["q_kvar"]], axis=1, keepdims=True)
        )
        less = cut + merit(xp, wish - cut - low, down, xp.clip(-carries - import_kw, 0.0, None))
        more = merit(xp, high - wish, up, xp.clip(import_kw - carries, 0.0, None))
        free = xp.full_like(wish, FREE_KW)
        p_max = xp.where(known & (less > 0), wish - less, free)
        p_min = xp.where(known & (more > 0), wish + more, -free)
        limits = xp.reshape(xp.stack((p_min, p_max, q), axis=-1), (obs.shape[0], -1))
        valid = xp.full_like(share, self.valid_s)
        said = {"limit": xp.concat((valid, limits), axis=1)}
        return obs[:, :0], said, xp.concat((share, cut), axis=1)

    def table(self, xp: Any, heard: Any) -> tuple[Any, Any]:
        """The fresh reports, by slot. Shapes: bool [B, N], [B, N, 10]; zeros where none is."""
        is_fresh = heard.present & (heard.age_s <= self.stale_s)
        values = xp.where(is_fresh[..., None], heard.values, 0.0 * heard.values[..., :1])
        slot = values[..., 0]
        n = self.devices
        slots = xp.cumulative_sum(xp.ones((1, 1, n), dtype=slot.dtype), axis=2) - 1
        is_of = (slot[..., None] == xp.asarray(slots)) & is_fresh[..., None]
        weight = xp.astype(is_of, values.dtype)
        count = xp.sum(weight, axis=1)
        table = xp.matmul(xp.permute_dims(weight, (0, 2, 1)), values)
        return count > 0, table / xp.clip(count, 1.0, None)[..., None]

    def voltage(self, xp: Any, obs: Any, known: Any, v: Any, memory: Any) -> tuple[Any, Any]:
        """The share of reactive power to call, and what each device must stay below its wish."""
        heard = xp.where(known, v, 0.0 * v)
        highest = xp.max(heard, axis=1, keepdims=True)
        excess = highest - self.v_max
        share = xp.clip(memory[:, :1] + GAIN * excess, 0.0, 1.0)
        sensitivity = xp.clip(obs[:, self.at["p_sensitivity"]], 1e-6, None)
        over = (heard - self.v_max - SLACK_V) / sensitivity
        cut = memory[:, 1:] + 0.3 * over
        is_full = share >= 1.0
        cut = xp.where(known, xp.where(is_full, cut, xp.minimum(cut, 0.8 * memory[:, 1:])), 0 * v)
        return share, xp.clip(cut, 0.0, None)

    def carries(self, xp: Any, obs: Any, more_q: Any) -> Any:
        """Active power the transformer may carry beside the reactive power it will. [B, 1]."""
        rated = self.margin * obs[:, self.at["rated_kva"]]
        q = obs[:, self.at["import_kvar"]] - more_q
        carries = xp.sqrt(xp.clip(rated * rated - q * q, 0.0, None))
        return xp.where(rated > 0, carries, xp.full_like(rated, FREE_KW))


GAIN: Final = 15.0
"""Share of reactive power per p.u. of excess voltage and minute."""
SLACK_V: Final = 0.005
"""Above v_max by so much, power is cut as well."""


def merit(xp: Any, room: Any, price: Any, needed: Any) -> Any:
    """What each gives of `needed`: the cheapest first, equal prices in proportion to their room.

    Shapes: room, price [B, N], needed [B, 1] -> [B, N].
    """
    room = xp.clip(room, 0.0, None)
    cheaper = price[:, None, :] < price[..., None]
    equal = price[:, None, :] == price[..., None]
    others = room[:, None, :]
    before = xp.sum(xp.where(cheaper, others, 0.0 * others), axis=2)
    same = xp.sum(xp.where(equal, others, 0.0 * others), axis=2)
    return room * xp.clip((needed - before) / xp.clip(same, 1e-9, None), 0.0, 1.0)
