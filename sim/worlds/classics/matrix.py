"""Matrix games, repeated: everybody chooses at once, and a table says what each earns.

Any number of players and choices: `payoffs` is one table for all (nested lists, as deep as there
are players), `own_payoffs` one table per player. Or a game by name:
    climbing, penalty       Claus and Boutilier 1998, "The Dynamics of Reinforcement Learning in
                            Cooperative Multiagent Systems" (figures 2 and 3), `k` the penalty
    factorisation           Son et al. 2019, "QTRAN", table 1a, as a payoff that no sum of the
                            players' own values can represent
    battle_of_the_sexes     Luce and Raiffa 1957, "Games and Decisions", section 5.3
    prisoners_dilemma       Axelrod 1984, "The Evolution of Cooperation": 5, 3, 1, 0
A step in which a player is absent pays nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from sim.errors import BoundError
from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Tensor, choice, chosen, group, one_hot, step_ns
from sim.worlds.world import Group, State

Name = Literal["climbing", "penalty", "factorisation", "battle_of_the_sexes", "prisoners_dilemma"]
Table = NDArray[np.float64]


RULES: Final = {
    name: "agents.behaviours.classics:MatrixRule"
    for name in ("player", *(f"player-{i + 1}" for i in range(32)))
}
"""Groups are named after players where their choices differ in number."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The game, and how it is repeated."""

    game: Name = "penalty"
    """Counts if no payoffs are given."""
    k: Annotated[float, msgspec.Meta(le=0)] = 0.0
    """What the penalty game costs those who miss each other."""
    payoffs: Any = None
    """One table for all."""
    own_payoffs: Any = None
    """One table per player."""
    steps: Annotated[int, msgspec.Meta(ge=0)] = 25
    """After so many games it is over; 0: never, only the horizon cuts it."""
    sees: Literal["last", "nothing"] = "last"
    """last: the choices of the last step and the share of steps gone. nothing: the number 1."""
    dt: str | float = "100ms"


def tables(p: Params) -> Table:
    """What each player earns. Shapes: [n, choices of 1, ..., choices of n].

    Raises: BoundError for tables that are not regular, or not as deep as there are players.
    """
    if p.own_payoffs is not None:
        found = _numbers(p.own_payoffs, "own_payoffs")
        if found.ndim < 2 or len(found) != found.ndim - 1:
            raise BoundError(
                f"world.own_payoffs: {len(found)} tables are for {len(found)} players, so each "
                f"must be {len(found)} lists deep, found {found.ndim - 1}"
            )
        return found
    shared = _numbers(_preset(p.game, p.k) if p.payoffs is None else p.payoffs, "payoffs")
    if p.payoffs is None and p.game in ("battle_of_the_sexes", "prisoners_dilemma"):
        return shared
    return np.broadcast_to(shared, (shared.ndim, *shared.shape)).copy()


def _numbers(given: Any, name: str) -> Table:
    try:
        found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not found.ndim or not found.size or not np.isfinite(found).all():
        raise BoundError(f"world.{name}: expected nested lists of numbers, all of the same shape")
    return found


def _preset(name: str, k: float) -> list[Any]:
    presets: dict[str, list[Any]] = {
        "climbing": [[11, -30, 0], [-30, 7, 6], [0, 0, 5]],
        "penalty": [[10, 0, k], [0, 2, 0], [k, 0, 10]],
        "factorisation": [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]],
        "battle_of_the_sexes": [[[2, 0], [0, 1]], [[1, 0], [0, 2]]],
        "prisoners_dilemma": [[[3, 0], [5, 1]], [[3, 5], [0, 1]]],
    }
    return presets[name]


class Matrix(Classic):
    """Groups: `player` if all have as many choices, else `player-1` and so on of one each.

    Shapes: choice int64 [B, n], -1 before the first and where a player was absent.
    """

    def __init__(self, p: Params) -> None:
        self.params, self.table, dt_ns = p, tables(p), step_ns(p.dt)
        self.choices = self.table.shape[1:]
        names = [f"player-{i + 1}" for i in range(len(self.choices))]
        sees = [Field("one", low=1.0, high=1.0, help="always 1")]
        if p.sees == "last":
            sees = [Field(f"last-{i + 1}", size=k) for i, k in enumerate(self.choices)]
            sees += [Field("gone", high=1.0, low=0.0, help="share of the steps")] * bool(p.steps)

        def made(name: str, agents: Sequence[str], choices: int) -> Group:
            return group(name, agents, dt_ns, sees, [choice("choice", choices)])

        if len(set(self.choices)) == 1:
            groups = [made("player", names, self.choices[0])]
        else:
            groups = [made(n, [n], k) for n, k in zip(names, self.choices, strict=True)]
        super().__init__("matrix", groups, dt_ns, p.steps)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state = self.begin(seeds, device)
        none = torch.full((len(seeds), self.agents), -1, dtype=torch.int64, device=device)
        return {**state, "choice": none}

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        acted = torch.cat([actions[g.name][..., 0] for g in self.groups], 1)
        there = torch.cat([present[g.name] for g in self.groups], 1)
        columns = [chosen(acted[:, i], k) for i, k in enumerate(self.choices)]
        table = torch.from_numpy(self.table).to(acted.device)
        index: tuple[Any, ...] = (slice(None), *columns)
        paid = table[index].T * there.all(1, keepdim=True)
        rewards = torch.split(paid, [len(g.agents) for g in self.groups], 1)
        kept = torch.where(there, torch.stack(columns, 1), -1)
        names = [g.name for g in self.groups]
        return self.paid(state, {"choice": kept}, dict(zip(names, rewards, strict=True)))

    def observe(self, state: State) -> dict[str, Tensor]:
        last = state["choice"]
        seen = [torch.ones_like(state["return"])[:, None]]
        if self.params.sees == "last":
            seen = [one_hot(last[:, i], k) for i, k in enumerate(self.choices)]
            if self.steps:
                seen.append((state["step"].to(torch.float64) / self.steps)[:, None])
        row = torch.cat(seen, 1)[:, None]
        return {g.name: row.expand(-1, len(g.agents), -1) for g in self.groups}


def make(params: Mapping[str, Any]) -> Matrix:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Matrix(parse(Params, params, "matrix"))


def equilibria(table: Table) -> list[tuple[int, ...]]:
    """The pure Nash equilibria: nobody gains by changing alone. Shapes: [n, ...] of `tables`."""
    found = []
    for joint in itertools.product(*map(range, table.shape[1:])):
        # What each could have by changing alone: its own table, along its own axis.
        best = [np.moveaxis(own, i, 0)[(slice(None), *_but(joint, i))].max()
                for i, own in enumerate(table)]  # fmt: skip
        if all(own[joint] >= most for own, most in zip(table, best, strict=True)):
            found.append(joint)
    return found


def _but(joint: tuple[int, ...], i: int) -> tuple[int, ...]:
    return joint[:i] + joint[i + 1 :]


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """Mean over players of the best joint choice, and of the worst pure equilibrium, if any."""
    table = tables(parse(Params, params, "matrix"))
    mean = table.mean(axis=0)
    columns = {"optimum": {"reward": float(mean.max())}}
    if found := equilibria(table):
        columns["selfish"] = {"reward": min(float(mean[joint]) for joint in found)}
    return columns
