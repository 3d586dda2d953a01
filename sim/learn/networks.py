"""Networks of the agents of a side, for training in torch: all agents in one batched call.

What they compute is described in `agents.forward`, which runs it for one agent without torch; a
test holds the two together. Parameters are shared by the agents, or each has its own, stacked along
the first axis. Critics are the same networks on wider inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import torch
from torch import nn
from torch.nn import functional

from agents.forward import Architecture
from agents.roles import Layout

Tensor = torch.Tensor
Array = Any


@dataclass(frozen=True)
class Shape:
    """What a network is made of; see `agents.forward.Architecture`.

    hidden:     units of each layer. Two of 64: Andrychowicz et al. 2021, appendix, and the usual
                choice for observations of tens of numbers.
    activation: "tanh" or "relu"; tanh for policy gradients (Andrychowicz et al. 2021, section 3.2).
    recurrent:  numbers remembered by a gated recurrent unit after these; 0 for none.
    attention:  width of the vector into which attention turns all messages of a topic; 0 for none.
    identity:   a one-hot of the agent is appended to its input.
    share:      "group" or "all": one set of parameters; "none": one for each agent.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    recurrent: int = 0
    attention: int = 0
    identity: bool = False
    share: Literal["group", "none", "all"] = "group"


class Network(nn.Module):
    """One network for n agents. Input as laid out by `layout`, normalised.

    outputs:   numbers per agent, the last `free` of them parameters of their own, 0 at first.
    agents:    their names, in the order of the agents' axis.
    generator: on CPU, for the first weights. last_gain: of the head; 0.01 for policies, so that
               they begin near uniform (Andrychowicz et al. 2021, section 3.2), 1 for values.
    """

    def __init__(
        self,
        layout: Layout,
        outputs: int,
        agents: Sequence[str],
        shape: Shape,
        generator: torch.Generator,
        last_gain: float = 1.0,
        free: int = 0,
    ) -> None:
        super().__init__()
        self.layout, self.agents, self.shape = layout, tuple(agents), shape
        self.architecture = Architecture(
            own=layout.own,
            heard=tuple((h.topic, h.senders, h.width) for h in layout.heard),
            outputs=outputs,
            free=free,
            hidden=tuple(shape.hidden),
            activation=shape.activation,
            recurrent=shape.recurrent,
            attention=shape.attention,
            identity=shape.identity,
            share=shape.share,
        )
        self._is_own = shape.share == "none"
        self._activation = torch.tanh if shape.activation == "tanh" else torch.relu
        for name, size in self.architecture.shapes(len(self.agents)).items():
            value = torch.zeros(size)
            if name.endswith("_weight"):
                gain = _gain(name, shape.activation, last_gain)
                gates = 3 if name.startswith("gru") else 1  # each a matrix by itself
                for weight in value if self._is_own else value[None]:
                    for gate in weight.chunk(gates):
                        if gate.numel():
                            nn.init.orthogonal_(gate, gain, generator)
            self.register_parameter(name, nn.Parameter(value))

    @property
    def memory_size(self) -> int:
        """Numbers remembered per agent."""
        return self.shape.recurrent

    def memory(self, batch: int) -> Tensor:
        """The memory of agents that begin. Shapes: [B, n, H]."""
        shape = (batch, len(self.agents), self.memory_size)
        return torch.zeros(shape, device=next(self.parameters()).device)

    def forward(self, seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One decision. Shapes: [..., B, n, F], [B, n, H] -> [..., B, n, O], [B, n, H].

        Further leading dimensions only without recurrence.
        """
        x = self._trunk(seen)
        if self.memory_size:
            x = memory = self._gru(self._affine("gru_input", x), memory)
        return self._head(x), memory

    def unroll(self, seen: Tensor, memory: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
        """T decisions in a row; the memory counts as 0 where an episode is first.

        Shapes: [T, B, n, F], [B, n, H], bool [T, B] -> [T, B, n, O], [B, n, H].
        """
        x = self._trunk(seen)
        if self.memory_size:
            inputs, kept, steps = self._affine("gru_input", x), (~is_first)[..., None, None], []
            for t in range(seen.shape[0]):
                memory = self._gru(inputs[t], memory * kept[t])
                steps.append(memory)
            x = torch.stack(steps)
        return self._head(x), memory

    def tensors(self) -> dict[str, Array]:
        """What a policy file holds, in NumPy."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.named_parameters()}

    def card(self) -> dict[str, Any]:
        """What the card of a policy file says of a network."""
        network = msgspec.json.decode(msgspec.json.encode(self.architecture))
        return {"network": network, "agents": list(self.agents)}

    def _affine(self, name: str, x: Tensor, inner: int = 0) -> Tensor:
        """x W + b. Shapes: [..., n, (inner dimensions,) inputs] -> [..., n, (...,) outputs]."""
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias", None)
        if not self._is_own:
            return functional.linear(x, weight, bias)
        lead, rest = x.shape[: x.ndim - 2 - inner], x.shape[x.ndim - 1 - inner : -1]
        n, inputs = len(self.agents), x.shape[-1]
        rows = x.reshape(-1, n, *rest, inputs).transpose(0, 1)
        flat = rows.reshape(n, -1, inputs)
        turned = weight.transpose(1, 2)
        y = flat @ turned if bias is None else torch.baddbmm(bias[:, None, :], flat, turned)
        return y.reshape(*rows.shape[:-1], -1).transpose(0, 1).reshape(*lead, n, *rest, -1)

    def _trunk(self, seen: Tensor) -> Tensor:
        x = self._attend(seen) if self.shape.attention else seen
        if self.shape.identity:
            n = len(self.agents)
            identity = torch.eye(n, dtype=x.dtype, device=x.device)
            x = torch.cat((x, identity.expand(*x.shape[:-1], n)), dim=-1)
        for i in range(len(self.shape.hidden)):
            x = self._activation(self._affine(f"layer_{i}", x))
        return x

    def _attend(self, seen: Tensor) -> Tensor:
        own, blocks = self.layout.split(seen)
        parts = [own]
        for i, heard in enumerate(self.layout.heard):
            block, query = blocks[heard.topic], self._affine(f"query_{i}", own)
            if not heard.senders:
                parts.append(torch.zeros_like(query))
                continue
            present = block[..., heard.width] > 0.5
            key = self._affine(f"key_{i}", block, inner=1)
            value = self._activation(self._affine(f"value_{i}", block, inner=1))
            score = (key * query.unsqueeze(-2)).sum(dim=-1) / math.sqrt(self.shape.attention)
            weight = score.masked_fill(~present, -1e9).softmax(dim=-1)
            weight = weight * present  # nobody present: 0, not an average of the absent
            parts.append((weight.unsqueeze(-1) * value).sum(dim=-2))
        return torch.cat(parts, dim=-1)

    def _gru(self, inputs: Tensor, memory: Tensor) -> Tensor:
        """Source: Cho et al. 2014, equations 5 to 8, in the form of torch.nn.GRU."""
        size = self.memory_size
        remembered = self._affine("gru_memory", memory)
        both = inputs[..., : 2 * size] + remembered[..., : 2 * size]
        gates = both.sigmoid()
        reset, update = gates[..., :size], gates[..., size:]
        new = (inputs[..., 2 * size :] + reset * remembered[..., 2 * size :]).tanh()
        return new + update * (memory - new)

    def _head(self, x: Tensor) -> Tensor:
        out = self._affine("head", x)
        if self.architecture.free:
            log_std: Tensor = self.get_parameter("log_std")
            free = log_std.expand(*out.shape[:-1], self.architecture.free)
            out = torch.cat((out, free), dim=-1)
        return out


def _gain(name: str, activation: str, last_gain: float) -> float:
    """Of orthogonal initialisation: what keeps the size of signals through each activation.

    Source: Saxe et al. 2014, section 3; sqrt(2) for relu, He et al. 2015, equation 10, and as usual
            in policy gradients for tanh too (Engstrom et al. 2020, section 3, "initialisation").
    """
    if name.startswith("head"):
        return last_gain
    return math.sqrt(2.0) if name.startswith(("layer", "value")) else 1.0
