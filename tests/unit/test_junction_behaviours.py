"""Signals and reservations of the world `junctions`: what they make of what they hear."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.behaviours.junctions import LongestQueue, MaxPressure
from agents.behaviours.junctions_slots import Bid, Slot, read, sell
from sim.worlds.catalogue import make_batch
from sim.worlds.junctions.layout import phases, zones_of

GROUP = make_batch("junctions", {"rows": 3, "columns": 3}).groups[0]
NONE = (0, 0, 0, 0)


def seen(queue: Any, phase: int = 0, number: int = 4) -> Any:
    """What the signal in the middle sees; its neighbours are 1, 5, 7 and 3."""
    values = {
        "number": number, "neighbours": (1, 5, 7, 3), "queue": queue,
        "phase": np.eye(2)[phase], "is_green": 1, "shares": (0.8, 0.2, 0.0),
    }  # fmt: skip
    obs = np.zeros((1, GROUP.observation.size))
    for name, value in values.items():
        obs[0, GROUP.observation.index(name)] = value
    return obs


def said(messages: dict[int, Any], age: float = 1.0) -> Any:
    rows = [[number, *queues] for number, queues in messages.items()]
    shape = (1, len(rows))
    return SimpleNamespace(
        values=np.array([rows], dtype=float).reshape(*shape, 5),
        present=np.ones(shape, dtype=bool), age_s=np.full(shape, age),
    )  # fmt: skip


def chosen(policy: Any, obs: Any, heard: dict[int, Any], age: float = 1.0) -> int:
    action, told, _ = policy(obs, {"queues": said(heard, age)}, policy.memory(np, 1), 0)
    assert told["queues"].tolist() == [[4.0, *obs[0, GROUP.observation.index("queue")]]]
    return int(action[0, 0])


def test_the_longer_queues_go_first_if_they_are_longer_by_a_margin() -> None:
    policy = MaxPressure("signal-5", GROUP, {"margin": 4})
    assert chosen(policy, seen((3, 5, 3, 4)), {}) == 0
    assert chosen(policy, seen((3, 6, 3, 5)), {}) == 1
    assert chosen(policy, seen((3, 6, 3, 5), phase=1), {}) == 1


def test_nobody_is_sent_where_it_is_full_as_long_as_that_is_known() -> None:
    """Who comes from the north goes on south, to the lane that comes to 7 from the north."""
    policy, obs = MaxPressure("signal-5", GROUP, {"patience": 5}), seen((8, 6, 8, 6))
    full = {7: (20, 0, 0, 0), 1: (0, 0, 20, 0)}
    assert chosen(policy, obs, {}) == 0
    assert chosen(policy, obs, full) == 1
    assert chosen(policy, obs, full, age=6.0) == 0
    assert chosen(policy, obs, {8: (20, 20, 20, 20), 7: (0, 20, 20, 20)}) == 0
    assert chosen(LongestQueue("signal-5", GROUP, {}), obs, full) == 0


@pytest.mark.parametrize("has_left", [False, True])
def test_those_who_are_green_together_are_in_nobodys_way(has_left: bool) -> None:
    for together in phases(has_left):
        ways = [
            {zone for movement in range(3 if has_left else 2) for zone in zones_of(k, movement)}
            for k in together
        ]
        assert len(set.union(*ways)) == sum(map(len, ways))


THROUGH, RIGHT = 0, 1


def test_those_in_nobodys_way_win_together_and_pay_what_they_cost_others() -> None:
    north, south = Bid(1, 0, THROUGH, 4.0), Bid(2, 2, THROUGH, 3.0)
    assert sell([north, south]) == [0.0, 0.0]
    assert sell([north, south, Bid(3, 1, THROUGH, 6.0)]) == [pytest.approx(3.0), 2.0, None]
    assert sell([north, south, Bid(3, 1, THROUGH, 8.0)]) == [None, None, 7.0]
    assert sell([north, Bid(3, 1, RIGHT, 8.0)]) == [0.0, 0.0]
    assert sell([]) == []


@pytest.mark.parametrize("payload", [[1, 4, 0, 2.0], [1, 0, 0, float("nan")], "bid", None, [], 7])
def test_nonsense_is_no_bid(payload: Any) -> None:
    assert read(SimpleNamespace(payload=payload), Bid) is None  # type: ignore[arg-type]


def test_what_the_manager_says_is_read_as_it_was_said() -> None:
    told: Any = SimpleNamespace(payload={"vehicle-1": [7, 12.5, 0.5], "vehicle-2": [8, 0.0, 0.0]})
    assert read(told, dict[str, Slot]) == {"vehicle-1": Slot(7, 12.5, 0.5), "vehicle-2": Slot(8)}
    assert read(None, dict[str, Slot]) is None
