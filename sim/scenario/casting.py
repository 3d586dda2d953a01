"""Who plays each role, down to the class: `rule` becomes the world's own behaviour, and every
behaviour's module, file and name is looked up before any process is started.

Nothing of the author's is run for that: names are read from the source.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.load import behaviour_file
from sim.scenario.roster import AgentPlan


def cast(plans: Sequence[AgentPlan], rules: Mapping[str, str], world: str) -> tuple[AgentPlan, ...]:
    """The plans with every `rule` replaced by what `rules` names for its group.

    Raises: ScenarioError for a role without a rule, a module, file or name that does not exist.
    """
    checked: dict[tuple[str, str], str] = {}
    found = []
    for plan in plans:
        if plan.behaviour == "rule":
            rule = rules.get(plan.group or "")
            if rule is None:
                raise ScenarioError(
                    f"{plan.where or 'agents'}: world {world!r} has no rule for {plan.name!r}; "
                    "name a behaviour, or none"
                )
            plan = msgspec.structs.replace(plan, behaviour=rule)
        key = (plan.behaviour, plan.folder)
        if plan.behaviour != "none" and key not in checked:
            checked[key] = _check(plan)
        found.append(plan)
    return tuple(found)


def _check(plan: AgentPlan) -> str:
    """Raises: ScenarioError if the behaviour of a plan cannot be found."""
    where = plan.where or f"agent {plan.name!r}"
    source, colon, name = plan.behaviour.rpartition(":")
    if source == "policy":
        return plan.behaviour
    if not (colon and source and name.isidentifier()):
        raise ScenarioError(
            f"{where}: expected rule, none, my_agents.py:Class, package.module:Class or "
            f"policy:FILE, found {plan.behaviour!r}"
        )
    found = behaviour_file(plan.behaviour, (plan.folder,))
    path = _module_file(source, where) if found is None else found[1]
    names = _names(path, where) if path is not None else None
    if names is not None and name not in names:
        public = [each for each in names if not each.startswith("_")]
        raise UnknownKeyError(f"{where}: no {name!r} in {source}; {did_you_mean(name, public)}")
    return plan.behaviour


def _module_file(source: str, where: str) -> Path | None:
    """The source of an importable module; None if it has none (a compiled one)."""
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        raise ScenarioError(
            f"{where}: no module {source!r} (a file is given with its suffix, as {source}.py:Class)"
        )
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _names(path: Path, where: str) -> list[str] | None:
    """What the source of a module defines at its top level; None if that cannot be told."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ScenarioError(
            f"{where}: {path}:{error.lineno}: {error.msg}" + (f": {line}" if line else "")
        ) from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{where}: {path} cannot be read: {error}") from None
    names = list(_defined(tree.body))
    return None if "*" in names else names


def _defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in statement.names)
            case ast.Assign():
                yield from (t.id for t in statement.targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.For() | ast.While():
                yield from _defined([*statement.body, *statement.orelse])
            case ast.With():
                yield from _defined(statement.body)
            case ast.Try():
                handlers = [line for handler in statement.handlers for line in handler.body]
                yield from _defined(
                    [*statement.body, *handlers, *statement.orelse, *statement.finalbody]
                )
