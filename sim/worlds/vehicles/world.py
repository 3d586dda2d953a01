"""Vehicles in single file, on a road behind a leader or on a ring: platoons and their stability.

The physics step is 20 ms, a decision of everybody is due every 100 ms; an action counts from the
next step of physics on. The leader keeps a speed and, again and again, brakes from it and returns:
the disturbance that a string of vehicles lets die out or makes grow. A vehicle knows the one ahead
by its radar, late and noisy, and by what it hears. Nobody at the wheel (no process, or no action
for half a second) means a human driver: IDM, without any delay in his head.
Motion and contact: `motion`. Laws of following and their sources: `laws`.
Metrics and their sources: `outcome`. Guests that join and leave: `guests`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import pi
from typing import Any, Final

import torch

from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors
from sim.worlds.noise import normals, uniforms
from sim.worlds.vehicles import outcome
from sim.worlds.vehicles.laws import DRIVER, cruise, equilibrium, idm
from sim.worlds.vehicles.motion import Moved, ahead, move
from sim.worlds.vehicles.params import TTL_NS, Params, body, spaces, steps
from sim.worlds.vehicles.scene import draw
from sim.worlds.world import Metric, PhysicalEvent, State, target_of

RULES: Final = {
    "leader": "agents.behaviours.vehicles:Leader",
    "vehicle": "agents.behaviours.vehicles_platoon:Member",
}
ROLES: Final = {"vehicle": "agents.behaviours.vehicles_roles:Pedal"}
_RADAR, _DROP = range(2)
Tensor = torch.Tensor


class Vehicles(Classic[Params]):
    """The BatchWorld. The file begins with the leader; on a ring there is none.

    Shapes: place, speed, acceleration, gap, closing float64 [B, n]; pending, commands on their way
            [B, n, delay]; radar, gap and closing speed as they were, oldest first [B, n, 2,
            latency + 1]; wreck, braking bool [B, n]; earned [B, n, 3]; sums of the outcome, see
            `outcome`.
    """

    reward_components = ("spacing", "comfort", "safety")

    def __init__(self, p: Params) -> None:
        self.body = body(p)
        self.delay, self.latency = steps(p, "delay"), steps(p, "radar_latency")
        self.first, self.hold = steps(p, "first"), steps(p, "hold")
        self.period = steps(p, "period", 1)
        fields = spaces(p)
        sees, acts = fields["vehicle"]
        groups: dict[str, Any] = {"vehicle": (p.vehicles + p.guests, sees.fields, acts.fields)}
        if not p.ring:
            sees, acts = fields["leader"]
            groups = {"leader": (["leader"], sees.fields, acts.fields), **groups}
        super().__init__("vehicles", p, groups)
        self.every = steps(p, "decide", 1)
        every = self.every * self.dt_ns
        self.groups = tuple(
            replace(group, every_ns=every, hold="last", ttl_ns=max(TTL_NS, every))
            for group in self.groups
        )
        self.dt, self.last = self.dt_ns / SECOND, self.agents - 1 - p.guests
        self.names = tuple(name for group in self.groups for name in group.agents)
        number = torch.arange(self.agents, dtype=torch.float64) + (1.0 if p.ring else 0.0)
        same = torch.ones_like(number)
        self.known = torch.stack((number, p.headway * same, p.standstill * same), -1)
        self.events = (PhysicalEvent("brake", self.names, "an emergency brake, as hard as it can"),)

    def start(self, state: State) -> State:
        p, n, key = self.params, self.agents, state["key"]
        between = p.start_gap or equilibrium(DRIVER, p.speed)
        if p.ring:
            between = p.ring / n - p.length
        place = -(between + p.length) * torch.arange(n, dtype=torch.float64, device=key.device)
        place = place.expand(len(key), n).clone()
        speed = torch.full_like(place, p.speed)
        none = torch.zeros_like(place)
        gap, closing = ahead(self.body, place, speed)
        told = torch.stack((gap, closing), -1)
        return {
            "gap": gap, "closing": closing, "place": place, "speed": speed, "acceleration": none,
            "pending": none[..., None].expand(-1, -1, self.delay),
            "radar": told[..., None].expand(-1, -1, -1, self.latency + 1),
            "wreck": none.bool(), "braking": none.bool(),
            "earned": none[..., None].expand(-1, -1, 3),
            **outcome.began(speed),
        }  # fmt: skip

    def alive(self, state: State) -> dict[str, Tensor]:
        """Who is no wreck: only those decide. Shapes: per group bool [B, n]."""
        return self.by_group(~state["wreck"])

    def wanted_speed(self, state: State) -> Tensor:
        """Of the leader, m/s. Shapes: -> [B]."""
        p, since = self.params, state["step"] - self.first
        number = torch.div(since, self.period, rounding_mode="floor")
        is_on = (since >= 0) & (since % self.period < self.hold)
        drawn = uniforms(state["key"], torch.clamp(number, min=0), 1, _DROP)[:, 0]
        lower = torch.clamp(p.speed - p.drop * (0.75 + 0.5 * drawn), min=0.0)
        return torch.where(is_on, lower, p.speed)

    def driven(self, state: State) -> Tensor:
        """What human drivers do, m/s2. Shapes: -> [B, n]."""
        wanted: Tensor = idm(DRIVER, state["gap"], state["closing"], state["speed"])
        if not self.params.ring:
            wanted[:, 0] = cruise(self.wanted_speed(state), state["speed"][:, 0])
        return wanted

    def moved(self, state: State, target: Tensor) -> Moved:
        """A step of motion."""
        return move(self.body, state, target, self.dt)

    def counted(self, state: State, moved: Moved) -> State:
        """The sums of the outcome after a step."""
        length = self.body.ring or moved.place[:, 0] - moved.place[:, self.last]
        return outcome.counted(state, moved, length, state["step"] >= self.first, self.dt)

    def rewarded(self, state: State, moved: Moved, sums: State) -> Tensor:
        """What the step is worth to each. Shapes: -> [B, n, 3]."""
        goal = self.params.standstill + self.params.headway * moved.speed
        return outcome.rewards(sums, moved, goal, state["hit"], self.dt)

    def squares_ahead(self, state: State) -> Tensor:
        """The squares of who was ahead of each. Shapes: -> [B, n]."""
        return torch.roll(state["squares"], 1, 1)

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        brake = -self.params.brake
        asked = self.joint({name: action[..., 0] for name, action in actions.items()})
        is_there = self.joint(present)
        if not bool(is_there.all()):
            asked = torch.where(is_there, asked, self.driven(state))
        wanted = asked.masked_fill(state["braking"], brake)
        pending = torch.cat((state["pending"], wanted[..., None]), -1)
        target = pending[..., 0].masked_fill(state["wreck"], brake)
        moved = self.moved(state, target)
        told = torch.stack((moved.gap, moved.closing), -1)
        sums = self.counted(state, moved)
        reward = self.rewarded(state, moved, sums)
        changes = {
            "place": moved.place, "speed": moved.speed, "acceleration": moved.acceleration,
            "gap": moved.gap, "closing": moved.closing,
            "pending": pending[..., 1:],
            "radar": torch.cat((state["radar"][..., 1:], told[..., None]), -1),
            "wreck": state["wreck"] | moved.touched | moved.struck,
            "earned": state["earned"] + reward,
            "step": state["step"] + 1,
            **sums,
        }  # fmt: skip
        if not self.params.ring:
            reward[:, 0].zero_()
        return {**state, **changes}, self.by_group(reward)

    def observe(self, state: State) -> dict[str, Tensor]:
        p, radar = self.params, state["radar"][..., 0]
        own = (state["speed"], state["acceleration"], state["place"], state["braking"].double())
        is_seen = radar[..., 0] <= p.radar_range
        # Only at decisions is anything made of it, and drawing is half of what observing costs.
        is_due = state["step"] % self.every == 0
        if p.radar_noise and bool(is_due.any()):
            noise = normals(state["key"], state["step"], 2 * self.agents, _RADAR)
            noise = noise * (p.radar_noise * is_due[:, None])
            radar = radar + noise.unflatten(1, (2, self.agents)).transpose(1, 2)
        gap, closing = radar[..., 0].clamp(0.0, p.radar_range), radar[..., 1]
        gap, closing = gap.where(is_seen, p.radar_range), closing.where(is_seen, 0.0)
        known = self.known.to(own[0].device).expand(*gap.shape, -1)
        every = torch.cat((torch.stack((*own, gap, closing, is_seen.double()), -1), known), -1)
        if p.ring:
            return {"vehicle": every}
        wish = self.wanted_speed(state)[:, None, None]
        leader = torch.cat((every[:, :1, : len(own)], wish), -1)
        return {"leader": leader, "vehicle": every[:, 1:]}

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        braking = state["braking"].clone()
        braking[:, target_of(self.events, event, target)] = is_on
        return {**state, "braking": braking}

    def metrics(self, state: State) -> dict[str, Metric]:
        seconds = int(state["step"][0]) * self.dt
        earned = state["earned"][0, (0 if self.params.ring else 1) :].sum(-1)
        value = outcome.mean_reward(earned, seconds)
        told = "per follower: gaps kept, comfort, safety"
        reward = Metric(value, "per s", "higher", True, told)
        ahead = self.squares_ahead(state)[0]
        return {"reward": reward, **outcome.metrics(self.body, state, ahead, self.last, seconds)}

    def positions(self, state: State) -> dict[str, Tensor]:
        """Along the road, or on the circle. Shapes: -> [B, 2] each. Units: m."""
        place = state["place"]
        x, y = place, torch.zeros_like(place)
        if self.params.ring:
            radius, angle = self.params.ring / (2 * pi), place * (2 * pi / self.params.ring)
            x, y = radius * torch.cos(angle), radius * torch.sin(angle)
        at = torch.stack((x, y), -1)
        return {name: at[:, i] for i, name in enumerate(self.names)}

    def scene(self, state: State) -> dict[str, Any]:
        return draw(self.params, self.names, state, int(state["step"][0]) * self.dt)


def make(params: Mapping[str, Any]) -> Vehicles:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    from sim.worlds.vehicles.guests import Guests

    p = parse(Params, params, "vehicles")
    return Guests(p) if p.guests else Vehicles(p)


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """See `reference`, which imports this module."""
    from sim.worlds.vehicles.reference import reference as found

    return found(params, seed, duration_ns)
