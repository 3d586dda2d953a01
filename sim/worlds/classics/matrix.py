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

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.classics.common import RULE, Classic, Columns, Stepped, Tensors, maker, numbered
from sim.worlds.classics.fields import Parameters, choice, chosen, one_hot
from sim.worlds.classics.payoffs import equilibria, tables
from sim.worlds.world import State

Name = Literal["climbing", "penalty", "factorisation", "battle_of_the_sexes", "prisoners_dilemma"]

RULES: Final = dict.fromkeys(["player", *numbered("player", 32)], f"{RULE}:MatrixRule")
"""Groups are named after players where their choices differ in number."""


class Params(Parameters, frozen=True):
    """The game, and how it is repeated."""

    game: Name = "penalty"
    """Counts if no payoffs are given."""
    k: Annotated[float, Meta(le=0)] = 0.0
    """What the penalty game costs those who miss each other."""
    payoffs: Any = None
    """One table for all."""
    own_payoffs: Any = None
    """One table per player."""
    steps: Annotated[int, Meta(ge=0)] = 25
    """After so many games it is over; 0: never, only the horizon cuts it."""
    sees: Literal["last", "nothing"] = "last"
    """last: the choices of the last step and the share of steps gone. nothing: the number 1."""


class Matrix(Classic[Params]):
    """Groups: `player` if all have as many choices, else `player-1` and so on of one each.

    Shapes: choice int64 [B, n], -1 before the first and where a player was absent.
    """

    def __init__(self, p: Params) -> None:
        self.table = tables(p.game, p.k, p.payoffs, p.own_payoffs)
        self.choices, self._payoffs = self.table.shape[1:], torch.from_numpy(self.table)
        sees = [Field("one", low=1.0, high=1.0, help="always 1")]
        if p.sees == "last":
            sees = [Field(f"last-{i + 1}", size=k) for i, k in enumerate(self.choices)]
            sees += [Field("gone", high=1.0, low=0.0, help="share of the steps")] * bool(p.steps)
        players = numbered("player", len(self.choices))
        who = {name: [name] for name in players}
        if len(set(self.choices)) == 1:
            who = {"player": players}
        acts = [[choice("choice", k)] for k in self.choices]
        groups = {name: (who[name], sees, act) for name, act in zip(who, acts, strict=False)}
        super().__init__("matrix", p, groups, p.steps)

    def start(self, state: State) -> State:
        return {"choice": torch.full_like(state["key"], -1)[:, None].repeat(1, self.agents)}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        acted, there = self.joint(actions)[..., 0], self.joint(present)
        chose = [chosen(acted[:, i], k) for i, k in enumerate(self.choices)]
        self._payoffs = self._payoffs.to(acted.device)  # taken there once
        joint: tuple[Any, ...] = (slice(None), *chose)
        earned = self._payoffs[joint].T * there.all(1, keepdim=True)
        kept = torch.where(there, torch.stack(chose, 1), -1)
        return self.paid(state, {"choice": kept}, self.by_group(earned))

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        seen = [torch.ones_like(state["return"])[:, None]]
        if self.params.sees == "last":
            seen = [one_hot(state["choice"][:, i], k) for i, k in enumerate(self.choices)]
            if self.steps:
                seen.append((state["step"].to(torch.float64) / self.steps)[:, None])
        return self.by_group(torch.cat(seen, 1)[:, None].expand(-1, self.agents, -1))


make = maker(Matrix, Params, "matrix")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """Mean over players of the best joint choice, and of the worst pure equilibrium, if any."""
    table = make(params).table
    mean = table.mean(axis=0)
    columns = {"optimum": {"reward": float(mean.max())}}
    if found := equilibria(table):
        columns["selfish"] = {"reward": min(float(mean[joint]) for joint in found)}
    return columns
