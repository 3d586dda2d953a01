"""PPO on problems with known answers, its objective, and its resumption to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from learn.problems import Tiny, flat, make_side, play

from sim.errors import DivergenceError
from sim.learn.networks import Shape
from sim.learn.ppo import _lost, clipped_objective
from sim.learn.presets import make_family
from sim.spaces import Field, Space

pytestmark = pytest.mark.torch
ARMS = torch.tensor([0.0, 0.3, 1.0, 0.5])
SMALL = Shape(hidden=(16,))


@pytest.mark.parametrize(("ratio", "advantage", "value"), [(1.5, 1.0, 1.2), (0.5, -1.0, -0.8)])
def test_the_clip_gives_nothing_beyond_its_bound(
    ratio: float, advantage: float, value: float
) -> None:
    r = torch.tensor(ratio, requires_grad=True)
    objective = clipped_objective(r, torch.tensor(advantage), 0.2)
    assert objective.item() == pytest.approx(value)
    objective.backward()
    assert r.grad is not None
    assert r.grad.item() == 0.0


@pytest.mark.parametrize(("ratio", "advantage"), [(0.5, 1.0), (1.5, -1.0), (1.1, 1.0)])
def test_the_clip_leaves_the_way_back_open(ratio: float, advantage: float) -> None:
    r = torch.tensor(ratio, requires_grad=True)
    objective = clipped_objective(r, torch.tensor(advantage), 0.2)
    assert objective.item() == pytest.approx(ratio * advantage)
    objective.backward()
    assert r.grad is not None
    assert r.grad.item() == advantage


def bandit(copies: int = 64) -> Tiny:
    """One decision per episode, four arms."""
    return Tiny(
        make_side(1, 4),
        copies,
        lambda state, decision: ARMS[decision[..., 0].long()],
        terminates=lambda state: torch.ones_like(state, dtype=torch.bool),
    )


def chain(copies: int = 32) -> Tiny:
    """Two states in turn, reward 1 whatever is done, cut every seven decisions."""
    return Tiny(
        make_side(1, 2),
        copies,
        lambda state, decision: torch.ones(len(state), 1),
        move=lambda state, decision: 1 - state,
        steps=7,
    )


def train(family: Any, rollout: Tiny, updates: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for _ in range(updates):
        figures = family.update(rollout.collect(family.actors(), family.decisions))
    return figures


def test_it_finds_the_best_arm() -> None:
    rollout = bandit()
    options = {"decisions": 8, "learning_rate": 3e-3}
    family = make_family("ppo", rollout.sides, 2, options=options, shape=SMALL)
    first = float(play(rollout, family.actors(), 8))
    figures = train(family, rollout, 25)
    assert first < 0.6
    assert float(play(rollout, family.actors(), 8)) > 0.9
    assert float(play(rollout, family.greedy(), 1)) == 1.0
    expected = {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction",
                "explained_variance", "epochs", "learning_rate"}  # fmt: skip
    assert {f"player/{name}" for name in expected} <= figures.keys()


def values_of(family: Any, rollout: Tiny) -> torch.Tensor:
    record = rollout.collect(family.actors(), 8)[rollout.side.group]
    team = family._teams[0]
    return family._values(team, record, record.terminated | record.truncated)[1]


@pytest.mark.parametrize(
    ("critic_sees", "recurrent"), [("own", 0), ("state", 0), ("observations", 0), ("own", 4)]
)
def test_the_value_of_reward_1_for_ever_cut_by_the_time_limit(
    critic_sees: str, recurrent: int
) -> None:
    """1 / (1 - gamma) in every state, within one percent."""
    rollout = chain()
    options = {"decisions": 12, "gamma": 0.9, "learning_rate": 3e-3, "minibatches": 4}
    if recurrent:  # a value that also depends on what is remembered settles as the rate falls
        options |= {"anneal_frames": 40 * 12 * 32, "minibatches": 2}
    shape = replace(SMALL, recurrent=recurrent)
    family = make_family(
        "ppo", rollout.sides, 2, options=options, shape=shape, critic_sees=critic_sees
    )
    train(family, rollout, 40 if recurrent else 30)
    values = values_of(family, rollout)
    assert values.min().item() == pytest.approx(10.0, rel=0.01)
    assert values.max().item() == pytest.approx(10.0, rel=0.01)


def test_a_decision_of_half_the_duration_is_discounted_by_half() -> None:
    rollout = chain()
    rollout._duration = 0.5
    options = {"decisions": 12, "gamma": 0.81, "learning_rate": 3e-3}
    family = make_family("ppo", rollout.sides, 2, options=options, shape=SMALL)
    train(family, rollout, 30)
    assert values_of(family, rollout).mean().item() == pytest.approx(10.0, rel=0.01)


@pytest.mark.slow
def test_a_recurrent_policy_remembers() -> None:
    """What was shown at the first decision is asked for at the third, when nothing is shown."""
    g = torch.Generator().manual_seed(5)

    def move(state: torch.Tensor, decision: torch.Tensor) -> torch.Tensor:
        return torch.where(state < 2, torch.full_like(state, 2), state + 1)

    side = make_side(1, 2)
    sign = torch.randint(2, (128,), generator=g)
    rollout = Tiny(side, 128, lambda state, decision: torch.zeros(len(state), 1), move, steps=3)
    rollout.time[:] = 0

    def see(state: torch.Tensor) -> torch.Tensor:
        shown = torch.where(state == 0, torch.where(sign == 1, 1.0, -1.0), torch.zeros(128))
        return shown[:, None, None]

    def reward(state: torch.Tensor, decision: torch.Tensor) -> torch.Tensor:
        right = (decision[:, 0, 0].long() == sign) & (state == 3)
        if (state == 3).all():
            sign[:] = torch.randint(2, (128,), generator=g)
        return right.float()[:, None]

    rollout.see, rollout._reward = see, reward  # type: ignore[method-assign]
    options = {"decisions": 12, "learning_rate": 5e-3, "entropy": 0.001}
    scores = {}
    for recurrent in (8, 0):
        shape = replace(SMALL, recurrent=recurrent)
        rollout.memory = None
        family = make_family("ppo", rollout.sides, 2, options=options, shape=shape)
        train(family, rollout, 30)
        scores[recurrent] = 3 * float(play(rollout, family.greedy(), 12))
    assert scores[8] > 0.95
    assert scores[0] < 0.75


def test_numbers_are_decided_too() -> None:
    """One Gaussian number, best at 0.5."""
    decides = Space((Field("power", low=-1.0, high=1.0),))
    side = make_side(1, 0, decides=decides)
    rollout = Tiny(
        side,
        64,
        lambda state, decision: -(torch.tanh(decision[..., 0]) - 0.5).square(),
        terminates=lambda state: torch.ones_like(state, dtype=torch.bool),
    )
    options = {"decisions": 8, "learning_rate": 1e-2, "entropy": 0.0}
    family = make_family("ppo", rollout.sides, 2, options=options, shape=SMALL)
    train(family, rollout, 25)
    record = rollout.collect(family.greedy(), 1)["player"]
    assert torch.tanh(record.decision).mean().item() == pytest.approx(0.5, abs=0.1)


def test_what_the_dead_have_in_a_record_changes_nothing() -> None:
    side = make_side(3, 2, features=2)
    rollout = Tiny(
        side,
        8,
        lambda state, decision: decision[..., 0],
        move=lambda state, decision: (state + 1) % 4,
        steps=9,
        alive=lambda state: state[:, None] < torch.tensor([4, 3, 2]),
    )
    for preset, reward in (("ippo", "own"), ("mappo", "team"), ("mappo", 0.5)):
        ends = []
        for junk in (0.0, 50.0):
            family = make_family(preset, rollout.sides, 2, reward=reward, shape=SMALL)
            rollout.state[:], rollout.time[:], rollout.is_first[:] = 0, 0, True
            record = rollout.collect(family.actors(), 12)["player"]
            dead, later = ~record.alive, ~record.next_alive
            record.seen[dead] = junk
            record.next_seen[later] = junk
            record.decision[dead] = 1.0 if junk else 0.0
            record.log_prob[dead] = -junk
            if reward != "own":  # what the dead earn is no one's
                record.reward[dead] = 0.0
            else:
                record.reward[dead] = junk
            family.update({"player": record})
            ends.append(flat(family.state()["teams"]["player"]["policy"]))
        assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True)), (preset, reward)


@pytest.mark.parametrize(
    ("preset", "shape"), [("mappo", SMALL), ("ippo", Shape(hidden=(8,), recurrent=4))]
)
def test_it_resumes_to_the_bit(preset: str, shape: Shape) -> None:
    def begin() -> tuple[Any, Tiny]:
        side = make_side(2, 3, features=2)
        rollout = Tiny(
            side, 8, lambda state, decision: decision[..., 0], lambda s, d: 1 - s, steps=5
        )
        options = {"decisions": 6, "anneal_frames": 5000}
        return make_family(preset, rollout.sides, 2, options=options, shape=shape), rollout

    straight, rollout = begin()
    train(straight, rollout, 8)
    first, before = begin()
    train(first, before, 4)
    saved, world = first.state(), before.snapshot()
    train(first, before, 1)  # what goes on afterwards must not reach into what was saved
    second, after = begin()
    train(second, after, 2)  # nor may what it was before matter
    second.load(saved)
    after.restore(world)
    train(second, after, 4)
    pairs = zip(flat(straight.state()), flat(second.state()), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    other, again = begin()
    train(other, again, 7)
    assert not all(
        torch.equal(a, b) for a, b in zip(flat(other.state()), flat(second.state()), strict=True)
    )


def test_a_number_that_is_none_is_named() -> None:
    rollout = bandit()
    family = make_family("ppo", rollout.sides, 2, shape=SMALL)
    records = rollout.collect(family.actors(), 4)
    records["player"].reward[0, 0, 0] = float("nan")
    with pytest.raises(DivergenceError, match="player diverged: reward"):
        family.update(records)
    with torch.no_grad():
        next(family._teams[0].critic.parameters()).fill_(float("inf"))  # type: ignore[attr-defined]
    with pytest.raises(DivergenceError, match="player diverged"):
        family.update(rollout.collect(family.actors(), 4))


def test_the_epochs_stop_at_the_target() -> None:
    rollout = bandit()
    options = {"decisions": 8, "learning_rate": 0.05, "epochs": 20}
    found = {}
    for target in (0.0, 0.01):
        family = make_family(
            "ppo", rollout.sides, 2, options={**options, "target_kl": target}, shape=SMALL
        )
        found[target] = train(family, rollout, 1)["player/epochs"]
    assert found[0.0] == 20
    assert found[0.01] < 20


@pytest.mark.parametrize("v_trace", [True, False])
def test_only_with_v_trace_it_learns_from_what_an_older_policy_did(v_trace: bool) -> None:
    """All experience is that of the first policy, nearly uniform over the arms."""
    rollout = bandit()
    options = {"decisions": 8, "learning_rate": 3e-3, "v_trace": v_trace}
    family = make_family("ppo", rollout.sides, 2, options=options, shape=SMALL)
    older = make_family("ppo", rollout.sides, 2, options=options, shape=SMALL).actors()
    for _ in range(25):
        family.update(rollout.collect(older, 8))
    earned = float(play(rollout, family.actors(), 8))
    assert earned > 0.9 if v_trace else earned < 0.8


def test_the_chain_of_an_agent_is_cut_where_what_it_did_next_is_not_known() -> None:
    rollout = Tiny(make_side(2, 2), 1, lambda state, decision: decision[..., 0], steps=9)
    record = rollout.collect(make_family("ppo", rollout.sides, 2, shape=SMALL).actors(), 4)[
        "player"
    ]
    assert not _lost(record).any()
    record.alive[1, 0, 0] = False  # told nothing, but lived on
    record.alive[3, 0, 1] = record.next_alive[2, 0, 1] = False  # died
    assert _lost(record)[:, 0, 0].tolist() == [True, False, False, False]
    assert not _lost(record)[:, 0, 1].any()


@pytest.mark.parametrize("v_trace", [False, True])
def test_an_update_begins_at_the_policy_that_acted(v_trace: bool) -> None:
    """What the actor saw is what the objective sees: before any step the ratio is 1. The first
    update alone differs, as it begins to normalise by its own record."""
    rollout = chain()
    options = {"decisions": 8, "epochs": 1, "minibatches": 1, "learning_rate": 0.01}
    family = make_family(
        "ppo", rollout.sides, rollout.state_size, options={**options, "v_trace": v_trace}
    )
    train(family, rollout, 1)
    for _ in range(4):
        figures = train(family, rollout, 1)
        assert figures["player/approx_kl"] == pytest.approx(0.0, abs=1e-6)
        assert figures["player/clip_fraction"] == 0.0
