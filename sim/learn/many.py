"""Many episodes: several scenarios and columns, each with its seeds, on a pool of workers.

Where everybody is a policy or a mechanism, the episodes of a column are played in batches, all
others by kernels in memory or in processes, one by one. Either way the same comes out. References
are found once for each world and seed, however many columns and settings ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from sim.launch.jobs import Pool
from sim.learn.play import REFERENCE, TARGET
from sim.scenario.load import dump
from sim.scenario.schema import Scenario

COPIES_MAX: Final = 128
"""Episodes in one batch: more of them are hardly cheaper each, and take memory."""
_COPIES_MIN: Final = 32
"""No worker gets a batch of fewer because of its division: half a batch costs nearly as much."""
OnDone = Callable[[float, int], None]
"""Told how many episodes are done, of how many; a part of one counts as that."""
OnResult = Callable[[int, int, dict[str, Any]], None]
"""Told number of the task, seed, and result, as of `sim.learn.play.play`."""


@dataclass(frozen=True)
class Task:
    """Episodes of one column of a scenario, a seed each.

    obstacle: why they cannot be played in a batch, in words; "" if they are.
    """

    scenario: Scenario
    column: str
    seeds: Sequence[int]
    obstacle: str


def task_of(scenario: Scenario, column: str, seeds: Sequence[int], processes: bool = False) -> Task:
    """The task; whether a batch can play it is looked up here.

    processes: every agent is to be a process.
    Raises: ScenarioError.
    """
    return Task(scenario, column, seeds, _obstacle(scenario, column, processes))


def _obstacle(scenario: Scenario, column: str, processes: bool) -> str:
    if processes:
        return "every agent is a process"
    if column == REFERENCE:
        return "nobody plays"
    try:
        from sim.learn.episodes import obstacle
    except ImportError:
        return "torch is not installed"
    return obstacle(scenario, column)


def how(tasks: Sequence[Task]) -> str:
    """How tasks are played, for people."""
    batched = [task for task in tasks if not task.obstacle]
    if not batched:
        return f"one by one: {tasks[0].obstacle}" if tasks else "nothing is left to do"
    size = max(min(len(task.seeds), COPIES_MAX) for task in batched)
    text = f"in memory, batched, {size} episode{'s' * (size > 1)} at once"
    others = [task.obstacle for task in tasks if task.obstacle]
    return text + (f"; {len(others)} of {len(tasks)} one by one: {others[0]}" if others else "")


class Stadium:
    """Plays tasks on `workers` workers. Use as a context manager."""

    def __init__(self, workers: int, processes: bool = False) -> None:
        self._pool, self._workers, self._processes = Pool(TARGET, workers), workers, processes
        self._references: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Stadium:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._pool.__exit__(kind, error, trace)

    def play(self, tasks: Sequence[Task], on_result: OnResult, on_done: OnDone) -> None:
        """Plays all of them.

        Raises: SimError of an episode that does not come to its end.
        """
        jobs, owners, waiting = self._jobs(tasks)
        sizes = [len(job.get("seeds", (0,))) for job in jobs]
        total = sum(len(task.seeds) for task in tasks)
        shares = [0.0] * len(jobs)
        known = total - sum(sizes)

        def news(index: int, share: Any) -> None:
            shares[index] = float(share)
            told = sum(size * done for size, done in zip(sizes, shares, strict=True))
            on_done(known + told, total)

        for task, seed, key in waiting:
            if key in self._references:
                on_result(task, seed, self._references[key])
        for index, found in self._pool.run(jobs, news):
            task, job = owners[index], jobs[index]
            if "seeds" in job:
                for seed, result in zip(job["seeds"], found["episodes"], strict=True):
                    on_result(task, seed, result)
            elif job["column"] == REFERENCE:
                key = _key(tasks[task].scenario, job["seed"], job["days"])
                self._references[key] = found
                for other, seed, wanted in waiting:
                    if wanted == key:
                        on_result(other, seed, found)
            else:
                on_result(task, job["seed"], found)
            news(index, 1.0)

    def _jobs(
        self, tasks: Sequence[Task]
    ) -> tuple[list[dict[str, Any]], list[int], list[tuple[int, int, str]]]:
        """Jobs, the task of each, and who waits for which reference: task, seed, key."""
        jobs: list[dict[str, Any]] = []
        owners: list[int] = []
        waiting: list[tuple[int, int, str]] = []
        asked = set(self._references)
        batched = sum(not task.obstacle for task in tasks)
        for number, task in enumerate(tasks):
            scenario = task.scenario
            days = scenario.learn.held_out if scenario.learn else None
            job = {
                "scenario": dump(scenario), "source": scenario.source, "days": days,
                "column": task.column, "processes": self._processes,
            }  # fmt: skip
            if not task.obstacle:
                parts = _parts(task.seeds, max(self._workers // batched, 1))
                jobs += [{**job, "seeds": part} for part in parts]
            elif task.column == REFERENCE:
                keys = [_key(scenario, seed, days) for seed in task.seeds]
                waiting += [(number, s, k) for s, k in zip(task.seeds, keys, strict=True)]
                for seed, key in zip(task.seeds, keys, strict=True):
                    if key not in asked:
                        asked.add(key)
                        jobs.append({**job, "seed": seed})
            else:
                jobs += [{**job, "seed": seed} for seed in task.seeds]
            owners += [number] * (len(jobs) - len(owners))
        return jobs, owners, waiting


def _parts(seeds: Sequence[int], workers: int) -> list[list[int]]:
    """Batches of about one size: as few as memory lets, but one for each worker if that pays."""
    least = -(-len(seeds) // COPIES_MAX)
    count = max(least, min(workers, len(seeds) // _COPIES_MIN), 1)
    return [list(seeds[i::count]) for i in range(count)]


def _key(scenario: Scenario, seed: int, days: Any) -> str:
    """What a reference depends on."""
    world = scenario.world
    return json.dumps(
        [world.kind, world.params, days, seed, scenario.duration_ns], sort_keys=True, default=repr
    )
