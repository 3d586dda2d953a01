"""A wind tunnel for multi-agent systems: every agent a process, every link a model.

Users' code imports this module alone. The public names load on first use, so that `import sim`
is quick and never imports torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "Agent": "agents.agent",
    "serves": "agents.agent",
    "allocate": "agents.auctions.allocate",
    "Communicator": "agents.collectives.communicator",
    "leadership": "agents.collectives.leadership",
    "Auction": "agents.auctions.auction",
    "follow": "agents.hierarchy.member",
    "coordinate": "agents.hierarchy.coordinator",
    "Message": "agents.channels",
    "Corrupt": "sim.wire.corrupt",
    "Observation": "agents.agent",
    "Policy": "agents.policy",
    "PolicyAgent": "agents.policy",
    "MechanismAgent": "agents.policy",
    "World": "sim.worlds.world",
    "BatchWorld": "sim.worlds.world",
    "single": "sim.worlds.world",
    "Group": "sim.worlds.world",
    "Metric": "sim.worlds.world",
    "Field": "sim.spaces",
    "Space": "sim.spaces",
    "env": "sim.zoo",
    "agent_env": "sim.zoo",
    "vector_env": "sim.zoo",
    "run": "sim.runner",
    "Result": "sim.runner",
    "load": "sim.store.rundata",
    "SimError": "sim.errors",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
