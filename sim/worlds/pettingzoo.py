"""Any environment of PettingZoo as a world. The other way: `sim.env`.

    world: {pettingzoo: "mpe2:simple_spread_v3", kwargs: {N: 5}}
    world: {pettingzoo: my_env.py:make}

Agents are grouped by the first part of their names (adversary_0, agent_1: groups adversary, agent);
where spaces differ within a group, each agent is a group of its own. An agent without an action in
force does 0, or the nearest to it that exists and is allowed; one that has left observes zeros. An
environment in which agents take turns (AEC) is brought here by PettingZoo's own wrappers: of one
that is parallelizable everybody acts in each step, of another only whose turn it is. The digest
covers what is observed, earned and over, as an environment's inner state cannot be had.
Source: Terry et al. 2021, "PettingZoo: Gym for Multi-Agent Reinforcement Learning".
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any, Final

import msgspec

from sim.errors import BoundError
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import step_ns
from sim.worlds.foreign import Foreign, find_function, make_env

RULES: Final[dict[str, str]] = {}
"""None: the environments are unknown. A scenario names who plays, or `none`."""
_MAKERS: Final = ("parallel_env", "env")
"""What a module of PettingZoo has, the better one first."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment and its time."""

    env: str
    """Who makes it: package:module of PettingZoo, such as mpe2:simple_spread_v3, or
    module:function or file.py:function."""
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
    module, colon, name = p.env.rpartition(":")
    if not (module and colon and name):
        raise BoundError(
            "world.env: expected package:module such as mpe2:simple_spread_v3, or module:function, "
            f"found {p.env!r}"
        )
    function = find_function(module, name)
    if isinstance(function, ModuleType):
        makers = [maker for maker in _MAKERS if callable(getattr(function, maker, None))]
        if not makers:
            raise BoundError(f"world.env: {p.env} has neither parallel_env nor env")
        function = getattr(function, makers[0])
    return Foreign("pettingzoo", _parallel(make_env(function, p.kwargs), p), step_ns(p.dt),
                   p.max_steps)  # fmt: skip


def _parallel(env: Any, p: Params) -> Any:
    """The environment, wrapped where agents take turns. Raises: BoundError if it is none."""
    if not hasattr(env, "possible_agents"):
        raise BoundError(
            f"world.env: {p.env} makes no environment of PettingZoo with possible_agents, but "
            f"{type(env).__name__}"
        )
    if not hasattr(env, "agent_iter"):
        return env
    wrappers = importlib.import_module("pettingzoo.utils.conversions")
    is_parallel = env.metadata.get("is_parallelizable", False)
    wrap = wrappers.aec_to_parallel if is_parallel else wrappers.turn_based_aec_to_parallel
    return wrap(env)


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """None: nothing is known of the environment."""
    return {}
