"""A venue with an order book that is always open; the dealers' is one in which only they rest.

What comes in is a message of `orders`. Who traded is told on `fill`, who was refused on `reject`;
to everybody who subscribes go `quote`, when the best prices change, and `trade`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sim.worlds.market.accounts import Account, Clearing, Rejected
from sim.worlds.market.book import BUY, SELL, Book
from sim.worlds.market.breaker import Breaker
from sim.worlds.market.orders import Cancel, Kill, Look, Message, Order, Quote, read
from sim.worlds.world import Said

SIDES: Final = {"buy": BUY, "sell": SELL}
WAYS: Final = {BUY: "buy", SELL: "sell"}


@dataclass(frozen=True)
class Print:
    """A trade as it goes on the tape. side: of the taker. mid: before the order came."""

    time_ns: int
    venue: str
    price: int
    lots: int
    side: int
    taker: str
    maker: str
    mid: float | None


@dataclass(frozen=True)
class Desk:
    """What a venue works with. Units: fees in cents per lot.

    say, see: take what the venue says, and what is traded. kill: switches a participant off, at all
    venues; how many lots were taken out. makers: who may rest; None: everybody.
    patience_ns: for which one may be disconnected before its orders go; None: for ever.
    """

    clearing: Clearing
    say: Callable[[Said], None]
    see: Callable[[Print], None]
    kill: Callable[[str], int]
    form: str = "book"
    taker_fee: int = 0
    maker_fee: int = 0
    makers: frozenset[str] | None = None
    patience_ns: int | None = None


class Venue:
    """Orders by price and time, within the band of its breaker and the limits of participants."""

    def __init__(self, name: str, desk: Desk, breaker: Breaker) -> None:
        self.name, self.desk, self.breaker = name, desk, breaker
        self.reset(1)

    def reset(self, price: int) -> None:
        """An empty book, at an opening price."""
        self.book = Book()
        self.last = price
        self.breaker.reset(price)
        self._live: dict[str, dict[int, int]] = {}
        self._numbers: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._id = 0
        self._shown: dict[str, Any] = {}

    @property
    def mid(self) -> float | None:
        """Between the best prices; None if one is missing. Units: ticks."""
        bid, ask = self.book.bid, self.book.ask
        return None if bid is None or ask is None else (bid + ask) / 2

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        """Takes a message. Raises: Rejected, which the sender is told too."""
        message: Message | None = None
        try:
            account = self.desk.clearing.count(time_ns, agent)
            message = read(verb, payload)
            answer = self._take(time_ns, agent, account, message)
        except Rejected as error:
            self.desk.clearing.refused += 1
            tag = message.tag if isinstance(message, Order) else 0
            self._say("reject", {"tag": tag, "why": str(error)}, agent)
            raise
        self.show(time_ns)
        return answer

    def advance(self, time_ns: int) -> None:
        """Time has passed: a halt may be over."""
        self.show(time_ns)

    def check(self, time_ns: int, is_connected: Callable[[str], bool]) -> None:
        """Takes out the orders of who has been disconnected for too long, as exchanges do that hear
        no heartbeat."""
        if self.desk.patience_ns is None:
            return
        for name in self.holders():
            if is_connected(name):
                self._lost.pop(name, None)
            elif time_ns - self._lost.setdefault(name, time_ns) >= self.desk.patience_ns:
                del self._lost[name]
                self.clear(name)
        self.show(time_ns)

    def holders(self) -> list[str]:
        """Whose orders rest here."""
        return [name for name, live in self._live.items() if live]

    def _take(self, time_ns: int, agent: str, account: Account, message: Message) -> Any:
        match message:
            case Order():
                return self._order(time_ns, agent, account, message)
            case Quote():
                if self._is_new(agent, message.number):
                    self._quote(time_ns, agent, account, message)
            case Cancel(tag=0):
                if self._is_new(agent, message.number):
                    return {"cancelled": self.clear(agent)}
            case Cancel():
                return {"cancelled": self._cancel(agent, message.tag)}
            case Kill():
                return {"cancelled": self.desk.kill(agent)}
            case Look():
                return self._now(time_ns)
        return None

    def _is_new(self, agent: str, number: int) -> bool:
        """Whether nothing later was here before it."""
        is_new = number == 0 or number > self._numbers.get(agent, 0)
        self._numbers[agent] = max(self._numbers.get(agent, 0), number)
        return is_new

    # --- orders ---------------------------------------------------------------------------------

    def _order(self, time_ns: int, agent: str, account: Account, order: Order) -> dict[str, Any]:
        if self.breaker.is_halted(time_ns):
            raise Rejected("trading is halted")
        side = SIDES[order.side]
        if order.tag:
            self._cancel(agent, order.tag)
        if order.lots > self.desk.clearing.room(account, side):
            raise Rejected("beyond the position limit")
        may_rest = self.desk.makers is None or agent in self.desk.makers
        keeps = order.kind == "limit" and may_rest
        filled, paid, left = self._submit(
            time_ns, agent, account, side, order.lots, order.price, keeps, order.tag
        )
        answer: dict[str, Any] = {
            "tag": order.tag,
            "side": order.side,
            "lots": filled,
            "left": left,
        }
        if filled:
            answer["price"] = paid / filled
            self._say("fill", answer, agent)
        return answer

    def _quote(self, time_ns: int, agent: str, account: Account, quote: Quote) -> None:
        """Both sides anew. What would trade at once is left out: quotes add liquidity."""
        self.clear(agent)
        if self.breaker.is_halted(time_ns):
            raise Rejected("trading is halted")
        bids, asks = quote.bids, quote.asks
        if bids and asks and max(bids) >= (min(asks)[0], 0):
            raise Rejected(f"quote: a bid of {max(bids)[0]} with an ask of {min(asks)[0]}")
        bid, ask = self.book.bid, self.book.ask
        for side, levels, other in ((BUY, bids, ask), (SELL, asks, bid)):
            for price, wanted in levels:
                lots = min(wanted, self.desk.clearing.room(account, side))
                if lots > 0 and (other is None or side * price < side * other):
                    self._submit(time_ns, agent, account, side, lots, price, True, 0)

    def _submit(
        self, time_ns: int, agent: str, account: Account, side: int, lots: int,
        price: int | None, keeps: bool, tag: int,
    ) -> tuple[int, int, int]:  # fmt: skip
        """Lots that traded, what they came to in ticks, and lots that are left or rest."""
        self._id += 1
        id, mid, desk = self._id, self.mid, self.desk
        tag = tag or -id
        cap = self.breaker.worst(side)
        is_capped = cap is not None and (price is None or side * price > side * cap)
        worst = cap if is_capped else price
        self._step_aside(agent, side, worst)
        trades = self.book.submit(id, (agent, tag), side, lots, worst, keeps)
        left, paid = lots, 0
        for trade in trades:
            maker, maker_tag = trade.maker
            desk.clearing.settle(agent, side, trade.lots, trade.price, desk.taker_fee)
            desk.clearing.settle(maker, -side, trade.lots, trade.price, desk.maker_fee)
            desk.clearing.accounts[maker].working[-side] -= trade.lots
            if not trade.left:
                self._live[maker].pop(maker_tag, None)
            left -= trade.lots
            paid += trade.lots * trade.price
            self.last = trade.price
            self.breaker.see(time_ns, trade.price)
            told = {"side": WAYS[-side], "lots": trade.lots, "price": trade.price}
            self._say("fill", {"tag": max(maker_tag, 0), **told, "left": trade.left}, maker)
            desk.see(Print(time_ns, self.name, trade.price, trade.lots, side, agent, maker, mid))
        if trades:
            self._say("trade", {"side": WAYS[side], "lots": lots - left, "price": self.last})
        if id in self.book.orders:
            account.working[side] += left
            self._live.setdefault(agent, {})[tag] = id
        best = self.book.ask if side == BUY else self.book.bid
        if left and is_capped and best is not None:
            if price is None or side * best <= side * price:
                self.halt(time_ns)
        return lots - left, paid, left

    def _step_aside(self, agent: str, side: int, price: int | None) -> None:
        """Nobody trades with itself: what rests of one's own in the way is taken out."""
        for tag, id in list(self._live.get(agent, {}).items()):
            order = self.book.orders[id]
            if order.side != side and (price is None or side * order.price <= side * price):
                self._cancel(agent, tag)

    def _cancel(self, agent: str, tag: int) -> int:
        id = self._live.get(agent, {}).pop(tag, 0)
        if not id:
            return 0
        side = self.book.orders[id].side
        left = self.book.cancel(id)
        self.desk.clearing.accounts[agent].working[side] -= left
        return left

    def clear(self, agent: str) -> int:
        """Takes out all that rests of a participant; how many lots that were."""
        return sum(self._cancel(agent, tag) for tag in list(self._live.get(agent, ())))

    def close(self) -> None:
        """Takes out everything."""
        for agent in list(self._live):
            self.clear(agent)

    def halt(self, time_ns: int, pause_ns: int | None = None) -> None:
        """Stops trading; what rests stays, and may be taken out."""
        self.breaker.halt(time_ns, pause_ns)

    def resting(self) -> list[tuple[int, int]]:
        """Prices, negative for sellers, and lots of all that rests, in order."""
        return [(o.side * o.price, o.left) for side in WAYS for o in self.book.queue(side)]

    # --- what is said ---------------------------------------------------------------------------

    def best(self) -> dict[str, int | None]:
        """The best prices, with what is there."""
        found: dict[str, int | None] = {}
        for name, side in (("bid", BUY), ("ask", SELL)):
            top = self.book.depth(side, 1)
            found[name], found[f"{name}_lots"] = top[0] if top else (None, 0)
        return found

    def _now(self, time_ns: int) -> dict[str, Any]:
        halted = self.breaker.is_halted(time_ns)
        return {**self.best(), "last": self.last, "halted": halted, "form": self.desk.form}

    def show(self, time_ns: int) -> None:
        """Publishes the best prices, if they are others than before."""
        now = self._now(time_ns)
        if now != self._shown:
            self._shown = now
            self._say("quote", now)

    def _say(self, topic: str, payload: Any, to: str = "") -> None:
        self.desk.say(Said(self.name, topic, payload, to))
