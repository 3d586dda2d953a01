"""Any parallel environment of PettingZoo as a world. The other way: `sim.worlds.parallel`.

    world: {kind: pettingzoo, env: "mpe2.simple_spread_v3:parallel_env", kwargs: {N: 3}}

Agents are grouped by the first part of their names (adversary_0, agent_1: groups adversary, agent);
where spaces differ within a group, each agent is a group of its own. An agent without an action in
force does 0, or the nearest to it that exists; one that has left observes zeros. The digest covers
what is observed, earned and over, as an environment's inner state cannot be had.
Source: Terry et al. 2021, "PettingZoo: Gym for Multi-Agent Reinforcement Learning".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from sim.errors import BoundError
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import step_ns
from sim.worlds.foreign import Foreign, make_env
from sim.worlds.parallel import as_parallel_env

RULES: Final[dict[str, str]] = {}
"""None: the environments are unknown. A scenario names who plays, or `none`."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment and its time."""

    env: str
    """module:function that makes it, such as mpe2.simple_spread_v3:parallel_env."""
    kwargs: dict[str, Any] = {}
    """What the function takes."""
    dt: str | float = "100ms"
    """Virtual time of one step."""
    max_steps: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The episode is cut after so many; 0: when the environment or the horizon cuts it."""


def make(params: Mapping[str, Any]) -> Foreign:
    """The world of these parameters.

    Raises: UnknownKeyError, BoundError, also for a space that is not mapped; InstallationError for
            a package that is missing.
    """
    p = parse(Params, params, "pettingzoo")
    module, colon, name = p.env.partition(":")
    if not (module and colon and name):
        raise BoundError(
            "world.env: expected module:function, such as mpe2.simple_spread_v3:parallel_env, "
            f"found {p.env!r}"
        )
    env = make_env(module, name, p.kwargs)
    if not hasattr(env, "possible_agents") or hasattr(env, "agent_iter"):
        raise BoundError(
            f"world.env: {p.env} makes no parallel environment; for one in which agents take turns "
            "see pettingzoo.utils.aec_to_parallel"
        )
    return Foreign("pettingzoo", env, step_ns(p.dt), p.max_steps)


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """None: nothing is known of the environment."""
    return {}


__all__ = ["RULES", "Params", "as_parallel_env", "make", "reference"]
