"""Policies and mechanisms as programs: what they get, what becomes of what they return."""

from __future__ import annotations

from typing import Any

import pytest

from sim.units import SECOND
from sim.worlds.blank import Blank
from sim.worlds.world import Round

POLICY = """
import numpy as np

class A:
    speaks = {"state": 2}
    hears = {"state": 2}

    def __init__(self, name, group, params):
        self.name, self.group, self.params = name, group, params

    def memory(self, xp, batch):
        return xp.zeros((batch, 1))

    def __call__(self, obs, inbox, memory, key):
        heard = inbox["state"]
        print(obs.tolist(), heard.values.tolist(), heard.present.tolist(), heard.age_s.tolist())
        print(memory.tolist(), self.name, self.group.name, self.params, type(key).__name__)
        says = obs[:, :1] * np.array([[1.0, 10.0]])
        if self.params.get("silent"):
            says = says * np.nan
        return memory, {"state": says}, memory + 1
"""
PROGRAM = """
class B(sim.Agent):
    async def run(self):
        async for now in self.every(0.1):
            self.publish("state", PAYLOAD)
"""


def test_a_policy_sees_the_latest_of_each_sender_and_its_age(run: Any) -> None:
    source = POLICY + PROGRAM.replace("PAYLOAD", "[now, 7.0]")
    out = run(source, {"world": {"agents": 3}, "duration": "250ms"}, cast={"agent-3": "B"})
    heard = out.said("agent-1")[::2]
    nothing = "[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]"
    assert heard[0] == f"[[0.0]] [[{nothing}]] [[False, False, False]] [[0.0, 0.0, 0.0]]"
    latest = "[0.0, 0.0], [0.1, 1.0], [0.1, 7.0]"
    assert heard[2] == f"[[0.2]] [[{latest}]] [[False, True, True]] [[0.0, 0.1, 0.1]]"
    assert out.said("agent-1")[1::2] == [
        f"[[{float(i)}]] agent-1 agent {{}} uint64" for i in range(3)
    ]


def test_rows_that_are_not_numbers_are_not_sent(run: Any) -> None:
    scenario = {"world": {"agents": 2}, "agents": {"agent-2": {"params": {"silent": True}}}}
    out = run(POLICY, scenario)
    assert "True" not in str(out.said("agent-1")[::2])
    assert "True" in str(out.said("agent-2")[::2])


NONSENSE = ["'text'", "[1.0]", "[1.0, float('nan')]", "{'a': 1}", "None", "[[1], [2, 3]]", "b'x'"]


@pytest.mark.parametrize("payload", NONSENSE)
def test_a_policy_is_not_disturbed_by_nonsense(run: Any, payload: str) -> None:
    source = POLICY + PROGRAM.replace("PAYLOAD", payload)
    out = run(source, {"world": {"agents": 2}}, cast={"agent-2": "B"})
    assert out.result.status == "completed"
    assert "True" not in str(out.said("agent-1")[::2])


MARKET = """
import numpy as np

def A(bids, present, key):
    print(bids[0, :, 0].tolist(), present[0].tolist())
    return np.concatenate((bids, present[..., None]), axis=-1)

class Bidder(sim.Agent):
    async def run(self):
        async for now in self.every(1.0):
            await asyncio.sleep(self.params["delay"])
            self.send("agent-1", "offer", self.params["bid"])
            answer = await self.receive("award", timeout=0.6)
            print(now, None if answer is None else answer.payload.tolist())
"""


def _bid(bid: Any, delay: float = 0.0) -> dict[str, Any]:
    return {"params": {"bid": bid, "delay": delay}}


def test_a_mechanism_clears_what_came_in_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    senders = ("agent-2", "agent-3", "agent-4", "agent-5")
    deadline = SECOND // 2
    round_ = Round("offer", senders, "agent-1", SECOND, deadline, 1, "award", 2, "double_auction")
    monkeypatch.setattr(Blank, "rounds", (round_,))
    scenario = {
        "duration": "2s",
        "world": {"agents": 5, "acts": 8},
        "agents": {
            "agent-2": _bid([3.0]),
            "agent-3": _bid([4.0], delay=0.495),
            "agent-4": _bid("nonsense"),
            "agent-5": _bid([5.0], delay=0.49),
        },
    }
    cast = dict.fromkeys(senders, "Bidder")
    out = run(MARKET, scenario, cast=cast)
    assert out.said("agent-1") == ["[3.0, 0.0, 0.0, 5.0] [True, False, False, True]"] * 2
    assert [text for _, text in out.lines("agent-1", "market")] == [
        "cleared 2 of 4 offers, 1 invalid",
        "cleared 2 of 4 offers, 1 late, 1 invalid",
    ]
    assert out.said("agent-2") == ["0.0 [3.0, 1.0]", "1.0 [3.0, 1.0]"]
    assert out.said("agent-3") == ["0.0 None"]
    assert out.said("agent-5") == ["0.0 [5.0, 1.0]", "1.0 [5.0, 1.0]"]
    assert out.result.metrics["actions present"].value == 1
