"""A disk that takes no more stops the record with a loud word, and never the run."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sim.again import read_past, verify

LIMIT = 30_000
"""Bytes that a file may have: the recording passes it first, then the log."""


@pytest.mark.process
@pytest.mark.slow
def test_the_run_goes_on_without_its_record_and_says_so(tmp_path: Path) -> None:
    words = ["run", "quickstart", "--headless", "--no-baselines", "--json", "--inline"]
    plain = subprocess.run(
        [sys.executable, "-m", "sim", *words], cwd=tmp_path, capture_output=True, check=True
    )
    full = subprocess.run(
        [sys.executable, "-m", "sim", *words], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )  # fmt: skip
    assert full.returncode == 0
    assert json.loads(full.stdout)["digest"] == json.loads(plain.stdout)["digest"]
    assert "recording ended: cannot write" in full.stderr
    assert "the run goes on without its log" in full.stderr
    assert "Traceback" not in full.stderr
    past = read_past(tmp_path / "runs" / "quickstart-0002")
    verdict = verify(past)
    assert (verdict.is_same, verdict.is_whole) == (True, False)
    assert verdict.folds > 100
