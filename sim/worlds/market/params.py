"""What a market is made of, and its times in nanoseconds."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from sim.errors import BoundError, UnknownKeyError
from sim.ids import did_you_mean
from sim.units import duration_ns

Count = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units: prices in ticks, money in cents, of which a tick is worth `lot_value` per lot."""

    form: Literal["book", "dealer", "call"] = "book"
    venues: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    makers: Count = 2
    informed: Count = 2
    noise: Count = 6
    trend: Count = 0
    reverters: Count = 0
    arbitrageurs: Count = 0
    institutions: Count = 0
    dt: str | float = "100ms"
    """A step: how often the value moves and figures are taken."""
    every: str | float = ""
    """Between the observations of an agent; a step if not given."""
    price: Annotated[int, msgspec.Meta(ge=1, le=10**8)] = 10_000
    """What a share is worth at first, and expected to be worth in each round."""
    value: Literal["", "walk", "binary", "normal"] = ""
    """How the value is drawn; if not given: walk in a book, binary for dealers, normal in calls."""
    volatility: Annotated[float, msgspec.Meta(ge=0, le=10**6)] = 4.0
    """Of the value: per root of a second if it walks, otherwise the standard deviation."""
    delay: str | float = "2s"
    """Until what the informed see is news to everybody."""
    round: str | float = "10s"
    """Between draws of a value that does not walk, and between calls."""
    lead: str | float = "200ms"
    """Before a call, when the imbalance is told."""
    lot_value: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 100
    """A lot is a hundred shares, and a tick one cent."""
    taker_fee: Annotated[int, msgspec.Meta(ge=-(10**6), le=10**6)] = 30
    maker_fee: Annotated[int, msgspec.Meta(ge=-(10**6), le=10**6)] = -20
    """Per lot; negative is a rebate."""
    position_max: Whole = 0
    messages_per_second: Whole = 0
    drawdown_max: Whole = 0
    """Limits of each participant; 0 is none. Whose equity is `drawdown_max` below its best is cut
    off by its kill switch."""
    band: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    """Of the circuit breaker, around the mean price of the last `band_window`; 0 never halts."""
    band_window: str | float = "5min"
    pause: str | float = "10s"
    impact: str | float = "1s"
    """From a trade to where its impact is measured."""
    cancel_on_disconnect: tuple[str, ...] = ()
    """Names or patterns of venues: what rests there of a participant is taken out once it has been
    disconnected for as long as `heartbeat`."""
    heartbeat: str | float = "500ms"
    objective: str = "pricing error"
    """The figure that a run is judged by; for a learner, that which its profits are in."""
    noise_lots: Annotated[float, msgspec.Meta(ge=0, le=10**6)] = 0.0
    """Standard deviation of what noise wants in a call, if known: for the profits of `kyle`."""
    shock: Whole = 100
    """By which the event `shock` lets the value fall."""

    @property
    def walks(self) -> bool:
        """Whether the value moves all the time and is never redeemed."""
        return self.value == "walk"

    def names(self, kind: str) -> tuple[str, ...]:
        """All of a kind of participants, or the venues."""
        counts = {
            "maker": self.makers, "informed": self.informed, "noise": self.noise,
            "trend": self.trend, "reverter": self.reverters, "arbitrageur": self.arbitrageurs,
            "institution": self.institutions, "venue": self.venues,
        }  # fmt: skip
        return tuple(f"{kind}-{i + 1}" for i in range(counts[kind]))

    def cancels(self, venue: str) -> bool:
        """Whether a venue takes out what rests of those it has lost."""
        return any(fnmatch.fnmatchcase(venue, pattern) for pattern in self.cancel_on_disconnect)

    def checked(self) -> Params:
        """With what was left out. Raises: BoundError for what cannot go together."""
        value = self.value or {"book": "walk", "dealer": "binary", "call": "normal"}[self.form]
        if self.form == "call" and value == "walk":
            raise BoundError("world.value: a call needs a value per round: binary or normal")
        if not sum(len(self.names(kind)) for kind in ("maker", "informed", "noise")):
            raise BoundError("world: a market needs participants: makers, informed or noise")
        if value != "walk" and self.volatility >= self.price:
            raise BoundError("world.volatility: expected less than world.price")
        for pattern in self.cancel_on_disconnect:
            if not fnmatch.filter(self.names("venue"), pattern):
                close = did_you_mean(pattern, self.names("venue"))
                raise UnknownKeyError(f"world.cancel_on_disconnect: no venue {pattern!r}; {close}")
        return msgspec.structs.replace(self, value=value)


@dataclass(frozen=True)
class Times:
    """Durations. Units: ns."""

    dt: int
    every: int
    delay: int
    round: int
    lead: int
    window: int
    pause: int
    impact: int
    heartbeat: int

    @classmethod
    def of(cls, p: Params) -> Times:
        """Raises: BoundError for one that is no duration, or no whole number of steps."""
        given = {
            "dt": p.dt, "every": p.every or p.dt, "delay": p.delay, "round": p.round,
            "lead": p.lead, "window": p.band_window, "pause": p.pause, "impact": p.impact,
            "heartbeat": p.heartbeat,
        }  # fmt: skip
        found = {}
        for name, text in given.items():
            try:
                found[name] = duration_ns(text)
            except ValueError as error:
                key = "band_window" if name == "window" else name
                raise BoundError(f"world.{key}: {error}") from None
        dt = found["dt"]
        if dt <= 0:
            raise BoundError("world.dt: a step must be longer than 0")
        rounds = () if p.walks else ("round", "lead") if p.form == "call" else ("round",)
        for name in ("every", "delay", *rounds):
            if found[name] % dt or (found[name] == 0 and name != "delay"):
                raise BoundError(f"world.{name}: expected a whole number of steps of {p.dt}")
        if p.form == "call" and found["lead"] >= found["round"]:
            raise BoundError("world.lead: expected less than world.round")
        return cls(**found)
