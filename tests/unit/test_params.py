"""Params of our own behaviours are looked at before a process starts: names, and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agents.behaviour import check_params
from sim.errors import AgentError, ScenarioError
from sim.prepare import load, prepare
from sim.spaces import Space
from sim.worlds.world import Group

GROUP = Group("robot", ("robot-1",), Space(()), Space(()), 1)


class Policy:
    """What all policies have."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        self.gain, self.hours = float(params.get("gain", 1.0)), params["hours"]


class Keeper(Policy):
    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        self.params = params


class Copier(Policy):
    def __init__(self, name: str, group: Group, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, {"hours": 1, **params})


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("construction", "robot-*.params.rech=2",
         r"yaml:\d+: agents.robot-\*: robot-1: params: no 'rech'; did you mean 'reach'"),
        ("construction", "robot-*.params.reach=far", "robot-1: params: .*'far'"),
        ("market", "maker-*.params.lotts=2", "maker-1: .*'lotts'; did you mean 'lots'"),
    ],
)  # fmt: skip
def test_a_wrong_param_is_told_with_its_line(name: str, setting: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        prepare(load(name, overrides=[f"agents.{setting}"]))


def test_who_copies_or_keeps_params_may_ask_for_any() -> None:
    for policy in (Keeper, Copier):
        check_params(policy, GROUP, {"anything": 1})
    check_params(Policy, GROUP, {"hours": 1})
    with pytest.raises(AgentError, match="no 'hour'; did you mean 'hours'"):
        check_params(Policy, GROUP, {"hours": 1, "hour": 2})
