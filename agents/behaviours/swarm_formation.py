"""Rules of the task `formation` of the world `swarm`: consensus about where the middle is.

Each says, on the topic `belief`, where the middle would have to be for it to stand in its place,
and goes towards what its neighbours believe:
    v_i = gain sum_j (belief_j - belief_i)
What a neighbour said is as old as its message; `same_age` compares it with what the robot itself
believed then, which keeps the mean of all where it is, and grows unstable with the delay. Compared
with its belief of now it is stable whatever the delay, and slower.
Source: Olfati-Saber and Murray 2004, see `sim.worlds.swarm.consensus`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot, limited

BELIEF: Final = 3
"""Numbers of a message: who says it, and the middle x, y."""


class Consensus(Robot):
    """params: gain (1/s per neighbour, default 0.4), same_age (default true), patience (s, for
    which a message counts; default 3), margin.

    Memory: where it and its place were at the latest decisions, the newest first.
    """

    speaks: Mapping[str, int] = {"belief": BELIEF}
    hears: Mapping[str, int] = {"belief": BELIEF}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.gain = float(params.get("gain", 0.4))
        self.same_age = bool(params.get("same_age", True))
        self.patience = float(params.get("patience", 3.0))
        self.kept = math.ceil(self.patience / self.period) + 1
        self.remembers = 4 * self.kept

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        position, place = self.pair(xp, obs, ""), self.pair(xp, obs, "place")
        belief = position - place
        history = xp.reshape(memory, (obs.shape[0], self.kept, 4))
        now = xp.concat((position, place), axis=1)[:, None]
        is_first = xp.all(history == 0, axis=2, keepdims=True)
        history = xp.where(is_first, now, history)
        history = xp.concat((now, history[:, :-1]), axis=1)
        memory = xp.reshape(history, (obs.shape[0], -1))
        told = xp.concat((self.field(obs, "number"), belief), axis=1)
        wanted = self.wanted(xp, obs, inbox.get("belief"), history)
        return limited(xp, wanted, self.speed), {"belief": told}, memory

    def wanted(self, xp: Any, obs: Array, heard: Any, history: Array) -> Array:
        """Shapes: history [B, kept, 4] -> [B, 2] m/s."""
        belief = history[..., :2] - history[..., 2:]
        if heard is None or not heard.values.shape[1]:
            return xp.zeros_like(belief[:, 0])
        counts = self.field(obs, "counts")
        number = xp.arange(1, counts.shape[1] + 1, dtype=obs.dtype, device=device(obs))
        is_by = heard.values[..., :1] == number
        weight = xp.sum(xp.where(is_by, counts[:, None], 0.0 * counts[:, None]), axis=2)
        is_new = heard.present & (heard.age_s <= self.patience)
        weight = weight * xp.astype(is_new, obs.dtype)
        own = belief[:, :1]
        if self.same_age:
            ages = xp.round(heard.age_s / self.period)[..., None]
            then = ages == xp.arange(self.kept, dtype=obs.dtype, device=device(obs))
            own = xp.astype(then, obs.dtype) @ belief
        apart = heard.values[..., 1:] - own
        return self.gain * xp.sum(weight[..., None] * apart, axis=1)


class Present(Consensus):
    """Compares what it hears with what it believes now. params: as of Consensus, but `same_age`."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, {**params, "same_age": False})
