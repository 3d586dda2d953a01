"""From entries of `faults:` to a schedule: what is struck when, by name, and what lifts it.

An entry comes from a scenario's file or, while a run goes on, from a command; `resolve_fault` makes
records of either. Every name and pattern is checked here against what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import numpy as np

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, matching
from sim.rng import generator
from sim.scenario.schema import Fault, FaultSpec, NetworkSpec, Scenario
from sim.scenario.sentences import people, sentence
from sim.scenario.topology import find, relay_names
from sim.units import duration_text

FAULTS_MAX: Final = 100_000
"""Records of one schedule; more is an `every` far too small."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


class _Space(Protocol):
    @property
    def fields(self) -> tuple[_Named, ...]: ...


class _Group(Protocol):
    @property
    def agents(self) -> tuple[str, ...]: ...
    @property
    def observation(self) -> _Space: ...


class _Round(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def reply(self) -> str: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    @property
    def reply_fields(self) -> tuple[str, ...]: ...


class _Event(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Setting:
    """What faults may strike.

    names:  of the agents. nodes: agents and relays. events: of the world, each with its targets.
    seen:   by agent with a slot in the world, the fields of what it observes, one per number.
    said:   by topic of a message round whose columns have names, those names, one per number.
    """

    names: tuple[str, ...]
    nodes: tuple[str, ...]
    events: Mapping[str, tuple[str, ...]]
    seen: Mapping[str, tuple[str, ...]]
    said: Mapping[str, tuple[str, ...]]


def setting_of(
    network: NetworkSpec,
    names: Sequence[str],
    events: Iterable[_Event] = (),
    groups: Iterable[_Group] = (),
    rounds: Iterable[_Round] = (),
) -> Setting:
    """The setting of a roster in a world. Raises: TopologyError if a relay is an agent too."""
    seen: dict[str, tuple[str, ...]] = {}
    for group in groups:
        fields = tuple(f.name for f in group.observation.fields for _ in range(f.size))
        seen |= dict.fromkeys(group.agents, fields)
    spoken = [pair for r in rounds for pair in ((r.topic, r.fields), (r.reply, r.reply_fields))]
    return Setting(
        names=tuple(names),
        nodes=(*names, *relay_names(network, names)),
        events={event.name: event.targets for event in events},
        seen=seen,
        said={topic: fields for topic, fields in spoken if fields},
    )


def resolve_faults(scenario: Scenario, setting: Setting, seed: int) -> tuple[Fault, ...]:
    """The schedule of an episode: what happens from its start to its end, and what lifts it.

    Faults at or after the end are left out.
    Order:  by time; at one instant what lifts comes first, then by entry.
    Raises: UnknownKeyError for a name, pattern or event that does not exist.
    """
    schedule: list[Fault] = []
    index = 0
    for spec in scenario.faults:
        first_id = 1 + max((fault.id for fault in schedule), default=-1)
        made = resolve_fault(
            spec, setting, seed, index, _first(spec), scenario.duration_ns, first_id
        )
        index += spec.kind != "broker"  # which leaves no trace: it shifts no draw of others
        schedule.extend(made)
        _check_count(spec, len(schedule))
    return tuple(sorted(schedule, key=_order))


def resolve_fault(
    spec: FaultSpec,
    setting: Setting,
    seed: int,
    index: int | str,
    at_ns: int,
    until_ns: int,
    first_id: int = 0,
) -> tuple[Fault, ...]:
    """The records of one entry, which strikes first at `at_ns`; nothing comes at `until_ns`.

    index:  keys what `choose` draws; another for each entry.
    Order:  as of a schedule.
    Raises: UnknownKeyError for a name, pattern or event that does not exist; BoundError if it
            comes far too often.
    """
    fault = _named(spec, setting)
    draws = generator(seed, "fault", index)
    made: list[Fault] = []
    for number, time_ns in enumerate(_times(at_ns, spec.every_ns, until_ns)):
        targets = fault.targets
        if spec.choose is not None:
            targets = _choose(targets, spec.choose, draws)
        struck = msgspec.structs.replace(fault, id=first_id + number, targets=targets)
        made.extend(_on_and_off(struck, spec, time_ns, until_ns))
        _check_count(spec, len(made))
    return tuple(sorted(made, key=_order))


def idle_faults(scenario: Scenario) -> list[str]:
    """Faults that come only after the end, as sentences."""
    end = scenario.duration_ns
    return [
        f"{spec.where} is due at or after the end ({duration_text(end)}) and will not happen"
        for spec in scenario.faults
        if _first(spec) >= end
    ]


def _order(fault: Fault) -> tuple[int, bool, int]:
    return fault.time_ns, fault.is_on, fault.id


def _first(spec: FaultSpec) -> int:
    """When the entry of a file strikes first."""
    return spec.at_ns if spec.at_ns is not None else spec.every_ns or 0


def _times(at_ns: int, every_ns: int | None, until_ns: int) -> Iterator[int]:
    time_ns = at_ns
    while time_ns < until_ns:
        yield time_ns
        if every_ns is None:
            return
        time_ns += every_ns


def _check_count(spec: FaultSpec, count: int) -> None:
    if count > FAULTS_MAX:
        raise BoundError(
            f"{spec.where}.every: expected at most {FAULTS_MAX} faults in all; "
            f"every {duration_text(spec.every_ns or 0)} makes more"
        )


def _choose(names: tuple[str, ...], count: int, draws: np.random.Generator) -> tuple[str, ...]:
    """`count` of the names, drawn, in their order."""
    if count >= len(names):
        return names
    picked = set(draws.choice(len(names), size=count, replace=False).tolist())
    return tuple(name for i, name in enumerate(names) if i in picked)


# --- names --------------------------------------------------------------------------------------


def _named(spec: FaultSpec, setting: Setting) -> Fault:
    """The fault with its patterns resolved, at no time yet."""
    kind, where = spec.kind, f"{spec.where}.{spec.kind}"
    targets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    if kind in ("sensor", "actuator"):
        placed = [name for name in setting.names if name in setting.seen]
        what = "agent with a slot in the world"
        targets = tuple(find(getattr(spec, kind), placed, where, what))
    elif kind in ("partition", "link"):
        targets, others = _sides(kind, getattr(spec, kind), setting, where)
    elif kind == "noise":
        targets = spec.topics or ("*",)
    elif kind == "world":
        targets = _struck_by_world(spec, setting, where)
    elif kind in ("kill", "restart"):
        targets = _struck(getattr(spec, kind), setting, where)
    elif kind not in ("broker", "heal"):
        targets = tuple(find(getattr(spec, kind), setting.names, where, "agent"))
    if spec.field:
        _check_fields(spec, setting, targets)
    mode, number = _degree(spec)
    return Fault(
        time_ns=0, id=0, kind=kind, targets=targets, targets_b=others, both=spec.both,
        values=spec.values, number=number, offset_ns=spec.offset_ns or 0, mode=mode,
        topics=spec.topic, fields=spec.field, event=spec.world,
    )  # fmt: skip


def _struck(patterns: Sequence[str], setting: Setting, where: str) -> tuple[str, ...]:
    """Agents; or relays, where a pattern matches no agent."""
    found: set[str] = set()
    for pattern in patterns:
        is_agent = bool(matching(pattern, setting.names)) or setting.nodes == setting.names
        known, what = (setting.names, "agent") if is_agent else (setting.nodes, "agent or relay")
        found.update(find([pattern], known, where, what))
    return tuple(name for name in setting.nodes if name in found)


def _degree(spec: FaultSpec) -> tuple[str, float]:
    """The mode of a fault, and its number."""
    if spec.kind == "sensor":
        if spec.freeze:
            return "freeze", 0.0
        return ("drop", spec.drop) if spec.noise is None else ("noise", spec.noise)
    if spec.kind == "byzantine":
        return spec.mode
    return "", {"slow": spec.factor, "skew": spec.drift}.get(spec.kind, spec.noise or 0.0)


def _check_fields(spec: FaultSpec, setting: Setting, targets: Sequence[str]) -> None:
    """Fields of what the agents observe, or of the payloads where all their topics are known."""
    if spec.kind == "sensor":
        known = [setting.seen[name] for name in targets]
        what = "no sensor of these agents reads"
    elif spec.topic and all(topic in setting.said for topic in spec.topic):
        known = [setting.said[topic] for topic in spec.topic]
        what = f"nobody says on {people(spec.topic)}"
    else:
        return
    names = list(dict.fromkeys(name for fields in known for name in fields))
    size = max(map(len, known))
    for field in spec.field:
        if isinstance(field, int) and field >= size:
            raise BoundError(
                f"{spec.where}.field: {what} a number [{field}]; there are {size}, from 0"
            )
        if isinstance(field, str) and field not in names:
            raise UnknownKeyError(
                f"{spec.where}.field: {what} {field!r}; {did_you_mean(field, names)}"
            )


def _sides(
    kind: str, sides: tuple[tuple[str, ...], ...], setting: Setting, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The two ends of links, or the two sides of a partition, which have nobody in common."""
    first, second = (
        find(side, setting.nodes, f"{where}[{i}]", "agent or relay") for i, side in enumerate(sides)
    )
    if kind == "partition":
        second = [name for name in second if name not in set(first)]
        if not second:
            raise ScenarioError(f"{where}: nobody is left on the second side")
    return tuple(first), tuple(second)


def _struck_by_world(spec: FaultSpec, setting: Setting, where: str) -> tuple[str, ...]:
    if spec.world not in setting.events:
        raise UnknownKeyError(
            f"{where}: the world has no event {spec.world!r}; "
            f"{did_you_mean(spec.world, setting.events)}"
        )
    known = setting.events[spec.world]
    if spec.target:
        return tuple(find(spec.target, known, f"{spec.where}.target", "target"))
    if len(known) > 1:
        raise ScenarioError(
            f"{spec.where}: target: a required key is missing; {did_you_mean('', known)}"
        )
    return known


# --- time ---------------------------------------------------------------------------------------


def _on_and_off(fault: Fault, spec: FaultSpec, time_ns: int, until_ns: int) -> Iterator[Fault]:
    """The fault at `time_ns`, and what lifts it again before the end."""
    replace = msgspec.structs.replace
    yield replace(fault, time_ns=time_ns, text=sentence(fault, spec.for_ns))
    if spec.for_ns is None or time_ns + spec.for_ns >= until_ns:
        return
    end_ns = time_ns + spec.for_ns
    if fault.kind == "kill":
        again = replace(fault, kind="restart", time_ns=end_ns)
        yield replace(again, text=sentence(again, None))
    else:
        yield replace(fault, time_ns=end_ns, is_on=False, text=sentence(fault, None, False))
