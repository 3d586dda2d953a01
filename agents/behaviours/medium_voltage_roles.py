"""Roles for learned policies of units at the medium voltage: a rule, shifted by a network.

The protocol stays the rule's own: nominations, offers, calls and limits. What the network decides,
once a quarter of an hour, are shifts in [-1, 1] after a scale (`REACH`); all zeros are the rule, to
the bit, so that training begins at its level:

    plan    more (positive) or less power nominated, of the rating; small values count as none
    up_at   the price asked for doing more, of the day's mean price
    down_at the price paid for doing less

Rules: `agents.behaviours.medium_voltage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from array_api_compat import array_namespace

from agents.behaviours import medium_voltage as rules
from agents.behaviours.medium_voltage import Unit, View
from agents.behaviours.smart_grid_roles import REACH, calmed
from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.spaces import Field, Space
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN

SHIFTS: Final = ("plan", "up_at", "down_at")
COMMON: Final = (
    Field("sine", help="of the time of day"),
    Field("cosine"),
    Field("price", help="in the next quarter, of the day's mean"),
    Field("day", size=HOURS, help="day-ahead prices from now on, of their mean"),
    Field("power", help="last minute, of the rating"),
    Field("planned", help="for this quarter, of the rating"),
    Field("called", help="for this quarter, of the rating"),
    Field("voltage", help="its deviation, in 5 % of the nominal one"),
)
TURN: Final = 6.283185307179586 / 1440


class LearningUnit:
    """What the roles share. Subclasses name their rule and what more they see.

    params: shifts (names of those that the network decides; default all), quarters (that a decision
            lasts; default 1).
    """

    is_random = False
    ignores_absent = True
    shown: ClassVar[Mapping[str, int]] = {}
    """Topics whose messages the network sees as they are: none, the role reads them."""
    rule: ClassVar[type[Unit]]
    own: ClassVar[tuple[Field, ...]] = ()

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.unit = self.rule(name, group, params)
        self.at = group.observation.slices
        self.every = QUARTER_MIN * max(int(params.get("quarters", 1)), 1)
        self.speaks, self.hears = self.unit.speaks, self.unit.hears
        chosen = tuple(params.get("shifts", SHIFTS))
        for shift in chosen:
            if shift not in SHIFTS:
                raise UnknownKeyError(
                    f"role of {name}: no shift {shift!r}; {did_you_mean(shift, SHIFTS)}"
                )
        self.decides = Space(tuple(Field(shift) for shift in chosen))
        self.sees = Space((*COMMON, *self.own))

    def memory(self, xp: Any, batch: int) -> Any:
        return self.unit.memory(xp, batch)

    def is_due(self, obs: Any) -> Any:
        return obs[:, self.at["minute"]][:, 0] % self.every == 0

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        xp, see = array_namespace(obs), View(self.at, obs, inbox, memory)
        rated = see["rated_kw"]
        turn = see["minute"] * TURN
        parts = (
            xp.sin(turn), xp.cos(turn), see["spot_next"] / see.mean, see["spot_day"] / see.mean,
            see["p_kw"] / rated, see["plan_kw"] / rated, see.now_wh / (rules.WH_PER_KW * rated),
            (see["v_pu"] - 1.0) / 0.05, *self.more(see),
        )  # fmt: skip
        return xp.concat(parts, axis=1)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        """Shapes: as `agents.roles.Role`; decision [B, shifts]."""
        see = View(self.at, obs, inbox, memory)
        shifts = see.xp.clip(REACH * decision, -1.0, 1.0)
        by = {name: shifts[:, at] for name, at in self.decides.slices.items()}
        scaled: dict[str, Any] = {
            name: by[name] * see.mean for name in ("up_at", "down_at") if name in by
        }
        if "plan" in by:
            scaled["plan"] = calmed(by["plan"]) * see["rated_kw"]
        return self.unit.decided(see, memory, scaled)

    def more(self, see: View) -> tuple[Any, ...]:
        """What only this role sees, in the order of `own`."""
        return ()


class LearningBiomass(LearningUnit):
    """At which prices to run above the least."""

    rule = rules.Biomass


class LearningIndustrial(LearningUnit):
    """When to put off and make up, and at which prices for others."""

    rule = rules.Industrial
    own = (
        Field("demand", help="of the rating"),
        Field("owed", help="of what may be owed"),
    )

    def more(self, see: View) -> tuple[Any, ...]:
        return see["demand_kw"] / see["rated_kw"], see["owed_kwh"] / see["bound_kwh"]


class LearningHydro(LearningUnit):
    """When to pump and to generate, and at which prices for others."""

    rule = rules.Hydro
    own = (
        Field("filling", help="of the upper reservoir"),
        Field("mode", help="1 turbine, -1 pump, 0 stands"),
    )

    def more(self, see: View) -> tuple[Any, ...]:
        return see["filling"], see["mode"]
