"""Roles for learned policies of the smart grid's devices: a rule, shifted by a network.

The protocol stays the rule's own: reports each minute, limits obeyed, offers each quarter of an
hour for the next one. What the network decides, once a quarter, are shifts of what the rule would
do, in [-1, 1] after a scale (`REACH`) that keeps first trials near the rule; all zeros are the
rule, to the bit, so that training begins at its level:

    power     feeds in more (positive) or draws more (negative) than was traded; full scale is the
              rated power, and small values, such as exploration makes, count as none
    unheard   if an offer was not answered, what to keep of it nevertheless: the share sold
              (positive) or bought (negative), since a lost award counts all the same
    buys, sells, spare          energy offered, up or down
    buys_at, sells_at, waits_at prices offered, towards the highest (1) or lowest (-1) sensible one

A policy sees its device's own observation, brought to a scale of about 1, and what it knows of its
trades. One object plays every device of a group. Rules: `agents.behaviours.smart_grid`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from array_api_compat import array_namespace

from agents.behaviours import smart_grid as rules
from agents.behaviours.smart_grid import WH_PER_KW, Device, View, say
from agents.behaviours.smart_grid_features import COMMON, FORECASTS, features
from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.spaces import Field, Space
from sim.worlds.smart_grid_spaces import QUARTER_MIN

REACH: Final = 0.3
"""Shift per unit decided. Networks begin with decisions of mean 0 and standard deviation 1."""
CALM: Final = 0.4
"""Shifts of power up to this size count as none."""
LATELY: Final = 0.1
"""Weight of the newest offer in the share of offers answered."""
STEP: Final = 0.5
"""Share by which an offered energy goes up or down at most."""

Steps = Sequence[tuple[Any, Any]]
"""Steps of an offer: (Wh, EUR/kWh), positive energies buy."""


class LearningDevice:
    """What the roles share. Subclasses name their rule, what they shift and what more they see.

    params: shifts (names of those that the network decides; default all), quarters (that a decision
            lasts; default 1). Long decisions are fewer, so that what came of each is easier told.
    Memory: the rule's, then (Wh, 1) the share of offers answered of late, whether this quarter's
    was, what it offered to sell and to buy for this quarter, and for the next.
    """

    is_random = False
    ignores_absent = True
    shown: ClassVar[Mapping[str, int]] = {}
    """Topics whose messages the network sees as they are: none, the role reads them."""
    rule: ClassVar[type[Device]]
    shifts: ClassVar[tuple[str, ...]]
    own: ClassVar[tuple[Field, ...]] = ()

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.device = self.rule(name, group, params)
        self.every = QUARTER_MIN * max(int(params.get("quarters", 1)), 1)
        self.speaks, self.hears = self.device.speaks, self.device.hears
        self.sees = Space((*COMMON, *self.own))
        chosen = tuple(params.get("shifts", self.shifts))
        for shift in chosen:
            if shift not in self.shifts:
                raise UnknownKeyError(
                    f"role of {name}: no shift {shift!r}; {did_you_mean(shift, self.shifts)}"
                )
        self.decides = Space(tuple(Field(shift) for shift in chosen))

    def memory(self, xp: Any, batch: int) -> Any:
        all_answered = xp.ones((batch, 2), dtype=xp.float64)
        nothing = xp.zeros((batch, 4), dtype=xp.float64)
        return xp.concat((self.device.memory(xp, batch), all_answered, nothing), axis=1)

    def is_due(self, obs: Any) -> Any:
        return obs[:, self.device.at["minute"]][:, 0] % self.every == 0

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        see = self._view(obs, inbox, memory)
        return features(see, self._trades(see, memory), tuple(f.name for f in self.own))

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: as `agents.roles.Role`; decision [B, shifts]."""
        see = self._view(obs, inbox, memory)
        xp, by = see.xp, dict.fromkeys((*self.shifts, "unheard", "power"), see.zero)
        shifts = xp.clip(REACH * decision, -1.0, 1.0)
        by |= {shift: shifts[:, at] for shift, at in self.decides.slices.items()}
        awarded, trades = see.award_wh, self._trades(see, memory)
        _, is_heard, sold, bought = trades
        kept = see.positive(by["unheard"]) * -sold + see.positive(-by["unheard"]) * bought
        see.award_wh = xp.where(is_heard > 0, awarded, awarded + kept)
        see.award_wh = see.award_wh - calmed(by["power"]) * see["rated_kw"] * WH_PER_KW
        action, report, offers, more = self.device.decide(see, memory)
        offers, report = self.shifted(see, by, offers, report)
        sells = sum((see.positive(-wh) for wh, _ in offers), see.zero)
        buys = sum((see.positive(wh + see.zero) for wh, _ in offers), see.zero)
        last = memory.shape[1]
        sells = xp.where(see.is_first, sells, memory[:, last - 2 : last - 1])
        buys = xp.where(see.is_first, buys, memory[:, last - 1 :])
        after = xp.concat((awarded, *more, *trades, sells, buys), axis=1)
        return action, say(see, report, offers), after

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        """The rule's offers and report as the network shifts them."""
        return offers, report

    def _view(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> View:
        return View(self.device.at, obs, inbox, memory)

    def _trades(self, see: View, memory: Any) -> tuple[Any, Any, Any, Any]:
        """The share of offers answered of late; of this quarter whether its offer was, and Wh
        offered to sell and to buy.
        """
        xp, at = see.xp, memory.shape[1] - 6
        share, is_heard, sold, bought, sells, buys = (
            memory[:, at + i : at + i + 1] for i in range(6)
        )
        is_new = xp.astype(see.is_new, memory.dtype)
        # An offer of nothing is not answered, and says nothing of the links.
        is_told = see.is_first & (sells + buys > 0)
        return (
            xp.where(is_told, share + LATELY * (is_new - share), share),
            xp.where(see.is_first, is_new, is_heard),
            xp.where(see.is_first, sells, sold),
            xp.where(see.is_first, buys, bought),
        )


def calmed(shift: Any) -> Any:
    """A shift in [-1, 1] without its small values, and continuous."""
    xp = array_namespace(shift)
    size = xp.clip((xp.abs(shift) - CALM) / (1.0 - CALM), 0.0, 1.0)
    return xp.sign(shift) * size


def toward(see: View, value: Any, low: Any, high: Any, shift: Any) -> Any:
    """`value` moved towards `high` (at 1) or `low` (at -1)."""
    up, down = see.positive(shift), see.positive(-shift)
    return value + up * (high - value) + down * (low - value)


class LearningBattery(LearningDevice):
    """Beside the rule's prices, when to charge without a trade, and what to keep stored for."""

    rule = rules.Battery
    shifts = ("power", "unheard", "buys", "buys_at", "sells_at")
    own = (Field("charge", help="stored, of its capacity"),)

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        xp = see.xp
        (asked, price), (buys, buys_at), (sells, sells_at) = offers
        most = see["rated_kw"] * WH_PER_KW
        then = self.device.stored_then(see, report[0])  # type: ignore[attr-defined]
        room = 1000 * (see["capacity_kwh"] - then) / see["efficiency"]
        buys = see.positive(xp.minimum(buys + by["buys"] * most, xp.minimum(most, room) - asked))
        mean = xp.mean(see["price_day"], axis=1, keepdims=True)
        least = see["feed_in_price"] + see["wear_eur"]
        moved = toward(see, sells_at, least, 1.5 * mean, by["sells_at"])
        buys_at = toward(see, buys_at, see.zero, price, by["buys_at"])
        # What it would not sell at, the operator is not to call it for either.
        up = report[5] + see.positive(moved - sells_at)
        return ((asked, price), (buys, buys_at), (sells, moved)), (*report[:5], up)


class LearningVehicle(LearningDevice):
    """When to charge beyond the rule, and what an hour's energy is worth to it."""

    rule = rules.Vehicle
    shifts = ("power", "unheard", "buys_at")
    own = (
        Field("is_connected"),
        Field("need", help="of what it charges in an hour"),
        Field("left", help="of a day"),
        Field("urgency", help="power it needs to be in time, of its rating"),
    )

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        ((needs, pays),) = offers
        pays = toward(see, pays, see["feed_in_price"], see["import_price"], by["buys_at"])
        return ((needs, pays),), report


class LearningHousehold(LearningDevice):
    """How much to buy for what cannot wait, and what is worth not waiting for."""

    rule = rules.Household
    shifts = ("power", "unheard", "buys", "waits_at")
    own = (*FORECASTS, Field("waits"), Field("room"))

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        (firm, price), (waits, worth) = offers
        firm = firm * (1 + STEP * by["buys"])
        worth = toward(see, worth, see["feed_in_price"], price, by["waits_at"])
        return ((firm, price), (waits, worth)), report


class LearningConsumer(LearningDevice):
    """How much to buy of what it expects to need, and how much to spare at which price."""

    rule = rules.Consumer
    shifts = ("unheard", "buys", "spare", "spare_at")
    own = (*FORECASTS, Field("value", help="of what it forgoes, per mean tariff"))

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        (firm, price), (part, worth), (spare, spare_at) = offers
        shift = 1 + STEP * by["buys"]
        spare = see.positive(spare + STEP * by["spare"] * (firm + part))
        spare_at = toward(see, spare_at, see["feed_in_price"], price, by["spare_at"])
        return ((firm * shift, price), (part * shift, worth), (spare, spare_at)), report


class LearningInverter(LearningDevice):
    """How much of what it expects to have it sells."""

    rule = rules.Inverter
    shifts = ("sells",)
    own = FORECASTS

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        ((sells, price),) = offers
        return ((sells * (1 + STEP * by["sells"]), price),), report


class LearningGenerator(LearningDevice):
    """When to run without a trade, and at which price to offer."""

    rule = rules.Generator
    shifts = ("power", "unheard", "sells_at")

    def shifted(
        self, see: View, by: Mapping[str, Any], offers: Steps, report: tuple[Any, ...]
    ) -> tuple[Steps, tuple[Any, ...]]:
        ((sells, price),) = offers
        price = toward(see, price, see["feed_in_price"], see["import_price"], by["sells_at"])
        return ((sells, price),), report
