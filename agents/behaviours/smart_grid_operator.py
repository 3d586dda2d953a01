"""Rule behaviour of the grid operator: limits for the next minutes from what it has received.

It knows its own substation's measurement, how voltages on its network answer to power, and what
devices report; a report older than a few minutes counts as nothing. Each minute it works out what
the network would bear if every device did as it wishes, and sets

    active power     what the transformer would carry, less what it may carry, is taken from those
                     that give way at the least cost; devices of equal cost share in proportion
    reactive power   a common share of what inverters can absorb, as much as the highest voltage
                     needs and no more, since reactive power loads the transformer too
    own voltage      if that is not enough, the feeder with the highest voltage feeds in less

and says for how long it holds. What it is not told of, it cannot correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.worlds.smart_grid_spaces import LIMIT, MEASUREMENT

FREE_KW: Final = 1e6
_AT: Final = {name: i for i, name in enumerate(MEASUREMENT)}


class Operator:
    """Keeps the transformer below its rating and voltages within their band.

    params: margin (share of the rating it uses, default 0.92), v_max (p.u. it aims below, default
            1.09), valid (seconds a limit holds, default 130), stale (seconds after which a report
            counts as nothing, default 300).
    Memory: import kW and kvar of the minute before, which the devices' reports are about [2].
    """

    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.at = group.observation.slices
        feeder = self.at["feeder"]
        self.devices = feeder.stop - feeder.start
        self.margin = float(params.get("margin", 0.92))
        self.v_max = float(params.get("v_max", 1.09))
        self.valid_s = float(params.get("valid", 130.0))
        self.stale_s = float(params.get("stale", 300.0))
        self.speaks: Mapping[str, int] = {"limit": 1 + len(LIMIT) * self.devices}
        self.hears: Mapping[str, int] = {"measurement": len(MEASUREMENT)}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 2), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 6 + 3 N] -> no action [B, 0]; limit [B, 1 + 3 N]; memory."""
        xp = array_namespace(obs)
        known, heard = self.table(xp, inbox["measurement"])
        v, p, q, low, high, wish, q_max, down, up = (heard[..., i] for i in range(1, 10))
        answers = self.answers(xp, obs)
        # Without limits and without reactive power, in the minute that the reports are about.
        import_kw = memory[:, :1] + total(xp, p - wish)
        import_kvar = memory[:, 1:] + total(xp, q)
        v_free = v + times(xp, answers[0], wish - p) - times(xp, answers[1], q)
        v_free = xp.where(known, v_free, 0.0 * v)

        share, _ = self.absorb(xp, v_free, answers[1], q_max)
        carries = self.carries(xp, obs, import_kvar + share * total(xp, q_max))
        less = merit(xp, wish - low, down, -carries - import_kw)
        more = merit(xp, high - wish, up, import_kw - carries)
        v_eased = v_free + times(xp, answers[0], more - less)
        share, rest = self.absorb(xp, v_eased, answers[1], q_max)
        less = less + self.relieve(xp, obs, rest, wish - low - less, down)

        free = xp.full_like(wish, FREE_KW)
        p_max = xp.where(known & (less > 0), wish - less, free)
        p_min = xp.where(known & (more > 0), wish + more, -free)
        limits = xp.stack((p_min, p_max, -share * q_max), axis=-1)
        valid = xp.full_like(share, self.valid_s)
        limit = xp.concat((valid, xp.reshape(limits, (obs.shape[0], -1))), axis=1)
        now = xp.concat((obs[:, self.at["import_kw"]], obs[:, self.at["import_kvar"]]), axis=1)
        return obs[:, :0], {"limit": limit}, now

    def table(self, xp: Any, heard: Any) -> tuple[Any, Any]:
        """The fresh reports, by slot. Shapes: bool [B, N], [B, N, 10]; zeros where none is."""
        is_fresh = heard.present & (heard.age_s <= self.stale_s)
        values = xp.where(is_fresh[..., None], heard.values, 0.0 * heard.age_s[..., None])
        number = xp.arange(self.devices, dtype=values.dtype, device=device(values))
        is_of = (values[..., 0][..., None] == number) & is_fresh[..., None]
        weight = xp.astype(is_of, values.dtype)
        count = xp.sum(weight, axis=1)
        table = xp.matmul(xp.permute_dims(weight, (0, 2, 1)), values)
        return count > 0, table / xp.clip(count, 1.0, None)[..., None]

    def answers(self, xp: Any, obs: Any) -> tuple[Any, Any]:
        """How voltages answer to powers: p.u. per kW and per kvar, [B, N, N] each.

        On a radial network two buses share the path to the substation up to where they part; on
        one feeder that is about the shorter path, between feeders the transformer alone.
        """
        feeder = obs[:, self.at["feeder"]]
        is_same = feeder[:, :, None] == feeder[:, None, :]
        pair = []
        for name in ("p_sensitivity", "q_sensitivity"):
            own = obs[:, self.at[name]]
            shared = xp.minimum(own[:, :, None], own[:, None, :])
            least = xp.min(own, axis=1)[:, None, None]
            pair.append(xp.where(is_same, shared, xp.broadcast_to(least, shared.shape)))
        return pair[0], pair[1]

    def absorb(self, xp: Any, v: Any, answer: Any, q_max: Any) -> tuple[Any, Any]:
        """The share of reactive power to call [B, 1], and voltage still too high then [B, N]."""
        effect = times(xp, answer, q_max)
        excess = v - self.v_max
        share = xp.max(excess / xp.clip(effect, 1e-9, None), axis=1, keepdims=True)
        share = xp.clip(share, 0.0, 1.0)
        return share, xp.clip(excess - share * effect, 0.0, None)

    def relieve(self, xp: Any, obs: Any, rest: Any, room: Any, price: Any) -> Any:
        """Power taken from the feeder of the bus with the highest excess. Shapes: [B, N]."""
        worst = xp.max(rest, axis=1, keepdims=True)
        is_worst = (rest >= worst) & (worst > 1e-6)
        own = xp.clip(obs[:, self.at["p_sensitivity"]], 1e-9, None)
        feeder = obs[:, self.at["feeder"]]
        at = xp.max(xp.where(is_worst, feeder, 0.0 * feeder - 2.0), axis=1, keepdims=True)
        needed = xp.max(rest / own, axis=1, keepdims=True)
        return merit(xp, xp.where(feeder == at, room, 0.0 * room), price, needed)

    def carries(self, xp: Any, obs: Any, kvar: Any) -> Any:
        """Active power the transformer may carry beside this reactive power. Shapes: [B, 1]."""
        rated = self.margin * obs[:, self.at["rated_kva"]]
        carries = xp.sqrt(xp.clip(rated * rated - kvar * kvar, 0.0, None))
        return xp.where(rated > 0, carries, xp.full_like(rated, FREE_KW))


def merit(xp: Any, room: Any, price: Any, needed: Any) -> Any:
    """What each gives of `needed`: the cheapest first, equal prices in proportion to their room.

    Shapes: room, price [B, N], needed [B, 1] -> [B, N].
    """
    room = xp.clip(room, 0.0, None)
    cheaper = price[:, None, :] < price[..., None]
    equal = price[:, None, :] == price[..., None]
    before = xp.matmul(xp.astype(cheaper, room.dtype), room[..., None])[..., 0]
    same = xp.matmul(xp.astype(equal, room.dtype), room[..., None])[..., 0]
    return room * xp.clip((needed - before) / xp.clip(same, 1e-9, None), 0.0, 1.0)


def times(xp: Any, matrix: Any, vector: Any) -> Any:
    """Shapes: [B, N, N], [B, N] -> [B, N]."""
    return xp.matmul(matrix, vector[..., None])[..., 0]


def total(xp: Any, values: Any) -> Any:
    """Shapes: [B, N] -> [B, 1]."""
    return xp.sum(values, axis=1, keepdims=True)
