"""A motorway: vehicles come and go, overtake, merge from a ramp, break down, make way.

Each slot is one vehicle's in an episode: it waits until it is due, enters where there is room,
drives, and leaves at the end of the road for good. The physics step is 20 ms, decisions are due
every 100 ms; an acceleration counts from the next step on, late and lagged by the actuators, and a
change of lane is carried out in the next step in which the lane can be entered. Nobody at the wheel
(no process, no action for half a second) means a human driver, IDM and MOBIL without any delay.
Driving: `laws`. Lanes and motion: `lanes`. Demand: `flow`. Metrics: `outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch

from sim.units import SECOND
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors, maker
from sim.worlds.motorway import flow, outcome
from sim.worlds.motorway.lanes import PARKED, change, drive, neighbours
from sim.worlds.motorway.laws import EMPTY_M, Manners, follow, mobil, stop
from sim.worlds.motorway.params import TTL_NS, Params, body, spaces
from sim.worlds.motorway.scene import draw
from sim.worlds.noise import normals
from sim.worlds.vehicles.motion import FREE_M
from sim.worlds.vehicles.params import duration, steps
from sim.worlds.world import Metric, PhysicalEvent, State, target_of

RULES: Final = {
    "vehicle": "agents.behaviours.motorway:Cooperative",
    "ramp": "agents.behaviours.motorway:Entrant",
    "emergency": "agents.behaviours.motorway:Siren",
}
ROLES: Final = {
    "vehicle": "agents.behaviours.motorway_roles:Nudge",
    "ramp": "agents.behaviours.motorway_roles:Nudge",
}
LANE_M: Final = 3.5
"""Between the middles of two lanes."""
_SENSOR = 0
Tensor = torch.Tensor


class Motorway(Classic[Params]):
    """The BatchWorld.

    Shapes: place, speed, acceleration, gap, closing, due, wish, door float64 [B, n]; lane, home,
            settling int64 [B, n], lane PARKED for who is not on the road, settling the steps until
            the next change; gone, wreck, broken bool [B, n]; closed bool [B, lanes]; pending
            [B, n, delay]; seen, place, speed and lane as they were, oldest first
            [B, n, 3, latency + 1]; sums of the outcome, see `outcome`.
    """

    reward_components = ("progress", "comfort", "safety")

    def __init__(self, p: Params) -> None:
        self.body = body(p)
        self.delay, self.latency = steps(p, "delay"), steps(p, "latency")
        self.settling, self.decide = steps(p, "settling", 1), steps(p, "decide", 1)
        self.called = duration(p, "called") / SECOND
        self.manners = Manners(p.politeness, p.safe, p.threshold, p.right)
        self.barrier = p.ends if p.ramps else None
        self.span = p.length + 2 * FREE_M
        sees, acts = spaces(p)
        counts = {"vehicle": p.vehicles, "ramp": p.ramps, "emergency": p.emergencies}
        groups = {
            name: (count, sees.fields, acts.fields) for name, count in counts.items() if count
        }
        super().__init__("motorway", p, groups)
        every = self.decide * self.dt_ns
        self.groups = tuple(
            replace(group, every_ns=every, hold="last", ttl_ns=max(TTL_NS, every), must_act=False)
            for group in self.groups
        )
        self.dt = self.dt_ns / SECOND
        self.names = tuple(name for group in self.groups for name in group.agents)
        lanes = tuple(f"lane-{k}" for k in range(1, p.lanes + 1))
        told = "who next passes the scene in that lane breaks down there, until it is lifted"
        self.events = (PhysicalEvent("accident", lanes, told),)

    def start(self, state: State) -> State:
        p, key = self.params, state["key"]
        arrive = flow.arrivals(p, self.called, key)
        placed = flow.first_placed(p, arrive)
        none = torch.zeros_like(placed["speed"])
        beside = neighbours(self.body.length, placed["place"], placed["speed"], placed["lane"])
        seen = torch.stack((placed["place"], placed["speed"], placed["lane"].double()), -1)
        return {
            **arrive, **placed, "acceleration": none,
            "gap": beside.ahead[1], "closing": beside.ahead_closing[1],
            "settling": torch.zeros_like(placed["lane"]),
            "pending": none[..., None].expand(-1, -1, self.delay),
            "seen": seen[..., None].expand(-1, -1, -1, self.latency + 1),
            "wreck": none.bool(), "broken": none.bool(),
            "closed": none.bool()[:, :1].expand(-1, p.lanes),
            **outcome.began(p, none),
        }  # fmt: skip

    def alive(self, state: State) -> dict[str, Tensor]:
        """Who is on the road and no wreck: only those decide. Shapes: -> bool [B, n] per group."""
        return self.by_group((state["lane"] != PARKED) & ~state["wreck"])

    def may(self, state: State) -> tuple[Tensor, Tensor]:
        """Who may change to the right and to the left, as far as lanes go. Shapes: -> [B, n]."""
        p, lane, place = self.params, state["lane"], state["place"]
        is_free = (state["settling"] == 0) & ~state["wreck"] & ~state["broken"]
        joins = (lane == 0) & (place >= p.opens)
        return is_free & (lane > 1), is_free & (((lane > 0) & (lane < p.lanes)) | joins)

    def people(self, state: State, may: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What human drivers do: m/s2, and the change of lane. Shapes: -> [B, n] each."""
        lane, speed, wish = state["lane"], state["speed"], state["wish"]
        gap, closing, room = state["gap"], state["closing"], self.params.ends - state["place"]
        must = lane == 0
        is_end = must & (gap > room - 1e-6)
        gap, closing = torch.where(is_end, EMPTY_M, gap), torch.where(is_end, 0.0, closing)
        end = torch.where(must, stop(speed, room), torch.inf)
        pedal = torch.minimum(follow(wish, gap, closing, speed), end)
        is_time = state["step"] % self.decide == 0
        if not bool(is_time.any()):
            return pedal, torch.zeros_like(pedal)
        size = self.body.length
        lanes = neighbours(size, state["place"], speed, lane)
        side = mobil(self.manners, wish, speed, size, lanes, may, must)
        return pedal, torch.where(is_time[:, None], side, 0.0)

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        p, brake = self.params, -self.params.brake
        state = flow.leave(p, state)
        may, is_on = self.may(state), state["lane"] != PARKED
        asked, is_led = self.joint(actions), self.joint(present)
        wanted, side = asked[..., 0], torch.round(asked[..., 1])
        if bool((is_on & ~is_led).any()):
            pedal, turn = self.people(state, may)
            wanted, side = torch.where(is_led, wanted, pedal), torch.where(is_led, side, turn)
        lane, changed, scraped = change(self.body.length, p.lanes, state, side * is_on, may)
        pending = torch.cat((state["pending"], (wanted * is_on)[..., None]), -1)
        target = torch.where(state["wreck"] | state["broken"], brake, pending[..., 0])
        lane, speed = flow.enter(p, state, lane, state["step"] * self.dt)
        driven = drive(
            self.body, p.lanes, self.span, self.barrier, {**state, "lane": lane, "speed": speed},
            target, self.dt,
        )  # fmt: skip
        now = (state["step"] + 1) * self.dt
        sums, rewards = outcome.counted(p, {**state, "lane": lane}, driven, scraped, now, self.dt)
        tried = changed | scraped
        settling = torch.where(tried, self.settling, torch.clamp(state["settling"] - 1, min=0))
        told = torch.stack((driven.place, driven.speed, lane.double()), -1)
        changes = {
            "lane": lane, "place": driven.place, "speed": driven.speed,
            "acceleration": driven.acceleration, "gap": driven.gap, "closing": driven.closing,
            "settling": settling, "pending": pending[..., 1:],
            "seen": torch.cat((state["seen"][..., 1:], told[..., None]), -1),
            "wreck": state["wreck"] | driven.touched | driven.struck,
            "broken": state["broken"] | self.breaks(state, lane, driven.place),
            "changes": state["changes"] + changed.sum(1),
            "step": state["step"] + 1,
            **sums,
        }  # fmt: skip
        return {**state, **changes}, self.by_group(rewards)

    def breaks(self, state: State, lane: Tensor, place: Tensor) -> Tensor:
        """Who passes the scene in a lane that is to be closed, and stays. Shapes: -> [B, n]."""
        closed = state["closed"]
        if not bool(closed.any()):
            return torch.zeros_like(state["broken"])
        passes = (state["place"] < self.params.scene) & (place >= self.params.scene)
        passes[:, self.params.vehicles + self.params.ramps :] = False
        number = torch.arange(1, self.params.lanes + 1, device=lane.device)
        inside = lane[..., None] == number
        is_taken = (inside & state["broken"][..., None]).any(1)
        is_open = (inside & (closed & ~is_taken)[:, None, :]).any(-1)
        found: Tensor = passes & is_open
        return found

    def observe(self, state: State) -> dict[str, Tensor]:
        p, lane, place = self.params, state["lane"], state["place"]
        is_on = lane != PARKED
        may = self.may(state)
        on_ramp = lane == 0
        own = (
            is_on, torch.zeros_like(is_on), place, lane, state["speed"], state["acceleration"],
            state["wish"], may[0], may[1],
            on_ramp * torch.clamp(p.opens - place, min=0.0), on_ramp * (p.ends - place),
        )  # fmt: skip
        where, fast, which = state["seen"][..., 0].unbind(-1)
        lanes = neighbours(self.body.length, where, fast, which.long())
        is_seen = torch.stack((lanes.ahead, lanes.behind)).repeat_interleave(2, 0) < p.sight
        seen = torch.stack((lanes.ahead, lanes.ahead_closing, lanes.behind, lanes.behind_closing))
        if p.noise:
            drawn = normals(state["key"], state["step"], self.agents * 12, _SENSOR)
            seen = seen + p.noise * drawn.reshape(len(drawn), -1, 3, 4).permute(3, 2, 0, 1)
        blank = torch.tensor([p.sight, 0.0, p.sight, 0.0], dtype=seen.dtype).to(seen.device)
        seen = torch.where(is_seen, seen, blank[:, None, None, None]).permute(2, 3, 1, 0).flatten(2)
        every = torch.cat((torch.stack([x.double() for x in own], -1), seen), -1)
        every = torch.where(is_on[..., None], every, 0.0)
        every[..., 1] = state["gone"].double()
        return self.by_group(every)

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        number = target_of(self.events, event, target)
        closed, broken = state["closed"].clone(), state["broken"]
        closed[:, number] = is_on
        if not is_on:
            broken = broken & (state["lane"] != number + 1)
        return {**state, "closed": closed, "broken": broken}

    def metrics(self, state: State) -> dict[str, Metric]:
        return outcome.metrics(self.params, state, int(state["step"][0]) * self.dt)

    def positions(self, state: State) -> dict[str, Tensor]:
        """Along the road and across it; who is not on it is out of reach. Shapes: -> [B, 2] each.
        Units: m."""
        place, is_on = state["place"], state["lane"] != PARKED
        away = 1e9 * torch.arange(1, self.agents + 1, dtype=place.dtype, device=place.device)
        x = torch.where(is_on, place, away)
        at = torch.stack((x, LANE_M * state["lane"].double()), -1)
        return dict(zip(self.names, at.unbind(1), strict=True))

    def scene(self, state: State) -> dict[str, Any]:
        return draw(self.params, self.names, state, int(state["step"][0]) * self.dt)


make = maker(Motorway, Params, "motorway")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """`free`: everybody comes when it is due and drives at its own wish, with nobody in the way. A
    bound on delays and response time. Energy is that of constant speed."""
    world = make(params)
    return {"free": outcome.free(world.params, world.reset([(seed, 0)]), duration_ns / SECOND)}
