"""Who plays what in a rollout: who learns, whose policies and mechanisms stand beside them.

A whole group learns, by name. Whoever is neither a policy nor a mechanism is a program, free to do
what asyncio can do; with one of these a batch is impossible, and kernels are played instead.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agents.agent import Agent
from agents.behaviour import is_policy, load_behaviour
from agents.policy import MechanismAgent, senders_of
from agents.roles import Role, layout_of
from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.record import Side
from sim.prepare import Prepared
from sim.scenario.roster import AgentPlan
from sim.worlds import catalogue
from sim.worlds.world import Group, Round, World

PLAIN = "agents.roles:PlainRole"


@dataclass(frozen=True)
class Party:
    """Agents of one group whom one policy object plays in one call.

    slots: their places in the group. policy: the object, or a side's role.
    """

    group: str
    slots: tuple[int, ...]
    agents: tuple[str, ...]
    policy: Any


@dataclass(frozen=True)
class Clearing:
    """An agent that receives a round and plays its mechanism. group: "" without a slot."""

    agent: str
    group: str
    slot: int
    round: Round
    clear: Callable[..., Any]


@dataclass(frozen=True)
class Cast:
    """Everybody of a scenario. programs: agent -> behaviour, of those that no batch can have."""

    sides: tuple[Side, ...]
    parties: tuple[Party, ...]
    clearings: tuple[Clearing, ...]
    programs: Mapping[str, str]


def cast_rollout(
    prepared: Prepared,
    learning: Sequence[str],
    role_params: Mapping[str, Mapping[str, Any]] | None = None,
) -> Cast:
    """The cast. learning: names of groups. role_params: group -> the params of its role.

    Raises: UnknownKeyError for a group that does not exist; errors of roles and behaviours.
    """
    sides = sides_of(prepared, learning, role_params or {}) if learning else ()
    for name in () if learning else role_params or {}:
        raise UnknownKeyError(f"learn: params of a role for {name!r}, which does not learn")
    groups = {group.name: group for group in prepared.world.groups}
    learners = {agent for side in sides for agent in side.agents}
    others = [p for p in prepared.plans if p.name not in learners and p.behaviour != "none"]
    parties: list[Party] = []
    clearings, programs = [], {}
    shared: dict[str, int] = {}
    for plan in others:
        found = load_behaviour(plan.behaviour, plan.folder)
        kind = _kind(found, plan, prepared.world.rounds)
        if kind == "program":
            programs[plan.name] = plan.behaviour
        elif kind == "mechanism":
            clearings.append(_clearing(found, plan, prepared.world.rounds))
        elif plan.group is not None and plan.slot is not None:
            own = tuple(r.topic for r in own_rounds(prepared.world, plan.name))
            _join(parties, shared, groups[plan.group], plan, found, own)
    return Cast(sides, tuple(parties), tuple(clearings), programs)


def own_rounds(world: World, agent: str) -> list[Round]:
    """The message rounds that an agent takes part in."""
    return [r for r in world.rounds if agent == r.receiver or agent in r.senders]


def heard_by(world: World, names: Sequence[str], agent: str, topic: str) -> tuple[str, ...]:
    """Whose messages on a topic an agent tells apart, in order; names: all agents of the run."""
    rounds = [asdict(round_) for round_ in own_rounds(world, agent)]
    return tuple(senders_of(topic, rounds, names))


def sides_of(
    prepared: Prepared, learning: Sequence[str], role_params: Mapping[str, Mapping[str, Any]]
) -> tuple[Side, ...]:
    """A side per learning group: of its agents those that play the world's rule so far, or nothing;
    a program in one of its slots stays there. If all were given something else, all learn.

    Raises: ScenarioError if there is nobody to learn, UnknownKeyError for an unknown group.
    """
    kind, world = prepared.scenario.world.kind, prepared.world
    groups = {group.name: group for group in world.groups}
    found = getattr(catalogue.world_module(kind), "ROLES", {})
    roles = found if isinstance(found, Mapping) else {}
    rules, names = catalogue.rules(kind), [plan.name for plan in prepared.plans]
    if not learning:
        raise ScenarioError("nobody is to learn: name at least one group")
    for name in (*learning, *role_params):
        if name not in groups:
            raise UnknownKeyError(
                f"learn: there is no group {name!r}; {did_you_mean(name, groups)}"
            )
    sides = []
    for name in learning:
        group = groups[name]
        plans = [plan for plan in prepared.plans if plan.group == name]
        free = [plan for plan in plans if plan.behaviour in (rules.get(name), "none")]
        agents = tuple(plan.name for plan in free or plans)
        make_role = load_behaviour(roles.get(name, PLAIN), "")
        params = dict(role_params.get(name, {}))
        role: Role | None = make_role(agents[0], group, params) if agents else None
        if role is None or not role.decides.size:
            raise ScenarioError(f"learn: nobody of group {name!r} has anything to decide")
        senders = {topic: len(heard_by(world, names, agents[0], topic)) for topic in role.hears}
        every_ns = role.every * group.every_ns
        sides.append(Side(name, agents, role, layout_of(role, senders), every_ns))
    return tuple(sides)


def _kind(found: Any, plan: AgentPlan, rounds: Sequence[Round]) -> str:
    """Whether a behaviour is a "policy", a "mechanism" or a "program"; as `make_agent` decides."""
    receives = any(r.receiver == plan.name for r in rounds)
    if inspect.isclass(found) and issubclass(found, Agent):
        if found is MechanismAgent and sum(r.receiver == plan.name for r in rounds) == 1:
            return "mechanism"
        return "program"
    return "mechanism" if receives and not is_policy(found) else "policy"


def _clearing(found: Any, plan: AgentPlan, rounds: Sequence[Round]) -> Clearing:
    (round_,) = (r for r in rounds if r.receiver == plan.name)
    if found is MechanismAgent:
        found = importlib.import_module(f"sim.mechanisms.{round_.mechanism}").clear
    return Clearing(plan.name, plan.group or "", plan.slot or 0, round_, found)


def _join(
    parties: list[Party], shared: dict[str, int], group: Group, plan: AgentPlan, found: Any,
    rounds: tuple[str, ...],
) -> None:  # fmt: skip
    """Gives an agent to the policy object that plays its like, or to one of its own."""
    slot = plan.slot or 0
    params = json.dumps(plan.params, sort_keys=True, default=repr)
    like = "\x1f".join((group.name, plan.behaviour, plan.folder, params, *rounds))
    if like in shared:
        party = parties[shared[like]]
        joined = (*party.slots, slot), (*party.agents, plan.name)
        parties[shared[like]] = Party(group.name, *joined, party.policy)
        return
    policy = found
    if not hasattr(found, "memory") or inspect.isclass(found):
        one = Group(group.name, (plan.name,), group.observation, group.action, group.every_ns)
        policy = found(name=plan.name, group=one, params=plan.params)
    if getattr(policy, "plays_group", False):
        shared[like] = len(parties)
    parties.append(Party(group.name, (slot,), (plan.name,), policy))
