"""Invariant: two runs that should be one run are one to the bit; or else, where they part."""

from __future__ import annotations

from broker.kernel import Kernel


def assert_same_run(a: Kernel, b: Kernel) -> None:
    """Raises: AssertionError that names the first fold of the digest that differs."""
    for number, (left, right) in enumerate(zip(a.digest.folds, b.digest.folds, strict=False)):
        if left != right:
            raise AssertionError(
                f"the runs part at fold {number}: {left[1][:12]} at {left[0]} ns, "
                f"{right[1][:12]} at {right[0]} ns"
            )
    if len(a.digest.folds) != len(b.digest.folds):
        raise AssertionError(f"{len(a.digest.folds)} folds and {len(b.digest.folds)}")
    if a.network.totals() != b.network.totals():
        raise AssertionError(f"books: {a.network.totals()} and {b.network.totals()}")
    if a.status != b.status:
        raise AssertionError(f"{a.status} ({a.error}) and {b.status} ({b.error})")
