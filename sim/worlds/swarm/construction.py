"""Construction: robots carry round blocks from a depot to the places of a plan.

Blocks have the radius `block`; the plan is their middles, two radii apart: a wall from south to
north through the middle of the ground, a ring about it, or places as given. A block is laid only
where it touches one that lies already, but for the first, which is the place farthest from the
depot; nobody may stand there, and then it is in everybody's way. It may have to be held there for a
time first, by one robot, for which others wait or go elsewhere. Robots see no farther than their
sight which places are taken, so that who has not heard of it carries its block about.
Reference `haul`: all blocks carried, each straight from the depot and back, and held, the work
divided evenly; nobody begins with a way to the depot or waits, and nothing is quicker.
Source of the idea: Werfel, Petersen and Nagpal, Designing collective behavior in a termite-inspired
robot construction team, 2014.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.errors import BoundError
from sim.ids import did_you_mean
from sim.spaces import Field
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import Positive
from sim.worlds.noise import ordered_sum
from sim.worlds.swarm import params, task
from sim.worlds.swarm.course import seconds_of
from sim.worlds.swarm.ground import on_ground
from sim.worlds.swarm.motion import norm
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
TOUCH: Final = 1.01
"""Of two radii: blocks that are no farther apart touch."""
PLANS: Final = ("wall", "ring")
APART: Final = 0.01
"""m between a block that is laid and the nearest robot, at least."""


class Params(params.Params, frozen=True):
    """plan: wall, ring, or [x, y] of each place. places: how many a wall or ring has. block: radius
    of a block, m. depot: [x, y], where there are blocks. reach: m, how far from a robot a block may
    be laid, and the depot to take one. setting: time for which a block must be held in its place
    before it lies; one robot at a time can."""

    plan: str | tuple[tuple[float, float], ...] = "ring"
    places: Annotated[int, Meta(ge=3, le=64)] = 20
    block: Positive = 0.5
    depot: tuple[float, float] = (3.0, 15.0)
    reach: Positive = 1.2
    setting: params.Duration = "0s"


class Task(task.Task[Params]):
    """Shapes: loaded bool [B, n], laid bool [B, m], worked float64 [B, m] s, for how long a block
    has been held there; hauled float64 [B] m, with blocks; half_built, all_built float64 [B] s, -1
    before it is so."""

    components = ("laid",)

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.plan = places(p)
        on_ground(p, "depot", p.depot)
        self.setting = seconds_of(p, "setting", can_be_zero=True)
        self.blocks = len(self.plan)
        apart = norm(self.plan[:, None] - self.plan[None])
        self.touches = (apart <= TOUCH * 2 * p.block) & (apart > 0)
        if bool(((apart < 2 * p.block / TOUCH) & (apart > 0)).any()):
            raise BoundError(f"world.plan: places are nearer than two radii of {p.block:g} m")
        self.first = int(norm(self.plan - torch.tensor(p.depot, dtype=torch.float64)).argmax())
        if not bool(_reached(self.touches, self.first).all()):
            raise BoundError("world.plan: every block must touch another, and all hang together")
        far, m = 2 * max(p.width, p.height), self.blocks
        self.sees = (
            Field("loaded", low=0.0, high=1.0, help="1: it carries a block"),
            Field("depot_x", "m", -far, far, help="seen from here"),
            Field("depot_y", "m", -far, far),
            Field("place_x", "m", -far, far, size=m, help="of the plan, seen from here"),
            Field("place_y", "m", -far, far, size=m),
            Field("place_seen", low=0.0, high=1.0, size=m, help="1: it is in sight"),
            Field("place_laid", low=0.0, high=1.0, size=m, help="1: a block is in sight"),
        )
        self.acts = (Field("grip", low=0.0, high=1.0, help="from 1/2 on: takes or lays one"),)

    def start(self, state: State) -> State:
        rows = len(state["key"])
        laid = torch.zeros(rows, self.blocks, dtype=torch.bool, device=state["key"].device)
        never = torch.full_like(state["share"], -1.0)
        return {
            "loaded": torch.zeros_like(state["broken"]), "laid": laid, "worked": laid.double(),
            "hauled": torch.zeros_like(never), "half_built": never, "all_built": never,
        }  # fmt: skip

    def may(self, laid: Tensor) -> Tensor:
        """Where a block may be laid. Shapes: bool [B, m] -> bool [B, m]."""
        holds = (laid[:, None] & self.touches.to(laid.device)).any(-1)
        holds[:, self.first] = True
        return holds & ~laid

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        p, position, loaded, laid = self.params, after["position"], before["loaded"], before["laid"]
        grips = (action[..., 0] >= 0.5) & is_driven
        plan = self.plan.to(position.device)
        apart = norm(plan - position[:, :, None])
        is_clear = (apart >= p.block + p.radius + APART).all(1)
        can = (self.may(laid) & is_clear)[:, None] & (apart <= p.reach)
        can = can & (grips & loaded)[..., None]
        works = _settled(torch.where(can, apart, torch.inf))
        worked = (before["worked"] + self.dt) * works.any(1)
        lays = works & (worked >= self.setting - self.dt / 2)[:, None]
        later = laid | lays.any(1)
        carried = loaded & ~lays.any(-1)
        depot = torch.tensor(p.depot, dtype=torch.float64, device=position.device)
        takes = grips & ~loaded & (norm(depot - position) <= p.reach)
        way = norm(position - before["position"]) * loaded
        body = torch.cat((plan, torch.full_like(plan[:, :1], p.block)), 1)
        obstacle = after["obstacle"].clone()
        own = obstacle[:, -self.blocks :]
        obstacle[:, -self.blocks :] = torch.where(later[..., None], body, own)
        share, seconds = later.double().mean(1), after["step"] * self.dt
        changes = {
            "laid": later, "loaded": carried | takes, "obstacle": obstacle, "worked": worked,
            "hauled": before["hauled"] + ordered_sum(way, 1),
        }  # fmt: skip
        for name, least in (("half_built", 0.5), ("all_built", 1.0)):
            is_now = (before[name] < 0) & (share >= least)
            changes[name] = torch.where(is_now, seconds, before[name])
        return changes, lays.double().sum(-1, keepdim=True)

    def observe(self, state: State) -> list[Tensor]:
        p, position = self.params, state["position"]
        looks = ~state["broken"] & ~state["blind"] & (state["charge"] > 0)
        depot = torch.tensor(p.depot, dtype=torch.float64, device=position.device)
        apart = self.plan.to(position.device) - position[:, :, None]
        sees = (norm(apart) <= p.sight) & looks[..., None]
        told = [state["loaded"][..., None].double(), depot - position, apart[..., 0], apart[..., 1]]
        return [*told, sees.double(), (sees & state["laid"][:, None]).double()]

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        half, whole = (float(state[f"{name}_built"][0]) for name in ("half", "all"))
        laid = float(state["laid"][0].sum())
        hauled = float(state["hauled"][0]) / max(laid, 1.0)
        return {
            "built": Metric(
                100 * float(state["laid"][0].double().mean()), "%", "higher", True, "of the plan"
            ),
            "half_built": Metric(
                seconds if half < 0 else half, "s", "lower", False, "until half of it was built"
            ),
            "makespan": Metric(
                seconds if whole < 0 else whole, "s", "lower", False, "until all of it was built"
            ),
            "haul": Metric(hauled, "m", "lower", False, "carried, per block that was laid"),
        }  # fmt: skip

    def scene(self, state: State) -> dict[str, Any]:
        laid = state["laid"][0].tolist()
        drawn = [
            {"at": at, "role": "goal"}
            for at, is_laid in zip(self.plan.tolist(), laid, strict=True)
            if not is_laid
        ]
        drawn.append({"at": list(self.params.depot), "role": "place"})
        carried = float(state["loaded"][0].sum())
        figures = {"built %": 100 * sum(laid) / len(laid), "carried": carried}
        return {"marks": drawn, "figures": figures}

    def terminated(self, state: State) -> Tensor:
        done: Tensor = state["laid"].all(1)
        return done


def places(p: Params) -> Tensor:
    """The plan. Shapes: -> [m, 2]. Units: m. Raises: BoundError if it is not on the ground."""
    if not isinstance(p.plan, str):
        at = torch.tensor(p.plan, dtype=torch.float64).reshape(-1, 2)
    elif p.plan not in PLANS:
        told = f"wall, ring or [[x, y], ...]; {did_you_mean(p.plan, PLANS)}"
        raise BoundError(f"world.plan: expected {told}, found {p.plan!r}")
    elif p.plan == "wall":
        y = (torch.arange(p.places, dtype=torch.float64) - (p.places - 1) / 2) * 2 * p.block
        at = torch.stack((torch.full_like(y, p.width / 2), y + p.height / 2), 1)
    else:
        radius = p.block / math.sin(math.pi / p.places)
        turns = [2 * math.pi * i / p.places for i in range(p.places)]
        middle = torch.tensor([p.width / 2, p.height / 2], dtype=torch.float64)
        circle = [[math.cos(turn), math.sin(turn)] for turn in turns]
        at = middle + radius * torch.tensor(circle, dtype=torch.float64)
    far = torch.tensor([p.width, p.height], dtype=torch.float64)
    if not len(at) or bool(((at < p.block) | (at > far - p.block)).any()):
        raise BoundError(
            f"world.plan: blocks of {p.block:g} m do not lie within {p.width:g} x {p.height:g} m"
        )
    return at


def _reached(touches: Tensor, first: int) -> Tensor:
    """Which places hang together with the first. Shapes: bool [m, m] -> bool [m]."""
    found = torch.arange(len(touches)) == first
    while True:
        more = found | touches[found].any(0)
        if torch.equal(more, found):
            return found
        found = more


def _settled(cost: Tensor) -> Tensor:
    """Who lays where: everybody at the place nearest to it, one at each, the nearest one.

    Shapes: [B, n, m], inf where it cannot -> bool [B, n, m].
    """
    m = cost.shape[2]
    numbers = torch.arange(m, device=cost.device)
    own = (cost.argmin(2)[..., None] == numbers) & torch.isfinite(cost)
    best = torch.where(own, cost, torch.inf)
    winner = best.argmin(1)[:, None] == torch.arange(cost.shape[1], device=cost.device)[:, None]
    return own & winner


def reference(params_: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """`haul`, see above."""
    p = parse(Params, params_, "swarm")
    way = norm(places(p) - torch.tensor(p.depot, dtype=torch.float64)) - 2 * p.reach
    ways = torch.sort(torch.clamp(way, min=0.0)).values
    # Nobody need come back from the last of its blocks, and the longest ways are left for that.
    held = seconds_of(p, "setting", can_be_zero=True)
    whole = float(2 * ways.sum() - ways[-p.robots :].sum()) / p.speed + held * len(ways)
    whole /= p.robots
    longest, seconds = float(ways[-1]) / p.speed + held, duration_ns / SECOND
    makespan = min(max(whole, longest), seconds)
    return {"haul": {"makespan": makespan}}
