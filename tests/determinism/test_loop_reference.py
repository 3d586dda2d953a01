"""Random asyncio programs leave the same trace on an agent's loop as on asyncio's own.

The reference is a `SelectorEventLoop` whose selector, instead of waiting, jumps the clock to the
next timer. Where asyncio leaves the order open, the reference is told what an agent's loop
promises, and nothing more: timers at one instant run in the order of their creation (asyncio's
heap compares the time alone, which is not stable), and tasks hash by the order of their creation
(asyncio iterates over sets of tasks by address). Times are rounded to the nanosecond by both.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import selectors
from asyncio import events
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from checkers.effort import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.loop import AgentLoop, _Collector
from sim.units import NEVER

Trace = list[tuple[int, str]]
Op = tuple[Any, ...]


# --- the reference ------------------------------------------------------------------------------


class OrderedTimer(events.TimerHandle):
    """Ties go to the older."""

    __slots__ = ("number",)

    def __lt__(self, other: OrderedTimer) -> bool:
        return (self._when, self.number) < (other._when, other.number)


class NumberedTask(asyncio.Task):
    def __init__(self, coro: Any, *, loop: Reference, **options: Any) -> None:
        loop.tasks_made += 1
        self.number = loop.tasks_made
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class JumpingSelector(selectors.DefaultSelector):
    """Nothing ever comes from outside: waiting is a jump of the clock."""

    loop: Reference

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            self.loop.stop()
        elif timeout > 0:
            self.loop.seconds = self.loop._scheduled[0]._when
        return []


class Reference(asyncio.SelectorEventLoop):
    """asyncio's own loop with a jumping clock. is_tied: with the promises of an agent's loop."""

    def __init__(self, is_tied: bool = True) -> None:
        selector = JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self.seconds = 0.0
        self.tasks_made = self.timers_made = 0
        self.is_tied = is_tied
        self._clock_resolution = 1e-10
        self.set_exception_handler(lambda loop, context: None)
        if is_tied:
            self.set_task_factory(lambda loop, coro, **o: NumberedTask(coro, loop=loop, **o))

    def time(self) -> float:
        return self.seconds

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        when = round(when * 1e9) / 1e9
        if not self.is_tied:
            return super().call_at(when, callback, *args, context=context)
        timer = OrderedTimer(when, callback, args, self, context)
        self.timers_made += 1
        timer.number = self.timers_made
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer


def on_reference(*programs: Callable[[Trace], Any], is_tied: bool = True) -> list[Trace]:
    """The trace of each program, all on one loop, run until nothing is left to happen."""
    loop, traces = Reference(is_tied), [[] for _ in programs]
    tasks = [loop.create_task(p(t)) for p, t in zip(programs, traces, strict=True)]
    loop.run_forever()
    found = [list(trace) for trace in traces]
    while left := [task for task in asyncio.all_tasks(loop) if not task.done()]:
        for task in left:
            task.cancel()
        loop.run_forever()
    for task in tasks:
        if not task.cancelled():
            task.exception()
    loop.close()
    return found


def on_agent_loop(*programs: Callable[[Trace], Any]) -> list[Trace]:
    loop, traces = AgentLoop(100_000), [[] for _ in programs]
    loop.set_exception_handler(lambda loop, context: None)
    loop.enter()
    try:
        tasks = [loop.create_task(p(t)) for p, t in zip(programs, traces, strict=True)]
        loop.settle()
        while (instant := loop.next_timer) != NEVER:
            loop.advance(instant)
            loop.settle()
    finally:
        loop.leave()
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
    found = [list(trace) for trace in traces]
    loop.discard()
    return found


@pytest.fixture(autouse=True)
def _no_collector(request: pytest.FixtureRequest) -> Iterator[None]:
    """When the collector runs is no part of a program; a whole run sees to that by itself."""
    if "run" not in request.fixturenames:
        gc.disable()
    yield
    gc.enable()


# --- programs -----------------------------------------------------------------------------------

DELAYS = st.sampled_from([0.0, 0.1, 0.1, 0.2, 0.2, 0.25, 0.3, 0.5, 1.0])
LIMITS = st.sampled_from([None, -0.1, 0.0, 0.1, 0.2, 0.25, 0.3, 0.5])
SLOTS = st.integers(0, 1)
LEAVES = st.one_of(
    st.tuples(st.just("sleep"), DELAYS),
    st.tuples(st.just("sleep"), DELAYS),
    st.tuples(st.just("put"), SLOTS),
    st.tuples(st.just("get"), SLOTS, DELAYS),
    st.tuples(st.just("set"), SLOTS),
    st.tuples(st.just("clear"), SLOTS),
    st.tuples(st.just("await_event"), SLOTS),
    st.tuples(st.just("call_later"), DELAYS),
    st.tuples(st.just("call_at"), st.sampled_from([-1.0, 0.0, 0.3])),
    st.tuples(st.just("call_soon")),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("generate"), st.integers(1, 3), DELAYS, st.integers(1, 3)),
    st.tuples(st.just("raise")),
)


def _nested(body: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(body, min_size=1, max_size=3)
    return st.lists(
        st.one_of(
            LEAVES,
            st.tuples(st.just("spawn"), body),
            st.tuples(st.just("group"), several),
            st.tuples(st.just("gather"), several, st.booleans()),
            st.tuples(
                st.just("wait"), several, LIMITS,
                st.sampled_from(["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]),
            ),
            st.tuples(st.just("as_completed"), several, LIMITS),
            st.tuples(st.just("timeout"), LIMITS, body),
            st.tuples(st.just("wait_for"), LIMITS, body),
            st.tuples(st.just("shield"), LIMITS, body),
            st.tuples(st.just("finally"), body, DELAYS),
            st.tuples(st.just("lock"), body),
        ),
        min_size=1, max_size=4,
    )  # fmt: skip


PROGRAMS = st.recursive(st.lists(LEAVES, min_size=1, max_size=4), _nested, max_leaves=12)


class Player:
    """Runs a program made of ops, and writes down what happens when."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.loop = asyncio.get_running_loop()
        self.queues = [asyncio.Queue(1), asyncio.Queue()]
        self.events = [asyncio.Event(), asyncio.Event()]
        self.lock_ = asyncio.Lock()
        self.tasks: list[asyncio.Task[Any]] = []

    def say(self, label: str) -> None:
        self.trace.append((round(self.loop.time() * 1e9), label))

    def start(self, body: list[Op], path: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.play(body, path))
        self.tasks.append(task)
        return task

    async def play(self, body: list[Op], path: str) -> str:
        for i, (name, *arguments) in enumerate(body):
            where = f"{path}.{i}{name}"
            try:
                said = await getattr(self, name)(where, *arguments)
                self.say(f"{where}={said}")
            except asyncio.CancelledError:
                self.say(f"{where} cancelled")
                raise
            except (ExceptionGroup, ValueError, TimeoutError) as error:
                self.say(f"{where}!{type(error).__name__}")
                if name == "raise":
                    raise
        return path

    async def sleep(self, where: str, delay: float) -> None:
        await asyncio.sleep(delay)

    async def put(self, where: str, slot: int) -> None:
        async with asyncio.timeout(0.4):
            await self.queues[slot].put(where)

    async def get(self, where: str, slot: int, limit: float) -> str:
        return await asyncio.wait_for(self.queues[slot].get(), limit)

    async def set(self, where: str, slot: int) -> None:
        self.events[slot].set()

    async def clear(self, where: str, slot: int) -> None:
        self.events[slot].clear()

    async def await_event(self, where: str, slot: int) -> None:
        await self.events[slot].wait()

    async def call_later(self, where: str, delay: float) -> None:
        self.loop.call_later(delay, self.say, f"{where} called")

    async def call_at(self, where: str, offset: float) -> None:
        self.loop.call_at(self.loop.time() + offset, self.say, f"{where} called")

    async def call_soon(self, where: str) -> None:
        self.loop.call_soon(self.say, f"{where} called")
        await asyncio.sleep(0)

    async def cancel(self, where: str, number: int) -> bool | None:
        if number < len(self.tasks):
            return self.tasks[number].cancel()
        return None

    async def generate(self, where: str, count: int, delay: float, taken: int) -> None:
        async def numbers() -> Any:
            try:
                for i in range(count):
                    await asyncio.sleep(delay)
                    yield i
            finally:
                self.say(f"{where} closing")
                await asyncio.sleep(delay)
                self.say(f"{where} closed")

        async for i in numbers():
            self.say(f"{where} got {i}")
            if i + 1 == taken:
                break

    async def spawn(self, where: str, body: list[Op]) -> None:
        self.start(body, where)

    async def group(self, where: str, bodies: list[list[Op]]) -> None:
        async with asyncio.TaskGroup() as group:
            for i, body in enumerate(bodies):
                self.tasks.append(group.create_task(self.play(body, f"{where}/{i}")))

    async def gather(self, where: str, bodies: list[list[Op]], is_soft: bool) -> list[str]:
        parts = (self.play(body, f"{where}/{i}") for i, body in enumerate(bodies))
        return [str(r) for r in await asyncio.gather(*parts, return_exceptions=is_soft)]

    async def wait(
        self, where: str, bodies: list[list[Op]], limit: float | None, condition: str
    ) -> list[int]:
        tasks = [self.start(body, f"{where}/{i}") for i, body in enumerate(bodies)]
        done, pending = await asyncio.wait(
            tasks, timeout=limit, return_when=getattr(asyncio, condition)
        )
        for task in pending:
            task.cancel()
        return [tasks.index(task) for task in [*done, *pending]]

    async def as_completed(
        self, where: str, bodies: list[list[Op]], limit: float | None
    ) -> list[str]:
        tasks = [self.start(body, f"{where}/{i}") for i, body in enumerate(bodies)]
        found = []
        for each in asyncio.as_completed(tasks, timeout=limit):
            found.append(await each)
            self.say(f"{where} {found[-1]}")
        return found

    async def timeout(self, where: str, limit: float | None, body: list[Op]) -> str:
        async with asyncio.timeout(limit):
            return await self.play(body, where)

    async def wait_for(self, where: str, limit: float | None, body: list[Op]) -> str:
        return await asyncio.wait_for(self.play(body, where), limit)

    async def shield(self, where: str, limit: float | None, body: list[Op]) -> str:
        return await asyncio.wait_for(asyncio.shield(self.start(body, where)), limit)

    async def lock(self, where: str, body: list[Op]) -> str:
        async with self.lock_:
            return await self.play(body, where)

    async def _raise(self, where: str) -> None:
        raise ValueError(where)

    async def _finally(self, where: str, body: list[Op], delay: float) -> str:
        try:
            return await self.play(body, where)
        finally:
            await asyncio.sleep(delay)
            self.say(f"{where} after")


