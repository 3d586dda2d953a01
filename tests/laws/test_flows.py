"""Links and their users: never more than there is; messages find what a convex programme does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from checkers.memory import completed, play
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from agents.behaviours.flows import LEVELS, Levels
from agents.policy import Received
from sim.errors import BoundError, UnknownKeyError
from sim.prepare import load, prepare
from sim.worlds.alpha_fair import alpha_fair
from sim.worlds.fair_shares import loads
from sim.worlds.flows import make, reference

N = 5
REQUESTS = st.lists(st.floats(0.0, 12.0), min_size=N, max_size=N)
BEHAVIOURS = "agents.behaviours.flows"
PRICES = "as={user-*: rule, link-*: rule}"
ADMM = f"as={{user-*: '{BEHAVIOURS}:AdmmUser', link-*: '{BEHAVIOURS}:AdmmLink'}}"
STEADY = ("faults=[]", "world.task=100000", "network.default.loss=0")


def advanced(world: Any, state: Any, asked: list[list[float]], present: Any = True) -> Any:
    """One step in which row b asks for asked[b]: the state after, and the rewards of users."""
    b, links = len(asked), len(world.groups[1].agents)
    actions = {
        "user": torch.tensor(asked, dtype=torch.float64)[..., None],
        "link": torch.zeros(b, links, 0, dtype=torch.float64),
    }
    there = {
        "user": torch.as_tensor(present).expand(b, N),
        "link": torch.ones(b, links, dtype=torch.bool),
    }
    after, rewards = world.advance(state, actions, there)
    return after, rewards["user"]


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(REQUESTS, min_size=4, max_size=4), st.integers(1, 3), st.booleans())
def test_never_more_is_granted_than_there_is(
    asked: list[list[float]], rounds: int, is_dropped: bool
) -> None:
    world = make({"rounds": rounds})
    state = world.reset([(7, 0)])
    if is_dropped:
        state = world.inject(state, "capacity-drop", "link-2", True)
    capacity = torch.tensor([10.0, 2.4 if is_dropped else 8.0], dtype=torch.float64)
    assert torch.allclose(world.capacities(state)[0], capacity)
    for request in asked:
        state, _ = advanced(world, state, [request])
        assert (state["rate"] <= state["asked"]).all()
        assert (state["rate"] >= 0).all()
        assert (state["got"] <= state["demand"] * (1 + 1e-12)).all()
        assert (state["used"][0] <= capacity * (1 + 1e-12)).all()
        assert torch.allclose(loads(state["got"], world.routes), state["used"])


def test_what_a_game_has_handed_out_is_gone_until_the_next() -> None:
    world = make({"rounds": 2, "routes": [[1], [1], [1], [1], [1]], "capacities": [10]})
    state, _ = advanced(world, world.reset([(7, 0)]), [[100.0] * N])
    assert float(state["used"]) == pytest.approx(10.0)
    state, _ = advanced(world, state, [[100.0] * N])
    assert float(state["rate"].sum()) == 0.0
    state, _ = advanced(world, state, [[100.0] * N])
    assert float(state["rate"].sum()) == pytest.approx(10.0)


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(REQUESTS, min_size=3, max_size=3), st.sampled_from([0.5, 1.0, 2.0]))
def test_nobody_beats_the_optimum(asked: list[list[float]], alpha: float) -> None:
    """The rewards of a game add up to the worth of what was had, and no game is worth more."""
    params = {"rounds": 3, "alpha": alpha}
    world = make(params)
    state, total = world.reset([(7, 0)]), 0.0
    for request in asked:
        state, rewards = advanced(world, state, [request])
        total += float(rewards.sum())
    assert world.metrics(state)["welfare"].value == pytest.approx(total)
    best = reference(params, 7, 3 * 10**9)["optimum"]["welfare"]
    assert total <= best + 1e-8 * max(abs(best), 1.0)


def test_who_is_absent_gets_the_least() -> None:
    world = make({})
    state, _ = advanced(world, world.reset([(7, 0)]), [[9.0] * N], present=False)
    assert (state["rate"] == 0.01).all()


def test_rows_do_not_depend_on_the_batch() -> None:
    world = make({"rounds": 2, "task": 1})
    asked = np.random.default_rng(0).uniform(0, 6, (5, 5, N)).tolist()
    together = world.reset([(7, b) for b in range(5)])
    alone = [world.reset([(7, b)]) for b in range(5)]
    for requests in asked:
        together, _ = advanced(world, together, requests)
        alone = [advanced(world, a, [r])[0] for a, r in zip(alone, requests, strict=True)]
    for b, row in enumerate(alone):
        for name, value in row.items():
            assert torch.equal(value[0], together[name][b]), name


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"routes": [[1], [3]]}, r"world.routes\[1\]: expected different links, 1 to 2"),
        ({"routes": [[1, 1]]}, r"world.routes\[0\]"),
        ({"demand": [5, 2]}, "world.demand: expected"),
        ({"least": 3.0}, "world.least: expected less"),
        ({"alpha": -1}, "world.alpha: expected"),
    ],
)
def test_mistakes_are_named(params: dict[str, Any], said: str) -> None:
    with pytest.raises(BoundError, match=said):
        make(params)


def test_unknown_events_are_named() -> None:
    world = make({})
    state = world.reset([(0, 0)])
    with pytest.raises(UnknownKeyError, match="capacity-drop"):
        world.inject(state, "drop", "link-1", True)
    with pytest.raises(UnknownKeyError, match="did you mean 'link-1'"):
        world.inject(state, "capacity-drop", "link1", True)


def ended(*overrides: str) -> tuple[Any, Any]:
    """The bundled scenario, played in memory: its world, and the state at the end."""
    kernel = completed(play(prepare(load("allocation", overrides=list(overrides))).kernel()))
    world: Any = kernel.world
    return world.batch, world.state


def distance(world: Any, state: Any) -> float:
    """Of the rates from those of the convex programme, relative to the greatest."""
    p, capacity = world.params, world.capacities(state)[0].numpy()
    demand, weight = (state[name][0].numpy() for name in ("demand", "weight"))
    best = alpha_fair(world.routes.numpy(), capacity, demand, weight, p.alpha, p.least)
    return float(np.abs(state["rate"][0].numpy() - best).max() / best.max())


@pytest.mark.parametrize("method", [PRICES, ADMM])
@pytest.mark.parametrize("loss", [0, 0.2])
def test_messages_find_the_optimum(method: str, loss: float) -> None:
    more = (f"network.default.loss={loss}", "duration=100s")
    assert distance(*ended(method, *STEADY, *more)) < 1e-3
    assert distance(*ended(method, *STEADY, *more, "duration=5s")) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("method", [PRICES, ADMM])
def test_they_find_it_anew_after_a_link_has_lost_capacity(method: str) -> None:
    drop = "faults=[{at: 100s, world: capacity-drop, target: link-2}]"
    world, state = ended(method, *STEADY[1:], drop, "duration=10min")
    assert float(world.capacities(state)[0, 1]) == pytest.approx(2.4)
    assert distance(world, state) < 1e-3


def test_without_messages_and_with_too_long_a_step_they_do_not() -> None:
    mute = (*STEADY[:2], "network.default.loss=1", "duration=60s")
    assert distance(*ended(PRICES, *mute)) > 0.05
    assert distance(*ended(ADMM, *mute)) > 0.05
    rash = "agents={link-*: {behaviour: rule, params: {step: 1.0}}, user-*: {behaviour: rule}}"
    assert distance(*ended(rash, *STEADY, "duration=60s")) > 0.05


@pytest.mark.parametrize("links", [1, 3])
def test_prices_find_the_closed_form_of_the_linear_network(links: int) -> None:
    step = "agents={link-*: {behaviour: rule, params: {step: 0.2}}, user-*: {behaviour: rule}}"
    line = [list(range(1, links + 1)), *([j] for j in range(1, links + 1))]
    world, state = ended(
        step, *STEADY, f"world.routes={line}", f"world.capacities={[1.0] * links}",
        "world.weight=[1, 1]", "world.demand=[5, 5]", "duration=2min",
    )  # fmt: skip
    assert float(state["rate"][0, 0]) == pytest.approx(1 / (links + 1), abs=1e-3)
    assert distance(world, state) < 1e-3


@pytest.mark.parametrize("alpha", [pytest.param(0.5, marks=pytest.mark.slow), 2.0])
def test_admm_finds_the_optimum_of_other_utilities(alpha: float) -> None:
    assert distance(*ended(ADMM, *STEADY, f"world.alpha={alpha}", "duration=2min")) < 1e-3


def test_requests_by_weight_divide_one_link_as_the_optimum_does() -> None:
    """In twenty rounds, if all demands are beyond their parts."""
    params = {"capacities": [10.0], "routes": [[1]] * 4, "demand": [9.0, 9.0], "rounds": 20}
    given = [f"world.{name}={value}" for name, value in params.items()]
    cast = f"as={{user-*: '{BEHAVIOURS}:Requester', link-*: none}}"
    result = sim.run(
        "allocation", overrides=[*STEADY, *given, cast, "duration=200s"], inline=True,
        record=False, compare=False,
    )  # fmt: skip
    best = reference({**params, "weight": [0.5, 2]}, 0, 200 * 10**9)["optimum"]["welfare"]
    assert result.metrics["welfare"].value == pytest.approx(best, rel=0.02)


def played(*overrides: str) -> sim.Result:
    result = sim.run("allocation", overrides=overrides, inline=True, record=False, compare=False)
    assert result.status == "completed", result
    return result


def test_the_rule_beats_greed_and_nothing_and_not_the_optimum() -> None:
    nothing, greedy, rule = (
        played(f"as={{user-*: {each}}}", *STEADY, "duration=2min").metrics["welfare"].value
        for each in ("none", f"'{BEHAVIOURS}:Greedy'", "rule")
    )
    columns = reference(load("allocation", overrides=list(STEADY)).world.params, 0, 120 * 10**9)
    best, equal = (columns[name]["welfare"] for name in ("optimum", "equal"))
    assert nothing < greedy < rule <= best
    assert (rule - greedy) > 0.85 * (best - greedy)
    assert equal < best


def test_the_same_seed_gives_the_same_digest() -> None:
    first, second, other = (played("duration=20s", f"seed={seed}").digest for seed in (0, 0, 1))
    assert first == second != other


def test_a_learner_says_its_weight_and_sees_its_share() -> None:
    """Of three on a link: one was heard, of twice its weight, the third was not."""
    world = make({"routes": [[1], [1], [1]], "capacities": [10], "rounds": 4})
    state = {**world.reset([(3, 0)]), "weight": torch.tensor([[0.5, 1.0, 1.0]]).double()}
    seen = world.observe(state)["user"][:, 0].numpy()
    role = Levels("user-1", world.groups[0], {})
    values, present = np.array([[[0.0], [1.0], [9.0]]]), np.array([[False, True, False]])
    inbox = {"weight": Received(values, present, np.zeros((1, 3)))}
    network_sees = role.see(seen, inbox, None)
    assert network_sees.shape == (1, role.sees.size)
    assert network_sees[0, -1] == pytest.approx(1 / 3)
    even = 10 / 3 / 4
    for level, times in enumerate(LEVELS):
        asked, said, _ = role.act(np.array([[float(level)]]), seen, inbox, None, None)
        assert asked == pytest.approx(times * even)
        assert said["weight"] == pytest.approx(0.5)


def test_a_mixer_is_told_shares() -> None:
    """Its weights grow with what it is told: nothing is above 1, whatever is asked for, and with a
    link that has nothing left."""
    world = make({"rounds": 3, "capacities": [50.0, 0.5], "weight": [5, 9], "drop": 0})
    state = world.reset([(7, 0), (7, 1)])
    for asked in (0.0, 100.0, 3.0, 100.0, 0.0):
        state = world.inject(state, "capacity-drop", "link-2", asked == 3.0)
        told = world.central(state)
        assert told.shape == (2, 1 + 3 * N + 2)
        assert (told >= 0).all()
        assert (told <= 1).all()
        assert torch.unique(told, dim=0).shape[0] == 2
        state, _ = advanced(world, state, [[asked] * N] * 2)
