"""The figures of a market: what trading costs, what it moves, who gains from whom.

A trade of sign s at price p, mid price m before it and m' some time after it costs the taker the
effective spread 2 s (p - m); of that the impact 2 s (m' - m) is what the maker loses again to
prices that move, and the realised spread 2 s (p - m') what it keeps.
Sources: Huang and Stoll, Dealer versus auction markets (1996), for the three; Hasbrouck, Empirical
Market Microstructure (2007).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from sim.units import SECOND
from sim.worlds.market.venue import Print
from sim.worlds.world import Metric


class Measures:
    """Sums since the episode began. Units: prices in ticks, gains in ticks times lots."""

    def __init__(self, kinds: Mapping[str, str], horizon_ns: int) -> None:
        """kinds: of participants. horizon_ns: from a trade to where its impact is measured."""
        self._kinds, self.horizon_ns = kinds, horizon_ns
        self.reset()

    def reset(self) -> None:
        """Nothing has been traded yet."""
        self.trades = self.lots = 0
        self.tape: deque[Print] = deque(maxlen=10_000)
        self.gains: dict[tuple[str, str], float] = {}
        self._open: deque[Print] = deque()
        self._effective = self._realised = self._measured = 0.0
        self._spread = self._depth = 0.0
        self._quoted = self._samples = 0
        self._error = self._moves = 0.0
        self._ahead = self._unknown = self._foreseen = 0.0
        self._moved = 0
        self._mids: dict[str, tuple[int, float]] = {}

    def see(self, trade: Print, value: float) -> None:
        """A trade, and what a share is worth then."""
        self.tape.append(trade)
        self.trades += 1
        self.lots += trade.lots
        pair = self._kinds[trade.maker], self._kinds[trade.taker]
        gain = trade.side * (trade.price - value) * trade.lots
        self.gains[pair] = self.gains.get(pair, 0.0) + gain
        if trade.mid is not None:
            self._open.append(trade)

    def sample(
        self, time_ns: int, venue: str, mid: float, best: Mapping[str, int | None], value: float,
        news: float,
    ) -> None:  # fmt: skip
        """A venue as it is now. mid: the last price, where there is none."""
        self._samples += 1
        bid, ask = best["bid"], best["ask"]
        if bid is not None and ask is not None:
            self._quoted += 1
            self._spread += ask - bid
            self._depth += ((best["bid_lots"] or 0) + (best["ask_lots"] or 0)) / 2
        self._error += (mid - value) ** 2
        self._ahead += (mid - news) ** 2
        self._unknown += (value - news) ** 2
        self._foreseen += (mid - news) * (value - news)
        since, before = self._mids.get(venue, (time_ns - SECOND, mid))
        if time_ns - since >= SECOND:
            self._moves += (mid - before) ** 2 / ((time_ns - since) / SECOND)
            self._moved += 1
            self._mids[venue] = time_ns, mid

    def settle(self, time_ns: int, mids: Mapping[str, float]) -> None:
        """Measures the trades whose horizon has come against the prices of now."""
        while self._open and self._open[0].time_ns + self.horizon_ns <= time_ns:
            trade = self._open.popleft()
            if trade.venue in mids:
                self._measure(trade, mids[trade.venue])

    def conclude(self, value: float) -> None:
        """Measures all trades that are left against the value, which is told and paid."""
        while self._open:
            self._measure(self._open.popleft(), value)

    def _measure(self, trade: Print, later: float) -> None:
        assert trade.mid is not None
        self._effective += 2 * trade.side * (trade.price - trade.mid) * trade.lots
        self._realised += 2 * trade.side * (trade.price - later) * trade.lots
        self._measured += trade.lots

    def figures(self) -> dict[str, Metric]:
        """Of the episode so far."""
        quoted, lots = max(self._quoted, 1), max(self._measured, 1.0)
        effective, realised = self._effective / lots, self._realised / lots
        error = math.sqrt(self._error / max(self._samples, 1))
        volatility = math.sqrt(self._moves / max(self._moved, 1))
        shared = math.sqrt(self._ahead * self._unknown)
        efficiency = 100 * (self._foreseen / shared) ** 2 if shared else 0.0
        told = "ticks", "lower", False
        return {
            "pricing error": Metric(
                error, "ticks", "lower", False, "root mean square of price less value"
            ),
            "efficiency": Metric(
                efficiency, "%", "higher", False,
                "squared correlation of price and value, both less what the news tell",
            ),
            "spread": Metric(self._spread / quoted, *told, "of the best prices, mean over time"),
            "effective spread": Metric(effective, *told, "what a trade costs, there and back"),
            "realised spread": Metric(
                realised, "ticks", "higher", False, "what of it makers keep once prices moved"
            ),
            "impact": Metric(effective - realised, *told, "what of it is lost to prices that move"),
            "depth": Metric(
                self._depth / quoted, "lots", "higher", False, "at each best price, mean over time"
            ),
            "volatility": Metric(volatility, *told, "of the mid price, per root of a second"),
            "volume": Metric(float(self.lots), "lots", "higher", False, "traded"),
            "quoted": Metric(
                100 * self._quoted / max(self._samples, 1), "%", "higher", False,
                "of the time with both a bid and an ask",
            ),
        }  # fmt: skip


class Holdings:
    """What a kind of participants holds over time. Units: cents, lots."""

    def __init__(self) -> None:
        self.equity = self.peak = self.drawdown = 0.0
        self.inventory = 0.0
        self.samples = 0

    def sample(self, equity: float, inventory: float) -> None:
        """equity: of all of the kind. inventory: mean of their absolute positions."""
        self.equity = equity
        self.peak = max(self.peak, equity)
        self.drawdown = max(self.drawdown, self.peak - equity)
        self.inventory += inventory
        self.samples += 1

    def figures(self, kind: str) -> dict[str, Metric]:
        """What the kind has earned, at what risk."""
        inventory = self.inventory / max(self.samples, 1)
        return {
            f"{kind} profit": Metric(
                self.equity / 100, "USD", "higher", False, "with shares at their value"
            ),
            f"{kind} drawdown": Metric(
                self.drawdown / 100, "USD", "lower", False, "the most below its best so far"
            ),
            f"{kind} inventory": Metric(
                inventory, "lots", "lower", False, "absolute position of one, mean over time"
            ),
        }
