"""Rules of the world `sharing`: the source says what there is, all take equal shares of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from array_api_compat import array_namespace

from agents.behaviours.classics import Rule, constant


class SourceRule(Rule):
    """Says in every step what there is: supply, safe draw, number of consumers."""

    speaks: Mapping[str, int] = {"supply": 3}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return obs[:, :0], {"supply": obs}


class ConsumerRule(Rule):
    """An equal share of the last supply that it has heard of. Memory: that share, 0 before."""

    hears: Mapping[str, int] = {"supply": 3}

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        share, said = self.decide(xp, obs, inbox)
        memory = xp.where(share > 0, share, memory)
        return xp.where(memory > 0, memory, self.field(obs, "safe")), said, memory

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The share of what was heard since the last decision; 0 if nothing was."""
        heard = inbox["supply"]
        if not heard.values.shape[1]:
            return constant(xp, obs, 0.0, 1), {}
        supply, among = heard.values[:, :1, 0], heard.values[:, :1, 2]
        return xp.where(heard.present[:, :1], supply / xp.clip(among, 1.0, None), 0.0), {}
