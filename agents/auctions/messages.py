"""What auctioneers and bidders say to each other. Each is a list that begins with its kind.

auctioneer to bidders    call, price (each step of a clock), award, outcome
bidder to auctioneer     bid, confirm, heard
auctioneer to deputies   watch, outcome
bidder to deputy         outcome: it is over already
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MONEY_MIN: Final = 1e-12
MONEY_MAX: Final = 1e18
"""The smallest tick, and the largest amount."""
LINE_MAX: Final = 16
TRIES_MAX: Final = 64
TIME_MAX_NS: Final = 2**56
"""About two years, so that the end of the last term is an instant too."""


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """What an auction is about, as bidders are told.

    id:        the same for all terms. line: the auctioneer and its deputies; term: which of them
               holds it now.
    format:    a name of `FORMATS`. units, reserve, start, increment: see `Auction.hold`.
    tick:      the smallest amount of money; grain: of quantity.
    began_ns, closes_ns: bids count that arrive before it closes.
    ends_ns:   by then it has an outcome, or the auctioneer has failed.
    """

    id: str
    line: list[str]
    term: int
    format: str
    items: list[str]
    units: int
    reserve: float
    start: float
    increment: float
    tick: float
    grain: float
    began_ns: int
    closes_ns: int
    ends_ns: int

    @property
    def auctioneer(self) -> str:
        return self.line[self.term]

    @property
    def span_ns(self) -> int:
        return self.ends_ns - self.began_ns

    @property
    def void_ns(self) -> int:
        """When the last deputy must have finished."""
        return self.ends_ns + (len(self.line) - 1 - self.term) * self.span_ns

    def taken_over(self, term: int, now_ns: int) -> Terms:
        """The same auction, held anew from now on by another of the line."""
        later = now_ns - self.began_ns
        return msgspec.structs.replace(
            self,
            term=term,
            began_ns=now_ns,
            closes_ns=self.closes_ns + later,
            ends_ns=self.ends_ns + later,
        )


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """What only who holds an auction needs to know; see `Auction.hold`. Times in ns; confirm 0:
    awards need no confirmation."""

    bidders: list[str]
    every_ns: int
    confirm_ns: int
    settle_ns: int
    reawards: int
    tries: int
    quorum: int


class Share(msgspec.Struct, frozen=True, array_like=True):
    """What a bidder gets: items, how much of them, and what it pays in all (is paid, below 0)."""

    items: list[str]
    quantity: float
    pays: float


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    terms: Terms


class Watch(msgspec.Struct, frozen=True, array_like=True, tag="watch"):
    terms: Terms
    plan: Plan


class Price(msgspec.Struct, frozen=True, array_like=True, tag="price"):
    id: str
    term: int
    step: int
    price: float


class Bid(msgspec.Struct, frozen=True, array_like=True, tag="bid"):
    """value: None declines; at a clock, whether the bidder is in (or takes it) at that step."""

    id: str
    term: int
    step: int
    value: Any


class Award(msgspec.Struct, frozen=True, array_like=True, tag="award"):
    """Provisional: it counts if it is confirmed by an instant, and with the outcome."""

    id: str
    term: int
    version: int
    share: Share
    confirm_by_ns: int


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag="confirm"):
    id: str
    term: int
    version: int
    accepts: bool


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="outcome"):
    """status: sold, unsold or void. shares: of all who won."""

    id: str
    term: int
    status: str
    shares: dict[str, Share]


class Heard(msgspec.Struct, frozen=True, array_like=True, tag="heard"):
    id: str
    term: int


Told = Call | Price | Award | Outcome
"""By who holds an auction, to a bidder."""
Answer = Bid | Confirm | Heard | Outcome
"""To who holds it."""
Letter = Call | Watch | Price | Bid | Award | Confirm | Outcome | Heard


def read(payload: Any) -> Letter | None:
    """A message, if the payload is one."""
    try:
        letter: Letter = msgspec.convert(payload, Letter)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError):
        return None
    if isinstance(letter, Call | Watch) and not is_sound(letter.terms):
        return None
    if isinstance(letter, Watch) and not is_feasible(letter.plan):
        return None
    if isinstance(letter, Price) and not abs(letter.price) <= MONEY_MAX:
        return None
    return letter


def is_sound(terms: Terms) -> bool:
    """Whether these are terms at all: who says nonsense must not end who listens."""
    money = (terms.reserve, terms.start, terms.increment)
    return (
        0 <= terms.term < len(terms.line) <= LINE_MAX
        and MONEY_MIN <= terms.tick <= MONEY_MAX
        and MONEY_MIN <= terms.grain <= MONEY_MAX
        and all(abs(amount) <= MONEY_MAX for amount in money)
        and 0 <= terms.began_ns <= terms.closes_ns <= terms.ends_ns <= TIME_MAX_NS
    )


def is_feasible(plan: Plan) -> bool:
    """Whether an auction can be held so: there is a bound on what is sent, and on how often."""
    return (
        len(plan.bidders) > 0
        and 1 <= plan.tries <= TRIES_MAX
        and plan.every_ns >= 1
        and min(plan.confirm_ns, plan.settle_ns, plan.reawards, plan.quorum) >= 0
    )
