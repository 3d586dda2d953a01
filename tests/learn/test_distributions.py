"""Distributions over decisions, against torch.distributions and by counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Normal

from agents.decisions import log_prob, mask_of, plan_of
from sim.errors import ScenarioError
from sim.learn.distributions import Decisions
from sim.spaces import Field, Space

pytestmark = pytest.mark.torch

POWER = Field("power", low=-1.0, high=1.0, size=2)
GEAR = Field("gear", choices=3)
PUMPS = Field("pump", choices=2, size=3)
FREE = Field("free")
MOVE = Field("move", choices=4)
MAY = Field("may", size=4, masks="move")
SEES = Space((Field("soc"), MAY))
NOTHING = Space()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.empty(shape).normal_(generator=generator(seed))


def test_a_mixture_is_the_sum_of_its_fields() -> None:
    """Outputs in the order of the fields: 2 means, 3 logits, 3 x 2 logits, 1 mean; deviations."""
    decisions = Decisions(Space((POWER, GEAR, PUMPS, FREE)), NOTHING)
    assert (decisions.outputs, decisions.free, decisions.size) == (15, 3, 7)
    out = 0.5 * normal(5, 4, 15)  # deviations within their bounds
    raw = decisions.sample(out, generator())
    assert (raw.shape, raw.dtype) == ((5, 4, 7), torch.float32)
    assert decisions.mask(normal(5, 4, 1)) is None
    mean = torch.cat((out[..., :2], out[..., 11:12]), -1)
    gauss = Normal(mean, out[..., 12:].exp())
    gear = Categorical(logits=out[..., 2:5])
    pumps = Categorical(logits=out[..., 5:11].unflatten(-1, (3, 2)))
    log_prob = (
        gauss.log_prob(raw[..., [0, 1, 6]]).sum(-1)
        + gear.log_prob(raw[..., 2])
        + pumps.log_prob(raw[..., 3:6]).sum(-1)
    )
    torch.testing.assert_close(decisions.log_prob(out, raw), log_prob)
    entropy = gauss.entropy().sum(-1) + gear.entropy() + pumps.entropy().sum(-1)
    torch.testing.assert_close(decisions.entropy(out), entropy)
    greedy = decisions.sample(out, generator(), greedy=True)
    torch.testing.assert_close(greedy[..., [0, 1, 6]], mean)
    assert (greedy[..., 2] == out[..., 2:5].argmax(-1)).all()


def test_neighbours_of_one_kind_are_decided_together() -> None:
    decisions = Decisions(Space((POWER, FREE, GEAR, Field("other", choices=3), PUMPS)), NOTHING)
    assert [(p.choices, p.raw.stop - p.raw.start) for p in decisions.plan.parts] == [
        (0, 3),
        (3, 2),
        (2, 3),
    ]
    assert not decisions.is_discrete
    assert Decisions(Space((GEAR, PUMPS)), NOTHING).is_discrete


def test_a_decision_about_nothing() -> None:
    decisions = Decisions(NOTHING, NOTHING)
    out = normal(3, 2, 0)
    raw = decisions.sample(out, generator())
    assert raw.shape == (3, 2, 0)
    assert (decisions.log_prob(out, raw) == 0).all()
    assert (decisions.entropy(out) == 0).all()


def test_probabilities_of_a_multi_discrete_decision_add_up_to_one() -> None:
    decisions = Decisions(Space((GEAR, PUMPS)), NOTHING)
    out = normal(9)
    every = torch.tensor(list(itertools.product(range(3), *[range(2)] * 3)), dtype=torch.float32)
    log_prob = decisions.log_prob(out.expand(24, 9), every)
    torch.testing.assert_close(log_prob.exp().sum(), torch.tensor(1.0))
    entropy = -(log_prob.exp() * log_prob).sum()
    torch.testing.assert_close(decisions.entropy(out), entropy)


def test_draws_have_the_frequencies_of_their_probabilities() -> None:
    decisions = Decisions(Space((MOVE, FREE)), SEES)
    n = 20_000
    out = torch.tensor([0.0, 1.0, -1.0, 5.0, 0.7, -1.0]).expand(n, 6)
    mask = decisions.mask(torch.tensor([9.0, 1.0, 1.0, 1.0, 0.0]).expand(n, 5))
    raw = decisions.sample(out, generator(), mask=mask)
    counts = torch.bincount(raw[:, 0].long(), minlength=4)
    expected = torch.softmax(out[0, :3], 0) * n
    assert counts[3] == 0
    # chi-squared with 2 degrees of freedom: 99.9 %
    assert ((counts[:3] - expected).square() / expected).sum() < 13.8
    assert abs(raw[:, 1].mean() - 0.7) < 5 * 0.3679 / n**0.5
    assert abs(raw[:, 1].std() / 0.3679 - 1) < 5 / (2 * n) ** 0.5


@settings(deadline=None, max_examples=tries(50))
@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4),
    allowed=st.lists(st.booleans(), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_what_is_masked_has_no_probability(
    logits: list[float], allowed: list[bool], seed: int
) -> None:
    decisions = Decisions(Space((MOVE,)), SEES)
    out = torch.tensor([logits], requires_grad=True)
    seen = torch.tensor([[0.0, *map(float, allowed)]])
    mask = decisions.mask(seen)
    every = torch.arange(4.0)[:, None]
    log_prob = decisions.log_prob(out.expand(4, 4), every, mask)
    refused = torch.tensor([any(allowed) and not a for a in allowed])
    assert (log_prob.exp()[refused] == 0.0).all()
    torch.testing.assert_close(log_prob.exp().sum(), torch.tensor(1.0))
    if not any(allowed):
        torch.testing.assert_close(log_prob.exp(), torch.full((4,), 0.25))
    entropy = decisions.entropy(out, mask)
    kept = log_prob[~refused]
    torch.testing.assert_close(entropy[0], -(kept.exp() * kept).sum())
    raw = decisions.sample(out.expand(50, 4), generator(seed), mask=mask.expand(50, 4))
    assert not refused[raw[:, 0].long()].any()
    (entropy.sum() + log_prob[~refused].sum()).backward()
    assert out.grad is not None
    assert out.grad.isfinite().all()
    assert (out.grad[0][refused] == 0.0).all()


def test_control_without_the_mask_the_refused_is_drawn() -> None:
    decisions = Decisions(Space((MOVE,)), SEES)
    raw = decisions.sample(torch.zeros(200, 4), generator())
    assert set(raw[:, 0].tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_one_mask_serves_all_numbers_of_a_field_or_each_its_own() -> None:
    space = Space((FREE, Field("move", choices=2, size=2), GEAR))
    seen = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    shared = Decisions(space, Space((Field("may", size=2, masks="move"), Field("x", size=2))))
    assert shared.mask(seen).tolist() == [[True, *[True, False] * 2, *[True] * 3]]
    own = Decisions(space, Space((Field("may", size=4, masks="move"),)))
    assert own.mask(seen).tolist() == [[True, True, False, False, True, *[True] * 3]]


def test_masks_that_fit_no_decision_are_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match=r"masks 'move', which is no decision.*there is: gear"):
        Decisions(Space((GEAR,)), SEES)
    with pytest.raises(ScenarioError, match="masks 'power', which is no decision"):
        Decisions(Space((POWER,)), Space((Field("may", size=2, masks="power"),)))
    with pytest.raises(ScenarioError, match="has 3 numbers to mask 'move', which has 4 choices"):
        Decisions(Space((MOVE,)), Space((Field("may", size=3, masks="move"),)))


def test_deviations_are_bounded() -> None:
    decisions = Decisions(Space((FREE,)), NOTHING)
    out = torch.tensor([[0.0, 50.0], [0.0, -50.0]])
    gauss = Normal(torch.zeros(2), torch.tensor([2.0, -5.0]).exp())
    torch.testing.assert_close(decisions.entropy(out), gauss.entropy())
    raw = torch.tensor([[0.5], [0.001]])
    torch.testing.assert_close(decisions.log_prob(out, raw), gauss.log_prob(raw[:, 0]))


def test_draws_come_from_the_generator_alone() -> None:
    decisions = Decisions(Space((POWER, MOVE)), NOTHING)
    out = normal(100, 8)
    before = torch.get_rng_state()
    one, same, other = (decisions.sample(out, generator(seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert (torch.get_rng_state() == before).all()


@given(st.integers(0, 2**31 - 1), st.integers(1, 5))
@settings(deadline=None, max_examples=tries(40))
def test_agents_say_the_same_log_probability_without_torch(seed: int, rows: int) -> None:
    """What an agent's process computes of its own decisions is what the learner would."""
    space = Space((POWER, MOVE, PUMPS, FREE))
    decisions, plan = Decisions(space, SEES), plan_of(space, SEES)
    out = normal(rows, decisions.outputs, seed=seed)
    seen = (normal(rows, SEES.size, seed=seed + 1) > 0).float()
    seen[:, 1] = 1.0  # of the choices that are masked, one is always allowed
    mask = decisions.mask(seen)
    assert mask is not None
    raw = decisions.sample(out, generator(seed), mask=mask)
    own = log_prob(plan, out.numpy(), mask_of(plan, seen.numpy(), np), raw.numpy(), np)
    assert own.dtype == np.float32
    np.testing.assert_allclose(own, decisions.log_prob(out, raw, mask).numpy(), atol=2e-5)
    other = log_prob(plan, out.numpy(), None, raw.numpy(), np)
    assert (own >= other - 1e-5).all()  # without what is not allowed, the rest is likelier
