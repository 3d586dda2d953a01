"""`sim new`: what it writes is well formed, runs, and never takes the place of anything."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from sim.author import file_module
from sim.cli import main
from sim.templates import KINDS

ROOT = Path(__file__).parents[2]
FILES = {
    "agent": ["NAME.py", "test_NAME.py"],
    "world": ["NAME.py", "NAME.yaml", "NAME_rule.py", "test_NAME.py"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_it_wrote_and_what_is_next(
    kind: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(["new", kind, "red_fox"]) == 0
    names = [name.replace("NAME", "red_fox") for name in FILES[kind]]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert "next  sim run " in out
    text = "".join(Path(name).read_text() for name in names)
    assert "NAME" not in text
    assert "class RedFox" in text


@pytest.mark.parametrize("name", ["fox", "a_name_of_many_letters_2"])
def test_what_is_written_passes_the_linter(name: str, folder: Path) -> None:
    for kind in KINDS:
        main(["new", kind, f"{name[:22]}_{kind[0]}"])
    config = ["--config", str(ROOT / "pyproject.toml")]
    for words in (["check", "--no-cache", "--no-fix"], ["format", "--no-cache", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *config, "."], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.torch
@pytest.mark.parametrize("kind", [pytest.param("agent", marks=pytest.mark.slow), "world"])
def test_its_test_passes_as_it_is(kind: str, folder: Path) -> None:
    main(["new", kind, "red_fox"])
    module = file_module(folder / "test_red_fox.py")
    tests = [f for n, f in inspect.getmembers(module, inspect.isfunction) if n.startswith("test_")]
    assert len(tests) >= 3
    for test in tests:
        test()


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.torch
def test_it_passes_under_pytest_and_runs_in_processes(folder: Path) -> None:
    for kind, name in (("agent", "red_fox"), ("world", "pond")):
        main(["new", kind, name])
    run = {"cwd": folder, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "."], **run)  # type: ignore[call-overload]
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    for words in (
        ["run", "pond.yaml", "--headless"],
        [
            "run",
            "quickstart",
            "--duration",
            "5s",
            "--headless",
            "--as",
            "agent-1=red_fox.py:RedFox",
        ],
        ["verify", "last"],
        ["check", "red_fox.py", "--scenario", "quickstart"],
    ):
        done = subprocess.run([sys.executable, "-m", "sim", *words], **run)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_written_over(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    Path("test_fox.py").write_text("mine")
    assert main(["new", "agent", "fox"]) == 2
    assert "test_fox.py exists already; nothing was written" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["test_fox.py"]
    assert Path("test_fox.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["agent", "Fox"], "small letters, digits and _, as in my_name, found 'Fox'"),
        (["agent", "class"], "found 'class'"),
        (["agent", "../fox"], "found '../fox'"),
        (["world", "numpy"], "there is a module 'numpy' already, which numpy.py would hide"),
        (["wrold", "fox"], "wrold"),
        (["world"], "NAME"),
        ([], "KIND"),
    ],
)
def test_mistakes_are_named(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(["new", *words]) == 2
    assert text in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_help_explains(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new", "--help"])
    assert "sim new world pond" in capsys.readouterr().out
