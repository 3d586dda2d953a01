"""Tiny problems with known answers, in memory: what a rollout gives, without a world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from agents.roles import PlainRole, layout_of
from sim.learn.record import Actor, Record, Side
from sim.spaces import Field, Space
from sim.worlds.world import Group

Tensor = torch.Tensor
SECOND = 10**9
FACTORISATION = torch.tensor([[8.0, -12, -12], [-12, 0, 0], [-12, 0, 0]])
PENALTY = torch.tensor([[0.0, 0, 10], [0, 2, 0], [10, 0, 0]])


def make_side(
    agents: int,
    choices: int,
    features: int = 1,
    group: str = "player",
    every_ns: int = SECOND,
    decides: Space | None = None,
    sees: Space | None = None,
) -> Side:
    sees = sees or Space((Field("x", size=features),))
    decides = decides or Space((Field("move", choices=choices),))
    names = tuple(f"{group}-{i}" for i in range(agents))
    role = PlainRole(names[0], Group(group, names, sees, decides, every_ns), {})
    return Side(group, names, role, layout_of(role, {}), every_ns)


class Tiny:
    """B copies of a problem of one group. Every agent sees its index and the number of the state.

    reward:     own rewards [B, n] of decisions [B, n, A] in states [B].
    move:       the next states [B] of states and decisions.
    terminates: bool [B] of the next states; steps: the time limit that cuts an episode.
    alive:      bool [B, n] of states.
    """

    def __init__(
        self,
        side: Side,
        copies: int,
        reward: Callable[[Tensor, Tensor], Tensor],
        move: Callable[[Tensor, Tensor], Tensor] | None = None,
        terminates: Callable[[Tensor], Tensor] | None = None,
        steps: int = 10**9,
        alive: Callable[[Tensor], Tensor] | None = None,
        duration: float = 1.0,
    ) -> None:
        self.side, self.sides, self.copies, self.state_size = side, (side,), copies, 2
        n = len(side.agents)
        self._reward, self._steps, self._duration = reward, steps, duration
        self._move = move or (lambda state, decision: state)
        self._terminates = terminates or (lambda state: torch.zeros_like(state, dtype=torch.bool))
        self._alive = alive or (lambda state: torch.ones(len(state), n, dtype=torch.bool))
        self.state = torch.zeros(copies, dtype=torch.long)
        self.time = torch.arange(copies) % max(1, min(steps, 50))
        self.is_first = torch.ones(copies, dtype=torch.bool)
        self.memory: Tensor | None = None

    def see(self, state: Tensor) -> Tensor:
        n, features = len(self.side.agents), self.side.layout.size
        seen = torch.zeros(len(state), n, features)
        seen[..., 0] = state[:, None].float()
        if features > 1:
            seen[..., 1] = torch.arange(n).float()
        return seen

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        actor, n = actors[self.side.group], len(self.side.agents)
        if self.memory is None:
            self.memory = torch.zeros(self.copies, n, actor.memory_size)
        first_memory, rows = self.memory.clone(), []
        for _ in range(decisions):
            seen, alive, first = self.see(self.state), self._alive(self.state), self.is_first
            decision, log_prob, self.memory = actor.act(seen, alive, self.memory, first)
            reward = self._reward(self.state, decision) * alive
            state = self._move(self.state, decision)
            self.time = self.time + 1
            terminated = self._terminates(state)
            truncated = (self.time >= self._steps) & ~terminated
            ends = terminated | truncated
            row = {
                "seen": seen,
                "next_seen": self.see(state),
                "alive": alive,
                "next_alive": self._alive(state),
                "decision": decision,
                "log_prob": log_prob,
                "reward": reward,
                "team": reward.mean(dim=1),
                "duration": torch.full((self.copies,), self._duration),
                "is_first": first,
                "terminated": terminated,
                "truncated": truncated,
                "state": torch.stack((self.state.float(), torch.ones(self.copies)), dim=-1),
                "next_state": torch.stack((state.float(), torch.ones(self.copies)), dim=-1),
            }
            rows.append(row)
            self.state = torch.where(ends, torch.zeros_like(state), state)
            self.time = torch.where(ends, torch.zeros_like(self.time), self.time)
            self.is_first = ends
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {self.side.group: Record(**stacked, memory=first_memory)}

    def snapshot(self) -> dict[str, Any]:
        memory = None if self.memory is None else self.memory.clone()
        return {
            "state": self.state.clone(),
            "time": self.time.clone(),
            "is_first": self.is_first.clone(),
            "memory": memory,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        for name, value in snapshot.items():
            setattr(self, name, None if value is None else value.clone())


def payoff(table: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A cooperative matrix game of any number of players: all earn the same."""

    def reward(state: Tensor, decision: Tensor) -> Tensor:
        moves = decision[..., 0].long()
        return table[tuple(moves.unbind(dim=1))][:, None].expand(-1, moves.shape[1])

    return reward


def uniform_record(side: Side, table: Tensor, repeats: int = 1) -> Record:
    """Every joint decision of a one-shot game, equally often."""
    n, choices = table.ndim, table.shape[0]
    grid = torch.cartesian_prod(*[torch.arange(choices)] * n).reshape(-1, n).repeat(repeats, 1)
    b, features = len(grid), side.layout.size
    seen = torch.zeros(1, b, n, features)
    alive = torch.ones(1, b, n, dtype=torch.bool)
    team = table[tuple(grid.unbind(dim=1))][None]
    yes, no = torch.ones(1, b, dtype=torch.bool), torch.zeros(1, b, dtype=torch.bool)
    state = torch.ones(1, b, 2)
    return Record(
        seen, seen, alive, alive, grid[None, :, :, None].float(), torch.zeros(1, b, n),
        team[..., None].expand(1, b, n), team, torch.ones(1, b), yes, yes, no, state, state,
        torch.zeros(b, n, 0),
    )  # fmt: skip


def play(rollout: Tiny, actors: Mapping[str, Actor], decisions: int) -> Tensor:
    """The mean team reward of so many decisions."""
    return rollout.collect(actors, decisions)[rollout.side.group].team.mean()


def flat(state: Any) -> list[Tensor]:
    """Every tensor and number of nested dicts, in order of the keys."""
    if isinstance(state, Mapping):
        return [t for key in sorted(state) for t in flat(state[key])]
    return [] if isinstance(state, str) else [torch.as_tensor(state)]


def joined(records: Sequence[Record]) -> Record:
    """Records one after the other."""
    return Record(
        **{
            f.name: getattr(records[0], f.name)
            if f.name == "memory"
            else torch.cat([getattr(r, f.name) for r in records])
            for f in fields(Record)
        }
    )
