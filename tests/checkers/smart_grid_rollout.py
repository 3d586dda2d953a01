"""The smart grid's rules in a batch of seeds: one masked exchange of messages per decision.

Small enough to be read as what the processes do: what is said at one decision is in the inbox of
the next if it is not lost; offers are cleared 30 s into the quarter, and the award counts from
the next quarter on, whether or not the device has heard of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from agents.behaviours.smart_grid_roles import REACH
from sim.mechanisms.double_auction import clear
from sim.worlds.smart_grid import ROLES, RULES, SmartGrid, make

NEVER = -(10**9)


class Box:
    """The latest message of each sender, as each receiver has it."""

    def __init__(self, batch: int, receivers: int, senders: int, width: int) -> None:
        self.values = np.zeros((batch, receivers, senders, width))
        self.sent = np.full((batch, receivers, senders), float(NEVER))

    def put(self, now: float, receiver: Any, sender: int, values: Any, arrived: Any) -> None:
        rows = np.nonzero(arrived)[0]
        self.values[rows, receiver, sender] = values[rows]
        self.sent[rows, receiver, sender] = now

    def read(self, now: float, receiver: int) -> SimpleNamespace:
        present = self.sent[:, receiver] > NEVER
        age = np.where(present, (now - self.sent[:, receiver]) * 60.0, 0.0)
        return SimpleNamespace(
            values=self.values[:, receiver].copy(), present=present, age_s=age
        )  # fmt: skip


class Shifting:
    """A role whose network always decides the same."""

    def __init__(self, role: Any, shifts: Mapping[str, float]) -> None:
        self.role, self.memory = role, role.memory
        assert set(shifts) <= set(role.decides.slices)
        self.decision = [shifts.get(shift, 0.0) / REACH for shift in role.decides.slices]

    def __call__(self, obs: Any, inbox: Any, memory: Any, key: Any) -> Any:
        seen = self.role.see(obs, inbox, memory)
        assert seen.shape == (len(obs), self.role.sees.size)
        assert np.isfinite(seen).all()
        decision = np.tile(self.decision, (len(obs), 1))
        return self.role.act(decision, obs, inbox, memory, key)


def play(
    seeds: Sequence[int],
    loss: float = 0.0,
    *,
    params: Mapping[str, Any] | None = None,
    minutes: int = 1440,
    without: Sequence[str] = (),
    agent_params: Mapping[str, Mapping[str, Any]] | None = None,
    watch: Callable[[int, SmartGrid, Any, dict[str, Any], dict[str, Any]], None] | None = None,
    shifts: Mapping[str, Mapping[str, float]] | None = None,
) -> list[dict[str, float]]:
    """The outcome of each seed. `without`: groups that nobody plays, or "*". `shifts`: per group
    that plays its role for learning, what is decided there all the time, in units of the shift.
    """
    world = make(params or {})
    names, batch = world.roster.names, len(seeds)
    n, state = len(names), world.reset([(seed, 0) for seed in seeds])
    draw = np.random.default_rng(1)
    played = _policies(world, without, agent_params or {}, batch, shifts or {})
    reports, limits, awards = Box(batch, 1, n, 10), Box(batch, n, 1, 1 + 3 * n), Box(batch, n, 1, 2)
    table, cleared, coming = np.zeros((batch, n, 2)), NEVER, []
    for minute in range(minutes):
        seen = {group: view.numpy() for group, view in world.observe(state).items()}
        for deliver in coming:
            deliver()
        coming = []
        actions = {g.name: np.zeros((batch, len(g.agents), g.action.size)) for g in world.groups}
        present = {g.name: np.zeros((batch, len(g.agents)), dtype=bool) for g in world.groups}
        offers, is_offered = np.zeros((batch, n, 6)), np.zeros((batch, n), dtype=bool)
        for name, one in played.items():
            slot = names.index(name) if name in names else -1
            inbox = (
                {"measurement": reports.read(minute, 0)}
                if slot < 0
                else {"limit": limits.read(minute, slot), "award": awards.read(minute, slot)}
            )
            action, said, one.memory = one.policy(
                seen[one.group][:, one.index].copy(), inbox, one.memory, 0
            )
            actions[one.group][:, one.index] = action
            present[one.group][:, one.index] = True
            if "measurement" in said:
                heard = draw.random(batch) >= loss
                coming.append(_later(reports, minute, 0, slot, said["measurement"], heard))
            if "offer" in said:
                offers[:, slot], is_offered[:, slot] = said["offer"], draw.random(batch) >= loss
            if "limit" in said:
                for to in range(n):
                    heard = draw.random(batch) >= loss
                    coming.append(_later(limits, minute, to, 0, said["limit"], heard))
        if minute % 15 == 0 and "market" not in without and "*" not in without:
            table, cleared = clear(offers, is_offered, np.full(batch, minute, np.uint64)), minute
            for to in range(n):
                heard = is_offered[:, to] & (draw.random(batch) >= loss)
                coming.append(_later(awards, minute + 0.5, to, 0, table[:, to], heard))
        if 1 <= minute - cleared < 15:
            actions["market"][:, 0], present["market"][:] = table.reshape(batch, -1), True
        asked = {group: torch.from_numpy(values) for group, values in actions.items()}
        given = {group: torch.from_numpy(values) for group, values in present.items()}
        state, _ = world.advance(state, asked, given)
        if watch is not None:
            watch(minute, world, state, actions, present)
    rows = [{k: v[i : i + 1] for k, v in state.items()} for i in range(batch)]
    return [{k: m.value for k, m in world.metrics(row).items()} for row in rows]


def _policies(
    world: SmartGrid,
    without: Sequence[str],
    params: Mapping[str, Mapping[str, Any]],
    batch: int,
    shifts: Mapping[str, Mapping[str, float]],
) -> dict[str, SimpleNamespace]:
    found = {}
    for group in world.groups:
        if group.name == "market" or group.name in without or "*" in without:
            continue
        behaviour = (ROLES if group.name in shifts else RULES)[group.name]
        module, _, factory = behaviour.partition(":")
        for index, name in enumerate(group.agents):
            make_policy = getattr(importlib.import_module(module), factory)
            policy = make_policy(name, group, params.get(group.name, {}))
            if group.name in shifts:
                policy = Shifting(policy, shifts[group.name])
            found[name] = SimpleNamespace(
                policy=policy, group=group.name, index=index, memory=policy.memory(np, batch)
            )
    return found


def _later(
    box: Box, now: float, receiver: int, sender: int, values: Any, heard: Any
) -> Callable[[], None]:
    return lambda: box.put(now, receiver, sender, values, heard)
