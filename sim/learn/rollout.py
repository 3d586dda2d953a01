"""Which rollout a scenario gets: a batch where all are policies and mechanisms, else kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agents.behaviour import load_behaviour
from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.batched import why_not
from sim.learn.cast import cast_rollout
from sim.learn.links import LinkMode, link_mode
from sim.learn.record import Rollout
from sim.prepare import Prepared

MAKERS: Final = {
    "batched": "sim.learn.batched:BatchedRollout",
    "kernel": "sim.learn.kernels:KernelRollout",
}
KINDS: Final = tuple(MAKERS)


def make_rollout(
    prepared: Prepared,
    learning: Sequence[str],
    copies: int,
    force: str | None = None,
    *,
    links: str | Mapping[str, Any] | LinkMode = "scenario",
    device: str = "cpu",
    seed: int | None = None,
    role_params: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
) -> Rollout:
    """A rollout of `copies` copies; its `reason` says why it is of its kind.

    force:   "batched" or "kernel" instead of what fits.
    workers: if more than one, the copies are split among so many processes.
    Raises:  UnknownKeyError for another kind; ScenarioError if a batch is forced that cannot be.
    """
    if force is not None and force not in KINDS:
        raise UnknownKeyError(f"rollout: there is no kind {force!r}; {did_you_mean(force, KINDS)}")
    mode = link_mode(links)
    obstacle = why_not(prepared, cast_rollout(prepared, learning, role_params), mode)
    if force == "batched" and obstacle:
        raise ScenarioError(f"a batched rollout is impossible: {obstacle}")
    kind = force or ("kernel" if obstacle else "batched")
    reason = "asked for" if force else obstacle or "everybody is a policy or a mechanism"
    options: dict[str, Any] = {
        "links": links, "device": device, "role_params": role_params,
        "seed": prepared.scenario.seed if seed is None else seed,
    }  # fmt: skip
    if workers != 1:
        from sim.learn.workers import WorkerRollout

        make = MAKERS[kind]
        return WorkerRollout(
            prepared, learning, copies, workers=workers, make=make, reason=reason, **options
        )
    rollout: Rollout = load_behaviour(MAKERS[kind], "")(prepared, learning, copies, **options)
    rollout.reason = reason
    return rollout
