"""What all participants of a market have in common: they look at quotes and send orders.

Prices are ticks, sizes lots. What one knows of a venue is what its messages said when they were
sent; what one owns comes with the observation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from agents.agent import Agent, Refused
from agents.channels import Message

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
_LOOKED_AT: Final = 16
"""The last quotes that are read when a trader looks; older ones it has seen, or they are old."""
_PATIENCE_S: Final = 1.0


class Trader(Agent):
    """venue: where it trades; by default the venues in turn, by the number in its name."""

    def __init__(self, venue: str = "") -> None:
        self.venue = venue
        self.quotes: dict[str, Mapping[str, Any]] = {}
        self._number = 0

    @property
    def venues(self) -> list[str]:
        """The venues of the run."""
        return [name for name in self.names if name.startswith("venue-")]

    @property
    def number(self) -> int:
        """The one in the name, from 1."""
        return int(self.name.rpartition("-")[2])

    async def open(self) -> str:
        """Waits until a venue is heard of; the form of the market."""
        self.subscribe("quote")
        if not self.venue:
            self.venue = self.venues[(self.number - 1) % len(self.venues)]
        quote = None
        while quote is None:
            quote = await self.receive("quote", timeout=_PATIENCE_S) or await self._ask()
        self.quotes[quote.sender] = quote.payload
        return str(quote.payload["form"])

    async def _ask(self) -> Message | None:
        """The best prices: who comes late hears nothing as long as they stay as they are."""
        try:
            return await self.request(self.venue, "look", timeout=_PATIENCE_S)
        except Refused:
            return None

    def look(self) -> Mapping[str, Mapping[str, Any]]:
        """The latest quote of each venue that is known."""
        for message in self.inbox("quote", last=_LOOKED_AT):
            self.quotes[message.sender] = message.payload
        return self.quotes

    @property
    def mid(self) -> float | None:
        """Between the best prices of one's own venue; the last price if one is missing."""
        quote = self.look().get(self.venue)
        if quote is None:
            return None
        if quote["bid"] is None or quote["ask"] is None:
            return float(quote["last"])
        return (int(quote["bid"]) + int(quote["ask"])) / 2

    def trade(self, lots: int, price: int | None = None, venue: str = "") -> None:
        """Buys lots, or sells if they are negative: at any price, or at once at `price`."""
        if lots:
            kind = "market" if price is None else "ioc"
            order = {"side": "buy" if lots > 0 else "sell", "lots": abs(lots), "kind": kind}
            self.send(venue or self.venue, "order", {**order, "price": price})

    def next_number(self) -> int:
        """Greater than all before, those before a restart included."""
        self._number = max(self._number + 1, self.now_ns)
        return self._number

    async def pause(self, rate: float) -> None:
        """Waits as long as an event of a Poisson process of that rate takes. Units: per s."""
        await asyncio.sleep(float(self.rng.exponential(1 / rate)))
