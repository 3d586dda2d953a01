"""Devices under a central controller: they report to it, and do as it says while it is heard.

A follower makes no offers. At each quarter's beginning it tells the controller everything it
observes, and takes the award that came for this quarter as its set-point (Wh, bought positive). To
the operator it reports and answers as under the rule. Without a fresh set-point it falls back to
what the rule does without a trade: a battery rests, a generator stops, who can wait goes by the
forecast of the tariff.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.behaviours import smart_grid as rules
from agents.behaviours.smart_grid import WH_PER_KW, Device, View, say


class Follower:
    """Plays a device of any role. Memory: the rule's, and whether a set-point is in force."""

    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.device: Device = _RULES[group.name](name, group, params)
        width = self.device.speaks["measurement"]
        self.speaks: Mapping[str, int] = {
            "measurement": width, f"status-{group.name}": group.observation.size,
        }  # fmt: skip
        self.status = f"status-{group.name}"
        self.hears = self.device.hears

    def memory(self, xp: Any, batch: int) -> Any:
        own = xp.zeros((batch, 1), dtype=xp.float64)
        return xp.concat((self.device.memory(xp, batch), own), axis=1)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, k] -> action [B, a]; measurement [B, 10], status [B, k]; memory."""
        see = View(self.device.at, obs, inbox, memory)
        xp, last = see.xp, memory.shape[1] - 1
        is_led = xp.where(see.is_first, xp.astype(see.is_new, memory.dtype), memory[:, last:])
        action, report, _, kept = self.device.decide(see, memory)
        if isinstance(self.device, rules.Household | rules.Vehicle):
            wish, obeyed = led(see, self.device)
            action = xp.where(is_led > 0, obeyed, action)
            report = (xp.where(is_led > 0, wish, report[0]), *report[1:])
        said = {"measurement": say(see, report, ())["measurement"]}
        said[self.status] = xp.where(see.is_first, obs, xp.nan + see.zero)
        return action, said, xp.concat((see.award_wh, *kept, is_led), axis=1)


def led(see: View, rule: rules.Household | rules.Vehicle) -> tuple[Any, Any]:
    """What a household or vehicle feeds in, and its action, to keep to a set-point. [B, 1] each.

    Under the rule these two look at the tariff first, and at what they bought second.
    """
    xp, power = see.xp, see.positive(see.award_wh) / WH_PER_KW
    if isinstance(rule, rules.Household):
        base, waits = see["base_kw"], see["backlog_kwh"]
        most = xp.minimum(see.zero + rule.most_kw, waits * 60)
        # What has no room to wait is served in any case.
        wish = -base - xp.where(see["room_kwh"] < 0.5, most, xp.clip(power - base, 0.0, most))
        return wish, see.positive(-see.within(wish) - base)
    wish = -xp.minimum(power, xp.minimum(see["rated_kw"], see["need_kwh"] * 60))
    return wish, see.positive(-see.within(wish))


_RULES: Mapping[str, type[Device]] = {
    "household": rules.Household,
    "pv": rules.Inverter,
    "battery": rules.Battery,
    "ev": rules.Vehicle,
    "commercial": rules.Consumer,
    "industrial": rules.Consumer,
    "wind": rules.Inverter,
    "generator": rules.Generator,
}
