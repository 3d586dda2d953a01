"""Every kind of call: what is done, in which way, with which operator.

Its number stands in each message, so that members who make different calls do not mix them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agents.arguments import one_of
from agents.collectives.gather import ALL_GATHER
from agents.collectives.operators import OPERATORS, operator
from agents.collectives.reduce import ALL_REDUCE, REDUCE

ALGORITHMS: Final[dict[str, tuple[str, ...]]] = {
    "broadcast": ("star", "tree", "flood"),
    "scatter": (),
    "reduce": tuple(REDUCE),
    "all_reduce": tuple(ALL_REDUCE),
    "all_gather": tuple(ALL_GATHER),
    "barrier": (),
    "gossip": (),
    "consensus": (),
    "elect": (),
    "run": (),
}
"""Of each operation."""


def _kinds() -> Iterator[str]:
    for operation, ways in ALGORITHMS.items():
        ops = OPERATORS if operation in ("reduce", "all_reduce") else ("",)
        for way in ways or ("",):
            yield from (" ".join(filter(None, (operation, way, op))) for op in ops)


KINDS: Final = tuple(_kinds())
"""By number; a byte holds it."""


def kind_of(operation: str, algorithm: str = "", op: str = "") -> int:
    """The number of a kind. Raises: AgentError naming the nearest algorithm or operator."""
    if ways := ALGORITHMS[operation]:
        one_of("algorithm", algorithm, ways)
    if operation in ("reduce", "all_reduce"):
        operator(op)
    return KINDS.index(" ".join(filter(None, (operation, algorithm, op))))
