"""Episodes of one scenario, all in one batch: what `sim.learn.play` says of each, far sooner.

Row i of the batch is episode 0 of seed i. Nobody learns; policies, rules and mechanisms are called
once for all rows, and messages meet the fates they meet in a run. Works on plain data, so that a
worker process can do it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from sim.errors import AgentError
from sim.launch.jobs import tell
from sim.learn.arrays import arrays_on
from sim.learn.batched import why_not
from sim.learn.cast import cast_rollout
from sim.learn.links import link_mode
from sim.learn.play import play, prepared_of, scenario_of
from sim.learn.stage import Stage
from sim.prepare import Prepared
from sim.process import one_thread
from sim.scenario.faults import resolve_faults
from sim.scenario.layouts import DRAWN
from sim.scenario.schema import Scenario

_TOLD: Final = 50
"""How often a batch says how far it is."""
OnShare = Callable[[float], None]


def obstacle(scenario: Scenario, column: str) -> str:
    """Why the episodes of a column cannot be played in a batch, in words; "" if they can."""
    prepared = prepared_of(scenario, column)
    found = why_not(prepared, cast_rollout(prepared, []), link_mode("scenario"))
    if not found and scenario.duration_ns % prepared.world.dt_ns:
        return "the duration is no multiple of the world's step"
    return found


def play_all(job: Mapping[str, Any]) -> dict[str, Any]:
    """Episodes in batches. job: as of `sim.learn.play.play`, but with `seeds` instead of `seed`,
    and never in processes. Result: `episodes`, a result of `play` for each seed.

    Where a policy fails, the episodes are played by kernels, whose supervision knows what then.
    Raises: SimError if an episode does not come to its end.
    """
    seeds, column, parent = list(job["seeds"]), str(job["column"]), os.getppid()
    scenario = scenario_of(job)
    results: dict[int, dict[str, Any]] = {}
    with one_thread():
        for share in _alike(scenario, column, seeds):
            first = msgspec.structs.replace(scenario, seed=share[0])
            before = len(results)

            def told(done: float, before: int = before, size: int = len(share)) -> None:
                if os.getppid() != parent:
                    raise SystemExit
                tell((before + done * size) / len(seeds))

            try:
                found = play_batch(prepared_of(first, column), share, told)
            except AgentError:
                found = [play({**job, "seed": seed}) for seed in share]
            results |= dict(zip(share, found, strict=True))
    return {"episodes": [results[seed] for seed in seeds]}


def _alike(scenario: Scenario, column: str, seeds: Sequence[int]) -> list[list[int]]:
    """Seeds with the same network and the same schedule of faults, which may be drawn: a batch has
    one of each.
    """
    setting = prepared_of(scenario, column).setting
    found: dict[bytes, list[int]] = {}
    for seed in seeds:
        if scenario.network.topology in DRAWN:
            found[str(seed).encode()] = [seed]
            continue
        faults = resolve_faults(scenario, setting, seed)
        found.setdefault(msgspec.json.encode(faults), []).append(seed)
    return list(found.values())


def play_batch(
    prepared: Prepared, seeds: Sequence[int], on_share: OnShare = lambda share: None
) -> list[dict[str, Any]]:
    """Episode 0 of each seed, of a scenario that has no `obstacle`. Results: as of `play`.

    on_share: told, now and then, which share of the horizon is over.
    Raises: AgentError if a policy fails.
    """
    copies, arrays = len(seeds), arrays_on("cpu", None)
    stage = Stage(
        prepared, cast_rollout(prepared, []), link_mode("scenario"), copies, arrays,
        keeps_books=True,
    )  # fmt: skip
    stage.begin(np.ones(copies, dtype=bool), [(seed, 0) for seed in seeds])
    results: list[dict[str, Any] | None] = [None] * copies
    returns: dict[str, Any] = {}
    is_live = np.ones(copies, dtype=bool)
    for step in range(1, stage.horizon + 1):
        stage.act()
        for name, values in stage.advance().items():
            returns[name] = returns.get(name, 0.0) + values.sum(-1)
        ended = stage.world.terminated(stage.state).numpy()
        over = is_live & (ended | (step == stage.horizon))
        for copy in np.flatnonzero(over).tolist():
            results[copy] = _result(stage, copy, step, returns)
        is_live &= ~over
        if not is_live.any():
            break
        if step * _TOLD // stage.horizon != (step - 1) * _TOLD // stage.horizon:
            on_share(step / stage.horizon)
    return [result for result in results if result is not None]


def _result(stage: Stage, copy: int, steps: int, returns: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a copy whose episode ends now. Shapes: returns [B, n] per group."""
    assert stage.books is not None
    one = {name: values[copy : copy + 1] for name, values in stage.state.items()}
    return {
        "metrics": {name: float(m.value) for name, m in stage.world.metrics(one).items()},
        "returns": {
            agent: float(returns[name][copy, i])
            for name, group in stage.groups.items()
            if name in returns
            for i, agent in enumerate(group.agents)
        },
        "groups": {agent: group.name for group in stage.world.groups for agent in group.agents},
        **stage.books.totals(copy, steps),
    }
