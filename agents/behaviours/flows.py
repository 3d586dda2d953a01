"""Ways to divide links among the users who share them, by messages.

Dual ascent: each link's router says a price, which rises while more is asked for than there is; a
user asks for the rate at which one more unit is worth the prices on its way. ADMM: users and
routers agree on rates step by step. Both keep to what was heard last when a message is lost. In a
game of several rounds, a user asks in each for its part of what it still wants.
Sources: Kelly, Maulloo and Tan, Rate Control for Communication Networks (1998); Low and Lapsley,
Optimization Flow Control I (1999), which covers delayed and lost prices; Boyd, Parikh, Chu,
Peleato and Eckstein, Distributed Optimization by ADMM (2011), sections 5.1 and 7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

from agents.behaviours.classics import Rule
from agents.roles import PlainRole
from sim.spaces import Field, Space
from sim.worlds.classics.fields import choice

HALVINGS: Final = 40
LEVELS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""What a learner may ask for, as multiples of an even share of what is left."""
ALPHA_MIN: Final = 0.05
"""Below it a user's answer to a price would jump from nothing to everything."""


class User(Rule):
    """What users have in common."""

    def paced(self, xp: Any, obs: Any, wanted: Any) -> Any:
        """The request of a round, of one who wants so much of the game. Shapes: [B, 1]."""
        wanted = xp.minimum(wanted, self.field(obs, "demand"))
        return xp.clip(wanted - self.field(obs, "got"), 0.0, None) / self.field(obs, "rounds_left")

    def on_route(self, xp: Any, obs: Any, heard: Any) -> Any:
        """What the links of its way said last. Shapes: values [B, s, w] -> [B, l, w]."""
        route = self.field(obs, "route")
        told = by_number(xp, obs, heard, route.shape[1])
        return told * route[..., None]


class Greedy(User):
    """Asks for all it can use at once."""

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self.field(obs, "demand") - self.field(obs, "got"), {}


class Price(Rule):
    """Says its price in every step: dual ascent. Memory: the price.

    params: step (default 0.05): by what the price rises when use would be twice the capacity. It
            converges if step is well below capacity / (sum of the weights on the link), the more so
            the longer messages and measurements take.
    """

    speaks: Mapping[str, int] = {"price": 2}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.step = float(params.get("step", 0.05))

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        rise, _ = self.decide(xp, obs, inbox)
        price = xp.clip(memory + rise, 0.0, None)
        return obs[:, :0], {"price": xp.concat((self.field(obs, "number"), price), axis=-1)}, price

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """By what the price rises. Shapes: [B, 1]."""
        capacity = xp.clip(self.field(obs, "capacity"), 1e-9, None)
        excess = self.field(obs, "projected") / capacity - 1.0
        return self.step * excess, {}


class Answer(User):
    """Wants the rate x at which U'(x) is the sum of the prices on its way, as last heard."""

    hears: Mapping[str, int] = {"price": 2}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        told = self.on_route(xp, obs, inbox["price"])
        price = xp.clip(xp.sum(told[..., 1], axis=1)[:, None], 1e-9, None)
        alpha = xp.clip(self.field(obs, "alpha"), ALPHA_MIN, None)
        return self.paced(xp, obs, (self.field(obs, "weight") / price) ** (1.0 / alpha)), {}


class AdmmLink(Rule):
    """Trims the wishes v of its users to what there is, all by the same amount: the projection
    onto sum v <= c. Says that amount, and the wishes that it was taken from."""

    hears: Mapping[str, int]
    speaks: Mapping[str, int]

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.hears = {"wish": 1 + int(group.observation.fields[0].high)}
        self.speaks = {"trimmed": 2 + group.observation.fields[-1].size}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        number, passes = self.field(obs, "number"), self.field(obs, "passes")
        told = by_number(xp, obs, inbox["wish"], passes.shape[1])
        links = xp.arange(1, told.shape[2], dtype=obs.dtype, device=device(obs))
        wish = passes * xp.sum(told[..., 1:] * xp.astype(links == number, obs.dtype)[:, None], -1)
        excess = xp.sum(wish, axis=1)[:, None] - self.field(obs, "capacity")
        trim = xp.clip(excess, 0.0, None) / xp.clip(xp.sum(passes, axis=1)[:, None], 1.0, None)
        return obs[:, :0], {"trimmed": xp.concat((number, trim, wish), axis=-1)}


