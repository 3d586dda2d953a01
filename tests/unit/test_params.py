"""Params that a behaviour does not take are told before any process starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.params import check_policy
from sim.errors import AgentError, ScenarioError
from sim.prepare import load, prepare
from sim.spaces import Space
from sim.worlds.world import Group

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


GROUP = Group("robot", ("robot-1",), Space(()), Space(()), 1)


class Policy:
    """What all policies have."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        self.gain, self.hours = float(params.get("gain", 1.0)), params["hours"]


class Copier(Policy):
    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, {"hours": 1, **params})


class Looker(Policy):
    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        assert [name for name in params if name != "anything"] == []


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("construction", "robot-*.params.rech=2",
         r"yaml:\d+: agents.robot-\*: params: no 'rech'; did you mean 'reach'"),
        ("construction", "robot-*.params.reach=far", "params: .*'far'"),
        ("market", "maker-*.params.strategy=symetric", "no 'symetric'; did you mean 'symm"),
        ("market", "maker-*.params.gamma=-1", "params: gamma: Expected `float` > 0.0, found -1"),
        ("market", "informed-*.params.edge=abc",
         "params: edge: Expected `float`, got `str`, found 'abc'"),
        ("market", "maker-*.params.lotts=2", "Maker takes no 'lotts'; did you mean 'lots'"),
    ],
)  # fmt: skip
def test_so_is_one_that_is_given_as_an_option(name: str, setting: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        prepare(load(name, overrides=[f"agents.{setting}"]))


def test_who_copies_params_or_looks_through_them_may_take_any() -> None:
    for policy in (Copier, Looker):
        check_policy(policy, GROUP, {"anything": 1})
    check_policy(Policy, GROUP, {"hours": 1})
    with pytest.raises(AgentError, match="no 'hour'; did you mean 'hours'"):
        check_policy(Policy, GROUP, {"hours": 1, "hour": 2})
