"""`sim train`, `sim evaluate`, `sim sweep` and what other commands make of their directories."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from checkers.markup import check_page

from sim.cli import main
from sim.learn.judged import evaluations_of
from sim.store.rundata import load

pytestmark = pytest.mark.torch

Call = Callable[..., tuple[int, str, str]]
SHORT = ["--set", "duration=1s", "--set", "faults=[]"]
TRAIN = ["train", "rendezvous", *SHORT, "--copies", "8", "--frames", "1000", "--json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("work")
        patch.chdir(path)
        patch.setattr(sys, "path", list(sys.path))
        yield path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in the folder: exit code, standard output, standard error."""

    def command(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """A training run of 1,000 frames."""
    assert main([*TRAIN, "--run-dir", "runs/rendezvous-0001"]) == 0
    return folder / "runs" / "rendezvous-0001"


def test_training_says_what_by_what_on_which_rollout_and_what_next(
    trained: Path, call: Call
) -> None:
    code, out, err = call(
        "train", "rendezvous", "--duration", "1s", *SHORT[2:], "--copies", "8", "--frames", "1000",
        "--set", "learn.options.mappo.epochs=2",
        "--run-dir", "runs/told-0001",
    )  # fmt: skip
    assert code == 0
    words = " ".join(err.split())
    assert "agent (4) by mappo" in words
    assert "rollout batched, 8 copies: " in words
    assert "prepares the copies of the world and the learner" in words
    assert "plays 200 frames (8 copies) for the first update, about " in words
    assert "left  team return -" in err
    assert "rendezvous completed all frames that were asked for" in " ".join(out.split())
    run, evaluate, report = (
        shlex.split(line.removeprefix("next")) for line in out.splitlines() if "sim " in line
    )
    policies = ["--as", "agent-*=policy:told-0001"]
    assert run == ["sim", "run", "rendezvous", "--duration=1s", *SHORT[2:], *policies]
    assert evaluate == ["sim", "evaluate", *run[2:]]
    assert report == ["sim", "report", "told-0001"]


def test_the_directory_of_a_training_run(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["kind"], summary["status"], summary["reason"]) == (
        "training", "completed", "frames",
    )  # fmt: skip
    assert summary["frames"] >= 1000
    assert summary["groups"] == {"agent": "mappo"}
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["training"]["copies"] == 8
    assert manifest["training"]["rollout"] == "batched"
    assert (trained / "policies" / "agent.safetensors").is_file()
    assert list((trained / "checkpoints").glob("*.safetensors"))
    assert load(trained).settings["learn"]["groups"] == {"agent": "mappo"}


def test_policies_play_in_runs_and_the_manifest_names_their_file(trained: Path, call: Call) -> None:
    code, out, _ = call(
        "run", "rendezvous", *SHORT, "--inline", "--no-baselines", "--json", "--run-dir", "played",
        "--as", "agent-*=policy:rendezvous-0001",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["status"] == "completed"
    manifest = json.loads(Path("played/manifest.json").read_text())
    file = trained / "policies" / "agent.safetensors"
    assert list(manifest["behaviours"]) == [str(file)]
    text = Path("played/scenario.yaml").read_text()
    assert f"policy:{trained}/policies" in text


def test_training_goes_on_and_is_the_same_as_in_one_go(trained: Path, call: Call) -> None:
    straight = ["--run-dir", "runs/straight-0001", "--frames", "2000"]
    assert call(*TRAIN, *straight)[0] == 0
    assert call(*TRAIN, "--run-dir", "runs/parts-0001")[0] == 0
    code, out, _ = call("train", "--resume", "parts-0001", "--frames", "2000", "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 2000
    parts, whole = (
        Path("runs", f"{name}-0001", "policies", "agent.safetensors").read_bytes()
        for name in ("parts", "straight")
    )
    # The cards differ in the names of the runs; the weights, which come last, are equal.
    assert parts[-4096:] == whole[-4096:]
    code, _, err = call("train", "--resume", "parts-0001")
    assert code == 5
    assert "has come to its end" in err


def test_evaluating_by_the_protocol(trained: Path, call: Call) -> None:
    code, out, err = call(
        "evaluate", "rendezvous", *SHORT, "--episodes", "2", "--json", "--jobs", "1",
        "--as", "agent-*=policy:rendezvous-0001", "--run-dir", "runs/evaluated-0001",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["kind"] == "evaluation"
    assert found["episodes"] == 2
    assert {"value", "low", "high"} == set(found["score"])
    assert set(found["metrics"]) == {"own", "rule", "reference"}
    assert "policies - rule" in err
    rows = Path("runs/evaluated-0001/evaluation.csv").read_text().splitlines()
    assert rows[0] == "episode,seed,column,name,value"
    # The training run's own page has the figures now.
    words = ["evaluate", "rendezvous", *SHORT, "--as", "agent-*=policy:rendezvous-0001", "--json"]
    assert call(*words, "--episodes", "1", "--jobs", "1", "--seed", "7")[0] == 0
    newest, first = evaluations_of(trained)
    assert (newest["seed"], newest["episodes"]) == (7, 1)
    assert (first["score"], first["frames"]) == (found["score"], 1000)
    assert call("report", "rendezvous-0001")[0] == 0
    page = check_page(trained / "report.html")
    assert "Learning curve" in page
    assert "rendezvous-0001 --frames 2" in page, "further than a finished run was asked for"
    # Both are there with what tells them apart; the figures are those of more episodes.
    assert "runs/evaluated-0001" in page
    assert "interquartile mean over 2 held-out episodes" in page
    assert "policy loss" in page
    assert call("report", "evaluated-0001")[0] == 0
    assert "agent-1" in check_page(Path("runs/evaluated-0001/report.html"))


def test_sweeping(trained: Path, call: Call) -> None:
    words = [
        "sweep", "rendezvous", *SHORT, "--vary", "links.default.loss=0:1:1", "--seeds", "1",
        "--vary", "as=agent-*=policy:last,*=none", "--metric", "reward,distance", "--jobs", "1",
        "--figure", "new/folder/loss.pdf", "--width", "86mm",
        "--run-dir", "runs/swept-0001", "--json",
    ]  # fmt: skip
    code, out, err = call(*words)
    assert code == 0
    assert "4 runs: 4 settings, 1 seeds" in err
    found = json.loads(out)
    assert found["axes"]["network.default.loss"] == ["0", "1"]
    # Going on with it after another training run must not mean that one's policies.
    policies, nobody = found["axes"]["as"]
    assert re.fullmatch(r"agent-\*=policy:[a-z]+-0001", policies)
    assert nobody == "*=none"
    assert len(found["metrics"]["distance"][0]["mean"]) == 2
    assert Path("new/folder/loss.pdf").read_bytes().startswith(b"%PDF")
    columns = pd.read_parquet("runs/swept-0001/sweep.parquet").dtypes
    assert columns["network.default.loss"].kind == columns["seed"].kind == "i"
    assert "compares settings and bounds no values" not in err, "one seed has no interval"
    assert call("report", "swept-0001")[0] == 0
    page = check_page(Path("runs/swept-0001/report.html"))
    assert "Distance" in page
    for word in ("rendezvous", "1, held out, of seed 0", "reward, distance"):
        assert word in page
    again = page.partition("sim sweep runs")[2].partition(" sim sweep ")[0]
    code, repeated, _ = call("sweep", *shlex.split(f"runs{again}"), "--jobs", "1", "--json")
    assert code == 0
    assert json.loads(repeated)["metrics"] == found["metrics"]
    code, out, _ = call("sweep", "--resume", "swept-0001", "--json")
    assert code == 0
    assert json.loads(out)["runs"] == 4


def test_the_last_run_to_go_on_with_is_the_newest_of_its_kind(trained: Path, call: Call) -> None:
    assert call(*TRAIN, "--seed", "3", "--run-dir", "runs/newest-0001")[0] == 0
    assert call("evaluate", "rendezvous", *SHORT, "--episodes", "1", "--json")[0] == 0
    code, out, _ = call("train", "--resume", "last", "--frames", "1200", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["run"], found["seed"], found["frames"]) == ("runs/newest-0001", 3, 1200)


def test_training_runs_side_by_side(trained: Path, call: Call) -> None:
    other = ["train", "rendezvous", *SHORT, "--copies", "4", "--frames", "500", "--json"]
    assert call(*other, "--run-dir", "runs/other-0001")[0] == 0
    code, out, _ = call("compare", "rendezvous-0001", "other-0001", "--out", "both.html")
    assert code == 0
    assert out.splitlines()[-1] == "both.html"
    page = check_page(Path("both.html"))
    assert "2 training runs of rendezvous" in page
    assert "learn.copies" in page


@pytest.mark.parametrize("command", ["replay", "verify", "resume"])
def test_what_only_runs_of_a_scenario_can_do(trained: Path, call: Call, command: str) -> None:
    code, _, err = call(command, "rendezvous-0001")
    assert code == 5
    assert "is of kind training: `sim report rendezvous-0001` shows it" in err
    assert "`sim train --resume rendezvous-0001`" in err


def test_exporting_the_course(trained: Path, call: Call) -> None:
    code, out, _ = call("export", "rendezvous-0001", "--out", "tables")
    assert code == 0
    assert "frames, seconds, name, value" in out
    assert Path("tables/metrics.csv").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "expected a scenario"),
        ("train rendezvous --links idael", "--links: no links 'idael'; did you mean 'ideal'?"),
        ("train rendezvous --links zzz", "--links: no links 'zzz'; there is: ideal, scenario, {l"),
        ("train rendezvous --links '{los: 3}'", "--links: unknown key 'los'; did you mean 'loss'"),
        ("train rendezvous --links '{loss: 3}'", "--links: loss: expected two bounds such as [0"),
        ("sweep rendezvous --vary world.norm=l2 --figure /dev/null/a/b.pdf",
         "--figure /dev/null/a/b.pdf: cannot make the folder /dev/null/a"),
        ("train rendezvou", "did you mean 'rendezvous'"),
        ("train rendezvous --algorithm mapo", "--algorithm: no algorithm 'mapo'; did you mean"),
        ("train rendezvous --set learn.groups.agnt=mappo", "no group 'agnt'; did you mean 'agent'"),
        ("train rendezvous --set learn.groups.agent=mapo", "learn.groups.agent: no algorithm"),
        ("train rendezvous --set learn.groups.agent=frozen", "nobody learns"),
        ("train rendezvous --set learn.options.ppo.gamma=1", "nobody learns by 'ppo'"),
        ("train rendezvous --set learn.options.mappo.gama=1", "'gama'"),
        ("train rendezvous --frames 1.5", "expected a whole number such as 2e6"),
        ("train rendezvous --set learn.held_out=2016-01-01..2016-01-02 --set "
         "learn.train_days=2016-02-01..2016-02-02", "world 'rendezvous' has no days"),
        ("train rendezvous --resume rendezvous-0001", "it takes no scenario"),
        ("train --resume nothing-0001", "no run 'nothing-0001'"),
        ("train --resume last --algorithm ppo", "it takes no --algorithm"),
        ("train --resume last --workers 1", "it takes no --workers"),
        ("train --resume last --seed 0", "it takes no --seed"),
        ("train --resume last --device cpu", "it takes no --device"),
        ("train --resume last --duration 1s", "it takes no --duration"),
        ("train --resume rendezvous-0001 --frames 500",
         "--frames 500: runs/rendezvous-0001 has 1,000 frames already; expected more"),
        ("evaluate rendezvous --as agent-*=policy:nothing", "no run of that name has policies"),
        ("evaluate rendezvous --episodes 0", "expected a whole number from 1"),
        ("sweep rendezvous", "at least one --vary"),
        ("sweep rendezvous --vary world.norm=l2 --metric rewrd", "did you mean 'reward'"),
        ("sweep rendezvous --vary world.norm=l2 --figure a.doc", "a.doc: expected a name that"),
        ("sweep rendezvous --vary world.norm=l2 --width wide", "expected a width such as 3.4in"),
    ],
)  # fmt: skip
def test_mistakes_are_answered(trained: Path, call: Call, words: str, message: str) -> None:
    runs = set(Path("runs").iterdir())
    code, _, err = call(*shlex.split(words))
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert set(Path("runs").iterdir()) == runs
