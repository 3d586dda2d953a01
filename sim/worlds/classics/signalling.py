"""Signalling: one sees which of several states holds, the other must name it.

A game takes two steps. In the first the sender sees the state, and may say something on the topic
"signal"; in the second the receiver, which sees nothing of it, names a state; both earn 1 if it is
right. What the receiver knows has come through the network: a message must arrive within the step,
so the latency must be less than `dt`. A signal has no meaning but what the two make of it.
Source: Lewis 1969, "Convention"; Skyrms 2010, "Signals".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.classics.common import ROLE, RULE, Classic, Columns, Stepped, Tensors, maker
from sim.worlds.classics.fields import Parameters, choice, chosen, one_hot
from sim.worlds.noise import uniforms
from sim.worlds.world import Metric, State

RULES: Final = {"sender": f"{RULE}:SenderRule", "receiver": f"{RULE}:ReceiverRule"}
ROLES: Final = {"sender": f"{ROLE}:Sender", "receiver": f"{ROLE}:Receiver"}


class Params(Parameters, frozen=True):
    """states: how many, equally likely. games: after so many it is over, 0: never. dt: of a step,
    half a game."""

    states: Annotated[int, Meta(ge=2, le=100)] = 3
    games: Annotated[int, Meta(ge=0)] = 0


class Signalling(Classic[Params]):
    """Shapes: target, named int64 [B] (named: -1 for nothing), right float64 [B], games won."""

    def __init__(self, p: Params) -> None:
        turn = Field("turn", low=0.0, high=1.0, help="1 if it is this agent's turn")
        shown = Field("state", low=0.0, high=1.0, size=p.states, help="0 when it is not its turn")
        receiver = (1, [turn], [choice("name", p.states)])
        super().__init__(
            "signalling", p, {"sender": (1, [turn, shown], []), "receiver": receiver}, 2 * p.games
        )

    def start(self, state: State) -> State:
        target = self._draw(state["key"], state["step"])
        none = torch.full_like(target, -1)
        return {"target": target, "named": none, "right": torch.zeros_like(state["return"])}

    def _draw(self, key: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return (uniforms(key, step, 1, 0)[:, 0] * self.params.states).to(torch.int64)

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        step, target = state["step"], state["target"]
        counts = step % 2 == 1
        named = chosen(actions["receiver"][:, 0, 0], self.params.states)
        named = torch.where(present["receiver"][:, 0], named, -1)
        right = (counts & (named == target)).to(torch.float64)
        changes = {
            "target": torch.where(counts, self._draw(state["key"], step + 1), target),
            "named": torch.where(counts, named, state["named"]),
            "right": state["right"] + right,
        }
        return self.paid(state, changes, {"sender": right[:, None], "receiver": right[:, None]})

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        turn = (state["step"] % 2 == 0).to(torch.float64)[:, None]
        shown = one_hot(state["target"], self.params.states) * turn
        return {"sender": torch.cat((turn, shown), 1)[:, None], "receiver": (1 - turn)[:, None]}

    def metrics(self, state: State) -> dict[str, Metric]:
        played = int(state["step"][0]) // 2
        share = float(state["right"][0]) / max(played, 1)
        told = "share of games in which the state was named"
        games = Metric(float(played), "", "higher", False, "games played")
        return {"right": Metric(share, "", "higher", True, told), "games": games}


make = maker(Signalling, Params, "signalling")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """As many signals as states name every state; without a signal one in `states` is guessed."""
    states = make(params).params.states
    return {"optimum": {"right": 1.0}, "silent": {"right": 1.0 / states}}
