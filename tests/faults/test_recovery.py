"""`recover: replay`: a process that dies comes back as if nothing had happened, or is given up by
the policy, with its cause.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.live import Conducted, Script, ask, finish, step
from checkers.processes import hosts_of, kill, launcher_of, wait_until

import sim.runner
from agents.runtime import HostRuntime
from broker import server
from broker.history import History
from broker.server import drive
from sim.again import read_past, verify
from sim.outcome import Result
from sim.prepare import prepare
from sim.scenario.load import parse_scenario
from sim.store.recount import recount
from sim.store.runlog import Decision
from sim.wire.control import ControlClient
from sim.wire.memory import Answers, MemoryTransport
from sim.wire.messages import Activation, Yield
from sim.wire.transport import HostLost

PLAYERS = Path(__file__).with_name("players.py")
BASE: dict[str, Any] = {
    "duration": "3s",
    "seed": 3,
    "world": {"kind": "blank", "agents": 4, "step": "100ms"},
    "agents": {"agent-*": {"behaviour": f"{PLAYERS}:Busy"}},
    "network": {"default": {"latency": "5ms", "jitter": {"exponential": "2ms"}, "loss": "2%"}},
    "supervision": {"on_failure": "fallback", "recover": "replay", "restarts": 1000},
}
process = pytest.mark.process


def scenario(**over: Any) -> Any:
    document = {**BASE, **over}
    return parse_scenario(yaml.safe_dump(document, sort_keys=False))


def undisturbed(**over: Any) -> Result:
    return sim.runner.run(scenario(**over), inline=True, record=False, compare=False)


def conducted(script: Script, path: Path, agents_per_host: int = 1, **over: Any) -> Conducted:
    return Conducted(script, scenario(**over), path, agents_per_host=agents_per_host)


def all_up(n: int) -> list[int]:
    """The pids of the hosts, as soon as there are n."""
    wait_until(lambda: len(hosts_of(os.getpid())) == n)
    return hosts_of(os.getpid())


def kill_one(source: random.Random, n: int) -> None:
    """Kills a host, and waits until all are there again."""
    hosts = all_up(n)
    victim = source.choice(hosts)
    kill(victim)
    wait_until(lambda: victim not in hosts_of(os.getpid()))
    all_up(n)


def seeded() -> random.Random:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


@process
@pytest.mark.parametrize(
    ("agents_per_host", "hosts"), [pytest.param(1, 4, marks=pytest.mark.slow), (3, 2)]
)
def test_kills_while_it_is_paused_and_while_it_runs_change_nothing(
    tmp_path: Path, agents_per_host: int, hosts: int
) -> None:
    source = seeded()

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        all_up(hosts)
        for _ in range(4):
            step(client, 1)
            kill_one(source, hosts)
        for pid in all_up(hosts):
            kill(pid)
        ask(client, "speed", "0.3x")
        ask(client, "go")
        for _ in range(3):
            time.sleep(source.uniform(0.0, 0.1))
            kill_one(source, hosts)
        finish(client)

    path = tmp_path / "run"
    out = conducted(script, path, agents_per_host)
    assert out.result.status == "completed", out.result.error
    assert out.result.digest == undisturbed().digest
    assert out.result.agent_failures == []
    assert out.result.real_time_decisions == 0
    assert set(out.kinds) == {"recovered"}
    assert len(out.kinds) >= 7
    assert any("brought back by" in e["text"] for e in out.result.events)
    assert recount(path) == []
    assert verify(read_past(path)).is_same


@process
@pytest.mark.parametrize("is_paused", [True, False])
def test_a_killed_launcher_brings_all_back(tmp_path: Path, is_paused: bool) -> None:
    def script(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 3)
        if not is_paused:
            ask(client, "speed", "0.3x")
            ask(client, "go")
        for _ in range(2):
            all_up(4)
            old = launcher_of(os.getpid())
            kill(old)
            wait_until(lambda old=old: launcher_of(os.getpid()) not in (0, old))
        all_up(4)
        finish(client)

    out = conducted(script, tmp_path / "run")
    assert out.result.status == "completed", out.result.error
    assert out.result.digest == undisturbed().digest
    assert set(out.kinds) == {"recovered"}
    assert len(out.kinds) >= 8
    assert any("its launcher ended" in d.text for d in out.decisions)


@process
@pytest.mark.parametrize("player", ["Urandom", "Clock"])
def test_who_is_not_deterministic_is_named(tmp_path: Path, player: str) -> None:
    agents = {
        "agent-*": {"behaviour": f"{PLAYERS}:Busy"},
        "agent-1": {"behaviour": f"{PLAYERS}:{player}"},
    }

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        first = all_up(4)[0]
        step(client, 3)
        kill(first)
        all_up(3)
        finish(client)

    out = conducted(script, tmp_path / "run", agents=agents)
    assert out.result.status == "completed"
    (failure,) = out.result.agent_failures
    assert failure["agent"] == "agent-1"
    assert "its recorded activations led to another yield" in failure["cause"]
    assert out.kinds == ["recovered", "nondeterministic"]


@process
def test_more_deaths_than_allowed_are_for_the_policy(tmp_path: Path) -> None:
    def script(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 1)
        others = all_up(4)[1:]
        for _ in range(2):
            (first,) = [pid for pid in all_up(4) if pid not in others]
            kill(first)
            wait_until(lambda first=first: first not in hosts_of(os.getpid()))
            step(client, 1)
        finish(client)

    rule = {**BASE["supervision"], "restarts": 1, "within": "1h"}
    path = tmp_path / "run"
    out = conducted(script, path, supervision=rule)
    assert out.result.status == "completed"
    assert out.kinds == ["recovered", "lost"]
    (failure,) = out.result.agent_failures
    assert failure["agent"] == "agent-1"
    assert "signal 9 (SIGKILL)" in failure["cause"]
    verdict = verify(read_past(path))
    assert verdict.is_same, (verdict.parting, verdict.details)


@process
def test_whom_the_clock_stopped_is_not_run_again_by_a_replay(tmp_path: Path) -> None:
    agents = {
        "agent-*": {"behaviour": f"{PLAYERS}:Busy"},
        "agent-2": {"behaviour": f"{PLAYERS}:Stuck"},
    }

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 5)
        kill_one(seeded(), 2)
        finish(client)

    path = tmp_path / "run"
    out = conducted(script, path, 3, agents=agents, limits={"handler_cpu": "100ms"})
    assert out.result.status == "completed"
    assert sorted(out.kinds) == ["overdue", "recovered"]
    (failure,) = out.result.agent_failures
    assert failure["agent"] == "agent-2"
    verdict = verify(read_past(path))
    assert verdict.is_same, (verdict.parting, verdict.details)


@process
def test_who_is_killed_while_it_hangs_comes_back(tmp_path: Path) -> None:
    faults = [{"at": "500ms", "hang": "agent-3", "for": "1s"}]

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        third = all_up(4)[2]
        step(client, 7)
        kill(third)
        wait_until(lambda: third not in hosts_of(os.getpid()))
        all_up(4)
        finish(client)

    out = conducted(script, tmp_path / "run", faults=faults)
    assert out.result.status == "completed"
    assert out.kinds == ["recovered"]
    assert out.result.digest == undisturbed(faults=faults).digest


@process
def test_who_blocks_while_it_is_brought_back_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALL_REPORT_SECONDS", 0.2)
    flag, author = tmp_path / "flag", tmp_path / "author.py"
    author.write_text(
        "import os, time, sim\n"
        "class A(sim.Agent):\n"
        "    async def run(self):\n"
        "        async for obs in self.observations():\n"
        f"            if os.path.exists({str(flag)!r}):\n"
        "                time.sleep(1000)\n"
    )

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 2)
        first = all_up(4)[0]
        flag.touch()
        kill(first)
        wait_until(lambda: len(hosts_of(os.getpid())) == 3 and first not in hosts_of(os.getpid()))
        finish(client)

    agents = {**BASE["agents"], "agent-1": {"behaviour": f"{author}:A"}}
    out = conducted(
        script, tmp_path / "run", agents=agents, limits={"handler_blocked": "300ms"}
    )  # fmt: skip
    assert out.result.status == "completed"
    assert out.kinds == ["recovered", "blocked"]
    (failure,) = out.result.agent_failures
    assert failure["agent"] == "agent-1"


# --- the same from the log ----------------------------------------------------------------------


class Kept:
    """A log in memory."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        self.decisions.append(record)


