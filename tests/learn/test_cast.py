"""Who plays what in a rollout."""

from __future__ import annotations

import pytest

from agents.roles import PlainRole
from sim.errors import UnknownKeyError
from sim.learn.cast import Cast, cast_rollout, heard_by
from sim.prepare import load, prepare
from sim.worlds import smart_grid

pytestmark = pytest.mark.torch


def cast_of(name: str, learning: list[str], behaviours: dict[str, str] | None = None) -> Cast:
    return cast_rollout(prepare(load(name, behaviours=behaviours or {})), learning)


def test_the_smart_grid_is_policies_and_one_mechanism() -> None:
    cast = cast_of("smart_grid", ["generator"])
    assert [side.agents for side in cast.sides] == [("generator-1",)]
    assert [clearing.agent for clearing in cast.clearings] == ["market"]
    assert not cast.programs
    # A group is one call; commercial and industrial are two groups.
    played = {party.group: party.agents for party in cast.parties}
    assert len(played) == len(cast.parties) == 8
    assert played["battery"] == tuple(f"battery-{i}" for i in range(1, 5))
    assert "generator" not in played


def test_other_params_are_another_policy() -> None:
    options = ["agents={agent-*: {params: {gain: 3}}, agent-2: {params: {gain: 4}}}"]
    cast = cast_rollout(prepare(load("rendezvous", overrides=options)), [])
    assert [party.agents for party in cast.parties] == [
        ("agent-1", "agent-3", "agent-4"),
        ("agent-2",),
    ]


def test_programs_are_named_and_nobody_is_nobody() -> None:
    cast = cast_of("smart_grid", ["pv"], {"battery-*": "my_agents.py:Saver", "ev-*": "none"})
    assert set(cast.programs) == {f"battery-{i}" for i in range(1, 5)}
    assert cast.programs["battery-1"] == "my_agents.py:Saver"
    assert "ev" not in {party.group for party in cast.parties}


def test_layouts_count_the_senders_that_a_process_tells_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smart_grid, "ROLES", {})
    prepared = prepare(load("smart_grid"))
    names = [plan.name for plan in prepared.plans]
    assert heard_by(prepared.world, names, "pv-1", "award") == ("market",)
    assert heard_by(prepared.world, names, "pv-1", "limit") == tuple(names)
    assert len(heard_by(prepared.world, names, "pv-1", "offer")) == len(names) - 2
    # Who takes no part in a round hears its topic as any other.
    assert heard_by(prepared.world, names, "operator", "offer") == tuple(names)
    params = {"pv": {"hears": {"award": 2, "talk": 3}}}
    (side,) = cast_rollout(prepared, ["pv"], params).sides
    assert isinstance(side.role, PlainRole)
    assert [(h.topic, h.senders, h.width) for h in side.layout.heard] == [
        ("award", 1, 2),
        ("talk", len(names), 3),
    ]


def test_a_group_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownKeyError, match="battery"):
        cast_of("smart_grid", ["batery"])
    with pytest.raises(UnknownKeyError, match="which does not learn"):
        cast_rollout(prepare(load("rendezvous")), [], {"agent": {}})
