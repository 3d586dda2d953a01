"""Faults, failures and episodes in the kernel: what is broken when, and what follows.

Who sends and acts are scripts; where a program matters, it is one of the agents below.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play, run, trace
from checkers.sameness import assert_same_run
from checkers.scenes import MS, TICKS, heard, sends, simulate, text
from checkers.script import Script, Stage
from checkers.worlds import Noting, kernel_with

import sim
from broker.kernel import Kernel
from broker.population import DOWN, HUNG, UP
from sim.errors import RestartLimitError
from sim.launch.local import process_transport
from sim.prepare import prepare
from sim.scenario.load import parse_scenario
from sim.wire.memory import MemoryTransport

HERE = Path(__file__)


# --- kill, restart, hang, partition, links ------------------------------------------------------


def test_a_killed_agent_neither_gets_nor_sends_until_it_is_restarted() -> None:
    kernel, stage = simulate(
        text(faults="{at: 210ms, kill: agent-2, for: 300ms}"),
        agent_1=Script(TICKS, hears=("news",), awaits=True),
        agent_2=Script(tuple((t * MS, "news", "", b"n") for t in range(5, 1000, 100)), awaits=True),
    )
    # What comes at the instant of the fault finds it applied: 210 is too late, 510 is not.
    arrivals = [int(h[0]) for h in heard(stage, "agent-2")]
    assert arrivals == [*range(10, 210, 50), *range(510, 1000, 50)]
    assert kernel.network.totals()["dropped"] == {"down": 6}
    sent = [int(h[0]) - 10 for h in heard(stage, "agent-1")]
    assert sent == [5, 105, 205, *range(605, 1000, 100)]
    assert [(t / MS, name) for t, name in stage.starts] == [
        (0, "agent-1"), (0, "agent-2"), (510, "agent-2"),
    ]  # fmt: skip


@pytest.mark.parametrize("at", ["0s", "0ms"])
def test_a_fault_at_the_very_beginning_counts(at: str) -> None:
    _, stage = simulate(
        text(
            faults=f"{{at: {at}, kill: agent-2, for: 100ms}}, {{at: {at}, hang: agent-3}}", agents=3
        ),
        agent_1=Script(TICKS, awaits=True),
        agent_2=Script(sends((0, "agent-1"), (100, "agent-1"))),
        agent_3=Script(sends((0, "agent-1"))),
    )
    assert heard(stage, "agent-1") == [(110, 110, "agent-2", "1")]
    assert [name for _, name in stage.starts] == ["agent-1", "agent-2"]


def test_a_restart_begins_anew_without_subscriptions() -> None:
    """agent-2 hears news only because it subscribes again; its old messages are gone."""
    news = tuple((t * MS, "news", "", b"n") for t in range(0, 1000, 100))
    kernel, stage = simulate(
        text(faults="{at: 250ms, restart: agent-2}"),
        agent_1=Script(news), agent_2=Script(hears=("news",), awaits=True),
    )  # fmt: skip
    # It subscribes at 0, and what is sent at the same instant reaches it.
    assert [int(h[0]) for h in heard(stage, "agent-2")] == [*range(10, 1000, 100)]
    assert kernel.agents.incarnation == [1, 2]


def test_what_waits_for_a_killed_agent_is_gone_when_it_comes_back() -> None:
    kernel, stage = simulate(
        text(faults="{at: 210ms, kill: agent-2, for: 100ms}"),
        agent_1=Script(TICKS),
        agent_2=Script(sends((950, "agent-1"))),
    )
    # It awaits nothing, so all messages are kept for it until it wakes at 950 ms.
    assert [int(h[0]) for h in heard(stage, "agent-2")] == [*range(310, 950, 50)]
    assert kernel.network.totals()["dropped"] == {"down": 2}


def test_the_deliveries_of_a_hung_agent_wait_for_it() -> None:
    kernel, stage = simulate(
        text(faults="{at: 205ms, hang: agent-2, for: 300ms}"),
        agent_1=Script(TICKS, awaits=True),
        agent_2=Script(sends((230, "agent-1"), (470, "agent-1")), awaits=True),
    )
    found = heard(stage, "agent-2")
    assert [int(h[0]) for h in found] == [*range(10, 1000, 50)]
    waited = [(int(h[0]), int(h[1])) for h in found if h[0] != h[1]]
    assert waited == [(t, 505) for t in range(210, 505, 50)]
    # What it would have sent meanwhile it sends when it goes on.
    assert heard(stage, "agent-1") == [(515, 515, "agent-2", "0"), (515, 515, "agent-2", "1")]
    assert kernel.network.totals()["dropped"] == {}


def test_an_agent_killed_while_hung_comes_back_fresh() -> None:
    states = []
    kernel, _ = simulate(
        text(
            faults="{at: 200ms, hang: agent-2, for: 500ms}, {at: 400ms, kill: agent-2, for: 100ms}"
        ),
        lambda k: states.append((k.now // MS, int(k.agents.state[1]))),
    )
    assert dict(states)[200] == HUNG
    assert dict(states)[400] == DOWN
    assert dict(states)[500] == UP
    assert dict(states)[700] == UP
    assert kernel.agents.incarnation == [1, 2]


def test_a_killed_agent_stays_down_though_others_share_its_host() -> None:
    stage = Stage({f"agent-{i}": Script(sends((500, "agent-3"))) for i in (1, 2)})
    scenario = text(agents=3, faults="{at: 200ms, kill: agent-1}")
    kernel = completed(play(kernel_of(scenario, agents_per_host=3), stage.transport()))
    assert kernel.agents.state.tolist() == [DOWN, UP, UP]
    assert kernel.network.totals()["sent"] == 1
    assert kernel.orders == []


@pytest.mark.parametrize("network", ["", ", topology: star, hub: middle", ", topology: ring"])
def test_a_partition_cuts_both_ways_for_its_time_whatever_lies_between(network: str) -> None:
    back = tuple((t * MS, "t", "agent-1", b"b") for t in range(0, 1000, 50))
    kernel, _ = simulate(
        text(agents=4, network=network, latency="5ms",
             faults="{at: 200ms, partition: [agent-1, agent-3], for: 300ms}"),
        agent_1=Script(sends(*((t, "agent-3") for t in range(0, 1000, 50)))),
        agent_3=Script(back),
        agent_2=Script(sends(*((t, "agent-1") for t in range(0, 1000, 50)))),
    )  # fmt: skip
    by_pair = {(a.source, a.destination): a for a in kernel.network.ledger.accounts()}
    assert by_pair["agent-2", "agent-1"].dropped == {}
    for pair in (("agent-1", "agent-3"), ("agent-3", "agent-1")):
        account = by_pair[pair]
        # Sent at 200, 250, ..., 450: six; what comes to a relay at 200 ms finds it cut, too.
        assert account.dropped == {"partition": 6}
        assert account.delivered + account.in_flight == 14


def test_a_partition_leaves_those_on_one_side_together() -> None:
    kernel, _ = simulate(
        text(agents=4, faults='{at: 0s, partition: [["agent-1", "agent-2"], "*"]}'),
        agent_1=Script(sends((10, "agent-2"), (10, "agent-3"))),
        agent_3=Script(sends((10, "agent-4"), (10, "agent-2"))),
    )
    ended = {(a.source, a.destination): a.delivered for a in kernel.network.ledger.accounts()}
    assert ended == {
        ("agent-1", "agent-2"): 1, ("agent-1", "agent-3"): 0,
        ("agent-3", "agent-4"): 1, ("agent-3", "agent-2"): 0,
    }  # fmt: skip


def test_a_degraded_link_is_as_stated_while_it_lasts() -> None:
    fault = "{at: 300ms, link: [agent-1, agent-2], latency: 40ms, jitter: none, for: 300ms}"
    _, stage = simulate(text(faults=fault), agent_1=Script(TICKS), agent_2=Script(awaits=True))
    delays = {int(h.sent // MS): int(h.arrival - h.sent) // MS for h in stage.heard["agent-2"]}
    assert delays == {t: 40 if 300 <= t < 600 else 10 for t in range(0, 990, 50)}


def test_a_link_fault_of_one_direction_leaves_the_other() -> None:
    fault = "{at: 0s, link: [agent-1, agent-2], loss: 1, both: false}"
    kernel, _ = simulate(
        text(faults=fault),
        agent_1=Script(sends((10, "agent-2"))),
        agent_2=Script(sends((10, "agent-1"))),
    )
    assert [a.dropped for a in kernel.network.ledger.accounts()] == [{"loss": 1}, {}]


def test_of_two_faults_on_one_link_the_later_wins_and_the_earlier_comes_back() -> None:
    faults = (
        "{at: 100ms, link: [agent-1, agent-2], latency: 30ms, for: 800ms}, "
        "{at: 300ms, link: [agent-1, agent-2], latency: 60ms, for: 200ms}"
    )
    _, stage = simulate(text(faults=faults), agent_1=Script(TICKS), agent_2=Script(awaits=True))
    delays = {int(h.sent // MS): int(h.arrival - h.sent) // MS for h in stage.heard["agent-2"]}
    assert [delays[t] for t in (50, 100, 250, 300, 450, 500, 850, 900)] == [
        10, 30, 30, 60, 60, 30, 30, 10,
    ]  # fmt: skip


# --- failures -----------------------------------------------------------------------------------


class Fails(sim.Agent):
    """Raises at an instant of each life, with its name."""

    async def run(self) -> None:
        self.log(f"life {self._cell.start.incarnation}")
        await asyncio.sleep(self.params.get("after", 0.25))
        raise ValueError(f"{self.name} has enough")


class Finishes(sim.Agent):
    async def run(self) -> None:
        await asyncio.sleep(0.25)


def failing(on_failure: str, more: str = "", faults: str = "", params: str = "") -> Kernel:
    scenario = f"""
