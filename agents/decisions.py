"""What a network's numbers mean as decisions, on NumPy and torch alike.

A network gives `outputs` numbers per agent: for every field of the decision, in order, a mean per
number (continuous) or a logit per choice (of each of its numbers); then a log standard deviation
per continuous number, which training may keep apart from what was seen. A *raw* decision has one
number per number of the space: unbounded for continuous fields, the choice for the others.
`physical` turns it into what the world takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from array_api_compat import is_torch_namespace

from sim.errors import ScenarioError
from sim.ids import did_you_mean
from sim.rng import philox_torch, uniforms
from sim.spaces import Field, Space

Array = Any
REFUSED: Final = -1e9
"""The logit of a choice that is not allowed: its probability is exactly 0 in float32, and nothing
becomes infinite."""
LOG_STD_MIN: Final = -5.0
LOG_STD_MAX: Final = 2.0
"""Bounds of the log standard deviation: raw values beyond +-3 are all at the bounds of a field, and
below exp(-5) nothing is explored."""
_HALF_LOG_TAU: Final = 0.5 * math.log(2.0 * math.pi)
_STAGE: Final = 77
"""Sets the draws of decisions apart from others of the same key."""


@dataclass(frozen=True)
class Part:
    """Neighbouring numbers of a decision that are decided alike.

    choices: 0 for continuous ones.
    raw:     where they lie in the decision.
    out:     their means, or their logits one number after the other, in the outputs.
    log_std: of continuous ones, in the outputs.
    """

    choices: int
    raw: slice
    out: slice
    log_std: slice


@dataclass(frozen=True)
class Masked:
    """Logits `out` are allowed where the numbers `seen` of the input say 1; for `repeat` numbers
    of the field alike."""

    out: slice
    seen: slice
    repeat: int


@dataclass(frozen=True)
class Plan:
    """How a decision is laid out. free: how many of `outputs`, the last, are log deviations."""

    parts: tuple[Part, ...]
    masks: tuple[Masked, ...]
    outputs: int
    free: int
    size: int

    @property
    def is_discrete(self) -> bool:
        return all(part.choices for part in self.parts)


def plan_of(decides: Space, sees: Space = Space()) -> Plan:  # noqa: B008 (a frozen value)
    """The layout of a decision, with the action masks found in what is seen.

    Raises: ScenarioError for a mask of no decision, or of another number of choices.
    """
    continuous = sum(f.size for f in decides.fields if not f.choices)
    discrete = sum(f.size * f.choices for f in decides.fields)
    given = continuous + discrete
    parts: list[Part] = []
    where: dict[str, slice] = {}
    raw = out = log_std = 0
    for field in decides.fields:
        wide = field.size * (field.choices or 1)
        last = parts[-1] if parts else None
        joins = last is not None and last.choices == field.choices
        first = parts.pop() if joins else None
        free = given + log_std
        parts.append(
            Part(
                field.choices,
                slice(first.raw.start if first else raw, raw + field.size),
                slice(first.out.start if first else out, out + wide),
                slice(first.log_std.start if first else free, free + field.size)
                if not field.choices
                else slice(0, 0),
            )
        )
        where[field.name] = slice(out, out + wide)
        raw, out = raw + field.size, out + wide
        log_std += 0 if field.choices else field.size
    masks = tuple(_masked(f, sees, decides, where) for f in sees.fields if f.masks)
    return Plan(tuple(parts), masks, given + continuous, continuous, raw)


def _masked(mask: Field, sees: Space, decides: Space, where: dict[str, slice]) -> Masked:
    fields = {f.name: f for f in decides.fields}
    field = fields.get(mask.masks)
    if field is None or not field.choices:
        choosable = [f.name for f in decides.fields if f.choices]
        raise ScenarioError(
            f"observation field {mask.name!r} masks {mask.masks!r}, which is no decision among "
            f"choices; {did_you_mean(mask.masks, choosable)}"
        )
    if mask.size not in (field.choices, field.choices * field.size):
        raise ScenarioError(
            f"observation field {mask.name!r} has {mask.size} numbers to mask {mask.masks!r}, "
            f"which has {field.choices} choices"
        )
    repeat = field.choices * field.size // mask.size
    return Masked(where[field.name], sees.slices[mask.name], repeat)


def mask_of(plan: Plan, seen: Array, xp: Any) -> Array | None:
    """Which outputs are allowed; None if all always are. Of what was seen, not normalised.

    Shapes: seen [..., F], masks in its `own` part -> bool [..., outputs - free].
    """
    if not plan.masks:
        return None
    shape, at, pieces = seen.shape[:-1], 0, []
    for masked in sorted(plan.masks, key=lambda m: m.out.start):
        if masked.out.start > at:
            pieces.append(_all_true(seen, (*shape, masked.out.start - at), xp))
        pieces += [seen[..., masked.seen] > 0.5] * masked.repeat
        at = masked.out.stop
    if plan.outputs - plan.free > at:
        pieces.append(_all_true(seen, (*shape, plan.outputs - plan.free - at), xp))
    return xp.concat(pieces, axis=-1)


def _all_true(like: Array, shape: Sequence[int], xp: Any) -> Array:
    return xp.ones(tuple(shape), dtype=xp.bool, device=like.device)


def masked_logits(plan: Plan, part: Part, out: Array, mask: Array | None, xp: Any) -> Array:
    """The logits of a part, REFUSED where masked; all alike where everything is masked.

    Shapes: out [..., outputs], mask as of `mask_of` (leading dimensions broadcast)
            -> [..., numbers, choices].
    """
    shape = (*out.shape[:-1], part.raw.stop - part.raw.start, part.choices)
    logits = xp.reshape(out[..., part.out], shape)
    if mask is None:
        return logits
    allowed = xp.reshape(mask[..., part.out], (*mask.shape[:-1], *shape[-2:]))
    refused = xp.where(allowed, logits, xp.full_like(logits, REFUSED))
    some = xp.any(allowed, axis=-1, keepdims=True)
    return xp.where(some, refused, xp.zeros_like(logits))


def decide(plan: Plan, out: Array, mask: Array | None, xp: Any, key: Any = None) -> Array:
    """Raw decisions: the likeliest, or drawn by `key`, alike in NumPy and torch.

    Shapes: out float32 [B, outputs], without the log deviations where nothing is drawn; key a
            64-bit number or one per row -> float32 [B, size].
    """
    drawn = None if key is None else _draws(key, out.shape[0], plan.size, xp, out)
    pieces = []
    for part in plan.parts:
        u = None if drawn is None else (drawn[0][:, part.raw], drawn[1][:, part.raw])
        if part.choices:
            logits = masked_logits(plan, part, out, mask, xp)
            chosen = xp.argmax(logits, axis=-1) if u is None else _pick(logits, u[0], xp)
            pieces.append(xp.astype(chosen, out.dtype))
        elif u is None:
            pieces.append(out[:, part.out])
        else:  # Box and Muller 1958, equation 1
            normal = xp.sqrt(-2.0 * xp.log(u[0])) * xp.cos(2.0 * np.pi * u[1])
            log_std = xp.clip(out[:, part.log_std], LOG_STD_MIN, LOG_STD_MAX)
            pieces.append(out[:, part.out] + xp.exp(log_std) * xp.astype(normal, out.dtype))
    if not pieces:
        return out[:, :0]
    return pieces[0] if len(pieces) == 1 else xp.concat(pieces, axis=1)


def log_prob(plan: Plan, out: Array, mask: Array | None, raw: Array, xp: Any) -> Array:
    """Of raw decisions, as `sim.learn.distributions` has it.

    Shapes: out [B, outputs], raw [B, size] -> [B].
    """
    total = xp.zeros_like(out[:, 0])
    for part in plan.parts:
        taken = raw[:, part.raw]
        if part.choices:
            logits = masked_logits(plan, part, out, mask, xp)
            top = xp.max(logits, axis=-1, keepdims=True)
            norm = xp.log(xp.sum(xp.exp(logits - top), axis=-1)) + top[..., 0]
            index = xp.astype(taken, xp.int64)[..., None]
            total = total + xp.sum(
                xp.take_along_axis(logits, index, axis=-1)[..., 0] - norm, axis=1
            )
        else:
            log_std = xp.clip(out[:, part.log_std], LOG_STD_MIN, LOG_STD_MAX)
            z = (taken - out[:, part.out]) * xp.exp(-log_std)
            total = total + xp.sum(-0.5 * z * z - log_std - _HALF_LOG_TAU, axis=1)
    return total


def _pick(logits: Array, u: Array, xp: Any) -> Array:
    """The choice at quantile u of the cumulative probabilities; never one of probability 0."""
    wide = xp.astype(logits, xp.float64)
    weights = xp.exp(wide - xp.max(wide, axis=-1, keepdims=True))
    total = xp.cumulative_sum(weights, axis=-1)
    below = total <= u[..., None] * total[..., -1:]
    return xp.sum(xp.astype(below, xp.int64), axis=-1)


def _draws(key: Any, rows: int, size: int, xp: Any, like: Array) -> tuple[Array, Array]:
    """Two uniforms in (0, 1) for each number of each decision, of 52 bits.

    A key of each row, or one for all, told apart by the row. Shapes: two of float64 [B, size].
    """
    if is_torch_namespace(xp):
        counter = xp.arange(size, dtype=xp.int64, device=like.device)[None, :]
        row = xp.arange(rows, dtype=xp.int64, device=like.device)[:, None]
        if hasattr(key, "device") and not isinstance(key, np.ndarray | np.generic):
            keys = xp.reshape(key, (-1, 1)) if key.ndim else key
        elif np.ndim(key):
            signed = np.asarray(key, dtype=np.uint64).view(np.int64)
            keys = xp.asarray(signed, device=like.device)[:, None]
        else:
            keys = int(key)
        row = row if np.ndim(key) == 0 else xp.zeros_like(row)
        a, b, c, d = philox_torch(counter, row, _STAGE, 0, keys)
        high = [xp.astype(xp.broadcast_to(w, (rows, size)) >> 6, xp.float64) for w in (a, b, c, d)]
        first, second = ((h * 67108864.0 + low + 0.5) / 2.0**52 for h, low in
                         ((high[0], high[1]), (high[2], high[3])))  # fmt: skip
        return first, second
    row_at = np.arange(rows if np.ndim(key) == 0 else 1, dtype=np.uint64) << np.uint64(32)
    counters = np.broadcast_to(row_at[:, None] | np.arange(size, dtype=np.uint64), (rows, size))
    keys = np.broadcast_to(np.reshape(np.asarray(key, dtype=np.uint64), (-1, 1)), (rows, size))
    stop = np.zeros(rows * size, dtype=np.uint64)
    u = uniforms(np.ravel(keys), np.ravel(counters), _STAGE, stop)
    return u[0].reshape(rows, size), u[1].reshape(rows, size)


class Physical:
    """Raw decisions as the world takes them: bounded fields low + (tanh(raw) + 1) / 2 (high - low),
    others as they are but within what bound they have, choices as whole numbers.
    """

    def __init__(self, space: Space) -> None:
        chosen = [np.full(f.size, f.choices > 0) for f in space.fields]
        is_choice = np.concatenate([*chosen, np.zeros(0, dtype=bool)])
        low, high = np.where(is_choice, -np.inf, space.low), np.where(is_choice, np.inf, space.high)
        is_bounded = np.isfinite(low) & np.isfinite(high)
        halves = np.where(is_bounded, low, 0.0) / 2, np.where(is_bounded, high, 0.0) / 2
        self._bounds = (is_bounded, low, high, halves[1] + halves[0], halves[1] - halves[0])
        self._is_free = not (np.isfinite(low) | np.isfinite(high)).any()
        self._there: dict[Any, tuple[Array, ...]] = {}

    def __call__(self, raw: Array, xp: Any) -> Array:
        """Shapes: [..., size] -> float64 [..., size]."""
        wide = xp.astype(raw, xp.float64)
        if self._is_free:
            return wide
        if isinstance(wide, np.ndarray):
            is_bounded, low, high, middle, half = self._bounds
        else:
            there = self._there.get(wide.device)
            if there is None:
                there = tuple(xp.asarray(b, device=wide.device) for b in self._bounds)
                self._there[wide.device] = there
            is_bounded, low, high, middle, half = there
        stretched = xp.where(is_bounded, middle + xp.tanh(wide) * half, wide)
        return xp.minimum(xp.maximum(stretched, low), high)


@lru_cache(maxsize=256)
def _physical(space: Space) -> Physical:
    return Physical(space)


def physical(space: Space, raw: Array, xp: Any) -> Array:
    """See `Physical`. Shapes: [..., size] -> float64 [..., size]."""
    return _physical(space)(raw, xp)
