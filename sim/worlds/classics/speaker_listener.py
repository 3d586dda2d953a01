"""Speaker and listener: one knows which landmark is meant, the other can move; as MPE2's
`simple_speaker_listener_v4`. Both earn minus the squared distance of the listener to that landmark.

channel: `action`, as in the literature: what the speaker chooses is seen by the listener one step
later, whatever the network does. `network`: the speaker's action is empty, and what it says goes as
a message (topic "speech") over the scenario's links.
Source: Lowe et al. 2017; equal to mpe2 1.1.1 to 1e-12, see `particles`.
"""

from __future__ import annotations

from typing import Final, Literal

import torch

from sim.spaces import Field
from sim.worlds.classics import particles
from sim.worlds.classics.common import ROLE, RULE, Stepped, Tensors, maker, unknown
from sim.worlds.classics.fields import Parameters, choice, chosen, one_hot, sized
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import State

RULES: Final = {"speaker": f"{RULE}:SpeakerRule", "listener": f"{RULE}:ListenerRule"}
ROLES: Final = {"speaker": f"{ROLE}:Speaker", "listener": f"{ROLE}:Listener"}
LANDMARKS: Final = 3
DARK, BRIGHT = 0.15, 0.65


class Params(Parameters, frozen=True):
    """channel: how speech travels. continuous: pushes and speech of any strength. dt: of a step."""

    channel: Literal["action", "network"] = "action"
    continuous: bool = False


class SpeakerListener(particles.Particles[Params]):
    """Shapes: goal int64 [B], position, velocity [B, 1, 2] of the listener, landmarks [B, 3, 2],
    speech [B, 3]."""

    def __init__(self, p: Params) -> None:
        self.is_seen = p.channel == "action"
        any_strength = Field("speech", low=0.0, high=1.0, size=LANDMARKS)
        says = any_strength if p.continuous else choice("speech", LANDMARKS)
        hears = Field("speech", size=LANDMARKS, help="of the step before")
        colour = Field("colour", low=0.0, high=1.0, size=3, help="of the landmark that is meant")
        sees = [*sized(velocity=2, landmarks=2 * LANDMARKS), *[hears] * self.is_seen]
        groups = {
            "speaker": (1, [colour], [says] * self.is_seen),
            "listener": (1, sees, [particles.moves(p.continuous)]),
        }
        body = particles.moving(1, 0.075)
        super().__init__("speaker_listener", p, groups, body, ("landmarks", LANDMARKS))

    def start(self, state: State) -> State:
        goal = (uniforms(state["key"], state["step"], 1, 1)[:, 0] * LANDMARKS).to(torch.int64)
        silence = torch.zeros_like(state["return"])[:, None].expand(-1, LANDMARKS).clone()
        return {**super().start(state), "goal": goal, "speech": silence}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        moved = self.moved(state, actions, present)
        if self.is_seen:
            said = actions["speaker"][:, 0]
            if not self.params.continuous:
                said = one_hot(chosen(said[:, 0], LANDMARKS), LANDMARKS)
            moved["speech"] = torch.clamp(said, 0.0, 1.0) * present["speaker"]
        goal = state["goal"][:, None, None].expand(-1, 1, 2)
        apart = moved["position"] - state["landmarks"].gather(1, goal)
        reward = -ordered_sum(apart * apart, 2)
        return self.paid(state, moved, {"speaker": reward, "listener": reward})

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        is_meant = one_hot(state["goal"], LANDMARKS)[:, None]
        velocity, _, marks, _ = self.seen(state)
        seen = (velocity, marks, *[state["speech"][:, None]] * self.is_seen)
        colour = BRIGHT * is_meant + DARK * (1 - is_meant)
        return {"speaker": colour, "listener": particles.rows(seen)}

    def marks(self, state: State) -> list[str]:
        names = super().marks(state)
        goal = int(state["goal"][0])
        return [*names[:goal], f"goal-{goal + 1}", *names[goal + 1 :]]


make = maker(SpeakerListener, Params, "speaker_listener")
reference = unknown
