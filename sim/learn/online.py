"""The learner as one more agent on the network: experience comes in, weights go out, as messages.

Agents (`agents.online`) act with weights that are older than the newest, and say which they acted
with; V-trace corrects for it. The learner is a program like any other: it can be killed, which
stops learning and nothing else, and when it is started again it goes on from what it saved last.
With `tap: broker` it is also handed what no agent sees (`broker.joint`): that is a privilege, and
its policies' cards say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from agents.agent import Agent
from agents.behaviour import load_behaviour
from agents.channels import Message
from agents.networks import policy_bytes
from agents.online import EXPERIENCE, WEIGHTS, weight_parts
from agents.roles import Role, layout_of
from sim.errors import AgentError
from sim.learn.assembly import Assembly
from sim.learn.cast import heard_by
from sim.learn.family import Family
from sim.learn.networks import Shape
from sim.learn.presets import make_family
from sim.learn.record import Side
from sim.learn.witness import Witness
from sim.online import LEARNED, told_of
from sim.scenario.roster import LEARNER
from sim.units import SECOND
from sim.worlds import catalogue
from sim.worlds.joint import central_of
from sim.worlds.world import World

_WAIT_DECISIONS: Final = 4
"""Decisions that a joint sample waits for what is missing, if nothing else is said."""


@dataclass(frozen=True)
class Settings:
    """network, share, critic_sees, reward, seed, tap: as of a scenario's `learn`. update: decisions
    per update. batch: decisions per message of experience. wait: seconds beyond these that a joint
    sample waits for what is missing. episode: its length in seconds.
    """

    network: Mapping[str, Any]
    share: str
    critic_sees: str
    reward: str | float
    seed: int
    tap: str
    update: int
    batch: int
    episode: float
    wait: float | None = None


class Learner(Agent):
    """Learns for groups from what their agents tell; a privileged one also from the broker.

    params: as `sim.online.with_learner` gives them: world {kind, ...}; groups {name: {preset, role,
            role_params, options, agents}}; settings, see `Settings`.
    """

    def __init__(
        self,
        world: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, Any],
    ) -> None:
        known = self._settings = Settings(**settings)
        torch.set_num_threads(1)  # sums do not depend on how many cores there are
        device = "cuda" if torch.cuda.is_available() else "cpu"
        made = _world(world)
        self._learning = {
            name: learning_of(made, self.names, name, spec, known, device)
            for name, spec in groups.items()
        }
        self._assemblies = {}
        for name, (side, _, witness, size) in self._learning.items():
            margin = _WAIT_DECISIONS * side.every_ns
            if known.wait is not None:
                margin = round(known.wait * SECOND)
            self._assemblies[name] = Assembly(
                side, known.update, (known.batch + 1) * side.every_ns + margin,
                self._cell.start.episode, witness, size, device,
            )  # fmt: skip
        self._of = {a: name for name, found in self._learning.items() for a in found.side.agents}
        self.versions = dict.fromkeys(groups, 0)

    @staticmethod
    def check(params: Mapping[str, Any], names: tuple[str, ...]) -> None:
        """Makes what a learner of these params would, before anything starts. names: all agents of
        the run.

        Raises: ScenarioError and others of the user's.
        """
        made, settings = _world(params["world"]), Settings(**params["settings"])
        for name, spec in params["groups"].items():
            learning_of(made, names, name, spec, settings)

    async def run(self) -> None:
        self._recall()
        update, episode = self._settings.update, self._settings.episode
        for name, (side, *_) in self._learning.items():
            decisions = round(episode * SECOND) // side.every_ns
            if update >= decisions:  # what is gathered begins anew with every episode
                words = f"{name} decides {decisions} times in an episode, learns after {update}"
                self.log(f"nothing is learned: {words}; see learn.update", "warning")
            self._publish(name)
        if self._settings.tap == "broker":
            await self._watch()
        while (message := await self.receive(EXPERIENCE)) is not None:
            self._hear(message)

    async def _watch(self) -> None:
        """Learns, awake at every decision."""
        self.subscribe(EXPERIENCE)
        async for seen in self.observations():
            for _, _, witness, _ in self._learning.values():
                if witness is not None:
                    witness.see(seen.time_ns, seen.values, seen.reward, seen.missed)
            while (message := self._cell.channels.take(EXPERIENCE)) is not None:
                self._hear(message)

    def _hear(self, message: Message) -> None:
        group = self._of.get(message.sender, "")
        if group and message.payload is None:  # it has no weights yet
            for part in weight_parts(self.versions[group], *self._policy(group)):
                self.send(message.sender, f"{WEIGHTS}.{group}", part)
        elif group:
            self._assemblies[group].add(message.sender, message.payload, self.now_ns)
            self._learn(group)

    def _learn(self, group: str) -> None:
        assembly, family = self._assemblies[group], self._learning[group].family
        while (found := assembly.take(self.now_ns)) is not None:
            record, told = found
            figures = family.update({group: record})
            told["staleness"] = self.versions[group] - told.pop("version")
            self.versions[group] += 1
            self._keep()
            self._publish(group)
            losses = {k.partition("/")[2]: v for k, v in figures.items()}
            shown = {
                "version": self.versions[group], **told, "late": assembly.late,
                **{name: losses[name] for name in ("policy_loss", "value_loss", "approx_kl")},
            }  # fmt: skip
            self.log(told_of(group, shown), LEARNED)

    def _publish(self, group: str) -> None:
        for part in weight_parts(self.versions[group], *self._policy(group)):
            self.publish(f"{WEIGHTS}.{group}", part)

    def _policy(self, group: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and card of what has been learned for a group."""
        tensors, card = self._learning[group].family.policies()[group]
        settings = self._settings
        known = {
            "version": self.versions[group], "learned": "in a run", "tap": settings.tap,
            "seed": settings.seed,
        }  # fmt: skip
        return {name: _array(t) for name, t in tensors.items()}, card | known

    def _keep(self) -> None:
        """Saves what the next incarnation needs, and the policies for whoever wants them after."""
        families = {name: _plain(found.family.state()) for name, found in self._learning.items()}
        files = {name: policy_bytes(*self._policy(name)) for name in self._learning}
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
        for name, found in self._learning.items():
            found.family.load(_tensors(kept["families"][name]))
        if self._cell.start.incarnation:
            self.log(f"goes on from version {max(self.versions.values())}", LEARNED)


