"""The smart grid run from one place, against offers and awards on the same days.

One day for each seed. The controller is a linear programme whose set-points travel over the links
on which the market's offers and awards do (`scenarios/central_grid.yaml`). Nobody is trained.
"""

from __future__ import annotations

from typing import Final

from proofs.proof import Found, Proof
from proofs.smart_grid import SOURCES as GRID
from proofs.training import episodes
from sim.learn.evaluate import seeds_of
from sim.learn.play import OWN, REFERENCE
from sim.prepare import load

SEEDS: Final = (0, 1, 2, 3)
DAYS: Final = "2016-09-01..2016-10-31"
SOURCES: Final = ("scenarios/central_grid.yaml", "proofs/smart_grid.py", *GRID)
FAULTLESS: Final = "faults=[]"
LOSSY: Final = "network.default.loss=30%"
KILLED: Final = "faults=[{at: 12h, kill: market}]"


def costs(seed: int, **cases: tuple[str, ...]) -> dict[str, float]:
    """EUR of one held-out day per case. cases: scenario and overrides; without any, the bound."""
    scenarios = {
        name: (
            load(given[0], seed=seed, overrides=(f"learn.held_out={DAYS}", *given[1:])),
            REFERENCE if name == "bound" else OWN,
        )
        for name, given in cases.items()
    }
    found = episodes(scenarios, seeds_of(seed, 1))
    return {name: float(result["metrics"]["cost"]) for name, (result,) in found.items()}


def score(seed: int) -> Found:
    """(rule - controller) / (rule - bound), in cost."""
    cost = costs(
        seed, central=("central_grid", FAULTLESS), rule=("smart_grid", FAULTLESS),
        bound=("smart_grid", FAULTLESS),
    )  # fmt: skip
    gain = cost["rule"] - cost["central"]
    return Found(gain / (cost["rule"] - cost["bound"]), 0, cost)


def lossy(seed: int) -> Found:
    """EUR that the controller saves at 30 % loss, against offers and awards."""
    cost = costs(
        seed, central=("central_grid", FAULTLESS, LOSSY), rule=("smart_grid", FAULTLESS, LOSSY)
    )
    return Found(cost["rule"] - cost["central"], 0, cost)


def killed(seed: int) -> Found:
    """EUR that the controller's death at noon costs; details: that of the market place, too."""
    cost = costs(
        seed, central=("central_grid", FAULTLESS), central_killed=("central_grid", KILLED),
        rule=("smart_grid", FAULTLESS), rule_killed=("smart_grid", KILLED),
    )  # fmt: skip
    return Found(cost["central_killed"] - cost["central"], 0, cost)


PROOFS: Final = (
    Proof(
        "central-score", "smart grid, one controller in the market's place: score of a day", "",
        score, SEEDS, sources=SOURCES, minutes=3.0,
    ),
    Proof(
        "central-lossy", "the same at 30 % loss: saved against offers and awards", "EUR a day",
        lossy, SEEDS, sources=SOURCES, minutes=3.0,
    ),
    Proof(
        "central-killed", "the same: what the controller's death at noon costs", "EUR a day",
        killed, SEEDS, sources=SOURCES, minutes=5.0,
    ),
)  # fmt: skip
