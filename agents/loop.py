"""The virtual-time event loop: one per agent, never shared.

`loop.time()` is the simulated clock. Everything of asyncio that needs only tasks, futures, timers
and queues works unmodified; what would reach outside (sockets, signals, sub-processes, other
threads) is refused, because its outcome could not be repeated.

Order at one instant: messages and observation, then timers by (instant, creation number), then
ready callbacks in rounds, as asyncio has them: a timer made for this very instant comes after the
callbacks that were ready with its maker.

What would depend on memory does not: tasks and futures hash by creation number, so that sets of
them (TaskGroup, wait, as_completed) iterate alike in every process; a running task is never
collected as garbage; a generator that the collector found is finalised when the host collects.
"""

# The types of variadic callbacks in typeshed say no more than these.
# mypy: disable-error-code="override"

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import sys
import threading
import zlib
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any, Final, NoReturn

from agents.faults import suspended_frames
from sim.errors import AgentError
from sim.units import NEVER, SECOND, seconds_ns


class AgentTask(asyncio.Task[Any]):
    """A task whose hash is its creation number in its agent's loop, which keeps it alive."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: AgentLoop, **options: Any) -> None:
        loop.task_count += 1
        self.number = loop.task_count
        self._hash = loop.salt + self.number
        super().__init__(coro, loop=loop, **options)
        loop.tasks[self.number] = self
        self.add_done_callback(loop.retire)

    def __hash__(self) -> int:
        return self._hash


class AgentFuture(asyncio.Future[Any]):
    """A future whose hash is its creation number in its agent's loop."""

    def __init__(self, *, loop: AgentLoop) -> None:
        self._hash = loop.salt + loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._hash


class _Collector:
    """Whether the garbage collector is at work just now."""

    is_running = False

    @classmethod
    def note(cls, phase: str, info: dict[str, int]) -> None:
        cls.is_running = phase == "start"


gc.callbacks.append(_Collector.note)


