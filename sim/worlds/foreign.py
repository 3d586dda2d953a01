"""A parallel environment of others' making, driven as a World; for `pettingzoo` and `gym`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.author import author_module
from sim.errors import BoundError, InstallationError, UnknownKeyError
from sim.ids import did_you_mean, is_name
from sim.rng import key_of
from sim.worlds.gym_spaces import Mapped, acted, observed
from sim.worlds.world import Array, Group, Metric, PhysicalEvent, Round

EXTRA: Final = "pip install 'sim-agents[zoo]'"


def find_function(module: str, name: str) -> Any:
    """A function of a module or of a file, or a module of a package.

    Raises: InstallationError naming the extra, UnknownKeyError for a name that does not exist,
            ScenarioError for a file that does not load.
    """
    if module.endswith(".py"):
        found = author_module(module)
    else:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InstallationError(f"world.env: {error}; {EXTRA}") from None
    inner = getattr(found, name, None)
    if inner is None and hasattr(found, "__path__"):
        inner = _submodule(f"{module}.{name}")
    if not callable(inner) and not isinstance(inner, ModuleType):
        known = {n for n in dir(found) if not n.startswith("_")}
        known |= {m.name for m in pkgutil.iter_modules(getattr(found, "__path__", ()))}
        close = did_you_mean(name, sorted(n for n in known if not n.startswith("_")))
        raise UnknownKeyError(f"world.env: no {name!r} in {module}; {close}")
    return inner


def _submodule(name: str) -> ModuleType | None:
    """A module of a package; None if there is none of the name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise InstallationError(f"world.env: {error}; {EXTRA}") from None
        return None


