"""Whether a behaviour takes the params that a scenario gives it, by their names and values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import msgspec

from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.worlds.world import Group


def check_taken(program: Any, params: Mapping[str, Any]) -> None:
    """Raises: AgentError if the `__init__` of a program does not take the params: with the nearest
    name, or the one that is missing."""
    signature = inspect.signature(program.__init__)
    try:
        signature.bind(None, **params)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        for name in params:
            if name not in known:
                raise AgentError(
                    f"{program.__name__} takes no {name!r}; {did_you_mean(name, known)}"
                ) from None
        raise AgentError(f"{program.__name__}(**params): {error}") from None


def check_program(program: Any, params: Mapping[str, Any]) -> None:
    """A program of ours, which is made to see it. Raises: AgentError."""
    check_taken(program, params)
    hints = get_type_hints(program.__init__, include_extras=True)
    for name, value in params.items():
        try:
            msgspec.convert(value, hints.get(name, Any))
        except msgspec.ValidationError as error:
            raise AgentError(f"{name}: {error}, found {value!r}") from None
    try:
        program.__new__(program).__init__(**params)
    except ValueError as error:
        raise AgentError(str(error)) from None
    except AttributeError:
        pass  # One that looks around as it is made: there is no run yet.


def check_policy(factory: Any, group: Group, params: Mapping[str, Any]) -> None:
    """A policy of ours, which asks for its params as it is made, here for the first of a group.

    Raises: AgentError.
    """
    asked = Asked(params)
    try:
        factory(name=group.agents[0], group=group, params=asked)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise AgentError(str(error)) from None
    for name in params:
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
