"""Agents that misbehave, in processes and recorded: each is named with what it did, the others get
what is theirs, and the run can be run again from its log, in memory, without harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker import server
from sim.again import read_past, verify

pytestmark = pytest.mark.process

OTHERS = """
class B(sim.Agent):
    async def run(self):
        asyncio.create_task(self.listen())
        async for obs in self.observations():
            self.act([1.0])
            self.publish("beat", obs.time)
            print(obs.time)

    async def listen(self):
        while True:
            message = await self.receive("beat")
            print("heard", message.sender, message.payload)
"""
SCENARIO: dict[str, Any] = {
    "duration": "1s",
    "world": {"agents": 3},
    "supervision": {"on_failure": "fallback"},
}


def playing(body: str) -> str:
    """A class A that does `body` at 0.25 s, and a class B that does its duty."""
    lines = "".join(f"        {line}\n" for line in body.strip("\n").splitlines())
    head = "class A(sim.Agent):\n    async def run(self):\n        await asyncio.sleep(0.25)\n"
    return f"{head}{lines}{OTHERS}"


Play = Callable[..., Any]


@pytest.fixture
def play(run: Any, tmp_path: Path) -> Play:
    """Runs A beside two Bs, checks that nobody else suffers, and runs the log again in memory."""

    def start(source: str, scenario: dict[str, Any] | None = None, **options: Any) -> Any:
        path = tmp_path / "run"
        out = run(
            source, {**SCENARIO, **(scenario or {})}, {"agent-2": "B", "agent-3": "B"},
            **{"inline": False, "record": True, "run_dir": path, **options},
        )  # fmt: skip
        assert out.result.status == "completed", out.result.error
        for name, other in (("agent-2", "agent-3"), ("agent-3", "agent-2")):
            said = [text for text in out.said(name) if "agent-1" not in text]
            beats = [round(0.1 * i, 1) for i in range(10)]
            assert [s for s in said if "heard" not in s] == [str(t) for t in beats]
            assert [s for s in said if "heard" in s] == [f"heard {other} {t}" for t in beats]
        verdict = verify(read_past(path))
        assert verdict.is_same, (verdict.parting, verdict.details)
        assert verdict.is_whole
        assert verdict.folds == len(out.result.folds)
        return out

    return start


FAILS = {
    "raises": ("raise ValueError('no more')", "ValueError: no more", "raise ValueError"),
    "raises in the last window": (
        "await asyncio.sleep(0.749)\nraise ValueError('at last')",
        "ValueError: at last", "raise ValueError",
    ),
    "sends to nobody": (
        "self.send('agent-9', 'beat', 1)",
        "there is no agent 'agent-9'; did you mean 'agent-", "self.send('agent-9'",
    ),
    "sends ten megabytes": (
        "self.publish('beat', b'x' * 10_000_000)",
        "payload on topic 'beat': ", "self.publish('beat'",
    ),
    "sends a million messages": (
        "for i in range(1_000_000):\n    self.publish('flood', i)",
        "more than 20,000 messages at once", "self.publish('flood', i)",
    ),
    "sends gigabytes in small parts": (
        "for i in range(3000):\n    self.publish('flood', b'x' * 1_000_000)",
        "more than 32 MiB in messages at once", "self.publish('flood', b",
    ),
    "acts the wrong shape": (
        "self.act([1.0, 2.0])", "act: expected 1 numbers", "self.act([1.0, 2.0])",
    ),
    "acts text": ("self.act('full')", "act: ", "self.act('full')"),
    "saves what cannot be saved": ("self.save(self)", "A", "self.save(self)"),
    "forks": ("import os\nos.fork()", "agents may not fork", "os.fork()"),
    "leaves": ("import sys\nsys.exit('enough')", "called sys.exit('enough')", "sys.exit"),
    "loops without waiting": (
        "while True:\n    await asyncio.sleep(0)",
        "callbacks without virtual time passing", "await asyncio.sleep(0)",
    ),
    "recurses": ("def f(): return f()\nf()", "RecursionError", "f()"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILS)
def test_what_an_agent_does_wrong_is_its_own_failure(play: Play, kind: str) -> None:
    body, cause, frame = FAILS[kind]
    out = play(playing(body), {"limits": {"callbacks_per_instant": 5000}})
    failure = out.failure
    assert (failure["agent"], failure["policy"]) == ("agent-1", "fallback")
    assert failure["time"] == (0.999 if "last" in kind else 0.25)
    assert cause in failure["cause"]
    assert frame in failure["frames"]
    assert out.result.real_time_decisions == 0
    (line,) = [e for e in out.result.events if e["kind"] == "error"]
    assert line["agent"] == "agent-1"
    assert cause in line["text"]


ENDS = {
    "ends its process": ("import os\nos._exit(3)", "exit 3"),
    "kills its process": ("import os\nos.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
    "aborts": ("import os\nos.abort()", "signal 6 (SIGABRT)"),
    "runs out of stack in C": ("import ctypes\nctypes.string_at(1)", "signal 11 (SIGSEGV)"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_process_that_an_agent_ends_is_lost_at_a_stated_time(play: Play, kind: str) -> None:
    body, cause = ENDS[kind]
    out = play(playing(body))
    assert out.failure["agent"] == "agent-1"
    assert cause in out.failure["cause"]
    assert out.result.real_time_decisions == 1
    assert any(cause in e["text"] for e in out.result.events if e["agent"] == "agent-1")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL_REPORT_SECONDS", 0.2)


BLOCKS = {
    "sleeps": "import time\ntime.sleep(1000)",
    "waits for a thread": "import threading\nawait asyncio.to_thread(threading.Event().wait)",
    "takes a lock twice": "import threading\nlock = threading.Lock()\nwith lock, lock: pass",
}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", BLOCKS)
def test_who_blocks_is_ended_and_not_asked_again(play: Play, kind: str) -> None:
    out = play(playing(BLOCKS[kind]), {"limits": {"handler_blocked": "300ms"}})
    assert out.failure["agent"] == "agent-1"
    assert "without using the processor" in out.failure["cause"]
    assert out.result.real_time_decisions == 1
    assert any(e["kind"] == "stall" and "agent-1" in e["text"] for e in out.result.events)


SPINS = {
    "spins": "while True:\n    pass",
    "spins in a task": "async def spin():\n    while True: pass\n"
    "task = asyncio.create_task(spin())\nawait asyncio.sleep(1)",
}


@pytest.mark.parametrize(
    ("kind", "agents_per_host"),
    [*((k, 1) for k in SPINS), pytest.param("spins", 3, marks=pytest.mark.slow)],
)
def test_who_spins_is_stopped_and_not_run_again(
    play: Play, kind: str, agents_per_host: int
) -> None:
    limits = {"limits": {"handler_cpu": "100ms"}}
    out = play(playing(SPINS[kind]), limits, agents_per_host=agents_per_host)
    assert out.failure["agent"] == "agent-1"
    assert "used up its processor time" in out.failure["cause"]
    assert out.result.real_time_decisions == 1


EATS = {
    "eats": "eaten = []\nwhile True:\n    eaten.append(bytearray(1_000_000))",
    "eats in small pieces": "self.eaten = []\nwhile True:\n    self.eaten.append([0] * 10)",
    "eats in one piece": "import numpy as np\nself.eaten = np.ones(10**12)",
    "eats in a task": "async def eat():\n    eaten = []\n    while True:\n"
    "        eaten.append(bytearray(1_000_000))\n"
    "task = asyncio.create_task(eat())\nawait asyncio.sleep(1)",
    "eats in a group": "async def eat():\n    eaten = []\n    while True:\n"
    "        eaten.append(bytearray(1_000_000))\n"
    "async with asyncio.TaskGroup() as group:\n    group.create_task(eat())",
    "eats in a callback": "def eat():\n    eaten = []\n    while True:\n"
    "        eaten.append(bytearray(1_000_000))\n"
    "asyncio.get_running_loop().call_soon(eat)\nawait asyncio.sleep(1)",
}


@pytest.mark.parametrize(("kind", "agents_per_host"), [*((k, 1) for k in EATS), ("eats", 3)])
def test_who_eats_up_the_memory_fails_by_name(play: Play, kind: str, agents_per_host: int) -> None:
    limits = {"limits": {"memory": "400MB"}}
    out = play(playing(EATS[kind]), limits, agents_per_host=agents_per_host)
    failure = out.failure
    assert failure["agent"] == "agent-1"
    assert "MemoryError" in failure["cause"] or "unhandled errors" in failure["cause"]
    if "small" not in kind:  # else there is not even room for a traceback
        assert "authors1.py" in failure["frames"]
    assert out.result.real_time_decisions == 1


def test_a_handler_that_raises_or_answers_nonsense_refuses_and_goes_on(play: Play) -> None:
    source = """
        class A(sim.Agent):
            async def run(self):
                await asyncio.sleep(0.25)
                for topic in ("raise", "nonsense", "huge", "right"):
                    try:
                        print(topic, (await self.request("agent-4", topic, 1)).payload)
                    except Exception as error:
                        print(topic, type(error).__name__)

        class C(sim.Agent):
            @sim.serves("raise")
            async def one(self, message):
                raise ValueError("not today")
            @sim.serves("nonsense")
            def two(self, message):
                return object()
            @sim.serves("huge")
            def three(self, message):
                return b"x" * 10_000_000
            @sim.serves("right")
            def four(self, message):
                return message.payload + 1
            async def run(self):
                await asyncio.sleep(10)
    """ + "\n".join(" " * 8 + line for line in OTHERS.splitlines())
    server = {"world": {"agents": 4}, "agents": {"agent-4": {"behaviour": "authors1.py:C"}}}
    out = play(source, server)
    refusals = ["raise Refused", "nonsense Refused", "huge Refused"]
    assert out.said() == [*refusals, "right 2"]
    assert out.result.agent_failures == []
    errors = [text for _, text in out.lines("agent-4", "error")]
    topics = ["'raise'", "'nonsense'", "'huge'"]
    assert [e.partition(":")[0] for e in errors] == [f"serving {topic}" for topic in topics]
    assert "ValueError: not today" in errors[0]


def test_in_memory_an_exit_of_the_process_is_refused(run: Any) -> None:
    leave = os._exit
    out = run(playing("import os\nos._exit(3)"), SCENARIO, {"agent-2": "B", "agent-3": "B"})
    assert out.failure["agent"] == "agent-1"
    assert "os._exit() in memory would end the whole run" in out.failure["cause"]
    assert "os._exit(3)" in out.failure["frames"]
    assert os._exit is leave


def test_a_runtime_that_dies_of_memory_tells_why(play: Play) -> None:
    """Not in the agent's code: its process has no room for the frame of what it sent."""
    out = play(
        playing("""
import resource
for i in range(31):
    self.publish("big", b"x" * 1_000_000)
with open("/proc/self/status") as file:
    data = next(int(line.split()[1]) for line in file if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data * 1024 + 9_000_000,) * 2)
await asyncio.sleep(1)
""")
    )
    assert out.failure["agent"] == "agent-1"
    ends = ("exit 70: MemoryError", "SIGABRT", "SIGSEGV")  # as the C library takes it
    assert any(end in out.failure["cause"] for end in ends)


def test_who_gets_more_at_once_than_a_frame_holds_is_lost_and_the_run_goes_on(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.limits.FRAME_BYTES_MAX", 3_000_000)
    source = f"""
class A(sim.Agent):
    async def run(self):
        await self.receive("big")

class C(sim.Agent):
    async def run(self):
        await asyncio.sleep(0.25)
        self.send("agent-1", "big", b"x" * 1_000_000)
        self.send("agent-1", "big", b"x" * 1_000_000)
{OTHERS}"""
    more = {f"agent-{i}": {"behaviour": "authors1.py:C"} for i in (4, 5)}
    out = play(source, {"world": {"agents": 5}, "agents": more})
    assert out.failure["agent"] == "agent-1"
    assert "more messages at once than it can be given" in out.failure["cause"]
