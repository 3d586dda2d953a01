"""What a learned network computes, for one agent, on NumPy and torch alike. In float32.

    input    what was seen, normalised; with attention, the own part beside one vector per topic
    trunk    layers of `hidden` units
    memory   a gated recurrent unit of `recurrent` numbers, if any
    head     linear; the last `free` outputs are parameters of their own

The same description names the tensors that training keeps (`sim.learn.networks`) and that a policy
file holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np

from agents.roles import EXTRA, Heard, Layout

Array = Any
_ABSENT: Final = 1e9
"""Taken off the score of a message that is not there: its weight is exactly 0."""


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What determines the tensors of a network, and what they compute.

    own:        numbers of the input that are not messages.
    heard:      (topic, senders, width) of each topic, senders as in training.
    outputs:    numbers per agent, the last `free` of which do not depend on the input.
    recurrent:  numbers remembered from one decision to the next; 0 for none.
    attention:  width of the vector that all messages of a topic become; 0 to take them as they are.
    identity:   a one-hot of the agent's place in `agents` is appended to the input.
    share:      "none": own parameters for each agent, stacked along the first axis.
    """

    own: int
    outputs: int
    heard: tuple[tuple[str, int, int], ...] = ()
    free: int = 0
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    recurrent: int = 0
    attention: int = 0
    identity: bool = False
    share: Literal["group", "none", "all"] = "group"

    @property
    def layout(self) -> Layout:
        return Layout(self.own, tuple(Heard(*heard) for heard in self.heard))

    @property
    def columns(self) -> int:
        """Statistics that a normaliser keeps: one per column of the input, or with attention one
        per own column and per column of a message, whoever sent it."""
        if not self.attention:
            return self.layout.size
        return self.own + sum(width + EXTRA for _, _, width in self.heard)

    def shapes(self, agents: int) -> dict[str, tuple[int, ...]]:
        """Every tensor and its shape; weights are [outputs, inputs]."""
        shapes: dict[str, tuple[int, ...]] = {}

        def linear(name: str, inputs: int, outputs: int) -> int:
            shapes[f"{name}_weight"] = (outputs, inputs)
            shapes[f"{name}_bias"] = (outputs,)
            return outputs

        width = self.layout.size
        if self.attention:
            for i, (_, _, numbers) in enumerate(self.heard):
                linear(f"query_{i}", self.own, self.attention)
                shapes[f"key_{i}_weight"] = (self.attention, numbers + EXTRA)
                linear(f"value_{i}", numbers + EXTRA, self.attention)
            width = self.own + self.attention * len(self.heard)
        width += agents if self.identity else 0
        for i, units in enumerate(self.hidden):
            width = linear(f"layer_{i}", width, units)
        if self.recurrent:
            linear("gru_input", width, 3 * self.recurrent)
            linear("gru_memory", self.recurrent, 3 * self.recurrent)
            width = self.recurrent
        linear("head", width, self.outputs - self.free)
        if self.free:
            shapes["log_std"] = (self.free,)
        if self.share == "none":
            return {name: (agents, *shape) for name, shape in shapes.items()}
        return shapes

    @property
    def first(self) -> str:
        """The layer that the input goes into."""
        return "layer_0" if self.hidden else "gru_input" if self.recurrent else "head"


def of_agent(
    net: Architecture, tensors: Mapping[str, Array], agent: int, agents: int
) -> dict[str, Array]:
    """The weights of one agent in NumPy, [inputs, outputs]; its identity becomes part of a bias."""
    found = {}
    for name in net.shapes(agents):
        own = tensors[name][agent] if net.share == "none" else tensors[name]
        found[name] = np.array(own.T, dtype=np.float32, order="C")
    if net.identity:
        weight = found[f"{net.first}_weight"]
        rest = weight.shape[0] - agents
        found[f"{net.first}_bias"] = found[f"{net.first}_bias"] + weight[rest + agent]
        found[f"{net.first}_weight"] = np.ascontiguousarray(weight[:rest])
    for name in ("mean", "scale"):
        if name in tensors:
            found[name] = np.array(tensors[name], dtype=np.float32)
    return found


