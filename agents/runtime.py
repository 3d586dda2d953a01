"""Runs the agents of one host, one loop after another, until all are at rest in the window.

Pure of sockets and processes: an activation goes in, a yield comes out. The same runtime serves a
host process, a host with many agents, and the broker's own process (`--inline`).
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from math import isfinite
from typing import Any

import numpy as np

from agents.agent import Observation
from agents.behaviour import make_agent
from agents.capture import captured, current
from agents.channels import Channels
from agents.faults import describe_failure
from agents.loop import AgentLoop
from sim.errors import AgentError
from sim.limits import LOG_LINES_PER_ACTIVATION_MAX
from sim.rng import generator
from sim.spaces import Field, Space
from sim.units import NEVER
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import (
    FAILED,
    FINISHED,
    RUNNING,
    Act,
    Activation,
    Done,
    Observed,
    Start,
    Work,
    Yield,
)


class Deadline(BaseException):
    """Raised inside an agent's handler that used up its processor time; not to be caught."""


def _space(fields: list[tuple[str, str, float, float, int, float]]) -> Space:
    return Space(tuple(Field(*f) for f in fields))


class Cell:
    """One incarnation of one agent: its loop, its channels, its program."""

    def __init__(self, start: Start, roster: list[str]) -> None:
        self.start = start
        self.loop = AgentLoop(start.callbacks_max)
        self.channels = Channels(
            self.loop, start.name, roster, start.inbox_max, start.messages_per_second_max
        )
        self.observation_space = _space(start.observation)
        self.action_space = _space(start.action)
        self.acts: list[Act] = []
        self.logs: list[tuple[int, str, str]] = []
        self.saved: bytes | None = None
        self.program: asyncio.Task[Any] | None = None
        self.is_starting = True
        self._action = self.action_space.default.tobytes()
        self._observed: Observed | None = None
        self._missed = 0
        self._watcher: asyncio.Future[None] | None = None
        self._waits: list[str] = []
        self._rng: np.random.Generator | None = None
        self.loop.set_exception_handler(self._on_loop_error)

    # --- what an Agent asks for ----------------------------------------------------------------

    @property
    def rng(self) -> np.random.Generator:
        if self._rng is None:
            s = self.start
            self._rng = generator(s.seed, "agent", s.name, s.episode, s.incarnation)
        return self._rng

    async def next_observation(self) -> Observation:
        while self._observed is None:
            self._watcher = asyncio.Future(loop=self.loop)
            try:
                await self._watcher
            finally:
                self._watcher = None
        observed, missed = self._observed, self._missed
        self._observed, self._missed = None, 0
        return Observation(observed, self.observation_space, missed)

    def act(self, values: Any, fields: dict[str, float]) -> None:
        space = self.action_space
        if not self.start.group:
            raise AgentError("this agent has no slot in the world, so it cannot act")
        try:
            if values is None:
                action = space.pack(fields, np.frombuffer(self._action))
            else:
                action = np.array(values, dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"act: {error.args[0]}") from None
        if action.shape != (space.size,):
            names = ", ".join(space.slices)
            raise AgentError(f"act: expected {space.size} numbers ({names}), got {action.shape}")
        if not isfinite(sum(action.tolist())) and not np.isfinite(action).all():
            raise AgentError(f"act: every number must be finite, got {action.tolist()}")
        self._action = action.tobytes()
        self.acts.append(Act(self.loop.now_ns, "", self._action))

    def save(self, state: Any) -> None:
        self.saved = encode_payload(state)

    def load(self) -> Any:
        return None if self.start.saved is None else decode_payload(self.start.saved)

    def log(self, level: str, text: str) -> None:
        if len(self.logs) < LOG_LINES_PER_ACTIVATION_MAX:
            self.logs.append((self.loop.now_ns, level, text[:2000]))

    def _on_loop_error(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.log("error", f"{context.get('message', 'error')}: {error!r}")

    # --- running --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Makes the agent from its behaviour and schedules its program."""
        agent = make_agent(self)
        for _, method in inspect.getmembers(agent, inspect.ismethod):
            topic = getattr(method, "_serves", None)
            if topic is not None:
                self.channels.served[topic] = self._server(method)
        if not inspect.iscoroutinefunction(agent.run):
            raise AgentError(f"{type(agent).__name__}.run must be `async def run(self)`")
        self.program = self.loop.create_task(agent.run())

    def _server(self, method: Any) -> Any:
        async def serve(message: Any) -> None:
            try:
                reply = method(message)
                if inspect.isawaitable(reply):
                    reply = await reply
            except Exception as error:
                self.log("error", f"serving {message.topic!r}: {error!r}")
                self.channels.reply(message, f"{type(error).__name__}: {error}", is_refusal=True)
            else:
                self.channels.reply(message, reply)

        return lambda message: self.loop.create_task(serve(message))

    def run(self, work: Work, until: int, topics: list[str]) -> Done:
        """Everything of this agent that happens before `until`, and nothing before `work.wake`."""
        loop, state, error = self.loop, RUNNING, ""
        loop.enter()
        try:
            if self.is_starting:
                self.is_starting = False
                loop.advance(work.wake)
                self.begin()
                loop.settle()
            self._run_window(work, until, topics)
            if self.program is not None and self.program.done():
                state, error = FINISHED, ""
                if self.program.cancelled():
                    raise AgentError("run() was cancelled")
                self.program.result()
        except (
            Exception,
            SystemExit,
            KeyboardInterrupt,
            Deadline,
            asyncio.CancelledError,
        ) as fault:
            state, error = FAILED, describe_failure(fault)
        finally:
            loop.leave()
        return self._done(work.agent, state, error)

    def _run_window(self, work: Work, until: int, topics: list[str]) -> None:
        loop, channels = self.loop, self.channels
        inbound = channels.unpack(work.rows, work.bodies, topics) if work.rows else []
        observed, at, n = work.observed, 0, len(inbound)
        while True:
            instant = loop.next_timer
            if observed is not None and observed.time <= instant and self._watcher is not None:
                instant = observed.time
            if at < n and channels.may_wake:
                instant = channels.next_awaited(inbound, at, instant)
            instant = max(instant, work.wake)
            if instant >= until:
                break
            loop.move(instant)
            if observed is not None and observed.time <= instant:
                self._observe(observed)
                observed = None
            if at < n:
                at = channels.absorb(inbound, at, instant)
            loop.advance(instant)
            loop.settle()
        channels.absorb(inbound, at, until)
        if observed is not None:
            self._observe(observed)

    def _observe(self, observed: Observed) -> None:
        self._missed += observed.missed + (self._observed is not None)
        self._observed = observed
        if self._watcher is not None and not self._watcher.done():
            self._watcher.set_result(None)

    def _done(self, agent: int, state: int, error: str) -> Done:
        waits = self.channels.waits
        channels = self.channels
        done = Done(
            agent,
            self.loop.next_timer if state == RUNNING else NEVER,
            state,
            self._watcher is not None and self._observed is None,
            waits if waits != self._waits else None,
            channels.sends,
            self.acts,
            channels.subscribes,
            self.logs,
            error,
            self.saved,
            self.loop.now_ns if state != RUNNING else 0,
        )
        self._waits = waits
        channels.sends, self.acts, channels.subscribes, self.logs = [], [], [], []
        self.saved = None
        return done


_collected_at = -1


def _collect_garbage(now_ns: int) -> None:
    """Once per process and instant, however many hosts share the process."""
    global _collected_at
    if now_ns != _collected_at:
        _collected_at = now_ns
        gc.collect()


class HostRuntime:
    """All agents of one host."""

    def __init__(self, host: int) -> None:
        self.host = host
        self.cells: dict[int, Cell] = {}
        self._roster: list[str] = []
        self._topics: list[str] = []
        self._serial = -1
        self._checked = (-1, 0)

    def run(self, activation: Activation) -> Yield:
        """Runs the activation's agents to rest, and says what they did and wait for."""
        self._serial = activation.serial
        self._roster.extend(activation.roster)
        self._topics.extend(activation.topics)
        if activation.collect:
            _collect_garbage(activation.now)
        for agent in activation.discard:
            self._discard(agent)
        done = []
        with captured:
            for work in activation.work:
                if work.start is not None:
                    self._discard(work.agent)
                    self.cells[work.agent] = Cell(work.start, self._roster)
                cell = current.cell = self.cells[work.agent]
                report = cell.run(work, activation.until, self._topics)
                current.cell = None
                if report.state != RUNNING:
                    self._discard(work.agent)
                done.append(report)
        return Yield(activation.serial, done)

    def _discard(self, agent: int) -> None:
        cell = self.cells.pop(agent, None)
        if cell is not None:
            cell.loop.discard()

    def check_deadline(self) -> None:
        """Called from a timer of processor time, once a second: stops a handler past its bound.

        Raises: Deadline, inside whatever the agent's code is doing.
        """
        serial, ticks = self._checked
        ticks = ticks + 1 if serial == self._serial and current.cell is not None else 0
        self._checked = (self._serial, ticks)
        if current.cell is not None and ticks > current.cell.start.cpu_seconds_max:
            raise Deadline
