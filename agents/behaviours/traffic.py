"""How nodes of a network split their traffic over paths, by what routers say of their links.

Sources: Gallager, A Minimum Delay Routing Algorithm Using Distributed Computation (1977); Elwalid,
Jin, Low and Widjaja, MATE: MPLS Adaptive Traffic Engineering (2001); Kivinen and Warmuth,
Exponentiated Gradient versus Gradient Descent (1997).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from agents.behaviours.classics import Rule
from agents.behaviours.flows import by_number
from sim.worlds.traffic_map import load_map, network_of


class Splitter(Rule):
    """Says how full the links are that begin here, and shifts its traffic to paths that cost less.

    The cost of a link is the slope of utilisation ** steepness, so that the fullest link of a path
    outweighs the others; where all paths in use of a demand cost alike, the sum over all links is
    the least. Shares go down by a factor exp(-step * cost / greatest cost of a link). A link that
    was never heard of costs nothing. Memory: the shares.

    params: step (default 0.3), steepness (default 12), least (share that each path keeps, so that
            it can grow again; 0.001).
    """

    speaks: Mapping[str, int]
    hears: Mapping[str, int]

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        nodes = int(group.observation.fields[0].high)
        self.map = load_map(network_of(nodes), group.action.size // nodes)
        self.step = float(params.get("step", 0.3))
        self.steepness = float(params.get("steepness", 12.0))
        self.least = float(params.get("least", 0.001))
        self.speaks = self.hears = {"used": 1 + self.map.degree}
        n, _, k, links = self.map.paths.shape
        self.ways = self.map.paths.reshape(n, n * k, links)
        self.usable = self.ways.any(-1).astype(np.float64)

    def memory(self, xp: Any, batch: int) -> Any:
        """Nothing yet. Shapes: [B, n k]."""
        return xp.zeros((batch, self.ways.shape[1]), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        factor, said = self.decide(xp, obs, inbox)
        n, _, k, _ = self.map.paths.shape
        me = xp.astype(self.field(obs, "number")[:, 0], xp.int64) - 1
        usable = xp.take(xp.asarray(self.usable, device=device(obs)), me, axis=0)
        shape = (obs.shape[0], n, k)
        shortest = xp.reshape(usable, shape) * xp.asarray(
            [1.0] + [0.0] * (k - 1), device=device(obs)
        )
        shares = xp.reshape(memory, shape)
        is_new = xp.sum(shares, axis=-1, keepdims=True) <= 0
        shares = xp.where(is_new, shortest, shares) * xp.reshape(factor, shape)
        shares = shares / xp.clip(xp.sum(shares, axis=-1, keepdims=True), 1e-300, None)
        shares = xp.clip(shares, self.least, None) * xp.reshape(usable, shape)
        shares = shares / xp.clip(xp.sum(shares, axis=-1, keepdims=True), 1e-300, None)
        shares = xp.reshape(shares, memory.shape)
        return shares, said, shares

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """By which factor each share changes, before they are made to add up. Shapes: [B, n k]."""
        number, used = self.field(obs, "number"), self.field(obs, "used")
        n = len(self.map.nodes)
        told = by_number(xp, obs, inbox["used"], n)[..., 1:]
        nodes = xp.arange(1, n + 1, dtype=obs.dtype, device=device(obs))
        told = xp.where((nodes == number)[..., None], used[:, None, :], told)
        tail, slot = (xp.asarray(x, device=device(obs)) for x in (self.map.tail, self.map.slot))
        use = told[:, tail, slot]
        highest = xp.clip(xp.max(use, axis=1, keepdims=True), 1e-9, None)
        cost = (use / highest) ** (self.steepness - 1.0)
        me = xp.astype(number[:, 0], xp.int64) - 1
        ways = xp.take(xp.asarray(self.ways, device=device(obs)), me, axis=0)
        price = xp.sum(ways * cost[:, None, :], axis=-1)
        said = xp.concat((number, used), axis=-1)
        return xp.exp(-self.step * price), {"used": said}
