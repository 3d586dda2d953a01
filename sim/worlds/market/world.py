"""A market for one share, in three forms, with the same participants in all of them.

`book`:   a limit order book with price-time priority at every venue.
`dealer`: a book in which only market makers rest, so that everybody trades with them
          (Glosten and Milgrom, Bid, ask and transaction prices ..., 1985).
`call`:   orders are collected and cleared at one price (Kyle, Continuous auctions and insider
          trading, 1985).

What a share is worth is the world's secret. In a `book` it walks at random, and who is informed
sees it `delay` earlier than everybody. In the other forms it is drawn anew each round; at its end
everybody is told, and all shares turn into cash. Orders travel to venues over links, so latency
decides who is first; the state of one's account comes with the observation.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.spaces import Field, Space
from sim.worlds.catalogue import parse
from sim.worlds.market.accounts import Clearing, Limits
from sim.worlds.market.breaker import Breaker
from sim.worlds.market.call_venue import CallVenue
from sim.worlds.market.measures import Holdings, Measures
from sim.worlds.market.orders import NUMBERS
from sim.worlds.market.params import Params, Times
from sim.worlds.market.reference import reference
from sim.worlds.market.scene import draw
from sim.worlds.market.value import Value
from sim.worlds.market.venue import Desk, Print, Venue
from sim.worlds.world import Array, Group, Metric, PhysicalEvent, Round, Said, target_of

__all__ = ["KINDS", "ROLES", "RULES", "Market", "make", "reference"]
_HERE: Final = "agents.behaviours.market"
RULES: Final = {
    "maker": f"{_HERE}:Maker",
    "informed": f"{_HERE}:Informed",
    "noise": f"{_HERE}:Noise",
    "trend": f"{_HERE}:Trend",
    "reverter": f"{_HERE}:Reverter",
    "arbitrageur": f"{_HERE}:Arbitrageur",
    "institution": f"{_HERE}:Institution",
    "venue": "none",
}
ROLES: Final = {
    "maker": "agents.behaviours.market_roles:Quoter",
    "informed": "agents.behaviours.market_roles:Insider",
}
KINDS: Final = tuple(kind for kind in RULES if kind != "venue")
"""Of participants."""
_POSITION: Final = Field("position", "lots", help="of shares; negative if owed")
_CASH: Final = Field("cash", "USD")
_NEWS: Final = Field("news", "ticks", help="what everybody knows of the value of a share")
_VALUE: Final = Field("value", "ticks", help="what a share is worth now")
_ROW: Final = struct.Struct("<qqqqq?")


class Market:
    """The world; see `Params` for what it is made of."""

    name = "market"
    is_terminated = False
    reward_components = ("profit",)

    def __init__(self, params: Params) -> None:
        self.params, self.times = params, Times.of(params)
        self.dt_ns = self.times.dt
        self.groups = tuple(self._groups())
        participants = {a: g.name for g in self.groups if g.name != "venue" for a in g.agents}
        limits = Limits(params.position_max, params.messages_per_second, params.drawdown_max)
        self.clearing = Clearing(participants, params.lot_value, limits)
        self.measures = Measures(participants, self.times.impact)
        self.worth = Value(params, self.times)
        self.venues = {name: self._venue(name) for name in params.names("venue")}
        self.rounds = tuple(self._rounds())
        self.events = (
            PhysicalEvent("halt", tuple(self.venues), "trading stops at a venue"),
            PhysicalEvent("kill_switch", tuple(participants), "a participant may trade no more"),
            PhysicalEvent("shock", tuple(self.venues), f"the value falls by {params.shock} ticks"),
        )
        self._words: list[Said] = []
        self.reset(0, 0)

    def _groups(self) -> list[Group]:
        p, common = self.params, (_POSITION, _CASH, _NEWS)
        found = []
        for kind in RULES:
            names = p.names(kind)
            seen = {"informed": (*common, _VALUE), "venue": ()}.get(kind, common)
            if names:
                found.append(Group(kind, names, Space(seen), Space(()), self.times.every))
        return found

    def _rounds(self) -> list[Round]:
        """What policies may say to a venue in numbers: to their own, as programs choose theirs. It
        collects nothing, but takes everything as it comes."""
        p, every = self.params, self.times.every
        found = []
        for i, venue in enumerate(p.names("venue")):
            own = tuple(name for kind in KINDS for name in p.names(kind)[i :: p.venues])
            for verb, fields in NUMBERS.items():
                found.append(Round(verb, own, venue, every, every, len(fields), fields=fields))
        return found

    def _venue(self, name: str) -> Venue:
        p, times = self.params, self.times
        makers = frozenset(p.names("maker")) if p.form == "dealer" else None
        desk = Desk(
            self.clearing, self._say, self._see, self._kill, p.form, p.taker_fee, p.maker_fee,
            makers, times.heartbeat if p.cancels(name) else None,
        )  # fmt: skip
        breaker = Breaker(p.band, times.window, times.pause)
        if p.form == "call":
            return CallVenue(name, desk, breaker, times.round, times.lead)
        return Venue(name, desk, breaker)

    def _say(self, said: Said) -> None:
        self._words.append(said)

    def _see(self, trade: Print) -> None:
        self.measures.see(trade, self.value)

    def said(self) -> list[Said]:
        """What venues have said since this was last asked."""
        words, self._words = self._words, []
        return words

    @property
    def value(self) -> float:
        """What a share is worth now. Units: ticks."""
        return self.worth.now

    # --- time -----------------------------------------------------------------------------------

    def reset(self, seed: int, episode: int) -> None:
        self.worth.reset(seed, episode)
        self.steps = self.round = 0
        self.clearing.reset()
        self.measures.reset()
        self._words.clear()
        self.holdings = {g.name: Holdings() for g in self.groups if g.name != "venue"}
        self._mark = float(self.params.price)
        self.course: deque[tuple[float, float]] = deque(maxlen=600)
        for venue in self.venues.values():
            venue.reset(self.params.price)
            venue.show(0)
        self._equity = self._equities()
        self._gained = {name: 0.0 for name in self.clearing.accounts}

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        self.steps += 1
        now, p = self.steps * self.dt_ns, self.params
        self.worth.walk()
        for venue in self.venues.values():
            venue.advance(now)
        mids = {name: v.mid for name, v in self.venues.items() if v.mid is not None}
        if mids:
            self._mark = sum(mids.values()) / len(mids)
        self.measures.settle(now, mids)
        is_over = now % self.times.round == 0
        for name, venue in self.venues.items():
            if is_over or p.form != "call":  # a call's price is that of its round alone
                mid = mids.get(name, float(venue.last))
                self.measures.sample(now, name, mid, venue.best(), self.value, self.worth.news)
        for name in self.clearing.overdrawn(self._mark):
            self._kill(name)
        self._hold()
        if is_over and not p.walks:
            self._reveal(now)
        before, self._equity = self._equity, self._equities()
        self._gained = {name: (self._equity[name] - before[name]) / 100 for name in before}

    def _reveal(self, now: int) -> None:
        """Everybody is told the value, and is paid it for what it holds; a new round begins."""
        said = {"round": self.round, "value": self.value}
        self._say(Said(next(iter(self.venues)), "value", said))
        self.measures.conclude(self.value)
        if self.params.form == "dealer":
            for venue in self.venues.values():
                venue.close()
                venue.last = self.params.price
                venue.breaker.reset(self.params.price)
        self.clearing.redeem(round(self.value))
        self.round += 1
        self.worth.redraw()
        for venue in self.venues.values():
            venue.show(now)

    def _hold(self) -> None:
        """What the kinds hold."""
        for group in self.groups:
            if group.name == "venue":
                continue
            accounts = [self.clearing.accounts[a] for a in group.agents]
            held = sum(a.position for a in accounts)
            cash = sum(a.cash for a in accounts)
            self.holdings[group.name].sample(
                cash + held * self.value * self.params.lot_value,
                sum(abs(a.position) for a in accounts) / len(accounts),
            )
        self.course.append((self._mark, self.value))

    def _equities(self) -> dict[str, float]:
        return {name: self.clearing.equity(name, self.value) for name in self.clearing.accounts}

    # --- what is seen ---------------------------------------------------------------------------

    def observe(self) -> dict[str, Array]:
        news, found = self.worth.news, {}
        for group in self.groups:
            if group.name == "venue":
                found["venue"] = np.zeros((len(group.agents), 0))
                continue
            accounts = [self.clearing.accounts[a] for a in group.agents]
            tail = [news, self.value][: group.observation.size - 2]
            found[group.name] = np.array([[a.position, a.cash / 100, *tail] for a in accounts])
        return found

    def rewards(self) -> dict[str, Array]:
        """Per agent, what its equity has gained, shares at their value. Units: USD."""
        return {
            g.name: np.array([[self._gained.get(a, 0.0)] for a in g.agents]) for g in self.groups
        }

    def inject(self, event: str, target: str, is_on: bool) -> None:
        target_of(self.events, event, target)
        now = self.steps * self.dt_ns
        if event == "halt":
            self.venues[target].halt(now, (1 << 62) if is_on else 0)
        elif event == "kill_switch":
            self._kill(target, is_on)
        else:
            self.worth.add(-self.params.shock if is_on else self.params.shock)

    def _kill(self, name: str, is_on: bool = True) -> int:
        """The kill switch of a participant; how many lots of its orders were taken out."""
        self.clearing.accounts[name].is_killed = is_on
        return sum(venue.clear(name) for venue in self.venues.values())

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError("world 'market' is spoken to at its venues, by messages")

    def state_bytes(self) -> bytes:
        rows = [
            _ROW.pack(a.cash, a.position, a.fees, a.messages, a.trades, a.is_killed)
            for a in self.clearing.accounts.values()
        ]
        books = [
            struct.pack("<qqq", venue.last, *order)
            for venue in self.venues.values()
            for order in venue.resting()
        ]
        return b"".join([struct.pack("<qd", self.steps, self.value), *rows, *books])

    def metrics(self) -> dict[str, Metric]:
        accounts = self.clearing.accounts.values()
        messages = sum(a.messages for a in accounts)
        figures = self.measures.figures()
        figures["messages per trade"] = Metric(
            messages / max(self.measures.trades, 1), "", "lower", False, "order-to-trade ratio"
        )
        halts = sum(venue.breaker.halts for venue in self.venues.values())
        figures["halts"] = Metric(float(halts), "", "lower", False, "of trading, by breakers")
        refused, off = self.clearing.refused, sum(a.is_killed for a in accounts)
        figures["refused"] = Metric(
            float(refused), "", "lower", False, "messages, by limits, halts or for mistakes"
        )
        figures["cut off"] = Metric(float(off), "", "lower", False, "by their kill switch, now")
        for kind, holdings in self.holdings.items():
            figures |= holdings.figures(kind)
        figures["venue profit"] = Metric(
            self.clearing.fees / 100, "USD", "higher", False, "fees, less rebates"
        )
        aim = self.params.objective
        return {name: replace(m, objective=name == aim) for name, m in figures.items()}

    def scene(self) -> dict[str, Any]:
        return draw(self)


def make(params: dict[str, Any]) -> Market:
    """The world with its parameters. Raises: UnknownKeyError, BoundError."""
    world = Market(parse(Params, params, "market").checked())
    aim, figures = world.params.objective, world.metrics()
    if aim not in figures:
        raise UnknownKeyError(f"world.objective: no figure {aim!r}; {did_you_mean(aim, figures)}")
    return world
