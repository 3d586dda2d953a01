"""The normaliser that fits a network's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from agents.roles import EXTRA, Layout
from sim.learn.networks import Shape
from sim.learn.normalise import RunningNorm

Tensor = torch.Tensor


def input_norm(layout: Layout, shape: Shape, device: str = "cpu") -> RunningNorm | InboxNorm:
    """Of every column by itself; with attention of every number of a message, whoever sent it."""
    if shape.attention and layout.heard:
        return InboxNorm(layout, device)
    return RunningNorm(layout.size, device)


class InboxNorm:
    """A `RunningNorm` of the own part, and per topic one of messages that are there.

    All senders of a topic share their statistics, so that these hold for any number of senders.
    Messages that are not there stay 0, and whether one is there stays 1 or 0: attention looks at
    it.
    """

    def __init__(self, layout: Layout, device: str = "cpu") -> None:
        self._layout = layout
        self._own = RunningNorm(layout.own, device)
        self._said = {h.topic: RunningNorm(h.width + EXTRA - 1, device) for h in layout.heard}

    @property
    def count(self) -> Tensor:
        """Rows taken in."""
        return self._own.count

    def update(self, seen: Tensor, alive: Tensor | None = None) -> None:
        """Takes in more samples. Shapes: seen [..., F]; alive bool [...]: the rows that count."""
        own, blocks = self._layout.split(seen)
        self._own.update(own, alive)
        for heard in self._layout.heard:
            block = blocks[heard.topic]
            there = block[..., heard.width] > 0.5
            counts = there if alive is None else there & alive[..., None]
            self._said[heard.topic].update(_told(block, heard.width), counts)

    def normalise(self, seen: Tensor) -> Tensor:
        """Shapes: [..., F] -> [..., F]."""
        own, blocks = self._layout.split(seen)
        parts = [self._own.normalise(own)]
        for heard in self._layout.heard:
            block, width = blocks[heard.topic], heard.width
            present = block[..., width : width + 1]
            told = self._said[heard.topic].normalise(_told(block, width)) * present
            scaled = torch.cat((told[..., :width], present, told[..., width:]), dim=-1)
            parts.append(scaled.flatten(-2))
        return torch.cat(parts, dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """As a policy file holds it: per own column, then per column of a message of each topic."""
        found = {name: [value] for name, value in self._own.tensors().items()}
        for heard in self._layout.heard:
            said = self._said[heard.topic].tensors()
            for name, kept in (("mean", torch.zeros(1)), ("scale", torch.ones(1))):
                value = said[name]
                found[name] += [value[: heard.width], kept, value[heard.width :]]
        return {name: torch.cat(parts) for name, parts in found.items()}

    def state(self) -> dict[str, Any]:
        said = {topic: norm.state() for topic, norm in self._said.items()}
        return {"own": self._own.state(), "said": said}

    def load(self, state: Mapping[str, Any]) -> None:
        self._own.load(state["own"])
        for topic, norm in self._said.items():
            norm.load(state["said"][topic])


def _told(block: Tensor, width: int) -> Tensor:
    """Numbers and age of messages, without whether they are there."""
    return torch.cat((block[..., :width], block[..., width + 1 :]), dim=-1)
