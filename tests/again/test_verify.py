"""A recorded run is run again: it is the same, or it is said where, what and who is not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import sim
from sim.again import read_past, resume, verify
from sim.errors import CheckpointError
from sim.scenario.load import parse_scenario
from sim.store.runlog import End, read_log

AGENT = """
import sim

class Talker(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            self.publish("word", float(self.rng.normal()))
            if self.name == "agent-2" and {special}:
                self.publish("word", "another")
            heard = self.inbox("word", last=3)
            self.act([sum(m.payload for m in heard if not isinstance(m.payload, str))] * 2)
"""
SCENARIO: dict[str, Any] = {
    "name": "talk",
    "seed": 5,
    "duration": "6s",
    "world": {"kind": "rendezvous", "agents": 3, "dt": "100ms"},
    "agents": {"agent-*": {"behaviour": "talkers.py:Talker"}},
    "network": {"default": {"latency": "20ms", "jitter": {"exponential": "5ms"}, "loss": "10%"}},
    "faults": [{"at": "2s", "kill": "agent-1", "for": "1s"}],
}


def record(folder: Path, name: str, special: str = "False", **options: Any) -> Path:
    """A run recorded in a folder of that name."""
    (folder / "talkers.py").write_text(AGENT.format(special=special))
    scenario = parse_scenario(yaml.safe_dump({**SCENARIO, **options}), folder=str(folder))
    result = sim.run(scenario, inline=True, compare=False, run_dir=folder / name)
    assert result.status == "completed", result.agent_failures
    return folder / name


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return record(tmp_path, "run")


def change(run: Path, key: str, value: Any) -> None:
    """Puts another value into the stored scenario."""
    path = run / "scenario.yaml"
    document = yaml.safe_load(path.read_text())
    document[key] = value
    path.write_text(yaml.safe_dump(document))


def test_what_was_run_is_run_again_in_memory_and_in_processes(run: Path) -> None:
    past = read_past(run)
    for inline in (True, False):
        verdict = verify(past, inline=inline)
        assert (verdict.is_same, verdict.is_whole) == (True, True)
        assert verdict.folds > 50
    assert past.differences() == []


def test_another_seed_parts_at_once(run: Path) -> None:
    change(run, "seed", 6)
    verdict = verify(read_past(run))
    assert not verdict.is_same
    assert verdict.folds == 0


def test_another_link_is_named_by_its_first_message(run: Path) -> None:
    network = {"default": {**SCENARIO["network"]["default"], "loss": "11%"}}
    change(run, "network", network)
    verdict = verify(read_past(run))
    assert not verdict.is_same
    assert "sends" in verdict.parting
    assert re.search(r"'word' of agent-\d to agent-\d is dropped \(loss\)", verdict.details[0])
    assert "in the record it is delivered at" in verdict.details[0]


def test_an_agent_that_has_changed_is_named_with_what_it_does_otherwise(run: Path) -> None:
    (run.parent / "talkers.py").write_text(AGENT.format(special="3.0 < self.now < 3.15"))
    past = read_past(run)
    assert [text for text in past.differences() if "talkers.py has changed" in text]
    verdict = verify(past)
    assert not verdict.is_same
    assert "00:00:03" in verdict.parting
    (first,) = verdict.details
    assert first.startswith("00:00:03")
    assert "agent-2 sends 'word'" in first


def test_a_world_that_goes_another_way_is_named_though_every_message_is_the_same(
    run: Path,
) -> None:
    change(run, "world", {**SCENARIO["world"], "norm": "quadratic"})
    verdict = verify(read_past(run))
    assert not verdict.is_same
    assert "in its world" in verdict.parting
    assert "every message is the same" in verdict.details[0]


def test_other_versions_and_processors_are_named(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "1.0"
    manifest["machine"]["processor"] = "abacus"
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "run.log").write_bytes(b"")  # the header has them too
    told = read_past(run).differences()
    assert any(text.startswith("numpy was 1.0, here it is") for text in told)
    assert any("abacus" in text for text in told)


def test_a_log_that_breaks_off_is_verified_as_far_as_it_goes(run: Path) -> None:
    log = run / "run.log"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    verdict = verify(read_past(run))
    assert (verdict.is_same, verdict.is_whole) == (True, False)
    assert 10 < verdict.folds < 60


@pytest.mark.parametrize("cut", [0, 7, 400, 2_000, -1])
def test_a_run_that_broke_off_comes_to_the_same_end(run: Path, cut: int) -> None:
    log = run / "run.log"
    whole = log.read_bytes()
    (end,) = [r for r in read_log(log) if isinstance(r, End)]
    log.write_bytes(whole[:cut])
    result = resume(read_past(run), compare=False)
    assert (result.status, result.digest) == ("completed", end.digest)
    assert log.read_bytes() == whole


def test_a_run_at_its_end_or_of_another_kind_is_not_resumed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        resume(read_past(run))
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "run.log").write_bytes((run / "run.log").read_bytes()[:-60])
    change(other, "seed", 6)
    with pytest.raises(CheckpointError, match="parts from its log at 100 ms"):
        resume(read_past(other), compare=False)
    (other / "scenario.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"no scenario\.yaml"):
        read_past(other)


def test_what_is_said_to_nobody_is_named_by_who_says_it(tmp_path: Path) -> None:
    text = """
import sim

class Whisperer(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            self.publish("whisper", {value})
"""
    (tmp_path / "whisper.py").write_text(text.replace("{value}", "1"))
    agents = {"agent-3": {"behaviour": "whisper.py:Whisperer"}}
    scenario = parse_scenario(
        yaml.safe_dump({**SCENARIO, "agents": agents, "faults": []}), folder=str(tmp_path)
    )
    sim.run(scenario, inline=True, compare=False, run_dir=tmp_path / "run")
    (tmp_path / "whisper.py").write_text(text.replace("{value}", "2"))
    verdict = verify(read_past(tmp_path / "run"))
    assert "in its payloads" in verdict.parting
    assert verdict.details == [
        "the difference is in what nobody subscribes to: 'whisper' of agent-3"
    ]


def test_a_damaged_log_and_a_summary_that_lies_are_told(run: Path) -> None:
    log = run / "run.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    whole = log.read_bytes()
    log.write_bytes(data)
    verdict = verify(read_past(run))
    assert verdict.is_same
    assert not verdict.is_proven
    assert "run.log is damaged at byte" in verdict.doubts[0]
    log.write_bytes(whole)
    assert verify(read_past(run)).is_proven
    summary = json.loads((run / "summary.json").read_text())
    for name, value in (("digest", "00"), ("status", "failed"), ("metrics", {"reward": 1.0})):
        (run / "summary.json").write_text(json.dumps({**summary, name: value}))
        doubts = verify(read_past(run)).doubts
        assert "summary.json: " in doubts[0]
