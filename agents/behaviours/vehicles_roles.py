"""What a learned network sees and decides in the world `vehicles`.

It stands where CACC stands: the error of the gap, what the vehicle ahead intends, or what the rule
estimates that it does if that was not heard, and then an acceleration, or one of three. What it
decided last is still on its way to the wheels, so it sees that, too. What it decides is also what
it says. Who joins and leaves, and when, is up to the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace

from agents.behaviours.vehicles import Cacc
from agents.behaviours.vehicles_platoon import Member
from sim.spaces import Field, Space

PEDALS: Final = (-2.0, 0.0, 2.0)
"""m/s2: braking, rolling, accelerating."""


class Pedal:
    """params: pedals (true, the default: one of three accelerations; false: any within the limits),
    and those of `Member`."""

    every = 1
    is_random = False
    ignores_absent = True
    shown: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.rule = Member(name, group, {k: v for k, v in params.items() if k != "pedals"})
        self.speaks, self.hears = self.rule.speaks, self.rule.hears
        self.is_three = bool(params.get("pedals", True))
        three = Field("pedal", low=0.0, high=2.0, choices=len(PEDALS), help="-2, 0 or 2 m/s2")
        self.decides = Space((three,) if self.is_three else group.action.fields[:1])
        self.sees = Space(
            (
                Field("error", "10 m", -3.0, 3.0, help="gap less the gap that is wanted"),
                Field("closing", "5 m/s", -3.0, 3.0),
                Field("speed", "30 m/s", 0.0, 3.0),
                Field("acceleration", "3 m/s2", -3.0, 3.0),
                Field("last", "3 m/s2", -3.0, 3.0, help="what it decided last"),
                Field(
                    "ahead",
                    "3 m/s2",
                    -3.0,
                    3.0,
                    help="what who is ahead intends, or else seems to do",
                ),
                Field("heard", low=0.0, high=1.0, help="1: that is known"),
            )
        )

    def memory(self, xp: Any, batch: int) -> Any:
        return self.rule.memory(xp, batch)

    def is_due(self, obs: Any) -> Any:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        xp, of = array_namespace(obs), self.rule.field
        intended, is_heard = self.rule.heard(xp, obs, inbox)
        last, estimate = memory[:, :1], memory[:, Cacc.keeps : Cacc.keeps + 1]
        speed = of(obs, "speed")
        error = of(obs, "gap") - of(obs, "standstill") - of(obs, "headway") * speed
        ahead = xp.where(is_heard, intended, estimate)
        told = (
            error / 10.0, of(obs, "closing") / 5.0, speed / 30.0, of(obs, "acceleration") / 3.0,
            last / 3.0, ahead / 3.0, xp.astype(is_heard, obs.dtype),
        )  # fmt: skip
        return xp.clip(xp.concat(told, axis=1), -3.0, 3.0)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(decision)
        wanted = decision[:, :1]
        if self.is_three:
            wanted = PEDALS[0] + (PEDALS[1] - PEDALS[0]) * wanted
        action, outbox, memory = self.rule(obs, inbox, memory, key)
        cam = xp.where(xp.isnan(outbox["cam"]), xp.nan, self.rule.told(xp, obs, wanted))
        action, memory = (xp.concat((wanted, of[:, 1:]), axis=1) for of in (action, memory))
        return action, {**outbox, "cam": cam}, memory
