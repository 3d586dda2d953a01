"""What a learned network sees and decides in the world `swarm`, whatever the task.

It nudges a rule: it sees what the robot observes and what the rule wants, and adds a velocity to
it. So it begins at the rule's level, and what the rule says and hears stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from agents.behaviours.swarm import Array, Robot, limited
from agents.behaviours.swarm_construction import Builder
from agents.behaviours.swarm_coverage import Lloyd
from agents.behaviours.swarm_flocking import Flock
from agents.behaviours.swarm_formation import Consensus
from agents.behaviours.swarm_rescue import Rescuer
from agents.behaviours.swarm_search import Wander
from sim.spaces import Field, Space

RULES: Final[Mapping[str, type[Robot]]] = {
    "construction": Builder, "coverage": Lloyd, "flocking": Flock, "formation": Consensus,
    "rescue": Rescuer, "search": Wander,
}  # fmt: skip


class Nudge:
    """params: strength (of a full nudge, as a share of the top speed; default 0.5), and those of
    the rule."""

    every = 1
    is_random = False
    ignores_absent = True
    shown: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.rule = RULES[group.name](name, group, params)
        self.strength = float(params.get("strength", 0.5)) * self.rule.speed
        self.speaks, self.hears = self.rule.speaks, self.rule.hears
        fields = [f for f in group.observation.fields if f.high < float("inf")]
        self.fields = fields
        seen = [Field(f.name, f"of {f.high:g} {f.unit}", -1.0, 1.0, size=f.size) for f in fields]
        wanted = Field("wanted", "of its top speed", -1.0, 1.0, size=2, help="by the rule")
        self.sees = Space((*seen, wanted))
        self.decides = Space((Field("nudge", low=-1.0, high=1.0, size=2, help="added to it"),))

    def memory(self, xp: Any, batch: int) -> Array:
        return self.rule.memory(xp, batch)

    def is_due(self, obs: Array) -> Array:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool, device=device(obs))

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        xp = array_namespace(obs)
        wanted, _, _ = self.rule.decide(xp, obs, inbox, memory, None)
        own = [self.rule.field(obs, f.name) / f.high for f in self.fields]
        return xp.clip(xp.concat((*own, wanted / self.rule.speed), axis=1), -1.0, 1.0)

    def act(
        self, decision: Array, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, Mapping[str, Array], Array]:
        xp, rule = array_namespace(decision), self.rule
        wanted, outbox, memory = rule.decide(xp, obs, inbox, memory, key)
        wanted = limited(xp, wanted + self.strength * decision, rule.speed)
        return rule.steer(xp, obs, wanted), outbox, memory
