"""Agents that fail: reported by name, virtual time, cause and their author's own frames, and dealt
with as the scenario says.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from sim.errors import ScenarioError

PAIR = {"world": {"agents": 2}}
OTHER = """
class B(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            self.act([1.0])
            print(obs.time)
"""
PROCESS = {"inline": False}


def failing(body: str) -> str:
    """A class A with a body, and a class B that does its duty."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return f"class A(sim.Agent):\n{lines}{OTHER}"


# --- what is said of them -----------------------------------------------------------------------

FAILURES = {
    "raises at the start": (
        "def __init__(self):\n    raise ValueError('no battery')\nasync def run(self): pass",
        0.0, "ValueError: no battery", "in __init__\n    raise ValueError",
    ),
    "raises in run": (
        "async def run(self):\n    await asyncio.sleep(0.25)\n    self.sag()\n"
        "def sag(self):\n    return {}['voltage']",
        0.25, "KeyError: 'voltage'", "in sag\n    return {}['voltage']",
    ),
    "raises in a member of a group": (
        "async def run(self):\n    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(self.part())\n        await asyncio.Event().wait()\n"
        "async def part(self):\n    await asyncio.sleep(0.1)\n    1 / 0",
        0.1, "ZeroDivisionError: division by zero", "in part\n    1 / 0",
    ),
    "raises past Exception": (
        "class Stop(BaseException): pass\nasync def run(self):\n    raise self.Stop('now')",
        0.0, "Stop: now", "in run\n    raise self.Stop",
    ),
    "is closed": (
        "async def run(self):\n    raise GeneratorExit",
        0.0, "GeneratorExit", "in run\n    raise GeneratorExit",
    ),
    "calls sys.exit": (
        "async def run(self):\n    import sys\n    await asyncio.sleep(0.1)\n"
        "    sys.exit('enough')",
        0.1, "called sys.exit('enough')", "in run\n    sys.exit",
    ),
    "calls sys.exit in a task": (
        "async def run(self):\n    task = asyncio.create_task(self.leave())\n"
        "    await asyncio.sleep(0.2)\nasync def leave(self):\n    exit(3)",
        0.0, "called sys.exit(3)", "in leave\n    exit(3)",
    ),
    "cancels itself": (
        "async def run(self):\n    asyncio.current_task().cancel()\n    await asyncio.sleep(1)",
        0.0, "run() was cancelled", "",
    ),
    "has no coroutine": (
        "def run(self):\n    return 3",
        0.0, "A.run must be `async def run(self)`", "",
    ),
    "is a generator": (
        "async def run(self):\n    yield 3",
        0.0, "A.run must be `async def run(self)` without a yield", "",
    ),
    "takes what nobody gives": (
        "async def run(self, world): pass",
        0.0, "run() missing 1 required positional argument: 'world'", "",
    ),
    "acts nonsense": (
        "async def run(self):\n    async for obs in self.observations():\n"
        "        self.act([float('nan') if obs.time else 0.0])",
        0.1, "act: every number must be finite, got [nan]", "in run\n    self.act([float('nan')",
    ),
    "says nonsense": (
        "async def run(self):\n    self.publish('price', {1, 2})",
        0.0, "payload on topic 'price'", "in run\n    self.publish(",
    ),
    "never waits": (
        "async def run(self):\n    await asyncio.sleep(0.1)\n    await self.turn()\n"
        "async def turn(self):\n    while True:\n        await asyncio.sleep(0)",
        0.1, "more than 5,000 callbacks without virtual time passing",
        "in turn\n    await asyncio.sleep(0)",
    ),
    "awaits a socket": (
        "async def run(self):\n    await asyncio.open_connection('127.0.0.1', 9)",
        0.0, "create_connection reaches outside the simulation", "in run\n    await asyncio.open",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("agents_per_host", [1, 2])
def test_a_failure_is_told_and_stops_the_run(run: Any, kind: str, agents_per_host: int) -> None:
    body, time, cause, frame = FAILURES[kind]
    out = run(
        failing(body), {**PAIR, "limits": {"callbacks_per_instant": 5000}},
        cast={"agent-2": "B"}, agents_per_host=agents_per_host,
    )  # fmt: skip
    failure, result = out.failure, out.result
    assert (failure["agent"], failure["time"], failure["policy"]) == ("agent-1", time, "stop")
    assert cause in failure["cause"]
    assert frame in failure["frames"]
    assert failure["frames"].count("File ") == failure["frames"].count("authors")
    assert (result.status, result.exit_code) == ("failed", 4)
    assert "agent-1" in result.error
    assert cause in result.error
    assert len(out.said("agent-2")) == round(time * 10) + 1


def test_a_module_that_cannot_be_loaded(run: Any) -> None:
    out = run("import no_such_module\nclass A(sim.Agent): pass")
    assert out.failure["cause"] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "import no_such_module" in out.failure["frames"]
    with pytest.raises(ScenarioError, match=r"authors2.py:4.*expected|authors2.py:3"):
        run("class A(sim.Agent):\n    async def run(self)\n        pass")
    with pytest.raises(ScenarioError, match=r"no 'A' in .*authors3.py; did you mean 'Aa'"):
        run("class Aa(sim.Agent): pass")


def test_failures_in_libraries_are_told_by_the_authors_line(run: Any) -> None:
    out = run("""
        import json
        class A(sim.Agent):
            async def run(self):
                json.loads("{")
    """)
    assert out.failure["cause"].startswith("JSONDecodeError: Expecting property name")
    assert out.failure["frames"].count("File ") == 1
    assert 'json.loads("{")' in out.failure["frames"]


def test_what_nobody_awaits_is_told_at_once_and_the_agent_goes_on(run: Any) -> None:
    out = run("""
        class A(sim.Agent):
            async def run(self):
                self.late = asyncio.create_task(self.part(), name="part")
                asyncio.get_running_loop().call_later(0.2, self.call)
                await asyncio.sleep(0.3)
                try:
                    await self.late
                except ValueError as error:
                    print("caught", error)

            async def part(self):
                await asyncio.sleep(0.1)
                raise ValueError("lost")

            def call(self):
                raise KeyError("in a callback")
    """)
    lost, called = out.lines("agent-1", "error")
    assert lost[0] == 0.1
    assert lost[1].startswith("task 'part' failed, and nobody awaits it: ValueError: lost\n")
    assert 'in part\n    raise ValueError("lost")' in lost[1]
    assert called[0] == 0.2
    assert "in a callback: KeyError: 'in a callback'" in called[1]
    assert "in call\n    raise KeyError" in called[1]
    assert out.lines() == [(0.3, "caught lost")]
    assert out.result.status == "completed"


def test_what_is_awaited_is_not_called_lost(run: Any) -> None:
    out = run("""
        class A(sim.Agent):
            async def run(self):
                async def fail():
                    await asyncio.sleep(0.1)
                    raise ValueError
                await asyncio.gather(fail(), fail(), return_exceptions=True)
                await asyncio.wait([asyncio.create_task(fail()) for _ in range(3)])
                for each in asyncio.as_completed([fail(), fail()]):
                    try:
                        await each
                    except ValueError:
                        print(self.now)
    """)
    assert len(out.said()) == 2
    assert [e for e in out.lines("agent-1", "error") if "nobody" not in e[1]] == []


# --- what is done about them --------------------------------------------------------------------

DIES = failing(
    """
async def run(self):
    print("born", self.now, self.load())
    self.act([2.0])
    self.save(self.now)
    await asyncio.sleep(0.25)
    raise ValueError("dead")
"""
)


def supervised(policy: str, **more: Any) -> dict[str, Any]:
    return {**PAIR, "duration": "3s", "supervision": {"on_failure": policy, **more}}


@pytest.mark.parametrize("agents_per_host", [1, 2])
def test_fallback_leaves_the_device_to_its_own(run: Any, agents_per_host: int) -> None:
    out = run(DIES, supervised("fallback"), {"agent-2": "B"}, agents_per_host=agents_per_host)
    assert (out.result.status, out.result.exit_code) == ("completed", 0)
    assert out.failure["policy"] == "fallback"
    assert len(out.said("agent-1")) == 1
    assert len(out.said("agent-2")) == 30


@pytest.mark.parametrize("agents_per_host", [1, 2])
def test_restart_begins_anew_until_its_limit(run: Any, agents_per_host: int) -> None:
    out = run(
        DIES, supervised("restart", restarts=3, within="1h", backoff="200ms"), {"agent-2": "B"},
        agents_per_host=agents_per_host,
    )  # fmt: skip
    # Down from the next step on, up again 200 ms later, then 400, then 800.
    born = [0.0, 0.5, 1.2, 2.3]
    assert out.said("agent-1") == [
        f"born {now} {before}" for now, before in zip(born, [None, *born], strict=False)
    ]
    assert [f["time"] for f in out.result.agent_failures] == [0.25, 0.75, 1.45, 2.55]
    assert (out.result.status, out.result.exit_code) == ("failed", 4)
    assert "agent-1 failed more than 3 times within 01:00:00" in out.result.error
    assert "dead" in out.result.error


def test_restarts_are_counted_over_a_time(run: Any) -> None:
    rule = supervised("restart", restarts=1, within="400ms", backoff="200ms")
    out = run(DIES, rule, cast={"agent-2": "B"})
    assert out.result.status == "completed"
    assert len(out.said("agent-1")) == 6


def test_the_policy_may_be_an_agents_own(run: Any) -> None:
    scenario = {**supervised("stop"), "agents": {"agent-1": {"on_failure": "fallback"}}}
    out = run(DIES, scenario, cast={"agent-2": "B"})
    assert out.result.status == "completed"


def test_both_fail_and_both_are_told(run: Any) -> None:
    out = run(DIES, supervised("fallback"))
    assert [f["agent"] for f in out.result.agent_failures] == ["agent-1", "agent-2"]


# --- whole processes ----------------------------------------------------------------------------

QUICK = {"handler_cpu": "1s", "handler_blocked": "2s"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "cause", "frame"),
    [
        ("import os\nos._exit(3)", "exit 3", ""),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", ""),
        ("import os\nos.fork()", "agents may not fork", "os.fork()"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        ("breakpoint()", "use sim run --inline", "breakpoint()"),
        ("import sys\nsys.exit()", "called sys.exit(None)", "sys.exit()"),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV", ""),
    ],
)
def test_a_process_that_ends_is_told(run: Any, body: str, cause: str, frame: str) -> None:
    lines = body.replace("\n", "\n    ")
    source = failing(f"async def run(self):\n    await asyncio.sleep(0.25)\n    {lines}")
    out = run(source, supervised("fallback"), {"agent-2": "B"}, inline=False)
    assert (out.failure["agent"], out.result.status) == ("agent-1", "completed")
    assert 0.2 <= out.failure["time"] <= 0.25
    assert cause in out.failure["cause"]
    assert frame in out.failure["frames"]
    assert len(out.said("agent-2")) == 30


def test_a_fork_is_refused_where_it_would_copy_the_whole_run(run: Any) -> None:
    source = failing("async def run(self):\n    import os\n    os.fork()")
    before = os.fork
    out = run(source, supervised("fallback"), {"agent-2": "B"})
    assert "agents may not fork" in out.failure["cause"]
    assert "os.fork()" in out.failure["frames"]
    assert os.fork is before


HANGS = {
    "spins": ("while True:\n    pass", "processor time"),
    "spins and catches": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "processor time",
    ),
    "spins in a handler": (
        "asyncio.create_task(self.spin())\nawait asyncio.sleep(1)", "processor time",
    ),
    "sleeps": ("import time\ntime.sleep(1000)", "without using the processor"),
    "waits for a thread": (
        "await asyncio.to_thread(self.wait)",
        "without using the processor",
    ),
}  # fmt: skip


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("kind", HANGS)
def test_a_process_that_hangs_is_ended_and_told_where(run: Any, kind: str) -> None:
    body, cause = HANGS[kind]
    lines = body.replace("\n", "\n    ")
    source = failing(
        "def wait(self):\n    import threading\n    threading.Event().wait()\n"
        "async def spin(self):\n    while True:\n        pass\n"
        f"async def run(self):\n    await asyncio.sleep(0.25)\n    {lines}"
    )
    out = run(source, {**supervised("fallback"), "limits": QUICK}, {"agent-2": "B"}, inline=False)
    assert out.failure["agent"] == "agent-1"
    assert cause in out.failure["cause"]
    assert "authors1.py" in out.failure["frames"]
    assert len(out.said("agent-2")) == 30
    assert any(e["kind"] == "stall" and "agent-1" in e["text"] for e in out.result.events)


@pytest.mark.process
def test_a_spin_is_ended_and_told_where(run: Any) -> None:
    source = failing(
        "async def run(self):\n    await asyncio.sleep(0.25)\n    self.spin()\n"
        "def spin(self):\n    while True:\n        pass"
    )
    limits = {"limits": {"handler_cpu": "100ms"}}
    out = run(source, {**supervised("fallback"), **limits}, {"agent-2": "B"}, inline=False)
    assert (out.failure["agent"], out.failure["time"]) == ("agent-1", 0.25)
    assert "used up its processor time" in out.failure["cause"]
    assert "in spin\n" in out.failure["frames"]
    assert out.result.status == "completed"
    assert out.result.real_time_decisions == 1


@pytest.mark.process
@pytest.mark.parametrize("kind", ["raises in run", "calls sys.exit", "acts nonsense"])
def test_failures_in_memory_and_in_processes_are_the_same(run: Any, kind: str) -> None:
    body = failing(FAILURES[kind][0])
    rule = supervised("restart", restarts=1, backoff="300ms")
    inline, apart = (run(body, rule, {"agent-2": "B"}, inline=i) for i in (True, False))
    assert apart.result.folds == inline.result.folds
    assert apart.said("agent-2") == inline.said("agent-2")
    for one, other in zip(apart.result.agent_failures, inline.result.agent_failures, strict=True):
        assert {**one, "frames": ""} == {**other, "frames": ""}
