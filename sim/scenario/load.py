"""From a path or a bundled name to a `Scenario`: files, `extends`, options, and back to a file."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sim import limits
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, nearest
from sim.scenario.jitters import with_tables
from sim.scenario.network_file import read_graph
from sim.scenario.overrides import Overrides, apply_behaviours, apply_overrides
from sim.scenario.policies import LAST, no_policies, policy_folder
from sim.scenario.read import read_scenario
from sim.scenario.schema import Scenario
from sim.scenario.tree import Node, merge, parse, scalar
from sim.scenario.worlds import with_world

_SUFFIXES = (".yaml", ".yml")
_PACKAGE = Path(__file__).resolve().parents[1]


def bundled() -> dict[str, Path]:
    """The scenarios that come with the package, by name.

    They lie in `sim/bundled` of an installed package, which is `scenarios/` of the repository.
    """
    for folder in (_PACKAGE / "bundled", _PACKAGE.parent / "scenarios"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_scenario(name: str, folder: str = "") -> Path:
    """The file of a path (relative to `folder`, if given) or of a bundled name.

    Raises: UnknownKeyError with the nearest name.
    """
    path = Path(folder, name)
    if path.suffix in _SUFFIXES or os.sep in name:
        if _is_file(path):
            return path
        if os.path.isdir(path):
            raise UnknownKeyError(f"{str(path)!r} is a folder; expected a scenario file")
        if path.stem in bundled() and not path.parent.name:
            hint = f"the bundled one is {path.stem!r}"
        else:
            files = path.parent.glob("*.yaml") if os.path.isdir(path.parent) else ()
            near = nearest(str(path), [str(other) for other in files])
            place = path.parent.absolute()
            hint = f"did you mean {near!r}?" if near else f"nor one like it in {place}"
        raise UnknownKeyError(f"no scenario file {str(path)!r}; {hint}")
    known = bundled()
    if name not in known:
        own = Path(folder, f"{name}.yaml")
        hint = (
            f"did you mean the file {str(own)!r}?" if _is_file(own)
            else f"{did_you_mean(name, known)} (a file is given by its path, with .yaml)"
        )  # fmt: skip
        raise UnknownKeyError(f"no bundled scenario {name!r}; {hint}")
    return known[name]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """A path as messages show it: relative to the working folder if it lies inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limits.SCENARIO_BYTES_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"{_shown(path)}: cannot be read: {error.strerror}") from None
    if len(data) > limits.SCENARIO_BYTES_MAX:
        raise BoundError(
            f"{_shown(path)}: expected a scenario of at most {limits.SCENARIO_BYTES_MAX} bytes"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ScenarioError(f"{_shown(path)}:{line}: expected UTF-8 text") from None


def _description(text: str) -> str:
    """The first paragraph of the comment that opens a file, as one line."""
    words: list[str] = []
    for line in text.splitlines():
        body = line.lstrip("#").strip()
        if not line.startswith("#") or (not body and words):
            break
        words.append(body)
    return " ".join(filter(None, words))


def describe(path: Path) -> str:
    """The comment that opens a scenario file, as one line. Raises: ScenarioError."""
    return _description(_read_text(path))


def _read_tree(path: Path, chain: tuple[Path, ...]) -> tuple[Node, str]:
    """The tree of a file merged over those it extends, and its description."""
    path = path.resolve()
    if path in chain:
        loop = " -> ".join(_shown(each) for each in (*chain[chain.index(path) :], path))
        raise ScenarioError(f"{_shown(chain[-1])}: extends: a circle: {loop}")
    text = _read_text(path)
    root = parse(text, _shown(path), str(path.parent))
    if not root.is_map:
        raise ScenarioError(f"{root.where}: expected a mapping of keys such as name, world, agents")
    own = {"name": Node(path.stem, root.where, root.folder), **root.value}
    own.pop("extends", None)
    tree = Node(own, root.where, root.folder)
    description = _description(text)
    if "extends" in root.value:
        base, base_description = _base(root.value["extends"], (*chain, path))
        tree, description = merge(base, tree), description or base_description
    return tree, description


def _base(name: Node, chain: tuple[Path, ...]) -> tuple[Node, str]:
    if not isinstance(name.value, str) or "\0" in name.value:
        raise ScenarioError(f"{name.where}: extends: expected a file or a bundled name")
    try:
        path = find_scenario(name.value, name.folder)
    except UnknownKeyError as error:
        raise UnknownKeyError(f"{name.where}: extends: {error}") from None
    return _read_tree(path, chain)


def load_scenario(
    path_or_name: str | os.PathLike[str],
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
) -> Scenario:
    """The scenario of a file or a bundled name, with options applied.

    overrides:  `path=value` texts as of `--set`, or values by path.
    behaviours: `pattern=behaviour` texts as of `--as`, or behaviours by pattern.
    Raises: ScenarioError; the message has file and line (or option), key path, what was expected.
    """
    path = find_scenario(os.fspath(path_or_name))
    tree, description = _read_tree(path, ())
    tree = apply_overrides(tree, overrides)
    tree = with_world(with_tables(apply_behaviours(tree, behaviours)))
    return read_scenario(
        tree,
        source=_shown(path),
        folder=str(path.resolve().parent),
        description=description,
        document=_document(tree),
    )


def parse_scenario(
    text: str, source: str = "scenario", folder: str = "", overrides: Overrides = ()
) -> Scenario:
    """A scenario of YAML text that needs no file, so without `extends`.

    Raises: ScenarioError.
    """
    if len(text.encode("utf-8", "replace")) > limits.SCENARIO_BYTES_MAX:
        raise BoundError(f"{source}: expected at most {limits.SCENARIO_BYTES_MAX} bytes")
    tree = parse(text, source, folder)
    if tree.is_map:
        tree.value.setdefault("name", Node("scenario", source, folder))
    tree = with_world(with_tables(apply_overrides(tree, overrides)))
    return read_scenario(
        tree,
        source=source,
        folder=folder,
        description=_description(text),
        document=_document(tree),
    )


def behaviour_file(
    behaviour: str, folders: Iterable[str], scenario: str = ""
) -> tuple[str, Path] | None:
    """The file that a behaviour names (`my_agents.py:Class`, `policy:FILE`), and its folder; for
    `policy:RUN` and `policy:last` the folder of that run's policies.

    The first of `folders` that has it; "" is the working folder. None if it names no file.
    scenario: the name of the one whose newest training run `policy:last` is.
    Raises: ScenarioError if no folder has it.
    """
    if behaviour.startswith("policy:"):
        name = behaviour.removeprefix("policy:")
    else:
        name = behaviour.rpartition(":")[0]
        if not name.endswith(".py"):
            return None
    tried = [str(Path(folder).absolute()) for folder in dict.fromkeys(folders)]
    for folder in tried:
        if _is_file(Path(folder, name)):
            return folder, Path(folder, name)
    missing = f"no file {name!r} in {' or '.join(dict.fromkeys(tried))}"
    if behaviour.startswith("policy:"):
        found = policy_folder(name, tried, scenario)
        if found is not None:
            return str(found.parent), found
        others = no_policies(name, scenario)
        missing = others if name == LAST else f"{missing}, and {others}"
    raise ScenarioError(missing)


def at_world(scenario: Scenario, error: ScenarioError) -> ScenarioError:
    """An error of making the scenario's world, with file and line before it.

    A world names the parameter at fault as `world.NAME:` at the beginning of its message.
    """
    spec, message = scenario.world, str(error)
    key = message.split(":")[0].removeprefix("world.").split(".")[0].split("[")[0]
    if message.startswith("world.") and key in spec.places:
        return type(error)(f"{spec.places[key]}: {message}")
    return type(error)(f"{spec.where}: {message}")


def _absolute(node: Node, folder: str, scenario: str) -> Any:
    """A behaviour whose file is found, with its absolute path."""
    behaviour = node.value
    if not isinstance(behaviour, str):
        return behaviour
    try:
        found = behaviour_file(behaviour, (node.folder, "", folder), scenario)
    except ScenarioError:
        return behaviour
    if found is None:
        return behaviour
    if behaviour.startswith("policy:"):
        return f"policy:{found[1]}"
    return f"{found[1]}:{behaviour.rpartition(':')[2]}"


def _document(tree: Node) -> dict[str, Any]:
    """The tree as plain data that means the same in any folder."""
    plain: dict[str, Any] = tree.plain() if tree.is_map else {}
    name = plain.pop("name", "")
    document = {"name": name, **plain}
    learn = tree.value.get("learn") if tree.is_map else None
    groups = learn.value.get("groups") if learn is not None and learn.is_map else None
    for group, entry in groups.value.items() if groups is not None and groups.is_map else ():
        if str(entry.value).startswith("policy:"):
            document["learn"]["groups"][group] = _absolute(entry, tree.folder, name)
    network = tree.value.get("network") if tree.is_map else None
    file = network.value.get("file") if network is not None and network.is_map else None
    if file is not None and isinstance(file.value, str):
        document["network"]["file"] = read_graph(file).plain()
    for section in ("agents", "as"):
        entries = tree.value.get(section) if tree.is_map else None
        for pattern, entry in entries.value.items() if entries and entries.is_map else ():
            if section == "as":
                document[section][pattern] = _absolute(entry, tree.folder, name)
            elif entry.is_map and "behaviour" in entry.value:
                behaviour = _absolute(entry.value["behaviour"], tree.folder, name)
                document[section][pattern]["behaviour"] = behaviour
    return document


def _quoted(dumper: Any, text: str) -> Any:
    """Quotes text that this reader would take for a number."""
    style = None if scalar(text, "") == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper: Any = type("_Dumper", (yaml.SafeDumper,), {})
_Dumper.add_representer(str, _quoted)


def dump(scenario: Scenario) -> str:
    """The resolved scenario as a file: `extends` merged, options applied; it loads to the same."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(scenario.description, 98))
    text: str = yaml.dump(
        scenario.document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return head + text
