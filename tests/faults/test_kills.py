"""kill -9 at random moments, of hosts, launcher and broker: a run ends by its policy, or is resumed
to the digest it would have had. Books balance, no process stays, no folder is left.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.processes import hosts_of, kill, launcher_of, marked, wait_until

import sim.runner
from sim.again import read_past, resume, verify
from sim.errors import CheckpointError
from sim.launch.launcher import subreaper
from sim.scenario.load import parse_scenario
from sim.store.recount import recount
from sim.store.runlog import Decision
from sim.wire import control, zeromq
from sim.wire.folders import sweep

pytestmark = pytest.mark.process
HERE = Path(__file__).parent
LANES = 2
RUN_SECONDS = {"6x": 1.0, "max": 0.5}
START_SECONDS = 1.0
HOSTS_KILLED = 4
FOLDER_SECONDS = 5.0
POLICIES: dict[str, dict[str, Any]] = {
    "replay": {"on_failure": "stop", "recover": "replay", "restarts": 1000},
    "fallback": {"on_failure": "fallback"},
    "restart": {"on_failure": "restart", "restarts": 1000, "backoff": "100ms"},
    "stop": {"on_failure": "stop"},
}
VICTIMS = ("host", "hosts", "launcher", "broker", "hosts", "broker", "host, then broker")


def document(policy: str) -> dict[str, Any]:
    return {
        "duration": "6s", "seed": 5,
        "world": {"kind": "blank", "agents": 4, "step": "100ms"},
        "agents": {"agent-*": {"behaviour": f"{HERE}/players.py:Busy"}},
        "network": {"default": {"latency": "5ms", "jitter": {"exponential": "2ms"}, "loss": "2%"}},
        "supervision": POLICIES[policy],
    }  # fmt: skip


@dataclass
class Case:
    """One run, whom it loses and when. kills: how many were really struck."""

    number: int
    seed: int
    folder: Path
    policy: str = ""
    victim: str = ""
    agents_per_host: int = 1
    kills: int = 0
    outcome: str = ""
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = self.source = random.Random(self.seed)
        self.policy = list(POLICIES)[self.number % len(POLICIES)]
        self.victim = VICTIMS[self.number % len(VICTIMS)]
        self.agents_per_host = source.choice([1, 1, 3])
        self.speed = source.choice(["6x", "max"])
        self.seconds = RUN_SECONDS[self.speed]
        self.run_dir, self.temporary = self.folder / "run", self.folder / "t"
        self.temporary.mkdir(parents=True)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.policy}, {self.victim}, {self.agents_per_host} per host, "
            f"{self.speed}: {self.outcome} {self.told}"
        )

    # --- the killing ----------------------------------------------------------------------------

    def disturb(self) -> None:
        """Runs, kills, and waits until nothing is left of it."""
        scenario = self.folder / "case.yaml"
        scenario.write_text(yaml.safe_dump(document(self.policy), sort_keys=False))
        broker = subprocess.Popen(
            [sys.executable, str(HERE / "kill_driver.py"), str(scenario), str(self.run_dir),
             str(self.agents_per_host), self.speed],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(self.temporary),
                 "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert broker.stdout is not None
        try:
            if self.victim == "broker":
                time.sleep(self.source.uniform(0.0, START_SECONDS + self.seconds))
                self.kills += broker.poll() is None
                kill(broker.pid)
            else:
                assert broker.stdout.readline() == "live\n", broker.stderr
                self._strike(broker)
            out, errors = broker.communicate(timeout=60)
        finally:
            broker.kill()
        assert broker.returncode in (0, -9), errors
        if broker.returncode == 0:
            self.told = json.loads(out.splitlines()[-1])
        mark = f"TMPDIR={self.temporary}"
        wait_until(lambda: not marked(mark))
        self._check_folders()

    def _check_folders(self) -> None:
        """None is left; but for a broker that was killed while it alone knew of one: that goes
        when the next run makes its own.
        """
        until = time.monotonic() + FOLDER_SECONDS
        while list(self.temporary.iterdir()):
            time.sleep(0.01)
            if time.monotonic() > until:
                break
        left = [path.name for path in self.temporary.iterdir()]
        if left:
            assert "broker" in self.victim, left
            print(f"{left} left by {self}")
            for kind, name in ((zeromq.FOLDER, "hosts"), (control.FOLDER, "control")):
                sweep(self.temporary, kind, name, time.time() + 3600)
        assert list(self.temporary.iterdir()) == []

    def _strike(self, broker: subprocess.Popen[str]) -> None:
        times = HOSTS_KILLED if self.victim == "hosts" else 1
        moments = sorted(self.source.uniform(0.0, self.seconds) for _ in range(times))
        began = time.monotonic()
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            if self.victim == "launcher":
                self._kill(launcher_of(broker.pid))
            else:
                hosts = hosts_of(broker.pid)
                self._kill(self.source.choice(hosts) if hosts else 0)
        if self.victim == "host, then broker":
            time.sleep(self.source.uniform(0.0, self.seconds / 2))
            self.kills += broker.poll() is None
            kill(broker.pid)

    def _kill(self, pid: int) -> None:
        if pid:
            kill(pid)
            self.kills += 1

    # --- what came of it ------------------------------------------------------------------------

    def judge(self, digest: str) -> None:
        """By its policy, or resumed to the digest of the undisturbed run."""
        status = self.told.get("status", "killed")
        if not (self.run_dir / "scenario.yaml").is_file():
            assert status == "killed", self.told
            with pytest.raises(CheckpointError, match="broke off before it began"):
                read_past(self.run_dir)
            self.outcome = "killed before it began"
            return
        if status in ("killed", "refused"):
            assert status == "killed" or "did not come up" in self.told["error"], self.told
            self._resume(digest)
            self.outcome = f"{status}, resumed"
            return
        self._compare(digest)
        failed = {failure["agent"] for failure in self.told["failures"]}
        assert all("process ended (" in f["cause"] for f in self.told["failures"])
        if not failed:
            assert status == "completed"
            assert self.told["digest"] == digest
            decisions = [r for r in read_past(self.run_dir).records if isinstance(r, Decision)]
            assert {d.kind for d in decisions} <= {"recovered"}
            self.outcome = "brought back" if decisions else "came too late"
        elif self.policy == "stop":
            assert (status, self.told["exit_code"]) == ("failed", 4)
            self.outcome = "stopped"
        else:
            assert self.policy in ("fallback", "restart"), "who is replayed does not fail"
            assert status == "completed"
            self.outcome = {"fallback": "fell back", "restart": "restarted"}[self.policy]

    def _resume(self, digest: str) -> None:
        past = read_past(self.run_dir)
        if past.end is not None and (self.run_dir / "summary.json").is_file():
            self._compare(digest)
            return
        past.manifest["packing"]["inline"] = self.source.random() < 0.5
        lost = any(isinstance(r, Decision) and r.kind == "lost" for r in past.records)
        result = resume(past, compare=False)
        if self.policy == "stop" and lost:
            assert result.status == "failed"
        else:
            assert result.status == "completed", result.error
        if not lost:
            assert result.digest == digest
        self._compare(digest)

    def _compare(self, digest: str) -> None:
        """The log says what happened, fold by fold; the books say the same as the recording."""
        verdict = verify(read_past(self.run_dir))
        assert verdict.is_same, (verdict.parting, verdict.details)
        assert verdict.is_whole
        assert recount(self.run_dir) == []


def run_cases(n: int, tmp_path: Path) -> Counter[tuple[str, str]]:
    """So many kills at least, two runs at a time; how many of each kind, by victim and outcome."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    source = random.Random(seed)
    loaded = parse_scenario(yaml.safe_dump(document("stop"), sort_keys=False))
    digest = sim.runner.run(loaded, inline=True, record=False, compare=False).digest
    counts: Counter[tuple[str, str]] = Counter()
    kills, numbers, lock, failures = 0, iter(range(10 * n)), threading.Lock(), []

    def lane() -> None:
        nonlocal kills
        while kills < n and not failures:
            with lock:
                number = next(numbers)
                case = Case(number, source.randrange(2**32), tmp_path / str(number))
            try:
                case.disturb()
                with lock:
                    case.judge(digest)
                    counts[case.victim, case.outcome] += 1
                    kills += case.kills
            except BaseException as error:
                failures.append((str(case), error))
                raise

    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lane) for _ in range(LANES)]
    print(f"{kills} kills")
    for (victim, outcome), count in sorted(counts.items()):
        print(f"{count:5}  {victim}: {outcome}")
    if failures:
        raise AssertionError(failures[0][0]) from failures[0][1]
    for each in lanes:
        each.result()
    return counts


@pytest.fixture(autouse=True)
def _orphanage() -> Any:
    """Orphans of killed brokers come here and not to init, so that they are seen to end."""
    subreaper(True)
    yield
    subreaper(False)


def test_some_kills(tmp_path: Path) -> None:
    run_cases(6, tmp_path)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    counts = run_cases(200, tmp_path)
    assert {victim for victim, _ in counts} == set(VICTIMS)
