"""The base of every agent: an asyncio program in virtual time.

Compulsory: `async def run(self)`.
Optional:   `__init__` with the scenario's `params`; handlers marked `@serves("topic")`.

    class Saver(sim.Agent):
        async def run(self):
            async for obs in self.observations():
                price = self.latest("price", max_age=60)
                self.act(charge_kw=3.0 if price and price.payload < 0.2 else 0.0)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agents.channels import Message
from agents.spent import Spent
from sim.errors import AgentError
from sim.spaces import Space
from sim.units import SECOND, duration_ns
from sim.wire.messages import REFUSAL, Observed

if TYPE_CHECKING:
    from agents.runtime import Cell

F = TypeVar("F", bound=Callable[..., Any])


def serves(topic: str) -> Callable[[F], F]:
    """Marks `async def handler(self, message)` as the answer to requests on a topic.

    What it returns is the reply; what it raises is sent back as a refusal.
    """

    def mark(function: F) -> F:
        function._serves = topic  # type: ignore[attr-defined]
        return function

    return mark


class Observation:
    """What an agent saw at one instant: its group's fields by name, or as one vector.

    Units: those of the group's observation space; `time` in seconds. `missed` counts observations
    that were replaced before this one was read. `reward` is the vector of components since.
    """

    __slots__ = ("_observed", "missed", "space", "time_ns")

    def __init__(self, observed: Observed, space: Space, missed: int) -> None:
        self._observed = observed
        self.space = space
        self.time_ns = observed.time
        self.missed = missed

    @property
    def values(self) -> NDArray[np.float64]:
        return np.frombuffer(self._observed.values)

    @property
    def reward(self) -> NDArray[np.float64]:
        return np.frombuffer(self._observed.rewards)

    @property
    def time(self) -> float:
        return self.time_ns / SECOND

    def __getitem__(self, name: str) -> Any:
        value = self.values[self.space.index(name)]
        return float(value[0]) if len(value) == 1 else value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"observation has {error.args[0]}") from None

    def __repr__(self) -> str:
        fields = ", ".join(f"{n}={self[n]}" for n in self.space.slices)
        return f"Observation(t={self.time:g}, {fields})"


class Refused(AgentError):
    """The agent asked refused a request, or its handler raised; the message says why."""


class Agent:
    """An asyncio program with a name, a clock, a mailbox and, if the world has a slot for it,
    observations and actions. Times are seconds of virtual time unless a name ends in _ns.
    """

    _cell: Cell

    def __init__(self, **params: Any) -> None:
        self.params = params

    async def run(self) -> None:
        """The program; the default serves requests for ever."""
        await asyncio.Event().wait()

    # --- who and when ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._cell.start.name

    @property
    def group(self) -> str:
        """The role this agent plays in the world; empty for a free-standing program."""
        return self._cell.start.group

    @property
    def names(self) -> tuple[str, ...]:
        """All agents of the run, in the order of the scenario."""
        return tuple(self._cell.channels.roster)

    @property
    def now(self) -> float:
        return self._cell.loop.now_ns / SECOND

    @property
    def now_ns(self) -> int:
        return self._cell.loop.now_ns

    @property
    def clock(self) -> float:
        """Seconds on this agent's own clock, which a `skew` fault makes wrong; `now` is true."""
        return self._cell.clock_ns / SECOND

    @property
    def rng(self) -> np.random.Generator:
        """This agent's own generator, keyed by seed, name, episode and incarnation."""
        return self._cell.rng

    # --- the world ------------------------------------------------------------------------------

    @property
    def observation_space(self) -> Space:
        return self._cell.observation_space

    @property
    def action_space(self) -> Space:
        return self._cell.action_space

    def observations(self) -> AsyncIterator[Observation]:
        """Each observation as it comes; if the agent was busy, only the latest."""
        return self._cell.observations()

    def act(self, values: Sequence[float] | NDArray[Any] | None = None, **fields: float) -> None:
        """Sets the action from the next step of the world on, in the units of the action space.

        Give the whole vector, or fields by name (the others keep what was last set).
        Raises: AgentError if there is no such field, or the numbers are not finite or of the
        wrong shape.
        """
        self._cell.act(values, fields)

    # --- messages -------------------------------------------------------------------------------

    def publish(self, topic: str, payload: Any) -> None:
        """Sends to everyone who subscribes to `topic`, except oneself."""
        self._cell.channels.publish(topic, payload)

    def subscribe(self, topic: str) -> None:
        """Publications on `topic` sent from now on arrive. Reading a topic subscribes too."""
        self._cell.channels.subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        self._cell.channels.subscribe(topic, is_on=False)

    def send(self, to: str, topic: str, payload: Any) -> None:
        """Sends to one agent, subscribed or not."""
        self._cell.channels.direct(to, topic, payload)

    async def receive(
        self, topic: str | None = None, timeout: float | None = None
    ) -> Message | None:
        """The next unread message, of one topic or of any; None after `timeout` seconds."""
        channels = self._cell.channels
        if timeout is None:
            return await channels.receive(topic)
        try:
            async with asyncio.timeout(timeout):
                return await channels.receive(topic)
        except TimeoutError:
            return None

    def latest(self, topic: str, max_age: float | None = None) -> Message | None:
        """The newest message on a topic; None if there is none, or it was sent too long ago."""
        for message in self._cell.channels.recent(topic):
            is_fresh = max_age is None or self.now_ns - message.sent_ns <= max_age * SECOND
            return message if is_fresh else None
        return None

    def inbox(self, topic: str | None = None, last: int | None = None) -> list[Message]:
        """The last messages, of one topic or of all, oldest first; reading does not remove them."""
        found: list[Message] = []
        for message in self._cell.channels.recent(topic):
            if last is not None and len(found) >= last:
                break
            found.append(message)
        return found[::-1]

    def age(self, message: Message) -> float:
        """Seconds since `message` was sent."""
        return (self.now_ns - message.sent_ns) / SECOND

    async def request(
        self, to: str, topic: str, payload: Any = None, timeout: float | None = None
    ) -> Message | None:
        """Asks one agent and waits for its reply; None after `timeout` seconds.

        Raises: Refused if the handler raised.
        """
        try:
            async with asyncio.timeout(timeout):
                reply = await self._cell.channels.request(to, topic, payload)
        except TimeoutError:
            return None
        if reply.kind == REFUSAL:
            raise Refused(f"{to} refused {topic!r}: {reply.payload}")
        return reply

    @property
    def spent(self) -> Spent:
        """What this incarnation has sent so far, by topic too, and what its budget leaves it."""
        return self._cell.channels.spent

    # --- time, state, words ---------------------------------------------------------------------

    async def every(self, period: float | str) -> AsyncIterator[float]:
        """The multiples of `period`, as they come; those missed while busy are skipped."""
        step = duration_ns(period)
        if step <= 0:
            raise AgentError(f"a period must be positive, found {period!r}")
        loop = self._cell.loop
        due = -(-loop.now_ns // step) * step
        while True:
            if due > loop.now_ns:
                future = loop.create_future()
                loop.call_at_ns(due, resolve, future)
                await future
            yield loop.now_ns / SECOND
            due = (loop.now_ns // step + 1) * step

    def save(self, state: Any) -> None:
        """Keeps a value for the next incarnation of this agent, should it be restarted."""
        self._cell.save(state)

    def load(self) -> Any:
        """What the previous incarnation saved; None if nothing."""
        return self._cell.load()

    def log(self, text: str, level: str = "info") -> None:
        """A line in the run's events, with this agent's name and time."""
        self._cell.log(level, str(text))


def resolve(future: asyncio.Future[Any]) -> None:
    """Lets whoever awaits `future` go on."""
    if not future.done():
        future.set_result(None)
