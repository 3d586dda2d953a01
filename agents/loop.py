"""The virtual-time event loop: one per agent, never shared.

`loop.time()` is the simulated clock. Everything of asyncio that needs only tasks, futures, timers
and queues works unmodified; what would reach outside (sockets, signals, sub-processes, other
threads) is refused, because its outcome could not be repeated.

Order at one instant: messages and observation, then timers by (instant, creation number), then
ready callbacks. Tasks and futures hash by creation number, so that sets of them (TaskGroup, wait,
as_completed) iterate in the same order in every process.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any, NoReturn

from sim.errors import AgentError
from sim.units import NEVER, SECOND, seconds_ns


class AgentTask(asyncio.Task[Any]):
    """A task whose hash is its creation number in its agent's loop."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: AgentLoop, **options: Any) -> None:
        self.number = loop.next_number()
        super().__init__(coro, loop=loop, **options)
        self._log_destroy_pending = False  # an agent that is killed leaves tasks behind

    def __hash__(self) -> int:
        return self.number


class AgentFuture(asyncio.Future[Any]):
    """A future whose hash is its creation number in its agent's loop."""

    def __init__(self, *, loop: AgentLoop) -> None:
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class AgentLoop(asyncio.BaseEventLoop):
    """An event loop whose clock is `now_ns`, moved by `run` alone."""

    def __init__(self, callbacks_per_instant_max: int) -> None:
        super().__init__()
        self.now_ns = 0
        self._timers: list[tuple[int, int, events.TimerHandle]] = []
        self._jobs: list[tuple[AgentFuture, Callable[..., Any], tuple[Any, ...]]] = []
        self._worker: ThreadPoolExecutor | None = None
        self._number = 0
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
        return AgentTask(coro, loop=self, name=name or f"task-{self._number + 1}", context=context)

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._ready_handles.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.Handle:
        if threading.current_thread() is not threading.main_thread() and not self.is_running():
            raise AgentError(
                "call_soon_threadsafe from a thread of the agent's own: when it runs depends on "
                "the machine. Use asyncio.to_thread or loop.run_in_executor: virtual time waits"
            )
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        return self._schedule(self.now_ns + seconds_ns(delay), callback, args, context)

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
        """Cancelled timers leave the heap when they come up."""

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
        while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(timers)
        return timers[0][0] if timers else NEVER

    @property
    def is_idle(self) -> bool:
        return not self._ready_handles and not self._jobs

    def enter(self) -> None:
        """Makes this the running loop of the thread."""
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook,  # type: ignore[attr-defined]
            finalizer=self._asyncgen_finalizer_hook,  # type: ignore[attr-defined]
        )

    @staticmethod
    def leave() -> None:
        """Undoes `enter`."""
        events._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)

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
            if not handle._cancelled:  # type: ignore[attr-defined]
                self._ready_handles.append(handle)

    def settle(self) -> None:
        """Runs ready callbacks, and executor jobs when there are none, until nothing is ready.

        Raises: AgentError if the agent makes more callbacks at one instant than its bound.
        """
        ready = self._ready_handles
        while True:
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                    self._instant_callbacks += 1
                    if self._instant_callbacks > self._callbacks_max:
                        raise AgentError(
                            f"more than {self._callbacks_max:,} callbacks without virtual time "
                            "passing: a loop that never waits (sleep(0) takes no time)"
                        )
            if not self._jobs:
                return
            self._run_job(*self._jobs.pop(0))

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
        """Drops everything that is still to run, without running it."""
        self._ready_handles.clear()
        self._timers.clear()
        self._jobs.clear()
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
        self.close()


def _refuse(name: str, remedy: str) -> Callable[..., NoReturn]:
    def refused(self: AgentLoop, *args: Any, **options: Any) -> NoReturn:
        raise AgentError(
            f"{name} reaches outside the simulation, so that a run could not be repeated; {remedy}"
        )

    refused.__name__ = name
    return refused


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
for _name in ("run_forever", "run_until_complete"):
    setattr(AgentLoop, _name, _refuse(_name, "an agent's loop is run by its host"))
