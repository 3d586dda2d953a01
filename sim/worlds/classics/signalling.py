"""Signalling: one sees which of several states holds, the other must name it.

A game takes two steps. In the first the sender sees the state, and may say something on the topic
"signal"; in the second the receiver, which sees nothing of it, names a state; both earn 1 if it is
right. What the receiver knows has come through the network: a message must arrive within the step,
so the latency must be less than `dt`. A signal has no meaning but what the two make of it.
Source: Lewis 1969, "Convention"; Skyrms 2010, "Signals".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import torch

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Tensor, choice, chosen, group, one_hot, step_ns
from sim.worlds.noise import uniforms
from sim.worlds.world import Metric, State

RULES: Final = {
    "sender": "agents.behaviours.classics:SenderRule",
    "receiver": "agents.behaviours.classics:ReceiverRule",
}
ROLES: Final = {
    "sender": "agents.behaviours.classics_roles:Sender",
    "receiver": "agents.behaviours.classics_roles:Receiver",
}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """states: how many, equally likely. games: after so many it is over, 0: never. dt: of a step,
    half a game."""

    states: Annotated[int, msgspec.Meta(ge=2, le=100)] = 3
    games: Annotated[int, msgspec.Meta(ge=0)] = 0
    dt: str | float = "100ms"


class Signalling(Classic):
    """Shapes: target, named int64 [B] (named: -1 for nothing), right float64 [B], games won."""

    def __init__(self, p: Params) -> None:
        self.params, dt_ns = p, step_ns(p.dt)
        turn = Field("turn", low=0.0, high=1.0, help="1 if it is this agent's turn")
        shown = Field("state", low=0.0, high=1.0, size=p.states, help="0 when it is not its turn")
        sender = group("sender", 1, dt_ns, [turn, shown], [])
        receiver = group("receiver", 1, dt_ns, [turn], [choice("name", p.states)])
        super().__init__("signalling", [sender, receiver], dt_ns, 2 * p.games)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state = self.begin(seeds, device)
        target = self._draw(state["key"], state["step"])
        zero = torch.zeros_like(state["return"])
        return {**state, "target": target, "named": torch.full_like(target, -1), "right": zero}

    def _draw(self, key: Tensor, step: Tensor) -> Tensor:
        return (uniforms(key, step, 1, 0)[:, 0] * self.params.states).to(torch.int64)

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        counts = state["step"] % 2 == 1
        named = chosen(actions["receiver"][:, 0, 0], self.params.states)
        named = torch.where(present["receiver"][:, 0], named, -1)
        right = (counts & (named == state["target"])).to(torch.float64)
        changes = {
            "target": torch.where(
                counts, self._draw(state["key"], state["step"] + 1), state["target"]
            ),
            "named": torch.where(counts, named, state["named"]),
            "right": state["right"] + right,
        }
        return self.paid(state, changes, {"sender": right[:, None], "receiver": right[:, None]})

    def observe(self, state: State) -> dict[str, Tensor]:
        turn = (state["step"] % 2 == 0).to(torch.float64)[:, None]
        shown = one_hot(state["target"], self.params.states) * turn
        return {
            "sender": torch.cat((turn, shown), 1)[:, None],
            "receiver": (1 - turn)[:, None],
        }

    def metrics(self, state: State) -> dict[str, Metric]:
        played = int(state["step"][0]) // 2
        share = float(state["right"][0]) / max(played, 1)
        return {
            "right": Metric(
                share, "", "higher", True, "share of games in which the state was named"
            ),
            "games": Metric(float(played), "", "higher", False, "games played"),
        }


def make(params: Mapping[str, Any]) -> Signalling:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Signalling(parse(Params, params, "signalling"))


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """As many signals as states name every state; without a signal one in `states` is guessed."""
    states = parse(Params, params, "signalling").states
    return {"optimum": {"right": 1.0}, "silent": {"right": 1.0 / states}}
