"""Signals of the world `junctions`.

Each says every second, on the topic `queues`, its number and how many wait on each of its lanes, so
that those before it know what is downstream of them. What a neighbour said counts for `patience`;
after that, and at the edge, the lane beyond counts as empty, which is what a signal on its own
would have to assume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.classics import Rule
from sim.worlds.junctions.pressure import MARGIN, best_phase, beyond

QUEUES: Final = 5
"""Numbers of a message: of the junction, and what waits north, east, south and west of it."""


class MaxPressure(Rule):
    """Varaiya's max-pressure, see `sim.worlds.junctions.pressure`.

    params: patience (s for which a message counts, default 5), margin (vehicles by which another
            phase must be better, default 4).
    """

    speaks: Mapping[str, int] = {"queues": QUEUES}
    hears: Mapping[str, int] = {"queues": QUEUES}
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.patience = float(params.get("patience", 5.0))
        self.margin = float(params.get("margin", MARGIN))

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        counts = self.field(obs, "queue") + self.field(obs, "arriving")
        said = {"queues": xp.concat((self.field(obs, "number"), counts), axis=-1)}
        phase, shares = self.field(obs, "phase"), self.field(obs, "shares")
        after = self.beyond(xp, obs, inbox)
        return best_phase(xp, counts, after, shares, phase, self.margin), said

    def beyond(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        """What waits beyond each side, as far as it was heard. Shapes: -> [B, 4]."""
        heard, sides = inbox.get("queues"), self.field(obs, "neighbours")
        if heard is None or not heard.values.shape[1]:
            return xp.zeros((obs.shape[0], 4), dtype=obs.dtype, device=device(obs))
        is_known = heard.present & (heard.age_s <= self.patience)
        return beyond(xp, sides, heard.values[..., 0], heard.values[..., 1:], is_known)


class LongestQueue(MaxPressure):
    """The same, deaf: what waits here is all that counts. params: margin."""

    hears: Mapping[str, int] = {}

    def beyond(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        return super().beyond(xp, obs, {})
