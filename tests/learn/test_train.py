"""The training loop: resumes to the same bits, saves at Ctrl-C, stops at a plateau or at NaN."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers.learners import ToyLearner, ToyRollout
from safetensors.numpy import load_file

from sim.errors import CheckpointError
from sim.learn import checkpoint
from sim.learn.logs import read_logs
from sim.learn.plan import Plan, load_training, plan_training
from sim.learn.plateau import Plateau
from sim.learn.train import CHECKPOINTS, Outcome, Progress, train
from sim.learn.yardstick import Yardstick
from sim.report.report import write_report
from sim.store.rundir import RunDirectory, create_run

pytestmark = pytest.mark.torch


def plan(frames: int, plateau: float = 0.0) -> Plan:
    scenario = load_training(
        "rendezvous", overrides=[f"learn.frames={frames}", f"learn.plateau={plateau}"]
    )
    return plan_training(scenario)


def trained(
    folder: Path, frames: int, learner: ToyLearner | None = None, **options: Any
) -> tuple[Outcome, RunDirectory]:
    run = RunDirectory(folder) if options.get("is_resumed") else create_run("toy", folder)
    kept = {name: options.pop(name) for name in ("plateau",) if name in options}
    made = learner or ToyLearner()
    return train(plan(frames, **kept), ToyRollout(), made, run, **options), run


def weights(run: RunDirectory) -> Any:
    tensors = load_file(run.path / "policies" / "agent.safetensors")
    return np.concatenate([tensor.ravel() for _, tensor in sorted(tensors.items())])


def state(run: RunDirectory) -> tuple[Any, Any]:
    _, found, card = checkpoint.newest(run.path / CHECKPOINTS)
    return found, card


def test_going_on_gives_what_going_through_gives(tmp_path: Path) -> None:
    whole, through = trained(tmp_path / "through", 600)
    trained(tmp_path / "parts", 600, total=240)
    parts, again = trained(tmp_path / "parts", 600, is_resumed=True)
    assert parts.frames == whole.frames == 600
    assert parts.returns == whole.returns
    assert weights(again).tobytes() == weights(through).tobytes()
    ours, theirs = state(again)[0], state(through)[0]
    for key in ("learner", "rollout", "plateau"):
        assert str(ours[key]) == str(theirs[key])
    one, other = (read_logs(run.path).drop(columns="seconds") for run in (again, through))
    names = [name for name in one if name != "frames_per_second"]
    assert one[names].equals(other[names])


def test_a_fresh_seed_is_another_run(tmp_path: Path) -> None:
    _, one = trained(tmp_path / "one", 240)
    _, other = trained(tmp_path / "other", 240, ToyLearner(seed=1))
    assert weights(one).tobytes() != weights(other).tobytes()


def test_rows_after_the_checkpoint_are_trained_again(tmp_path: Path) -> None:
    _, run = trained(tmp_path / "run", 240)
    with (run.path / "metrics.csv").open("a") as file:
        file.write("252,1.0,team_return,99.0\n")
    trained(tmp_path / "run", 360, is_resumed=True)
    table = read_logs(run.path)
    assert list(table.index) == list(range(12, 361, 12))
    assert 99.0 not in set(table["team_return"])


def test_the_directory_tells_the_course(tmp_path: Path) -> None:
    outcome, run = trained(tmp_path / "run", 240)
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("completed", "frames", 0)
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["kind"] == "training"
    assert summary["frames"] == 240
    assert summary["groups"] == {"agent": "mappo"}
    table = read_logs(run.path)
    assert {"reward", "team_return", "return_per_agent", "return/agent", "return/agent-1",
            "agent/policy_loss", "metric/cost", "frames_per_second"} <= {*table}  # fmt: skip
    assert list(run.path.glob("events.out.tfevents.*"))
    team, each = table["team_return"].dropna(), table["return_per_agent"].dropna()
    assert float(team.iloc[-1]) > float(team.iloc[0])
    # Two agents, paid the same: the team's is the sum, and an agent's the mean.
    assert np.allclose(team, 2 * each)
    assert np.allclose(each, table["return/agent-1"].dropna())
    assert summary["team_return"] == team.iloc[-1]


def test_what_the_team_earns_is_the_worlds_own_where_it_says_so(tmp_path: Path) -> None:
    grid = plan_training(load_training("smart_grid", overrides=["learn.frames=120"]))
    outcome = train(grid, ToyRollout(), ToyLearner(), create_run("grid", tmp_path / "grid"))
    table = read_logs(tmp_path / "grid")
    # The toy's team earns what each of its two agents does.
    assert np.allclose(table["team_return"].dropna(), table["return_per_agent"].dropna())
    assert outcome.returns == table["team_return"].dropna().iloc[-1]


def test_checkpoints_grow_apart_and_three_are_kept(tmp_path: Path) -> None:
    written: list[int] = []

    def note(progress: Progress) -> None:
        if progress.checkpoint not in written:
            written.append(progress.checkpoint)

    _, run = trained(tmp_path / "run", 6000, on_progress=note)
    updates = [frames // 12 for frames in written if frames > 0]
    assert updates[:5] == [1, 2, 4, 8, 16]
    assert set(np.diff(updates[6:])) == {25}
    assert len(checkpoint.checkpoints(run.path / CHECKPOINTS)) == 3


def test_not_a_number_ends_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    outcome, run = trained(tmp_path / "run", 12_000, ToyLearner(breaks_at=20))
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("failed", "diverged", 6)
    assert "diverged at frame 240: agent/policy_loss is nan" in outcome.error
    assert outcome.checkpoint == 16 * 12
    assert np.isfinite(weights(run)).all()
    assert state(run)[1]["frames"] == 16 * 12


def test_not_a_number_in_the_first_update_leaves_how_it_began(tmp_path: Path) -> None:
    outcome, run = trained(tmp_path / "run", 12_000, ToyLearner(breaks_at=1))
    assert (outcome.status, outcome.exit_code, outcome.checkpoint) == ("failed", 6, 0)
    assert [path.stem for path in checkpoint.checkpoints(run.path / CHECKPOINTS)] == [
        "000000000000"
    ]
    run.write_json("manifest.json", {"kind": "training", "scenario": "toy"})
    page = write_report(run.path).read_text()
    assert "The checkpoint at frame 0 is the last good one." in page
    assert "There are no policies yet" in page


def test_ctrl_c_is_answered_before_the_update_ends(tmp_path: Path) -> None:
    told, seen = threading.Event(), []

    class Slow(ToyLearner):
        def update(self, records: Any) -> dict[str, float]:
            if self._updates == 1:
                os.kill(os.getpid(), signal.SIGINT)
                seen.append(told.wait(30))
            return super().update(records)

    outcome, _ = trained(tmp_path / "run", 12_000, Slow(), on_interrupt=told.set)
    assert seen == [True]
    assert (outcome.status, outcome.checkpoint) == ("interrupted", 2 * 12)


def test_ctrl_c_keeps_a_checkpoint_and_it_goes_on_from_there(tmp_path: Path) -> None:
    def press(progress: Progress) -> None:
        if progress.updates == 13:
            os.kill(os.getpid(), signal.SIGINT)

    outcome, _ = trained(tmp_path / "run", 600, on_progress=press)
    assert (outcome.status, outcome.exit_code) == ("interrupted", 130)
    assert outcome.checkpoint == outcome.frames == 13 * 12
    done, again = trained(tmp_path / "run", 600, is_resumed=True)
    _, through = trained(tmp_path / "through", 600)
    assert done.status == "completed"
    assert weights(again).tobytes() == weights(through).tobytes()


def test_a_second_ctrl_c_ends_at_once_with_the_last_checkpoint(tmp_path: Path) -> None:
    class Slow(ToyLearner):
        def update(self, records: Any) -> dict[str, float]:
            found = super().update(records)
            if self._updates == 13:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                found["reached"] = 1.0
            return found

    outcome, run = trained(tmp_path / "run", 12_000, Slow())
    assert outcome.status == "interrupted"
    assert outcome.checkpoint == 8 * 12
    assert state(run)[1]["frames"] == 8 * 12


def test_another_rollout_cannot_go_on(tmp_path: Path) -> None:
    _, run = trained(tmp_path / "run", 240)
    with pytest.raises(CheckpointError, match="of a batched rollout of 4 copies, not of a batched"):
        train(plan(480), ToyRollout(copies=8), ToyLearner(), run, is_resumed=True)


def test_a_plateau_ends_it_early_unless_switched_off(tmp_path: Path) -> None:
    fast, _ = trained(tmp_path / "fast", 12_000, ToyLearner(rate=0.5), plateau=0.4)
    assert (fast.status, fast.reason) == ("completed", "plateau")
    assert 0.4 * 12_000 < fast.frames < 12_000
    off, _ = trained(tmp_path / "off", 12_000, ToyLearner(rate=0.5), plateau=0.0)
    assert (off.reason, off.frames) == ("frames", 12_000)


def test_what_still_improves_is_no_plateau() -> None:
    watch = Plateau(0.3, 1000)
    for frame in range(0, 1000, 5):
        watch.note(frame, [0.01 * frame + (-1) ** i for i in range(4)])
        assert not watch.is_reached
    for frame in range(1000, 1400, 5):
        watch.note(frame, [10 + (-1) ** i for i in range(4)])
    assert watch.is_reached


def test_the_score_while_training_is_0_at_the_rule_and_1_at_the_reference() -> None:
    scenario = load_training("rendezvous", overrides=["duration=1s", "faults=[]"])
    yardstick = Yardstick(plan_training(scenario))
    assert yardstick.score({"metric/reward": -0.2}) is None
    with yardstick:
        yardstick.wait()
    levels = yardstick.levels
    assert levels is not None
    rule, best = levels
    assert rule < best
    assert yardstick.score({"metric/reward": rule}) == 0.0
    assert yardstick.score({"metric/reward": best}) == 1.0
    assert yardstick.score({"team_return": 3.0}) is None


def test_training_does_not_wait_for_the_score() -> None:
    scenario = load_training("smart_grid", overrides=["learn.groups={battery: ppo}"])
    with Yardstick(plan_training(scenario)) as yardstick:
        pass
    assert yardstick.levels is None
