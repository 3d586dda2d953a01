"""Actors on their way to other processes: as plain data and tensors, and made again there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Protocol

import torch

from agents.behaviour import load_behaviour
from agents.roles import Heard, Layout
from sim.errors import ScenarioError
from sim.learn.acting import EpsilonActor, NetworkActor
from sim.learn.distributions import Decisions
from sim.learn.networks import Network, Shape
from sim.learn.record import Actor, Side
from sim.learn.teams import PartActor

Tensor = torch.Tensor
_AGAIN: Final = f"{__name__}:network_actor"
_PART: Final = f"{__name__}:part_actor"
_NORMALISER: Final = ("mean", "scale")


class Portable(Actor, Protocol):
    """An actor that can be made again in another process."""

    def portable(self) -> tuple[str, Mapping[str, Any], Mapping[str, Tensor]]:
        """Who makes it there, as "module:function"; plain data; weights and whatever else it needs.

        The function is called as `function(side, plain, tensors, generator)`, with a generator that
        is the other process's own and goes on from one time to the next.
        """


def portable(group: str, actor: Actor) -> list[Any]:
    """An actor as data: a `Portable`, or one of `sim.learn.acting`.

    Raises: ScenarioError for any other.
    """
    own = getattr(actor, "portable", None)
    if own is not None:
        spec, plain, tensors = own()
        return [spec, dict(plain), dict(tensors)]
    if type(actor) is PartActor:
        spec, plain, tensors = portable(group, actor.whole)
        part = {"part": [actor.part.start, actor.part.stop], "agents": actor.agents}
        return [_PART, {"spec": spec, "plain": plain, **part}, tensors]
    if type(actor) is NetworkActor:
        plain = {"greedy": actor.greedy}
    elif type(actor) is EpsilonActor:
        plain = {"epsilon": actor.epsilon}
    else:
        raise ScenarioError(
            f"workers: {type(actor).__name__}, which decides for {group!r}, cannot be sent to "
            "another process; train without --workers"
        )
    network = actor.network
    plain |= {
        "layout": asdict(network.layout), "agents": list(network.agents),
        "shape": asdict(network.shape), "outputs": network.architecture.outputs,
        "free": network.architecture.free, "is_normalised": actor.normaliser is not None,
    }  # fmt: skip
    tensors = {name: value.detach() for name, value in network.named_parameters()}
    if actor.normaliser is not None:
        tensors |= {f"normaliser.{n}": t for n, t in actor.normaliser.tensors().items()}
    return [_AGAIN, plain, tensors]


def made_again(side: Side, data: Any, generator: torch.Generator) -> Actor:
    """The actor of `portable` for a side."""
    spec, plain, tensors = data
    actor: Actor = load_behaviour(spec, "")(side, plain, tensors, generator)
    return actor


class _Fixed:
    """A normaliser that learns nothing more; the same numbers as `RunningNorm`'s."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self._mean, self._scale = mean, scale

    def normalise(self, seen: Tensor) -> Tensor:
        return (seen - self._mean) / self._scale

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self._mean, "scale": self._scale}


def network_actor(
    side: Side, plain: Mapping[str, Any], tensors: Mapping[str, Tensor], generator: torch.Generator
) -> Actor:
    """An actor of `sim.learn.acting`, on the CPU."""
    layout = Layout(plain["layout"]["own"], tuple(Heard(**h) for h in plain["layout"]["heard"]))
    shape = Shape(**{**plain["shape"], "hidden": tuple(plain["shape"]["hidden"])})
    network = Network(
        layout, plain["outputs"], plain["agents"], shape, torch.Generator(), free=plain["free"]
    )
    weights = {n: t for n, t in tensors.items() if not n.startswith("normaliser.")}
    network.load_state_dict(weights)
    normaliser = None
    if plain["is_normalised"]:
        normaliser = _Fixed(*(tensors[f"normaliser.{name}"] for name in _NORMALISER))
    decisions = Decisions(side.decides, side.role.sees)
    if "epsilon" in plain:
        return EpsilonActor(network, decisions, generator, plain["epsilon"], normaliser)
    return NetworkActor(network, decisions, generator, normaliser, plain["greedy"])


def part_actor(
    side: Side, plain: Mapping[str, Any], tensors: Mapping[str, Tensor], generator: torch.Generator
) -> Actor:
    """One side's share of an actor that decides for several."""
    whole = made_again(side, [plain["spec"], plain["plain"], tensors], generator)
    return PartActor(whole, slice(*plain["part"]), plain["agents"])
