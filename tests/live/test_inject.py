"""Every command that can be typed, taken by a run of the smart grid that goes on."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sim.scenario.commands import COMMANDS, parse_command, split_words

TYPED = [
    "kill battery-2",
    "kill battery-2 --for 10min",
    "hang market --for 90s",
    "slow 'ev-*' --factor 10",
    "restart 'pv-*' --choose 2",
    "link 'household-*' 'ev-*' --loss 0.3 --latency 80ms --for 60s",
    "link pv-1 market --rate 250kbit/s --one-way",
    "partition 'battery-*' 'ev-*' --for 2min",
    "noise 0.1",
    "noise 10% --topic offer",
    "skew ev-3 --offset 2s --drift 50ppm",
    "skew ev-3 --offset -2s",
    "sensor ev-3 --freeze",
    "sensor ev-3 --noise 0.2 --field need_kwh",
    "sensor ev-3 --drop 0.5",
    "actuator pv-1 --stuck",
    "byzantine ev-4 --topic offer --field price --mode random",
    "byzantine ev-4 --mode sign-flip",
    "byzantine ev-4 --mode stale --for 1h",
    "byzantine ev-4 --topic offer --mode inflate:3",
    "world line-trip 'LV3.101 Line 26' --for 1h",
    "heal",
]


def test_every_command_is_typed_here() -> None:
    assert {split_words(line)[0] for line in TYPED} == set(COMMANDS) - {"broker"}


@pytest.mark.process
def test_a_run_that_goes_on_takes_every_command(tmp_path: Path) -> None:
    sim = [sys.executable, "-m", "sim"]
    run = subprocess.Popen(
        [*sim, "run", "smart_grid", "--headless", "--speed", "1x", "--no-baselines"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert run.stderr is not None
        while "up" not in run.stderr.readline():
            pass
        from sim.store.rundir import alive_runs
        from sim.wire.control import ControlClient

        (address,) = alive_runs(tmp_path / "runs").values()
        door = ControlClient(address)
        intro = door.ask("intro").intro
        assert intro is not None
        for line in TYPED:
            answer = door.ask("inject", parse_command(split_words(line), intro))
            assert answer.is_ok, (line, answer.text)
        told = subprocess.run(
            [*sim, "inject", *shlex.split("kill battery-1 --for 1h")],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "battery-1 killed for 1h" in told.stdout
        wrong = subprocess.run(
            [*sim, "inject", "kill", "batery-1"], cwd=tmp_path, capture_output=True, text=True
        )
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "did you mean 'battery-1'" in wrong.stderr
        assert "Traceback" not in wrong.stderr
        door.ask("stop")
        door.close()
    finally:
        run.communicate(timeout=30)  # who closes its stderr early breaks it off
    assert run.returncode == 130
    ended = subprocess.run([*sim, "inject", "heal"], cwd=tmp_path, capture_output=True, text=True)
    assert "no run goes on" in ended.stderr
