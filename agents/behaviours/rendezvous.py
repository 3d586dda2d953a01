"""Rule behaviours of the rendezvous world: say what you see, believe the average, steer back.

Each agent tells the others what it saw and did. From what it hears it predicts the point, weighs
the prediction against its own view (one step of a Kalman filter), and acts on the estimate. The
more it hears, the more alike the estimates, and the less the disagreement that is paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

KEEP: Final = 0.9
STEER: Final = 0.1


class Rule:
    """Steers the shared point to the origin by a_i = -gain * estimate.

    params: observation_noise (standard deviation of the own view of s, default 0),
            gain (default: the best linear feedback for that noise, 9 without any).
    """

    toward = -1.0

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.d = group.action.size
        self.noise = float(params.get("observation_noise", 0.0))
        self.gain = float(params["gain"]) if "gain" in params else None
        self.age_max = 1.5e-9 * getattr(group, "every_ns", 100_000_000)
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
        seen, agents = obs[:, : self.d], 1
        known = memory[:, -1:] * xp.concat((memory[:, :-1], obs[:, self.d :]), axis=1)
        count = memory[:, -1:]
        if "state" in inbox and inbox["state"].values.shape[1] > 0:
            heard = inbox["state"]
            fresh = xp.astype(heard.present & (heard.age_s <= self.age_max), obs.dtype)
            # What is not present may hold anything, and 0 times infinity is not 0.
            values = xp.where(fresh[..., None] > 0, heard.values, xp.zeros_like(heard.values))
            known = known + xp.sum(values, axis=1)
            count = count + xp.sum(fresh, axis=1, keepdims=True)
            agents = max(heard.values.shape[1], 2)
        mean = known / xp.clip(count, 1, None)
        predicted = KEEP * mean[:, : self.d] + STEER * mean[:, self.d :]
        estimate = self._weigh(xp, seen, predicted, count)
        action = self.toward * self._gain(agents) * estimate
        one = xp.ones((obs.shape[0], 1), dtype=obs.dtype, device=device(obs))
        return action, {"state": xp.concat((seen, action), axis=1)}, xp.concat((seen, one), axis=1)

    def _weigh(self, xp: Any, seen: Any, predicted: Any, count: Any) -> Any:
        """The prediction corrected by the own view, each by what it is worth."""
        if self.noise == 0:
            return seen
        variance = STEER**2 + (KEEP * self.noise) ** 2 / xp.clip(count, 1, None)
        weight = variance / (variance + self.noise**2)
        weight = xp.where(count > 0, weight, xp.ones_like(weight))
        return predicted + weight * (seen - predicted)

    def _gain(self, agents: int) -> float:
        return best_gain(self.noise, agents) if self.gain is None else self.gain


class RivalRule(Rule):
    """Plays the estimate itself, a_i = s: nobody can do better if all do so."""

    toward = 1.0

    def _gain(self, agents: int) -> float:
        return 1.0


def best_gain(noise: float, agents: int) -> float:
    """The gain of least stationary quadratic cost per coordinate when everybody is heard.

    With k the gain, w the weight of the own view and e the variance of the mean estimate,
    cost = (0.01 + 0.01 k^2 e) / (1 - (0.9 - 0.1 k)^2) + k^2 w^2 noise^2 (1 - 1 / n).
    """
    variance = STEER**2 + (KEEP * noise) ** 2 / agents
    weight = variance / (variance + noise**2)
    error = (1 - weight) ** 2 * variance + (weight * noise) ** 2 / agents
    apart = (weight * noise) ** 2 * (1 - 1 / agents)

    def cost(k: float) -> float:
        stationary = (STEER**2 + (STEER * k) ** 2 * error) / (1 - (KEEP - STEER * k) ** 2)
        return stationary + k * k * apart

    return min((i / 20 for i in range(181)), key=cost)
