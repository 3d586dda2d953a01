"""Params that a behaviour does not take are told before any process starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.prepare import load, prepare

PROGRAM = """\
import sim
class Strict(sim.Agent):
    def __init__(self, limit, *, reserve=0.2): ...
class Open(sim.Agent):
    def __init__(self, limit=1, **rest): ...
class Heir(Strict): ...
raise RuntimeError("nothing of an author's is run")
"""
PLATOON = """\
duration: 1s
world: {kind: vehicles, vehicles: 2}
network: {default: {latency: 20ms}}
agents:
  "vehicle-*": {behaviour: %s, params: %s}
"""


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PROGRAM)

    def run(behaviour: str, params: str) -> None:
        Path("road.yaml").write_text(PLATOON % (behaviour, params))
        prepare(load("road.yaml"))

    return run


@pytest.mark.parametrize(
    ("behaviour", "params", "message"),
    [
        ("'mine.py:Strict'", "{limit: 1, reserv: 2}",
         r".*takes no 'reserv'; did you mean 'reserve'\?$"),
        ("'mine.py:Strict'", "{self: 1}", r".*takes no 'self'; there is: limit, reserve$"),
        ("rule", "{leese: 3}", r"no driver has 'leese'; did you mean 'lease'\?$"),
        ("rule", "{lease: long}", "could not convert string to float: 'long'$"),
    ],
)  # fmt: skip
def test_a_wrong_param_is_told_with_its_place(
    prepared: Callable[[str, str], None], behaviour: str, params: str, message: str
) -> None:
    with pytest.raises(ScenarioError, match=r"^road.yaml:5: agents.vehicle-\*: params: " + message):
        prepared(behaviour, params)


@pytest.mark.parametrize(
    ("behaviour", "params"),
    [
        ("'mine.py:Strict'", "{limit: 1, reserve: 2}"),
        ("'mine.py:Open'", "{any: 1}"),
        ("'mine.py:Heir'", "{any: 1}"),
        ("rule", "{lease: 3}"),
        ("none", "{leese: 3}"),
    ],
)
def test_what_fits_or_cannot_be_told_is_left_to_the_agent(
    prepared: Callable[[str, str], None], behaviour: str, params: str
) -> None:
    prepared(behaviour, params)
