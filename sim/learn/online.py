"""The learner as one more agent on the network: experience comes in, weights go out, as messages.

Agents (`agents.online`) act with weights that are older than the newest, and say which they acted
with; V-trace corrects for it. The learner is a program like any other: it can be killed, which
stops learning and nothing else, and when it is started again it goes on from what it saved last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from agents.agent import Agent
from agents.behaviour import load_behaviour
from agents.networks import policy_bytes
from agents.online import EXPERIENCE, WEIGHTS, weight_parts
from agents.roles import Role, layout_of
from sim.errors import AgentError
from sim.learn.assembly import Assembly
from sim.learn.cast import heard_by
from sim.learn.networks import Shape
from sim.learn.presets import make_family
from sim.learn.record import Side
from sim.units import SECOND
from sim.worlds import catalogue
from sim.worlds.world import World

_WAIT_DECISIONS: Final = 4
"""Decisions that a joint sample waits for what is missing, if nothing else is said."""
_AGAIN_DECISIONS: Final = 64
"""Decisions without a word from anybody after which the weights are sent again."""


class Learner(Agent):
    """Learns for groups from what their agents tell.

    params: as `sim.online.with_learner` gives them: world {kind, ...}, groups {name: {preset, role,
            role_params, options, agents}}; hidden, critic_sees, reward, decisions (per update) as
            of a scenario's `learn`; wait: seconds that a joint sample waits for what is missing.
    """

    def __init__(
        self,
        world: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]],
        hidden: tuple[int, ...] = (64, 64),
        critic_sees: str = "",
        reward: str | float = "team",
        decisions: int = 256,
        wait: float | None = None,
    ) -> None:
        params = {key: value for key, value in world.items() if key != "kind"}
        made = catalogue.make_world(world["kind"], params, 0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._sides, self._families, self._assemblies = {}, {}, {}
        for name, spec in groups.items():
            side = self._sides[name] = side_of(made, self.names, name, spec)
            self._families[name] = make_family(
                spec["preset"], [side], 0,
                options={"v_trace": True, "decisions": decisions, **spec.get("options", {})},
                shape=Shape(hidden=tuple(hidden)),
                critic_sees=critic_sees or _critic(spec["preset"]), reward=reward,
                seed=self._cell.start.seed, device=device,
            )  # fmt: skip
            wait_ns = round(wait * SECOND) if wait is not None else _WAIT_DECISIONS * side.every_ns
            self._assemblies[name] = Assembly(side, decisions, wait_ns, device)
        self._of = {agent: name for name, side in self._sides.items() for agent in side.agents}
        self.versions = dict.fromkeys(groups, 0)
        self._seed = self._cell.start.seed

    async def run(self) -> None:
        self._recall()
        again = _AGAIN_DECISIONS * max(s.every_ns for s in self._sides.values()) / SECOND
        for name in self._sides:
            self._publish(name)
        while True:
            message = await self.receive(EXPERIENCE, timeout=again)
            if message is None:
                for name in self._sides:
                    self._publish(name)
                continue
            group = self._of.get(message.sender, "")
            if group:
                self._assemblies[group].add(message.sender, message.payload)
                self._learn(group)

    def _learn(self, group: str) -> None:
        while (found := self._assemblies[group].take()) is not None:
            record, told = found
            figures = self._families[group].update({group: record})
            told["staleness"] = self.versions[group] - told.pop("version")
            self.versions[group] += 1
            self._keep()
            self._publish(group)
            losses = {k.partition("/")[2]: v for k, v in figures.items()}
            shown = {
                "version": self.versions[group], **told, "late": self._assemblies[group].late,
                "policy_loss": losses["policy_loss"], "value_loss": losses["value_loss"],
                "approx_kl": losses["approx_kl"],
            }  # fmt: skip
            words = ", ".join(f"{k} {v:.4g}" for k, v in shown.items())
            self.log(f"{group}: {words}", "learn")

    def _publish(self, group: str) -> None:
        for part in weight_parts(self.versions[group], *self._policy(group)):
            self.publish(f"{WEIGHTS}.{group}", part)

    def _policy(self, group: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and card of what has been learned for a group."""
        tensors, card = self._families[group].policies()[group]
        known = {"version": self.versions[group], "learned": "in a run", "seed": self._seed}
        return {name: _array(t) for name, t in tensors.items()}, card | known

    def _keep(self) -> None:
        """Saves what the next incarnation needs, and the policies for whoever wants them after."""
        families = {name: _plain(family.state()) for name, family in self._families.items()}
        files = {name: policy_bytes(*self._policy(name)) for name in self._families}
        try:
            self.save({"versions": self.versions, "families": families, "policies": files})
        except ValueError as error:
            raise AgentError(
                f"what is learned is larger than an agent may keep; smaller networks fit: {error}"
            ) from None

    def _recall(self) -> None:
        kept = self.load()
        if kept is None:
            return
        self.versions = {name: int(v) for name, v in kept["versions"].items()}
        for name, family in self._families.items():
            family.load(_tensors(kept["families"][name]))
        self.log(f"goes on from version {max(self.versions.values())}", "learn")


def side_of(world: World, names: tuple[str, ...], group: str, spec: Mapping[str, Any]) -> Side:
    """A side without its rollout. spec: role, role_params, agents. names: all of the run."""
    found = next(g for g in world.groups if g.name == group)
    agents = tuple(spec["agents"])
    make_role = load_behaviour(spec["role"], "")
    role: Role = make_role(name=agents[0], group=found, params=dict(spec["role_params"]))
    senders = {t: len(heard_by(world, names, agents[0], t)) for t in role.hears}
    return Side(group, agents, role, layout_of(role, senders), role.every * found.every_ns)


def _critic(preset: str) -> str:
    """There is no central state here: what all agents see stands for it."""
    return "observations" if preset == "mappo" else "own"


def _array(value: Any) -> np.ndarray[Any, Any]:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _plain(state: Any) -> Any:
    """A state as a payload: tensors as arrays."""
    if isinstance(state, Mapping):
        return {key: _plain(value) for key, value in state.items()}
    return _array(state) if isinstance(state, torch.Tensor) else state


def _tensors(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {key: _tensors(value) for key, value in state.items()}
    return torch.from_numpy(state) if isinstance(state, np.ndarray) else state