def make_env(function: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a function makes.

    Raises: InstallationError naming the extra, BoundError with the function's own words.
    """
    try:
        return function(**kwargs)
    except ModuleNotFoundError as error:
        raise InstallationError(f"world.env: {error}; {EXTRA}") from None
    except Exception as error:
        raise BoundError(f"world.env: {type(error).__name__}: {error}") from None


def seed_of(seed: int, episode: int) -> int:
    """What an environment is reset with for an episode of a run. At most 31 bits."""
    return key_of(seed, "environment", episode) & 0x7FFFFFFF


class Foreign:
    """A World around an environment with the parallel interface of PettingZoo.

    is_truncated: the episode was cut by the environment's or the world's limit of steps: it is
                  over, but its future would have had a value.
    """

    rounds: Sequence[Round] = ()
    events: Sequence[PhysicalEvent] = ()
    reward_components = ("reward",)

    def __init__(self, name: str, env: Any, dt_ns: int, max_steps: int) -> None:
        self.name, self.env, self.dt_ns, self.max_steps = name, env, dt_ns, max_steps
        agents = list(env.possible_agents)
        for agent in agents:
            if not is_name(agent):
                raise BoundError(f"world.env: {agent!r} cannot name an agent here")
        self._seen: dict[str, Mapped] = {}
        self._act: dict[str, Mapped] = {}
        for agent in agents:
            place = f"world.env: {agent}"
            self._act[agent] = does = acted(env.action_space(agent), f"{place} acts")
            sees = env.observation_space(agent)
            self._seen[agent] = observed(sees, f"{place} observes", does.space)
        self.groups = tuple(
            Group(
                group, tuple(names), self._seen[names[0]].space, self._act[names[0]].space, dt_ns,
                "default",
            )
            for group, names in _grouped(agents, self._seen, self._act).items()
        )  # fmt: skip
        self._observations: dict[str, Any] = {}
        self._rewards = dict.fromkeys(agents, 0.0)
        self._begin()

    def _begin(self) -> None:
        self._steps, self._total = 0, 0.0
        self.is_terminated = self.is_truncated = False
        self._ended: dict[str, bool] = {}

    def reset(self, seed: int, episode: int) -> None:
        self._begin()
        self._observations, _ = self.env.reset(seed=seed_of(seed, episode))
        self._rewards = dict.fromkeys(self._rewards, 0.0)

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        self._rewards = dict.fromkeys(self._rewards, 0.0)
        if self.is_terminated:
            return
        acts = {}
        for group in self.groups:
            columns = zip(group.agents, actions[group.name], present[group.name], strict=True)
            for agent, action, is_there in columns:
                if agent in self.env.agents:
                    vector = action if is_there else self._idle(agent, group)
                    acts[agent] = self._act[agent].turn(vector)
        self._observations, rewards, ended, _, _ = self.env.step(acts)
        self._ended = dict(ended)
        self._steps += 1
        self._rewards |= {agent: float(reward) for agent, reward in rewards.items()}
        self._total += sum(self._rewards.values())
        is_late = bool(self.max_steps) and self._steps >= self.max_steps
        self.is_terminated = not self.env.agents or is_late
        # Over because the rules say so, if everybody that was left ended by them.
        self.is_truncated = self.is_terminated and not all(ended[agent] for agent in ended)

    def observe(self) -> dict[str, Array]:
        return {
            group.name: np.stack([self._vector(agent, group) for agent in group.agents])
            for group in self.groups
        }

    def _vector(self, agent: str, group: Group) -> Array:
        if agent not in self._observations:
            return np.zeros(group.observation.size)
        vector: Array = self._seen[agent].turn(self._observations[agent])
        return vector

    def _idle(self, agent: str, group: Group) -> Array:
        """What is done for an agent without an action: 0, or the first choice that is allowed."""
        action: Array = group.action.default
        masks = [f.name for f in group.observation.fields if f.masks]
        if not masks or agent not in self._observations:
            return action
        allowed = self._vector(agent, group)[group.observation.index(masks[0])] > 0
        if allowed[int(action[0])] or not allowed.any():
            return action
        return np.array([allowed.argmax()], dtype=np.float64)

    def alive(self) -> dict[str, NDArray[np.bool_]]:
        """Per group, who has not left; who was cut short at the end is there. Shapes: [n]."""
        there = self.env.agents or [agent for agent, over in self._ended.items() if not over]
        return {g.name: np.array([agent in there for agent in g.agents]) for g in self.groups}

    def rewards(self) -> dict[str, Array]:
        return {
            group.name: np.array([[self._rewards[agent]] for agent in group.agents])
            for group in self.groups
        }

    def inject(self, event: str, target: str, is_on: bool) -> None:
        raise UnknownKeyError(f"world {self.name!r} has no physical events, found {event!r}")

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(f"world {self.name!r} takes actions only, not the verb {verb!r}")

    def state_bytes(self) -> bytes:
        seen = b"".join(part.tobytes() for part in self.observe().values())
        rewards = np.array([*self._rewards.values(), self.is_terminated, self.is_truncated])
        return seen + rewards.tobytes()

    def metrics(self) -> dict[str, Metric]:
        return {
            "return": Metric(self._total, "", "higher", True, "sum over agents and steps"),
            "steps": Metric(float(self._steps), "", "higher", False, "of this episode"),
        }

    def scene(self) -> dict[str, Any]:
        seen = {
            agent: row.tolist()
            for group in self.groups
            for agent, row in zip(group.agents, self.observe()[group.name], strict=True)
        }
        title = f"{self.name}, step {self._steps}"
        return {"kind": "numbers", "title": title, "rewards": dict(self._rewards), "sees": seen}


def _grouped(
    agents: Sequence[str], seen: Mapping[str, Mapped], act: Mapping[str, Mapped]
) -> dict[str, list[str]]:
    """Agents by the first part of their names, if their spaces are alike; in order."""
    groups: dict[str, list[str]] = {}
    for agent in agents:
        prefix, _, number = agent.rpartition("_")
        groups.setdefault(prefix if prefix and number.isdigit() else agent, []).append(agent)
    found: dict[str, list[str]] = {}
    for prefix, names in groups.items():
        spaces = {(seen[name].space, act[name].space) for name in names}
        found |= {prefix: names} if len(spaces) == 1 else {name: [name] for name in names}
    return found