class Learning(NamedTuple):
    """What learns for one group. witness and state_size: of a privileged learner."""

    side: Side
    family: Family
    witness: Witness | None
    state_size: int


def learning_of(
    world: World,
    names: tuple[str, ...],
    group: str,
    spec: Mapping[str, Any],
    settings: Settings,
    device: str = "cpu",
) -> Learning:
    """What `Learner` makes for one group. names: all agents of the run.

    Raises: ScenarioError for what the algorithm does not support.
    """
    side, is_privileged = side_of(world, names, group, spec), settings.tap == "broker"
    size = len(central_of(world)) if is_privileged else 0
    # without the broker there is no state: what all agents see stands for it
    default = "observations" if spec["preset"] == "mappo" and not is_privileged else ""
    family = make_family(
        spec["preset"], [side], size,
        options={**spec["options"], "v_trace": True, "decisions": settings.update},
        shape=Shape(**{**settings.network, "hidden": tuple(settings.network["hidden"])}),
        share=settings.share, critic_sees=settings.critic_sees or default,
        reward=settings.reward, seed=settings.seed, device=device,
    )  # fmt: skip
    earning = [agent for each in world.groups for agent in each.agents]
    witness = Witness([earning.index(agent) for agent in side.agents]) if is_privileged else None
    return Learning(side, family, witness, size)


def _world(world: Mapping[str, Any]) -> World:
    params = {key: value for key, value in world.items() if key != "kind"}
    return catalogue.make_world(world["kind"], params, 0)


def side_of(world: World, names: tuple[str, ...], group: str, spec: Mapping[str, Any]) -> Side:
    """A side without its rollout. spec: role, role_params, agents. names: all of the run, of whom
    the learner is nobody's sender: what is learned plays without it.
    """
    found = next(g for g in world.groups if g.name == group)
    agents = tuple(spec["agents"])
    make_role = load_behaviour(spec["role"], "")
    role: Role = make_role(name=agents[0], group=found, params=dict(spec["role_params"]))
    others = [name for name in names if name != LEARNER]
    senders = {t: len(heard_by(world, others, agents[0], t)) for t in role.hears}
    return Side(group, agents, role, layout_of(role, senders), role.every * found.every_ns)


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
