"""What a learned network sees and decides in the world `market`.

The insider of calls stands where Kyle's does: it knows what a share is worth and what everybody
takes it to be worth, and says how many lots it wants at any price. How far its own order moves the
price, it has to find out.
Source: Kyle, Continuous auctions and insider trading (1985).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from array_api_compat import array_namespace

from sim.spaces import Field, Space


class Insider:
    """params: most (lots of an order, default 60), range (ticks by which the value is thought to
    differ from the news, default 200)."""

    every = 1
    is_random = False
    ignores_absent = True
    speaks: Mapping[str, int] = {"order": 1}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        most = float(params.get("most", 60))
        self.range = float(params.get("range", 200))
        self._space = group.observation
        self.sees = Space((Field("surprise", "range", -4.0, 4.0, help="value less news"),))
        self.decides = Space((Field("lots", "lots", -most, most, help="negative: sells"),))

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Any) -> Any:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        value, news = (obs[:, self._space.index(name)] for name in ("value", "news"))
        return array_namespace(obs).clip((value - news) / self.range, -4.0, 4.0)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(decision)
        lots = xp.round(decision)
        return decision[:, :0], {"order": xp.where(lots == 0, xp.nan, lots)}, memory
