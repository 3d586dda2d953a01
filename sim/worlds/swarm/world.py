"""Swarm: robots that move, touch, see, spend energy and fail, and a task for them.

In a step of physics robots move (`motion`) as far as nothing is in their way (`contact`), and pay
for it (`energy`). At every decision they look around: the map, and who is connected. Robots can
break down (`breakdown`: it stands, and does nothing more) and go blind (`blindness`: it drives, and
sees nothing). Where they are is where their radio is. Tasks: see `task`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors, numbered
from sim.worlds.noise import uniforms
from sim.worlds.swarm import contact, energy, ground, maps, outcome, sensing
from sim.worlds.swarm.motion import move, norm, total
from sim.worlds.swarm.params import TTL_NS, Params, acts, sees, steps
from sim.worlds.swarm.scene import draw
from sim.worlds.swarm.task import Task
from sim.worlds.world import Metric, PhysicalEvent, State, target_of

TASKS: Final[dict[str, str]] = {
    "construction": "sim.worlds.swarm.construction",
    "coverage": "sim.worlds.swarm.coverage",
    "flocking": "sim.worlds.swarm.flocking",
    "formation": "sim.worlds.swarm.formation",
    "rescue": "sim.worlds.swarm.rescue",
    "search": "sim.worlds.swarm.search",
}
RULES: Final = {
    "construction": "agents.behaviours.swarm_construction:Builder",
    "coverage": "agents.behaviours.swarm_coverage:Lloyd",
    "flocking": "agents.behaviours.swarm_flocking:Flock",
    "formation": "agents.behaviours.swarm_formation:Consensus",
    "rescue": "agents.behaviours.swarm_rescue:Rescuer",
    "search": "agents.behaviours.swarm_search:Wander",
}
ROLES: Final = dict.fromkeys(TASKS, "agents.behaviours.swarm_roles:Nudge")
CONTACT: Final = -0.1
"""What it costs a robot to be held up by something, each time."""
_HEADING: Final = 103
Tensor = torch.Tensor


class Swarm(Classic[Params]):
    """The BatchWorld; one group, named as the task.

    Shapes: position, velocity, heading float64 [B, n, 2]; charge [B, n] in J; broken, blind, held
            bool [B, n]; obstacle [B, m, 3]; free, seen bool [B, h, w]; earned [B, n, c]; sums of
            the outcome, see `outcome`.
    """

    def __init__(self, p: Params, task: Task[Any]) -> None:
        self.task = task
        self.reward_components = (*task.components, "contact")
        self.moves = len(acts(p))
        names = numbered("robot", p.robots)
        fields = [*sees(p), *task.sees], [*acts(p), *task.acts]
        super().__init__("swarm", p, {p.task: (names, *fields)})
        self.every = steps(p, "decide")
        every = self.every * self.dt_ns
        self.groups = tuple(
            replace(group, every_ns=every, hold="last", ttl_ns=max(TTL_NS, every))
            for group in self.groups
        )
        self.group = self.groups[0].name
        self.names = tuple(names)
        self.dt = self.dt_ns / SECOND
        self.events = (
            PhysicalEvent("breakdown", self.names, "a robot stands and does nothing more"),
            PhysicalEvent("blindness", self.names, "a robot sees nothing"),
        )

    def start(self, state: State) -> State:
        p, key = self.params, state["key"]
        obstacle = ground.obstacles(p, key)
        position = ground.begin(p, key, obstacle)
        if self.task.blocks:
            nowhere = torch.tensor([-1e3, -1e3, 0.0], dtype=torch.float64, device=key.device)
            none = nowhere.expand(len(key), self.task.blocks, 3)
            obstacle = torch.cat((obstacle, none), 1)
        zero = torch.zeros_like(position[..., 0])
        full = p.battery * energy.JOULES if p.battery else 1.0
        state = {
            **state, "position": position, "velocity": torch.zeros_like(position),
            "heading": _headings(key, p.robots), "charge": torch.full_like(zero, full),
            "broken": zero.bool(), "blind": zero.bool(), "obstacle": obstacle,
            "earned": zero[..., None].expand(-1, -1, len(self.reward_components)).clone(),
            **outcome.began(maps.free(p, obstacle), p.robots),
        }  # fmt: skip
        state = {**state, **self.look(state)}
        return {**state, **self.task.start(state)}

    def is_up(self, state: State) -> Tensor:
        """Who can move. Shapes: -> bool [B, n]."""
        up: Tensor = ~state["broken"] & (state["charge"] > 0)
        return up

    def alive(self, state: State) -> dict[str, Tensor]:
        return {self.group: self.is_up(state)}

    def look(self, state: State) -> State:
        """What everybody sees now, on the map and in the outcome."""
        p, is_up = self.params, self.is_up(state)
        looks = is_up & ~state["blind"]
        seen = maps.see(p, state["seen"], state["position"], looks, state["obstacle"])
        return outcome.mapped(p, state, seen, is_up, state["step"] * self.dt)

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        p, action = self.params, actions[self.group]
        is_driven = present[self.group] & self.is_up(state)
        free = move(p, state, action, is_driven, self.dt)
        position, moved, is_held = contact.settle(
            p, state["position"], free, state["obstacle"], self.dt
        )
        taken = energy.drawn(p, state["velocity"], moved.velocity, moved.way, self.dt)
        taken = torch.where(self.is_up(state), taken, 0.0)
        is_new = (is_held & ~state["held"]).double()
        docked = energy.docked(p, position)
        after = {
            **state, "position": position, "velocity": moved.velocity, "heading": moved.heading,
            "charge": energy.charged(p, state["charge"], taken, docked, self.dt),
            "used": state["used"] + taken,
            "driven": state["driven"] + norm(moved.way),
            "contacts": state["contacts"] + is_new,
            "held": is_held,
            "step": state["step"] + 1,
        }  # fmt: skip
        after = {**after, **self._looked(after)}
        changes, paid = self.task.advance(state, after, action[..., self.moves :], is_driven)
        reward = torch.cat((paid, (CONTACT * is_new)[..., None]), -1)
        after = {**after, **changes, "earned": state["earned"] + reward}
        return after, {self.group: reward}

    def _looked(self, state: State) -> State:
        """`look`, in those copies in which a decision is due; copies may be at different steps."""
        is_due = state["step"] % self.every == 0
        if bool(is_due.all()):
            return self.look(state)
        if not bool(is_due.any()):
            return {}
        found = self.look(state)
        kept = {}
        for name, value in found.items():
            mask = is_due.view(-1, *[1] * (value.dim() - 1))
            kept[name] = torch.where(mask, value, state[name])
        return kept

    def observe(self, state: State) -> dict[str, Tensor]:
        is_sighted = self.is_up(state) & ~state["blind"]
        seen = sensing.observe(self.params, state, is_sighted)
        return {self.group: torch.cat((seen, *self.task.observe(state)), -1)}

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        index = target_of(self.events, event, target)
        name = "broken" if event == "breakdown" else "blind"
        changed = state[name].clone()
        changed[:, index] = is_on
        return {**state, name: changed}

    def terminated(self, state: State) -> Tensor:
        return self.task.terminated(state)

    def metrics(self, state: State) -> dict[str, Metric]:
        seconds = int(state["step"][0]) * self.dt
        earned = float(total(state["earned"].sum(-1))[0])
        value = earned / self.agents / max(seconds, 1e-9)
        told = f"per robot: {', '.join(self.reward_components)}"
        reward = Metric(value, "per s", "higher", True, told)
        found = {"reward": reward, **self.task.metrics(state, seconds)}
        return {**found, **outcome.metrics(state, self.is_up(state), seconds)}

    def positions(self, state: State) -> dict[str, Tensor]:
        """Shapes: -> [B, 2] each. Units: m."""
        return {name: state["position"][:, i] for i, name in enumerate(self.names)}

    def scene(self, state: State) -> dict[str, Any]:
        seconds = int(state["step"][0]) * self.dt
        common = draw(self.params, self.names, state, self.is_up(state), seconds)
        told = self.task.scene(state)
        figures = {**common["figures"], **told.get("figures", {})}
        return {**common, **told, "figures": figures}


def _headings(key: Tensor, n: int) -> Tensor:
    """One of eight directions each. Shapes: [B] -> [B, n, 2]."""
    half = 0.5**0.5
    eight = [[1, 0], [half, half], [0, 1], [-half, half], [-1, 0], [-half, -half], [0, -1]]
    of = torch.tensor([*eight, [half, -half]], dtype=torch.float64, device=key.device)
    return of[(uniforms(key, torch.zeros_like(key), n, _HEADING) * 8).long()]


def task_module(params: Mapping[str, Any]) -> Any:
    """The module of the task that parameters name. Raises: UnknownKeyError."""
    name = str(params.get("task", Params().task))
    if name not in TASKS:
        raise UnknownKeyError(f"world.task: there is no {name!r}; {did_you_mean(name, TASKS)}")
    return importlib.import_module(TASKS[name])


def make(params: Mapping[str, Any]) -> Swarm:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    module = task_module(params)
    p = parse(module.Params, params, "swarm")
    for number, at in enumerate(p.chargers):
        ground.on_ground(p, f"chargers[{number}]", at)
    return Swarm(p, module.Task(p))


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """That of the task, see there."""
    found: Columns = task_module(params).reference(params, seed, duration_ns)
    return found
