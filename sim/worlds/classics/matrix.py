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

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import torch

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Tensor, choice, chosen, group, one_hot, step_ns
from sim.worlds.classics.payoffs import Table, equilibria, tables
from sim.worlds.world import Group, State

Name = Literal["climbing", "penalty", "factorisation", "battle_of_the_sexes", "prisoners_dilemma"]


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


def table_of(p: Params) -> Table:
    """What each player earns, see `payoffs.tables`."""
    return tables(p.game, p.k, p.payoffs, p.own_payoffs)


class Matrix(Classic):
    """Groups: `player` if all have as many choices, else `player-1` and so on of one each.

    Shapes: choice int64 [B, n], -1 before the first and where a player was absent.
    """

    def __init__(self, p: Params) -> None:
        self.params, self.table, dt_ns = p, table_of(p), step_ns(p.dt)
        self.choices = self.table.shape[1:]
        self._tables: dict[torch.device, Tensor] = {}
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
        table = self._table_on(acted.device)
        index: tuple[Any, ...] = (slice(None), *columns)
        paid = table[index].T * there.all(1, keepdim=True)
        rewards = torch.split(paid, [len(g.agents) for g in self.groups], 1)
        kept = torch.where(there, torch.stack(columns, 1), -1)
        names = [g.name for g in self.groups]
        return self.paid(state, {"choice": kept}, dict(zip(names, rewards, strict=True)))

    def _table_on(self, device: torch.device) -> Tensor:
        """The table on a device, taken there once."""
        if device not in self._tables:
            self._tables[device] = torch.from_numpy(self.table).to(device)
        return self._tables[device]

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


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """Mean over players of the best joint choice, and of the worst pure equilibrium, if any."""
    table = table_of(parse(Params, params, "matrix"))
    mean = table.mean(axis=0)
    columns = {"optimum": {"reward": float(mean.max())}}
    if found := equilibria(table):
        columns["selfish"] = {"reward": min(float(mean[joint]) for joint in found)}
    return columns
