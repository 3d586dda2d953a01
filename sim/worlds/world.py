"""What a world is, in two forms.

`World` is one copy, driven by the broker; it may be impure (an order book, SUMO).
`BatchWorld` is pure functions on torch tensors with a leading batch dimension B, float64, any
device; the trainer runs thousands of copies of it, and `single(world)` makes it a `World`.
Time is the broker's: a world only ever advances by its step `dt`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.spaces import Space

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
State = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Agents of one role: same observation, same action, same decision period.

    hold:   what an action does after it took effect: "last" holds until replaced or `ttl_ns` ends,
            "default" counts for one decision period only. Afterwards the agent is `absent` and the
            world applies the device's own fall-back.
    must_act: whether every decision asks for an action; else agents act when they have something
            to say, and the outcome counts nobody as late or missing.
    """

    name: str
    agents: tuple[str, ...]
    observation: Space
    action: Space
    every_ns: int
    hold: str = "last"
    ttl_ns: int = 2**63 - 1
    must_act: bool = True


@dataclass(frozen=True)
class Round:
    """A message round inside a decision period: `senders` speak on `topic`, `receiver` collects
    until `deadline_ns` after the period began, calls its mechanism and answers on `reply`.

    Shapes: a message of the round is `width` numbers, an answer `reply_width`. `fields` and
            `reply_fields` name them, if they have names; several numbers may share one.
    """

    topic: str
    senders: tuple[str, ...]
    receiver: str
    every_ns: int
    deadline_ns: int
    width: int
    reply: str = ""
    reply_width: int = 0
    mechanism: str = ""
    fields: tuple[str, ...] = ()
    reply_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A figure of the outcome. better: "lower" or "higher"; objective marks the one optimised."""

    value: float
    unit: str = ""
    better: str = "lower"
    objective: bool = False
    help: str = ""


@dataclass(frozen=True)
class PhysicalEvent:
    """A fault of the world itself that can be injected: a line trip, a closed lane."""

    name: str
    targets: tuple[str, ...]
    help: str = ""


def target_of(events: Sequence[PhysicalEvent], event: str, target: str) -> int:
    """The number of a target among those of an event.

    Raises: UnknownKeyError naming the nearest event or target.
    """
    known = {each.name: each.targets for each in events}
    if event not in known:
        raise UnknownKeyError(f"there is no event {event!r}; {did_you_mean(event, known)}")
    if target not in known[event]:
        close = did_you_mean(target, known[event])
        raise UnknownKeyError(f"{event}: there is no target {target!r}; {close}")
    return known[event].index(target)


@dataclass(frozen=True)
class Said:
    """A message of a venue: to one agent, or published to all who subscribe if `to` is empty."""

    venue: str
    topic: str
    payload: Any
    to: str = ""


class Venue(Protocol):
    """A name under which a world is on the network, as an exchange is.

    Optional: `check(time_ns, is_connected)`, called before every step. `is_connected(name)` says
    whether that agent's process runs and messages can come from it, and go to it.
    """

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        """What an agent's message does on its arrival. verb: its topic. time_ns: of the episode.

        Returns: the reply, if it was a request. Raises: ValueError, which refuses it.
        """


@runtime_checkable
class World(Protocol):
    """One copy of a world, as the broker drives it. Calls come in this order:
    `reset`, `observe`, then for each step `advance`, `observe`.

    Optional: `edges`, pairs of names that are linked in `network: {topology: world}`; a name that
    is no agent's is a relay's. A batch world may have it too.

    A world that agents talk to may have `venues`, a mapping of names to `Venue`; each is also a
    slot of a group, and nobody's to play. Such a world has `said() -> list[Said]`, what it says
    since it was last asked: the broker asks after every message to a venue and after every step.

    A world whose agents are somewhere may have `positions() -> {name: (x, y)}` in metres, where
    they are now: links by radio reach by them.
    """

    name: str
    dt_ns: int
    groups: Sequence[Group]
    rounds: Sequence[Round]
    events: Sequence[PhysicalEvent]

    def reset(self, seed: int, episode: int) -> None:
        """Starts an episode; every random number comes from (seed, episode)."""

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        """One step of `dt`. Shapes: per group, actions [n, action.size], present [n].

        `present` is False where no action is in force; the world then applies its fall-back.
        """

    def observe(self) -> dict[str, Array]:
        """Per group, float64 [n, observation.size], of the state now."""

    def rewards(self) -> dict[str, Array]:
        """Per group, float64 [n, components], for the step just taken."""

    def inject(self, event: str, target: str, is_on: bool) -> None:
        """Applies or lifts a physical event. Raises: ScenarioError for an unknown one."""

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        """A verb of an event world (an order, a mark), between steps, in key order."""

    def state_bytes(self) -> bytes:
        """The whole physical state in canonical bytes, for the digest."""

    def metrics(self) -> dict[str, Metric]:
        """The outcome so far."""

    def scene(self) -> dict[str, Any]:
        """What to draw: plain numbers, strings, lists and dicts."""

    @property
    def is_terminated(self) -> bool:
        """Whether the episode ended by itself (not by the horizon).

        A world that has a limit of steps of its own also has `is_truncated`: whether it was that.
        """


class BatchWorld(Protocol):
    """Pure physics on tensors [B, ...] float64. `state` is a dict of tensors, never changed in
    place; `advance` of the same state and actions gives the same result, bit for bit.

    `positions(state) -> {name: [B, 2]}` in metres may be there, as that of a `World`.
    """

    name: str
    dt_ns: int
    groups: Sequence[Group]
    rounds: Sequence[Round]
    events: Sequence[PhysicalEvent]
    reward_components: tuple[str, ...]

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        """B = len(seeds) copies; each row depends on its own (seed, episode) alone."""

    def advance(
        self,
        state: State,
        actions: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor],
    ) -> tuple[State, dict[str, torch.Tensor]]:
        """The next state, and per group the rewards [B, n, components] of the step."""

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        """Per group, [B, n, observation.size]."""

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        """The state with a physical event applied to, or lifted from, every copy."""

    def metrics(self, state: State) -> dict[str, Metric]:
        """The outcome so far, of a batch of one."""

    def scene(self, state: State) -> dict[str, Any]:
        """What to draw, of a batch of one."""

    def terminated(self, state: State) -> torch.Tensor:
        """Bool [B]: the episode ended by itself."""


@dataclass
class Single:
    """A batch of one of a BatchWorld, as a World."""

    batch: BatchWorld
    state: State = field(default_factory=dict)
    last_rewards: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.batch.name
        self.dt_ns = self.batch.dt_ns
        self.groups = self.batch.groups
        self.rounds = self.batch.rounds
        self.events = self.batch.events

    @property
    def edges(self) -> Sequence[tuple[str, str]]:
        return getattr(self.batch, "edges", ())

    def reset(self, seed: int, episode: int) -> None:
        self.state = self.batch.reset([(seed, episode)])
        self.last_rewards = {
            g.name: np.zeros((len(g.agents), len(self.batch.reward_components)))
            for g in self.groups
        }

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        import torch

        self.state, rewards = self.batch.advance(
            self.state,
            {name: torch.from_numpy(a)[None] for name, a in actions.items()},
            {name: torch.from_numpy(p)[None] for name, p in present.items()},
        )
        self.last_rewards = {name: r[0].numpy() for name, r in rewards.items()}

    def positions(self) -> dict[str, tuple[float, ...]]:
        """Where agents are in metres; nothing if the batch does not say."""
        if not hasattr(self.batch, "positions"):
            return {}
        return {name: tuple(p[0].tolist()) for name, p in self.batch.positions(self.state).items()}

    def observe(self) -> dict[str, Array]:
        return {name: o[0].numpy() for name, o in self.batch.observe(self.state).items()}

    def rewards(self) -> dict[str, Array]:
        return self.last_rewards

    def inject(self, event: str, target: str, is_on: bool) -> None:
        self.state = self.batch.inject(self.state, event, target, is_on)

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(f"world {self.name!r} takes actions only, not the verb {verb!r}")

    def state_bytes(self) -> bytes:
        return b"".join(
            name.encode() + value.contiguous().numpy().tobytes()
            for name, value in sorted(self.state.items())
            if hasattr(value, "numpy")
        )

    def metrics(self) -> dict[str, Metric]:
        return self.batch.metrics(self.state)

    def scene(self) -> dict[str, Any]:
        return self.batch.scene(self.state)

    @property
    def is_terminated(self) -> bool:
        return bool(self.batch.terminated(self.state)[0])


def positions_of(world: World) -> Mapping[str, Sequence[float]]:
    """Where a world says that agents are, in metres, since its last step or reset."""
    told: Any = getattr(world, "positions", dict)
    found: Mapping[str, Sequence[float]] = told()
    return found


def has_positions(world: World) -> bool:
    """Whether a world says where its agents are."""
    return hasattr(getattr(world, "batch", world), "positions")


def single(batch: BatchWorld) -> World:
    """One copy of a BatchWorld as the broker's World; the same functions, B = 1."""
    return Single(batch)
