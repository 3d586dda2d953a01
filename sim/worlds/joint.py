"""What no agent sees: the state of all, and the reward of the team."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.worlds.world import Array, World


def own_team_reward(world: World) -> Callable[..., Any] | None:
    """What a world says itself that the team earns; None where it is the mean over agents."""
    found: Callable[..., Any] | None = getattr(getattr(world, "batch", world), "team_reward", None)
    return found


def team_of(world: World, rewards: Mapping[str, Array], sums: Mapping[str, Array]) -> float:
    """The team reward of a step: as the world's `team_reward` says, or the mean over agents.

    Shapes: rewards [n, components] per group; sums [n], over components.
    """
    own = own_team_reward(world)
    if own is not None:
        import torch

        batch = {name: torch.from_numpy(np.asarray(r))[None] for name, r in rewards.items()}
        return float(own(batch)[0])
    count = sum(map(len, sums.values()))
    return float(sum(values.sum() for values in sums.values())) / count if count else 0.0


def central_of(world: World) -> NDArray[np.float32]:
    """The central state: the world's own `central`, or all true observations in group order.

    Shapes: [S].
    """
    own = getattr(getattr(world, "batch", None), "central", None)
    if own is not None:
        return np.asarray(own(world.state)[0], dtype=np.float32)  # type: ignore[attr-defined]
    observed = world.observe()
    return np.concatenate([observed[g.name].ravel() for g in world.groups]).astype(np.float32)
