"""Bytes of any kind on every socket of a run: it goes on serving, unmoved, in bounded memory."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.live import Conducted, Script, ask, finish, step

import sim.runner
from sim.again import read_past, verify
from sim.outcome import Result
from sim.scenario.load import parse_scenario
from sim.scenario.schema import Scenario
from sim.wire.control import ControlClient

pytestmark = pytest.mark.process
HERE = Path(__file__).parent
PLAYERS = HERE.parent / "faults" / "players.py"
SECONDS = 2.0
"""How long each attack lasts."""
GROWTH_BYTES_MAX = 48 * 2**20
"""What the broker may hold more after an attack than before it."""


def scenario(**over: Any) -> Scenario:
    document = {
        "duration": "4s", "seed": 3,
        "world": {"kind": "blank", "agents": 3, "step": "100ms"},
        "agents": {"agent-*": {"behaviour": f"{PLAYERS}:Busy"}},
        "network": {"default": {"latency": "5ms", "jitter": {"exponential": "2ms"}}},
        "supervision": {"on_failure": "fallback"},
        **over,
    }  # fmt: skip
    return parse_scenario(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    return sim.runner.run(scenario(), inline=True, record=False, compare=False)


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The transports that runs make."""
    made, make = [], sim.runner.make_transport

    def noted(*args: Any) -> Any:
        made.append(make(*args))
        return made[-1]

    monkeypatch.setattr("sim.runner.make_transport", noted)
    return made


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Attackers:
    """Processes that attack a socket together."""

    def __init__(self, path: str, *kinds: str, identity: str = "") -> None:
        seed = secrets.randbits(32)
        print(f"seed {seed}")
        source = random.Random(seed)
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(HERE / "attacker.py"), path, kind,
                 str(source.randrange(2**32)), str(SECONDS), identity],
                stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for kind in kinds
        ]  # fmt: skip
        self.pids = [process.pid for process in self._processes]

    @property
    def is_over(self) -> bool:
        return all(process.poll() is not None for process in self._processes)

    def count(self) -> int:
        """Messages and connections made, once over."""
        counts = [int(process.communicate(timeout=60)[0]) for process in self._processes]
        assert all(process.returncode == 0 for process in self._processes)
        assert all(counts)
        return sum(counts)


def under(attack: list[Attackers], begin: Any) -> Script:
    """Serves while the attack lasts: asked all the time, the run answers all the time."""

    def script(client: ControlClient) -> None:
        ask(client, "pause")
        step(client, 2)
        before = rss()
        attack.append(begin(client))
        ask(client, "speed", "0.3x")
        ask(client, "go")
        while not attack[0].is_over:
            ask(client, "intro")
        print(attack[0].count(), "frames and connections,", (rss() - before) >> 10, "KiB more")
        assert rss() - before < GROWTH_BYTES_MAX
        step(client, 1)
        finish(client)

    return script


def assert_unmoved(out: Conducted, expected: Result) -> None:
    assert out.result.status == "completed", out.result.error
    assert out.result.digest == expected.digest
    assert out.result.agent_failures == []
    assert out.result.real_time_decisions == 0


def test_the_door_serves_on_and_names_and_cuts_off_who_sends_no_requests(
    tmp_path: Path, undisturbed: Result
) -> None:
    attack: list[Attackers] = []

    def begin(client: ControlClient) -> Attackers:
        return Attackers(str(client._path), "frames", "raw", "frames", "raw")

    out = Conducted(under(attack, begin), scenario(), tmp_path / "run")
    said = "sent what is no request, three times: it is heard no more"
    cut_off = {e["text"] for e in out.result.events if said in e["text"]}
    first, second = attack[0].pids[0], attack[0].pids[2]
    assert {f"process {first} {said}", f"process {second} {said}"} <= cut_off
    assert len(cut_off) <= len(attack[0].pids)
    assert_unmoved(out, undisturbed)


@pytest.mark.slow
def test_strangers_on_the_hosts_socket_fall(
    tmp_path: Path, undisturbed: Result, transports: list[Any]
) -> None:
    attack: list[Attackers] = []

    def begin(client: ControlClient) -> Attackers:
        path = f"{transports[0]._folder}/hosts"
        return Attackers(path, "frames", "raw", "frames", "raw")

    out = Conducted(under(attack, begin), scenario(), tmp_path / "run")
    assert_unmoved(out, undisturbed)
    counters = transports[0].counters
    print(counters)
    assert counters["unknown"] > 0
    assert counters["malformed"] == 0


def test_who_claims_the_identity_of_a_host_gets_nowhere(
    tmp_path: Path, undisturbed: Result, transports: list[Any]
) -> None:
    attack: list[Attackers] = []

    def begin(client: ControlClient) -> Attackers:
        identity = next(iter(transports[0]._by_identity)).hex()
        return Attackers(f"{transports[0]._folder}/hosts", "frames", "frames", identity=identity)

    out = Conducted(under(attack, begin), scenario(), tmp_path / "run")
    assert_unmoved(out, undisturbed)
    assert transports[0].counters["malformed"] == 0


@pytest.mark.parametrize(
    ("words", "cause"),
    [("b'junk'", "host 0: "), ("b''", "host 0: "), ("b'\\x93\\xa1Y\\x07\\x90'", "yield 7 unasked")],
)
def test_malformed_frames_of_a_host_name_it_and_end_it(
    tmp_path: Path, words: str, cause: str
) -> None:
    author = tmp_path / "author.py"
    author.write_text(
        "import asyncio, gc, sim, zmq\n"
        "class A(sim.Agent):\n"
        "    async def run(self):\n"
        "        await asyncio.sleep(0.25)\n"
        f"        sockets = [o for o in gc.get_objects() if isinstance(o, zmq.Socket)]\n"
        f"        sockets[0].send({words})\n"
        "        await asyncio.sleep(10)\n"
    )
    agents = {"agent-*": {"behaviour": f"{PLAYERS}:Busy"}, "agent-1": {"behaviour": f"{author}:A"}}
    path = tmp_path / "run"
    result = sim.runner.run(scenario(agents=agents, duration="1s"), run_dir=path, compare=False)
    assert result.status == "completed"
    (failure,) = result.agent_failures
    assert failure["agent"] == "agent-1"
    assert cause in failure["cause"]
    assert verify(read_past(path)).is_same
