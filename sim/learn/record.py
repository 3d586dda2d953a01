"""What every rollout gives and every family takes: sides, actors, records of transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from agents.roles import Layout, Role
from sim.spaces import Space

Tensor = torch.Tensor


@dataclass(frozen=True)
class Side:
    """One group that learns: its agents, their role, and what one decision of theirs is.

    every_ns: virtual time between two decisions of the network (the role's `every` of the group's).
    layout:   of the network's input.
    """

    group: str
    agents: tuple[str, ...]
    role: Role
    layout: Layout
    every_ns: int

    @property
    def decides(self) -> Space:
        return self.role.decides


class Actor(Protocol):
    """Whoever decides for a side while a rollout is collected; draws from an own generator."""

    @property
    def memory_size(self) -> int:
        """H, numbers that a recurrent network remembers per agent; 0 if it does not."""

    def act(
        self, seen: Tensor, alive: Tensor, memory: Tensor, is_first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Raw decisions (see `sim.learn.distributions`), their log-probabilities, the memory.

        Shapes: seen float32 [B, n, F], alive bool [B, n], memory float32 [B, n, H], is_first
                bool [B] (the memory of such rows counts as 0)
                -> decision float32 [B, n, A], log_prob [B, n], memory [B, n, H].
        """


@dataclass
class Record:
    """T decisions of one side in B copies, n agents. float32, or bool; on the learner's device.

    seen, next_seen     [T, B, n, F]  next_seen: at the end of the decision, before any reset
    alive, next_alive   [T, B, n]     who is in the world; what others have here does not count
    decision            [T, B, n, A]  raw, as the actor gave it
    log_prob            [T, B, n]
    reward              [T, B, n]     own, summed over components and over the decision's duration
    team                [T, B]        of the whole world: mean of all its agents' rewards, or as the
                                      world's `team_reward` says
    duration            [T, B]        in units of the side's `every_ns`: 1, less at a cut end
    is_first            [T, B]        the first decision of an episode
    terminated          [T, B]        the episode ended by itself after this decision
    truncated           [T, B]        it was cut by the horizon: the future has a value
    state, next_state   [T, B, S]     the central state, see `sim.learn.central`
    memory              [B, n, H]     the networks', before the first decision of the record
    """

    seen: Tensor
    next_seen: Tensor
    alive: Tensor
    next_alive: Tensor
    decision: Tensor
    log_prob: Tensor
    reward: Tensor
    team: Tensor
    duration: Tensor
    is_first: Tensor
    terminated: Tensor
    truncated: Tensor
    state: Tensor
    next_state: Tensor
    memory: Tensor

    @property
    def frames(self) -> int:
        """Decisions of copies: T times B."""
        return int(self.team.numel())


@dataclass(frozen=True)
class Episode:
    """An episode that ended in a rollout.

    returns:  undiscounted sum of the own rewards per agent of the world that earns any.
    team:     undiscounted sum of the team reward.
    metrics:  the world's own figures at its end, where the rollout can tell them.
    """

    seed: int
    episode: int
    steps: int
    returns: Mapping[str, float]
    team: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class Rollout(Protocol):
    """B copies of a scenario that go on from one `collect` to the next, each reset by itself.

    kind: "batched" or "kernel". reason: why this kind was chosen, for people.
    """

    kind: str
    reason: str
    sides: tuple[Side, ...]
    copies: int
    state_size: int

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        """The next so many decisions of each side, in every copy."""

    def finished(self) -> list[Episode]:
        """Episodes that ended since this was last asked."""

    def snapshot(self) -> dict[str, Any]:
        """Plain data and tensors from which `restore` goes on to the same records, on CPU."""

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot."""

    def close(self) -> None:
        """Ends what it started."""
