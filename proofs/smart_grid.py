"""The smart grid: what trained batteries and generators gain, and what lossy links in training are
worth.

Two trainings per seed, each of 8,000 days: on ideal links, and on those of the scenario, which
lose 0 to 50 %. Both are judged on days that neither has seen, against the rule on the same days
with the same noise. What a figure is, here, is the lower end of a 95 % interval over days: above 0,
the difference is there. Hyperparameters are those of the scenario.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from proofs import keep
from proofs.proof import Found, Proof
from proofs.training import Task, episodes, kept, played_by
from sim.learn.evaluate import evaluate, seeds_of
from sim.learn.play import OWN
from sim.learn.statistics import bootstrap, mean
from sim.outcome import RULE
from sim.prepare import load
from sim.scenario.schema import Scenario

SEEDS: Final = (10, 11)
LINKS: Final = ("ideal", "lossy")
PLAYERS: Final = {"battery": "battery-*", "generator": "generator-*"}
DAYS: Final = 32
LOSSES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
MANY: Final = 0.3
"""Of the losses, those from which training on lossy links is to pay."""
SOURCES: Final = (
    "scenarios/smart_grid.yaml", "sim/learn/statistics.py", "sim/worlds/smart_grid*.py",
    "sim/worlds/powerflow.py", "sim/worlds/grid_data.py",
    "sim/worlds/data/1-LV-rural3--2-no_sw.npz",
    "sim/mechanisms/double_auction.py", "agents/behaviours/smart_grid*.py",
)  # fmt: skip


def task(links: str, frames: int | None = None) -> Task:
    """The scenario's own training; links: one of `LINKS`. frames: fewer, for a trial."""
    spec = load("smart_grid").learn
    assert spec is not None
    frames = frames or spec.frames
    options = {**spec.options["mappo"], "anneal_frames": frames}
    learn = {"links": "ideal"} if links == "ideal" else {}
    return Task("smart_grid", "mappo", frames, options, learn)


def run_of(links: str, seed: int, frames: int | None = None) -> Path:
    """The training run, which all figures of a seed have in common."""
    return kept(f"smart-grid-{links}", task(links, frames), seed, SOURCES)


def score(links: str, seed: int, frames: int | None = None, days: int = DAYS) -> Found:
    """`sim evaluate` of what was trained: the score's lower end, 0 the rule and 1 the bound."""
    run = run_of(links, seed, frames)
    prepared = played_by(task(links), run, PLAYERS, seed)
    found, _ = evaluate(prepared, episodes=days)
    assert found.score is not None
    details = {
        "score": found.score.value, "low": found.score.low, "high": found.score.high,
        "cost": {column: each["cost"].value for column, each in found.metrics.items()},
        "gain": -found.gain["cost"].value, "days": days,
    }  # fmt: skip
    return Found(found.score.low, frames_of(run), details)


def frames_of(*runs: Path) -> int:
    """Decisions of copies that they were trained on."""
    return sum(keep.read(run / "summary.json")["frames"] for run in runs)


def resilience(seed: int, frames: int | None = None, days: int = 24) -> Found:
    """EUR a day that policies trained on lossy links gain over those trained on ideal ones at 30 to
    50 % loss, day by day: the lower end. details: costs per loss, and gains over the rule.
    """
    runs = {links: run_of(links, seed, frames) for links in LINKS}
    cases: dict[str, tuple[Scenario, str]] = {}
    for loss in LOSSES:
        for links, run in runs.items():
            trial = task(links).at(f"network.default.loss={loss}", "faults=[]")
            cases[f"{links} {loss:g}"] = (played_by(trial, run, PLAYERS, seed).scenario, OWN)
        cases[f"{RULE} {loss:g}"] = (cases[f"ideal {loss:g}"][0], RULE)
    found = episodes(cases, seeds_of(seed, days))
    cost = {
        who: np.array([[r["metrics"]["cost"] for r in found[f"{who} {loss:g}"]] for loss in LOSSES])
        for who in (RULE, *LINKS)
    }  # losses x days
    apart = cost["ideal"] - cost["lossy"]
    many = [loss >= MANY for loss in LOSSES]
    gain = bootstrap([apart[many].mean(axis=0).tolist()], mean, "resilience")
    details: dict[str, Any] = {
        "gain": gain.value, "low": gain.low, "high": gain.high, "losses": LOSSES, "days": days,
        "cost": {who: each.mean(axis=1).tolist() for who, each in cost.items()},
        "gain_by_loss": apart.mean(axis=1).tolist(),
        "standard_error_by_loss": (apart.std(axis=1, ddof=1) / days**0.5).tolist(),
    }  # fmt: skip
    return Found(gain.low, frames_of(*runs.values()), details)


def processes(seed: int, frames: int | None = None, days: int = 2) -> Found:
    """Every agent a process, against the batch, on the same days: the largest relative difference
    in cost.
    """
    run = run_of("lossy", seed, frames)
    case = {"cost": (played_by(task("lossy"), run, PLAYERS, seed).scenario, OWN)}
    batch, apart = (
        [result["metrics"]["cost"] for result in episodes(case, seeds_of(seed, days), way)["cost"]]
        for way in (False, True)
    )
    differences = [abs(a - b) / abs(b) for a, b in zip(apart, batch, strict=True)]
    return Found(max(differences), frames_of(run), {"batch": batch, "processes": apart})


def _score(links: str) -> Proof:
    how = "ideal links" if links == "ideal" else "links that lose 0 to 50 %"
    return Proof(
        f"smart-grid-{links}",
        f"smart grid, trained on {how}: score on unseen days, lower end of its 95 % interval", "",
        lambda seed: score(links, seed), SEEDS, aim=0.0, sources=SOURCES, minutes=45.0,
    )  # fmt: skip


PROOFS: Final = (
    *(_score(links) for links in LINKS),
    Proof(
        "smart-grid-resilience",
        "smart grid at 30 to 50 % loss: EUR a day that training on lossy links gains over training "
        "on ideal ones, lower end of its 95 % interval", "EUR",
        resilience, SEEDS, aim=0.0, sources=SOURCES, minutes=10.0,
    ),
    Proof(
        "smart-grid-processes",
        "smart grid, trained policies as processes: largest relative difference to the batch in "
        "a day's cost", "",
        processes, SEEDS[:1], aim=1e-5, better="lower", sources=SOURCES, minutes=4.0,
    ),
)  # fmt: skip
