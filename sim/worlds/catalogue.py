"""The worlds by name, imported only when asked for; or by the file, or the module, that has one.

A world module provides
    make(params)                            -> World or BatchWorld
    RULES                                   group name -> "module:Name" of its rule behaviour
    reference(params, seed, duration_ns)    column name -> {metric name: value}; may be left out
and keeps its parameters in one frozen record, checked by `parse`.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec

from sim.author import author_module
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.worlds.world import World, single

WORLDS: Final[dict[str, str]] = {
    "agreement": "sim.worlds.agreement",
    "allocation": "sim.worlds.tasks",
    "blank": "sim.worlds.blank",
    "commons": "sim.worlds.classics.commons",
    "double_integrator": "sim.worlds.classics.double_integrator",
    "flows": "sim.worlds.flows",
    "gym": "sim.worlds.gym",
    "junctions": "sim.worlds.junctions.catalogue",
    "lqr": "sim.worlds.classics.lqr",
    "market": "sim.worlds.market.world",
    "matrix": "sim.worlds.classics.matrix",
    "medium_voltage": "sim.worlds.medium_voltage.world",
    "microgrid": "sim.worlds.microgrid",
    "motorway": "sim.worlds.motorway.world",
    "pettingzoo": "sim.worlds.pettingzoo",
    "predator_prey": "sim.worlds.classics.predator_prey",
    "rendezvous": "sim.worlds.rendezvous",
    "sharing": "sim.worlds.sharing",
    "signalling": "sim.worlds.classics.signalling",
    "smart_grid": "sim.worlds.smart_grid",
    "speaker_listener": "sim.worlds.classics.speaker_listener",
    "spread": "sim.worlds.classics.spread",
    "sumo": "sim.worlds.sumo.world",
    "swarm": "sim.worlds.swarm.world",
    "traffic": "sim.worlds.traffic",
    "vehicles": "sim.worlds.vehicles.world",
}

_SHOWN_MAX: Final = 60
"""Characters of a value that a message repeats."""

Record = TypeVar("Record", bound=msgspec.Struct)


def world_module(kind: str) -> ModuleType:
    """The module of world `kind`: of the catalogue, of a file (my_world.py), or any other module.

    Raises: UnknownKeyError naming the nearest world; ScenarioError for a file that does not load,
            or has no world.
    """
    if kind.endswith(".py"):
        module = author_module(kind)
        for name in ("RULES", "ROLES"):
            vars(module)[name] = _placed(getattr(module, name, {}), Path(kind).absolute().parent)
    elif "." in kind:
        try:
            module = importlib.import_module(kind)
        except ModuleNotFoundError as error:
            raise UnknownKeyError(f"there is no world {kind!r}: {error}") from None
    elif kind in WORLDS:
        return importlib.import_module(WORLDS[kind])
    else:
        raise UnknownKeyError(f"there is no world {kind!r}; {did_you_mean(kind, WORLDS)}")
    if missing := [name for name in ("make", "RULES") if not hasattr(module, name)]:
        raise ScenarioError(f"{kind} is no world: it has no {missing[0]}; see docs/worlds.md")
    return module


def _placed(behaviours: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Behaviours of files beside an author's world, by their absolute paths."""
    found = {}
    for group, behaviour in behaviours.items():
        file, _, name = behaviour.rpartition(":")
        found[group] = f"{folder / file}:{name}" if file.endswith(".py") else behaviour
    return found


def make_world(kind: str, params: Mapping[str, Any], seed: int) -> World:
    """A World at the start of episode 0 of `seed`; a BatchWorld is wrapped as a batch of one.

    Raises: UnknownKeyError for a world or a parameter that does not exist, BoundError for a value
            out of its range.
    """
    made = world_module(kind).make(dict(params))
    world: World = made if hasattr(made, "state_bytes") else single(made)
    world.reset(seed, 0)
    return world


def make_batch(kind: str, params: Mapping[str, Any]) -> Any:
    """The BatchWorld itself, for training and for replay in the batch.

    Raises: as `make_world`; BoundError if the world exists as one copy only.
    """
    made = world_module(kind).make(dict(params))
    if hasattr(made, "state_bytes"):
        raise BoundError(f"world {kind!r} runs one copy at a time and has no batched form")
    return made


def rules(kind: str) -> dict[str, str]:
    """The rule behaviour of each group of a world. Raises: UnknownKeyError."""
    return dict(world_module(kind).RULES)


def reference(
    kind: str, params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """Columns to hold a run against, by name; none if the world has no reference."""
    found = getattr(world_module(kind), "reference", None)
    columns = found(dict(params), seed, duration_ns) if found is not None else {}
    return {name: dict(values) for name, values in columns.items()}


def parse(record: type[Record], params: Mapping[str, Any], world: str) -> Record:
    """The parameters of a world as its record; what is not given takes the record's default.

    Raises: UnknownKeyError naming the nearest parameter, BoundError with what was expected.
    """
    fields = {field.name for field in msgspec.structs.fields(record)}
    for name in params:
        if name not in fields:
            close = did_you_mean(str(name), sorted(fields))
            raise UnknownKeyError(f"world.{name}: {world!r} has no such parameter; {close}")
    try:
        return msgspec.convert(dict(params), record)
    except msgspec.ValidationError as error:
        # msgspec ends with the path: "Expected `int` >= 1 - at `$.agents`".
        what, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").removeprefix(".")
        given, kind = params.get(path), typing.get_type_hints(record).get(path)
        if typing.get_origin(kind) is typing.Literal:
            choices = [str(choice) for choice in typing.get_args(kind)]
            what = f"expected one of {', '.join(choices)}"
        where = f"world.{path}" if path else "world"
        found = f", found {given!r}" if path in params and len(repr(given)) < _SHOWN_MAX else ""
        raise BoundError(f"{where}: {what[0].lower()}{what[1:]}{found}") from None
