"""Learning while a run goes on: who learns, and the learner as one more agent of the roster.

With `learn.online` (`sim run --learn`) the agents of the groups that learn, as far as nobody else
was given their place, become `agents.online:LearningAgent`, and an agent `learner` joins, which the
scenario's links, faults and `agents` may name like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.learning import FROZEN, LearnSpec
from sim.scenario.load import behaviour_file
from sim.scenario.policies import policy_file
from sim.scenario.roster import LEARNER, AgentPlan
from sim.scenario.schema import Scenario
from sim.units import SECOND
from sim.worlds import catalogue
from sim.worlds.world import World

PLAIN_ROLE: Final = "agents.roles:PlainRole"
LEARNER_PROGRAM: Final = "sim.learn.online:Learner"
PRESETS: Final = ("ppo", "ippo", "mappo")
"""Algorithms that can learn from what single agents tell: on-policy ones, corrected by V-trace."""
POLICY: Final = "policy:"
_BATCH: Final = 16
_BATCHES: Final = 8
"""Messages of experience per agent and update, at least: of more than 16 decisions none is. What
is told is not too old, and no link is flooded."""


# --- who learns ---------------------------------------------------------------------------------


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


def default_algorithm(world: World, groups: Sequence[str]) -> str:
    """What trains groups of which nothing is said: PPO; for several agents with one critic."""
    agents = sum(len(group.agents) for group in world.groups if group.name in groups)
    return "mappo" if agents > 1 else "ppo"


def frozen(
    plan: AgentPlan, groups: Mapping[str, str], scenario: Scenario, spec: LearnSpec
) -> AgentPlan:
    """The plan of an agent, played by the policy that its group is frozen as, if it is.

    Raises: UnknownKeyError if there is no such policy.
    """
    who = groups.get(plan.group or "", "")
    if not who.startswith(POLICY):
        return plan
    found = behaviour_file(who, (spec.folder, "", scenario.folder), scenario.name)
    if found is None:
        return plan
    folder, path = found
    file = policy_file(path, plan.group or "") if path.is_dir() else path
    return msgspec.structs.replace(
        plan, behaviour=f"{POLICY}{file.absolute()}", folder=folder, params={}, where=spec.where
    )


# --- the roster ---------------------------------------------------------------------------------


def with_learner(
    scenario: Scenario, world: World, plans: Sequence[AgentPlan]
) -> tuple[AgentPlan, ...]:
    """The roster of a run that learns.

    Raises: ScenarioError for an algorithm, a network or a critic that cannot learn so.
    """
    spec = scenario.learn or LearnSpec()
    kind = scenario.world.kind
    algorithms = _algorithms(spec, world, kind)
    _check(spec, algorithms)
    rules = ("rule", "none")
    batch = max(1, min(_BATCH, spec.update // _BATCHES))
    groups: dict[str, Any] = {}
    found = []
    for plan in (frozen(each, spec.groups, scenario, spec) for each in plans):
        if plan.group in algorithms and plan.behaviour in rules:
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
            params = {**role, "learner": LEARNER, "batch": batch}
            plan = msgspec.structs.replace(
                plan, behaviour="agents.online:LearningAgent", params=params
            )
        found.append(plan)
    if not groups:
        raise ScenarioError(
            f"learn.online: nobody is left to learn; others play {', '.join(algorithms)}"
        )
    settings = {
        "network": msgspec.to_builtins(spec.network),
        "share": spec.share,
        "critic_sees": spec.critic_sees,
        "reward": spec.reward,
        "seed": scenario.seed if spec.seed is None else spec.seed,
        "tap": spec.tap,
        "update": spec.update,
        "batch": batch,
        "episode": scenario.duration_ns / SECOND,
        "wait": None if spec.wait_ns is None else spec.wait_ns / SECOND,
    }
    made = {"kind": kind, **scenario.world.params}
    params = {"world": made, "groups": groups, "settings": settings}
    return tuple(
        msgspec.structs.replace(
            plan, behaviour=LEARNER_PROGRAM, params=params, is_privileged=spec.tap == "broker"
        )
        if plan.name == LEARNER
        else plan
        for plan in found
    )


def _algorithms(spec: LearnSpec, world: World, kind: str) -> dict[str, str]:
    """Per group that learns, by what. Raises: UnknownKeyError for a group that does not exist."""
    names = [group.name for group in world.groups]
    for group in spec.groups:
        if group not in names:
            raise UnknownKeyError(f"learn.groups: no group {group!r}; {did_you_mean(group, names)}")
    if spec.groups:
        return {
            group: who
            for group, who in spec.groups.items()
            if who != FROZEN and not who.startswith(POLICY)
        }
    found = learnable(world, kind)
    return dict.fromkeys(found, default_algorithm(world, found))


def _check(spec: LearnSpec, algorithms: Mapping[str, str]) -> None:
    for group, algorithm in algorithms.items():
        at = f"learn.groups.{group}"
        if algorithm not in PRESETS:
            raise ScenarioError(
                f"{at}: {algorithm} cannot learn from running agents; {', '.join(PRESETS)} can"
            )
        if spec.critic_sees == "state" and spec.tap == "agents":
            raise ScenarioError(
                f"{at}: {algorithm} with critic_sees: state needs what no agent tells; "
                "learn.tap: broker has it, critic_sees: observations does without"
            )
    for preset in spec.options:
        if preset not in algorithms.values():
            used = ", ".join(sorted(set(algorithms.values())))
            raise ScenarioError(f"learn.options: nobody learns by {preset!r}; used is: {used}")
    if spec.network.recurrent:
        raise ScenarioError("learn.network.recurrent: learning from running agents has none yet")
    if spec.share == "all" and len(algorithms) > 1:
        raise ScenarioError("learn.share: all: groups of a run learn by themselves; use group")


# --- what the learner says ----------------------------------------------------------------------

LEARNED: Final = "learn"
"""Kind of the events that tell of an update."""
_TOLD: Final = re.compile(r"([a-z_]+) (-?[0-9.]+(?:e[+-]?[0-9]+)?|-?inf|nan)(?:, |$)")


def told_of(group: str, figures: Mapping[str, float]) -> str:
    """An update as a line of the run's story: the group, then names and figures."""
    return f"{group}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def figures_of(text: str) -> tuple[str, dict[str, float]] | None:
    """Group and figures of a line of `told_of`; None for any other."""
    group, _, rest = text.partition(": ")
    found = {name: float(value) for name, value in _TOLD.findall(rest)}
    return (group, found) if "version" in found else None
