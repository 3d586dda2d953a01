"""Scenarios for other people's learners: environments of PettingZoo and Gymnasium.

    env = sim.env("platoon")                         all that learn are yours: ParallelEnv
    env = sim.agent_env("platoon", "vehicle-3")      one is yours, the rest follow their rules: Env
    envs = sim.vector_env("platoon", copies=256)     many copies as one batch: VectorEnv

What is played is the scenario: its links, faults, programs and duration; what an agent sees and
decides is what a learner of `sim train` gets. These functions load nothing heavy until called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InstallationError
from sim.scenario.overrides import Overrides
from sim.scenario.schema import Scenario

if TYPE_CHECKING:
    from sim.zoo.alone import AgentEnv
    from sim.zoo.parallel import ScenarioEnv
    from sim.zoo.vector import ScenarioVectorEnv


def env(
    scenario: str | Path | Scenario,
    *,
    agents: str | Sequence[str] = (),
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
    links: str | Mapping[str, Any] = "scenario",
    reward: str = "own",
    plain: bool = False,
    render_mode: str | None = None,
) -> ScenarioEnv:
    """A scenario as a `pettingzoo.ParallelEnv`. `sim run` takes the same options.

    agents:  names or patterns of who is yours; by default the groups that learn (the scenario's
             `learn.groups`, or all that have something to decide). All others play as it says.
    links:   as `learn.links`: scenario, ideal (nothing is lost or late), or {loss: [lo, hi],
             latency: [lo, hi]}, drawn for each episode.
    reward:  own, or team: everybody gets the team's.
    plain:   observe and act in the world's own numbers, even where a learner would have a role.
    Shapes:  observations float32 [F]; an action is a choice, an array of choices, or float32 [A] in
             physical units; where choices are masked, infos have `action_mask`.
    Raises:  InstallationError without PettingZoo; ScenarioError; UnknownKeyError for agents.
    """
    _needs("pettingzoo")
    from sim.zoo.parallel import ScenarioEnv
    from sim.zoo.seating import seat

    seating = seat(scenario, agents, plain, seed, duration, overrides, behaviours)
    return ScenarioEnv(seating, links, reward, render_mode)


def agent_env(
    scenario: str | Path | Scenario,
    agent: str = "",
    *,
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
    links: str | Mapping[str, Any] = "scenario",
    reward: str = "own",
    plain: bool = False,
    render_mode: str | None = None,
) -> AgentEnv:
    """One agent of a scenario as a `gymnasium.Env`; all others play as the scenario says.

    agent: its name; it may be left out where only one learns. The rest is as of `env`.
    Raises: InstallationError without Gymnasium; ScenarioError; UnknownKeyError for the agent.
    """
    _needs("pettingzoo")
    from sim.zoo.alone import AgentEnv
    from sim.zoo.seating import seat

    seating = seat(scenario, agent or (), plain, seed, duration, overrides, behaviours)
    return AgentEnv(seating, links, reward, render_mode)


def vector_env(
    scenario: str | Path | Scenario,
    copies: int = 64,
    *,
    agents: str | Sequence[str] = (),
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
    links: str | Mapping[str, Any] = "scenario",
    reward: str = "own",
    plain: bool = False,
    device: str = "cpu",
) -> ScenarioVectorEnv:
    """Many copies of a scenario, all of one batch, as a `gymnasium.vector.VectorEnv`.

    A sub-environment is an agent in a copy: copy b's agent i is number b * agents + i, so that one
    network for all agents trains as it is. An episode that is over begins anew in the same step
    (`AutoresetMode.SAME_STEP`): infos have `final_obs`.
    agents: as of `env`, of one group.
    Raises: as `env`; ScenarioError, with the reason, for a scenario that no batch can play (then
            `env` can).
    """
    _needs("gymnasium")
    from sim.zoo.seating import seat
    from sim.zoo.vector import ScenarioVectorEnv

    seating = seat(scenario, agents, plain, seed, duration, overrides, behaviours)
    return ScenarioVectorEnv(seating, copies, links, reward, device)


def _needs(package: str) -> None:
    """Raises: InstallationError naming the extra."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise InstallationError(f"{package} is not installed; pip install 'sim-agents[zoo]'")
