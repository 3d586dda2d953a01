"""The agent's event loop: its clock, its timers, its jobs, and what it refuses."""

from __future__ import annotations

import asyncio
import contextvars
import math
import re
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agents.loop import AgentLoop
from sim.errors import AgentError
from sim.units import NEVER, SECOND

Program = Callable[[list[Any]], Coroutine[Any, Any, Any]]


def play(program: Program, until: int = NEVER, callbacks_max: int = 1000) -> list[Any]:
    """What a program wrote down, on a loop of its own, before the instant `until`."""
    loop, trace = AgentLoop(callbacks_max), []
    loop.set_exception_handler(lambda loop, context: trace.append(context.get("exception")))
    loop.enter()
    try:
        task = loop.create_task(program(trace))
        loop.settle()
        while loop.next_timer < until:
            loop.advance(loop.next_timer)
            loop.settle()
    finally:
        loop.leave()
    if task.done():
        task.result()
    found = list(trace)
    loop.discard()
    return found


def now() -> int:
    return asyncio.get_running_loop().now_ns


# --- time ---------------------------------------------------------------------------------------


def test_the_clock_is_virtual_and_exact() -> None:
    async def program(trace: list[Any]) -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)
        trace.append(now())
        await asyncio.sleep(365 * 86_400)
        trace.append(now())
        await asyncio.sleep(1e-12)
        trace.append(now())

    year = 365 * 86_400 * SECOND
    assert play(program) == [SECOND, SECOND + year, SECOND + year + 1]


def test_for_ever_is_no_timer() -> None:
    async def program(trace: list[Any]) -> None:
        await asyncio.sleep(5)
        asyncio.get_running_loop().call_later(math.inf, trace.append, "never")
        async with asyncio.timeout(math.inf):
            await asyncio.sleep(1)
        trace.append(now())
        await asyncio.sleep(1e300)

    assert play(program) == [6 * SECOND]


def test_a_delay_that_is_no_number_is_refused() -> None:
    async def program(trace: list[Any]) -> None:
        asyncio.get_running_loop().call_later(math.nan, trace.append, 1)

    with pytest.raises(ValueError, match="nan"):
        play(program)


