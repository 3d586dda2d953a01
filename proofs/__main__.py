"""Finds all results that are not there yet, or are of other code, and writes the table.

    python -m proofs [NAME ...] [--again] [--list] [--table]

A name stands for all results that begin with it. Each seed is kept once it is found, so that a
stopped proof goes on where it was. --again finds anew what is there. --table only writes the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import torch

from proofs import keep
from proofs.proof import Proof
from sim.errors import SimError, UnknownKeyError
from sim.ids import did_you_mean

MODULES: Final = (
    "matrix_games", "horizon", "signalling", "rendezvous", "cartpole", "zoo", "online", "spread",
)  # fmt: skip


def all_proofs() -> list[Proof]:
    """In the order in which they are run: the quick ones first."""
    return [p for module in MODULES for p in import_module(f"proofs.{module}").PROOFS]


def chosen(names: Sequence[str], proofs: Sequence[Proof]) -> list[Proof]:
    """Those that begin with any of the names; all without one. Raises: UnknownKeyError."""
    for name in names:
        if not any(proof.name.startswith(name) for proof in proofs):
            known = [proof.name for proof in proofs]
            raise UnknownKeyError(f"no proof {name!r}; {did_you_mean(name, known)}")
    return [p for p in proofs if not names or p.name.startswith(tuple(names))]


def prove(proof: Proof, again: bool = False) -> None:
    """Finds what is missing of a result, seed by seed."""
    key, path = keep.key_of(proof), keep.path_of(proof)
    part = path.with_name(f".{proof.name}.part.json")
    if not again and keep.read(path).get("key") == key:
        print(f"{proof.name}: there already", flush=True)
        return
    kept = keep.read(part)
    seeds: list[dict[str, Any]] = kept["seeds"] if kept.get("key") == key else []
    if again:
        seeds = []
    for seed in proof.seeds[len(seeds) :]:
        wall, used = time.monotonic(), time.process_time()
        found = proof.play(seed)
        seeds.append(
            {
                "seed": seed, "value": found.value, "frames": found.frames,
                "seconds": time.monotonic() - wall,
                "processor_seconds": time.process_time() - used, "details": dict(found.details),
            }
        )  # fmt: skip
        keep.write(part, {"key": key, "seeds": seeds})
        print(f"{proof.name}: seed {seed}: {found.value:.5g} {proof.unit} "
              f"({seeds[-1]['seconds']:.0f} s)", flush=True)  # fmt: skip
    document = keep.result(proof, key, seeds)
    keep.write(path, document)
    part.unlink()
    said = {True: "met", False: "NOT met", None: "no aim"}[document["is_met"]]
    print(f"{proof.name}: {document['figure']:.5g} {proof.unit}: {said}", flush=True)


def main() -> int:
    """The exit code is 1 if an aim is not met."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--again", action="store_true", help="find anew what is there")
    parser.add_argument("--list", action="store_true", help="name the proofs, and do nothing")
    parser.add_argument("--table", action="store_true", help="write the table, and do nothing else")
    options = parser.parse_args()
    proofs = all_proofs()
    try:
        wanted = chosen(options.names, proofs)
    except UnknownKeyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.list:
        for proof in wanted:
            print(f"{proof.name:22} about {proof.minutes:g} min  {proof.what}")
        return 0
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    failed = []
    for proof in () if options.table else wanted:
        try:
            prove(proof, options.again)
        except SimError as error:
            failed.append(proof.name)
            print(f"{proof.name}: {error}", file=sys.stderr)
    keep.write_table(proofs)
    print(keep.table(wanted))
    met = [keep.read(keep.path_of(proof)).get("is_met") for proof in wanted]
    return 1 if failed or False in met else 0


if __name__ == "__main__":
    sys.exit(main())
