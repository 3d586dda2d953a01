"""The market drawn: books, the course of the price, who has gained what from whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sim.worlds.market.book import BUY, SELL

if TYPE_CHECKING:
    from sim.worlds.market.world import Market

LEVELS: Final = 12
COURSE: Final = 240


def draw(market: Market) -> dict[str, Any]:
    """Plain data, kind "market". Units: prices ticks, profits USD.

    venues: best prices first, as [price, lots]. course: [mid, value] over the last steps. gains:
    what the first kind gained from the second by trades, with the value of then, as it made them.
    """
    now = market.steps * market.dt_ns
    p = market.params
    stride = max(len(market.course) // COURSE, 1)
    per_tick = p.lot_value / 100
    return {
        "kind": "market",
        "title": f"{p.form}, {now / 1e9:.1f} s",
        "form": p.form,
        "value": market.value,
        "venues": [
            {
                "name": name,
                "bids": [list(level) for level in venue.book.depth(BUY, LEVELS)],
                "asks": [list(level) for level in venue.book.depth(SELL, LEVELS)],
                "last": venue.last,
                "halted": venue.breaker.is_halted(now),
                "halts": venue.breaker.halts,
            }
            for name, venue in market.venues.items()
        ],
        "course": [list(point) for point in list(market.course)[::stride]],
        "step_s": stride * market.dt_ns / 1e9,
        "trades": [
            [trade.price, trade.lots, trade.side, trade.taker, trade.maker]
            for trade in list(market.measures.tape)[-8:]
        ],
        "kinds": [
            {
                "name": kind,
                "profit": holdings.equity / 100,
                "position": sum(
                    market.clearing.accounts[a].position for g in market.groups
                    if g.name == kind for a in g.agents
                ),
                "killed": sum(
                    market.clearing.accounts[a].is_killed for g in market.groups
                    if g.name == kind for a in g.agents
                ),
            }
            for kind, holdings in market.holdings.items()
        ],
        "fees": market.clearing.fees / 100,
        "gains": [[a, b, gain * per_tick] for (a, b), gain in market.measures.gains.items()],
    }  # fmt: skip
