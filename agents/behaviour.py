"""From a behaviour string of the scenario to an agent.

module:Name          an importable class or policy factory
my_agents.py:Name    the same, from a file beside the scenario or in the current folder
policy:FILE          a policy file
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from agents.params import check_taken
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
    from agents.policy import MechanismAgent, PolicyAgent

    start = cell.start
    found = load_behaviour(start.behaviour, start.folder)
    if is_program(found):
        agent_class: type[Agent] = found
        arguments = dict(start.params)
    elif any(r["receiver"] == start.name for r in start.rounds) and not is_policy(found):
        agent_class, arguments = MechanismAgent, {"mechanism": found}
    else:
        arguments = {"policy": _make_policy(found, cell)}
        agent_class = PolicyAgent
    check_taken(agent_class, arguments)
    agent = agent_class.__new__(agent_class)
    agent._cell = cell
    agent.__init__(**arguments)  # type: ignore[misc]
    return agent


def is_program(found: Any) -> bool:
    from agents.agent import Agent

    return inspect.isclass(found) and issubclass(found, Agent)


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