def forward(
    net: Architecture,
    weights: Mapping[str, Array],
    layout: Layout,
    seen: Array,
    memory: Array,
    xp: Any,
) -> tuple[Array, Array]:
    """Outputs of the head, and the new memory, of one agent in B copies.

    layout: of `seen`; with attention it may have any number of senders.
    Shapes: seen float32 [B, layout.size], memory float32 [B, recurrent]
            -> [B, outputs - free], [B, recurrent].
    """
    x = _input(net, weights, layout, seen, xp)
    is_tanh = net.activation == "tanh"
    for i in range(len(net.hidden)):
        x = x @ weights[f"layer_{i}_weight"] + weights[f"layer_{i}_bias"]
        x = xp.tanh(x) if is_tanh else _relu(x, xp)
    if net.recurrent:
        x = memory = _gru(net.recurrent, weights, x, memory, xp)
    return x @ weights["head_weight"] + weights["head_bias"], memory


def with_deviations(net: Architecture, weights: Mapping[str, Array], out: Array, xp: Any) -> Array:
    """All outputs: those of the head, then the log deviations, which only draws need.

    Shapes: [B, outputs - free] -> [B, outputs].
    """
    if not net.free:
        return out
    log_std = xp.broadcast_to(weights["log_std"], (out.shape[0], net.free))
    return xp.concat((out, log_std), axis=1)


def _relu(x: Array, xp: Any) -> Array:
    return xp.maximum(x, xp.zeros_like(x))


def _input(
    net: Architecture, weights: Mapping[str, Array], layout: Layout, seen: Array, xp: Any
) -> Array:
    is_normalised = "mean" in weights
    mean, scale = weights.get("mean", 0.0), weights.get("scale", 1.0)
    if not net.attention:
        return (seen - mean) / scale if is_normalised else seen
    own, parts, at, column = seen[:, : net.own], [], net.own, net.own
    if is_normalised:
        own = (own - mean[: net.own]) / scale[: net.own]
    for i, heard in enumerate(layout.heard):
        shape = (seen.shape[0], heard.senders, heard.width + EXTRA)
        block = xp.reshape(seen[:, at : at + heard.size], shape)
        there = block[:, :, heard.width : heard.width + 1]
        if is_normalised:
            columns = slice(column, column + heard.width + EXTRA)
            block = (block - mean[columns]) / scale[columns] * there
        parts.append(_attend(net, weights, i, own, block, there, xp))
        at, column = at + heard.size, column + heard.width + EXTRA
    return xp.concat((own, *parts), axis=1)


def _attend(
    net: Architecture,
    weights: Mapping[str, Array],
    i: int,
    own: Array,
    block: Array,
    there: Array,
    xp: Any,
) -> Array:
    """All messages of a topic as one vector; 0 if there are none.

    Shapes: own [B, own], block [B, senders, width + EXTRA], there [B, senders, 1], 1 or 0
            -> [B, attention].
    Source: Vaswani et al. 2017, equation 1, one head, the query from what the agent itself sees.
    """
    query = own @ weights[f"query_{i}_weight"] + weights[f"query_{i}_bias"]
    if not block.shape[1]:
        return xp.zeros_like(query)
    key = block @ weights[f"key_{i}_weight"]
    value = block @ weights[f"value_{i}_weight"] + weights[f"value_{i}_bias"]
    value = xp.tanh(value) if net.activation == "tanh" else _relu(value, xp)
    score = key @ query[:, :, None] / math.sqrt(net.attention) - (1.0 - there) * _ABSENT
    weight = xp.exp(score - xp.max(score, axis=1, keepdims=True)) * there
    total = xp.sum(weight, axis=1)  # at least 1 where somebody is there, 0 elsewhere
    return xp.sum(weight * value, axis=1) / xp.maximum(total, xp.ones_like(total))


def _gru(size: int, weights: Mapping[str, Array], x: Array, memory: Array, xp: Any) -> Array:
    """One step of a gated recurrent unit. Source: Cho et al. 2014, equations 5 to 8, with the reset
    applied after the product, as in torch.nn.GRU."""
    a = x @ weights["gru_input_weight"] + weights["gru_input_bias"]
    b = memory @ weights["gru_memory_weight"] + weights["gru_memory_bias"]
    both = a[:, : 2 * size] + b[:, : 2 * size]
    gates = 0.5 * (xp.tanh(0.5 * both) + 1.0)  # the logistic function, without overflow
    reset, update = gates[:, :size], gates[:, size:]
    new = xp.tanh(a[:, 2 * size :] + reset * b[:, 2 * size :])
    return new + update * (memory - new)
