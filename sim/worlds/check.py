"""What a world promises, tried out: form, shapes, bounds, determinism, batch against single, GPU.

For `sim check`. What is wrong is a FAULT, what may be meant a HINT. Actions are drawn at random
within their bounds, and some agents are absent in every step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from sim.errors import ScenarioError
from sim.rng import generator
from sim.spaces import Space
from sim.worlds.catalogue import world_module
from sim.worlds.check_form import FAULT, HINT, NOTE, Remark, form
from sim.worlds.world import Array, World, single

Acts: TypeAlias = tuple[dict[str, Array], dict[str, NDArray[np.bool_]]]
STEPS: Final = 20
ROWS_TOLERANCE: Final = 1e-9
"""By which a row of a batch may differ from the copy alone, relative to its size if above 1."""
DEVICE_TOLERANCE: Final = 1e-6
"""The same after one step from the same state on a GPU, whose sums are in another order."""
_PRESENT: Final = 0.8
_ABSENT_EVENT: Final = "no-such-event"


def check_world(
    kind: str, params: Mapping[str, Any], seed: int = 0, steps: int = STEPS
) -> Iterator[Remark]:
    """What is to be said of a world with these parameters.

    Raises: ScenarioError for a world or parameters that do not exist; whatever an author's own
            code raises.
    """
    made = world_module(kind).make(dict(params))
    world: World = made if hasattr(made, "state_bytes") else single(made)
    world.reset(seed, 0)
    remarks = list(form(world, world_module(kind)))
    yield from remarks
    if any(remark.severity == FAULT for remark in remarks):
        return
    found = list(_one_copy(world, seed, steps))
    yield from found
    if world is not made and not any(remark.severity == FAULT for remark in found):
        yield from _batch(made, seed, steps, "cpu")
        if torch.cuda.is_available():
            yield from _batch(made, seed, steps, "cuda")
        else:
            yield Remark(NOTE, "no GPU here: the world was not compared on one")


def _drawn(world: Any, rng: np.random.Generator) -> Acts:
    """An action of everybody, and who is there. Shapes: per group [n, a], bool [n]."""
    actions = {g.name: _values(g.action, rng, len(g.agents)) for g in world.groups}
    present = {g.name: rng.random(len(g.agents)) < _PRESENT for g in world.groups}
    return actions, present


def _values(space: Space, rng: np.random.Generator, n: int) -> Array:
    columns = [np.zeros((n, 0))]
    for field in space.fields:
        shape = (n, field.size)
        if field.choices:
            columns.append(rng.integers(field.choices, size=shape).astype(np.float64))
        elif np.isfinite(field.low) and np.isfinite(field.high):
            columns.append(rng.uniform(field.low, field.high, shape))
        else:
            columns.append(np.clip(rng.standard_normal(shape), field.low, field.high))
    return np.concatenate(columns, axis=1)


# --- one copy -----------------------------------------------------------------------------------


def _one_copy(world: World, seed: int, steps: int) -> Iterator[Remark]:
    """Shapes, bounds, repetition, and what must not change anything."""
    courses = []
    for again in range(2):
        world.reset(seed, 0)
        rng, course = generator(seed, "check"), [world.state_bytes()]
        for step in range(steps):
            if not again:
                yield from (problems := list(_looked_at(world, step)))
                if problems:
                    return
            if world.is_terminated:
                break
            world.advance(*_drawn(world, rng))
            course.append(world.state_bytes() + _bytes(world.observe()))
            if not again:
                yield from (problems := list(_rewards(world, step)))
                if problems:
                    return
        courses.append(course)
    if courses[0] != courses[1]:
        pairs = zip(*courses, strict=False)
        step = next((i for i, (a, b) in enumerate(pairs) if a != b), min(map(len, courses)))
        yield Remark(
            FAULT, f"the same seed and the same actions part at step {step}",
            "every random number must come from the seed and the episode: sim.worlds.noise",
        )  # fmt: skip
    world.reset(seed, 0)
    first = world.state_bytes()
    world.reset(seed, 1)
    if world.state_bytes() == first and _bytes(world.observe()):
        yield Remark(HINT, "every episode begins alike: no random number decides anything in it")
    yield from _events(world, seed)


def _bytes(columns: Mapping[str, Array]) -> bytes:
    return b"".join(np.ascontiguousarray(columns[name]).tobytes() for name in sorted(columns))


def _looked_at(world: World, step: int) -> Iterator[Remark]:
    """Observations, metrics and scene; none of them may change the state."""
    before = world.state_bytes()
    seen = world.observe()
    there = _alive(world)
    for group in world.groups:
        shape = (len(group.agents), group.observation.size)
        yield from _numbers(seen, group.name, shape, f"observe, step {step}")
        if group.name in seen and seen[group.name].shape == shape:
            # Who has left, or not come yet, observes zeros.
            rows = seen[group.name][there.get(group.name, slice(None))]
            yield from _bounds(group.observation, rows, group.name, step)
    for name, metric in world.metrics().items():
        if not isinstance(metric.value, int | float):
            yield Remark(FAULT, f"metric {name!r} is no number: {metric.value!r}")
    try:
        json.dumps(world.scene())
    except (TypeError, ValueError) as error:
        yield Remark(FAULT, f"scene: {error}", "plain numbers, strings, lists and dicts")
    if world.state_bytes() != before:
        yield Remark(FAULT, f"looking at the world changes its state (step {step})",
                     "observe, metrics and scene only read it")  # fmt: skip


def _alive(world: Any) -> dict[str, NDArray[np.bool_]]:
    """Who is in the world, of one that says so. Shapes: per group [n]."""
    batch = getattr(world, "batch", None)
    if not hasattr(batch or world, "alive"):
        return {}
    alive = world.alive() if batch is None else batch.alive(world.state)
    return {g: np.asarray(a if batch is None else a[0], dtype=bool) for g, a in alive.items()}


def _rewards(world: World, step: int) -> Iterator[Remark]:
    found = world.rewards()
    for group in world.groups:
        width = np.shape(found.get(group.name, np.zeros((0, 0))))[-1]
        yield from _numbers(found, group.name, (len(group.agents), width), f"rewards, step {step}")


def _numbers(
    columns: Mapping[str, Any], group: str, shape: tuple[int, ...], where: str
) -> Iterator[Remark]:
    """A fault if something is missing, of another shape or type, or not finite."""
    if group not in columns:
        yield Remark(FAULT, f"{where}: nothing for group {group!r}")
        return
    values = columns[group]
    if tuple(values.shape) != shape:
        expected, found = list(shape), list(values.shape)
        yield Remark(FAULT, f"{where}: group {group!r} has shape {found}, not {expected}")
    elif str(values.dtype).removeprefix("torch.") != "float64":
        yield Remark(FAULT, f"{where}: group {group!r} is {values.dtype}, not float64")
    elif not np.isfinite(np.asarray(values)).all():
        yield Remark(FAULT, f"{where}: group {group!r} has numbers that are not finite")


def _bounds(space: Space, seen: Array, group: str, step: int) -> Iterator[Remark]:
    room = ROWS_TOLERANCE * np.maximum(np.abs(seen), 1.0)
    for name, where in space.slices.items():
        part, low, high = seen[:, where], space.low[where], space.high[where]
        is_out = (part < low - room[:, where]) | (part > high + room[:, where])
        if is_out.any():
            text = f"{group}.{name} is {part[is_out][0]:.6g} at step {step}"
            yield Remark(FAULT, f"{text}, outside its bounds {low[0]:g} to {high[0]:g}",
                         "a bound that is not kept misleads learners")  # fmt: skip


def _events(world: World, seed: int) -> Iterator[Remark]:
    """Each physical event can be applied and lifted; an unknown one is refused."""
    world.reset(seed, 0)
    rng = generator(seed, "check", "events")
    for event in world.events:
        for is_on in (True, False):
            world.inject(event.name, event.targets[0], is_on)
            world.advance(*_drawn(world, rng))
            for group in world.groups:
                shape = (len(group.agents), group.observation.size)
                where = f"after {event.name} {'on' if is_on else 'off'}"
                yield from _numbers(world.observe(), group.name, shape, where)
    try:
        world.inject(_ABSENT_EVENT, "x", True)
    except ScenarioError:
        return
    yield Remark(FAULT, "inject takes an event that does not exist",
                 "raise UnknownKeyError, as sim.worlds.world.target_of does")  # fmt: skip


# --- a batch ------------------------------------------------------------------------------------


def _batch(batch: Any, seed: int, steps: int, device: str) -> Iterator[Remark]:
    """Rows against copies alone; on a GPU, each step against the same step on the processor."""
    starts = [(seed, 0), (seed, 1), (seed + 1, 0)]
    state = batch.reset(starts)
    alone = [batch.reset([start]) for start in starts]
    rng = generator(seed, "check", "batch")
    is_here = device == "cpu"
    if is_here and (far := _far(state, alone, ROWS_TOLERANCE)):
        yield Remark(FAULT, f"a batch of 3 begins otherwise than its copies alone: {far}",
                     "each row must depend on its own (seed, episode) alone")  # fmt: skip
        return
    for step in range(steps):
        if bool(batch.terminated(state).any()):
            return
        drawn = [_drawn(batch, rng) for _ in starts]
        actions, present = (
            {g.name: torch.from_numpy(np.stack([d[i][g.name] for d in drawn]))
             for g in batch.groups}
            for i in (0, 1)
        )  # fmt: skip
        kept = {name: _kept(value) for name, value in state.items()}
        after, rewards = batch.advance(state, actions, present)
        if changed := [n for n, v in kept.items() if not _same(v, state[n])]:
            yield Remark(FAULT, f"advance changes its state in place: {', '.join(changed)}",
                         "make new tensors; other copies and replays hold the old one")  # fmt: skip
            return
        if is_here:
            yield from (found := list(_row_by_row(batch, alone, drawn, after, rewards, step)))
        else:
            yield from (found := list(
                _on_device(batch, (state, after), (actions, present), rewards, device, step)
            ))  # fmt: skip
        if found:
            return
        state = after


def _row_by_row(
    batch: Any, alone: list[Any], drawn: Sequence[Acts], after: Any, rewards: Any, step: int
) -> Iterator[Remark]:
    """Takes the copies that are alone a step further, and compares; `alone` is brought along."""
    paid = []
    for row, (actions, present) in enumerate(drawn):
        alone[row], own = batch.advance(
            alone[row],
            {name: torch.from_numpy(a)[None] for name, a in actions.items()},
            {name: torch.from_numpy(p)[None] for name, p in present.items()},
        )
        paid.append(own)
    if found := _far(after, alone, ROWS_TOLERANCE):
        yield Remark(FAULT, f"a batch of 3 parts from its copies alone at step {step}: {found}",
                     "sums over rows, or shapes that leave out the batch")  # fmt: skip
        return
    for row, own in enumerate(paid):
        ours = {name: value[row] for name, value in rewards.items()}
        theirs = {name: value[0] for name, value in own.items()}
        if far := _apart(ours, theirs, ROWS_TOLERANCE):
            yield Remark(FAULT, f"rewards of row {row} of a batch are not those of the copy alone "
                         f"at step {step}: {far}")  # fmt: skip
            return
    ended = batch.terminated(after)
    if ended.dtype != torch.bool or tuple(ended.shape) != (len(drawn),):
        yield Remark(FAULT, f"terminated gives {ended.dtype} {list(ended.shape)}, not bool [B]")
    for group in batch.groups:
        width = len(batch.reward_components)
        shape = (len(drawn), len(group.agents), width)
        yield from _numbers(rewards, group.name, shape, f"rewards of a batch, step {step}")
        seen = (len(drawn), len(group.agents), group.observation.size)
        yield from _numbers(batch.observe(after), group.name, seen, f"observe of a batch, {step}")


def _on_device(
    batch: Any, states: tuple[Any, Any], acts: tuple[Any, Any], rewards: Any, device: str, step: int
) -> Iterator[Remark]:
    """The same step from the same state there."""

    def there(values: Mapping[str, Any]) -> dict[str, Any]:
        return {n: v.to(device) if hasattr(v, "to") else v for n, v in values.items()}

    def here(values: Mapping[str, Any]) -> dict[str, Any]:
        return {n: v.cpu() if hasattr(v, "cpu") else v for n, v in values.items()}

    before, after = states
    found, earned = batch.advance(there(before), *(there(each) for each in acts))
    pairs = ((after, found), (rewards, earned), (batch.observe(after), batch.observe(found)))
    for ours, theirs in pairs:
        if far := _apart(ours, here(theirs), DEVICE_TOLERANCE):
            yield Remark(FAULT, f"on {device} step {step} is not that of the processor: {far}")
            return


def _kept(value: Any) -> Any:
    return value.clone() if hasattr(value, "clone") else value


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "shape"):
        return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))
    return bool(one == other)


def _far(state: Mapping[str, Any], alone: Sequence[Mapping[str, Any]], tolerance: float) -> str:
    """Which part of a batch's state is not that of its copies alone; "" if none is."""
    for row, one in enumerate(alone):
        rows = {
            n: v[row : row + 1]
            for n, v in state.items()
            if hasattr(v, "shape") and len(v.shape) and v.shape[0] == len(alone)
        }
        if far := _apart(rows, one, tolerance):
            return f"{far} (row {row})"
    return ""


def _apart(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float) -> str:
    """Name and distance of the first tensor that differs by more; "" if none does."""
    for name, value in ours.items():
        if not hasattr(value, "shape"):
            continue
        other = theirs[name]
        if value.shape != other.shape:
            return f"{name} has shape {list(other.shape)}, not {list(value.shape)}"
        one, two = value.double().nan_to_num(), other.double().nan_to_num()
        apart = ((one - two).abs() / one.abs().clamp(min=1.0)).amax() if one.numel() else one.sum()
        if float(apart) > tolerance:
            return f"{name} differs by {float(apart):.3g}"
    return ""
