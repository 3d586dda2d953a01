"""Commands on runs that were, and on runs that go on: what they print, and how they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the quickstart that has ended, and one that was cut off."""
    folder = tmp_path_factory.mktemp("records")
    before = Path.cwd()
    os.chdir(folder)
    try:
        words = ["run", "quickstart", "--inline", "--duration", "12s", "--no-baselines", "--json"]
        for _ in range(2):
            assert main(words) == 0
        log = Path("runs/quickstart-0002/run.log")
        log.write_bytes(log.read_bytes()[:3000])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return code, told.out, told.err


def test_verify_says_that_it_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "quickstart-0001")
    assert code == 0
    assert "the same run" in out
    assert "to its end" in out
    assert "books agree" in out


def test_verify_as_json_of_a_run_that_broke_off(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "quickstart-0002", "--json")
    found = json.loads(out)
    assert (code, found["is_same"], found["is_whole"]) == (1, True, False)
    assert found["differences"] == []
    assert "its log does not go so far" in found["doubts"][0]


def test_books_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "quickstart-0001", "--books")
    assert (code, "the same run" in out, "books agree" in out) == (0, False, True)


def test_resume_tells_its_price_and_comes_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "resume", "quickstart-0002", "--json", "--no-baselines")
    assert code == 0
    assert "runs again the first" in err
    whole = json.loads(Path("runs/quickstart-0001/summary.json").read_text())
    assert json.loads(out)["digest"] == whole["digest"]
    code, _, err = run(capsys, "resume", "quickstart-0002")
    assert (code, "nothing to resume" in err) == (5, True)


@pytest.mark.parametrize("command", ["verify", "resume", "report", "export", "replay"])
def test_a_run_that_is_not_there(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, _, err = run(capsys, command, "quickstart-001")
    assert code == 2
    assert "did you mean 'quickstart-0001'" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["watch"], "no run goes on"),
        (["watch", "last"], "does not go on any more"),
        (["inject", "kill", "agent-1"], "no run goes on"),
        (["inject"], "sim inject --list"),
        (["replay", "quickstart-0001"], "needs a terminal"),
        (["compare", "last"], "expected 2"),
        (["export", "last", "--to", "xlsx"], "parquet"),
        (["completion", "tcsh"], "bash"),
    ],
)
def test_what_cannot_be_done_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, _, err = run(capsys, *words)
    assert code != 0
    assert said in err


def test_pages_and_tables_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "report", "quickstart-0001", "--out", str(tmp_path / "page.html"))
    assert (code, out.strip()) == (0, str(tmp_path / "page.html"))
    assert "<svg" in (tmp_path / "page.html").read_text()
    page = str(tmp_path / "both.html")
    code, out, _ = run(capsys, "compare", "quickstart-0001", "quickstart-0002", "--out", page)
    assert code == 0
    assert "reward" in out
    code, out, _ = run(capsys, "export", "quickstart-0001", "--out", str(tmp_path / "tables"))
    assert code == 0
    assert (tmp_path / "tables" / "messages.csv").exists()


def test_every_command_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inject", "--list")
    assert code == 0
    assert "sim inject kill battery-2 --for 10min" in out
    code, out, _ = run(capsys, "completion", "bash")
    assert (code, "complete" in out) == (0, True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sim re", {"replay", "report", "resume"}),
        ("sim run quick", {"quickstart"}),
        ("sim report quickstart-0", {"quickstart-0001", "quickstart-0002"}),
        ("sim inject par", {"partition"}),
    ],
)
def test_the_shell_completes(line: str, expected: set[str], tmp_path: Path) -> None:
    found = tmp_path / "found"
    subprocess.run(
        [sys.executable, "-m", "sim"],
        env={
            **os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_STDOUT_FILENAME": str(found), "IFS": "\n",
        },
        check=True, capture_output=True,
    )  # fmt: skip
    words = {word.strip() for word in found.read_text().replace("\x0b", "\n").split("\n")}
    assert expected <= words
