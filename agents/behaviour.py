"""From a behaviour string of the scenario to an agent.

module:Name          an importable class or policy factory
my_agents.py:Name    the same, from a file beside the scenario or in the current folder
policy:FILE          a policy file
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from sim.author import file_module
from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.worlds.world import Group

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.runtime import Cell


def find_file(name: str, folder: str) -> Path:
    """The file of a behaviour, looked for beside the scenario, then in the current folder.

    Raises: AgentError naming both places.
    """
    places = [Path(folder) / name, Path.cwd() / name]
    for place in places:
        if place.is_file():
            return place.resolve()
    raise AgentError(f"no file {name!r}, neither beside the scenario nor in {Path.cwd()}")


def load_module(source: str, folder: str) -> ModuleType:
    """The module of a behaviour; a file is loaded once per process, and again once it changed."""
    if not source.endswith(".py"):
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise AgentError(f"no module {source!r}: {error}") from None
    return file_module(find_file(source, folder))


def load_behaviour(spec: str, folder: str) -> Any:
    """The class or policy factory that a behaviour string names.

    Raises: AgentError for a missing file, module or name (with the nearest one).
    """
    source, _, name = spec.partition(":")
    if source == "policy":
        from agents.networks import load_policy

        return load_policy(find_file(name, folder))
    module = load_module(source, folder)
    if not hasattr(module, name):
        from agents.agent import Agent

        known = [n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, Agent)]
        raise AgentError(f"no {name!r} in {source}; {did_you_mean(name, known)}")
    return getattr(module, name)


def make_agent(cell: Cell) -> Agent:
    """The agent of a cell, bound to it before its `__init__` runs.

    Raises: AgentError if the behaviour does not exist or does not take the scenario's params.
    """
    from agents.agent import Agent
    from agents.policy import MechanismAgent, PolicyAgent

    start = cell.start
    found = load_behaviour(start.behaviour, start.folder)
    if inspect.isclass(found) and issubclass(found, Agent):
        agent_class: type[Agent] = found
        arguments = dict(start.params)
    elif any(r["receiver"] == start.name for r in start.rounds) and not is_policy(found):
        agent_class, arguments = MechanismAgent, {"mechanism": found}
    else:
        arguments = {"policy": _make_policy(found, cell)}
        agent_class = PolicyAgent
    _check_takes(agent_class, arguments)
    agent = agent_class.__new__(agent_class)
    agent._cell = cell
    agent.__init__(**arguments)  # type: ignore[misc]
    return agent


def check_params(found: Any, group: Group | None, params: Mapping[str, Any]) -> None:
    """Whether a behaviour takes the params of the scenario: it is made to see it. A policy that
    keeps them may ask later, and is believed.

    Raises: AgentError for one that it does not ask for, with the nearest one, or that is no value.
    """
    from agents.agent import Agent

    if inspect.isclass(found) and issubclass(found, Agent):
        _check_takes(found, params)
        hints = get_type_hints(found.__init__, include_extras=True)
        for name, value in params.items():
            try:
                msgspec.convert(value, hints.get(name, Any))
            except msgspec.ValidationError as error:
                raise AgentError(f"{name}: {error}, found {value!r}") from None
        try:
            found.__new__(found).__init__(**params)  # type: ignore[misc]
        except ValueError as error:
            raise AgentError(str(error)) from None
        except AttributeError:
            pass  # One that looks around as it is made: there is no run yet.
    elif is_policy(found) and group is not None:
        asked = Asked(params)
        try:
            made = found(name=group.agents[0], group=group, params=asked)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise AgentError(str(error)) from None
        is_kept = any(value is asked for value in vars(made).values())
        for name in () if is_kept else params:
            if name not in asked.names:
                raise AgentError(f"no {name!r}; {did_you_mean(name, sorted(asked.names))}")


class Asked(Mapping[str, Any]):
    """Params that know which names they have been asked for."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params, self.names = params, set[str]()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return self.params[name]

    def __iter__(self) -> Iterator[str]:
        """Who copies them, or goes through their names, takes any."""
        self.names.update(self.params)
        return iter(self.params)

    def __len__(self) -> int:
        return len(self.params)


def _check_takes(agent_class: type[Agent], params: Mapping[str, Any]) -> None:
    """Raises: AgentError if `__init__` does not take the params."""
    signature = inspect.signature(agent_class.__init__)
    try:
        signature.bind(None, **params)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        close = [f"; {did_you_mean(name, known)}" for name in params if name not in known]
        raise AgentError(f"{agent_class.__name__}(**params): {error}{''.join(close[:1])}") from None


def is_policy(found: Any) -> bool:
    return hasattr(found, "speaks") or hasattr(found, "makes_policy")


def _make_policy(found: Any, cell: Cell) -> Any:
    spec = cell.start.behaviour
    if not callable(found):
        raise AgentError(f"{spec!r} is neither an Agent nor a policy")
    if inspect.isclass(found) and not is_policy(found) and "__call__" not in dir(found):
        raise AgentError(f"{spec!r} is not a class of sim.Agent, nor a policy")
    if hasattr(found, "memory") and not inspect.isclass(found):
        return found
    try:
        return found(
            name=cell.start.name,
            group=Group(
                cell.start.group,
                (cell.start.name,),
                cell.observation_space,
                cell.action_space,
                cell.start.every_ns,
            ),
            params=cell.start.params,
        )
    except TypeError as error:
        raise AgentError(f"{cell.start.behaviour}: {error}") from None