def test_cancelled_timers_do_not_pile_up() -> None:
    async def program(trace: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(3, trace.append, "kept")
        for _ in range(10_000):
            async with asyncio.timeout(86_400):
                await asyncio.sleep(1e-6)
        trace.append(len(loop._timers) < 500)
        await asyncio.sleep(5)

    assert play(program, callbacks_max=100_000) == [True, "kept"]


def test_the_context_goes_along() -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def program(trace: list[Any]) -> None:
        name.set("somebody")
        asyncio.get_running_loop().call_later(1, lambda: trace.append(name.get()))
        trace.append(await asyncio.to_thread(name.get))

    assert play(program) == ["somebody", "somebody"]


def test_a_loop_of_a_notebook_is_given_back() -> None:
    async def cell() -> bool:
        outer = asyncio.get_running_loop()
        play(lambda trace: asyncio.sleep(1))
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is outer

    assert asyncio.run(cell())


# --- bounds -------------------------------------------------------------------------------------


def test_a_loop_that_never_waits_is_named_with_its_place() -> None:
    async def turning() -> None:
        while True:
            await asyncio.sleep(0)

    async def program(trace: list[Any]) -> None:
        await asyncio.sleep(3)
        await turning()

    with pytest.raises(AgentError, match=r"1,000 callbacks .*sleep\(0\) takes no time") as caught:
        play(program)
    (where,) = caught.value.__notes__
    assert "test_loop.py" in where
    assert "in turning" in where


def test_many_callbacks_over_time_are_no_spin() -> None:
    async def program(trace: list[Any]) -> None:
        for _ in range(2000):
            await asyncio.sleep(0.001)
        trace.append("done")

    assert play(program, callbacks_max=10) == ["done"]


# --- jobs ---------------------------------------------------------------------------------------


def test_jobs_run_one_at_a_time_in_order_while_virtual_time_waits() -> None:
    running, jobs = [], []

    def job(number: int) -> int:
        running.append(number)
        assert len(running) == 1
        pause = threading.Event()
        pause.wait(0.02 / (1 + number))
        running.remove(number)
        jobs.append(number)
        return number

    async def program(trace: list[Any]) -> None:
        async def one(number: int) -> None:
            trace.append((await asyncio.to_thread(job, number), now()))

        async with asyncio.timeout(1e-9):
            await asyncio.gather(*map(one, range(6)))
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        trace.append((await loop.run_in_executor(None, job, 6), now()))

    assert play(program) == [*((i, 0) for i in range(6)), (6, SECOND)]
    assert jobs == list(range(7))


def test_a_job_that_raises_raises_where_it_is_awaited() -> None:
    async def program(trace: list[Any]) -> None:
        try:
            await asyncio.to_thread(int, "x")
        except ValueError as error:
            trace.append(str(error))

    assert "invalid literal" in play(program)[0]


def test_a_cancelled_job_that_has_not_begun_never_runs() -> None:
    ran = []

    async def program(trace: list[Any]) -> None:
        first = asyncio.create_task(asyncio.to_thread(ran.append, 1))
        second = asyncio.create_task(asyncio.to_thread(ran.append, 2))
        await asyncio.sleep(0)
        second.cancel()
        await first

    play(program)
    assert ran == [1]


def test_a_foreign_thread_may_not_call_in() -> None:
    async def program(trace: list[Any]) -> None:
        loop = asyncio.get_running_loop()

        def call_in() -> None:
            loop.call_soon_threadsafe(trace.append, "called")

        with pytest.raises(AgentError, match=r"depends on .*the machine.* asyncio\.to_thread"):
            await asyncio.to_thread(call_in)
        loop.call_soon_threadsafe(trace.append, "own thread")

    assert play(program) == ["own thread"]


# --- what is refused ----------------------------------------------------------------------------


async def _echo(*streams: Any) -> None:
    pass


OUTSIDE: dict[str, Callable[[asyncio.AbstractEventLoop, socket.socket], Any]] = {
    "create_connection": lambda loop, sock: asyncio.open_connection("127.0.0.1", 9),
    "create_server": lambda loop, sock: asyncio.start_server(_echo, "127.0.0.1", 0),
    "create_unix_connection": lambda loop, sock: asyncio.open_unix_connection("x"),
    "create_unix_server": lambda loop, sock: asyncio.start_unix_server(_echo, "x"),
    "create_datagram_endpoint": lambda loop, sock: loop.create_datagram_endpoint(asyncio.Protocol),
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 1),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(1)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 1),
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"x"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
    "add_reader": lambda loop, sock: loop.add_reader(sock, print),
    "add_writer": lambda loop, sock: loop.add_writer(sock, print),
    "connect_read_pipe": lambda loop, sock: loop.connect_read_pipe(asyncio.Protocol, sock),
    "getaddrinfo": lambda loop, sock: loop.getaddrinfo("localhost", 80),
    "start_tls": lambda loop, sock: loop.start_tls(None, None, None),
    "subprocess_exec": lambda loop, sock: asyncio.create_subprocess_exec("true"),
    "subprocess_shell": lambda loop, sock: asyncio.create_subprocess_shell("true"),
    "add_signal_handler": lambda loop, sock: loop.add_signal_handler(signal.SIGTERM, print),
    "remove_signal_handler": lambda loop, sock: loop.remove_signal_handler(signal.SIGTERM),
    "run_forever": lambda loop, sock: loop.run_forever(),
    "run_until_complete": lambda loop, sock: loop.run_until_complete(asyncio.Event().wait()),
    "stop": lambda loop, sock: loop.stop(),
}
REMEDIES = r"to_thread|publish, send or request|faults come from the scenario|run by its host"


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_what_reaches_outside_is_refused_with_a_remedy(name: str) -> None:
    async def program(trace: list[Any]) -> None:
        with socket.socket() as sock:
            try:
                await (OUTSIDE[name](asyncio.get_running_loop(), sock) or asyncio.sleep(0))
            except AgentError as error:
                assert re.match(rf"{name} .*could not be repeated.*({REMEDIES})", str(error))  # noqa: PT017
                trace.append("refused")

    assert play(program) == ["refused"]


def test_a_loop_in_the_loop_is_refused() -> None:
    async def program(trace: list[Any]) -> None:
        waiting = asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="running event loop"):
            asyncio.run(waiting)
        waiting.close()

    play(program)


# --- the end ------------------------------------------------------------------------------------


def test_discarding_runs_no_more_than_what_finally_does_at_once() -> None:
    trace: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            trace.append("finally")
            await asyncio.sleep(1)
            trace.append("too late")

    async def unborn() -> None:
        trace.append("never")

    loop = AgentLoop(1000)
    loop.enter()
    task = loop.create_task(stubborn())
    loop.settle()
    loop.create_task(unborn())
    loop.leave()
    loop.discard()
    assert trace == ["finally"]
    assert not task.done()
