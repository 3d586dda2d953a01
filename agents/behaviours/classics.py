"""Rule behaviours of the classics: simple, strong enough to beat doing nothing by far.

Pure policies on arrays with a leading batch dimension; none of them remembers anything.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

GOLDEN: Final = (5**0.5 - 1) / 2
SPEED_GAIN: Final = 0.4
"""How much of its speed a body gives up beside each unit of distance that it wants to go."""
STILL: Final = 0.05
"""Below this much want a body is left to itself."""


class Rule(ABC):
    """A policy that neither speaks, hears nor remembers, unless it says so."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}
    plays_group = True
    is_random = False

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.name, self.group = name, group

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        action, said = self.decide(array_namespace(obs), obs, inbox)
        return action, said, memory

    @abstractmethod
    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Action [B, a] and what is said."""

    def field(self, obs: Any, name: str) -> Any:
        """The part of an observation. Shapes: [B, o] -> [B, field.size]."""
        return obs[:, self.group.observation.index(name)]


def constant(xp: Any, obs: Any, value: float, size: int) -> Any:
    """Shapes: -> [B, size]."""
    return xp.full((obs.shape[0], size), value, dtype=obs.dtype, device=device(obs))


class MatrixRule(Rule):
    """Always the same choice. params: choice (default 0)."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.choice = float(params.get("choice", 0))

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return constant(xp, obs, self.choice, 1), {}


class TitForTat(Rule):
    """Does what the other did last; at first 0. For matrix games of two that show the last step.

    Source: Axelrod 1984; in the prisoner's dilemma 0 is to cooperate.
    """

    plays_group = False  # its own name says whom it looks at

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        other = self.field(obs, "last-2" if self.name.endswith("1") else "last-1")
        symbols = xp.arange(other.shape[1], dtype=obs.dtype, device=device(obs))
        return xp.sum(other * symbols[None, :], axis=1, keepdims=True), {}


class SenderRule(Rule):
    """Says the state as it is, one of as many signals."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        where = group.observation.index("state")
        self.speaks = {"signal": where.stop - where.start}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        # When it is not its turn it has nothing to say, and NaN is not sent.
        silence = constant(xp, obs, float("nan"), self.speaks["signal"])
        said = xp.where(self.field(obs, "turn") > 0, self.field(obs, "state"), silence)
        return obs[:, :0], {"signal": said}


class ReceiverRule(Rule):
    """Names the state that was said last."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.hears = {"signal": group.action.fields[0].choices}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return named(xp, obs, inbox["signal"].values), {}


def named(xp: Any, obs: Any, values: Any) -> Any:
    """The largest of what the first sender said; 0 if there is none. Shapes: -> [B, 1]."""
    if values.shape[1] == 0:
        return constant(xp, obs, 0.0, 1)
    return xp.astype(xp.argmax(values[:, 0], axis=1), obs.dtype)[:, None]


