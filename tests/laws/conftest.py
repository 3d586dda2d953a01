"""A rollout of rule policies in a batch, small enough to be read as the definition of one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch


def load(spec: str) -> Any:
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(module), name)


def rollout(
    world: Any,
    rules: Mapping[str, str],
    steps: int,
    seeds: list[tuple[int, int]],
    *,
    delay: int = 1,
    loss: float = 0.0,
    params: Mapping[str, Any] | None = None,
    before: Callable[[int, Any], Any] | None = None,
    use_numpy: bool = False,
) -> tuple[Any, list[dict[str, Any]]]:
    """Plays `rules` (groups without a rule are absent); a message takes `delay` decisions.

    Returns the last state and, per step, the rewards and the state.
    """
    batch, state = len(seeds), world.reset(seeds)
    draw = np.random.default_rng(7)
    policies, memories, pending = {}, {}, []
    for group in world.groups:
        if group.name in rules:
            for name in group.agents:
                policies[name] = load(rules[group.name])(name, group, params or {})
                memories[name] = None
    latest: dict[tuple[str, str], tuple[int, Any]] = {}
    record = []
    for step in range(steps):
        if before is not None:
            state = before(step, state)
        due = [p for p in pending if p[0] <= step]
        pending = [p for p in pending if p[0] > step]
        for _, sent, topic, sender, values in due:
            latest[topic, sender] = (sent, values)
        actions, present = {}, {}
        observed = world.observe(state)
        for group in world.groups:
            rows = []
            for index, name in enumerate(group.agents):
                if name not in policies:
                    rows.append(torch.zeros(batch, group.action.size, dtype=torch.float64))
                    continue
                obs = observed[group.name][:, index]
                xp: Any = torch
                if use_numpy:
                    import array_api_compat.numpy as xp

                    obs = obs.numpy()
                policy = policies[name]
                if memories[name] is None:
                    memories[name] = policy.memory(xp, batch)
                inbox = {
                    topic: _received(latest, topic, width, policies, name, step, world, xp, batch)
                    for topic, width in policy.hears.items()
                }
                action, said, memories[name] = policy(obs, inbox, memories[name], 0)
                assert set(said) <= set(policy.speaks)
                for topic, values in said.items():
                    assert values.shape == (batch, policy.speaks[topic])
                    if draw.random() >= loss:
                        pending.append((step + delay, step, topic, name, values))
                assert action.shape == (batch, group.action.size)
                rows.append(torch.as_tensor(action))
            actions[group.name] = torch.stack(rows, 1)
            is_played = group.name in rules
            present[group.name] = torch.full((batch, len(group.agents)), is_played)
        state, rewards = world.advance(state, actions, present)
        record.append({"rewards": rewards, "state": state})
    return state, record


def _received(latest, topic, width, policies, receiver, step, world, xp, batch):
    senders = sorted(n for n, p in policies.items() if topic in p.speaks and n != receiver)
    values = [latest[topic, s][1] if (topic, s) in latest else None for s in senders]
    zero = xp.zeros((batch, width), dtype=xp.float64)
    shape = (batch, len(senders))
    age, present = xp.zeros(shape, dtype=xp.float64), xp.zeros(shape, dtype=xp.bool)
    for i, sender in enumerate(senders):
        if values[i] is not None:
            age[:, i] = (step - latest[topic, sender][0]) * world.dt_ns / 1e9
            present[:, i] = True
    stacked = (
        xp.stack([zero if v is None else v for v in values], 1)
        if senders
        else xp.zeros((batch, 0, width), dtype=xp.float64)
    )
    return SimpleNamespace(values=stacked, present=present, age_s=age)


@pytest.fixture(name="rollout")
def rollout_fixture() -> Callable[..., Any]:
    return rollout
