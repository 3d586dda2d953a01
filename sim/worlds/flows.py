"""Flows: users draw rates from links that they share, and worth grows ever less with the rate.

    welfare = sum_i U_i(x_i) - penalty * sum_i (a_i - x_i)        U: see `sim.worlds.alpha_fair`

User i asks for a_i, at most what is left of its demand d_i, and its route passes some of the links.
What a link cannot carry is cut in proportion (`proportional` in `sim.worlds.fair_shares`), so
what is granted, x_i, is feasible in every step. Who is absent asks for `least`.
A game has so many `rounds`. With 1, capacities are rates, there anew in every step. With more, what
a game hands out is gone: the rest of the links is all there is for the rounds that are left, and
worth is that of all that a user got. Demands are drawn anew every `task` games.
A link has an agent too, the router before it, which sees what is asked of it; it decides nothing
but what it says. A `capacity-drop` takes part of a link.
Sources: Kelly, Maulloo and Tan, Rate Control for Communication Networks (1998); Mo and Walrand,
Fair End-to-End Window-Based Congestion Control (2000); Jain, Chiu and Hawe (1984); Bertsimas,
Farias and Trichakis, The Price of Fairness (2011).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

import numpy as np
import torch
from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field
from sim.worlds.alpha_fair import Floats, alpha_fair, utility
from sim.worlds.classics.common import Classic, Columns, Played, Stepped, Tensors, maker
from sim.worlds.classics.fields import NotNegative, Parameters, Positive, Share
from sim.worlds.fair_shares import (
    egalitarian,
    jain,
    jain_of,
    loads,
    max_min,
    passing,
    price_of_fairness,
    utilitarian,
)
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import Metric, PhysicalEvent, State, target_of

RULES: Final = {
    "user": "agents.behaviours.flows:Answer",
    "link": "agents.behaviours.flows:Price",
}
ROLES: Final = {"user": "agents.behaviours.flows:Levels"}
HELP: Final = {
    "welfare": ("per game", "higher", "worth of what is had, less the penalty"),
    "fairness": ("", "higher", "Jain's index of what the users get"),
    "throughput": ("per game", "higher", "what all get together"),
    "utilisation": ("", "higher", "mean share of the links' capacities that is used"),
    "refused": ("", "lower", "share of what is asked for that is not granted"),
    "price_of_fairness": ("", "lower", "share of the greatest throughput given up, last game"),
}
SUMS: Final = ("fairness", "throughput", "utilisation")
Tensor = torch.Tensor
Limits = tuple[Positive, Positive]
Route = Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]


class Params(Parameters, frozen=True):
    """capacities: of link-1, link-2, ... routes: of user-1, user-2, ..., each the numbers of the
    links that it passes. alpha: of the utilities, 1 is logarithmic. weight, demand: least and
    greatest, drawn for each user. task: games after which demands are drawn anew. rounds: of a
    game. games: after which the episode is over, 0: when the duration ends. least: rate below which
    utilities are straight, and for which the absent ask. penalty: per unit refused. drop: share of
    a link that is left during a `capacity-drop`."""

    capacities: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=64)] = (10.0, 8.0)
    routes: Annotated[tuple[Route, ...], Meta(min_length=1, max_length=256)] = (
        (1, 2), (1,), (1,), (2,), (2,),
    )  # fmt: skip
    alpha: Annotated[float, Meta(ge=0, le=8)] = 1.0
    weight: Limits = (0.5, 2.0)
    demand: Limits = (2.0, 8.0)
    task: Annotated[int, Meta(ge=1)] = 100
    rounds: Annotated[int, Meta(ge=1)] = 1
    games: Annotated[int, Meta(ge=0)] = 0
    least: Positive = 0.01
    penalty: NotNegative = 0.1
    drop: Share = 0.3
    dt: str | float = "1s"


class Flows(Classic[Params]):
    """A game that is over stays as it is until the next step begins a new one.

    Shapes: weight, demand, got and its worth (in this game; 0 before its first round), rate, asked
    (in the last step) float64 [B, n]; used (in this game), projected, kept (share of the capacity
    that is there) [B, l]; round (played of this game), game (how many are over) int64 [B]; sums of
    the outcome [B]. Welfare is the return.
    """

    reward_components = ("worth", "penalty")

    def __init__(self, p: Params) -> None:
        _check(p)
        n, m = len(p.routes), len(p.capacities)
        self.routes, self.capacity = map(torch.from_numpy, _network(p))
        self.numbers = torch.arange(1, max(n, m) + 1, dtype=torch.float64)
        self.alpha = torch.full((n, 1), p.alpha, dtype=torch.float64)
        self.shared = self.routes.T * self.routes.sum(1)
        most = p.demand[1]
        sees = [
            Field("number", low=1.0, high=n),
            Field("weight", low=0.0, high=p.weight[1]),
            Field("alpha", low=0.0, help="of the utilities"),
            Field("demand", low=0.0, high=most, help="what can be used in this game"),
            Field("got", low=0.0, high=most, help="in this game so far"),
            Field("rate", low=0.0, high=most, help="granted in the last step"),
            Field("rounds_left", low=1.0, high=p.rounds, help="of this game, with the one to come"),
            Field("route", low=0.0, high=1.0, size=m, help="1: passes that link"),
            Field("left", low=0.0, size=m, help="of the links of the route; 0 of others"),
            Field("users", low=0.0, size=m, help="of the links of the route; 0 of others"),
        ]
        watches = [
            Field("number", low=1.0, high=m),
            Field("capacity", low=0.0, help="of a game, as it is now"),
            Field("projected", low=0.0, help="use of a game, if all ask on as in the last step"),
            Field("passes", low=0.0, high=1.0, size=n, help="1: that user passes"),
        ]
        asks = [Field("request", low=0.0, high=most, default=p.least)]
        slots: dict[str, Played] = {"user": (n, sees, asks), "link": (m, watches, [])}
        super().__init__("flows", p, slots, p.games * p.rounds)
        users, links = (group.agents for group in self.groups)
        self.events: Sequence[PhysicalEvent] = (
            PhysicalEvent("capacity-drop", links, f"{p.drop:.0%} of the capacity is left"),
        )
        self.edges = [
            (user, links[j - 1]) for user, route in zip(users, p.routes, strict=True) for j in route
        ]

    def start(self, state: State) -> State:
        p, key, step, zero = self.params, state["key"], state["step"], state["return"]
        weight = _between(p.weight, uniforms(key, step, len(p.routes), 0))
        of_users, of_links = torch.zeros_like(weight), zero[:, None].repeat(1, len(p.capacities))
        return {
            "weight": weight,
            "demand": demands(p, key, step),
            **dict.fromkeys(("round", "game"), step),
            **dict.fromkeys(("got", "worth", "rate", "asked"), of_users),
            **dict.fromkeys(("used", "projected"), of_links),
            "kept": torch.ones_like(of_links),
            **dict.fromkeys(("requests", "refusals", *SUMS), zero),
        }

    def capacities(self, state: State) -> Tensor:
        """Of a game, as they are now. Shapes: -> [B, l]."""
        kept: Tensor = state["kept"]
        return kept * self.capacity.to(kept.device)

    def begun(self, state: State) -> State:
        """The state with a new game begun where the last is over."""
        p, is_over = self.params, state["round"] == self.params.rounds
        if not bool(is_over.any()):
            return state
        over = is_over[:, None]
        anew = {name: state[name].masked_fill(over, 0.0) for name in ("got", "worth", "used")}
        drawn = demands(p, state["key"], state["game"])
        return {
            **state, **anew,
            "demand": torch.where(over, drawn, state["demand"]),
            "round": state["round"].masked_fill(is_over, 0),
        }  # fmt: skip

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        p, state = self.params, self.begun(state)
        routes, capacity = self.routes.to(state["key"].device), self.capacities(state)
        room = torch.clamp(state["demand"] - state["got"], min=0.0)
        asked = torch.where(present["user"], actions["user"][..., 0], p.least)
        asked = torch.minimum(torch.clamp(asked, min=0.0), room)
        load = loads(asked, routes)
        rate = asked * passing(load, routes, torch.clamp(capacity - state["used"], min=0.0))
        got, refused = state["got"] + rate, asked - rate
        used = state["used"] + loads(rate, routes)
        worth = utility(got, state["weight"], p.alpha, p.least)
        rewards = torch.stack((worth - state["worth"], -p.penalty * refused), -1)
        of_users = torch.stack((rewards.sum(-1), asked, refused, got, got * got), -1)
        earned, requests, refusals, total, square = ordered_sum(of_users, 1).unbind(1)
        played = state["round"] + 1
        is_over = played == p.rounds
        ends = is_over.to(torch.float64)
        after = {
            **state,
            "step": state["step"] + 1,
            "return": state["return"] + earned,
            "round": played,
            "game": state["game"] + is_over,
            "got": got, "worth": worth, "rate": rate, "asked": asked, "used": used,
            "projected": state["used"] + load * (p.rounds + 1 - played)[:, None],
            "requests": state["requests"] + requests,
            "refusals": state["refusals"] + refusals,
            "fairness": state["fairness"] + ends * jain_of(total, square, got.shape[1]),
            "throughput": state["throughput"] + ends * total,
            "utilisation": state["utilisation"] + ends * _mean(used / capacity),
        }  # fmt: skip
        nothing = torch.zeros((*used.shape, 2), dtype=used.dtype, device=used.device)
        return after, {"user": rewards, "link": nothing}

    def observe(self, state: State) -> dict[str, Tensor]:
        state, capacity = self.begun(state), self.capacities(state)
        b, n, m = len(state["key"]), len(self.params.routes), len(self.params.capacities)
        routes, numbers, alpha, shared = (
            each.to(capacity.device)
            for each in (self.routes, self.numbers, self.alpha, self.shared)
        )
        rounds_left = (self.params.rounds - state["round"]).to(torch.float64)
        own = torch.stack([state[name] for name in ("demand", "got", "rate")], -1)
        left = torch.clamp(capacity - state["used"], min=0.0)[:, None] * routes.T
        user = (
            numbers[:n, None].expand(b, n, 1), state["weight"][..., None], alpha.expand(b, n, 1),
            own, rounds_left[:, None, None].expand(b, n, 1),
            routes.T.expand(b, n, m), left, shared.expand(b, n, m),
        )  # fmt: skip
        seen = torch.stack((numbers[:m].expand(b, m), capacity, state["projected"]), -1)
        return {
            "user": torch.cat(user, -1),
            "link": torch.cat((seen, routes.expand(b, m, n)), -1),
        }

    def central(self, state: State) -> Tensor:
        """What a critic or a mixer is told: as shares of the most there can be, for a mixer's
        weights grow with what it is told. Shapes: -> float64 [B, 1 + 3 n + l]."""
        p, state = self.params, self.begun(state)
        most, left = p.demand[1], torch.clamp(self.capacities(state) - state["used"], min=0.0)
        return torch.cat(
            (
                (1.0 - state["round"] / p.rounds)[:, None], state["weight"] / p.weight[1],
                state["demand"] / most, state["got"] / most,
                left / self.capacity.to(left.device),
            ), 1,
        )  # fmt: skip

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        kept = state["kept"].clone()
        kept[:, target_of(self.events, event, target)] = self.params.drop if is_on else 1.0
        return {**state, "kept": kept}

    def metrics(self, state: State) -> dict[str, Metric]:
        """Of the games that are over; before the first is, as if it ended now."""
        games, got = int(state["game"][0]), state["got"]
        capacity = self.capacities(state)
        sums = {"welfare": state["return"], **{name: state[name] for name in SUMS}}
        found = {name: float(each[0]) / max(games, 1) for name, each in sums.items()}
        if not games:
            use = _mean(state["used"] / capacity)
            found["fairness"], found["utilisation"] = float(jain(got)[0]), float(use[0])
            found["throughput"] = float(got[0].sum())
        asked = float(state["requests"][0])
        found["refused"] = float(state["refusals"][0]) / asked if asked else 0.0
        most = _greatest(self.params, _numbers(capacity), _numbers(state["demand"]))
        found["price_of_fairness"] = price_of_fairness(got[0].cpu().numpy(), most)
        return {
            name: Metric(found[name], unit, better, name == "welfare", text)
            for name, (unit, better, text) in HELP.items()
        }

    def scene(self, state: State) -> dict[str, Any]:
        """Links and users as bars, see `sim.console.drawing_shares`."""
        users, links = (group.agents for group in self.groups)
        of = {name: state[name][0].tolist() for name in ("used", "kept", "got", "demand")}
        capacity = self.capacities(state)[0].tolist()
        return {
            "kind": "shares",
            "title": self.title(state),
            "shares": {
                "links": [
                    {"name": name, "value": of["used"][j], "most": capacity[j],
                     "note": "drop" if of["kept"][j] < 1 else ""}
                    for j, name in enumerate(links)
                ],
                "users": [
                    {"name": name, "value": of["got"][i], "most": of["demand"][i],
                     "note": "via " + " ".join(map(str, self.params.routes[i]))}
                    for i, name in enumerate(users)
                ],
            },
        }  # fmt: skip


make = maker(Flows, Params, "flows")


def demands(p: Params, key: Tensor, game: Tensor) -> Tensor:
    """What each user can use in a game. Shapes: [B], [B] -> [B, n]."""
    return _between(p.demand, uniforms(key, game // p.task, len(p.routes), 1))


def _between(limits: tuple[float, float], share: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share


def _mean(of_links: Tensor) -> Tensor:
    return ordered_sum(of_links, 1) / of_links.shape[1]


def _network(p: Params) -> tuple[Floats, Floats]:
    """Which user passes which link [l, n], and the capacities [l]."""
    links = range(1, len(p.capacities) + 1)
    passes = [[float(j in route) for route in p.routes] for j in links]
    return np.array(passes), np.array(p.capacities)


def _numbers(row: Tensor) -> tuple[float, ...]:
    return tuple(row[0].tolist())


@lru_cache(maxsize=256)
def _greatest(p: Params, capacity: tuple[float, ...], demand: tuple[float, ...]) -> float:
    """The greatest sum of rates."""
    return float(utilitarian(_network(p)[0], np.array(capacity), np.array(demand)).sum())


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """What maximises welfare, the max-min fair rates and equal ones, known to all at once and with
    no capacity dropped; nothing if no game ends."""
    world = make(params)
    p = world.params
    games = duration_ns // world.dt_ns // p.rounds
    games = min(games, p.games) if p.games else games
    routes, capacity = _network(p)
    first = world.reset([(seed, 0)])
    weight = first["weight"][0].numpy()
    columns: dict[str, dict[str, float]] = {}
    for start in range(0, games, p.task):
        share = min(p.task, games - start) / games
        demand = demands(p, first["key"], first["game"] + start)[0].numpy()
        most = _greatest(p, p.capacities, tuple(demand.tolist()))
        for name, rates in {
            "optimum": alpha_fair(routes, capacity, demand, weight, p.alpha, p.least),
            "max_min": max_min(routes, capacity, demand),
            "equal": egalitarian(routes, capacity, demand),
        }.items():
            sums = columns.setdefault(name, dict.fromkeys(("welfare", *SUMS, "refused"), 0.0))
            sums["welfare"] += share * float(utility(rates, weight, p.alpha, p.least).sum())
            sums["fairness"] += share * float(jain(rates[None])[0])
            sums["throughput"] += share * float(rates.sum())
            sums["utilisation"] += share * float((routes @ rates / capacity).mean())
            sums["price_of_fairness"] = price_of_fairness(rates, most)
    return columns


def _check(p: Params) -> None:
    """Raises: BoundError."""
    links = len(p.capacities)
    for i, route in enumerate(p.routes):
        if max(route) > links or len(set(route)) < len(route):
            raise BoundError(
                f"world.routes[{i}]: expected different links, 1 to {links}, found {list(route)}"
            )
    for name in ("weight", "demand"):
        low, high = getattr(p, name)
        if low > high:
            raise BoundError(f"world.{name}: expected [least, greatest], found [{low:g}, {high:g}]")
    if p.least >= p.demand[0]:
        raise BoundError(f"world.least: expected less than every demand, found {p.least:g}")
