"""Finds what is missing of proofs, seed by seed, on several worker processes.

A seed is a job of one worker; what it came to is on the disk as soon as it ends.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from proofs import keep
from proofs.proof import Proof
from sim.errors import SimError
from sim.launch.jobs import Pool

MODULES: Final = (
    "matrix_games", "horizon", "signalling", "rendezvous", "cartpole", "zoo", "online", "spread",
    "smart_grid", "central_grid",
)  # fmt: skip
TARGET: Final = "proofs.work:answer"


def all_proofs() -> list[Proof]:
    """In the order in which they are run: the quick ones first."""
    return [p for module in MODULES for p in import_module(f"proofs.{module}").PROOFS]


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """One seed of one proof; `error` instead if it does not come to its end."""
    proof = next(p for p in all_proofs() if p.name == job["proof"])
    tempfile.tempdir = job["scratch"]
    wall, used = time.monotonic(), sum(os.times()[:4])
    try:
        found = proof.play(job["seed"])
    except SimError as error:
        return {"error": str(error)}
    return {
        "seed": job["seed"], "value": found.value, "frames": found.frames,
        "seconds": time.monotonic() - wall, "processor_seconds": sum(os.times()[:4]) - used,
        "details": dict(found.details),
    }  # fmt: skip


def find(proofs: Sequence[Proof], workers: int, again: bool = False) -> list[str]:
    """Finds what is missing. Returns: names of those that did not come to their end.

    Raises: SimError if a worker is lost.
    """
    parts = {proof.name: keep.Part(proof, again) for proof in proofs}
    for name, part in parts.items():
        if part.is_there:
            print(f"{name}: there already", flush=True)
    jobs: list[dict[str, Any]] = [
        {"proof": name, "seed": seed} for name, part in parts.items() for seed in part.missing
    ]
    clock = _Clock([parts[j["proof"]].proof for j in jobs], workers)
    failed: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="proofs-") as folder, Pool(TARGET, workers) as pool:
        for job in jobs:
            job["scratch"] = folder  # what a worker leaves that is ended goes with it
        for index, found in pool.run(jobs, clock.note):
            name, seed = jobs[index]["proof"], jobs[index]["seed"]
            clock.note(index, 1.0)
            part = parts[name]
            if "error" in found:
                failed[name] = None
                _say(f"{name}: seed {seed}: {found['error']}")
                continue
            part.add(found)
            _say(f"{name}: seed {seed}: {found['value']:.5g} {part.proof.unit} "
                 f"({found['seconds']:.0f} s); {clock.left()}")  # fmt: skip
            if not part.missing:
                _finish(part)
    return list(failed)


def _finish(part: keep.Part) -> None:
    document = part.finish()
    said = {True: "met", False: "NOT met", None: "no aim"}[document["is_met"]]
    _say(f"{part.proof.name}: {document['figure']:.5g} {part.proof.unit}: {said}")


def _say(text: str) -> None:
    """A line that stays, in place of the one that does not."""
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, flush=True)


class _Clock:
    """How much of all jobs is done, weighed by the minutes that each is said to take."""

    def __init__(self, proofs: Sequence[Proof], workers: int) -> None:
        self._minutes = [proof.minutes / len(proof.seeds) for proof in proofs]
        self._shares = [0.0] * len(proofs)
        self._workers, self._began = workers, time.monotonic()

    def note(self, job: int, share: float) -> None:
        """So much of a job is done."""
        self._shares[job] = share
        if sys.stderr.isatty():
            print(f"\r\x1b[K{self.left()}", end="", file=sys.stderr, flush=True)

    def left(self) -> str:
        """In words: how much is done, how long the rest takes."""
        total = sum(self._minutes)
        done = sum(m * share for m, share in zip(self._minutes, self._shares, strict=True))
        spent = (time.monotonic() - self._began) / 60
        # what the minutes promise counts as ten of them, until the run itself says more
        pace = (spent + 10 / self._workers) / (done + 10)
        return f"{done / total:.0%} done, about {(total - done) * pace:.0f} min left"
