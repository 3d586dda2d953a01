"""Rendezvous: agents steer one shared point by the mean of their actions.

    s' = 0.9 s + 0.1 mean(a) + 0.1 noise              s, a_i, noise in R^d, noise of variance 1

The cooperative reward is shared, r = -|s| - mean_i |a_i - mean(a)|; the competitive one is each
agent's own, r_i = -|s - a_i| - 0.1 sum_j |a_i - a_j|. |x| is the length of x (`l2`) or its square
(`quadratic`). A reward counts the point as it was when the action was chosen. Small enough to
solve by hand (see `reference`), so a learner's score means something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import torch

from sim.errors import BoundError, UnknownKeyError
from sim.spaces import Field, Space
from sim.units import duration_ns
from sim.worlds.catalogue import parse
from sim.worlds.noise import normals, ordered_sum, row_keys, uniforms
from sim.worlds.world import Group, Metric, PhysicalEvent, Round, State

KEEP: Final = 0.9
STEER: Final = 0.1
ACTION_MAX: Final = 10.0
"""Nine times the largest start, which the optimum asks for, fits within."""

RULES: Final = {
    "agent": "agents.behaviours.rendezvous:Rule",
    "rival": "agents.behaviours.rendezvous:RivalRule",
}
_START, _PUSH, _SENSE = range(3)


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of the world."""

    agents: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """How many agents there are, agent-1 and so on."""
    dimension: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    """Of the point and of each action."""
    mode: Literal["cooperative", "competitive"] = "cooperative"
    norm: Literal["l2", "quadratic"] = "l2"
    dt: str | float = "100ms"
    """Time of one step, and of one decision."""
    observation_noise: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """Standard deviation of what each agent sees of s, in each coordinate, drawn anew each step."""


