"""Tables as files: the same rows in either format."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from checkers.recorded import Recorded, record_run

from sim.errors import InstallationError, ScenarioError
from sim.store.export import export
from sim.store.rundata import TABLES, load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record_run("quickstart", tmp_path_factory.mktemp("run"), duration=10)


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_every_table_becomes_a_file(to: str, run: Recorded, tmp_path: Path) -> None:
    said: list[str] = []
    files = export(run.folder, to, tmp_path / "out", said.append)
    assert [file.name for file in files] == [f"{name}.{to}" for name in TABLES]
    data = load(run.folder)
    for file, line in zip(files, said, strict=True):
        table = pd.read_parquet(file) if to == "parquet" else pd.read_csv(file)
        told = getattr(data, file.stem)
        assert len(table) == len(told)
        assert str(file) in line
        assert f"{len(told):,} rows" in line
    messages = pd.read_parquet(files[2]) if to == "parquet" else pd.read_csv(files[2])
    assert messages["delay"].sum() == pytest.approx(data.messages["delay"].sum())
    assert set(messages["fate"]) == set(data.messages["fate"])


def test_what_was_not_recorded_is_said(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    said: list[str] = []
    files = export(tmp_path, "csv", say=said.append)
    assert [file.stem for file in files] == ["faults", "events"]
    assert files[0].parent == tmp_path / "export"
    assert "- metrics:" in said[0]
    assert "no recording" in said[0]


def test_what_is_missing_or_misspelt_is_named(
    run: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ScenarioError, match="did you mean 'parquet'"):
        export(run.folder, "parkett", tmp_path)
    found = importlib.util.find_spec

    def find(name: str, package: Any = None) -> Any:
        return None if name == "pyarrow" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(InstallationError, match=r"pip install 'sim-agents\[parquet\]'"):
        export(run.folder, "parquet", tmp_path)
