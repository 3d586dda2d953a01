"""What robots are there for: what a task adds to the world of robots.

A task is a module of this package, named in `TASKS`, with
    Params      the core's parameters and its own, a record
    Task        a class made from such a record, see `Task` here
    reference   columns to hold a run against, see `sim.worlds.catalogue`
Its agents are a group with its name. Its rule stands in `sim.worlds.swarm.world.RULES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch

from sim.spaces import Field
from sim.units import SECOND
from sim.worlds.classics.common import step_ns
from sim.worlds.swarm.params import Params
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
P = TypeVar("P", bound=Params)


class Task(Generic[P]):
    """The task of moving about, for nothing: what a task overrides.

    components: names of what is paid. sees, acts: fields after those of the core. blocks: how many
    obstacles it has of its own; it keeps them in the last places of `obstacle`.
    Streams of draws below 100 are its own.
    """

    components: tuple[str, ...] = ()
    sees: Sequence[Field] = ()
    acts: Sequence[Field] = ()
    blocks: int = 0

    def __init__(self, params: P) -> None:
        self.params = params
        self.dt = step_ns(params.dt) / SECOND

    def start(self, state: State) -> State:
        """What it adds to the first state, or changes in it."""
        return {}

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        """What it changes in `after`, which the core has made of `before`, and what it pays.

        Shapes: action [B, n, acts], bool [B, n] -> rewards [B, n, components].
        """
        return {}, torch.zeros(*is_driven.shape, 0, dtype=torch.float64, device=is_driven.device)

    def observe(self, state: State) -> Sequence[Tensor]:
        """What its fields say. Shapes: [B, n, size] each."""
        return ()

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        """Of a batch of one, after so many seconds."""
        return {}

    def scene(self, state: State) -> dict[str, Any]:
        """What is drawn beside robots: see `sim.worlds.swarm.scene`."""
        return {}

    def terminated(self, state: State) -> Tensor:
        """Whether it is done. Shapes: -> bool [B]."""
        return torch.zeros_like(state["step"], dtype=torch.bool)
