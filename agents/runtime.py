"""Runs the agents of one host, one loop after another, until all are at rest in the window.

Pure of sockets and processes: an activation goes in, a yield comes out. The same runtime serves a
host process, a host with many agents, and the broker's own process (`--inline`).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import signal
import traceback
from array import array
from collections.abc import AsyncIterator
from math import isfinite
from typing import Any, Final

import numpy as np

from agents.agent import Observation
from agents.behaviour import make_agent
from agents.capture import captured, current
from agents.channels import Channels
from agents.faults import describe_failure, is_of_the_machine
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
    OVERDUE,
    RUNNING,
    Act,
    Activation,
    Done,
    Observed,
    SpaceField,
    Start,
    Work,
    Yield,
)

_LINE_MAX: Final = 2000
"""Characters of one line of an agent's log."""


class Deadline(BaseException):
    """Raised inside an agent's handler that used up its processor time; not to be caught."""


def _space(fields: list[SpaceField]) -> Space:
    return Space(
        tuple(
            Field(name, unit, low, high, size, default, choices=choices, masks=masks)
            for name, unit, low, high, size, default, choices, masks in fields
        )
    )


class Cell:
    """One incarnation of one agent: its loop, its channels, its program."""

    def __init__(self, start: Start, roster: list[str]) -> None:
        self.start = start
        self.loop = AgentLoop(start.callbacks_max, start.name)
        self.context = contextvars.Context()
        self.channels = Channels(
            self.loop, start.name, roster, start.inbox_max, start.messages_per_second_max,
            start.budget,
        )  # fmt: skip
        self.observation_space = _space(start.observation)
        self.action_space = _space(start.action)
        self.acts: list[Act] = []
        self.logs: list[tuple[int, str, str]] = []
        self.saved: bytes | None = None
        self.program: asyncio.Task[Any] | None = None
        self.is_starting = True
        self.overdue: BaseException | None = None
        self.partial_lines: dict[str, str] = {}
        self.skews: list[tuple[int, int, float]] = []
        self._action = self.action_space.default.tobytes()
        self._observed: Observed | None = None
        self._observed_count = 0
        self._read_count = 0
        self._watchers: list[asyncio.Future[None]] = []
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

    @property
    def clock_ns(self) -> int:
        """What this agent's own clock shows: each skew is (since, ns ahead, share it is faster)."""
        now = self.loop.now_ns
        return now + sum(ahead + round(drift * (now - t)) for t, ahead, drift in self.skews)

    async def observations(self) -> AsyncIterator[Observation]:
        """Those newer than any that was read before; every reader gets each."""
        seen = self._read_count
        while True:
            while self._observed is None or self._observed_count == seen:
                watcher: asyncio.Future[None] = asyncio.Future(loop=self.loop)
                self._watchers.append(watcher)
                try:
                    await watcher
                finally:
                    self._watchers.remove(watcher)
            missed = self._observed_count - seen - 1
            seen = self._observed_count
            self._read_count = max(self._read_count, seen)
            yield Observation(self._observed, self.observation_space, missed)

    def act(self, values: Any, fields: dict[str, float]) -> None:
        space = self.action_space
        if not self.start.group:
            raise AgentError("this agent has no slot in the world, so it cannot act")
        try:
            if type(values) is list and len(values) == space.size:
                packed = array("d", values)  # the quick way for what is most common
                if isfinite(sum(packed)):
                    self._action = packed.tobytes()
                    self.acts.append(Act(self.loop.now_ns, "", self._action))
                    return
            if values is None:
                action = space.pack(fields, np.frombuffer(self._action))
            else:
                action = np.array(values, dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"act: {error.args[0]}") from None
        if action.shape != (space.size,):
            names = ", ".join(space.slices)
            raise AgentError(f"act: expected {space.size} numbers ({names}), got {_size(action)}")
        if not isfinite(sum(action.tolist())) and not np.isfinite(action).all():
            raise AgentError(f"act: every number must be finite, got {action.tolist()}")
        self._action = action.tobytes()
        self.acts.append(Act(self.loop.now_ns, "", self._action))

    def save(self, state: Any) -> None:
        self.saved = encode_payload(state)

    def load(self) -> Any:
        return None if self.start.saved is None else decode_payload(self.start.saved)

    def log(self, level: str, text: str) -> None:
        room = LOG_LINES_PER_ACTIVATION_MAX - len(self.logs)
        if room == 1:
            level, text = "warning", "too many lines at once: the next are not kept"
        if room > 0:
            self.logs.append((self.loop.now_ns, level, text[:_LINE_MAX]))

    def write(self, level: str, text: str) -> None:
        """Whole lines are logged; what is begun waits for its end."""
        *lines, rest = (self.partial_lines.pop(level, "") + text).split("\n")
        for line in lines:
            self.log(level, line)
        if rest:
            self.partial_lines[level] = rest[:_LINE_MAX]

    def _on_loop_error(self, loop: Any, context: dict[str, Any]) -> None:
        """An error that asyncio has nobody to raise at: of a plain callback, mostly."""
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self.overdue = error
        elif isinstance(error, Exception):
            self.log("error", f"in a callback: {describe_failure(error)}")
        else:
            self.log("warning", f"{context.get('message', '')} {context.get('task', '')}".strip())

    # --- running --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Makes the agent from its behaviour and schedules its program."""
        agent = make_agent(self)
        for name in dir(type(agent)):
            topic = getattr(inspect.getattr_static(agent, name, None), "_serves", None)
            if topic is not None:
                self.channels.served[topic] = self._server(getattr(agent, name))
        if not inspect.iscoroutinefunction(agent.run):
            is_generator = inspect.isasyncgenfunction(agent.run)
            raise AgentError(
                f"{type(agent).__name__}.run must be `async def run(self)`"
                + " without a yield" * is_generator
            )
        self.program = self.loop.create_task(agent.run(), name="run")

    def _server(self, method: Any) -> Any:
        async def serve(message: Any) -> None:
            try:
                reply = method(message)
                if inspect.isawaitable(reply):
                    reply = await reply
                self.channels.reply(message, reply)
            except MemoryError:
                raise
            except Exception as error:
                self.log("error", f"serving {message.topic!r}: {describe_failure(error)}")
                cause = f"{type(error).__name__}: {error}"[:_LINE_MAX]
                self.channels.reply(message, cause, is_refusal=True)

        def start(message: Any) -> None:
            self.loop.create_task(serve(message), name=f"serving {message.topic}")

        return start

    def run(self, work: Work, until: int, topics: list[str]) -> Done:
        """Everything of this agent that happens before `until`, and nothing before `work.wake`."""
        loop, state, error, goes_on = self.loop, RUNNING, "", True
        loop.enter()
        try:
            if self.is_starting:
                self.is_starting = False
                loop.advance(work.wake)
                self.begin()
                loop.settle()
                goes_on = self._goes_on()
            if not goes_on or not self._run_window(work, until, topics):
                state = FINISHED
        except BaseException as fault:
            if isinstance(fault, KeyboardInterrupt) and not _is_deaf():
                raise
            state = OVERDUE if is_of_the_machine(fault) else FAILED
            if state == OVERDUE:
                _Process.make_room(fault)
            error = describe_failure(fault)
        finally:
            if not captured.is_kept:
                loop.leave()
        return self._done(work.agent, state, error)

    def _goes_on(self) -> bool:
        """Whether the program has not ended. Raises: what it failed with."""
        if self.overdue is not None:
            raise self.overdue
        program = self.program
        if program is not None and program.done():
            if program.cancelled():
                raise AgentError("run() was cancelled")
            program.result()
            return False
        if self.loop.failed:
            for task in self.loop.take_lost():
                fault = task.exception()
                assert fault is not None
                if is_of_the_machine(fault):
                    raise fault
                text = f"task {task.get_name()!r} failed, and nobody awaits it"
                self.log("error", f"{text}: {describe_failure(fault)}")
        return True

    def _run_window(self, work: Work, until: int, topics: list[str]) -> bool:
        """Whether the program goes on after it."""
        loop, channels = self.loop, self.channels
        inbound = channels.unpack(work.rows, work.bodies, topics) if work.rows else []
        observed, at, n = work.observed, 0, len(inbound)
        while True:
            instant = loop.next_timer
            if observed is not None and observed.time <= instant and self._watchers:
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
            if not self._goes_on():
                return False
        if at < n:
            channels.absorb(inbound, at, until)
        if observed is not None:
            self._observe(observed)
        return True

    def _observe(self, observed: Observed) -> None:
        self._observed_count += observed.missed + 1
        self._observed = observed
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)

    def _done(self, agent: int, state: int, error: str) -> Done:
        channels = self.channels
        waits = channels.waits
        if state != RUNNING:
            for level, text in self.partial_lines.items():
                self.log(level, text)
        done = Done(
            agent,
            self.loop.next_timer if state == RUNNING else NEVER,
            state,
            bool(self._watchers),
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


def _is_deaf() -> bool:
    """Whether Ctrl-C cannot reach this process, so that a KeyboardInterrupt is the agent's own."""
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def _size(action: np.ndarray[Any, Any]) -> str:
    """What was given in place of a vector: how many numbers, or of which shape."""
    return str(len(action)) if action.ndim == 1 else f"an array of shape {action.shape}"


_RESERVE_BYTES: Final = 4 * 1024 * 1024


class _Process:
    """What all hosts of a process share: activations so far, and at which garbage was collected.

    reserve: address space, never touched, that is given up when memory runs out, so that there is
    some to say so.
    """

    activations = 0
    collected_at = 0
    reserve: bytearray | None = None

    @classmethod
    def make_room(cls, fault: BaseException) -> None:
        """Lets go of what a fault's frames hold, and of the reserve."""
        cls.reserve = None
        traceback.clear_frames(fault.__traceback__)

    @classmethod
    def keep_reserve(cls) -> None:
        with contextlib.suppress(MemoryError):
            cls.reserve = cls.reserve or bytearray(_RESERVE_BYTES)


class HostRuntime:
    """All agents of one host."""

    def __init__(self, host: int) -> None:
        self.host = host
        self.cells: dict[int, Cell] = {}
        self._roster: list[str] = []
        self._topics: list[str] = []
        self._serial = -1
        self._checked: tuple[Cell | None, int, int] = (None, -1, 0)
        self._ran_at = 0
        _Process.keep_reserve()

    def run(self, activation: Activation) -> Yield:
        """Runs the activation's agents to rest, and says what they did and wait for."""
        self._serial = activation.serial
        self._roster.extend(activation.roster)
        self._topics.extend(activation.topics)
        if activation.collect:
            self._collect()
        for agent in activation.discard:
            self._discard(agent)
        done = []
        with captured:
            for work in activation.work:
                if work.start is not None:
                    self._discard(work.agent)
                    self.cells[work.agent] = Cell(work.start, self._roster)
                cell = current.cell = self.cells[work.agent]
                if work.clock is not None:
                    cell.skews = work.clock
                report = cell.context.run(cell.run, work, activation.until, self._topics)
                current.cell = None
                if report.state != RUNNING:
                    self._discard(work.agent)
                if report.state == OVERDUE:
                    gc.collect()
                    _Process.keep_reserve()
                done.append(report)
        _Process.activations += 1
        self._ran_at = _Process.activations
        return Yield(activation.serial, done)

    def _collect(self) -> None:
        """Collects garbage, unless no agent of this host has run since that was last done."""
        if self._ran_at >= _Process.collected_at:
            gc.collect()
            _Process.activations += 1
            _Process.collected_at = _Process.activations
        for cell in self.cells.values():
            cell.context.run(cell.loop.adopt)

    def _discard(self, agent: int) -> None:
        cell = self.cells.pop(agent, None)
        if cell is not None:
            with captured:
                before, current.cell = current.cell, cell
                cell.context.run(cell.loop.discard)
                current.cell = before

    def close(self) -> None:
        """Discards all agents."""
        for agent in list(self.cells):
            self._discard(agent)

    def check_deadline(self) -> None:
        """Called from a timer of processor time, once a second: stops a handler past its bound.

        Raises: Deadline, inside whatever the agent's code is doing.
        """
        cell, (checked, serial, ticks) = current.cell, self._checked
        is_same = cell is not None and (checked, serial) == (cell, self._serial)
        ticks = ticks + 1 if is_same else 0
        self._checked = (cell, self._serial, ticks)
        if cell is not None and ticks > cell.start.cpu_seconds_max:
            cell.overdue = Deadline()
            raise cell.overdue
