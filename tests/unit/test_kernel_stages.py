"""Copies, damage, outages, order and age in the kernel: what agents get, and what the books say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play, run, trace
from checkers.recorded import record_run
from checkers.scenes import MS, TICKS, sends, simulate, text
from checkers.script import Script

import sim
from sim.store.recount import count, recount
from sim.store.rundata import load
from sim.wire.codec import decode_payload, encode_payload

HERE = Path(__file__)
WAITS = Script(awaits=True)


def test_a_copy_arrives_too_and_has_a_column_of_its_own() -> None:
    body = text(link=", duplicate: 100%, jitter: {uniform: 30ms}")
    kernel, stage = simulate(body, agent_1=Script(TICKS), agent_2=WAITS)
    heard = stage.heard["agent-2"]
    sent = sorted({h.sent for h in heard})
    assert len(heard) == 2 * len(sent) == 2 * len(TICKS)
    pairs = [[h.arrival for h in heard if h.sent == t] for t in sent]
    assert len({b - a for a, b in pairs}) == len(sent)
    books = kernel.network.totals()
    assert (books["sent"], books["duplicated"], books["delivered"]) == (20, 20, 40)
    assert books["bytes"] == sum(len(body) for *_, body in TICKS)
    check_books(kernel)


def test_no_column_where_nothing_is_copied() -> None:
    kernel, _ = simulate(text(), agent_1=Script(TICKS), agent_2=WAITS)
    assert "duplicated" not in kernel.network.totals()


def test_on_two_links_a_message_makes_two_copies_and_not_three() -> None:
    body = text(link=", duplicate: 100%").replace(
        "network: {", "network: {topology: star, hub: h, "
    )
    kernel, stage = simulate(body, agent_1=Script(TICKS[:1]), agent_2=WAITS)
    assert len(stage.heard["agent-2"]) == 3
    assert kernel.network.totals()["duplicated"] == 2


def test_damage_is_dropped_or_told() -> None:
    checked, stage = simulate(text(link=", corrupt: 100%"), agent_1=Script(TICKS), agent_2=WAITS)
    assert checked.network.totals()["dropped"] == {"corrupt": 20}
    assert "agent-2" not in stage.heard
    long = tuple((t * MS, "n", "agent-2", encode_payload(bytes(80))) for t in range(0, 900, 100))
    body = text(link=", corrupt: 100%, integrity: off")
    kernel, stage = simulate(body, agent_1=Script(long), agent_2=WAITS)
    assert kernel.network.totals()["delivered"] == 9
    found = [decode_payload(h.body) for h in stage.heard["agent-2"]]
    assert {type(each) for each in found} == {sim.Corrupt}
    assert {each.size for each in found} == {82}
    assert all(0 <= w < 82 for each in found for w in each.wrong)
    assert min(each.count for each in found) >= 1
    assert len({(each.first, each.count) for each in found}) > 5


class Listener(sim.Agent):
    async def run(self) -> None:
        if self.name == "agent-1":
            for n in range(5):
                self.send("agent-2", "tick", {"number": n, "of": [1.0, "x"]})
                self.send("agent-2", "short", None)
                await asyncio.sleep(0.1)
            return
        while True:
            message = await self.receive()
            assert message is not None
            payload = message.payload
            assert isinstance(payload, sim.Corrupt)
            self.send("agent-1", "back", {"got": payload})
            self.log(f"{message.topic} {payload!r}")


def test_an_agent_reads_damage_as_a_payload_and_may_pass_it_on() -> None:
    kernel = run(
        f"""
        duration: 1s
        world: {{kind: blank, agents: 2, step: 100ms}}
        agents: {{"agent-*": {{behaviour: "{HERE}:Listener"}}}}
        network:
          default: {{latency: 10ms}}
          links: [{{from: agent-1, to: agent-2, corrupt: 100%, integrity: off}}]
          topics: {{"*": {{noise: 0.1}}}}
        faults: [{{at: 1ms, byzantine: agent-2, mode: sign-flip}}]
        """
    )
    told = [words for _, _, words in trace(kernel)]
    assert len(told) == 10
    assert all(words.startswith(("tick Corrupt(size=", "short Corrupt(size=1, ")) for words in told)
    assert kernel.network.totals()["delivered"] == 20


def test_policies_take_damage_for_nothing() -> None:
    options = "network.default={latency: 20ms, corrupt: 100%, integrity: off}"
    loaded = sim_kernel(options)
    assert completed(play(loaded)).network.totals()["delivered"] > 100
    deaf = sim_kernel("network.default={latency: 20ms, corrupt: 100%}")
    completed(play(deaf))
    assert loaded.world.metrics() == deaf.world.metrics()


def sim_kernel(option: str) -> object:
    from sim.prepare import load as load_scenario
    from sim.prepare import prepare

    options = ["duration=4s", "faults=[]", option]
    return prepare(load_scenario("rendezvous", overrides=options)).kernel()


def test_outages_count_from_the_beginning_of_an_episode() -> None:
    body = text(
        duration="300ms", link=", outages: {every: 200ms, for: 50ms, offset: 100ms}",
        more="episodes: 2",
    )  # fmt: skip
    ticks = sends(*((t, "agent-2") for t in range(0, 600, 10)))
    kernel, stage = simulate(body, agent_1=Script(ticks), agent_2=WAITS)
    came = {h.sent // MS for h in stage.heard["agent-2"]}
    assert set(range(0, 580, 10)) - came == {*range(100, 150, 10), *range(400, 450, 10), 290}
    assert kernel.network.totals()["dropped"] == {"outage": 10, "episode": 1}


def test_old_messages_expire_behind_a_queue() -> None:
    body = text(link=", rate: 1kB/s, expiry: 100ms")
    burst = tuple((0, "t", "agent-2", bytes(40)) for _ in range(5))
    kernel, stage = simulate(body, agent_1=Script(burst), agent_2=WAITS)
    assert [h.arrival // MS for h in stage.heard["agent-2"]] == [50, 90]
    assert kernel.network.totals()["dropped"] == {"expired": 3}


def test_order_is_kept_and_a_fault_lets_go() -> None:
    faults = "{at: 500ms, link: [agent-1, agent-2], order: overtake}"
    ticks = sends(*((t, "agent-2") for t in range(0, 960)))
    body = text(link=", order: keep, jitter: {uniform: 30ms}", faults=faults)
    _, stage = simulate(body, agent_1=Script(ticks), agent_2=WAITS)
    sent = [h.sent for h in stage.heard["agent-2"]]
    ordered = [t for t in sent if t < 500 * MS]
    assert ordered == sorted(ordered)
    assert len(ordered) == 500
    rest = [t for t in sent if t >= 500 * MS]
    assert rest != sorted(rest)


def test_recordings_know_copies_from_messages(tmp_path: Path) -> None:
    options = {"network.default": {"latency": "20ms", "duplicate": "30%", "corrupt": "10%"}}
    made = record_run("rendezvous", tmp_path, duration=5, overrides=options)
    books = made.kernel.network.totals()
    assert books["duplicated"] > 100
    assert recount(tmp_path) == []
    assert count(tmp_path / "events.mcap").totals() == books


@pytest.mark.parametrize("duplicate", [0, "50%"])
def test_tables_of_a_run_add_up(duplicate: object, tmp_path: Path) -> None:
    overrides = {"duration": "3s", "network.default.duplicate": duplicate}
    result = sim.run("rendezvous", overrides=overrides, run_dir=tmp_path / "run", inline=True)
    links = load(tmp_path / "run").links
    books = result.messages
    assert links["sent"].sum() == books["sent"]
    assert links["bytes"].sum() == books["bytes"]
    assert ("duplicated" in links) == ("duplicated" in books) == bool(duplicate)
    if duplicate:
        assert links["duplicated"].sum() == books["duplicated"]


def test_control_another_seed_copies_others() -> None:
    first, second = (
        simulate(text(link=", duplicate: 50%", more=f"seed: {seed}"), agent_1=Script(TICKS),
                 agent_2=WAITS)[1]
        for seed in (1, 2)
    )  # fmt: skip
    assert [h.sent for h in first.heard["agent-2"]] != [h.sent for h in second.heard["agent-2"]]
    assert kernel_of(text())
