"""A venue that collects orders and clears them in calls, all at one price.

A while before each call it publishes on `imbalance` how many lots the market orders want to buy
and to sell; those that come later wait for the next call, and limit orders may answer. After it,
what did not trade is void, and `call` tells price and lots. While trading is halted there are no
calls, and what waits, waits on.
Source: Kyle, Continuous auctions and insider trading (1985), for why one would.
"""

from __future__ import annotations

from typing import Any

from sim.worlds.market.accounts import Account, Rejected
from sim.worlds.market.book import BUY, SELL
from sim.worlds.market.breaker import Breaker
from sim.worlds.market.call import Bid, clear
from sim.worlds.market.orders import Cancel, Message, Order, Quote
from sim.worlds.market.venue import SIDES, WAYS, Desk, Print, Venue


class CallVenue(Venue):
    """period_ns: between calls. lead_ns: from the imbalance to the call."""

    def __init__(
        self, name: str, desk: Desk, breaker: Breaker, period_ns: int, lead_ns: int
    ) -> None:
        self.period_ns, self.lead_ns = period_ns, lead_ns
        super().__init__(name, desk, breaker)

    def reset(self, price: int) -> None:
        super().reset(price)
        self.reference = price
        self._bids: list[Bid] = []
        self._waiting: list[Bid] = []
        self._is_announced = False

    @property
    def mid(self) -> float | None:
        return float(self.last)

    def advance(self, time_ns: int) -> None:
        """Announces and clears when it is time."""
        phase = time_ns % self.period_ns
        if self.breaker.is_halted(time_ns):
            self._is_announced = False
        elif phase == 0 and time_ns:
            self._call(time_ns)
        elif phase >= self.period_ns - self.lead_ns and not self._is_announced:
            self._is_announced = True
            sums = {side: self._wanted(side) for side in (BUY, SELL)}
            said = {"buy": sums[BUY], "sell": sums[SELL], "reference": self.reference}
            self._say("imbalance", said)
        self.show(time_ns)

    def _wanted(self, side: int) -> int:
        return sum(b.lots for b in self._bids if b.side == side and b.price is None)

    def _take(self, time_ns: int, agent: str, account: Account, message: Message) -> Any:
        match message:
            case Order(kind="ioc") | Quote():
                raise Rejected("a call takes limit and market orders")
            case Order() if self.breaker.is_halted(time_ns):
                raise Rejected("trading is halted")
            case Order():
                side = SIDES[message.side]
                if message.tag:
                    self._cancel(agent, message.tag)
                if message.lots > self.desk.clearing.room(account, side):
                    raise Rejected("beyond the position limit")
                account.working[side] += message.lots
                is_late = self._is_announced and message.price is None
                bid = Bid(agent, side, message.lots, message.price, message.tag)
                (self._waiting if is_late else self._bids).append(bid)
                return {"tag": message.tag, "side": message.side, "lots": 0, "left": bid.lots}
            case Cancel(tag=tag) if tag:
                return {"cancelled": self._cancel(agent, tag)}
        return super()._take(time_ns, agent, account, message)

    def _cancel(self, agent: str, tag: int) -> int:
        return self._take_out(lambda bid: bid.owner == agent and bid.tag == tag)

    def clear(self, agent: str) -> int:
        return self._take_out(lambda bid: bid.owner == agent)

    def holders(self) -> list[str]:
        return list(dict.fromkeys(bid.owner for bid in (*self._bids, *self._waiting)))

    def close(self) -> None:
        self._take_out(lambda bid: True)

    def _take_out(self, is_meant: Any) -> int:
        """Market orders are bound once the imbalance is told."""
        out = 0
        for bids in (self._bids, self._waiting):
            is_bound = self._is_announced and bids is self._bids
            for bid in [b for b in bids if is_meant(b) and not (is_bound and b.price is None)]:
                bids.remove(bid)
                self.desk.clearing.accounts[bid.owner].working[bid.side] -= bid.lots
                out += bid.lots
        return out

    def _call(self, time_ns: int) -> None:
        bids, self._bids, self._waiting = self._bids, self._waiting, []
        self._is_announced = False
        flow = sum(b.side * b.lots for b in bids if b.price is None)
        cleared = clear(bids, self.reference)
        accounts = self.desk.clearing.accounts
        for bid, lots in zip(bids, cleared.shares, strict=True):
            accounts[bid.owner].working[bid.side] -= bid.lots
            if lots and cleared.price is not None:
                self._fill(bid, lots, cleared.price)
        if cleared.price is not None:
            self._print(time_ns, bids, cleared.shares, cleared.price)
            self.last = cleared.price
        said = {"price": cleared.price, "lots": cleared.lots, "flow": flow}
        self._say("call", {**said, "reference": self.reference})

    def _fill(self, bid: Bid, lots: int, price: int) -> None:
        fee = self.desk.taker_fee if bid.price is None else self.desk.maker_fee
        self.desk.clearing.settle(bid.owner, bid.side, lots, price, fee)
        told = {"tag": bid.tag, "side": WAYS[bid.side], "lots": lots, "price": price}
        self._say("fill", {**told, "left": bid.lots - lots}, bid.owner)

    def _print(self, time_ns: int, bids: list[Bid], shares: list[int], price: int) -> None:
        """Buyers against sellers in their order; the one with a market order counts as taker."""
        left = list(shares)
        buyers, sellers = (
            [i for i, bid in enumerate(bids) if bid.side == side and shares[i]]
            for side in (BUY, SELL)
        )
        while buyers and sellers:
            buyer, seller = buyers[0], sellers[0]
            lots, side = min(left[buyer], left[seller]), SELL
            taker, maker = seller, buyer
            if bids[seller].price is not None:
                side, taker, maker = BUY, buyer, seller
            names = bids[taker].owner, bids[maker].owner
            mid = float(self.reference)
            self.desk.see(Print(time_ns, self.name, price, lots, side, *names, mid))
            for queue in (buyers, sellers):
                left[queue[0]] -= lots
                if not left[queue[0]]:
                    queue.pop(0)

    def resting(self) -> list[tuple[int, int]]:
        return [(b.side * (b.price or 0), b.lots) for b in (*self._bids, *self._waiting)]