setattr(Player, "raise", Player._raise)
setattr(Player, "finally", Player._finally)


def program(body: list[Op]) -> Callable[[Trace], Any]:
    async def run(trace: Trace) -> None:
        with contextlib.suppress(ValueError):
            await Player(trace).play(body, "")

    return run


def _compare(body: list[Op]) -> None:
    (expected,) = on_reference(program(body))
    (found,) = on_agent_loop(program(body))
    assert found == expected


@settings(max_examples=tries(300), deadline=None, derandomize=True)
@given(PROGRAMS)
def test_random_programs_leave_the_reference_trace(body: list[Op]) -> None:
    _compare(body)


@pytest.mark.slow
@settings(
    max_examples=tries(3000), deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(PROGRAMS)
def test_many_random_programs_leave_the_reference_trace(body: list[Op]) -> None:
    _compare(body)


# --- neighbours ---------------------------------------------------------------------------------


async def twelve_sleepers(trace: Trace) -> None:
    """Timers of one instant, among timeouts that come to nothing."""

    async def sleeper(number: int) -> None:
        async with asyncio.timeout(5.0 + number):
            await asyncio.sleep(1.0)
        trace.append((0, f"sleeper {number}"))

    await asyncio.gather(*map(sleeper, range(12)))


async def broken_group(trace: Trace) -> None:
    """A failure cancels the others of its group, in the order of a set."""

    async def member(number: int) -> None:
        try:
            await asyncio.sleep(1.0 + (number != 3))
            raise ValueError(str(number))
        finally:
            trace.append((0, f"member {number}"))

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for number in range(7):
                group.create_task(member(number))


@pytest.mark.parametrize("one", [twelve_sleepers, broken_group])
def test_control_neighbours_on_one_loop_reorder_each_other(one: Any) -> None:
    alone = on_agent_loop(one)
    assert on_agent_loop(one) == alone
    together = [on_agent_loop(*[one] * 3), on_reference(*[one] * 3, is_tied=False)]
    assert any(trace != alone[0] for traces in together for trace in traces)


AGENTS = """
    class A(sim.Agent):
        async def run(self):
            async with asyncio.TaskGroup() as group:
                for part in (self.sleep, self.groups, self.limits, self.race, self.follow):
                    group.create_task(part())

        def say(self, *words):
            print(*words)
            self.publish("said", list(words))

        async def sleep(self):
            async def sleeper(number):
                async with asyncio.timeout(5 + number):
                    await asyncio.sleep(0.5)
                self.say("sleeper", number)
            await asyncio.gather(*map(sleeper, range(12)))

        async def groups(self):
            async def member(number):
                try:
                    await asyncio.sleep(0.5 + (number != 3))
                    raise ValueError(str(number))
                finally:
                    self.say("member", number)
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(7):
                        group.create_task(member(number))
            except* ValueError as errors:
                self.say("failed", [str(e) for e in errors.exceptions])

        async def limits(self):
            async for now in self.every(0.1):
                try:
                    async with asyncio.timeout(0.1):
                        await asyncio.sleep(0.1)
                    self.say("slept")
                except TimeoutError:
                    self.say("late")

        async def race(self):
            async def runner(number):
                await asyncio.sleep(0.1 * (1 + number % 2))
                return number
            while True:
                tasks = [asyncio.create_task(runner(i)) for i in range(9)]
                done, pending = await asyncio.wait(tasks, timeout=0.1)
                self.say("done", [t.result() for t in done], len(pending))
                self.say("first", [await t for t in asyncio.as_completed(pending)])
                self.say("new", [await t for t in asyncio.as_completed(map(runner, range(9)))])

        async def follow(self):
            while True:
                message = await self.receive("said", timeout=0.3)
                print("heard", message and (message.sender, message.payload, message.arrived))
"""
CROWD = {
    "duration": "2s",
    "world": {"agents": 8},
    "network": {"default": {"latency": "10ms", "jitter": {"exponential": "5ms"}, "loss": 0.05}},
}


def test_packing_changes_neither_trace_nor_digest(run: Any) -> None:
    apart, pairs, packed = (run(AGENTS, CROWD, agents_per_host=n) for n in (1, 2, 8))
    names = [f"agent-{i + 1}" for i in range(8)]
    assert all(len(apart.said(name)) > 100 for name in names)
    for other in (pairs, packed):
        assert [other.lines(name) for name in names] == [apart.lines(name) for name in names]
        assert other.result.folds == apart.result.folds


# --- memory -------------------------------------------------------------------------------------


def _noise(seed: int) -> list[Any]:
    """Objects kept and dropped, so that the next ones lie elsewhere."""
    loop = asyncio.new_event_loop()
    made = [asyncio.Future(loop=loop) for _ in range(400)]
    made += [bytearray(size) for size in range(100, 500)]
    kept = [each for i, each in enumerate(made) if hash((seed, i)) % 3]
    loop.close()
    return kept


def test_addresses_leave_no_trace_and_would_on_plain_tasks() -> None:
    ours, plain, kept = set(), set(), []
    for seed in range(20):
        kept.append(_noise(seed))
        ours.add(str(on_agent_loop(broken_group)))
        plain.add(str(on_reference(broken_group, is_tied=False)))
    assert len(ours) == 1
    assert len(plain) > 1


def test_coroutines_given_to_as_completed_start_in_their_order() -> None:
    async def each(trace: Trace, number: int) -> None:
        trace.append((0, str(number)))

    async def some(trace: Trace) -> None:
        for next_one in asyncio.as_completed([each(trace, i) for i in range(20)]):
            await next_one

    (trace,) = on_agent_loop(some)
    assert [int(label) for _, label in trace] == list(range(20))
    plain = set()
    for seed in range(20):
        kept = _noise(seed)
        plain.add(str(on_reference(some, is_tied=False)))
        del kept
    assert len(plain) > 1


def test_a_task_that_only_a_cycle_refers_to_lives_on() -> None:
    async def waiting(trace: Trace) -> None:
        future = asyncio.get_running_loop().create_future()
        future.own = future
        try:
            await future
        finally:
            trace.append((0, "ended"))

    async def forgetful(trace: Trace) -> None:
        asyncio.create_task(waiting(trace))  # noqa: RUF006
        await asyncio.sleep(1)
        gc.collect()
        trace.append((0, "collected"))

    assert on_agent_loop(forgetful) == [[(0, "collected")]]


GARBAGE = """
    import gc

    class A(sim.Agent):
        async def numbers(self):
            try:
                yield 1
            finally:
                print("closed")
                self.publish("closed", self.now)

        async def run(self):
            for _ in range(4):
                await asyncio.sleep(0.1)
                generator = self.numbers()
                cycle = [generator]
                cycle.append(cycle)
                await anext(generator)
                del generator, cycle
            await asyncio.sleep(0.1)
            print("slept")
            await asyncio.sleep(0.4)
            print("slept")

    class Sweeper(sim.Agent):
        async def run(self):
            async for now in self.every(0.033):
                gc.collect()
"""
STEPS = {"world": {"agents": 4, "step": "1ms"}, "duration": "1s"}


def test_generators_in_cycles_close_on_the_grid_whatever_collects_when(run: Any) -> None:
    runs = [run(GARBAGE, STEPS, agents_per_host=n) for n in (1, 2, 4)]
    runs.append(run(GARBAGE, STEPS, cast={"agent-4": "Sweeper"}, agents_per_host=4))
    traces = [each.lines("agent-1") for each in runs]
    ends = [(0.3, "closed"), (0.3, "closed"), (0.5, "slept")]
    assert traces[0] == [*ends, (0.9, "closed"), (0.9, "closed"), (0.9, "slept")]
    assert traces[1:] == traces[:1] * 3


def test_control_generators_closed_when_found_depend_on_neighbours(run: Any) -> None:
    gc.callbacks.remove(_Collector.note)
    try:
        _check_that_neighbours_matter(run)
    finally:
        gc.callbacks.append(_Collector.note)


def _check_that_neighbours_matter(run: Any) -> None:
    quiet = run(GARBAGE, STEPS, agents_per_host=4)
    swept = run(GARBAGE, STEPS, cast={"agent-4": "Sweeper"}, agents_per_host=4)
    assert swept.lines("agent-1") != quiet.lines("agent-1")


@pytest.mark.process
def test_generators_in_cycles_close_at_the_same_time_in_processes(run: Any) -> None:
    inline = run(GARBAGE, STEPS)
    for agents_per_host in (1, 4):
        apart = run(GARBAGE, STEPS, inline=False, agents_per_host=agents_per_host)
        assert apart.lines("agent-1") == inline.lines("agent-1")
        assert apart.result.folds == inline.result.folds
