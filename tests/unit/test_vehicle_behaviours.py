"""Drivers of the world `vehicles`: whom they listen to, and what they do when nobody speaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.behaviours.vehicles import Acc, Cacc, Human, Leader, ahead
from agents.behaviours.vehicles_roles import Pedal
from sim.worlds.vehicles import make
from sim.worlds.vehicles_laws import DRIVER, equilibrium

LEADER, GROUP = make({"vehicles": 3}).groups
SPEED, GAP = 25.0, 22.0


def seen(**other: float) -> Any:
    values = {
        "speed": SPEED, "position": 0.0, "gap": GAP, "seen": 1.0, "number": 1.0, "headway": 0.8,
        "standstill": 2.0, **other,
    }  # fmt: skip
    obs = np.zeros((1, GROUP.observation.size))
    for name, value in values.items():
        obs[0, GROUP.observation.index(name)] = value
    return obs


def cam(*messages: tuple[float, float], age: float = 0.1) -> Any:
    """Of vehicles whose front is where the first number says, that intend the second."""
    rows = [[where - SPEED * age, 5.0, SPEED, 0.0, intended] for where, intended in messages]
    present = np.ones((1, len(rows)), dtype=bool)
    ages = np.full((1, len(rows)), age)
    return SimpleNamespace(values=np.array([rows]), present=present, age_s=ages)


def listened(heard: Any, **other: Any) -> tuple[float, bool]:
    found, is_known = ahead(
        np, heard, np.zeros((1, 1)), (np.full((1, 1), GAP), np.ones((1, 1)) > 0), 0.55
    )
    return float(found[0, 0]), bool(is_known[0, 0])


def test_only_whoever_is_where_the_radar_sees_somebody_counts() -> None:
    mine, next_one, behind = (GAP + 5.0, -2.0), (2 * GAP + 10.0, 1.0), (-GAP - 5.0, 2.0)
    assert listened(cam(mine, next_one, behind)) == (-2.0, True)
    assert listened(cam(behind, next_one, mine)) == (-2.0, True)
    assert listened(cam(next_one, behind)) == (0.0, False)
    assert listened(cam(mine, age=0.5)) == (-2.0, True)
    assert listened(cam(mine, age=0.6)) == (0.0, False)


def driven(policy: Any, decisions: int, heard: Any, memory: Any = None) -> tuple[list[float], Any]:
    memory = policy.memory(np, 1) if memory is None else memory
    wanted = []
    for _ in range(decisions):
        action, said, memory = policy(seen(), {"cam": heard}, memory, 0)
        assert said["cam"].shape == (1, 5)
        assert said["cam"][0, 4] == action[0, 0]
        wanted.append(float(action[0, 0]))
    return wanted, memory


def test_in_place_and_in_company_nothing_happens() -> None:
    wanted, memory = driven(Cacc("vehicle-1", GROUP, {}), 50, cam((GAP + 5.0, 0.0)))
    assert wanted == pytest.approx([0.0] * 50, abs=1e-12)
    assert memory[0, 1] == pytest.approx(0.8)


def test_what_is_ahead_is_followed_and_acc_is_deaf() -> None:
    heard = cam((GAP + 5.0, -3.0))
    wanted, _ = driven(Cacc("vehicle-1", GROUP, {}), 50, heard)
    assert wanted == sorted(wanted, reverse=True)
    assert wanted[-1] == pytest.approx(-3.0, abs=0.02)
    assert driven(Acc("vehicle-1", GROUP, {"alone": 0.8}), 5, heard)[0] == pytest.approx([0.0] * 5)


def test_silence_widens_the_gap_without_a_bump_and_speech_closes_it_more_slowly() -> None:
    policy, heard = Cacc("vehicle-1", GROUP, {}), cam((GAP + 5.0, 0.0))
    _, memory = driven(policy, 5, heard)
    wanted, memory = driven(policy, 40, cam((GAP + 5.0, 0.0), age=1.0), memory)
    assert max(abs(np.diff([0.0, *wanted]))) < 0.1
    assert wanted[-1] < -0.5
    assert memory[0, 1] == pytest.approx(1.2)
    _, memory = driven(policy, 20, heard, memory)
    assert memory[0, 1] == pytest.approx(1.2 - 20 * 0.1 * 0.04)


def test_an_emergency_brake_is_told() -> None:
    policy = Cacc("vehicle-1", GROUP, {})
    action, said, _ = policy(seen(braking=1.0), {"cam": cam()}, policy.memory(np, 1), 0)
    assert action[0, 0] == said["cam"][0, 4] == -8.0


def test_a_human_is_idm_and_the_leader_keeps_its_speed() -> None:
    human = Human("vehicle-1", GROUP, {})
    gap = equilibrium(DRIVER, SPEED)
    action, _, _ = human(seen(gap=gap), {}, human.memory(np, 1), 0)
    assert action[0, 0] == pytest.approx(0.0, abs=1e-12)
    obs = np.zeros((1, LEADER.observation.size))
    obs[0, LEADER.observation.index("wanted_speed")] = 1.5
    action, _, _ = (leader := Leader("leader", LEADER, {}))(obs, {}, leader.memory(np, 1), 0)
    assert action[0, 0] == 1.5


def test_the_role_sees_what_cacc_sees_and_says_what_it_chose() -> None:
    role = Pedal("vehicle-1", GROUP, {})
    inbox, memory = {"cam": cam((GAP + 5.0, -3.0))}, role.memory(np, 1)
    told = role.see(seen(gap=27.0), inbox, memory)[0]
    assert told == pytest.approx([0.5, 0.0, SPEED / 30, 0.0, 0.0, 0.0])  # nobody is there
    told = role.see(seen(), inbox, memory)[0]
    assert told == pytest.approx([0.0, 0.0, SPEED / 30, 0.0, -1.0, 1.0])
    for choice, wanted in enumerate((-2.0, 0.0, 2.0)):
        action, said, _ = role.act(np.array([[choice]]), seen(), inbox, memory, 0)
        assert action[0, 0] == said["cam"][0, 4] == wanted
    assert Pedal("vehicle-1", GROUP, {"pedals": False}).decides.fields == GROUP.action.fields