duration: 3s
world: {{kind: blank, agents: 2, step: 100ms}}
agents: {{agent-2: {{behaviour: "{HERE}:Fails", on_failure: {on_failure}, params: {{{params}}}}}}}
network: {{default: {{latency: 10ms}}}}
faults: [{faults}]
{more}
"""
    return play(kernel_of(scenario), on_window=check_books)


def test_on_failure_stop_ends_the_run_with_the_cause() -> None:
    kernel = failing("stop")
    assert kernel.status == "failed"
    assert str(kernel.error) == "agent-2 failed: ValueError: agent-2 has enough"
    [failure] = kernel.agents.failures
    assert (failure.agent, failure.time_ns, failure.policy) == ("agent-2", 250 * MS, "stop")
    assert failure.error.splitlines()[1].endswith("in run")
    assert kernel.now == 300 * MS


def test_on_failure_fallback_leaves_the_slot_alone() -> None:
    kernel = completed(failing("fallback"))
    assert len(kernel.agents.failures) == 1
    assert kernel.agents.state.tolist() == [UP, DOWN]


def test_on_failure_restart_begins_anew_after_the_backoff() -> None:
    kernel = completed(failing("restart", "supervision: {backoff: 500ms, restarts: 9}"))
    # Down at the grid point 300 ms; up 500 ms later; down at 1100 ms, up 1000 ms later.
    lives = [(t, name) for t, name, text in trace(kernel) if text.startswith("life")]
    assert lives == [(t, "agent-2") for t in (0, 800, 2100)]


@pytest.mark.parametrize(("restarts", "status"), [(4, "completed"), (3, "failed")])
def test_too_many_restarts_end_the_run(restarts: int, status: str) -> None:
    more = f"supervision: {{backoff: 110ms, restarts: {restarts}, within: 1h}}"
    kernel = failing("restart", more)
    assert kernel.status == status
    if status == "failed":
        assert isinstance(kernel.error, RestartLimitError)
        assert "agent-2 failed more than 3 times" in str(kernel.error)
        assert "has enough" in str(kernel.error)


def test_after_too_many_restarts_the_device_may_be_left_to_its_own() -> None:
    more = "supervision: {backoff: 100ms, restarts: 1, within: 1h, then: fallback}"
    kernel = completed(failing("restart", more))
    assert len([text for _, _, text in trace(kernel) if text.startswith("life")]) == 2
    assert kernel.agents.state[kernel.agents.index["agent-2"]] == DOWN


def test_restarts_count_within_their_time_only() -> None:
    more = "supervision: {backoff: 500ms, restarts: 1, within: 700ms}"
    assert failing("restart", more).status == "completed"


def test_of_two_failures_each_is_told_with_its_own_cause() -> None:
    scenario = f"""
