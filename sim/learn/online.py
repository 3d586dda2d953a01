"""The learner as one more agent on the network: experience comes in, weights go out, as messages.

Agents (`agents.online`) act with weights that are older than the newest, and say which they acted
with; V-trace corrects for it. The learner is a program like any other: it can be killed, which
stops learning and nothing else, and when it is started again it goes on from what it saved last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import safetensors.torch
import torch

from agents.agent import Agent
from agents.online import EXPERIENCE, WEIGHTS, weight_parts
from sim.errors import AgentError, DivergenceError
from sim.learn.assembly import Assembly
from sim.learn.presets import make_family
from sim.learn.record import Side
from sim.learn.trees import from_tree, to_tree

ON_POLICY: Final = ("ppo", "ippo", "mappo")
"""Presets that can learn from what single agents tell, by V-trace."""


class Learner(Agent):
    """Learns for some groups from what their agents send.

    params: groups (group -> {preset, role, role_params}); options, network, critic_sees, reward,
            as of a scenario's `learn`; decisions (per update, default 256); wait (seconds that a
            joint sample waits for what is missing, default 4 decisions); device.
    """

    def __init__(
        self,
        groups: Mapping[str, Any],
        sides: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        decisions: int = 256,
        wait: float = 0.0,
        device: str = "auto",
    ) -> None:
        raise AgentError("not written yet")