class Dies(MemoryTransport):
    """Reports a host as lost right behind its yield in one window."""

    window = 3

    def poll(self, timeout_s: float | None) -> Answers:
        answers = super().poll(timeout_s)
        more: Answers = []
        for host, answer in answers:
            if host == 0 and isinstance(answer, Yield) and answer.serial == self.window:
                more.append((0, HostLost(0, "signal 9 (SIGKILL)", 1)))
        return sorted([*answers, *more], key=lambda a: (a[0], isinstance(a[1], HostLost)))


SMALL = f"""
duration: 1s
seed: 3
world: {{kind: blank, agents: 3, step: 100ms}}
network: {{default: {{latency: 10ms}}}}
agents:
  "agent-*": {{behaviour: "{PLAYERS}:Busy"}}
supervision: {{on_failure: restart, backoff: 100ms}}
"""


@pytest.mark.parametrize("player", ["Once", "Busy"])
@pytest.mark.parametrize("window", [0, 1, 5])
def test_a_death_behind_the_last_yield_of_a_window_is_repeated_from_the_log(
    monkeypatch: pytest.MonkeyPatch, player: str, window: int
) -> None:
    monkeypatch.setattr(Dies, "window", window)
    text = SMALL.replace(
        "supervision", f'  agent-1: {{behaviour: "{PLAYERS}:{player}"}}\nsupervision'
    )
    kernel, log = prepare(parse_scenario(text)).kernel(), Kept()
    transport = Dies()
    transport.start(range(3))
    drive(kernel, transport, log)
    if player == "Busy" or window == 0:
        assert [(d.kind, d.counted) for d in log.decisions] == [("lost", True)]
    again, new = prepare(parse_scenario(text)).kernel(), Kept()
    transport = MemoryTransport()
    transport.start(range(3))
    drive(again, transport, new, history=History(log.decisions))
    assert new.decisions == []
    assert again.digest.folds == kernel.digest.folds
    assert again.agents.failures == kernel.agents.failures


def test_a_malformed_yield_does_not_count_when_it_is_run_again() -> None:
    class Liar(HostRuntime):
        def run(self, activation: Activation) -> Yield:
            answer = super().run(activation)
            lies = self.host == 0 and activation.serial == 5
            return Yield(answer.serial, answer.done[:-1]) if lies else answer

    text = SMALL.replace("restart, backoff: 100ms", "fallback")
    kernel, log = prepare(parse_scenario(text)).kernel(), Kept()
    transport = MemoryTransport(Liar)
    transport.start(range(3))
    drive(kernel, transport, log)
    assert [(d.kind, d.counted) for d in log.decisions] == [("malformed", False)]
    again = prepare(parse_scenario(text)).kernel()
    transport = MemoryTransport()
    transport.start(range(3))
    drive(again, transport, Kept(), history=History(log.decisions))
    assert again.digest.folds == kernel.digest.folds
