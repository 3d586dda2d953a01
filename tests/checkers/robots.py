"""A swarm played by one rule, without processes: what is said counts some decisions later."""

from __future__ import annotations

from typing import Any

import torch

from agents.policy import Received


def play(
    world: Any, rule: Any, seconds: float, delay: int = 1, lost: Any = None, seed: int = 0
) -> Any:
    """The state in the end. delay: in decisions. lost: bool [n, n], who hears nothing of whom."""
    state, n = world.reset([(seed, 0)]), world.agents
    there = {world.group: torch.ones(1, n, dtype=torch.bool)}
    heard = ~torch.eye(n, dtype=torch.bool)
    heard = heard if lost is None else heard & ~lost
    age = torch.full((n, n), delay * world.every * world.dt, dtype=torch.float64)
    memory, said = rule.memory(torch, n), []
    for step in range(round(seconds / world.dt)):
        if step % world.every == 0:
            inbox = {}
            if len(said) >= delay:
                told = said[-delay].items()
                inbox = {t: Received(v.expand(n, -1, -1), heard, age) for t, v in told}
            obs = world.observe(state)[world.group][0]
            action, outbox, memory = rule(obs, inbox, memory, None)
            said.append(outbox)
        state, _ = world.advance(state, {world.group: action[None]}, there)
    return state
