"""What can be read off a world without a step: names, spaces, periods, rounds, units, rules."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Final, NamedTuple

from sim.ids import is_name
from sim.spaces import Space
from sim.worlds.world import Group, World

FAULT, HINT, NOTE = "fault", "hint", "note"
_HOLDS: Final = ("last", "default")


class Remark(NamedTuple):
    """One thing to mend (FAULT), look at (HINT) or know (NOTE), and what helps."""

    severity: str
    text: str
    remedy: str = ""


def form(world: World, module: ModuleType) -> Iterator[Remark]:
    """What is to be said of a world that has been reset."""
    names = [name for group in world.groups for name in group.agents]
    if not names:
        yield Remark(FAULT, "there are no agents")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Remark(FAULT, f"there are two agents {name!r}", "a name belongs to one for good")
    for name in names:
        if not is_name(name):
            yield Remark(FAULT, f"{name!r} cannot name an agent",
                         "a letter, then letters, digits or any of _ . -")  # fmt: skip
    if world.dt_ns <= 0:
        yield Remark(FAULT, f"dt_ns is {world.dt_ns}, not positive")
        return
    for group in world.groups:
        yield from _group(group, world.dt_ns)
    yield from _rounds(world, names)
    for event in world.events:
        if not event.targets:
            yield Remark(FAULT, f"event {event.name!r} has nothing to strike")
    objectives = [name for name, metric in world.metrics().items() if metric.objective]
    if len(objectives) != 1:
        text = f"{len(objectives)} metrics are the objective, not one"
        yield Remark(HINT, text, "Metric(..., objective=True) for the one a run is about")
    for name, metric in world.metrics().items():
        if metric.better not in ("lower", "higher"):
            text = f"metric {name!r}: better is {metric.better!r}, not lower or higher"
            yield Remark(FAULT, text)
    yield from _units(world)
    missing = [g.name for g in world.groups if g.action.size and g.name not in module.RULES]
    if missing:
        yield Remark(HINT, f"no rule plays {', '.join(missing)}",
                     "RULES names one per group; scenarios must say who plays")  # fmt: skip


def _group(group: Group, dt_ns: int) -> Iterator[Remark]:
    where = f"group {group.name!r}"
    if group.every_ns <= 0 or group.every_ns % dt_ns:
        yield Remark(FAULT, f"{where} decides every {group.every_ns} ns, no multiple of dt {dt_ns}")
    if group.hold not in _HOLDS:
        yield Remark(FAULT, f"{where}: hold is {group.hold!r}, not {' or '.join(_HOLDS)}")
    for title, space in (("observation", group.observation), ("action", group.action)):
        yield from _space(space, f"{where}, {title}")
    choices = {field.name: field.choices * field.size for field in group.action.fields}
    for field in group.observation.fields:
        if field.masks and not choices.get(field.masks):
            text = f"{where}: {field.name!r} masks {field.masks!r}, which is no action of choices"
            yield Remark(FAULT, text)


def _space(space: Space, where: str) -> Iterator[Remark]:
    names = [field.name for field in space.fields]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Remark(FAULT, f"{where}: there are two fields {name!r}")
    for field in space.fields:
        if not field.low <= field.high:
            yield Remark(FAULT, f"{where}: {field.name!r} has its bounds the wrong way round")
        if field.choices and not 0 <= field.default < field.choices:
            yield Remark(FAULT, f"{where}: the default of {field.name!r} is none of its choices")


def _rounds(world: World, names: list[str]) -> Iterator[Remark]:
    for round_ in world.rounds:
        where = f"round {round_.topic!r}"
        known = {*names, *getattr(world, "venues", ())}
        for name in (*round_.senders, round_.receiver):
            if name not in known:
                yield Remark(HINT, f"{where}: {name!r} has no slot in the world",
                             "a scenario must make it by count")  # fmt: skip
        if not 0 < round_.deadline_ns <= round_.every_ns:
            yield Remark(FAULT, f"{where}: its deadline is not within its period")


def _units(world: World) -> Iterator[Remark]:
    """Numbers without a unit; a choice, a flag or a share may have none."""
    found = []
    for group in world.groups:
        for field in (*group.observation.fields, *group.action.fields):
            is_share = field.choices or field.masks or (field.low, field.high) == (0.0, 1.0)
            if not field.unit and not is_share and field.size:
                found.append(f"{group.name}.{field.name}")
    if found:
        shown = ", ".join(dict.fromkeys(found[:8])) + (", ..." if len(found) > 8 else "")
        yield Remark(NOTE, f"numbers without a unit: {shown}", "Field(name, unit)")