class AdmmUser(User):
    """Wants the rate x that is best for it less rho/2 of its squared distances to what the links of
    its way would let it have, and tells them x plus what they trimmed (the scaled multiplier).

    params: rho (default 0.2).
    """

    hears: Mapping[str, int]
    speaks: Mapping[str, int]

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.rho = float(params.get("rho", 0.2))
        where = group.observation.index("route")
        self.speaks = {"wish": 1 + where.stop - where.start}
        self.hears = {"trimmed": 2 + int(group.observation.fields[0].high)}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        route, number = self.field(obs, "route"), self.field(obs, "number")
        told = self.on_route(xp, obs, inbox["trimmed"])
        users = xp.arange(1, told.shape[2] - 1, dtype=obs.dtype, device=device(obs))
        wish = xp.sum(told[..., 2:] * xp.astype(users == number, obs.dtype)[:, None], axis=-1)
        trim = told[..., 1]
        # A link would let it have wish - trim, and its multiplier is trim.
        pull = xp.sum(wish - 2 * trim, axis=1)[:, None]
        wanted = self._best(xp, obs, pull, xp.sum(route, axis=1)[:, None])
        said = xp.concat((number, route * (wanted + trim)), axis=-1)
        return self.paced(xp, obs, wanted), {"wish": said}

    def _best(self, xp: Any, obs: Any, pull: Any, links: Any) -> Any:
        """Where U'(x) = rho (links x - pull), between 0 and the demand. Shapes: [B, 1]."""
        weight, alpha = self.field(obs, "weight"), self.field(obs, "alpha")
        low, high = xp.zeros_like(weight), self.field(obs, "demand")
        for _ in range(HALVINGS):
            x = (low + high) / 2
            is_more = weight * x**-alpha > self.rho * (links * x - pull)
            low, high = xp.where(is_more, x, low), xp.where(is_more, high, x)
        return (low + high) / 2


class Requester(User):
    """Tells the others its weight, and asks for its part, by weight, of what is left of the
    tightest link of its way, an even share of it in each round. With its demand met it weighs
    nothing, and leaves the rest to them."""

    hears: Mapping[str, int]
    speaks: Mapping[str, int]

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        where = group.observation.index("route")
        self.hears = self.speaks = {"weight": where.stop - where.start}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        own, share = weighed(xp, obs, self.field, inbox["weight"])
        part = self.field(obs, "left") * share
        part = xp.min(xp.where(self.field(obs, "route") > 0, part, xp.inf), axis=1)[:, None]
        return part / self.field(obs, "rounds_left"), {"weight": own}


class Levels(PlainRole):
    """What a learner decides: which of `LEVELS` times an even share of what is left of its way, for
    each of those who pass there and each of the rounds left, it asks for. As a `Requester` it says
    its weight; it sees what share of all the weight it has, by what it heard."""

    shown: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self._space = group.observation
        where = self._space.index("route")
        self.hears = self.speaks = {"weight": where.stop - where.start}
        share = Field("share", low=0.0, high=1.0, help="of the weight, where it has least of it")
        self.sees = Space((*self._space.fields, share))
        self.decides = Space((choice("level", len(LEVELS)),))

    def field(self, obs: Any, name: str) -> Any:
        return obs[:, self._space.index(name)]

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        xp = array_namespace(obs)
        _, share = weighed(xp, obs, self.field, inbox["weight"])
        least = xp.min(xp.where(self.field(obs, "route") > 0, share, 1.0), axis=1)
        return xp.concat((obs, least[:, None]), axis=1)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(obs)
        left, users = self.field(obs, "left"), self.field(obs, "users")
        even = xp.min(xp.where(users > 0, left / xp.clip(users, 1.0, None), xp.inf), axis=1)
        levels = xp.asarray(LEVELS, dtype=obs.dtype, device=device(obs))
        level = xp.take(levels, xp.astype(decision[:, 0], xp.int64), axis=0)
        asked = (level * even)[:, None] / self.field(obs, "rounds_left")
        own, _ = weighed(xp, obs, self.field, inbox["weight"])
        return asked, {"weight": own}, memory


def weighed(xp: Any, obs: Any, field: Callable[[Any, str], Any], heard: Any) -> tuple[Any, Any]:
    """What a user says on `weight`: its own on the links of its way, 0 once its demand is met; and
    its share of all that weighs there, as last heard. Shapes: [B, l], [B, l]."""
    weight = field(obs, "weight")
    wants = xp.astype(field(obs, "got") < field(obs, "demand"), obs.dtype)
    own = wants * weight * field(obs, "route")
    others = xp.zeros_like(own)
    if heard.values.shape[1]:
        others = xp.sum(xp.where(heard.present[..., None], heard.values, 0.0), axis=1)
    return own, weight / (weight + others)


def by_number(xp: Any, obs: Any, heard: Any, count: int) -> Any:
    """What was said last by each of those who begin with their number, 1 to `count`; zeros for
    those not heard. Shapes: values [B, s, w] -> [B, count, w]."""
    if not heard.values.shape[1]:
        shape = (obs.shape[0], count, heard.values.shape[2])
        return xp.zeros(shape, dtype=obs.dtype, device=device(obs))
    number = xp.arange(1, count + 1, dtype=obs.dtype, device=device(obs))
    is_from = (heard.values[..., :1] == number) & heard.present[..., None]
    values = xp.where(heard.present[..., None], heard.values, 0.0)
    return xp.sum(xp.astype(is_from, obs.dtype)[..., None] * values[:, :, None, :], axis=1)
