"""What a learned network sees and decides in the world `market`.

The insider of calls stands where Kyle's does: it knows what a share is worth and what everybody
takes it to be worth, and says how many lots it wants at any price. How far its own order moves the
price, it has to find out.
The maker of a book chooses what Avellaneda and Stoikov derive: how far from the news it quotes, and
how far it leans to get rid of what it holds. How many trade at which distance, it has to find out.
Sources: Kyle, Continuous auctions and insider trading (1985); Avellaneda and Stoikov,
High-frequency trading in a limit order book (2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from sim.spaces import Field, Space
from sim.worlds.classics.fields import choice

WIDTHS: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Ticks from the centre of a quote to its bid and to its ask."""
LEANS: Final = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
"""Ticks from the news to that centre."""


class _Role:
    """Decides at every observation, and remembers nothing."""

    every = 1
    is_random = False
    ignores_absent = True
    speaks: Mapping[str, int]
    hears: Mapping[str, int] = {}

    def __init__(self, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self._space = group.observation

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Any) -> Any:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def field(self, obs: Any, name: str) -> Any:
        return obs[:, self._space.index(name)]


class Insider(_Role):
    """params: most (lots of an order, default 60), range (ticks by which the value is thought to
    differ from the news, default 200)."""

    speaks: Mapping[str, int] = {"order": 1}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(group, params)
        most = float(params.get("most", 60))
        self.range = float(params.get("range", 200))
        self.sees = Space((Field("surprise", "range", -4.0, 4.0, help="value less news"),))
        self.decides = Space((Field("lots", "lots", -most, most, help="negative: sells"),))

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        value, news = (self.field(obs, name) for name in ("value", "news"))
        return array_namespace(obs).clip((value - news) / self.range, -4.0, 4.0)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(decision)
        lots = xp.round(decision)
        return decision[:, :0], {"order": xp.where(lots == 0, xp.nan, lots)}, memory


class Quoter(_Role):
    """One bid and one ask, anew at every decision; none of a side that would take it beyond `most`.

    params: lots (of each, default 5), most (of its position, default 20).
    """

    speaks: Mapping[str, int] = {"quote": 4}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(group, params)
        self.lots, self.most = float(params.get("lots", 5)), float(params.get("most", 20))
        self.sees = Space((Field("inventory", "most", -1.0, 1.0, help="of what it may hold"),))
        self.decides = Space((choice("width", len(WIDTHS)), choice("lean", len(LEANS))))

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        held = self.field(obs, "position") / self.most
        return array_namespace(obs).clip(held, -1.0, 1.0)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(decision)
        chosen = xp.astype(decision, xp.int64)
        of = (xp.asarray(x, dtype=obs.dtype, device=device(obs)) for x in (WIDTHS, LEANS))
        half, lean = (xp.take(x, chosen[:, i], axis=0)[:, None] for i, x in enumerate(of))
        centre, held = self.field(obs, "news") + lean, self.field(obs, "position")
        bid, ask = xp.floor(centre - half), xp.ceil(centre + half)
        buys, sells = (xp.clip(self.most - way * held, 0.0, self.lots) for way in (1, -1))
        return decision[:, :0], {"quote": xp.concat((bid, buys, ask, sells), axis=1)}, memory