class LinearRule(Rule):
    """u = -gain x. params: gain, numbers in the order of x; the best ones of the default worlds."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        is_scalar = group.observation.size == 1
        self.gains = params.get("gain", (GOLDEN,) if is_scalar else (2.76235, 2.50754))

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        u = sum((-float(gain) * obs[:, i : i + 1] for i, gain in enumerate(self.gains)), 0.0)
        return u, {}


class HarvesterRule(Rule):
    """Harvests so much of its share as the stock bears. params: effort (default 0.05625, a
    quarter of the default team's optimum), reserve (no harvest below this stock, default 0.3)."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.effort = float(params.get("effort", 0.05625))
        self.reserve = float(params.get("reserve", 0.3))

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        effort = constant(xp, obs, self.effort, 1)
        return xp.where(self.field(obs, "stock") >= self.reserve, effort, 0.0 * effort), {}


# --- bodies in a plane ----------------------------------------------------------------------------


def steer(xp: Any, want: Any, is_continuous: bool) -> Any:
    """The action that pushes a body towards where it wants. Shapes: [B, 2] -> [B, 1 or 5]."""
    x, y = want[:, :1], want[:, 1:]
    zero = xp.zeros_like(x)
    if is_continuous:
        parts = (zero, -x, x, -y, y)
        return xp.clip(xp.concat(parts, axis=1), 0.0, 1.0)
    across = xp.where(x > 0, zero + 2.0, zero + 1.0)
    along = xp.where(y > 0, zero + 4.0, zero + 3.0)
    chosen = xp.where(xp.abs(x) >= xp.abs(y), across, along)
    return xp.where(xp.maximum(xp.abs(x), xp.abs(y)) < STILL, zero, chosen)


def places(xp: Any, flat: Any) -> Any:
    """Shapes: [B, 2n] -> [B, n, 2]."""
    return xp.reshape(flat, (flat.shape[0], -1, 2))


def nearest(xp: Any, there: Any) -> Any:
    """The nearest of several places, seen from here. Shapes: [B, n, 2] -> [B, 2]."""
    first = xp.argmin(xp.sum(there * there, axis=2), axis=1)
    index = xp.arange(there.shape[1], device=device(there))
    is_it = xp.astype(index[None, :] == first[:, None], there.dtype)
    return xp.sum(there * is_it[..., None], axis=1)


class Body(Rule):
    """A body that goes where `want` says, braking as it comes."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.is_continuous = group.action.size == 5

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        want = self.want(xp, obs, inbox) - SPEED_GAIN * self.field(obs, "velocity")
        return steer(xp, want, self.is_continuous), {}

    @abstractmethod
    def want(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        """Where to go, seen from here. Shapes: [B, 2]."""


class SpreadRule(Body):
    """Each takes the landmark that the shortest assignment gives it.

    All see the same, so all find the same assignment without a word. Up to 5 agents all
    assignments are compared; from 6 on each takes the landmark of its own number.
    """

    plays_group = False  # its own name says whom it looks at

    def want(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        marks = places(xp, self.field(obs, "landmarks"))
        n, own = marks.shape[1], int(self.name.rpartition("-")[2]) - 1
        if n == 1 or n > 5:
            return marks[:, own]
        rest = places(xp, self.field(obs, "others"))
        here = xp.zeros_like(rest[:, :1])
        everybody = xp.concat((rest[:, :own], here, rest[:, own:]), axis=1)
        apart = marks[:, None] - everybody[:, :, None]
        far = xp.sqrt(xp.sum(apart * apart, axis=3))
        orders = list(itertools.permutations(range(n)))
        cost = xp.stack([sum(far[:, i, o[i]] for i in range(n)) for o in orders], axis=1)
        best = xp.argmin(cost, axis=1)
        mine = xp.asarray([order[own] for order in orders], device=device(obs))[best]
        index = xp.arange(n, device=device(obs))
        is_mine = xp.astype(index[None, :] == mine[:, None], obs.dtype)
        return xp.sum(marks * is_mine[..., None], axis=1)


class SpeakerRule(Rule):
    """Says which landmark is meant: by its action, or on the topic "speech" if it has none."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.speaks = {} if group.action.size else {"speech": 3}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        said = xp.astype(obs > 0.4, obs.dtype)
        if self.speaks:
            return obs[:, :0], {"speech": said}
        if self.group.action.size == 3:
            return said, {}
        return named(xp, obs, said[:, None]), {}


class ListenerRule(Body):
    """Goes to the landmark that was said; stays until it hears of one."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.is_seen = any(field.name == "speech" for field in group.observation.fields)
        self.hears = {} if self.is_seen else {"speech": 3}

    def want(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        marks = places(xp, self.field(obs, "landmarks"))
        if self.is_seen:
            said = self.field(obs, "speech")
        elif inbox["speech"].values.shape[1]:
            said = inbox["speech"].values[:, 0]
        else:
            said = constant(xp, obs, 0.0, 3)
        return xp.sum(marks * said[..., None], axis=1)


class PredatorRule(Body):
    """Runs at the nearest prey."""

    def want(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        velocity = self.field(obs, "prey_velocity")
        prey = places(xp, self.field(obs, "others"))[:, -(velocity.shape[1] // 2) :]
        return 10.0 * nearest(xp, prey)


class PreyRule(Body):
    """Runs from the nearest predator, and back towards the middle the farther it is from there.

    params: predators (how many of the others are; default 3).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.predators = int(params.get("predators", 3))

    def want(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> Any:
        threat = nearest(xp, places(xp, self.field(obs, "others"))[:, : self.predators])
        square = xp.sum(threat * threat, axis=1, keepdims=True)
        here = self.field(obs, "position")
        return -threat / xp.clip(square, 0.01, None) - 3.0 * here * xp.abs(here)


# --- an environment of Gymnasium ------------------------------------------------------------------


class PoleRule(Rule):
    """Keeps CartPole's pole up: pushes to the side to which a weighted sum of what it sees leans.

    params: weights (of place, speed, angle, angular speed).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.weights = params.get("weights", (0.1, 0.3, 3.0, 1.0))

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        lean = sum((float(w) * obs[:, i : i + 1] for i, w in enumerate(self.weights)), 0.0)
        return xp.astype(lean > 0, obs.dtype), {}
