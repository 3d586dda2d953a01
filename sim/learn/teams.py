"""Sides that share one network, as if they were one: records side by side, actors cut apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch

from sim.learn.record import Actor, Record, Side

Tensor = torch.Tensor
PER_AGENT = frozenset(
    ("seen", "next_seen", "alive", "next_alive", "decision", "log_prob", "reward", "memory")
)
"""What of a record has a dimension for the agents; the rest is the copy's."""


def spans(sides: Sequence[Side]) -> list[slice]:
    """Where each side's agents are among those of all."""
    found, start = [], 0
    for side in sides:
        found.append(slice(start, start + len(side.agents)))
        start += len(side.agents)
    return found


def team_record(records: Mapping[str, Record], sides: Sequence[Side]) -> Record:
    """One record of all sides' agents; what belongs to the copy is the first side's."""
    parts = [records[side.group] for side in sides]
    if len(parts) == 1:
        return parts[0]
    joined = {}
    for f in fields(Record):
        values = [getattr(part, f.name) for part in parts]
        if f.name in PER_AGENT:
            axis = {"memory": 1}.get(f.name, 2)
            joined[f.name] = torch.cat(values, dim=axis)
        else:
            joined[f.name] = values[0]
    return Record(**joined)


def mixed_reward(record: Record, reward: str | float) -> Tensor:
    """What each agent is rewarded by: "team", "own", or the team's part of a mixture.

    Shapes: -> [T, B, n].
    """
    if reward == "own":
        return record.reward
    team = record.team[..., None].expand_as(record.reward)
    if reward == "team":
        return team
    part = float(reward)
    return part * team + (1.0 - part) * record.reward


class PartActor:
    """One side's share of an actor that decides for several: the others' agents are shown nothing,
    and what would be decided for them is dropped."""

    def __init__(self, whole: Actor, part: slice, agents: int) -> None:
        self.whole, self.part, self.agents = whole, part, agents
        self.memory_size = whole.memory_size

    def act(
        self, seen: Tensor, alive: Tensor, memory: Tensor, is_first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        seen, alive, memory = (self._widen(x) for x in (seen, alive, memory))
        found = self.whole.act(seen, alive, memory, is_first)
        decision, log_prob, memory = (x[:, self.part] for x in found)
        return decision, log_prob, memory

    def _widen(self, x: Tensor) -> Tensor:
        wide = x.new_zeros((len(x), self.agents, *x.shape[2:]))
        wide[:, self.part] = x
        return wide


def part_actors(whole: Actor, sides: Sequence[Side]) -> dict[str, Actor]:
    """Per group of the sides, its actor."""
    if len(sides) == 1:
        return {sides[0].group: whole}
    agents = sum(len(side.agents) for side in sides)
    parts = zip(sides, spans(sides), strict=True)
    return {side.group: PartActor(whole, part, agents) for side, part in parts}
