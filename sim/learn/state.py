"""What families keep between runs: generators, modules and optimisers as plain nested dicts.

Tensors, numbers and texts only, so that a checkpoint is safetensors and JSON. Also the check that
what was learned is still made of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sim.errors import DivergenceError
from sim.rng import key_of

Tensor = torch.Tensor


def make_generator(seed: int, device: str, *names: str) -> torch.Generator:
    """A torch generator of its own for one named consumer."""
    return torch.Generator(device).manual_seed(key_of(seed, "learn", *names))


def generator_state(generator: torch.Generator) -> Tensor:
    return generator.get_state()


def load_generator(generator: torch.Generator, state: Tensor) -> None:
    generator.set_state(state.cpu())


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Copies of its parameters and buffers by name."""
    return {name: t.detach().clone() for name, t in module.state_dict().items()}


def load_module(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Takes on parameters and buffers, in place; all of them must be there."""
    module.load_state_dict(dict(state))


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Its moments by the parameter's number; nothing before the first step."""
    found = optimiser.state_dict()["state"]
    return {str(i): {k: v.clone() for k, v in moments.items()} for i, moments in found.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Goes on with these moments; learning rate and options stay the optimiser's own."""
    moments = {int(i): {k: v.clone() for k, v in m.items()} for i, m in state.items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def check_finite(group: str, quantities: Mapping[str, Tensor | float]) -> None:
    """Raises: DivergenceError naming the group and the first quantity that is not all numbers."""
    for name, quantity in quantities.items():
        if not bool(torch.as_tensor(quantity).isfinite().all()):
            raise DivergenceError(
                f"training of {group} diverged: {name} is no longer a number; begin anew with a "
                "smaller rate, by --set learn.options.<preset>.learning_rate=..., play the last "
                "checkpoint as it is, or look for what the world gives there"
            )


def all_parameters(modules: Iterable[nn.Module]) -> Tensor:
    """Every parameter in one vector, to compare or to check."""
    parts = [p.detach().reshape(-1) for m in modules for p in m.parameters()]
    return torch.cat(parts) if parts else torch.zeros(0)
