"""Returns and advantages: pure functions of time-major tensors.

Everywhere: reward, value and next_value are [T, B, ...]; discount and ends may lack the last
dimensions. `discount` is gamma to the power of a decision's duration and 0 where the episode
terminated; `ends` is true where the chain is cut, for whatever reason. What was cut by the horizon
has a discount above 0 and goes on in `next_value`, the value at the end of the decision before any
reset: a cut is never a termination. Chains also end at T, in the last `next_value`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

Tensor = torch.Tensor


def discounts(
    gamma: float, duration: Tensor, terminated: Tensor, next_alive: Tensor | None = None
) -> Tensor:
    """gamma ** duration, and 0 where nothing follows.

    next_alive: where given, an agent's own chain also ends at its death.
    Shapes: duration, terminated [T, B]; next_alive [T, B, n] -> [T, B], or [T, B, n].
    """
    discount = torch.where(terminated, torch.zeros_like(duration), gamma**duration)
    if next_alive is None:
        return discount
    return discount[..., None] * next_alive.to(discount.dtype)


def n_step(reward: Tensor, discount: Tensor, ends: Tensor, next_value: Tensor, n: int) -> Tensor:
    """The sum of up to n discounted rewards and the value after them.

    Shorter where the chain or the record ends first. Shapes: -> as reward.
    Source: Sutton and Barto 2018, equation 7.1.
    """
    discount, last = _like(discount, reward), _last(ends, reward)
    result = reward + discount * next_value
    for _ in range(n - 1):
        later = torch.cat((result[1:], next_value[-1:]))
        result = reward + discount * torch.where(last, next_value, later)
    return result


def td_lambda(
    reward: Tensor, discount: Tensor, ends: Tensor, next_value: Tensor, lambda_: float
) -> Tensor:
    """The lambda-return: 0 is the one-step target, 1 the whole discounted sum.

    Shapes: -> as reward. Source: Sutton and Barto 2018, equation 12.2, recursively.
    """
    discount, last = _like(discount, reward), _last(ends, reward)
    result = torch.empty_like(reward)
    later = next_value[-1]
    for t in reversed(range(len(reward))):
        mixed = (1.0 - lambda_) * next_value[t] + lambda_ * later
        later = reward[t] + discount[t] * torch.where(last[t], next_value[t], mixed)
        result[t] = later
    return result


def gae(
    reward: Tensor,
    discount: Tensor,
    ends: Tensor,
    value: Tensor,
    next_value: Tensor,
    lambda_: float,
) -> Tensor:
    """Generalised advantage estimates; plus `value` they are the lambda-returns.

    Shapes: -> as reward. Source: Schulman et al. 2016, equation 16.
    """
    discount, last = _like(discount, reward), _last(ends, reward)
    delta = reward + discount * next_value - value
    trace = torch.where(last, torch.zeros_like(discount), discount * lambda_)
    return _scan(delta, trace)


class VTrace(NamedTuple):
    """targets: v_s for the value. advantage: of the policy gradient, rho included."""

    targets: Tensor
    advantage: Tensor


def v_trace(
    log_ratio: Tensor,
    reward: Tensor,
    discount: Tensor,
    ends: Tensor,
    value: Tensor,
    next_value: Tensor,
    lambda_: float = 1.0,
    rho_max: float = 1.0,
    c_max: float = 1.0,
) -> VTrace:
    """Targets corrected for a behaviour policy that was not the target policy.

    log_ratio: log pi(a) - log mu(a). Shapes: as reward.
    Source: Espeholt et al. 2018, equation 1 and section 4.2 (lambda: remark 2). On policy, with
            lambda 1, the targets are the n-step returns.
    """
    discount, last = _like(discount, reward), _last(ends, reward)
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=rho_max), lambda_ * ratio.clamp(max=c_max)
    delta = rho * (reward + discount * next_value - value)
    trace = torch.where(last, torch.zeros_like(delta), discount * c)
    targets = value + _scan(delta, trace)
    later = torch.where(last, next_value, torch.cat((targets[1:], next_value[-1:])))
    return VTrace(targets, rho * (reward + discount * later - value))


def _scan(delta: Tensor, trace: Tensor) -> Tensor:
    """x[t] = delta[t] + trace[t] * x[t + 1], from 0 after the end."""
    result = torch.empty_like(delta)
    later = torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        later = delta[t] + trace[t] * later
        result[t] = later
    return result


def _like(x: Tensor, reward: Tensor) -> Tensor:
    """With as many dimensions as reward has."""
    return x.reshape(*x.shape, *(1,) * (reward.ndim - x.ndim))


def _last(ends: Tensor, reward: Tensor) -> Tensor:
    """Where the chain ends, the record's last row included."""
    last = _like(ends, reward).clone()
    last[-1] = True
    return last
