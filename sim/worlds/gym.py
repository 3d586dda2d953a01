"""Any environment of Gymnasium as a world of one agent, named `agent`.

    world: {gym: CartPole-v1}
    world: {gym: "highway_env:merge-v0", dt: 1s}     a package that registers it, and its name

As `sim.worlds.pettingzoo` in all else.
Source: Towers et al. 2024, "Gymnasium: A Standard Interface for Reinforcement Learning
Environments".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from sim.worlds.catalogue import parse
from sim.worlds.classics.common import step_ns
from sim.worlds.foreign import Foreign, find_function, make_env

RULES: Final[dict[str, str]] = {}
"""None: the environments are unknown. A scenario names who plays, or `none`."""
AGENT: Final = "agent"


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment and its time."""

    env: str
    """Its registered name, such as CartPole-v1, or package:name."""
    kwargs: dict[str, Any] = {}
    """What gymnasium.make takes beside the name."""
    dt: str | float = "100ms"
    """Virtual time of one step."""
    max_steps: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The episode is cut after so many; 0: when the environment or the horizon cuts it."""


class Alone:
    """An environment of one agent with the face of a parallel one."""

    possible_agents = (AGENT,)

    def __init__(self, env: Any) -> None:
        self.env = env
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        return self.env.observation_space

    def action_space(self, agent: str) -> Any:
        return self.env.action_space

    def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = self.env.reset(seed=seed)
        self.agents = [AGENT]
        return {AGENT: observation}, {AGENT: info}

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        found = self.env.step(actions[AGENT])
        if found[2] or found[3]:
            self.agents = []
        return tuple({AGENT: part} for part in found)


def make(params: Mapping[str, Any]) -> Foreign:
    """The world of these parameters.

    Raises: UnknownKeyError, BoundError, also for a space that is not mapped; InstallationError if
            Gymnasium is missing.
    """
    p = parse(Params, params, "gym")
    env = make_env(find_function("gymnasium", "make"), {"id": p.env, **p.kwargs})
    return Foreign("gym", Alone(env), step_ns(p.dt), p.max_steps)


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """None: nothing is known of the environment."""
    return {}
