"""What the classics have in common: no rounds, no events, one reward component, plain outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import torch

from sim.errors import BoundError, UnknownKeyError
from sim.spaces import Field, Space
from sim.units import duration_ns
from sim.worlds.catalogue import parse
from sim.worlds.classics.fields import Parameters
from sim.worlds.noise import ordered_sum, row_keys
from sim.worlds.world import Group, Metric, PhysicalEvent, Round, State

Tensor = torch.Tensor
Tensors = Mapping[str, Tensor]
"""Something of every group."""
Stepped = tuple[State, dict[str, Tensor]]
"""The next state, and the rewards [B, n, 1] of every group."""
Columns = dict[str, dict[str, float]]
"""What a run is held against: metrics by column."""
Played = tuple[int | Sequence[str], Sequence[Field], Sequence[Field]]
"""A group: how many agents, or their names; what each sees; what each does."""

RULE: Final = "agents.behaviours.classics"
ROLE: Final = "agents.behaviours.classics_roles"
"""The modules of the rules and of the roles of these worlds."""


P = TypeVar("P", bound=Parameters)
W = TypeVar("W")


class Classic(Generic[P]):
    """A BatchWorld whose state starts with key, step and the sums of the outcome.

    steps: after so many the episode has ended by itself; 0 if only the horizon ends it.
    must_act: see `Group`.
    Shapes: key, step int64 [B]; return float64 [B], the sum over agents and steps so far.
    """

    rounds: Sequence[Round] = ()
    events: Sequence[PhysicalEvent] = ()
    reward_components: tuple[str, ...] = ("reward",)

    def __init__(
        self, name: str, p: P, groups: Mapping[str, Played], steps: int = 0, must_act: bool = True
    ) -> None:
        self.name, self.params, self.steps = name, p, steps
        self.dt_ns = step_ns(p.dt)
        self.groups = tuple(
            _group(name, *played, self.dt_ns, must_act) for name, played in groups.items()
        )
        self.agents = sum(len(group.agents) for group in self.groups)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        zero = torch.zeros(len(seeds), dtype=torch.float64, device=device)
        keys = row_keys(seeds, self.name, device)
        state = {"key": keys, "step": torch.zeros_like(keys), "return": zero}
        return {**state, **self.start(state)}

    def start(self, state: State) -> State:
        """What else the first state has. state: that with which all begin."""
        raise NotImplementedError

    def joint(self, of_groups: Tensors) -> Tensor:
        """Of all agents, in the order of their groups. Shapes: [B, n, ...] per group."""
        return torch.cat([of_groups[group.name] for group in self.groups], 1)

    def by_group(self, of_all: Tensor) -> dict[str, Tensor]:
        """The inverse of `joint`."""
        parts = torch.split(of_all, [len(group.agents) for group in self.groups], 1)
        return {group.name: part for group, part in zip(self.groups, parts, strict=True)}

    def paid(self, state: State, changes: Tensors, rewards: Tensors) -> Stepped:
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


def maker(world: Callable[[P], W], record: type[P], name: str) -> Callable[[Mapping[str, Any]], W]:
    """The `make` of a world, see `sim.worlds.catalogue`."""

    def make(params: Mapping[str, Any]) -> W:
        """The world of these parameters. Raises: UnknownKeyError, BoundError."""
        return world(parse(record, params, name))

    return make


def figure(state: State, name: str, help: str) -> dict[str, Metric]:
    """A number of the state as a metric of which more is better."""
    return {name: Metric(float(state[name][0]), "", "higher", False, help)}


def step_ns(dt: str | float) -> int:
    """The step of a world in nanoseconds. Raises: BoundError."""
    try:
        found = duration_ns(dt)
    except ValueError as error:
        raise BoundError(f"world.dt: {error}") from None
    if found == 0:
        raise BoundError("world.dt: a step must be longer than 0")
    return found


def _group(
    name: str,
    agents: int | Sequence[str],
    sees: Sequence[Field],
    acts: Sequence[Field],
    dt_ns: int,
    must_act: bool,
) -> Group:
    """Decides each step; an action counts for its step alone. Names: name-1 and so on."""
    if isinstance(agents, int):
        agents = numbered(name, agents)
    spaces = Space(tuple(sees)), Space(tuple(acts))
    return Group(name, tuple(agents), *spaces, dt_ns, "default", must_act=must_act)


def numbered(name: str, count: int) -> list[str]:
    """name-1 to name-count."""
    return [f"{name}-{i + 1}" for i in range(count)]


def unknown(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The `reference` of a world whose optimum is not known."""
    return {}
