"""Junctions of city streets: vehicles, signals or reservations, and what they cost in time.

Vehicles come at the edge, follow each other (IDM), turn by lot and leave. Who may cross is told by
signals, whose phases agents choose, or by the vehicles of a junction without any, which cross when
they think that they may. A signal without an agent keeps a fixed plan, by the clock; a vehicle
without one stops at the line and goes in its turn (all-way stop). Nobody ever enters the box
against somebody in it (`crossing`): a vehicle that wanted to has to stop, and it counts as a near
miss. Turning does not slow anybody down, and lanes do not part: who wants to turn waits in line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from sim.units import SECOND
from sim.worlds.classics.common import Classic, Stepped, Tensors
from sim.worlds.classics.fields import chosen
from sim.worlds.junctions import demand, outcome, signals
from sim.worlds.junctions.crossing import asked, held, is_free, turned
from sim.worlds.junctions.lanes import files, of, put
from sim.worlds.junctions.layout import layout, neighbours, on_device
from sim.worlds.junctions.motion import moved
from sim.worlds.junctions.params import (
    GO,
    LENGTH_M,
    STOP,
    WAIT,
    Params,
    checked,
    every_ns,
    manager_space,
    signal_space,
    slots,
    ttl_ns,
    vehicle_space,
)
from sim.worlds.junctions.scene import draw
from sim.worlds.world import Metric, State

Tensor = torch.Tensor


class Junctions(Classic[Params]):
    """The BatchWorld.

    Shapes: of vehicles [B, n]: lane, movement, serial int64; place, speed, acceleration, rested
            (s at the line), waited (s), worth float64; committed, must_stop, stands, near bool.
            Of signals int64 [B, J]: see `signals`. waiting int64 [B, E] before the edge. Sums
            int64 [B]: see `outcome`.
    """

    reward_components = ("delay", "safety")

    def __init__(self, p: Params) -> None:
        checked(p)
        self.at = layout(p.rows, p.columns, p.box)
        self.has_signals = p.control == "signals"
        if self.has_signals:
            sees, acts = signal_space(p)
            groups: dict[str, Any] = {"signal": (self.at.junctions, sees.fields, acts.fields)}
        else:
            sees, acts = vehicle_space(p)
            groups = {
                "manager": (["manager"], manager_space().fields, ()),
                "vehicle": (slots(p, self.at.lanes), sees.fields, acts.fields),
            }
        super().__init__("junctions", p, groups)
        self.groups = tuple(
            replace(
                group, every_ns=every_ns(p), hold="last", ttl_ns=ttl_ns(p),
                must_act=bool(group.action.size),
            )
            for group in self.groups
        )  # fmt: skip
        self.dt = self.dt_ns / SECOND
        self.slots = slots(p, self.at.lanes)
        self.plan, self.demand = signals.plan(p), demand.demand(p, self.at)
        sides = neighbours(p.rows, p.columns)
        self.sides = torch.tensor(sides, dtype=torch.float64)
        names = self.groups[0].agents
        pairs = [(j, other) for j, others in enumerate(sides) for other in others if other > j]
        self.edges = [(names[j], names[other]) for j, other in pairs]

    def move(self, device: torch.device) -> None:
        """Brings what stays the same to where it is needed, once."""
        if self.sides.device != device:
            self.at, self.plan = on_device(self.at, device), on_device(self.plan, device)
            self.demand, self.sides = on_device(self.demand, device), self.sides.to(device)

    def start(self, state: State) -> State:
        key = state["key"]
        zero = torch.zeros(len(key), self.slots, dtype=torch.float64, device=key.device)
        none = zero.long()
        return {
            "lane": none + self.at.lanes, "movement": none, "serial": none,
            "place": zero, "speed": zero, "acceleration": zero, "rested": zero, "waited": zero,
            "worth": zero + 1, "committed": none.bool(), "must_stop": none.bool(),
            "stands": none.bool(), "near": none.bool(),
            "waiting": none[:, :1].repeat(1, len(self.at.entries)),
            **signals.began(key, self.at.junctions), **outcome.began(key),
        }  # fmt: skip

    def right_of_way(self, state: State, actions: Tensors, present: Tensors) -> Tensor:
        """WAIT, GO or STOP of each vehicle. Shapes: -> int64 [B, n]."""
        if self.has_signals:
            green = signals.shown(self.plan, state).flatten(1).long() * GO
            beyond = torch.zeros_like(state["waiting"][:, :1]).expand(
                -1, self.at.lanes + 1 - self.at.inner
            )
            return torch.cat((green, beyond), 1).gather(1, state["lane"])
        wish = chosen(actions["vehicle"][..., 0], 3)
        wish = torch.where(present["vehicle"], wish, STOP)
        return torch.where(state["must_stop"] & (wish == GO), STOP, wish)

    def switched(self, state: State, actions: Tensors, present: Tensors) -> State:
        """The signals, as their agents or the fixed plan have them."""
        if not self.has_signals:
            return {}
        wanted = chosen(actions["signal"][..., 0], len(self.plan.shows))
        planned = signals.planned(self.plan, state["step"])
        return signals.advanced(self.plan, state, torch.where(present["signal"], wanted, planned))

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        self.move(state["key"].device)
        p, at = self.params, self.at
        state = {**state, **self.switched(state, actions, present)}
        there = state["lane"] < at.lanes
        found = files(at, p.road, state)
        right = self.right_of_way(state, actions, present)
        ask = asked(at, p.road, state, found, right)
        goes = ask.ready & ~ask.refused
        clash = ask.conflict & (of(right, ask.who, WAIT) == GO)
        if self.has_signals:
            clash = torch.zeros_like(clash)
        committed = put(state["committed"], torch.where(goes, ask.who, self.slots), goes)
        must_stop = put(state["must_stop"], torch.where(clash, ask.who, self.slots), clash)
        barred = put(right != GO, torch.where(ask.refused, ask.who, self.slots), ask.refused)
        barred = (barred | must_stop) & ~committed & (state["lane"] < at.inner)
        state = {**state, "committed": committed, "must_stop": must_stop}
        after = {**state, **moved(p.road, state, found, there, barred, self.dt)}
        after = {**after, **outcome.counted(after, there, found.gap, found.ahead, self.dt)}
        after["conflicts"] = after["conflicts"] + clash.sum(1)
        after = {**after, **self.passed(after)}
        comes = demand.came(self.demand, state)
        after["waiting"], after["came"] = after["waiting"] + comes, after["came"] + comes.sum(1)
        last = {**after, **demand.entered(p, at, after)}
        last["step"] = state["step"] + 1
        return last, self.rewarded(state, after, clash, ask.who)

    def passed(self, state: State) -> State:
        """Who has left the box is on the next lane, and who has come to its end is gone."""
        p, at = self.params, self.at
        lane, place, movement = state["lane"], state["place"], state["movement"]
        past = p.road + at.path[movement]
        out = state["committed"] & (place - LENGTH_M >= past)
        gone = (lane >= at.inner) & (lane < at.lanes) & (place >= p.road)
        if not bool((out | gone).any()):
            return {}
        onto = torch.where(out, at.after[lane, movement], lane)
        return {
            "lane": torch.where(gone, at.lanes, onto),
            "place": torch.where(out, place - past, torch.where(gone, 0.0, place)),
            "speed": torch.where(gone, 0.0, state["speed"]),
            "movement": torch.where(out, demand.movements(p, state), movement),
            "committed": state["committed"] & ~out,
            "must_stop": state["must_stop"] & ~out,
            "rested": torch.where(out, 0.0, state["rested"]),
            "left": state["left"] + gone.sum(1),
        }

    def rewarded(self, state: State, after: State, clash: Tensor, who: Tensor) -> dict[str, Tensor]:
        """Per step: the delay, and 10 for a go-ahead into a box that was not free.

        A signal's delay is that of all on the lanes that lead to it, and before them.
        """
        lost = after["waited"] - state["waited"]
        if not self.has_signals:
            hurt = put(torch.zeros_like(lost), torch.where(clash, who, self.slots), clash)
            own = torch.stack((-lost * state["worth"], -10.0 * hurt), -1)
            return {"manager": torch.zeros_like(own[:, :1]), "vehicle": own}
        micro, step = torch.round(lost * 1e6).long(), round(self.dt * 1e6)
        lanes = torch.zeros(len(lost), self.at.lanes + 1, dtype=torch.int64, device=lost.device)
        lanes.scatter_add_(1, state["lane"], micro)
        lanes[:, self.at.entries] += state["waiting"] * step
        at = lanes[:, : self.at.inner].reshape(len(lost), -1, 4).sum(-1).double() / -1e6
        return {"signal": torch.stack((at, torch.zeros_like(at)), -1)}

    def observe(self, state: State) -> dict[str, Tensor]:
        self.move(state["key"].device)
        if self.has_signals:
            return {"signal": self._signals(state)}
        zones = held(self.at, self.params.road, state)
        k = torch.arange(4, dtype=torch.float64, device=zones.device)[:, None]
        owner = torch.where(turned(zones)[:, 0], k, -1.0).amax(1)
        return {"manager": owner[:, None], "vehicle": self._vehicles(state, zones)}

    def _signals(self, state: State) -> Tensor:
        p, at, batch = self.params, self.at, len(state["key"])
        before = (state["lane"] < at.inner) & ~state["committed"]
        slow = before & (state["speed"] < outcome.SLOW)
        shape = (batch, at.junctions, 4)
        counts = []
        for some in (slow, before & ~slow):
            lanes = torch.zeros(batch, at.lanes + 1, dtype=torch.int64, device=slow.device)
            lanes.scatter_add_(1, state["lane"], some.long())
            counts.append(lanes[:, : at.inner].reshape(shape).double())
        device = slow.device
        number = torch.arange(at.junctions, dtype=torch.float64, device=device)[:, None]
        phase = torch.arange(len(self.plan.shows), device=device) == state["phase"][..., None]
        green = (state["aspect"] == signals.GREEN)[..., None]
        since = state["since"][..., None].double() * self.dt
        shares = torch.tensor([1 - p.right - p.left, p.right, p.left], dtype=torch.float64)
        shares = shares.to(device)
        told = (
            number.expand(batch, -1, 1), self.sides.expand(shape), *counts, phase.double(),
            green.double(), since, shares.expand(batch, at.junctions, 3),
        )  # fmt: skip
        return torch.cat(told, -1)

    def _vehicles(self, state: State, zones: Tensor) -> Tensor:
        at, lane = self.at, state["lane"]
        left = self.params.road - state["place"]
        before = (lane < at.inner) & (left > -self.params.box)
        head = files(at, self.params.road, state).head[:, : at.inner]
        first = put(torch.zeros_like(left), head, torch.ones_like(head))
        there = (lane < at.lanes).double()
        told = (
            there, state["serial"].double(), torch.where(before, left, 0.0), state["speed"],
            torch.where(before, lane.double(), -1.0), state["movement"].double(), first,
            state["committed"].double(), is_free(at, state, zones).double(),
            state["waited"], state["worth"],
        )  # fmt: skip
        return torch.stack(told, -1)

    def metrics(self, state: State) -> dict[str, Metric]:
        seconds = int(state["step"][0]) * self.dt
        return outcome.metrics(state, len(self.at.entries), seconds)

    def scene(self, state: State) -> dict[str, Any]:
        return draw(self.params, self.at, self.plan, state, self.dt)
