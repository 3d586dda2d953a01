"""Speaker and listener: one knows which landmark is meant, the other can move; as MPE2's
`simple_speaker_listener_v4`. Both earn minus the squared distance of the listener to that landmark.

channel: `action`, as in the literature: what the speaker chooses is seen by the listener one step
later, whatever the network does. `network`: the speaker's action is empty, and what it says goes as
a message (topic "speech") over the scenario's links.
Source: Lowe et al. 2017; equal to mpe2 1.1.1 to 1e-12, see `particles`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import torch

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import (
    Classic,
    Tensor,
    choice,
    chosen,
    group,
    one_hot,
    step_ns,
    unknown,
)
from sim.worlds.classics.particles import Bodies, move, moves, points, pushes, seen_from
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import State

RULES: Final = {
    "speaker": "agents.behaviours.classics:SpeakerRule",
    "listener": "agents.behaviours.classics:ListenerRule",
}
ROLES: Final = {
    "speaker": "agents.behaviours.classics_roles:Speaker",
    "listener": "agents.behaviours.classics_roles:Listener",
}
LANDMARKS: Final = 3
_BODY: Final = Bodies((0.075,), (float("inf"),), (5.0,))
DARK, BRIGHT = 0.15, 0.65


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """channel: how speech travels. continuous: pushes and speech of any strength. dt: of a step."""

    channel: Literal["action", "network"] = "action"
    continuous: bool = False
    dt: str | float = "100ms"


class SpeakerListener(Classic):
    """Shapes: goal int64 [B], position, velocity [B, 1, 2] of the listener, landmarks [B, 3, 2],
    speech [B, 3]."""

    def __init__(self, p: Params) -> None:
        self.params, dt_ns = p, step_ns(p.dt)
        self.is_seen = p.channel == "action"
        speech = choice("speech", LANDMARKS)
        if p.continuous:
            speech = Field("speech", low=0.0, high=1.0, size=LANDMARKS)
        heard = [Field("speech", size=LANDMARKS, help="of the step before")] * self.is_seen
        sees = [Field("velocity", size=2), Field("landmarks", size=2 * LANDMARKS), *heard]
        colour = Field("colour", low=0.0, high=1.0, size=3, help="of the landmark that is meant")
        speaker = group("speaker", 1, dt_ns, [colour], [speech] * self.is_seen)
        listener = group("listener", 1, dt_ns, sees, [moves(p.continuous)])
        super().__init__("speaker_listener", [speaker, listener], dt_ns)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state = self.begin(seeds, device)
        place = uniforms(state["key"], state["step"], 2 + 2 * LANDMARKS, 0)
        place = (2 * place - 1).reshape(len(seeds), -1, 2)
        goal = uniforms(state["key"], state["step"], 1, 1)[:, 0] * LANDMARKS
        here = place[:, :1].clone()
        return {
            **state,
            "goal": goal.to(torch.int64),
            "position": here,
            "velocity": torch.zeros_like(here),
            "landmarks": place[:, 1:].clone(),
            "speech": torch.zeros_like(place[:, :LANDMARKS, 0]),
        }

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        push = pushes(actions["listener"], present["listener"])
        position, velocity = move(_BODY, state["position"], state["velocity"], push)
        changes = {"position": position, "velocity": velocity}
        if self.is_seen:
            said = actions["speaker"][:, 0]
            if not self.params.continuous:
                said = one_hot(chosen(said[:, 0], LANDMARKS), LANDMARKS)
            changes["speech"] = torch.clamp(said, 0.0, 1.0) * present["speaker"]
        goal = state["goal"][:, None, None].expand(-1, 1, 2)
        apart = position - state["landmarks"].gather(1, goal)
        reward = -ordered_sum(apart * apart, 2)
        return self.paid(state, changes, {"speaker": reward, "listener": reward})

    def observe(self, state: State) -> dict[str, Tensor]:
        is_meant = one_hot(state["goal"], LANDMARKS)[:, None]
        colour = BRIGHT * is_meant + DARK * (1 - is_meant)
        seen = [state["velocity"], seen_from(state["position"], state["landmarks"])]
        if self.is_seen:
            seen.append(state["speech"][:, None])
        return {"speaker": colour, "listener": torch.cat(seen, -1)}

    def scene(self, state: State) -> dict[str, Any]:
        goal = int(state["goal"][0])
        marks = [f"{'goal' if i == goal else 'landmark'}-{i + 1}" for i in range(LANDMARKS)]
        names = {"point": marks, "agent": ["listener-1"]}
        at = {"point": state["landmarks"], "agent": state["position"]}
        return {"kind": "points", "title": self.title(state), "points": points(names, at)}


def make(params: Mapping[str, Any]) -> SpeakerListener:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return SpeakerListener(parse(Params, params, "speaker_listener"))


reference = unknown
