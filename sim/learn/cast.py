"""Who plays what in a rollout: who learns, whose policies and mechanisms stand beside them.

A whole group learns, by name. Whoever is neither a policy nor a mechanism is a program, free to do
what asyncio can do; with one of these a batch is impossible, and kernels are played instead.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.agent import Agent
from agents.behaviour import is_policy, load_behaviour
from agents.policy import MechanismAgent
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
    groups = {group.name: group for group in prepared.world.groups}
    given = role_params or {}
    for name in (*learning, *given):
        if name not in groups:
            raise UnknownKeyError(
                f"learn: there is no group {name!r}; {did_you_mean(name, groups)}"
            )
    for name in learning:
        if not groups[name].agents:
            raise ScenarioError(f"learn: group {name!r} has no agents")
    sides = tuple(_side(prepared, groups[name], given.get(name, {})) for name in learning)
    others = [p for p in prepared.plans if p.group not in learning and p.behaviour != "none"]
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
            _join(parties, shared, groups[plan.group], plan, found)
    return Cast(sides, tuple(parties), tuple(clearings), programs)


def senders_on(world: World, names: Sequence[str], topic: str) -> tuple[str, ...]:
    """Whose messages on a topic a policy tells apart, in order, as `agents.policy.PolicyAgent`
    does: the round's senders; its receiver, for a reply; else all agents of the run.
    """
    for round_ in world.rounds:
        if round_.topic == topic:
            return round_.senders
    for round_ in world.rounds:
        if round_.reply and round_.reply == topic:
            return (round_.receiver,)
    return tuple(names)


def _side(prepared: Prepared, group: Group, params: Mapping[str, Any]) -> Side:
    kind, names = prepared.scenario.world.kind, [plan.name for plan in prepared.plans]
    roles = getattr(catalogue.world_module(kind), "ROLES", {})
    spec = roles.get(group.name, PLAIN) if isinstance(roles, Mapping) else PLAIN
    role: Role = load_behaviour(spec, "")(name=group.agents[0], group=group, params=params)
    senders = {t: len(senders_on(prepared.world, names, t)) for t in role.hears}
    every_ns = role.every * group.every_ns
    return Side(group.name, group.agents, role, layout_of(role, senders), every_ns)


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
    parties: list[Party], shared: dict[str, int], group: Group, plan: AgentPlan, found: Any
) -> None:
    """Gives an agent to the policy object that plays its like, or to one of its own."""
    slot = plan.slot or 0
    params = json.dumps(plan.params, sort_keys=True, default=repr)
    like = "\x1f".join((group.name, plan.behaviour, plan.folder, params))
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
