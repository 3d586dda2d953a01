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

    Raises: ScenarioError for a role without a rule, a module, file or name that does not exist, and
            for params that a program does not take.
    """
    takes: dict[tuple[str, str], list[str] | None] = {}
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
        if plan.behaviour != "none":
            if key not in takes:
                takes[key] = _looked_up(plan)
            _check_params(plan, takes[key])
        found.append(plan)
    return tuple(found)


def _check_params(plan: AgentPlan, takes: Sequence[str] | None) -> None:
    for param in plan.params:
        if takes is not None and param not in takes:
            raise UnknownKeyError(
                f"{_where(plan)}: params: {plan.behaviour.rpartition(':')[2]} takes no {param!r}; "
                f"{did_you_mean(param, takes)}"
            )


def _where(plan: AgentPlan) -> str:
    return plan.where or f"agent {plan.name!r}"


def _looked_up(plan: AgentPlan) -> list[str] | None:
    """The params that the behaviour of a plan takes, None if that cannot be told from its source.

    Raises: ScenarioError if it cannot be found.
    """
    where = _where(plan)
    source, colon, name = plan.behaviour.rpartition(":")
    if source == "policy":
        return None
    if not (colon and source and name.isidentifier()):
        raise ScenarioError(
            f"{where}: expected rule, none, my_agents.py:Class, package.module:Class or "
            f"policy:FILE, found {plan.behaviour!r}"
        )
    found = behaviour_file(plan.behaviour, (plan.folder,))
    path = _module_file(source, where) if found is None else found[1]
    if path is None:
        return None
    tree = _parsed(path, where)
    names = list(_defined(tree.body))
    if "*" not in names and name not in names:
        public = [each for each in names if not each.startswith("_")]
        raise UnknownKeyError(f"{where}: no {name!r} in {source}; {did_you_mean(name, public)}")
    return _taken(tree, name)


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


def _parsed(path: Path, where: str) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ScenarioError(
            f"{where}: {path}:{error.lineno}: {error.msg}" + (f": {line}" if line else "")
        ) from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{where}: {path} cannot be read: {error}") from None


def _taken(tree: ast.Module, name: str) -> list[str] | None:
    """The names that the `__init__` of a program takes; None where a class inherits it or takes
    any, and of a policy, which is given all of its params as one."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            for made in statement.body:
                if isinstance(made, ast.FunctionDef) and made.name == "__init__":
                    of = made.args
                    names = [each.arg for each in (*of.args[1:], *of.kwonlyargs)]
                    is_open = of.kwarg is not None or {"group", "params"} <= set(names)
                    return None if is_open else names
    return None


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
