"""What follows once the world is made: which agents there are, who plays them, what goes wrong.

World slots in group order come first, then the agents made by `count`. Every name and pattern of
the scenario is checked here against what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, is_name, matching
from sim.rng import generator
from sim.scenario.load import behaviour_file
from sim.scenario.schema import AgentSpec, Fault, FaultSpec, Scenario
from sim.scenario.topology import find, relay_names
from sim.units import duration_text

FAULTS_MAX: Final = 100_000
"""Records of one schedule; more is an `every` far too small."""


class _Group(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def agents(self) -> tuple[str, ...]: ...


class _Event(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> tuple[str, ...]: ...


class HasGroups(Protocol):
    """A world, as far as the roster needs it."""

    @property
    def groups(self) -> Sequence[_Group]: ...


class AgentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the roster, with everything that the entries say of it.

    index: position in the roster. group, slot: its place in the world; None for a further agent.
    folder: holds the file of `behaviour`, if it names one.
    """

    name: str
    index: int
    group: str | None = None
    slot: int | None = None
    behaviour: str = "rule"
    params: dict[str, Any] = {}
    processing_ns: int = 0
    on_failure: str = "stop"
    folder: str = ""
    where: str = ""


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
    names = tuple(plans)
    for spec in (*scenario.agents, *scenario.assignments):
        for name in _matched(spec, names):
            plans[name] = _apply(plans[name], spec)
    return tuple(_found(plan, scenario.folder) for plan in plans.values())


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
    return msgspec.structs.replace(plan, params=params, **changes)


def _found(plan: AgentPlan, folder: str) -> AgentPlan:
    """The plan, with the folder in which the file of its behaviour was found."""
    if plan.group is None and plan.behaviour in ("", "rule", "none"):
        raise ScenarioError(
            f"{plan.where}: agent {plan.name!r} has no slot in the world, so it needs a behaviour "
            "such as my_agents.py:Class"
        )
    try:
        found = behaviour_file(plan.behaviour, (plan.folder, "", folder))
    except ScenarioError as error:
        raise ScenarioError(f"{plan.where}: behaviour: {error}") from None
    return plan if found is None else msgspec.structs.replace(plan, folder=found[0])


def resolve_faults(
    scenario: Scenario, names: Sequence[str], world_events: Iterable[_Event], seed: int
) -> tuple[Fault, ...]:
    """The schedule of an episode: what happens from its start to its end, and what lifts it.

    names: of the roster; relays are added. Faults at or after the end are left out.
    Order:  by time; at one instant what lifts comes first, then by entry.
    Raises: UnknownKeyError for a name, pattern or event that does not exist.
    """
    events = {event.name: event.targets for event in world_events}
    nodes = (*names, *relay_names(scenario.network, names))
    schedule: list[Fault] = []
    number = 0
    for index, spec in enumerate(scenario.faults):
        fault = _named(spec, names, nodes, events)
        draws = generator(seed, "fault", index)
        for time_ns in _times(spec, scenario.duration_ns):
            chosen = fault
            if spec.choose is not None:
                chosen = msgspec.structs.replace(
                    fault, targets=_choose(fault.targets, spec.choose, draws)
                )
            chosen = msgspec.structs.replace(chosen, id=number)
            number += 1
            schedule.extend(_on_and_off(chosen, spec, time_ns, scenario.duration_ns))
            if len(schedule) > FAULTS_MAX:
                raise BoundError(
                    f"{spec.where}.every: expected at most {FAULTS_MAX} faults in all; "
                    f"every {duration_text(spec.every_ns or 0)} makes more"
                )
    return tuple(sorted(schedule, key=lambda fault: (fault.time_ns, fault.is_on, fault.id)))


def idle_faults(scenario: Scenario) -> list[str]:
    """Faults that come only after the end, as sentences."""
    end = scenario.duration_ns
    return [
        f"{spec.where} is due at or after the end ({duration_text(end)}) and will not happen"
        for spec in scenario.faults
        if next(_times(spec, end), None) is None
    ]


