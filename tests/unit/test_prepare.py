"""What can go wrong before a run, beside the scenario itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InstallationError
from sim.prepare import load, prepare

SCENARIO = """\
duration: 1s
world: {pettingzoo: "their_package:env"}
network: {default: {latency: 1ms}}
"""


def test_a_world_says_what_it_cannot_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages of environments import some of theirs as they are looked at."""
    (tmp_path / "their_package.py").write_text("def __getattr__(name): import no_such_package\n")
    (tmp_path / "x.yaml").write_text(SCENARIO)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InstallationError, match=r"x.yaml:2: .*No module named 'no_such_package'"):
        prepare(load(tmp_path / "x.yaml"))
