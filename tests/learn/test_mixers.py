"""Mixers: monotone in every agent's value, deaf to the dead, with the best joint choice apart."""

from __future__ import annotations

import itertools

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.learn.mixers import QMIX, VDN

pytestmark = pytest.mark.torch

N, S, EMBED = 3, 5, 8


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.empty(shape).normal_(generator=generator(seed))


def qmix(seed: int) -> QMIX:
    return QMIX(N, S, EMBED, generator(seed))


def test_vdn_is_the_sum_over_the_living() -> None:
    q = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    alive = torch.tensor([[True, True, True], [True, False, True]])
    assert VDN()(q, torch.zeros(2, 0), alive).tolist() == [7.0, 5.0]


def test_qmix_is_two_layers_of_weights_from_the_state() -> None:
    mixer, q, state = qmix(1), normal(4, N, seed=2), normal(4, S, seed=3)
    total = mixer(q, state, torch.ones(4, N, dtype=torch.bool))
    for row in range(4):
        w1 = mixer.weight_1(state[row]).abs().reshape(N, EMBED)
        pre = sum(q[row, i] * w1[i] for i in range(N)) + mixer.bias_1(state[row])
        hidden = torch.where(pre > 0, pre, pre.exp() - 1)
        expected = hidden @ mixer.weight_2(state[row]).abs() + mixer.bias_2(state[row])[0]
        torch.testing.assert_close(total[row], expected)


@settings(deadline=None, max_examples=tries(50))
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.1, 1.0, 100.0]))
def test_the_team_is_never_worse_off_by_a_better_agent(seed: int, scale: float) -> None:
    mixer = qmix(seed)
    q = (scale * normal(16, N, seed=seed + 1)).requires_grad_()
    alive = normal(16, N, seed=seed + 2) > -0.5
    mixer(q, scale * normal(16, S, seed=seed + 3), alive).sum().backward()
    assert q.grad is not None
    assert (q.grad >= 0.0).all()
    assert (q.grad[~alive] == 0.0).all()
    assert q.grad.abs().sum() > 0.0


@pytest.mark.parametrize("mixer", [VDN(), qmix(4)], ids=["vdn", "qmix"])
def test_the_dead_do_not_count(mixer: torch.nn.Module) -> None:
    q, state = normal(8, N, seed=5), normal(8, S, seed=6)
    alive = torch.tensor([True, False, True]).expand(8, N)
    other = q.clone()
    other[:, 1] = float("nan")
    assert torch.equal(mixer(q, state, alive), mixer(other, state, alive))
    other[:, 0] += 1.0
    assert not torch.equal(mixer(q, state, alive), mixer(other, state, alive))


@settings(deadline=None, max_examples=tries(30))
@given(seed=st.integers(0, 10_000))
def test_each_ones_best_choice_is_the_teams(seed: int) -> None:
    """Individual-global-max: of all 4 ** 3 joint choices none is better than the greedy one."""
    mixer, q = qmix(seed), normal(N, 4, seed=seed + 1)
    joint = torch.tensor(list(itertools.product(range(4), repeat=N)))
    values = q.gather(1, joint.T).T
    state = normal(1, S, seed=seed + 2).expand(len(joint), S)
    total = mixer(values, state, torch.ones_like(values, dtype=torch.bool))
    greedy = (joint == q.argmax(1)).all(1)
    assert greedy.sum() == 1
    assert total[greedy].item() >= total.max().item() - 1e-5


def test_control_with_weights_of_any_sign_it_is_not() -> None:
    """The same layers without the absolute values prefer another joint choice."""
    joint = torch.tensor(list(itertools.product(range(4), repeat=N)))
    differs = 0
    for seed in range(20):
        mixer, q = qmix(seed), normal(N, 4, seed=seed + 1)
        state = normal(1, S, seed=seed + 2)[0]
        w1, w2 = mixer.weight_1(state).reshape(N, EMBED), mixer.weight_2(state)
        values = q.gather(1, joint.T).T
        total = torch.nn.functional.elu(values @ w1 + mixer.bias_1(state)) @ w2
        differs += int((joint[total.argmax()] != q.argmax(1)).any())
    assert differs > 10
