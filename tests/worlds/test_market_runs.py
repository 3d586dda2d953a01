"""The market in runs: the same whatever the packing, and what one gains others lose."""

from __future__ import annotations

from typing import Any

import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play

from broker.kernel import Kernel

FORMS = {
    "book": "venues: 2, trend: 1, reverters: 1, arbitrageurs: 1, institutions: 1",
    "dealer": "volatility: 50, round: 2s",
    "call": "volatility: 50, round: 2s",
}


def played(form: str, agents_per_host: int, seed: int = 0) -> Kernel:
    text = f"""
seed: {seed}
duration: 10s
world: {{kind: market, form: {form}, makers: 2, informed: 1, noise: 3, {FORMS[form]}}}
network: {{default: {{latency: 2ms, jitter: {{exponential: 2ms}}, loss: 2%}}}}
faults: [{{at: 6s, kill: maker-2, for: 2s}}]
"""
    return completed(play(kernel_of(text, agents_per_host), on_window=check_books))


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_played_by_the_same_participants(form: str) -> None:
    kernel = played(form, 1)
    assert kernel.digest.chain == played(form, 100).digest.chain
    assert kernel.digest.chain != played(form, 100, seed=1).digest.chain
    assert not kernel.agents.failures
    world: Any = kernel.world
    assert world.measures.lots > 0
    metrics = world.metrics()
    profits = [m.value for name, m in metrics.items() if name.endswith("profit")]
    assert len(profits) == len(world.holdings) + 1
    assert sum(profits) == pytest.approx(0, abs=1e-6)
    spread, impact, kept = (
        metrics[f"{name}"].value for name in ("effective spread", "impact", "realised spread")
    )
    assert spread == pytest.approx(impact + kept)