duration: 1s
world: {{kind: blank, agents: 2, step: 100ms}}
agents:
  agent-1: {{behaviour: "{HERE}:Fails", params: {{after: 0.28}}}}
  agent-2: {{behaviour: "{HERE}:Fails", params: {{after: 0.21}}}}
network: {{default: {{latency: {{latency}}}}}}
"""
    for latency in ("1ms", "500ms"):
        kernel = play(kernel_of(scenario.replace("{latency}", latency)))
        assert str(kernel.error) == "agent-2 failed: ValueError: agent-2 has enough"


def test_a_failure_just_before_an_end_off_the_grid_still_counts() -> None:
    scenario = text(duration="1050ms", behaviour=f"{HERE}:Fails").replace(
        'Fails"', 'Fails", params: {after: 1.02}'
    )
    assert play(kernel_of(scenario)).status == "failed"


def test_an_agent_that_finishes_is_down_and_no_failure() -> None:
    kernel = run(text(behaviour=f"{HERE}:Finishes"))
    assert kernel.agents.failures == []
    assert kernel.agents.state.tolist() == [DOWN, DOWN]


def test_who_was_started_anew_after_its_end_is_left_alone() -> None:
    """It ends at 250 ms and would count as down at 300 ms, but is restarted at 270 ms."""
    kernel = run(
        text(duration="500ms", behaviour=f"{HERE}:Finishes", faults="{at: 270ms, restart: agent-1}")
    )
    assert kernel.agents.state.tolist() == [UP, DOWN]
    assert kernel.agents.incarnation == [2, 1]


def test_a_lost_host_fails_its_agents_at_the_present_instant() -> None:
    scenario = text(more="supervision: {on_failure: fallback}", agents=3)
    kernel, transport = kernel_of(scenario, agents_per_host=2), MemoryTransport()
    transport.start(range(2))
    opened = dict(kernel.open())
    for host, activation in opened.items():
        transport.send(host, activation)
    answers = dict(transport.poll(None))
    kernel.accept(1, answers[1])
    kernel.lose(0, "signal 9 (SIGKILL)")
    kernel.close()
    assert [f.agent for f in kernel.agents.failures] == ["agent-1", "agent-2"]
    assert "SIGKILL" in kernel.agents.failures[0].error
    assert kernel.real_time_decisions == 1


# --- episodes -----------------------------------------------------------------------------------


class Lives(sim.Agent):
    """Tells when it began, and its first random number."""

    async def run(self) -> None:
        self.log(json.dumps(float(self.rng.random())))
        self.subscribe("t")
        async for _ in self.every(0.1):
            self.publish("t", self.latest("t") is not None)


def test_every_episode_begins_anew_with_other_random_numbers() -> None:
    scenario = text(
        duration="300ms", latency="50ms", behaviour=f"{HERE}:Lives", more="episodes: 3\nseed: 4"
    )
    kernel = run(scenario)
    told = trace(kernel)
    assert [(t, name) for t, name, _ in told] == [
        (t, f"agent-{i}") for t in (0, 300, 600) for i in (1, 2)
    ]
    assert len({number for _, _, number in told}) == 6
    assert kernel.steps == 9
    assert kernel.episode == 2


def test_messages_in_flight_drop_at_the_end_of_an_episode() -> None:
    kernel, stage = simulate(
        text(duration="300ms", latency="50ms", more="episodes: 2"),
        agent_1=Script(sends((200, "agent-2"), (260, "agent-2"), (300, "agent-2"))),
        agent_2=Script(awaits=True),
    )
    assert kernel.network.totals()["dropped"] == {"episode": 1}
    assert [int(h[0]) for h in heard(stage, "agent-2")] == [250, 350]
    assert kernel.now == 600 * MS


def test_a_message_kept_unread_counts_as_delivered_before_the_end() -> None:
    """Arrivals just before an end off the grid: delivered, whether anybody waits or not."""
    for awaits in (True, False):
        kernel, _ = simulate(
            text(duration="1050ms", more="episodes: 2"),
            agent_1=Script(sends((1_020, "agent-2"), (1_045, "agent-2"))),
            agent_2=Script(awaits=awaits),
        )
        books = kernel.network.totals()
        assert (books["delivered"], books["dropped"]) == (1, {"episode": 1})


@pytest.mark.parametrize("burst", ["50%:3", "50%:30ms"])
def test_bursts_of_an_episode_are_its_own(burst: str) -> None:
    """The second episode loses what a run that begins with it loses, and not what the first did."""
    body = text(duration="990ms", link=f", burst: {burst}", more="episodes: 2")
    ticks = sends(*((t, "agent-2") for t in range(0, 1_980, 10)))
    whole, stage = simulate(body, agent_1=Script(ticks), agent_2=Script(awaits=True))
    arrived = [h.sent for h in stage.heard["agent-2"]]
    first = [t for t in arrived if t < 990 * MS]
    second = [t - 990 * MS for t in arrived if t >= 990 * MS]
    assert min(len(first), len(second), whole.network.totals()["dropped"]["burst"]) > 20
    alone = prepare(parse_scenario(body)).kernel(episode=1)
    other = Stage({"agent-1": Script(ticks[:99]), "agent-2": Script(awaits=True)})
    play(alone, other.transport())
    assert [h.sent for h in other.heard["agent-2"]] == second != first


def test_a_fault_gives_and_takes_bursts() -> None:
    faults = (
        "{at: 300ms, link: [agent-1, agent-2], burst: {enter: 1, leave: 1e-9}, for: 300ms}, "
        "{at: 400ms, link: [agent-1, agent-2], burst: 0, for: 100ms}"
    )
    _, stage = simulate(text(faults=faults), agent_1=Script(TICKS), agent_2=Script(awaits=True))
    lost = {t for t in range(0, 990, 50)} - {h.sent // MS for h in stage.heard["agent-2"]}
    assert lost == {300, 350, 500, 550}


def test_queues_are_empty_when_an_episode_begins() -> None:
    """A message of 90 ms of bandwidth stands in the queue when the first episode ends."""
    _, stage = simulate(
        text(duration="300ms", link=", rate: 1kB/s", more="episodes: 2"),
        agent_1=Script(tuple((t * MS, "t", "agent-2", bytes(90)) for t in (250, 251, 300))),
        agent_2=Script(awaits=True),
    )
    assert [h.arrival // MS for h in stage.heard["agent-2"]] == [400]


def test_faults_come_in_every_episode_and_end_with_it() -> None:
    faults = "{at: 0s, partition: [agent-1, agent-2], for: 100ms}, {at: 200ms, kill: agent-2}"
    kernel, stage = simulate(
        text(duration="500ms", faults=faults, more="episodes: 2"),
        agent_1=Script(TICKS),
        agent_2=Script(awaits=True),
    )
    expected = [*range(110, 200, 50), *range(610, 700, 50)]
    assert [int(h[0]) for h in heard(stage, "agent-2")] == expected
    assert [name for _, name in stage.starts] == ["agent-1", "agent-2"] * 2
    assert len(kernel.faults_applied) == 6


def test_what_was_broken_at_an_end_is_whole_in_the_next_episode() -> None:
    faults = (
        "{at: 400ms, partition: [agent-1, agent-2]}, {at: 400ms, hang: agent-3}, "
        "{at: 450ms, link: [agent-1, agent-2], loss: 1}"
    )
    kernel, stage = simulate(
        text(agents=3, duration="500ms", faults=faults, more="episodes: 2"),
        agent_1=Script(TICKS),
        agent_2=Script(awaits=True),
        agent_3=Script(sends((550, "agent-2"))),
    )
    arrived = [int(h[0]) for h in heard(stage, "agent-2")]
    assert arrived == sorted([*range(10, 410, 50), *range(510, 910, 50), 560])
    assert kernel.status == "completed"


def test_a_world_that_ends_early_begins_the_next_episode_with_its_faults_in_time() -> None:
    """Each episode is over after 3 steps; faults count from the start of their episode."""
    world = Noting(ends_after=3)
    faults = (
        "{at: 150ms, world: trip, target: line-1, for: 50ms}, "
        "{at: 800ms, world: trip, target: line-2}"
    )
    kernel = kernel_with(world, text(faults=faults, more="episodes: 2"))
    times: list[int] = []
    completed(play(kernel, Stage({}).transport(), lambda k: times.append(k.now // MS)))
    assert [entry[0] for entry in world.diary].count("reset") == 2
    assert [f.time_ns // MS for f in kernel.faults_applied] == [150, 200, 450, 500]
    assert kernel.now == 600 * MS
    assert max(times) == 600


@pytest.mark.process
def test_episodes_and_faults_are_the_same_in_processes() -> None:
    """A process stopped or killed when an episode ends is there again when the next begins."""
    faults = (
        "{at: 150ms, hang: agent-1}, {at: 150ms, kill: agent-2}, "
        "{at: 100ms, hang: agent-3, for: 50ms}, {at: 200ms, restart: agent-3}"
    )
    scenario = text(
        agents=3, duration="300ms", behaviour=f"{HERE}:Lives", faults=faults, more="episodes: 3"
    )
    inline = run(scenario)
    assert len([line for line in trace(inline) if line[1] == "agent-3"]) == 6
    assert_same_run(inline, completed(play(kernel_of(scenario), process_transport())))
    packed = kernel_of(scenario, agents_per_host=2)
    assert_same_run(inline, completed(play(packed, process_transport())))


def test_heal_lifts_what_is_in_force_and_starts_who_would_stay_down() -> None:
    faults = (
        "{at: 100ms, kill: agent-2}, {at: 150ms, partition: [agent-1, agent-3]}, "
        "{at: 200ms, kill: agent-3, for: 600ms}, {at: 300ms, hang: agent-1}, "
        "{at: 400ms, heal: true}"
    )
    stage = Stage({})
    kernel = kernel_of(text(agents=3, duration="1s", faults=faults))
    completed(play(kernel, stage.transport()))
    told = [(f.time_ns // MS, f.kind, f.targets, f.is_on) for f in kernel.faults_applied[4:]]
    assert told == [
        (400, "heal", (), True),
        (400, "restart", ("agent-2",), True),
        (400, "partition", ("agent-1",), False),
        (400, "hang", ("agent-1",), False),
        (800, "restart", ("agent-3",), True),
    ]
    assert [(t // MS, name) for t, name in stage.starts[3:]] == [(400, "agent-2"), (800, "agent-3")]
    assert not kernel.in_force.faults
