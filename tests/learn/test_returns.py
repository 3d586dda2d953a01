"""Returns and advantages against published values, identities and the naive double loop."""

from __future__ import annotations

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.learn import returns

pytestmark = pytest.mark.torch
Tensor = torch.Tensor


def problem(seed: int, steps: int, copies: int, agents: int) -> dict[str, Tensor]:
    """A random record in which consecutive decisions of an episode agree on the value between."""
    g = torch.Generator().manual_seed(seed)
    shape = (steps, copies, agents)
    terminated = torch.rand(steps, copies, generator=g) < 0.2
    truncated = (torch.rand(steps, copies, generator=g) < 0.2) & ~terminated
    ends = terminated | truncated
    value = torch.randn(shape, generator=g, dtype=torch.float64)
    next_value = torch.randn(shape, generator=g, dtype=torch.float64)
    next_value[:-1] = torch.where(ends[:-1, :, None], next_value[:-1], value[1:])
    duration = 1.0 - 0.5 * torch.rand(steps, copies, generator=g, dtype=torch.float64)
    return {
        "reward": torch.randn(shape, generator=g, dtype=torch.float64),
        "discount": returns.discounts(0.9, duration, terminated),
        "ends": ends,
        "value": value,
        "next_value": next_value,
    }


def by_loop(p: dict[str, Tensor], n: int, b: int, i: int, t: int) -> float:
    """One n-step return, by its definition."""
    total, weight = 0.0, 1.0
    for k in range(t, min(t + n, len(p["reward"]))):
        total += weight * float(p["reward"][k, b, i])
        weight *= float(p["discount"][k, b])
        if p["ends"][k, b] or k == min(t + n, len(p["reward"])) - 1:
            return total + weight * float(p["next_value"][k, b, i])
    raise AssertionError


problems = st.builds(
    problem, st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 3), st.integers(1, 2)
)


@settings(max_examples=tries(60), deadline=None)
@given(problems, st.integers(1, 10))
def test_n_step_is_its_definition(p: dict[str, Tensor], n: int) -> None:
    found = returns.n_step(p["reward"], p["discount"], p["ends"], p["next_value"], n)
    for t in range(found.shape[0]):
        for b in range(found.shape[1]):
            for i in range(found.shape[2]):
                assert float(found[t, b, i]) == pytest.approx(by_loop(p, n, b, i, t), abs=1e-9)


@settings(max_examples=tries(60), deadline=None)
@given(problems, st.floats(0.0, 1.0))
def test_td_lambda_weighs_the_n_step_returns(p: dict[str, Tensor], lambda_: float) -> None:
    found = returns.td_lambda(p["reward"], p["discount"], p["ends"], p["next_value"], lambda_)
    steps = len(found)
    chain = [
        returns.n_step(p["reward"], p["discount"], p["ends"], p["next_value"], n)
        for n in range(1, steps + 1)
    ]
    # equation 12.2; the n-step returns beyond an end are all the same, which closes the sum
    expected = sum((1 - lambda_) * lambda_**i * g for i, g in enumerate(chain[:-1]))
    expected = expected + lambda_ ** (steps - 1) * chain[-1]
    assert torch.allclose(found, expected, atol=1e-9)


@settings(max_examples=tries(60), deadline=None)
@given(problems, st.floats(0.0, 1.0))
def test_gae_and_value_are_the_lambda_return(p: dict[str, Tensor], lambda_: float) -> None:
    args = (p["reward"], p["discount"], p["ends"])
    advantage = returns.gae(*args, p["value"], p["next_value"], lambda_)
    target = returns.td_lambda(*args, p["next_value"], lambda_)
    assert torch.allclose(advantage + p["value"], target, atol=1e-9)


@settings(max_examples=tries(60), deadline=None)
@given(problems, st.floats(0.0, 1.0))
def test_v_trace_on_policy_is_the_lambda_return(p: dict[str, Tensor], lambda_: float) -> None:
    args = (p["reward"], p["discount"], p["ends"])
    on_policy = torch.zeros_like(p["reward"])
    found = returns.v_trace(on_policy, *args, p["value"], p["next_value"], lambda_)
    target = returns.td_lambda(*args, p["next_value"], lambda_)
    assert torch.allclose(found.targets, target, atol=1e-9)
    if lambda_ == 1.0:
        expected = returns.gae(*args, p["value"], p["next_value"], 1.0)
        assert torch.allclose(found.advantage, expected, atol=1e-9)


