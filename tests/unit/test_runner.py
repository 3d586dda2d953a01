"""Runs from Python: what comes back, what is left behind, and that nothing else is."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.errors import ScenarioError, UnknownKeyError
from sim.outcome import Result, add_gap
from sim.runner import Progress, baselines, load
from sim.store.runlog import End, Fold, Header, read_log
from sim.worlds.world import Metric

AGENTS = """
import sim

class Idle(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            self.act(a=[0.0, 0.0])

class Fails(sim.Agent):
    async def run(self):
        await __import__("asyncio").sleep(0.5)
        print("now it comes")
        raise ValueError("boom")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_agents.py").write_text(AGENTS)
    return tmp_path


def quick(**options: Any) -> Result:
    given = {"duration": 2, "inline": True, "record": False, "compare": False, **options}
    return sim.run("quickstart", **given)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    first, second, other = quick(seed=3), quick(seed=3), quick(seed=4)
    assert first.digest == second.digest != other.digest
    assert first.folds == second.folds
    assert first.status == "completed"
    assert first.exit_code == 0
    assert (first.virtual_seconds, first.steps, first.agents, first.processes) == (2.0, 20, 3, 0)


def test_overrides_and_behaviours_as_mappings_and_as_texts() -> None:
    mapped = quick(overrides={"network.default.loss": 1.0}, behaviours={"agent-2": "none"})
    texts = quick(overrides=["network.default.loss=100%"], behaviours=["agent-2=none"])
    assert mapped.digest == texts.digest
    assert mapped.agents == 2
    assert mapped.messages["dropped"]["loss"] > 0


def test_books_balance_and_their_lines_add_up() -> None:
    result = quick()
    books = result.messages
    assert books["sent"] == (
        books["delivered"] + sum(books["dropped"].values()) + books["in_flight"]
    )
    assert sum(account.sent for account in result.accounts) == books["sent"] > 0


def test_a_frame_of_the_metrics_beside_their_columns() -> None:
    frame = quick(compare=True).metrics_frame()
    assert list(frame.columns) == ["unit", "better", "run", "no control", "rule", "optimum"]
    assert frame.loc["gap", "no control"] == pytest.approx(1.0)
    assert frame.loc["gap", "optimum"] == pytest.approx(0.0)
    assert frame.loc["reward", "rule"] == frame.loc["reward", "run"]


def test_columns_are_the_same_whoever_plays() -> None:
    ruled = quick(compare=True)
    mixed = quick(compare=True, behaviours={"agent-1": "my_agents.py:Idle"})
    assert mixed.reference["no control"] == ruled.reference["no control"]
    assert mixed.reference["rule"] == ruled.reference["rule"]
    assert mixed.metrics["reward"].value != ruled.metrics["reward"].value


def test_baselines_of_a_scenario() -> None:
    columns = baselines(load("quickstart", duration=2))
    result = quick()
    assert columns["rule"] == {name: metric.value for name, metric in result.metrics.items()}
    assert columns["no control"]["spread"] == 0.0


def test_the_gap_is_one_without_control_and_nothing_at_the_bound() -> None:
    result = Result("any", 0, "completed", metrics={"cost": Metric(30.0, "EUR", objective=True)})
    result.reference = {"no control": {"cost": 50.0}, "bound": {"cost": 10.0}, "rule": {}}
    add_gap(result)
    assert result.metrics["gap"].value == pytest.approx(0.5)
    assert result.reference["no control"]["gap"] == 1.0
    assert result.reference["bound"]["gap"] == 0.0
    assert "gap" not in result.reference["rule"]


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_failing_agent_is_in_the_result_with_its_own_frames() -> None:
    result = quick(behaviours={"agent-3": "my_agents.py:Fails"})
    assert (result.status, result.exit_code) == ("failed", 4)
    assert "agent-3" in result.error
    [failure] = result.agent_failures
    assert failure["agent"] == "agent-3"
    assert failure["time"] == 0.5
    assert failure["cause"] == "ValueError: boom"
    assert "my_agents.py" in failure["frames"]
    assert "asyncio" not in failure["frames"]
    said = [event for event in result.events if event["kind"] == "print"]
    assert [(e["agent"], e["text"], e["time"]) for e in said] == [("agent-3", "now it comes", 0.5)]


def test_a_failing_agent_that_may_fail_does_not_end_the_run() -> None:
    result = quick(
        behaviours={"agent-3": "my_agents.py:Fails"},
        overrides={"supervision.on_failure": "fallback"},
    )
    assert (result.status, result.exit_code) == ("completed", 0)
    assert len(result.agent_failures) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"behaviours": {"agent-1": "my_agents.py:Idel"}}, "did you mean 'Idle'"),
        ({"behaviours": {"agent-1": "nowhere.at_all:Idle"}}, "no module 'nowhere.at_all'"),
        ({"behaviours": {"agent-1": "my_agents.py"}}, "expected rule, none"),
        ({"agents_per_host": 0}, "at least 1 agent per host"),
        ({"speed": "warp"}, "expected max, realtime"),
        ({"overrides": {"world.agnets": 3}}, "did you mean 'agents'"),
    ],
)
def test_a_mistake_in_the_options_is_told_before_anything_starts(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        quick(**options)


def test_an_unknown_scenario_names_the_nearest() -> None:
    with pytest.raises(UnknownKeyError, match="did you mean 'quickstart'"):
        sim.run("quikstart")


def test_a_loaded_scenario_takes_no_options() -> None:
    loaded = load("quickstart", duration=2)
    assert sim.run(loaded, inline=True, record=False, compare=False).status == "completed"
    with pytest.raises(ScenarioError, match="takes no options"):
        sim.run(loaded, seed=3)


def test_ctrl_c_cuts_a_window_short_that_does_not_end(folder: Path) -> None:
    (folder / "hangs.py").write_text(
        "import sim, signal, time\n"
        "class Hangs(sim.Agent):\n"
        "    async def run(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        time.sleep(60)\n"
    )
    began = time.monotonic()
    result = quick(behaviours={"agent-1": f"{folder / 'hangs.py'}:Hangs"})
    assert result.status == "interrupted"
    assert time.monotonic() - began < 10


def test_ctrl_c_ends_the_run_between_two_windows_with_the_books_in_order(folder: Path) -> None:
    def press(progress: Progress) -> None:
        if progress.phase == "running" and progress.done > 0:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    result = quick(duration=3600, on_progress=press, record=True)
    assert (result.status, result.exit_code) == ("interrupted", 130)
    assert 0 < result.virtual_seconds < 3600
    assert signal.getsignal(signal.SIGINT) is before
    assert result.run_dir is not None
    assert json.loads((result.run_dir / "summary.json").read_text())["status"] == "interrupted"
    assert read_log(result.run_dir / "run.log")[-1] == End("interrupted", result.digest)


@pytest.mark.process
def test_a_termination_ends_the_run_in_order_and_then_the_process(folder: Path) -> None:
    script = """
import signal, sim
def press(progress):
    if progress.phase == "running" and progress.done > 0:
        signal.raise_signal(signal.SIGTERM)
sim.run("quickstart", duration="1h", on_progress=press)
print("not reached")
"""
    root = Path(sim.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
    summary = json.loads((folder / "runs/last/summary.json").read_text())
    assert summary["status"] == "interrupted"


def test_the_collector_and_the_threads_of_torch_are_as_before() -> None:
    import torch

    threads = torch.get_num_threads()
    quick()
    quick(behaviours={"agent-3": "my_agents.py:Fails"})
    assert gc.isenabled()
    assert torch.get_num_threads() == threads


# --- where it runs, what it leaves --------------------------------------------------------------


def test_it_runs_in_a_thread_and_inside_a_running_event_loop() -> None:
    wanted, found = quick().digest, []

    async def notebook() -> str:
        return quick().digest

    thread = threading.Thread(target=lambda: found.append(quick().digest))
    thread.start()
    thread.join()
    assert [*found, asyncio.run(notebook())] == [wanted, wanted]


def test_the_directory_of_a_run(folder: Path) -> None:
    result = quick(record=True, behaviours={"agent-3": "my_agents.py:Idle"})
    path = folder / "runs" / "quickstart-0001"
    assert result.run_dir == Path("runs/quickstart-0001")
    assert json.loads((path / "summary.json").read_text()) == json.loads(
        json.dumps(result.record())
    )
    manifest = json.loads((path / "manifest.json").read_text())
    assert {"numpy", "torch", "msgspec", "pyzmq", "python"} <= set(manifest["versions"])
    assert manifest["packing"] == {"agents_per_host": 1, "inline": True}
    records = read_log(path / "run.log")
    assert isinstance(records[0], Header)
    assert [(r.time_ns, r.chain) for r in records if isinstance(r, Fold)] == result.folds
    assert records[-1] == End("completed", result.digest)
    again = sim.run(path / "scenario.yaml", inline=True, compare=False)
    assert again.digest == result.digest
    assert again.run_dir == Path("runs/quickstart-0002")


def test_a_run_that_is_not_recorded_leaves_nothing(folder: Path) -> None:
    quick()
    assert sorted(path.name for path in folder.iterdir()) == ["my_agents.py"]


@pytest.mark.process
def test_processes_give_the_digest_of_a_run_in_memory() -> None:
    inline = quick()
    apart = quick(inline=False)
    packed = quick(inline=False, agents_per_host=2)
    assert (apart.processes, packed.processes) == (3, 2)
    assert inline.digest == apart.digest == packed.digest


@pytest.mark.process
def test_a_failing_agent_in_a_process_is_told_like_one_in_memory() -> None:
    apart = quick(inline=False, behaviours={"agent-3": "my_agents.py:Fails"})
    inline = quick(behaviours={"agent-3": "my_agents.py:Fails"})
    assert (apart.status, apart.digest) == (inline.status, inline.digest)
    assert apart.agent_failures == inline.agent_failures


@pytest.mark.parametrize(
    ("kind", "told"),
    [("spread", {"agent-1": {"late": 3, "missing": 6}}), ("blank", {})],
)
def test_late_and_missing_actions_are_told_where_agents_must_act(
    tmp_path: Path, kind: str, told: dict[str, Any]
) -> None:
    """In the blank world nobody must."""
    (tmp_path / "slow.py").write_text("""
import asyncio, sim

class A(sim.Agent):
    async def run(self):
        async for obs in self.observations():
            if obs.time < 0.25:
                await asyncio.sleep(0.03)
                self.act([1.0])
""")
    path = tmp_path / "slow.yaml"
    path.write_text(
        f"{{duration: 1s, world: {{kind: {kind}, agents: 1}}, "
        f"network: {{default: {{latency: 1ms}}}}, agents: {{'*': {{behaviour: 'slow.py:A'}}}}}}"
    )
    result = sim.run(path, inline=True, record=False, compare=False)
    assert result.actions == told
    assert "actions" not in result.summary()
