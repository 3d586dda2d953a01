"""The command line: documents, messages, exit codes."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import sim
from broker.population import Event
from sim.cli import _how_to_run, main
from sim.console.progress import Display
from sim.console.show import print_check
from sim.console.summary import number, print_result
from sim.doctor import Check
from sim.outcome import Result
from sim.progress import Progress
from sim.scenario.bursts import burst_of_loss, burst_of_time
from sim.scenario.link import LinkSpec
from sim.scenario.sentences import link_text
from sim.units import SECOND
from sim.worlds.grid_data import load_bundled
from sim.worlds.world import Metric

KEYS = [
    "scenario", "seed", "status", "virtual_seconds", "wall_seconds", "steps", "agents", "processes",
    "digest", "messages", "topics", "accounts", "agent_failures", "faults", "metrics",
    "reference", "bytes_per_gain", "activations", "real_time_decisions",
]  # fmt: skip
FAILS = """
import sim
class Fails(sim.Agent):
    async def run(self):
        raise ValueError("boom")
"""
RUN = ["run", "quickstart", "--inline", "--duration", "1s", "--no-baselines"]

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Runs a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_agents.py").write_text(FAILS)

    def command(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return command


# --- sim run ------------------------------------------------------------------------------------


def test_the_json_document_is_alone_on_standard_output_and_has_exactly_its_keys(call: Call) -> None:
    code, out, err = call(*RUN, "--json", "--seed", "3")
    assert code == 0
    document = json.loads(out)
    assert list(document) == KEYS
    assert list(document["messages"]) == ["sent", "delivered", "dropped", "in_flight", "bytes"]
    assert (document["scenario"], document["seed"]) == ("quickstart", 3)
    assert (document["status"], document["virtual_seconds"]) == ("completed", 1.0)
    assert document["metrics"]["reward"] < 0
    assert "completed" in err


def test_the_document_of_the_directory_is_the_one_that_is_printed(
    call: Call, tmp_path: Path
) -> None:
    _, out, _ = call(*RUN[:-1], "--json")
    document = json.loads(out)
    assert set(document["reference"]) == {"no control", "rule", "optimum"}
    stored = json.loads((tmp_path / "runs/last/summary.json").read_text())
    accounts, shown = stored.pop("accounts"), document.pop("accounts")
    assert document == stored
    assert shown == sorted(accounts, key=lambda account: -account["bytes"])
    for name in ("sent", "bytes"):
        total = document["messages"][name]
        assert sum(account[name] for account in accounts) == total
        assert sum(topic[name] for topic in document["topics"].values()) == total
    assert {account["topic"] for account in accounts} == set(document["topics"])
    for line in (*accounts, *document["topics"].values()):
        assert 0.02 < line["delay_p50"] <= line["delay_p95"] <= line["delay_p99"] < 1
        assert line["goodput"] == round(line["delivered_bytes"] / document["virtual_seconds"], 3)


def test_outcome_for_people(call: Call) -> None:
    code, out, err = call(*RUN[:-1])
    assert code == 0
    for text in ("quickstart", "completed", "reward", "no control", "optimum", "gap"):
        assert text in out
    for text in ("sent", "= delivered", "+ dropped", "+ in flight", "digest"):
        assert text in out
    assert "runs/quickstart-0001" in out
    assert "sim report quickstart-0001" in out
    assert "100%" in err
    assert max(map(len, out.splitlines())) <= 80


def test_a_failing_agent_gives_exit_code_4_its_cause_and_its_frames(call: Call) -> None:
    code, out, err = call(*RUN, "--json", "--as", "agent-2=my_agents.py:Fails")
    document = json.loads(out)
    assert code == 4
    assert document["status"] == "failed"
    assert "agent-2" in document["error"]
    assert [f["cause"] for f in document["agent_failures"]] == ["ValueError: boom"]
    assert "ValueError: boom" in err
    assert "my_agents.py" in err
    assert "Traceback" not in err


def test_runs_are_numbered_and_a_directory_is_never_written_over(
    call: Call, tmp_path: Path
) -> None:
    for _ in range(2):
        assert call(*RUN)[0] == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == [
        "last", "quickstart-0001", "quickstart-0002",
    ]  # fmt: skip
    assert call(*RUN, "--run-dir", "mine")[0] == 0
    assert (tmp_path / "mine" / "run.log").exists()
    before = (tmp_path / "mine" / "run.log").read_bytes()
    code, _, err = call(*RUN, "--run-dir", "mine")
    assert code == 2
    assert "not empty" in err
    assert (tmp_path / "mine" / "run.log").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["rnu", "quickstart"], 2, "did you mean `sim run`"),
        (["run"], 2, "SCENARIO"),
        (["run", "quikstart"], 2, "did you mean 'quickstart'"),
        (["quickstart"], 2, "did you mean `sim run quickstart`"),
        (["run", "nowhere/my.yaml"], 2, "no scenario file"),
        (["run", "quickstart.yaml"], 2, "the bundled one is 'quickstart'"),
        (["run", "./"], 2, "is a folder"),
        ([*RUN, "--set", "world.norm=l3"], 2, "expected one of l2, quadratic, found 'l3'"),
        ([*RUN, "--duraton", "3s"], 2, "did you mean '--duration'"),
        ([*RUN, "--duration", "3parsecs"], 2, "expected a duration"),
        ([*RUN, "--seed", "-1"], 2, "expected a whole number from 0"),
        ([*RUN, "--speed", "warp"], 2, "expected max, realtime"),
        ([*RUN, "--agents-per-host", "0"], 2, "expected a whole number from 1"),
        ([*RUN, "--set", "network.default.los=3%"], 2, "did you mean 'loss'"),
        ([*RUN, "--set", "network"], 2, "expected path=value"),
        ([*RUN, "--as", "agnt-*=rule"], 2, "did you mean 'agent-"),
        ([*RUN, "--as", "agent-1=my_agent.py:Fails"], 2, "no file 'my_agent.py'"),
        ([*RUN, "--as", "agent-1=my_agents.py:Fials"], 2, "did you mean 'Fails'"),
        (["show", "quikstart"], 2, "did you mean 'quickstart'"),
        (["show"], 2, "expected a scenario"),
        (["import", "gird", "x"], 2, "gird"),
        ([], 2, "examples"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(
    call: Call, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    found, out, err = call(*words)
    assert found == code
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quikstart"], "did you mean 'quickstart'"),
        (["run", "quickstart", "--sed", "3"], "did you mean '--seed'"),
        (["run", "quickstart", "--seed", "x"], "expected a whole number"),
        (["run"], "SCENARIO"),
    ],
)
def test_a_refused_run_is_a_document_too(call: Call, words: list[str], message: str) -> None:
    code, out, err = call(*words, "--json")
    document = json.loads(out)
    assert code == 2
    assert list(document) == [*KEYS, "error"]
    assert document["status"] == "failed"
    assert message in document["error"]
    assert message in err


def test_a_syntax_error_in_an_agent_is_told_with_file_and_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import sim\nclass Mine(sim.Agent:\n    pass\n")
    code, _, err = call(*RUN, "--as", "agent-1=broken.py:Mine")
    assert code == 2
    assert "broken.py:2" in err


@pytest.mark.process
def test_inline_and_processes_agree_from_the_command_line(tmp_path: Path) -> None:
    documents = []
    for extra in (["--inline"], [], ["--agents-per-host", "3"]):
        words = [sys.executable, "-m", "sim", "run", "quickstart", "--duration", "2", "--json"]
        done = subprocess.run(
            [*words, "--no-baselines", *extra], capture_output=True, cwd=tmp_path, check=True,
            env={"PYTHONPATH": str(Path(sim.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        documents.append(json.loads(done.stdout))
    assert len({document["digest"] for document in documents}) == 1
    assert [document["processes"] for document in documents] == [0, 3, 1]


# --- the other commands -------------------------------------------------------------------------


def test_show_says_who_is_linked_how_and_what_will_happen(call: Call) -> None:
    code, out, _ = call("show", "quickstart")
    assert code == 0
    for text in ("agents: 3", "lookahead 20ms", "bounded by", "loss 5 %", "agent-2 killed"):
        assert text in out
    for text in ("reward (objective)", "observation_noise", "every 100ms", "sim run quickstart"):
        assert text in out


def test_show_warns_of_links_without_latency(call: Call) -> None:
    _, out, _ = call("show", "quickstart", "--set", "network.default.latency=0")
    assert "latency 0" in out


def test_schema_is_json(call: Call) -> None:
    code, out, _ = call("show", "--schema")
    assert code == 0
    assert json.loads(out)["title"] == "Scenario"


def test_list_has_every_bundled_scenario_with_a_sentence(call: Call) -> None:
    code, out, _ = call("list")
    assert code == 0
    assert "quickstart" in out
    assert "Three agents steer one shared point" in out


def test_version(call: Call) -> None:
    code, out, _ = call("--version")
    assert (code, out.split()[0]) == (0, "sim")


@pytest.mark.parametrize("command", ["run", "show", "list", "doctor", "import", "check"])
def test_help_of_every_command(call: Call, command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    assert f"usage: sim {command}" in out


@pytest.mark.parametrize("words", ["import sim", "from sim.cli import main; main(['--version'])"])
def test_neither_import_nor_help_loads_anything_heavy(words: str) -> None:
    heavy = ("torch", "numpy", "zmq", "rich", "networkx", "pandas", "yaml")
    script = f"import sys; {words}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


# --- what is printed ----------------------------------------------------------------------------


def _screen(width: int, is_terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=width, highlight=False)
    return console, out


def _story(display: Display) -> None:
    events = (
        Event(5 * SECOND, "fault", "", "battery-2 killed for 10min"),
        Event(6 * SECOND, "error", "ev-1", "ValueError: boom\n  File \"my.py\", line 3, in run"),
        Event(7 * SECOND, "market", "market", "cleared 21.4 ct, 12 of 14 offers"),
    )  # fmt: skip
    with display:
        display(Progress("starting", 3, 30))
        for share in range(1, 101):
            news = events if share == 5 else ()
            display(Progress("running", share * SECOND, 100 * SECOND, 29, 1, share, events=news))
        display(Progress("comparing", 50, 100, text="no control"))


def test_plain_progress_is_about_ten_lines_and_the_story() -> None:
    console, out = _screen(80, is_terminal=False)
    _story(Display("smart_grid", console, is_live=False))
    lines = out.getvalue().splitlines()
    assert "00:00:05 ▲ battery-2 killed for 10min" in lines
    assert any("ev-1: ValueError: boom" in line for line in lines)
    assert not any("cleared" in line for line in lines)
    assert 9 <= sum("messages" in line for line in lines) <= 12
    assert "100%" in [line for line in lines if "messages" in line][-1]


def test_live_progress_fits_the_screen_and_keeps_the_story() -> None:
    console, out = _screen(80, is_terminal=True)
    _story(Display("smart_grid", console, is_live=True))
    assert "battery-2 killed for 10min" in out.getvalue()
    assert "cleared 21.4 ct" in out.getvalue()
    assert "1 down" in out.getvalue()


def test_the_outcome_shows_its_columns_the_objective_first() -> None:
    console, out = _screen(80, is_terminal=False)
    result = Result(
        "smart_grid", 0, "completed", 86_400.0, 14.2, 1440, 31, 31, "9f3c",
        {"sent": 18_204, "delivered": 17_480, "dropped": {"loss": 604, "partition": 107},
         "in_flight": 13, "bytes": 2_100_000},
        metrics={
            "peak_import": Metric(74.0, "kW"),
            "welfare": Metric(18.9, "EUR", "higher"),
            "cost": Metric(41.2, "EUR", objective=True),
        },
        reference={
            "bound": {"cost": 36.85}, "rule": {"cost": 44.02}, "no control": {"cost": 73.7},
        },
    )  # fmt: skip
    print_result(console, result)
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["run", "no", "control", "rule", "bound"]
    assert lines[2].split() == ["cost", "(EUR)", "↓", "41.2", "73.7", "44.02", "36.85"]
    assert any(line.startswith("welfare (EUR) ↑") for line in lines)
    text = " ".join(out.getvalue().split())
    assert (
        "sent 18,204 = delivered 17,480 + dropped 711 (loss 604, partition 107) + in flight 13"
        in text
    )
    assert max(map(len, lines)) <= 80


def test_the_outcome_says_what_late_and_missing_mean_and_shows_no_empty_table() -> None:
    console, out = _screen(80, is_terminal=False)
    result = Result(
        "house", 0, "completed", metrics={"actions present": Metric(0.0)},
        actions={"agent-1": {"late": 2, "missing": 0}, "agent-2": {"late": 0, "missing": 1}},
    )  # fmt: skip
    print_result(console, result)
    text = " ".join(out.getvalue().split())
    assert "2 came after the instant of their decision, 1 decision without any: agent-1" in text
    assert out.getvalue().splitlines()[1] == "0 in every column: actions present"


def test_who_has_ended_is_not_down() -> None:
    console, out = _screen(80, is_terminal=False)
    with Display("house", console, is_live=False) as display:
        display(Progress("running", SECOND, SECOND, up=8, ended=1))
    assert "8 up, 1 ended" in out.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (41.2, "41.2"), (0.00314159, "0.003142"), (18204.7, "18,205"), (3.0, "3"),
     (float("nan"), "-"), (None, "-"), (float("inf"), "inf"), (-0.5, "-0.5")],
)  # fmt: skip
def test_numbers_have_about_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_link_in_words() -> None:
    link = LinkSpec(floor_ns=20_000_000, jitter="exponential", a_ns=5_000_000)
    assert link_text(link) == "20ms + exponential 5ms"
    slow = LinkSpec(
        floor_ns=0, loss_probability=0.01, rate_bytes_per_s=31_250.0, queue_bytes=65_536
    )
    assert link_text(slow) == "0s, loss 1 %, 31,250 B/s (queue 65,536 B)"
    assert link_text(LinkSpec(0, burst=burst_of_loss(0.1, 5))) == (
        "0s, 10 % in bursts of 5 messages"
    )
    timed = LinkSpec(0, burst=burst_of_time(0.1, 200_000_000, 0.01, 0.7), loss_probability=0.02)
    assert link_text(timed) == ("0s, loss 2 %, 10 % in bursts of 200ms (70 % in them, 1 % outside)")


def test_a_fault_of_the_installation_comes_with_its_remedy() -> None:
    console, out = _screen(80, is_terminal=False)
    print_check(console, Check("libzmq", "fault", "4.3.4 has known holes", "pip install pyzmq"))
    assert "✗ libzmq" in out.getvalue()
    assert "pip install pyzmq" in out.getvalue()


def test_an_imported_grid_is_followed_by_a_command_that_runs(tmp_path: Path) -> None:
    grid = load_bundled()
    words = shlex.split(_how_to_run(grid, tmp_path / "x.npz"))[4:]
    assert words == ["--set", f"world.grid={tmp_path / 'x.npz'}", "--set", "faults=[]"]
    branches = dataclasses.replace(grid.branches, kinds=("line",) * len(grid.branches))
    bare = dataclasses.replace(grid, branches=branches)
    assert "world.transformer_kva=0" in _how_to_run(bare, tmp_path / "x.npz")
    silent = dataclasses.replace(grid, profile_values=grid.profile_values[:0])
    assert "no profiles" in _how_to_run(silent, tmp_path / "x.npz")