class AgentLoop(asyncio.BaseEventLoop):
    """An event loop whose clock is `now_ns`, moved by `run` alone."""

    def __init__(self, callbacks_per_instant_max: int, name: str = "") -> None:
        """name: the agent's, so that tasks of different agents hash differently."""
        super().__init__()
        self.now_ns = 0
        self.salt = zlib.crc32(name.encode()) << 29
        self.task_count = 0
        self.tasks: dict[int, AgentTask] = {}
        self.failed: list[AgentTask] = []
        self._timers: list[tuple[int, int, events.TimerHandle]] = []
        self._cancelled_timers = 0
        self._jobs: deque[tuple[AgentFuture, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._worker: ThreadPoolExecutor | None = None
        self._number = 0
        self._generators: dict[int, int] = {}
        self._orphans: list[tuple[int, Any]] = []
        self._thread = threading.get_ident()
        self._outer: tuple[Any, Any, Any] = (None, None, None)
        self._instant_callbacks = 0
        self._callbacks_max = callbacks_per_instant_max
        self._ready_handles = self._ready  # type: ignore[attr-defined]

    # --- what asyncio asks of a loop -----------------------------------------------------------

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def time(self) -> float:
        return self.now_ns / SECOND

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> AgentFuture:
        return AgentFuture(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> AgentTask:
        return AgentTask(
            coro, loop=self, name=name or f"task-{self.task_count + 1}", context=context
        )

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._ready_handles.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.Handle:
        if threading.get_ident() != self._thread:
            raise AgentError(
                "call_soon_threadsafe from a thread of the agent's own: when it runs depends on "
                "the machine. Use asyncio.to_thread or loop.run_in_executor: virtual time waits"
            )
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        when_ns = min(self.now_ns + seconds_ns(delay), NEVER)
        return self._schedule(when_ns, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        return self._schedule(seconds_ns(when), callback, args, context)

    def call_at_ns(self, when_ns: int, callback: Callable[..., Any], *args: Any) -> None:
        """`call_at` without the rounding of a float."""
        self._schedule(when_ns, callback, args, None)

    def _schedule(
        self, when_ns: int, callback: Callable[..., Any], args: Any, context: Context | None
    ) -> events.TimerHandle:
        handle = events.TimerHandle(when_ns / SECOND, callback, args, self, context)
        heapq.heappush(self._timers, (when_ns, self.next_number(), handle))
        return handle

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Cancelled timers leave the heap when they come up, or are more than the others."""
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_CANCELLED_TIMERS_MIN, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Jobs run one at a time, in order of submission, while virtual time waits for them."""
        future = self.create_future()
        self._jobs.append((future, func, args))
        return future

    def __del__(self, *_: object) -> None:
        """Nothing outside is held, so there is nothing to warn of."""

    # --- running --------------------------------------------------------------------------------

    @property
    def next_timer(self) -> int:
        """The instant of the next live timer; NEVER if there is none."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else NEVER

    def enter(self) -> None:
        """Makes this the running loop of the thread, in place of one that a notebook may have.

        In a process of agents only, it may stay so from one activation to the next.
        """
        running = events._get_running_loop()
        if running is self:
            return
        self._outer = (running, *sys.get_asyncgen_hooks())
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)

    def leave(self) -> None:
        """Undoes `enter`."""
        outer, *hooks = self._outer
        events._set_running_loop(outer)
        sys.set_asyncgen_hooks(*hooks)

    def _asyncgen_firstiter_hook(self, generator: Any) -> None:
        self._generators[id(generator)] = self.next_number()

    def _asyncgen_finalizer_hook(self, generator: Any) -> None:
        """Closes a generator that nobody refers to any more.

        One that was found by the garbage collector waits for `adopt`, since when the collector
        looks may depend on what else lives in the process.
        """
        number = self._generators.pop(id(generator), 0)
        if self.is_closed():
            return
        if _Collector.is_running:
            self._orphans.append((number, generator))
        else:
            self.call_soon(self.create_task, generator.aclose())

    def adopt(self) -> None:
        """Closes the generators that garbage collection has found, in the order they began."""
        orphans, self._orphans = self._orphans, []
        for _, generator in sorted(orphans, key=lambda orphan: orphan[0]):
            self.create_task(generator.aclose())

    def retire(self, task: AgentTask) -> None:
        """Lets go of a task that is done; a failed one is kept until somebody has asked it."""
        self.tasks.pop(task.number, None)
        if task._log_traceback:
            self.failed.append(task)

    def take_lost(self) -> list[AgentTask]:
        """Tasks that have failed since, and that nobody has asked for their outcome."""
        failed, self.failed = self.failed, []
        return [task for task in failed if task._log_traceback]

    def move(self, instant_ns: int) -> None:
        """Moves the clock forward; never back."""
        if instant_ns > self.now_ns:
            self.now_ns = instant_ns
            self._instant_callbacks = 0

    def advance(self, instant_ns: int) -> None:
        """Moves the clock, and makes the timers due by then ready."""
        self.move(instant_ns)
        timers = self._timers
        while timers and timers[0][0] <= instant_ns:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                self._ready_handles.append(handle)

    def settle(self) -> None:
        """Runs ready callbacks, and executor jobs when there are none, until nothing is ready.

        Raises: AgentError if the agent makes more callbacks at one instant than its bound.
        """
        ready = self._ready_handles
        while True:
            while ready:
                self._instant_callbacks += len(ready)
                for _ in range(len(ready)):
                    handle = ready.popleft()
                    if not handle._cancelled:
                        handle._run()
                if self._instant_callbacks > self._callbacks_max:
                    raise self._spinning()
                if self._timers and self._timers[0][0] <= self.now_ns:
                    self.advance(self.now_ns)
            if not self._jobs:
                return
            self._run_job(*self._jobs.popleft())

    def _spinning(self) -> AgentError:
        error = AgentError(
            f"more than {self._callbacks_max:,} callbacks without virtual time passing: a loop "
            "that never waits (sleep(0) takes no time)"
        )
        for handle in self._ready_handles:
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, AgentTask):
                error.add_note(suspended_frames(task.get_coro()))
                break
        return error

    def _run_job(self, future: AgentFuture, func: Callable[..., Any], args: Any) -> None:
        if future.cancelled():
            return
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="agent-executor")
        job = self._worker.submit(func, *args)
        error = job.exception()
        if error is None:
            future.set_result(job.result())
        else:
            future.set_exception(error)

    def discard(self) -> None:
        """Drops everything that is still to run. Of it, only what `finally` does at once runs."""
        self._timers.clear()
        self._jobs.clear()
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
        if self.is_running():
            self.leave()
        self.close()
        tasks, self.tasks = list(self.tasks.values()), {}
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(Exception, SystemExit, asyncio.CancelledError):
                task.get_coro().close()
        self._ready_handles.clear()


def _refuse(name: str, remedy: str) -> Callable[..., NoReturn]:
    def refused(self: AgentLoop, *args: Any, **options: Any) -> NoReturn:
        raise AgentError(
            f"{name} reaches outside the simulation, so that a run could not be repeated; {remedy}"
        )

    refused.__name__ = name
    return refused


_CANCELLED_TIMERS_MIN: Final = 100
_TALK = "talk to other agents with publish, send or request, or use asyncio.to_thread for a file"
for _name in (
    "sock_recv sock_recv_into sock_recvfrom sock_recvfrom_into sock_sendall sock_sendto "
    "sock_connect sock_accept sock_sendfile sendfile start_tls create_connection create_server "
    "create_unix_connection create_unix_server create_datagram_endpoint connect_accepted_socket "
    "connect_read_pipe connect_write_pipe add_reader add_writer remove_reader remove_writer "
    "getaddrinfo getnameinfo"
).split():
    setattr(AgentLoop, _name, _refuse(_name, _TALK))
for _name in ("subprocess_shell", "subprocess_exec"):
    setattr(AgentLoop, _name, _refuse(_name, "run it with subprocess.run inside asyncio.to_thread"))
for _name in ("add_signal_handler", "remove_signal_handler"):
    setattr(AgentLoop, _name, _refuse(_name, "faults come from the scenario: see faults:"))
for _name in ("run_forever", "run_until_complete", "stop"):
    setattr(AgentLoop, _name, _refuse(_name, "an agent's loop is run by its host"))


_as_completed = asyncio.as_completed


def _in_order(fs: Iterable[Any], *, timeout: float | None = None) -> Iterator[Any]:
    """`asyncio.as_completed`, which would start coroutines in the order of their addresses."""
    if isinstance(events._get_running_loop(), AgentLoop) and not asyncio.isfuture(fs):
        fs = [asyncio.ensure_future(each) for each in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)


asyncio.as_completed = asyncio.tasks.as_completed = _in_order
