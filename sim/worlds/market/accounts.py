"""What everybody owns, in integers, and what they may do.

Cash is in cents; a tick of the price is worth `lot_value` cents per lot. All begin with nothing and
may owe cash and shares, so the shares of all add up to 0, and so does their cash with the fees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.units import SECOND
from sim.worlds.market.book import BUY


class Rejected(ValueError):
    """An order that a venue does not take; the text says why."""


@dataclass
class Account:
    """One participant. Units: cash, fees, peak cents; position, bought, sold lots.

    peak:   the highest equity so far. working: lots that rest in books, by side (1, -1).
    """

    kind: str
    cash: int = 0
    position: int = 0
    fees: int = 0
    peak: int = 0
    bought: int = 0
    sold: int = 0
    messages: int = 0
    trades: int = 0
    second: int = -1
    in_second: int = 0
    is_killed: bool = False
    working: dict[int, int] = field(default_factory=lambda: {1: 0, -1: 0})


@dataclass(frozen=True)
class Limits:
    """Of every participant; 0 is no limit. Units: lots, per second, cents below the peak."""

    position: int = 0
    messages_per_second: int = 0
    drawdown: int = 0


class Clearing:
    """The accounts of all, with their limits."""

    def __init__(self, kinds: dict[str, str], lot_value: int, limits: Limits) -> None:
        """kinds: of participants, by name."""
        self.lot_value, self.limits, self._kinds = lot_value, limits, kinds
        self.reset()

    def reset(self) -> None:
        """Everybody has nothing, at the start of an episode."""
        self.accounts = {name: Account(kind) for name, kind in self._kinds.items()}
        self.fees = self.refused = 0

    def settle(self, name: str, side: int, lots: int, price: int, fee: int) -> None:
        """One side of a trade. fee: cents per lot; a negative one is a rebate."""
        account = self.accounts[name]
        account.cash -= side * lots * price * self.lot_value + lots * fee
        account.position += side * lots
        account.fees += lots * fee
        account.trades += 1
        self.fees += lots * fee
        if side == BUY:
            account.bought += lots
        else:
            account.sold += lots

    def redeem(self, value: int) -> None:
        """Turns the shares of all into cash at a price."""
        for account in self.accounts.values():
            account.cash += account.position * value * self.lot_value
            account.position = 0

    def equity(self, name: str, mark: float) -> float:
        """Cash and shares at a price. Units: cents."""
        account = self.accounts[name]
        return account.cash + account.position * mark * self.lot_value

    def count(self, time_ns: int, name: str) -> Account:
        """A message of a participant. Raises: Rejected if there are too many, or it is killed."""
        account = self.accounts.get(name)
        if account is None:
            raise Rejected(f"{name} is no participant")
        account.messages += 1
        if account.is_killed:
            raise Rejected("the kill switch is on")
        second = time_ns // SECOND
        account.in_second = account.in_second + 1 if second == account.second else 1
        account.second = second
        most = self.limits.messages_per_second
        if most and account.in_second > most:
            raise Rejected(f"more than {most} messages in a second")
        return account

    def room(self, account: Account, side: int) -> int:
        """How many lots more a participant may want to buy or sell, all its orders counted."""
        if not self.limits.position:
            return 1 << 62
        return max(self.limits.position - side * account.position - account.working[side], 0)

    def overdrawn(self, mark: float) -> list[str]:
        """Who has lost more than it may since its peak, at this price; peaks are kept."""
        found = []
        for name, account in self.accounts.items():
            equity = round(self.equity(name, mark))
            account.peak = max(account.peak, equity)
            is_below = self.limits.drawdown and equity < account.peak - self.limits.drawdown
            if is_below and not account.is_killed:
                found.append(name)
        return found