def _times(spec: FaultSpec, duration_ns: int) -> Iterator[int]:
    time_ns = spec.at_ns if spec.at_ns is not None else spec.every_ns or 0
    while time_ns < duration_ns:
        yield time_ns
        if spec.every_ns is None:
            return
        time_ns += spec.every_ns


def _choose(names: tuple[str, ...], count: int, draws: np.random.Generator) -> tuple[str, ...]:
    """`count` of the names, drawn, in their order."""
    if count >= len(names):
        return names
    picked = set(draws.choice(len(names), size=count, replace=False).tolist())
    return tuple(name for i, name in enumerate(names) if i in picked)


def _named(
    spec: FaultSpec,
    names: Sequence[str],
    nodes: Sequence[str],
    events: dict[str, tuple[str, ...]],
) -> Fault:
    """The fault with its patterns resolved, at no time yet."""
    kind, where = spec.kind, f"{spec.where}.{spec.kind}"
    targets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    if kind in ("kill", "restart", "hang"):
        targets = tuple(find(getattr(spec, kind), names, where, "agent"))
    elif kind in ("partition", "link"):
        sides = getattr(spec, kind)
        targets = tuple(find(sides[0], nodes, f"{where}[0]", "agent or relay"))
        others = tuple(find(sides[1], nodes, f"{where}[1]", "agent or relay"))
        if kind == "partition":
            first = set(targets)
            others = tuple(name for name in others if name not in first)
            if not others:
                raise ScenarioError(f"{where}: nobody is left on the second side")
    elif kind == "noise":
        targets = spec.topics or ("*",)
    else:
        if spec.world not in events:
            raise UnknownKeyError(
                f"{where}: the world has no event {spec.world!r}; "
                f"{did_you_mean(spec.world, events)}"
            )
        known = events[spec.world]
        if spec.target:
            targets = tuple(find(spec.target, known, f"{spec.where}.target", "target"))
        elif len(known) <= 1:
            targets = known
        else:
            raise ScenarioError(
                f"{spec.where}: target: a required key is missing; {did_you_mean('', known)}"
            )
    return Fault(
        time_ns=0, id=0, kind=kind, targets=targets, targets_b=others, both=spec.both,
        values=spec.values, number=spec.noise or 0.0, event=spec.world,
    )  # fmt: skip


def _on_and_off(fault: Fault, spec: FaultSpec, time_ns: int, duration_ns: int) -> Iterator[Fault]:
    """The fault at `time_ns`, and what lifts it again before the end."""
    replace = msgspec.structs.replace
    yield replace(fault, time_ns=time_ns, text=_sentence(fault, spec.for_ns))
    if spec.for_ns is None or time_ns + spec.for_ns >= duration_ns:
        return
    end_ns = time_ns + spec.for_ns
    if fault.kind == "kill":
        again = replace(fault, kind="restart", time_ns=end_ns)
        yield replace(again, text=_sentence(again, None))
    else:
        yield replace(fault, time_ns=end_ns, is_on=False, text=_sentence(fault, None, False))


def _people(names: tuple[str, ...]) -> str:
    """Names as a message shows them."""
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def _sentence(fault: Fault, for_ns: int | None, is_on: bool = True) -> str:
    """What happens, for people."""
    span = f" for {duration_text(for_ns)}" if for_ns else ""
    a, b = _people(fault.targets), _people(fault.targets_b)
    if fault.kind == "partition":
        reach = "reaches" if len(fault.targets) == 1 else "reach"
        text = f"{a} cut off from {b}" if is_on else f"{a} {reach} {b} again"
    elif fault.kind == "link":
        arrow = "<->" if fault.both else "->"
        text = f"links {a} {arrow} {b} " + ("degraded" if is_on else "as before")
    elif fault.kind == "noise":
        text = f"noise of {100 * fault.number:.3g} % on {a}" if is_on else f"no more noise on {a}"
    elif fault.kind == "world":
        text = f"{fault.event} at {a}" if a else fault.event
        text = text if is_on else f"{text} over"
    else:
        verbs = {"kill": "killed", "restart": "restarted", "hang": "stopped"}
        text = f"{a} {verbs[fault.kind] if is_on else 'continued'}"
    return text + span
