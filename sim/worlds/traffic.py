"""Traffic engineering: every node of a real network splits its traffic over a few paths.

The demands are a traffic matrix of SNDlib, each times a factor that is even in 1 - varies ... 1 +
varies and drawn anew every `task` steps. A source states a weight for each of the `paths` shortest
paths to each other node; its traffic is split in proportion. All links have one capacity, chosen so
that with the mean demands on shortest paths the fullest is used to `load`. What a link cannot carry
is cut in proportion, as in the world `flows`. A `capacity-drop` takes part of an edge, in both
directions.
The objective is the greatest utilisation of a link, by what is offered to it; the least there can
be is a linear programme. Who is absent uses shortest paths.
Sources: Orlowski et al., SNDlib 1.0 (2010); Fortz and Thorup, Internet Traffic Engineering by
Optimizing OSPF Weights (2000); Elwalid, Jin, Low and Widjaja, MATE (2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors, maker
from sim.worlds.classics.fields import Parameters, Positive, Share
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.programme import Floats, Programme, Term
from sim.worlds.traffic_map import Map, load_map
from sim.worlds.world import Metric, PhysicalEvent, State, target_of

RULES: Final = {"source": "agents.behaviours.traffic:Splitter"}
HELP: Final = {
    "max_utilisation": ("", "lower", "of the fullest link, by what is offered to it"),
    "carried": ("", "higher", "share of the traffic that arrives"),
    "mean_utilisation": ("", "lower", "of all links"),
    "detour": ("", "lower", "length of the ways taken, relative to the shortest"),
}
Tensor = torch.Tensor


class Params(Parameters, frozen=True):
    """network: abilene (12 nodes, 15 edges) or geant (22, 36). paths: of each demand. load: of the
    fullest link on shortest paths with the mean demands. varies: of demands, relative. task: steps
    for which they stay as they are. drop: share of an edge that is left during a
    `capacity-drop`."""

    network: Literal["abilene", "geant"] = "abilene"
    paths: Annotated[int, Meta(ge=1, le=8)] = 3
    load: Positive = 1.0
    varies: Share = 0.3
    task: Annotated[int, Meta(ge=1)] = 60
    drop: Annotated[float, Meta(gt=0, le=1)] = 0.5
    dt: str | float = "1s"


class Traffic(Classic[Params]):
    """Demands, loads and rates are in capacities of a link.

    Shapes: demand float64 [B, n, n]; load (offered), dropped [B, l]; carried (of each source, a
    share) [B, n]; sums of the outcome [B].
    """

    reward_components = ("congestion", "loss")

    def __init__(self, p: Params) -> None:
        self.map = m = load_map(p.network, p.paths)
        n, links = len(m.nodes), len(m.km)
        self.mean = torch.from_numpy(m.demands * p.load / _capacity(m))
        self.usable = torch.from_numpy(m.paths.any(-1).astype(np.float64))
        self.hops = torch.from_numpy(m.hops)
        self.km = torch.from_numpy(m.paths @ m.km)
        sees = [
            Field("number", low=1.0, high=n, help="of this node"),
            Field("demand", low=0.0, size=n, help="to each node, in capacities of a link"),
            Field("used", low=0.0, size=m.degree, help="utilisation of the links that begin here"),
        ]
        split = Field("split", low=0.0, high=1.0, size=n * p.paths, help="by node, then by path")
        super().__init__("traffic", p, {"source": (m.nodes, sees, [split])})
        names = tuple(f"{m.nodes[a]}-{m.nodes[b]}" for a, b in m.edges)
        self.edges = [(m.nodes[a], m.nodes[b]) for a, b in m.edges]
        self.events: Sequence[PhysicalEvent] = (
            PhysicalEvent("capacity-drop", names, f"{p.drop:.0%} of the capacity is left"),
        )
        slots = np.full((n, m.degree), links)
        slots[m.tail, m.slot] = np.arange(links)
        self.slots = torch.from_numpy(slots)

    def start(self, state: State) -> State:
        zero, (n, links) = state["return"], (len(self.map.nodes), len(self.map.km))
        return {
            "demand": self.demands(state["key"], state["step"]),
            **dict.fromkeys(("load", "dropped"), zero[:, None].repeat(1, links)),
            "carried": torch.ones_like(zero)[:, None].repeat(1, n),
            **dict.fromkeys((f"sum_{name}" for name in HELP), zero),
        }

    def demands(self, key: Tensor, step: Tensor) -> Tensor:
        """Of a step, from row to column. Shapes: [B], [B] -> [B, n, n]."""
        p, n = self.params, len(self.map.nodes)
        share = uniforms(key, step // p.task, n * n, 0).reshape(-1, n, n)
        return self.mean.to(key.device) * (1.0 + p.varies * (2.0 * share - 1.0))

    def capacity(self, state: State) -> Tensor:
        """Of each link. Shapes: -> [B, l]."""
        return torch.where(state["dropped"] > 0, self.params.drop, 1.0).to(torch.float64)

    def shares(self, weights: Tensor, present: Tensor) -> Tensor:
        """How each demand is split over its paths; the shortest has all of it where no weight is
        above 0. Shapes: [B, n, n k], [B, n] -> [B, n, n, k]."""
        usable = self.usable.to(weights.device)
        wanted = torch.clamp(weights, 0.0, 1.0).reshape(-1, *usable.shape) * usable
        wanted = torch.where(present[..., None, None], wanted, 0.0)
        total = ordered_sum(wanted, 3)[..., None]
        shortest = torch.zeros_like(usable)
        shortest[..., 0] = usable[..., 0]
        return torch.where(total > 0, wanted / torch.clamp(total, min=1e-300), shortest)

    def offered(self, traffic: Tensor) -> Tensor:
        """What is offered to each link, path by path. Shapes: [B, n, n, k] -> [B, l]."""
        hops = self.hops.to(traffic.device)
        b, h, links = len(traffic), hops.shape[-1], len(self.map.km)
        of_paths = traffic.reshape(b, -1).T.repeat_interleave(h, 0)
        into = torch.zeros((links + 1, b), dtype=traffic.dtype, device=traffic.device)
        return into.index_add(0, hops.reshape(-1), of_paths)[:links].T.contiguous()

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        demand, capacity = state["demand"], self.capacity(state)
        shares = self.shares(actions["source"], present["source"])
        traffic = demand[..., None] * shares
        load = self.offered(traffic)
        use = load / capacity
        passes = torch.clamp(1.0 / torch.clamp(use, min=1e-300), max=1.0)
        whole = torch.ones_like(passes[:, :1])
        arrives = traffic * torch.cat((passes, whole), 1)[:, self.hops].amin(-1)
        sent, come = _total(traffic), _total(arrives)
        all_sent = ordered_sum(sent, 1)[:, None]
        fullest = use.amax(1)
        n = demand.shape[1]
        rewards = torch.stack(
            ((-fullest / n)[:, None].expand(-1, n), -(sent - come) / all_sent), -1
        )
        km = self.km.to(demand.device)
        taken = ordered_sum(_total(traffic * km), 1)
        least = ordered_sum(ordered_sum(demand * km[..., 0], 2), 1)
        figures = {
            "max_utilisation": fullest,
            "carried": ordered_sum(come, 1) / all_sent[:, 0],
            "mean_utilisation": ordered_sum(use, 1) / use.shape[1],
            "detour": taken / least,
        }
        step = state["step"] + 1
        after = {
            **state,
            "step": step,
            "return": state["return"] + ordered_sum(rewards[..., 0] + rewards[..., 1], 1),
            "demand": self.demands(state["key"], step),
            "load": load,
            "carried": come / sent,
            **{f"sum_{name}": state[f"sum_{name}"] + value for name, value in figures.items()},
        }
        return after, {"source": rewards}

    def observe(self, state: State) -> dict[str, Tensor]:
        use = state["load"] / self.capacity(state)
        use = torch.cat((use, torch.zeros_like(use[:, :1])), 1)[:, self.slots]
        number = torch.arange(1, use.shape[1] + 1, device=use.device).to(use.dtype)
        number = number[None, :, None].expand(len(use), -1, 1)
        return {"source": torch.cat((number, state["demand"], use), -1)}

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        dropped, edge = state["dropped"].clone(), target_of(self.events, event, target)
        dropped[:, 2 * edge : 2 * edge + 2] = float(is_on)
        return {**state, "dropped": dropped}

    def metrics(self, state: State) -> dict[str, Metric]:
        steps = max(int(state["step"][0]), 1)
        return {
            name: Metric(
                float(state[f"sum_{name}"][0]) / steps,
                unit,
                better,
                name == "max_utilisation",
                text,
            )
            for name, (unit, better, text) in HELP.items()
        }

    def scene(self, state: State) -> dict[str, Any]:
        """Links and sources as bars, see `sim.console.drawing_shares`."""
        m, capacity = self.map, self.capacity(state)[0].tolist()
        load, carried = state["load"][0].tolist(), state["carried"][0].tolist()
        sent = state["demand"][0].sum(1).tolist()
        links = [
            {"name": f"{m.nodes[a]}>{m.nodes[b]}", "value": load[i], "most": capacity[i],
             "note": "drop" if capacity[i] < 1 else ""}
            for i, (a, b) in enumerate(p for a, b in m.edges for p in ((a, b), (b, a)))
        ]  # fmt: skip
        sources = [
            {"name": name, "value": carried[i] * sent[i], "most": sent[i], "note": ""}
            for i, name in enumerate(m.nodes)
        ]
        shares = {"links": links, "sources": sources}
        return {"kind": "shares", "title": self.title(state), "shares": shares}


make = maker(Traffic, Params, "traffic")


def _total(of_paths: Tensor) -> Tensor:
    """Of each source. Shapes: [B, n, n, k] -> [B, n]."""
    return ordered_sum(ordered_sum(of_paths, 3), 2)


def _capacity(m: Map) -> float:
    """What the fullest link carries if all demands take their shortest paths."""
    return float(np.tensordot(m.demands, m.paths[:, :, 0], 2).max())


def least_utilisation(demand: Floats, m: Map) -> tuple[float, Floats]:
    """The least greatest utilisation, and the traffic on each path that has it, by a linear
    programme. Shapes: demand [n, n], in capacities of a link -> [n, n, k]."""
    pairs = np.argwhere(demand > 0)
    paths = [(a, b, i) for a, b in pairs for i in range(m.paths.shape[2]) if m.paths[a, b, i].any()]
    at = np.array(paths)
    row_of = {(a, b): row for row, (a, b) in enumerate(pairs.tolist())}
    programme = Programme()
    worst = programme.columns(np.ones(1))
    ways = programme.columns(np.zeros(len(at)))
    row = np.array([row_of[a, b] for a, b, _ in at.tolist()])
    sent = demand[tuple(pairs.T)]
    whole: list[Term] = [(row, ways, 1.0)]
    programme.rows(whole, sent, sent)
    path, link = np.nonzero(m.paths[tuple(at.T)])
    links = np.arange(len(m.km))
    terms: list[Term] = [
        (link, ways[path], 1.0),
        (links, np.full(len(links), worst[0]), -1.0),
    ]
    programme.rows(terms, np.full(len(links), -np.inf), np.zeros(len(links)))
    least, found = programme.solved()
    traffic = np.zeros(m.paths.shape[:3])
    traffic[tuple(at.T)] = found[ways]
    return least, traffic


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The least greatest utilisation over the same paths, and shortest paths alone, known to all at
    once and with no capacity dropped; nothing if there is no step."""
    world = make(params)
    p, m = world.params, world.map
    steps, key = duration_ns // world.dt_ns, world.reset([(seed, 0)])["key"]
    columns: dict[str, dict[str, float]] = {}
    for start in range(0, steps, p.task):
        share = min(p.task, steps - start) / steps
        demand = world.demands(key, torch.tensor([start]))[0].numpy()
        direct = np.zeros(m.paths.shape[:3])
        direct[..., 0] = demand
        for name, traffic in (
            ("optimum", least_utilisation(demand, m)[1]),
            ("shortest", direct),
        ):
            sums = columns.setdefault(name, dict.fromkeys(HELP, 0.0))
            use = np.tensordot(traffic, m.paths, 3)
            length, shortest = (float((t * (m.paths @ m.km)).sum()) for t in (traffic, direct))
            values = (use.max(), _carried(traffic, use, m), use.mean(), length / shortest)
            for figure, value in zip(HELP, values, strict=True):
                sums[figure] += share * float(value)
    return columns


def _carried(traffic: Floats, use: Floats, m: Map) -> float:
    passes = np.append(np.minimum(1.0 / np.maximum(use, 1e-300), 1.0), 1.0)
    return float((traffic * passes[m.hops].min(-1)).sum() / traffic.sum())
