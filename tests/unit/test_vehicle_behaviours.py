"""Drivers of the world `vehicles`: whom they listen to, and what they do when nobody speaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sim
from agents.behaviours.vehicles import Acc, Cacc, Human, Leader, ahead
from agents.behaviours.vehicles_platoon import PLAN, Member
from agents.behaviours.vehicles_roles import Pedal
from sim.errors import AgentError
from sim.worlds.vehicles.laws import DRIVER, equilibrium
from sim.worlds.vehicles.world import make

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


def test_a_param_that_no_driver_has_is_told_with_the_nearest_one() -> None:
    with pytest.raises(AgentError, match="no driver has 'patiens'; did you mean 'patience'"):
        Cacc("vehicle-1", GROUP, {"patiens": 1})
    with pytest.raises(AgentError, match="no driver has 'leese'; did you mean 'lease'"):
        Pedal("vehicle-1", GROUP, {"pedals": True, "leese": 1})
    Human("vehicle-1", GROUP, {"patience": 1.0})


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
    assert told == pytest.approx([0.5, 0.0, SPEED / 30, 0.0, 0.0, 0.0, 0.0])  # nobody is there
    told = role.see(seen(), inbox, memory)[0]
    assert told == pytest.approx([0.0, 0.0, SPEED / 30, 0.0, 0.0, -1.0, 1.0])
    _, _, memory = role.act(np.array([[0]]), seen(), inbox, memory, 0)
    assert role.see(seen(), inbox, memory)[0, 4:] == pytest.approx([-2.0 / 3.0, -1.0, 1.0])
    for choice, wanted in enumerate((-2.0, 0.0, 2.0)):
        action, said, _ = role.act(np.array([[choice]]), seen(), inbox, memory, 0)
        assert action[0, 0] == said["cam"][0, 4] == wanted
    memory = role.memory(np, 1)
    for closing in 0.2 * np.arange(21):  # who is ahead brakes and is not heard: the radar tells
        _, _, memory = role.act(np.array([[1]]), seen(closing=closing), {}, memory, 0)
    assert role.see(seen(), {}, memory)[0, 5:] == pytest.approx([-2.0 / 3.0, 0.0], abs=0.1)
    assert Pedal("vehicle-1", GROUP, {"pedals": False}).decides.fields == GROUP.action.fields


# --- members of a platoon -------------------------------------------------------------------------

_, OPEN = make({"vehicles": 3, "guests": 1}).groups
MIDDLE = 2.0 + 0.8 * SPEED + 5.0
"""m from a front to that of a guest in the middle of the gap that it opens."""


def plan(*rows: tuple[float, ...], age: float = 0.0) -> Any:
    """number, beside, position, gap, whom it asks, whom it answers."""
    values = [
        [n, beside, x, SPEED, gap, asks, answers] for n, beside, x, gap, asks, answers in rows
    ]
    shape = (1, len(rows))
    return SimpleNamespace(
        values=np.array([values]).reshape(1, -1, PLAN), present=np.ones(shape, dtype=bool),
        age_s=np.full(shape, age),
    )  # fmt: skip


class Played:
    """A member, and what it last said and did."""

    def __init__(self, **params: Any) -> None:
        self.policy = Member("vehicle-1", OPEN, params)
        self.memory = self.policy.memory(np, 1)

    def decide(self, plans: Any, times: int = 1, cams: Any = None, **other: float) -> Any:
        values = {
            "speed": SPEED, "position": 0.0, "gap": GAP, "seen": 1.0, "number": 2.0,
            "headway": 0.8, "standstill": 2.0, "wish": 1.0, **other,
        }  # fmt: skip
        obs = np.zeros((1, OPEN.observation.size))
        for name, value in values.items():
            obs[0, OPEN.observation.index(name)] = value
        for _ in range(times):
            heard = {"cam": cams or cam((GAP + 5.0, 0.0)), "plan": plans}
            action, said, self.memory = self.policy(obs, heard, self.memory, 0)
        self.pedal, self.lane = (float(x) for x in action[0])
        told = said["plan"][0]
        self.asks, self.answers, self.cam = float(told[5]), float(told[6]), said["cam"][0]
        return self

    @property
    def headway(self) -> float:
        return float(self.memory[0, 1])


NOBODY = plan((3, 0, -60, GAP, 0, 0))


def test_who_is_asked_answers_and_opens_its_gap_for_two() -> None:
    member = Played()
    assert member.decide(NOBODY, 20).answers == 0
    assert member.headway == pytest.approx(0.8)
    asked = plan((4, 1, 10, 150, 2, 0))
    assert member.decide(asked).answers == 4
    member.decide(asked, 200)
    wanted_gap = 2.0 + member.headway * SPEED
    assert wanted_gap == pytest.approx(2 * (2.0 + 0.8 * SPEED) + 5.0)
    assert member.decide(NOBODY).answers == 0
    # Neither old news, nor what another is asked, nor one that is in the file already.
    for other in (
        plan((4, 1, 10, 150, 2, 0), age=3.1),
        plan((4, 1, 10, 150, 3, 0)),
        plan((4, 0, 10, 150, 2, 0)),
    ):
        assert Played().decide(other, 3).answers == 0


def test_a_guest_asks_whoever_has_the_nearest_gap_and_keeps_to_it() -> None:
    guest, beside = Played(), {"beside": 1.0, "gap": 150.0, "seen": 0.0, "number": 4.0}
    near, far = (2, 0, -MIDDLE + 4, 20, 0, 0), (1, 0, 30, 20, 0, 0)
    guest.decide(plan(near, far), **beside)
    assert guest.asks == 2
    assert guest.lane == 1
    assert 0 < guest.pedal <= 2
    assert np.isnan(guest.cam).all(), "nobody follows who is beside"
    assert guest.decide(plan((2, 0, -90, 20, 0, 0), far), **beside).asks == 2
    assert guest.decide(plan(far), **beside).asks == 1, "the one it asked is gone"
    silent = Played().decide(plan(), **beside)
    assert (silent.asks, silent.pedal, silent.lane) == (0, 0, 1)


def test_a_guest_comes_in_once_it_is_answered_and_has_room() -> None:
    beside = {"beside": 1.0, "gap": 150.0, "seen": 0.0, "number": 4.0}
    wide, narrow = 2 * MIDDLE, MIDDLE + 10
    for gap, answers, lane in ((wide, 4, 0), (wide, 0, 1), (wide, 3, 1), (narrow, 4, 1)):
        guest = Played().decide(plan((2, 0, -MIDDLE, gap, 0, answers)), 2, **beside)
        assert guest.lane == lane, (gap, answers)


def test_what_was_agreed_on_outlasts_a_silence_and_lanes_are_changed_by_fresh_news_only() -> None:
    beside = {"beside": 1.0, "gap": 150.0, "seen": 0.0, "number": 4.0}
    back, front = (2, 0, -MIDDLE, 2 * MIDDLE, 0, 4), (1, 0, 2 * MIDDLE, 20, 0, 0)
    for age, asks, lane in ((0.5, 2, 0), (0.6, 2, 1), (2.9, 2, 1), (3.1, 1, 1)):
        guest = Played().decide(plan(back, front), **beside)
        assert (guest.asks, guest.lane) == (2, 0)
        # The one it asks falls silent, and drives on; the other is heard all the time.
        silent = plan((2, 0, -MIDDLE - SPEED * age, 2 * MIDDLE, 0, 4), front, age=age)
        silent.age_s[0, 1] = 0.0
        guest.decide(silent, **beside)
        assert (guest.asks, guest.lane) == (asks, lane), age
    asked = plan((4, 1, 10, 150, 2, 0), age=2.9)
    assert Played().decide(asked, 3).answers == 4


def test_behind_somebody_new_it_goes_on_from_the_gap_that_is_there() -> None:
    member = Played()
    member.decide(plan((4, 1, 10, 150, 2, 0)), 200, gap=49.0)
    before = member.pedal
    member.decide(NOBODY, gap=21.0, cams=cam((26.0, 0.0)))
    assert abs(member.pedal - before) < 0.3
    assert member.headway == pytest.approx(0.8)


def test_who_wants_out_says_so_and_goes_once_it_is_answered_or_after_its_notice() -> None:
    leaver = Played()
    assert leaver.decide(NOBODY).lane == 0
    assert leaver.decide(NOBODY, 40, wish=0.0).asks == -1
    assert leaver.lane == 0
    assert leaver.decide(plan((3, 0, -27, 22, 0, 2)), wish=0.0).lane == 1
    patient = Played(notice=3)
    assert patient.decide(NOBODY, 29, wish=0.0).lane == 0
    assert patient.decide(NOBODY, 3, wish=0.0).lane == 1


def test_who_is_behind_a_leaver_counts_on_no_message_of_it_and_answers_when_it_is_ready() -> None:
    leaves, heard = plan((1, 0, GAP + 5.0, GAP, -1, 0)), cam((GAP + 5.0, -3.0))
    member = Played()
    member.decide(NOBODY, 10)
    assert member.decide(leaves, 10, heard).answers == 0
    assert abs(member.pedal) < 1.0, "not the -3 that it says"
    assert member.decide(leaves, 60, heard).answers == 1
    assert member.headway == pytest.approx(1.3)
    assert Played().decide(plan((1, 0, 90.0, GAP, -1, 0)), 60, heard).answers == 0


def test_who_is_not_there_is_silent() -> None:
    away = Played().decide(NOBODY, number=0.0, gap=0.0, seen=0.0, speed=0.0)
    assert np.isnan(away.asks)
    assert np.isnan(away.cam).all()


def test_who_learns_among_guests_moves_its_pedal_and_leaves_the_rest_to_the_rule() -> None:
    member, role = Played(), Pedal("vehicle-2", OPEN, {})
    asked = plan((4, 1, 10, 150, 2, 0))
    member.decide(asked, 3)
    obs = np.zeros((1, OPEN.observation.size))
    for name, value in {
        "speed": SPEED, "gap": GAP, "seen": 1.0, "number": 2.0, "headway": 0.8,
        "standstill": 2.0, "wish": 1.0,
    }.items():  # fmt: skip
        obs[0, OPEN.observation.index(name)] = value
    memory, heard = role.memory(np, 1), {"cam": cam((GAP + 5.0, 0.0)), "plan": asked}
    for _ in range(3):
        action, said, memory = role.act(np.array([[2.0]]), obs, heard, memory, 0)
    assert action.tolist() == [[2.0, 0.0]]
    assert said["plan"][0, 5:].tolist() == [member.asks, member.answers] == [0.0, 4.0]
    assert said["cam"][0, 4] == 2.0, "it says what it does"


@pytest.mark.parametrize("driver", ["Acc", "Human", "Cacc"])
def test_any_driver_may_drive_where_there_are_guests(driver: str) -> None:
    """Such a world asks for a lane as well: they stay in theirs."""
    behaviours = {"vehicle-*": f"agents.behaviours.vehicles:{driver}"}
    result = sim.run(
        "platoon", duration="1s", behaviours=behaviours, inline=True, record=False, compare=False,
        overrides=["faults=[]"],
    )  # fmt: skip
    assert (result.status, result.metrics["joined"].value) == ("completed", 0)