class Rendezvous:
    """The BatchWorld. Group `agent` if the reward is shared, `rival` if each has its own.

    Shapes: s [B, d], action [B, n, d]; sums of the outcome [B]. An absent agent acts 0.
    """

    name = "rendezvous"
    rounds: Sequence[Round] = ()
    events: Sequence[PhysicalEvent] = ()

    def __init__(self, params: Params) -> None:
        self.params = params
        try:
            self.dt_ns = duration_ns(params.dt)
        except ValueError as error:
            raise BoundError(f"world.dt: {error}") from None
        if self.dt_ns == 0:
            raise BoundError("world.dt: a step must be longer than 0")
        d = params.dimension
        self.is_shared = params.mode == "cooperative"
        self.reward_components = ("distance", "spread")
        self.group = Group(
            name="agent" if self.is_shared else "rival",
            agents=tuple(f"agent-{i + 1}" for i in range(params.agents)),
            observation=Space(
                (
                    Field("s", size=d, help="the point, as this agent sees it"),
                    Field("last_action", low=-ACTION_MAX, high=ACTION_MAX, size=d),
                )
            ),
            action=Space((Field("a", low=-ACTION_MAX, high=ACTION_MAX, size=d),)),
            every_ns=self.dt_ns,
            hold="default",
        )
        self.groups: Sequence[Group] = (self.group,)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        d, n = self.params.dimension, self.params.agents
        keys = row_keys(seeds, "rendezvous", device)
        step = torch.zeros(len(seeds), dtype=torch.int64, device=device)
        zero = torch.zeros(len(seeds), dtype=torch.float64, device=device)
        return {
            "key": keys,
            "step": step,
            "s": 2 * uniforms(keys, step, d, _START) - 1,
            "action": zero[:, None, None].expand(-1, n, d).clone(),
            "distance": zero,
            "spread": zero.clone(),
        }

    def advance(
        self,
        state: State,
        actions: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor],
    ) -> tuple[State, dict[str, torch.Tensor]]:
        s, name = state["s"], self.group.name
        a = torch.clamp(actions[name], -ACTION_MAX, ACTION_MAX)
        a = torch.where(present[name][..., None], a, torch.zeros_like(a))
        n = a.shape[1]
        mean = ordered_sum(a, 1) / n
        push = normals(state["key"], state["step"], s.shape[1], _PUSH)
        rewards = self._rewards(s, a, mean)
        distance, spread = torch.unbind(ordered_sum(rewards, 1) / n, -1)
        after = {
            "key": state["key"],
            "step": state["step"] + 1,
            "s": KEEP * s + STEER * mean + STEER * push,
            "action": a,
            "distance": state["distance"] - distance,
            "spread": state["spread"] - spread,
        }
        return after, {name: rewards}

    def _rewards(self, s: torch.Tensor, a: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """[B, n, 2]: the two terms of each agent's reward."""
        n = a.shape[1]
        if self.is_shared:
            distance = -self._size(s)[:, None].expand(-1, n)
            apart = ordered_sum(self._size(a - mean[:, None]), 1) / n
            return torch.stack((distance, -apart[:, None].expand(-1, n)), -1)
        distance = -self._size(s[:, None] - a)
        apart = torch.zeros_like(distance)
        for other in torch.unbind(a, 1):
            apart = apart + self._size(a - other[:, None])
        return torch.stack((distance, -STEER * apart), -1)

    def _size(self, x: torch.Tensor) -> torch.Tensor:
        square = ordered_sum(x * x, -1)
        return square if self.params.norm == "quadratic" else torch.sqrt(square)

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        s, a = state["s"], state["action"]
        seen = s[:, None].expand(-1, a.shape[1], -1)
        if self.params.observation_noise:
            count = a.shape[1] * a.shape[2]
            error = normals(state["key"], state["step"], count, _SENSE).reshape(a.shape)
            seen = seen + self.params.observation_noise * error
        return {self.group.name: torch.cat((seen, a), -1)}

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        raise UnknownKeyError(f"world 'rendezvous' has no physical events, found {event!r}")

    def metrics(self, state: State) -> dict[str, Metric]:
        steps = max(int(state["step"][0]), 1)
        distance, spread = float(state["distance"][0]) / steps, float(state["spread"][0]) / steps
        to_what = "to the origin" if self.is_shared else "of the actions to the point"
        return {
            "reward": Metric(
                0.0 - distance - spread, "per step", "higher", True, "mean over agents and steps"
            ),
            "distance": Metric(distance, "", "lower", False, f"mean distance {to_what}"),
            "spread": Metric(spread, "", "lower", False, "mean cost of disagreeing actions"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        return {
            "kind": "points",
            "title": f"rendezvous, step {int(state['step'][0])}",
            "points": [
                {"name": "s", "at": state["s"][0].tolist(), "role": "point"},
                *(
                    {"name": name, "at": at, "role": "agent"}
                    for name, at in zip(self.group.agents, state["action"][0].tolist(), strict=True)
                ),
            ],
            "extent": ACTION_MAX,
        }

    def terminated(self, state: State) -> torch.Tensor:
        return torch.zeros_like(state["step"], dtype=torch.bool)


def make(params: Mapping[str, Any]) -> Rendezvous:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Rendezvous(parse(Params, params, "rendezvous"))


def optimum(dimension: int) -> tuple[float, float]:
    """Feedback gain and average cost per step of the cooperative, quadratic optimum.

    Equal actions cost nothing, so mean(a) = u is free, and the Riccati equation
    P = 1 + 0.81 P - (0.09 P)^2 / (0.01 P) has the solution P = 1 with u = -9 s: the dead-beat
    control. Then s' = 0.1 noise, and the cost per step is E|s|^2 = 0.01 d. Discounted by g, the
    value is |s|^2 + g / (1 - g) 0.01 d with the same control. As the noise is symmetric and falls
    off from 0, the same control is best for `l2`.
    """
    return -KEEP / STEER, STEER * STEER * dimension


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """What the best control with full knowledge of s earns under the run's own noise.

    Cooperative: `optimum`. Competitive: all play a_i = s, which earns 0, the most there is.
    Units: duration in nanoseconds.
    """
    record = parse(Params, params, "rendezvous")
    if record.mode == "competitive":
        return {"optimum": {"reward": 0.0, "distance": 0.0, "spread": 0.0}}
    world = Rendezvous(record)
    start = world.reset([(seed, 0)])
    steps, total = max(duration_ns // world.dt_ns, 1), float(world._size(start["s"])[0])
    for first in range(0, steps - 1, 65536):
        time = torch.arange(first, min(first + 65536, steps - 1))
        push = normals(start["key"].expand(len(time)), time, record.dimension, _PUSH)
        total += float(world._size(STEER * push).sum())
    cost = total / steps
    return {"optimum": {"reward": -cost, "distance": cost, "spread": 0.0}}
