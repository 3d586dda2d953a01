"""A leader that dies, comes back, or is cut off."""

from __future__ import annotations

from typing import Any

SOURCE = """
class A(sim.Agent):
    async def run(self):
        async for leader in sim.leadership(self, period="1s"):
            self.log(str(leader))
"""


def followed(run: Any, faults: list[dict[str, Any]], size: int = 4, **scenario: Any) -> Any:
    base = {"duration": "60s", "world": {"agents": size}, "faults": faults}
    outcome = run(SOURCE, {**base, **scenario})
    assert outcome.result.status == "completed", outcome.result
    return {f"agent-{i}": outcome.lines(f"agent-{i}") for i in range(1, size + 1)}


def last(told: Any) -> dict[str, str]:
    return {name: lines[-1][1] for name, lines in told.items() if lines}


def test_it_survives_the_death_of_its_leaders(run: Any) -> None:
    faults = [{"at": "20s", "kill": "agent-1"}, {"at": "40s", "kill": "agent-2"}]
    told = followed(run, faults)
    for name in ("agent-3", "agent-4"):
        assert [text for _, text in told[name]] == [
            "None", "agent-1", "None", "agent-2", "None", "agent-3"
        ]  # fmt: skip
        times = {text: at for at, text in told[name] if text != "None"}
        # Silence of three periods, of which one may have passed, and an election as long.
        assert 22 <= times["agent-2"] <= 27
        assert 42 <= times["agent-3"] <= 47


def test_who_comes_back_follows_who_leads_now(run: Any) -> None:
    faults = [{"at": "20s", "kill": "agent-1"}, {"at": "35s", "restart": "agent-1"}]
    assert set(last(followed(run, faults)).values()) == {"agent-2"}


def test_two_halves_have_a_leader_each_and_one_again_when_they_meet(run: Any) -> None:
    cut = [["agent-1", "agent-2"], ["agent-3", "agent-4"]]
    told = followed(run, [{"at": "15s", "partition": cut, "for": "20s"}])
    at_30 = {name: [text for at, text in lines if at < 30][-1] for name, lines in told.items()}
    assert [at_30[f"agent-{i}"] for i in (1, 2, 3, 4)] == ["agent-1"] * 2 + ["agent-3"] * 2
    assert len(set(last(told).values())) == 1


def test_lost_messages_do_not_unseat_a_leader_for_long(run: Any) -> None:
    lossy = {"default": {"latency": "10ms", "loss": 0.2}}
    told = followed(run, [], network=lossy)
    assert len(set(last(told).values())) == 1
