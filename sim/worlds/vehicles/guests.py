"""Guests of a platoon: they appear beside it, want to be in it for a while, and leave it again.

A guest is a slot of the group `vehicle`, after those that are in the file from the beginning. At
its time it drives beside one of them, drawn by the seed, and wishes to be in the file; after `stay`
it wishes to be out, and some seconds after it is, it is gone. It changes lanes when it says so, at
once, unless somebody is where it would be (`blocked`). What the two lanes agree on before, they
agree on by message.

Lanes are laid end to end, FAR_M apart, so that they are one file, and the motion is that of
`motion`; who is not there has a lane to itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import torch

from sim.worlds.classics.common import Stepped, Tensors
from sim.worlds.noise import uniforms
from sim.worlds.vehicles.laws import cruise
from sim.worlds.vehicles.motion import FREE_M, Moved, ahead, move
from sim.worlds.vehicles.params import Params, steps
from sim.worlds.vehicles.world import Vehicles
from sim.worlds.world import Metric, State

FAR_M: Final = 1e6
"""m from one lane to the next: nobody drives so far in a run."""
GONE_S: Final = 5.0
"""After so long out of the file a guest is gone."""
FILE, BESIDE, AWAY = range(3)
_BESIDE_WHOM = 2
Tensor = torch.Tensor


class Guests(Vehicles):
    """The BatchWorld. Shapes, beside those of `Vehicles`: lane int64 [B, n], AWAY + i of those that
    are not there; out int64 [B, n], steps out of the file since it was wished; joined, left int64
    [B, n], the step it happened in, -1 if it has not; blocked [B]."""

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.founders = 1 + p.vehicles
        self.enter, self.apart = steps(p, "enter"), steps(p, "enter_every", 1)
        self.stay, self.gone = steps(p, "stay", 1), round(GONE_S / self.dt)

    def start(self, state: State) -> State:
        begun = super().start(state)
        number, _ = self.guests(state)
        is_guest, none = number >= 0, torch.zeros_like(begun["place"], dtype=torch.int64)
        begun |= {
            "lane": torch.where(is_guest, AWAY + number, FILE) + none,
            "squares_ahead": torch.zeros_like(begun["place"]),
            "out": none, "joined": none - 1, "left": none - 1,
            "blocked": torch.zeros_like(begun["place"][:, 0]),
            "place": torch.where(is_guest, 0.0, begun["place"]),
            "speed": torch.where(is_guest, 0.0, begun["speed"]),
        }  # fmt: skip
        return self.looked({**state, **begun})

    def guests(self, state: State) -> tuple[Tensor, Tensor]:
        """Numbers of the guests from 0 on, below 0 for others, and the steps at which they appear.
        Shapes: -> int64 [n] each."""
        number = torch.arange(self.agents, device=state["key"].device) - self.founders
        return number, self.enter + number * self.apart

    def alive(self, state: State) -> dict[str, Tensor]:
        """Who is there, and no wreck. Shapes: per group bool [B, n]."""
        return self.by_group((state["lane"] < AWAY) & ~state["wreck"])

    def wish(self, state: State) -> Tensor:
        """Who wishes to be in the file. Shapes: -> bool [B, n]."""
        step = state["step"][:, None]
        number, enters = self.guests(state)
        wishes: Tensor = (number < 0) | ((step >= enters) & (step < enters + self.stay))
        return wishes

    def in_file(self, state: State) -> Tensor:
        is_in: Tensor = state["lane"] == FILE
        return is_in

    def looked(self, state: State) -> State:
        """The state with the gaps of its places and lanes."""
        _, order = self.laid(state)
        place, speed = (state[name].gather(1, order) for name in ("place", "speed"))
        lane = state["lane"].gather(1, order)
        gap, closing = ahead(self.body, place - FAR_M * lane, speed)
        gap, closing = _near(gap, closing)
        back = order.argsort(1)
        return {**state, "gap": gap.gather(1, back), "closing": closing.gather(1, back)}

    def laid(self, state: State) -> tuple[Tensor, Tensor]:
        """Places with the lanes laid end to end, and who is where from the foremost on: [B, n]."""
        place = state["place"] - FAR_M * state["lane"]
        return place, torch.argsort(-place, dim=1, stable=True)

    def moved(self, state: State, target: Tensor) -> Moved:
        place, order = self.laid(state)
        back = order.argsort(1)
        target = torch.where(state["lane"] < AWAY, target, 0.0)
        names = ("speed", "acceleration", "gap", "closing")
        file = {"place": place, **{name: state[name] for name in names}}
        file = {name: value.gather(1, order) for name, value in file.items()}
        found = move(self.body, file, target.gather(1, order), self.dt)
        gap, closing = _near(found.gap, found.closing)
        parts = (
            found.place, found.speed, found.acceleration, gap, closing, found.way, found.touched,
            found.impact, found.struck,
        )  # fmt: skip
        at, *rest = (part.gather(1, back) for part in parts)
        return Moved(at + FAR_M * state["lane"], *rest)

    def counted(self, state: State, moved: Moved) -> State:
        """Of those in the file, and with the squares of who is ahead of each."""
        is_in = self.in_file(state)
        driven = replace(
            moved, speed=moved.speed * is_in, acceleration=moved.acceleration * is_in,
            way=moved.way * is_in,
        )  # fmt: skip
        sums = super().counted(state, driven)
        _, order = self.laid({**state, "place": moved.place})
        more = (sums["squares"] - state["squares"]).gather(1, order)
        more = torch.roll(more, 1, 1).gather(1, order.argsort(1)) * is_in
        return {**sums, "squares_ahead": state["squares_ahead"] + more}

    def rewarded(self, state: State, moved: Moved, sums: State) -> Tensor:
        return super().rewarded(state, moved, sums) * self.in_file(state)[..., None]

    def squares_ahead(self, state: State) -> Tensor:
        ahead: Tensor = state["squares_ahead"]
        return ahead

    def driven(self, state: State) -> Tensor:
        """Beside the file a human driver keeps the speed of the road."""
        wanted = super().driven(state)
        calm = torch.minimum(wanted, cruise(self.params.speed, state["speed"]))
        return torch.where(self.in_file(state), wanted, calm)

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        state = self.entered(state)
        state = self.changed(state, self.joint_lane(actions), self.joint(present))
        return super().advance(self.looked(state), actions, present)

    def joint_lane(self, actions: Tensors) -> Tensor:
        """The lane that each asks for. Shapes: -> int64 [B, n]."""
        asked = actions["vehicle"][..., 1].round().long().clamp(FILE, BESIDE)
        return torch.cat((torch.zeros_like(asked[:, :1]), asked), 1)

    def entered(self, state: State) -> State:
        """Who enters, beside whom it is to; and without who has been out for long."""
        p, step = self.params, state["step"][:, None]
        number, enters = self.guests(state)
        is_new = (number >= 0) & (step == enters)
        zero = torch.zeros_like(state["step"])
        drawn = uniforms(state["key"], zero, 1, _BESIDE_WHOM)
        whom = 1 + (torch.floor(drawn * p.vehicles).long() + number.clamp(min=0)) % p.vehicles
        lane = torch.where(is_new, BESIDE, state["lane"])
        is_out = (lane == BESIDE) & ~is_new & ~self.wish(state)
        out = torch.where(is_out, state["out"] + 1, 0)
        is_gone = out > self.gone
        changes = {
            "lane": torch.where(is_gone, AWAY + number, lane),
            "out": torch.where(is_gone, 0, out),
            "place": torch.where(is_new, state["place"].gather(1, whom), state["place"]),
            "speed": torch.where(is_new, state["speed"].gather(1, whom), state["speed"]),
        }
        changes["speed"] = torch.where(is_gone, 0.0, changes["speed"])
        changes["acceleration"] = torch.where(is_gone, 0.0, state["acceleration"])
        return {**state, **changes}

    def changed(self, state: State, asked: Tensor, present: Tensor) -> State:
        """With lanes changed as is asked, where there is room. Shapes: [B, n] each."""
        lane, place, step = state["lane"], state["place"], state["step"][:, None]
        is_guest = self.guests(state)[0] >= 0
        wants = is_guest & (lane < AWAY) & present & (asked != lane) & ~state["wreck"]
        near = (place[:, :, None] - place[:, None, :]).abs() < self.params.length
        is_taken = (near & (lane[:, None, :] == asked[:, :, None])).any(2)
        goes = wants & ~is_taken
        into = goes & (asked == FILE)
        return {
            **state,
            "lane": torch.where(goes, asked, lane),
            "joined": torch.where(into & (state["joined"] < 0), step, state["joined"]),
            "left": torch.where(goes & ~into, step, state["left"]),
            "blocked": state["blocked"] + (wants & is_taken).sum(1) * self.dt,
        }

    def observe(self, state: State) -> dict[str, Tensor]:
        seen = super().observe(state)
        lane, wish = state["lane"][:, 1:, None], self.wish(state)[:, 1:, None]
        told = torch.cat((seen["vehicle"], (lane == BESIDE).double(), wish.double()), -1)
        return {**seen, "vehicle": torch.where(lane < AWAY, told, 0.0)}

    def positions(self, state: State) -> dict[str, Tensor]:
        """The lanes are 4 m apart; who is not there is far away."""
        at = super().positions(state)
        return {
            name: torch.stack((xy[:, 0], 4.0 * state["lane"][:, i].clamp(max=BESIDE)), -1)
            - (state["lane"][:, i, None] >= AWAY) * FAR_M
            for i, (name, xy) in enumerate(at.items())
        }

    def metrics(self, state: State) -> dict[str, Metric]:
        joined, left = state["joined"][0], state["left"][0]
        has = joined >= 0
        waited = (joined - self.guests(state)[1])[has].double() * self.dt
        mean = float(waited.mean()) if bool(has.any()) else 0.0
        return {
            **super().metrics(state),
            "joined": Metric(float(has.sum()), "", "higher", False, "guests that came in"),
            "left": Metric(float((left >= 0).sum()), "", "higher", False, "guests that went out"),
            "join_time": Metric(mean, "s", "lower", False, "from appearing to being in the file"),
            "blocked": Metric(
                float(state["blocked"][0]), "s", "lower", False, "lane changes that had no room"
            ),
        }

    def scene(self, state: State) -> dict[str, Any]:
        """As of `Vehicles`, with those that are there, and the lane of each: 0 is the file's."""
        drawn, lanes = super().scene(state), state["lane"][0].tolist()
        here = [
            {**vehicle, "lane": lane}
            for vehicle, lane in zip(drawn["vehicles"], lanes, strict=True)
            if lane < AWAY
        ]
        here.sort(key=lambda vehicle: -vehicle["place"])
        return {**drawn, "title": f"{len(here)} vehicles", "vehicles": here}


def _near(gap: Tensor, closing: Tensor) -> tuple[Tensor, Tensor]:
    """Nobody is ahead in a lane where the next one is in another."""
    is_free = gap >= FREE_M
    return torch.where(is_free, FREE_M, gap), torch.where(is_free, 0.0, closing)
