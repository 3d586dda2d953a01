"""Allocation: who does which of some tasks, each worth less to a robot the farther it is.

    w_ij = r_j max(1 - d_ij / reach, 0)

In every round robots and tasks have new places in a unit square, and each robot states the tasks
that it sets out for; what it stated last counts at the round's end. A robot does `capacity` tasks
at most, and of more than that the ones worth most to it. A task pays the nearest of those who
claim it, who is there first; the others have come in vain.
Since a robot's tasks do not depend on each other, the best allocation is an assignment in which
every robot stands for `capacity` places, and can be had exactly. Taking the greatest of what is
left, again and again, has at least half of it.
Sources: Gerkey and Mataric, A Formal Analysis and Taxonomy of Task Allocation in Multi-Robot
Systems (2004); Crouse, On implementing 2D rectangular assignment algorithms (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sim.spaces import Field
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors, maker
from sim.worlds.classics.fields import Parameters, Positive, choice
from sim.worlds.noise import ordered_sum, row_keys, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {"robot": "agents.behaviours.tasks:Rule"}
HELP: Final = {
    "value": ("higher", "what is done, as a share of the central optimum"),
    "conflicts": ("lower", "share of the tasks that several robots set out for"),
    "unclaimed": ("lower", "share of the tasks that nobody sets out for"),
}
Tensor = torch.Tensor
Worth = NDArray[np.float64]
"""What each task is worth to each robot. Shape: [n, m]."""


class Params(Parameters, frozen=True):
    """agents: robots. tasks: in each round. capacity: tasks of a robot. round: steps of one. reach:
    from how far a task is worth nothing, in sides of the square."""

    agents: Annotated[int, Meta(ge=1, le=100)] = 8
    tasks: Annotated[int, Meta(ge=1, le=64)] = 16
    capacity: Annotated[int, Meta(ge=1, le=64)] = 2
    round: Annotated[int, Meta(ge=1)] = 10
    reach: Positive = 1.0
    dt: str | float = "1s"


class Allocation(Classic[Params]):
    """Shapes: worth, claim float64 [B, n, m]; of ended rounds their number, what was done, what
    could have been, and the sums of the outcome [B]."""

    def __init__(self, p: Params) -> None:
        sees = [
            Field("worth", low=0.0, high=1.0, size=p.tasks, help="of each task, to this robot"),
            Field("room", low=1.0, help="how many tasks a robot does"),
            Field("round", low=0.0, help="number of the round"),
        ]
        claim = Field("claim", low=0.0, high=1.0, size=p.tasks, help="1: sets out for the task")
        acts = [claim, choice("stated", 2, "1: the claims count, for the rest of the round")]
        super().__init__("allocation", p, {"robot": (p.agents, sees, acts)}, must_act=False)

    def start(self, state: State) -> State:
        worth, zero = worths(self.params, state["key"], state["step"]), state["return"]
        sums = dict.fromkeys(("rounds", "done", "best", "conflicts", "unclaimed"), zero)
        return {"worth": worth, "claim": torch.zeros_like(worth), **sums}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        said, p = actions["robot"], self.params
        is_said = (said[..., -1] >= 0.5) & present["robot"]
        claimed = (said[..., :-1] >= 0.5).to(torch.float64)
        claim = torch.where(is_said[..., None], claimed, state["claim"])
        step = state["step"] + 1
        ends = step % p.round == 0
        paid, conflicts, unclaimed = judged(state["worth"], claim, p.capacity)
        paid = torch.where(ends[:, None], paid, 0.0)
        changes: dict[str, Tensor] = {"claim": claim}
        if bool(ends.any()):
            anew = ends[:, None, None]
            changes = {
                "worth": torch.where(anew, worths(p, state["key"], step), state["worth"]),
                "claim": torch.where(anew, 0.0, claim),
                "rounds": state["rounds"] + ends,
                "done": state["done"] + ordered_sum(paid, 1),
                "best": state["best"] + ends * optima(state["worth"], p.capacity),
                "conflicts": state["conflicts"] + ends * conflicts,
                "unclaimed": state["unclaimed"] + ends * unclaimed,
            }
        return self.paid(state, changes, {"robot": paid})

    def observe(self, state: State) -> dict[str, Tensor]:
        worth = state["worth"]
        room = torch.full_like(worth[..., :1], float(self.params.capacity))
        number = (state["step"] // self.params.round).to(torch.float64)
        told = (worth, room, number[:, None, None].expand_as(room))
        return {"robot": torch.cat(told, -1)}

    def metrics(self, state: State) -> dict[str, Metric]:
        """Of the rounds that have ended; before the first has, as if it did now."""
        found = {name: float(state[name][0]) for name in ("done", "best", "conflicts", "unclaimed")}
        rounds = float(state["rounds"][0])
        if not rounds:
            capacity, worth = self.params.capacity, state["worth"][:1]
            paid, conflicts, unclaimed = judged(worth, state["claim"][:1], capacity)
            done, best = paid.sum(), optima(worth, capacity)
            rounds, now = 1.0, (done, best, conflicts, unclaimed)
            found = {name: float(each) for name, each in zip(found, now, strict=True)}
        values = {
            "value": found["done"] / found["best"] if found["best"] else 1.0,
            "conflicts": found["conflicts"] / rounds,
            "unclaimed": found["unclaimed"] / rounds,
        }
        return {
            name: Metric(values[name], "", better, name == "value", text)
            for name, (better, text) in HELP.items()
        }


make = maker(Allocation, Params, "allocation")


def worths(p: Params, key: Tensor, step: Tensor) -> Tensor:
    """What the tasks of the round of a step are worth; rewards are even in 0.2 ... 1.

    Shapes: [B], [B] -> [B, n, m].
    """
    number = step // p.round
    robots = uniforms(key, number, 2 * p.agents, 0).reshape(-1, p.agents, 1, 2)
    places = uniforms(key, number, 2 * p.tasks, 1).reshape(-1, 1, p.tasks, 2)
    rewards = 0.2 + 0.8 * uniforms(key, number, p.tasks, 2)
    way = robots - places
    distance = torch.sqrt(way[..., 0] * way[..., 0] + way[..., 1] * way[..., 1])
    return rewards[:, None, :] * torch.clamp(1.0 - distance / p.reach, min=0.0)


def judged(worth: Tensor, claim: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """What each robot is paid, and which share of the tasks several, or none, set out for.

    Shapes: worth, claim [B, n, m] -> [B, n], [B], [B].
    """
    wanted = torch.where(claim > 0, worth, -1.0)
    order = torch.argsort(wanted, dim=2, descending=True, stable=True)
    place = torch.argsort(order, dim=2, stable=True)
    bound = (claim > 0) & (place < capacity)
    offers = torch.where(bound, worth, -1.0)
    is_most = bound & (offers == offers.amax(1, keepdim=True))
    is_first = is_most & (torch.cumsum(is_most, 1) == 1)
    paid = ordered_sum(torch.where(is_first, worth, 0.0), 2)
    count, tasks = bound.sum(1), worth.shape[2]
    return paid, (count > 1).sum(1) / tasks, (count == 0).sum(1) / tasks


def optima(worth: Tensor, capacity: int) -> Tensor:
    """What the best allocation is worth. Shapes: [B, n, m] -> [B]."""
    rows = worth.cpu().numpy()
    found = [sum(float(w[i, j]) for i, j in assignment(w, capacity)) for w in rows]
    return torch.tensor(found, dtype=torch.float64, device=worth.device)


def assignment(worth: Worth, capacity: int) -> list[tuple[int, int]]:
    """Robots and their tasks in the best allocation, those worth nothing left out."""
    rows, columns = linear_sum_assignment(np.repeat(worth, capacity, axis=0), maximize=True)
    pairs = zip((rows // capacity).tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in pairs if worth[i, j] > 0]


def greedy(worth: Worth, capacity: int) -> list[tuple[int, int]]:
    """Robots and their tasks if always the greatest worth of what is left is taken."""
    room, free, pairs = [capacity] * worth.shape[0], set(range(worth.shape[1])), []
    for flat in np.argsort(-worth, axis=None, kind="stable").tolist():
        i, j = divmod(flat, worth.shape[1])
        if room[i] and j in free and worth[i, j] > 0:
            pairs.append((i, j))
            free.remove(j)
            room[i] -= 1
    return pairs


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The best allocation, and the greedy one, of the rounds that end; none if none does."""
    world = make(params)
    p = world.params
    rounds = duration_ns // world.dt_ns // p.round
    key = row_keys([(seed, 0)], world.name).repeat(rounds)
    drawn: Any = worths(p, key, torch.arange(rounds) * p.round).numpy() if rounds else []
    best, taken = ([of(w, p.capacity) for w in drawn] for of in (assignment, greedy))
    most = _total(drawn, best)
    return {
        name: {
            "value": _total(drawn, pairs) / most if most else 1.0,
            "conflicts": 0.0,
            "unclaimed": 1 - sum(map(len, pairs)) / (rounds * p.tasks),
        }
        for name, pairs in (("optimum", best), ("greedy", taken))
        if rounds
    }


def _total(drawn: Any, chosen: list[list[tuple[int, int]]]) -> float:
    pairs = zip(drawn, chosen, strict=True)
    return sum(float(w[i, j]) for w, found in pairs for i, j in found)
