"""Who decides for a side while experience is collected: actors made of networks.

An actor holds the network that is being trained, not a copy, and draws from a generator of its own,
so that what others draw never shifts its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from agents.networks import role_name, schema_of
from sim.learn.distributions import Decisions
from sim.learn.networks import Network, Shape
from sim.learn.record import Side

Tensor = torch.Tensor


class Normaliser(Protocol):
    """What centres and scales a network's input, see `sim.learn.normalise`."""

    def normalise(self, seen: Tensor) -> Tensor:
        """Shapes: [..., F] -> [..., F]."""

    def tensors(self) -> dict[str, Tensor]:
        """mean and scale, as a policy file holds them."""


class NetworkActor:
    """A policy network, drawing its decisions or taking the likeliest. A `sim.learn.record.Actor`.

    generator: on any device; draws are made there.
    """

    def __init__(
        self,
        network: Network,
        decisions: Decisions,
        generator: torch.Generator,
        normaliser: Normaliser | None = None,
        greedy: bool = False,
    ) -> None:
        self.network, self.decisions, self.generator = network, decisions, generator
        self.normaliser, self.greedy = normaliser, greedy

    @property
    def memory_size(self) -> int:
        return self.network.memory_size

    @torch.no_grad()
    def act(
        self, seen: Tensor, alive: Tensor, memory: Tensor, is_first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, memory = _outputs(self.network, self.normaliser, seen, memory, is_first)
        mask = self.decisions.mask(seen)
        raw = self.decisions.sample(out, self.generator, self.greedy, mask)
        return raw, self.decisions.log_prob(out, raw, mask), memory


class EpsilonActor:
    """A network of action values: the best choice, or with probability epsilon any allowed one.

    An agent explores all of its decision or nothing of it. epsilon may be set at any time.
    Source: Watkins 1989; Mnih et al. 2015, algorithm 1.
    """

    def __init__(
        self,
        network: Network,
        decisions: Decisions,
        generator: torch.Generator,
        epsilon: float = 0.0,
        normaliser: Normaliser | None = None,
    ) -> None:
        """Raises: ValueError if not all is choices."""
        if not decisions.is_discrete:
            raise ValueError("action values are of choices; this side decides numbers")
        self.network, self.decisions, self.generator = network, decisions, generator
        self.epsilon, self.normaliser = epsilon, normaliser

    @property
    def memory_size(self) -> int:
        return self.network.memory_size

    @torch.no_grad()
    def act(
        self, seen: Tensor, alive: Tensor, memory: Tensor, is_first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, memory = _outputs(self.network, self.normaliser, seen, memory, is_first)
        decisions, mask = self.decisions, self.decisions.mask(seen)
        best = decisions.sample(out, self.generator, True, mask)
        if self.epsilon == 0.0:
            return best, torch.zeros_like(best[..., 0]), memory
        uniform = torch.zeros_like(out)
        anything = decisions.sample(uniform, self.generator, False, mask)
        coins = torch.empty((*best.shape[:-1], 1), device=self.generator.device)
        explores = coins.uniform_(generator=self.generator).to(best.device) < self.epsilon
        raw = torch.where(explores, anything, best)
        explored = self.epsilon * decisions.log_prob(uniform, raw, mask).exp()
        is_best = (raw == best).all(dim=-1)
        return raw, (explored + (1.0 - self.epsilon) * is_best).log(), memory


def _outputs(
    network: Network,
    normaliser: Normaliser | None,
    seen: Tensor,
    memory: Tensor,
    is_first: Tensor,
) -> tuple[Tensor, Tensor]:
    x = seen if normaliser is None else normaliser.normalise(seen)
    if network.memory_size:
        memory = memory * (~is_first)[:, None, None]
    return network(x, memory)  # type: ignore[no-any-return]


def policy_network(
    side: Side, decisions: Decisions, shape: Shape, generator: torch.Generator
) -> Network:
    """The network of a stochastic policy of a side. generator: on CPU."""
    return Network(
        side.layout, decisions.outputs, side.agents, shape, generator, 0.01, decisions.free
    )


def policy_file(
    side: Side,
    network: Network,
    normaliser: Normaliser | None = None,
    role_params: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and card of a side's policy file, as `agents.networks.save_policy` takes them.

    role_params: of the role; default those that it says it was made with.
    """
    if role_params is None:
        role_params = getattr(side.role, "params", {})
    tensors = network.tensors()
    if normaliser is not None:
        tensors |= {name: t.cpu().numpy() for name, t in normaliser.tensors().items()}
    card = {
        "schema": schema_of(side.role),
        **network.card(),
        "group": side.group,
        "role": role_name(side.role),
        "role_params": dict(role_params),
    }
    return tensors, card
