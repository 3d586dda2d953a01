"""Learning while a run goes on: who learns, and the learner as one more agent of the roster.

With `learn.online` (`sim run --learn`) the agents of the groups that learn, as far as nobody else
was given their place, become `agents.online:LearningAgent`, and an agent `learner` joins, which the
scenario's links, faults and `agents` may name like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sim.errors import ScenarioError
from sim.scenario.learning import FROZEN, LearnSpec
from sim.scenario.roster import LEARNER, AgentPlan
from sim.scenario.schema import Scenario
from sim.worlds import catalogue
from sim.worlds.world import World

PLAIN_ROLE: Final = "agents.roles:PlainRole"
PRESETS: Final = ("ppo", "ippo", "mappo")
"""Algorithms that can learn from what single agents tell: on-policy ones, corrected by V-trace."""


def is_online(scenario: Scenario) -> bool:
    """Whether a run of the scenario learns."""
    return scenario.learn is not None and scenario.learn.online


def roles_of(kind: str) -> dict[str, str]:
    """Per group with a role of the world's own, "module:Name" of it."""
    return dict(getattr(catalogue.world_module(kind), "ROLES", {}))


def learnable(world: World, kind: str) -> list[str]:
    """Groups that have a role: those the world's `ROLES` name, or all that decide something and
    clear no round.
    """
    roles = roles_of(kind)
    if roles:
        return [group.name for group in world.groups if group.name in roles]
    clearing = {round_.receiver for round_ in world.rounds}
    return [
        group.name
        for group in world.groups
        if group.action.size and group.agents and clearing.isdisjoint(group.agents)
    ]


def default_algorithm(world: World, group: str) -> str:
    """What trains a group of which nothing is said: PPO; for several agents with one critic."""
    agents = next(g.agents for g in world.groups if g.name == group)
    return "mappo" if len(agents) > 1 else "ppo"


def with_learner(
    scenario: Scenario, world: World, plans: Sequence[AgentPlan]
) -> tuple[AgentPlan, ...]:
    """The roster of a run that learns.

    Raises: ScenarioError for an algorithm, a network or a critic that cannot learn so.
    """
    spec = scenario.learn or LearnSpec()
    kind = scenario.world.kind
    named = {g: who for g, who in spec.groups.items() if who != FROZEN and ":" not in who}
    algorithms = named or {g: default_algorithm(world, g) for g in learnable(world, kind)}
    _check(spec, algorithms)
    free = ("rule", "none")
    groups: dict[str, Any] = {}
    found = []
    for plan in plans:
        if plan.group in algorithms and plan.behaviour in free:
            role = {
                "role": roles_of(kind).get(plan.group, PLAIN_ROLE),
                "role_params": spec.roles.get(plan.group, {}),
            }
            options = spec.options.get(algorithms[plan.group], {})
            known = groups.setdefault(
                plan.group,
                {"preset": algorithms[plan.group], **role, "options": options, "agents": []},
            )
            known["agents"].append(plan.name)
            plan = msgspec.structs.replace(
                plan, behaviour="agents.online:LearningAgent", params={**role, "learner": LEARNER}
            )
        found.append(plan)
    if not groups:
        raise ScenarioError(
            f"learn.online: nobody is left to learn; others play {', '.join(algorithms)}"
        )
    params = {
        "world": {"kind": kind, **scenario.world.params},
        "groups": groups,
        "hidden": list(spec.network.hidden),
        "critic_sees": spec.critic_sees,
        "reward": spec.reward,
        "decisions": spec.update,
        "wait": None if spec.wait_ns is None else spec.wait_ns / 1e9,
    }
    return tuple(
        msgspec.structs.replace(plan, behaviour="sim.learn.online:Learner", params=params)
        if plan.name == LEARNER
        else plan
        for plan in found
    )


def _check(spec: LearnSpec, algorithms: dict[str, str]) -> None:
    for group, algorithm in algorithms.items():
        if algorithm not in PRESETS:
            raise ScenarioError(
                f"learn.groups.{group}: {algorithm} cannot learn from running agents; "
                f"{', '.join(PRESETS)} can"
            )
        if algorithm == "mappo" and spec.critic_sees == "state" and spec.tap == "agents":
            raise ScenarioError(
                f"learn.groups.{group}: mappo with critic_sees: state needs what no agent tells; "
                "learn.tap: broker has it, critic_sees: observations does without"
            )
    if spec.network.recurrent:
        raise ScenarioError("learn.network.recurrent: learning from running agents has none yet")
