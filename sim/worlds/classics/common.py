"""What the classics have in common: no rounds, no events, one reward component, plain outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sim.errors import BoundError, UnknownKeyError
from sim.spaces import Field, Space
from sim.units import duration_ns
from sim.worlds.noise import ordered_sum, row_keys
from sim.worlds.world import Group, Metric, PhysicalEvent, Round, State

Tensor = torch.Tensor


class Classic:
    """A BatchWorld whose state starts with key, step and the sums of the outcome.

    steps: after so many the episode has ended by itself; 0 if only the horizon ends it.
    Shapes: key, step int64 [B]; return float64 [B], the sum over agents and steps so far.
    """

    rounds: Sequence[Round] = ()
    events: Sequence[PhysicalEvent] = ()
    reward_components: tuple[str, ...] = ("reward",)

    def __init__(self, name: str, groups: Sequence[Group], dt_ns: int, steps: int = 0) -> None:
        self.name, self.groups, self.dt_ns, self.steps = name, tuple(groups), dt_ns, steps
        self.agents = sum(len(group.agents) for group in groups)

    def begin(self, seeds: Sequence[tuple[int, int]], device: str) -> State:
        """The part of the first state that all share."""
        zero = torch.zeros(len(seeds), dtype=torch.float64, device=device)
        keys = row_keys(seeds, self.name, device)
        return {"key": keys, "step": torch.zeros_like(keys), "return": zero}

    def paid(
        self, state: State, changes: Mapping[str, Tensor], rewards: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        """The next state and what was earned. Shapes: rewards [B, n] per group."""
        total = state["return"]
        for reward in rewards.values():
            total = total + ordered_sum(reward, 1)
        after = {**state, **changes, "step": state["step"] + 1, "return": total}
        return after, {name: reward[..., None] for name, reward in rewards.items()}

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        raise UnknownKeyError(f"world {self.name!r} has no physical events, found {event!r}")

    def terminated(self, state: State) -> Tensor:
        step: Tensor = state["step"]
        return step >= self.steps if self.steps else torch.zeros_like(step, dtype=torch.bool)

    def metrics(self, state: State) -> dict[str, Metric]:
        total, steps = float(state["return"][0]), max(int(state["step"][0]), 1)
        mean = total / steps / self.agents
        return {
            "reward": Metric(mean, "per step", "higher", True, "mean over agents and steps"),
            "return": Metric(total, "", "higher", False, "sum over agents and steps"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        """Every tensor of the state but the keys, as plain numbers."""
        shown = {k: v[0].tolist() for k, v in state.items() if k not in ("key", "step")}
        return {"kind": "numbers", "title": self.title(state), **shown}

    def title(self, state: State) -> str:
        """Name and step."""
        return f"{self.name}, step {int(state['step'][0])}"


def step_ns(dt: str | float) -> int:
    """The step of a world in nanoseconds. Raises: BoundError."""
    try:
        found = duration_ns(dt)
    except ValueError as error:
        raise BoundError(f"world.dt: {error}") from None
    if found == 0:
        raise BoundError("world.dt: a step must be longer than 0")
    return found


def group(
    name: str,
    agents: int | Sequence[str],
    dt_ns: int,
    sees: Sequence[Field],
    acts: Sequence[Field],
) -> Group:
    """A group that decides each step, name-1 and so on; an action counts for its step alone."""
    if isinstance(agents, int):
        agents = [f"{name}-{i + 1}" for i in range(agents)]
    return Group(name, tuple(agents), Space(tuple(sees)), Space(tuple(acts)), dt_ns, "default")


def choice(name: str, choices: int, help: str = "") -> Field:
    """An action field that takes a whole number 0 ... choices - 1."""
    return Field(name, low=0.0, high=choices - 1.0, help=help, choices=choices)


def chosen(action: Tensor, choices: int) -> Tensor:
    """Whole numbers within 0 ... choices - 1, the nearest ones. Shapes: [...] -> int64 [...]."""
    return torch.clamp(torch.round(action), 0, choices - 1).to(torch.int64)


def one_hot(index: Tensor, size: int) -> Tensor:
    """Shapes: int64 [...] -> float64 [..., size]; all zero where index is outside."""
    return (index[..., None] == torch.arange(size, device=index.device)).to(torch.float64)


def unknown(params: Mapping[str, Any], seed: int, duration_ns: int) -> dict[str, dict[str, float]]:
    """The `reference` of a world whose optimum is not known."""
    return {}
