"""The `world` of a scenario as it is meant: short forms, and files beside the scenario.

world: {pettingzoo: "mpe2:simple_spread_v3"}     world: {kind: pettingzoo, env: "mpe2:..."}
world: {sumo: town.sumocfg}                      world: {kind: sumo, config: /.../town.sumocfg}
world: {kind: my_world.py}                       the same with the file's whole path
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from sim.errors import ScenarioError
from sim.scenario.tree import Node

SHORT: Final = {"pettingzoo": "env", "gym": "env", "sumo": "config"}
"""Worlds that are named by what they stand for, and the parameter that this is."""
FILES: Final = {"kind": ".py", "env": ".py", "config": ".sumocfg"}
"""Keys of a world that may name a file, and how its name ends."""


def with_world(tree: Node) -> Node:
    """The tree with its world in full.

    Raises: ScenarioError for a file that is not there, for two worlds at once, and where a key is
            nearly the one that names the world.
    """
    world = tree.value.get("world") if tree.is_map else None
    if world is None or not world.is_map:
        return tree
    values = dict(world.value)
    for kind, name in [short for short in SHORT.items() if short[0] in values]:
        given = values.pop(kind)
        if clash := [other for other in ("kind", name) if other in values]:
            raise ScenarioError(
                f"{given.where}: world: {kind} stands for kind and {name}; {clash[0]} is there too"
            )
        values = {"kind": Node(kind, given.where, given.folder), name: given, **values}
    for name in values if "kind" not in values else ():
        if close := get_close_matches(name, ("kind", *SHORT), n=1, cutoff=0.7):
            raise ScenarioError(
                f"{values[name].where}: world: no key {name!r}; did you mean {close[0]!r}?"
            )
    for name in FILES:
        if name in values:
            values[name] = _placed(values[name], name)
    inner = Node(values, world.where, world.folder)
    return Node({**tree.value, "world": inner}, tree.where, tree.folder)


def _placed(node: Node, name: str) -> Node:
    """A file's whole path, looked for beside the scenario, then in the working folder."""
    if not isinstance(node.value, str):
        return node
    file, colon, function = node.value.rpartition(":") if name == "env" else (node.value, "", "")
    if not file.endswith(FILES[name]) or file.startswith("sumo:"):
        return node
    for folder in dict.fromkeys((node.folder, "")):
        path = Path(folder, file)
        if path.is_file():
            return Node(f"{path.absolute()}{colon}{function}", node.where, node.folder)
    places = " or ".join(dict.fromkeys(str(Path(f).absolute()) for f in (node.folder, "")))
    raise ScenarioError(f"{node.where}: world.{name}: no file {file!r} in {places}")
