"""Rule behaviours of the rendezvous world: say what you see, act on what everybody knows.

Each agent tells the others what it saw and did. From what it heard it predicts where the point is
now. Whoever heard the same predicts the same, so acting on the prediction costs no disagreement;
the own, noisy view enters only as far as it is worth its spread. An agent that heard nobody stays
still. Without noise there is nothing to agree upon: the own view is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

KEEP: Final = 0.9
STEER: Final = 0.1
DEAD_BEAT: Final = KEEP / STEER
"""The gain that brings the point to the origin in one step."""


class Rule:
    """Steers the shared point to the origin.

    params: observation_noise (standard deviation of the own view of s, default 0), gain (of the
            prediction, default 2: less than the dead-beat 9, as predictions differ where messages
            are lost, and differences are paid for in proportion to the gain).
    """

    plays_group = True
    is_random = False

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.d = group.action.size
        self.noise = float(params.get("observation_noise", 0.0))
        self.gain = float(params.get("gain", 2.0))
        self.age_max = 1.5e-9 * group.every_ns
        self.speaks = {"state": 2 * self.d}
        self.hears = {"state": 2 * self.d}

    def memory(self, xp: Any, batch: int) -> Any:
        """What it saw a step ago, and whether there was a step. Shapes: [B, d + 1]."""
        return xp.zeros((batch, self.d + 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 2d] (s, own last action) -> action [B, d], says [B, 2d]."""
        xp = array_namespace(obs)
        seen = obs[:, : self.d]
        own = xp.concat((memory[:, :-1], obs[:, self.d :]), axis=1)
        known, count, heard = memory[:, -1:] * own, memory[:, -1:], inbox.get("state")
        others, agents = xp.zeros_like(count), 1
        if heard is not None and heard.values.shape[1] > 0:
            agents = max(heard.values.shape[1], 2)
            is_fresh = heard.present & (heard.age_s <= self.age_max)
            values = xp.where(is_fresh[..., None], heard.values, xp.zeros_like(heard.values))
            others = xp.sum(xp.astype(is_fresh, obs.dtype), axis=1, keepdims=True)
            known, count = known + xp.sum(values, axis=1), count + others
        mean = known / xp.clip(count, 1, None)
        predicted = KEEP * mean[:, : self.d] + STEER * mean[:, self.d :]
        action = self._act(xp, seen, predicted, count, (others > 0, agents))
        one = xp.ones((obs.shape[0], 1), dtype=obs.dtype, device=device(obs))
        return action, {"state": xp.concat((seen, action), axis=1)}, xp.concat((seen, one), axis=1)

    def _act(self, xp: Any, seen: Any, predicted: Any, count: Any, company: tuple[Any, int]) -> Any:
        is_heard, agents = company
        if self.noise == 0 or agents == 1:
            return -DEAD_BEAT * seen
        own = own_gain(xp, self.noise, agents, count)
        action = -self.gain * predicted - own * (seen - predicted)
        return xp.where(is_heard, action, xp.zeros_like(action))


class RivalRule(Rule):
    """Plays its best estimate of s: nobody can do better if all do so."""

    def _act(self, xp: Any, seen: Any, predicted: Any, count: Any, company: tuple[Any, int]) -> Any:
        if self.noise == 0:
            return +seen
        variance = STEER**2 + (KEEP * self.noise) ** 2 / xp.clip(count, 1, None)
        weight = variance / (variance + self.noise**2)
        return xp.where(count > 0, predicted + weight * (seen - predicted), seen)


def own_gain(xp: Any, noise: float, agents: int, count: Any) -> Any:
    """The gain of the own view beside the prediction, of least quadratic cost one step on.

    With v the variance of the prediction from `count` views, the error of the prediction moves
    the point by 0.9 - 0.1 g, and the views differ:
    cost(g) = (0.9 - 0.1 g)^2 v + 0.01 g^2 noise^2 / n + g^2 noise^2 (1 - 1 / n).
    Shapes: count [B, 1] -> [B, 1].
    """
    variance = STEER**2 + (KEEP * noise) ** 2 / xp.clip(count, 1, None)
    apart = noise**2 * (STEER**2 / agents + 1 - 1 / agents)
    return KEEP * STEER * variance / (STEER**2 * variance + apart)
