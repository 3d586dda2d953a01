"""Who trades in the world `market`, by the names under which scenarios know them."""

from __future__ import annotations

from agents.behaviours.market_arbitrage import Arbitrageur
from agents.behaviours.market_execution import Institution, Runaway
from agents.behaviours.market_makers import Maker
from agents.behaviours.market_signals import Reverter, Trend
from agents.behaviours.market_takers import Fundamentalist, Informed, Noise

__all__ = [
    "Arbitrageur", "Fundamentalist", "Informed", "Institution", "Maker", "Noise", "Reverter",
    "Runaway", "Trend",
]  # fmt: skip