@settings(max_examples=tries(40), deadline=None)
@given(problems, st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 2.0]))
def test_v_trace_is_its_definition(p: dict[str, Tensor], seed: int, c_max: float) -> None:
    """Equation 1 as the paper writes it: a sum of products, for each s."""
    g = torch.Generator().manual_seed(seed)
    log_ratio = torch.randn(p["reward"].shape, generator=g, dtype=torch.float64)
    args = (p["reward"], p["discount"], p["ends"], p["value"], p["next_value"])
    found = returns.v_trace(log_ratio, *args, rho_max=1.5, c_max=c_max).targets
    ratio = log_ratio.exp()
    for b in range(found.shape[1]):
        for s in range(found.shape[0]):
            total, product = p["value"][s, b].clone(), torch.ones(found.shape[2]).double()
            for t in range(s, found.shape[0]):
                delta = p["reward"][t, b] + p["discount"][t, b] * p["next_value"][t, b]
                delta = ratio[t, b].clamp(max=1.5) * (delta - p["value"][t, b])
                total += product * delta
                product = product * p["discount"][t, b] * ratio[t, b].clamp(max=c_max)
                if p["ends"][t, b]:
                    break
            assert torch.allclose(found[s, b], total, atol=1e-9)


def test_v_trace_forgets_what_the_target_policy_would_not_do() -> None:
    ones = torch.ones(3, 1, 1)
    never = torch.full((3, 1, 1), -40.0)
    ends = torch.tensor([[False], [False], [True]])
    value = torch.tensor([2.0, 3.0, 4.0]).reshape(3, 1, 1)
    found = returns.v_trace(never, ones, 0.9 * ones[..., 0], ends, value, value)
    assert torch.allclose(found.targets, value)
    assert torch.allclose(found.advantage, torch.zeros(3, 1, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("lambda_", "expected"),
    [
        (1.0, [-1.45118, -4.4557, 2.5396, 0.5249, -0.49]),
        (0.4, [0.56731, -6.042, 2.3431, 0.81596, -0.49]),
    ],
)
def test_gae_reference(lambda_: float, expected: list[float]) -> None:
    reward = torch.tensor([0.0, 0.0, 1.0, 0.0, -0.5]).double().reshape(5, 1)
    values = torch.tensor([1.0, 4.0, -3.0, -2.0, -1.0, -1.0]).double().reshape(6, 1)
    going_on = torch.zeros(5, 1, dtype=torch.bool)
    discount = returns.discounts(0.99, torch.ones(5, 1).double(), going_on)
    found = returns.gae(reward, discount, going_on, values[:-1], values[1:], lambda_)
    assert found.ravel().tolist() == pytest.approx(expected, abs=5e-4)


@settings(max_examples=tries(40), deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0.0, 0.999), st.floats(0.0, 1.0))
def test_a_cut_is_no_termination(seed: int, steps: int, gamma: float, lambda_: float) -> None:
    """Reward 1 for ever, cut by the time limit: V = 1 / (1 - gamma) reproduces itself."""
    g = torch.Generator().manual_seed(seed)
    truncated = torch.rand(steps, 2, generator=g) < 0.4
    reward = torch.ones(steps, 2).double()
    never = torch.zeros_like(truncated)
    discount = returns.discounts(gamma, reward, never)
    value = torch.full_like(reward, 1 / (1 - gamma))
    for found in (
        returns.n_step(reward, discount, truncated, value, 4),
        returns.td_lambda(reward, discount, truncated, value, lambda_),
        value + returns.gae(reward, discount, truncated, value, value, lambda_),
        returns.v_trace(0 * reward, reward, discount, truncated, value, value).targets,
    ):
        assert torch.allclose(found, value, rtol=1e-9)
    # the control: counted as termination, the same data say something else
    wrong = returns.discounts(gamma, reward, truncated)
    if truncated.any() and gamma > 0.01:
        assert not torch.allclose(returns.n_step(reward, wrong, truncated, value, 4), value)


@settings(max_examples=tries(40), deadline=None)
@given(problems, st.floats(0.0, 1.0))
def test_nothing_crosses_an_end(p: dict[str, Tensor], lambda_: float) -> None:
    p["ends"] = p["ends"].clone()
    p["ends"][0] = True
    changed = {name: x.clone() for name, x in p.items()}
    changed["reward"][1:] += 100.0
    for q in (p, changed):
        q["found"] = returns.gae(
            *(q[k] for k in ("reward", "discount", "ends", "value", "next_value")), lambda_
        )
    assert torch.equal(p["found"][0], changed["found"][0])


def test_discounts_of_durations_and_of_the_dead() -> None:
    duration = torch.tensor([[1.0], [0.25], [1.0]])
    terminated = torch.tensor([[False], [False], [True]])
    found = returns.discounts(0.9, duration, terminated)
    assert found.ravel().tolist() == pytest.approx([0.9, 0.9**0.25, 0.0])
    alive = torch.tensor([[[True, False]], [[True, True]], [[True, True]]])
    per_agent = returns.discounts(0.9, duration, terminated, alive)
    assert per_agent[:, 0, 1].tolist() == pytest.approx([0.0, 0.9**0.25, 0.0])
