"""Rescue: victims lie among obstacles. Who sees one has found it; it is freed once `hands` robots
together have been with it for `care`.

One robot alone frees nobody, so that who has found one must get help. Robots may also leave marks
where they go, which fade and spread, and which they read where they are: see `sim.worlds.marks`.
Reference `known`: nobody is freed before as many robots as it takes could have been there if all
had gone to it at once, so nothing is quicker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field
from sim.units import SECOND
from sim.worlds import marks
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import NotNegative, Positive
from sim.worlds.noise import uniforms
from sim.worlds.swarm import maps, params, task
from sim.worlds.swarm.course import seconds_of
from sim.worlds.swarm.ground import lattice
from sim.worlds.swarm.motion import norm
from sim.worlds.swarm.scene import digits
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
FOUND: Final = 0.2
"""What finding one is worth, of what freeing it is."""
TIMES: Final = {"half": 0.5, "ninety": 0.9}
_VICTIM: Final = 0


class Params(params.Params, frozen=True):
    """victims: how many there are. hands: robots that it takes to free one. reach: m, from how far
    they do. care: how long it takes them. marks: whether robots leave marks. fade: after which time
    a mark has 1/e left. spread: m2/s, how it spreads."""

    victims: Annotated[int, Meta(ge=1, le=64)] = 8
    hands: Annotated[int, Meta(ge=1, le=20)] = 2
    reach: Positive = 1.5
    care: params.Duration = "5s"
    marks: bool = False
    fade: params.Duration = "60s"
    spread: NotNegative = 0.05


class Task(task.Task[Params]):
    """Shapes: victim float64 [B, m, 2], found, freed bool [B, m], cared float64 [B, m] s; mark
    [B, h, w]; when half and 90 % were found and freed, float64 [B] s, -1 before it is so."""

    components = ("found", "freed")

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.every = params.steps(p, "decide")
        self.care, self.fade = seconds_of(p, "care"), seconds_of(p, "fade")
        self.parts = marks.steps_for(p.spread, self.every * self.dt, p.cell)
        sees = [
            Field("victim", low=0.0, high=1.0, size=p.victims, help="1: it is in sight"),
            Field("victim_x", "m", -p.sight, p.sight, size=p.victims, help="seen from here"),
            Field("victim_y", "m", -p.sight, p.sight, size=p.victims),
            Field("victim_freed", low=0.0, high=1.0, size=p.victims, help="1: in sight, and free"),
        ]
        if p.marks:
            sees += [
                Field("mark", low=0.0, help="how much of it is here"),
                Field("mark_x", "1/m", help="its slope"),
                Field("mark_y", "1/m"),
            ]
            self.acts = (Field("mark", "1/s", 0.0, 1.0, help="left here"),)
        self.sees = sees

    def start(self, state: State) -> State:
        p = self.params
        victim = _victims(p, state["key"], state["obstacle"])
        none = torch.zeros(victim.shape[:2], dtype=torch.bool, device=victim.device)
        first = {"victim": victim, "freed": none, "cared": none.double()}
        found = self._in_sight({**state, **first}).any(1)
        never = torch.full_like(victim[:, 0, 0], -1.0)
        times = {f"{what}_{name}": never for what in ("found", "freed") for name in TIMES}
        if p.marks:
            first["mark"] = torch.zeros_like(state["free"], dtype=torch.float64)
        return {**first, "found": found, **times}

    def _in_sight(self, state: State) -> Tensor:
        """Which robot sees which victim. Shapes: -> bool [B, n, m]."""
        looks = ~state["broken"] & ~state["blind"] & (state["charge"] > 0)
        apart = state["victim"][:, None] - state["position"][:, :, None]
        sees: Tensor = (norm(apart) <= self.params.sight) & looks[..., None]
        if state["obstacle"].shape[1]:
            hidden = maps.hidden(state["position"], apart[:, :, None], state["obstacle"])
            sees = sees & ~hidden[:, :, 0]
        return sees

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        p = self.params
        is_up = ~after["broken"] & (after["charge"] > 0)
        apart = after["victim"][:, None] - after["position"][:, :, None]
        helps = (norm(apart) <= p.reach) & is_up[..., None]
        enough = (helps.sum(1) >= p.hands) & ~before["freed"]
        cared = before["cared"] + torch.where(enough, self.dt, 0.0)
        freed = before["freed"] | (cared > self.care - self.dt / 2)
        is_due = after["step"] % self.every == 0
        sees = self._in_sight(after) & is_due[:, None, None]
        found = before["found"] | sees.any(1)
        changes = {"cared": cared, "freed": freed, "found": found}
        seconds = after["step"] * self.dt
        for what in ("found", "freed"):
            share = changes[what].double().mean(1)
            for name, least in TIMES.items():
                is_now = (before[f"{what}_{name}"] < 0) & (share >= least)
                changes[f"{what}_{name}"] = torch.where(is_now, seconds, before[f"{what}_{name}"])
        if p.marks:
            changes["mark"] = self._marked(after, action[..., 0] * is_driven, is_due)
        paid = [
            FOUND * _shares(sees & ~before["found"][:, None]),
            _shares(helps & (freed & ~before["freed"])[:, None]),
        ]
        return changes, torch.stack(paid, -1)

    def _marked(self, state: State, amount: Tensor, is_due: Tensor) -> Tensor:
        """The marks after a decision; in between they stay as they are."""
        p = self.params
        mark: Tensor = state["mark"]
        if not bool(is_due.any()):
            return mark
        period = self.every * self.dt
        later = marks.deposit(mark, state["position"], amount * period, p.cell)
        for _ in range(self.parts):
            later = marks.spread(later, p.spread, 1 / self.fade, period / self.parts, p.cell)
        return torch.where(is_due[:, None, None], later, mark)

    def observe(self, state: State) -> list[Tensor]:
        sees = self._in_sight(state)
        apart = state["victim"][:, None] - state["position"][:, :, None]
        apart = torch.where(sees[..., None], apart, 0.0)
        told = [
            sees.double(),
            apart[..., 0],
            apart[..., 1],
            (sees & state["freed"][:, None]).double(),
        ]
        if self.params.marks:
            value, slope = marks.read(state["mark"], state["position"], self.params.cell)
            told += [value[..., None], slope]
        return told

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        found = {}
        for what, is_primary in (("freed", True), ("found", False)):
            share = 100 * float(state[what][0].double().mean())
            found[what] = Metric(share, "%", "higher", is_primary, f"victims that were {what}")
            for name, words in (("half", "half"), ("ninety", "90 %")):
                time = float(state[f"{what}_{name}"][0])
                told = f"until {words} of them were {what}"
                value = seconds if time < 0 else time
                found[f"{what}_{name}"] = Metric(value, "s", "lower", False, told)
        return found

    def scene(self, state: State) -> dict[str, Any]:
        freed, found = state["freed"][0].tolist(), state["found"][0].tolist()
        drawn = [
            {"at": at, "role": "done" if freed[i] else "goal" if found[i] else "hidden"}
            for i, at in enumerate(state["victim"][0].tolist())
        ]
        share = 100 / len(freed)
        figures = {"found %": share * sum(found), "freed %": share * sum(freed)}
        told: dict[str, Any] = {"marks": drawn, "figures": figures}
        if self.params.marks:
            told["field"] = digits(state["mark"][0] / (state["mark"][0].max() + 1e-9) * 9.99)
        return told

    def terminated(self, state: State) -> Tensor:
        done: Tensor = state["freed"].all(1)
        return done


def _shares(which: Tensor) -> Tensor:
    """One for each victim, divided among its robots. Shapes: bool [B, n, m] -> [B, n]."""
    among = torch.clamp(which.sum(1, keepdim=True).double(), min=1.0)
    return (which / among).sum(-1)


def _victims(p: Params, key: Tensor, obstacle: Tensor) -> Tensor:
    """Where they lie, outside obstacles. Shapes: -> [B, m, 2]. Raises: BoundError without room."""
    pitch = min(math.sqrt(p.width * p.height / max(4 * p.victims, 100)), 4.0)
    places = lattice(p, pitch, key)
    apart = places[None, :, None] - obstacle[:, None, :, :2]
    is_free = (norm(apart) > obstacle[:, None, :, 2] + 2 * p.radius).all(-1)
    if bool((is_free.sum(1) < p.victims).any()):
        raise BoundError(f"world.victims: there is no room for {p.victims} outside obstacles")
    drawn = uniforms(key, torch.zeros_like(key), len(places), _VICTIM)
    order = torch.argsort(torch.where(is_free, drawn, 2.0), dim=1, stable=True)
    return places[order[:, : p.victims]]


def reference(params_: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """`known`, see above."""
    from sim.worlds.swarm.world import Swarm

    p = parse(Params, params_, "swarm")
    plain = Task(p)
    state = Swarm(p, plain).reset([(seed, 0)])
    way = norm(state["victim"][0][None] - state["position"][0][:, None]) - p.reach
    last = torch.sort(way, 0).values[p.hands - 1] if p.hands <= p.robots else way[0] + math.inf
    times = torch.sort(torch.clamp(last, min=0.0) / p.speed + plain.care).values.tolist()
    seconds = duration_ns / SECOND
    column = {"freed": 100 * sum(time <= seconds for time in times) / len(times)}
    for name, least in TIMES.items():
        column[f"freed_{name}"] = min(times[math.ceil(least * len(times)) - 1], seconds)
    return {"known": column}
