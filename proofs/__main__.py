"""Finds all results that are not there yet, or are of other code, and writes the table.

    python -m proofs [NAME ...] [--again] [--jobs N] [--list] [--table]

A name stands for all results that begin with it. Each seed is kept once it is found, so that a
stopped proof goes on where it was. --again finds anew what is there. --table only writes the table.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

import torch

from proofs import keep
from proofs.proof import Proof
from proofs.work import all_proofs, find
from sim.errors import SimError, UnknownKeyError
from sim.ids import did_you_mean

INTERRUPTED: Final = 130


def chosen(names: Sequence[str], proofs: Sequence[Proof]) -> list[Proof]:
    """Those that begin with any of the names; all without one. Raises: UnknownKeyError."""
    for name in names:
        if not any(proof.name.startswith(name) for proof in proofs):
            known = [proof.name for proof in proofs]
            raise UnknownKeyError(f"no proof {name!r}; {did_you_mean(name, known)}")
    return [p for p in proofs if not names or p.name.startswith(tuple(names))]


def main() -> int:
    """The exit code is 1 if an aim is not met."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--again", action="store_true", help="find anew what is there")
    parser.add_argument("--jobs", type=int, metavar="N", help="seeds at a time; default: all cores")
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.set_num_threads(1)  # as the workers, whose number of threads the results tell
    failed: list[str] = []
    try:
        if not options.table:
            failed = find(wanted, max(options.jobs or os.cpu_count() or 1, 1), options.again)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except SimError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    keep.write_table(proofs)
    print(keep.table(wanted))
    met = [keep.read(keep.path_of(proof)).get("is_met") for proof in wanted]
    return 1 if failed or False in met else 0


if __name__ == "__main__":
    sys.exit(main())
