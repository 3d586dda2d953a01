"""What follows once the world is made: which agents there are, and who plays them.

World slots in group order come first, then the agents made by `count`. Every name and pattern of
`agents` is checked here against what exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, is_name, matching
from sim.scenario.budget import Budget
from sim.scenario.faults import idle_faults as idle_faults
from sim.scenario.load import behaviour_file
from sim.scenario.policies import policy_file
from sim.scenario.schema import AgentSpec, Scenario

LEARNER: Final = "learner"
"""The agent that learns in a run with `learn.online`."""


class _Group(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def agents(self) -> tuple[str, ...]: ...


class HasGroups(Protocol):
    """A world, as far as the roster needs it."""

    @property
    def groups(self) -> Sequence[_Group]: ...


class AgentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the roster, with everything that the entries say of it.

    index: position in the roster. group, slot: its place in the world; None for a further agent.
    folder: holds the file of `behaviour`, if it names one.
    is_privileged: observes what no agent of the world does: the state of all, and all rewards.
    """

    name: str
    index: int
    group: str | None = None
    slot: int | None = None
    behaviour: str = "rule"
    params: dict[str, Any] = {}
    processing_ns: int = 0
    on_failure: str = "stop"
    budget: Budget | None = None
    folder: str = ""
    where: str = ""
    is_privileged: bool = False


def resolve_roster(scenario: Scenario, world: HasGroups) -> tuple[AgentPlan, ...]:
    """Every agent: the slots of the world in group order, then those made by `count`.

    Order:  entries apply from the top, later ones win key by key, assignments (`as`, --as) last.
    Raises: ScenarioError for a pattern without a match, a name given twice, a missing file.
    """
    plans: dict[str, AgentPlan] = {}
    default = scenario.supervision.on_failure
    for group in world.groups:
        for slot, name in enumerate(group.agents):
            plans[name] = AgentPlan(
                name=name, index=len(plans), group=group.name, slot=slot, on_failure=default
            )
    for spec in scenario.agents:
        for name in () if spec.count is None else _made(spec, spec.count):
            if name in plans:
                raise ScenarioError(
                    f"{spec.where}: count makes an agent {name!r}, but there is one already"
                )
            plans[name] = AgentPlan(
                name=name, index=len(plans), behaviour="", on_failure=default, where=spec.where
            )
    if scenario.learn is not None and scenario.learn.online:
        if LEARNER in plans:
            raise ScenarioError(f"learn.online: there is an agent {LEARNER!r} already")
        plans[LEARNER] = AgentPlan(
            name=LEARNER, index=len(plans), behaviour="none", on_failure="fallback"
        )
    names = tuple(plans)
    for spec in (*scenario.agents, *scenario.assignments):
        for name in _matched(spec, names):
            plans[name] = _apply(plans[name], spec)
    if scenario.learn is not None and scenario.learn.online:
        # Who plays it is settled by `learn`; the rest of its entries counts.
        plans[LEARNER] = msgspec.structs.replace(plans[LEARNER], behaviour="none", params={})
    return tuple(_found(plan, scenario) for plan in plans.values())


def _made(spec: AgentSpec, count: int) -> Iterator[str]:
    """The names that an entry with `count` makes."""
    if "*" not in spec.pattern and count > 1:
        raise ScenarioError(
            f"{spec.where}: expected a name with * (it becomes 1, 2, ...) for a count of {count}"
        )
    for i in range(1, count + 1):
        name = spec.pattern.replace("*", str(i))
        if not is_name(name):
            raise ScenarioError(f"{spec.where}: count makes the name {name!r}, which is not valid")
        yield name


def _matched(spec: AgentSpec, names: Sequence[str]) -> list[str]:
    if spec.count is not None:
        return list(_made(spec, spec.count))
    found = [spec.pattern] if spec.pattern in names else matching(spec.pattern, names)
    if not found:
        raise UnknownKeyError(
            f"{spec.where}: no agent matches {spec.pattern!r}; {did_you_mean(spec.pattern, names)} "
            "(count: 1 makes an agent that has no slot in the world)"
        )
    return found


def _apply(plan: AgentPlan, spec: AgentSpec) -> AgentPlan:
    changes: dict[str, Any] = {}
    params = plan.params
    if spec.behaviour is not None:
        changes |= {"behaviour": spec.behaviour, "folder": spec.folder, "where": spec.where}
        params = {} if spec.behaviour != plan.behaviour else params
    if spec.params is not None:
        params = {**params, **spec.params}
    if spec.processing_ns is not None:
        changes["processing_ns"] = spec.processing_ns
    if spec.on_failure is not None:
        changes["on_failure"] = spec.on_failure
    if spec.budget is not None:
        changes["budget"] = spec.budget
    return msgspec.structs.replace(plan, params=params, **changes)


def _found(plan: AgentPlan, scenario: Scenario) -> AgentPlan:
    """The plan, with the folder in which the file of its behaviour was found."""
    if plan.group is None and plan.behaviour in ("", "rule", "none") and plan.name != LEARNER:
        raise ScenarioError(
            f"{plan.where}: agent {plan.name!r} has no slot in the world, so it needs a behaviour "
            "such as my_agents.py:Class"
        )
    try:
        found = behaviour_file(plan.behaviour, (plan.folder, "", scenario.folder), scenario.name)
    except ScenarioError as error:
        raise ScenarioError(f"{plan.where}: behaviour: {error}") from None
    if found is None:
        return plan
    if not found[1].is_dir():
        return msgspec.structs.replace(plan, folder=found[0])
    try:
        file = policy_file(found[1], plan.group or "")
    except UnknownKeyError as error:
        raise UnknownKeyError(f"{plan.where}: {plan.name}: {error}") from None
    return msgspec.structs.replace(plan, folder=found[0], behaviour=f"policy:{file}")
