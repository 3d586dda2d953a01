"""Which rollout a scenario gets: a batch where all are policies and mechanisms, else kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.batched import BatchedRollout, why_not
from sim.learn.cast import cast_rollout
from sim.learn.links import LinkMode, link_mode
from sim.learn.record import Rollout
from sim.prepare import Prepared

KINDS: Final = ("batched", "kernel")


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
) -> Rollout:
    """A rollout of `copies` copies; its `reason` says why it is of its kind.

    force:  "batched" or "kernel" instead of what fits.
    Raises: UnknownKeyError for another kind; ScenarioError if a batch is forced that cannot be.
    """
    if force is not None and force not in KINDS:
        raise UnknownKeyError(f"rollout: there is no kind {force!r}; {did_you_mean(force, KINDS)}")
    mode = link_mode(links)
    obstacle = why_not(prepared, cast_rollout(prepared, learning, role_params), mode)
    if force == "batched" and obstacle:
        raise ScenarioError(f"a batched rollout is impossible: {obstacle}")
    kind = force or ("kernel" if obstacle else "batched")
    make: Any = BatchedRollout
    if kind == "kernel":
        from sim.learn.kernels import KernelRollout

        make = KernelRollout
    rollout: Rollout = make(
        prepared, tuple(learning), copies, links=links, device=device,
        seed=prepared.scenario.seed if seed is None else seed, role_params=role_params,
    )  # fmt: skip
    if force is not None:
        rollout.reason = "asked for"
    elif kind == "kernel":
        rollout.reason = obstacle
    return rollout
