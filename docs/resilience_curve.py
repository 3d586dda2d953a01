"""Draws docs/resilience.png: the smart grid's outcome as its messages get lost.

For each loss the day is run with the same seeds (common random numbers), rule policies everywhere;
the band is the 95 % interval of the mean over seeds, after the seeds' own means are taken out.
Also writes docs/resilience.json, the numbers.

    python docs/resilience_curve.py [--seeds 10] [--duration 24h]
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

HERE = Path(__file__).parent
LOSSES = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)


def outcome(job: tuple[float, int, str]) -> dict[str, float]:
    """Metrics of one run in memory, without the scenario's own faults."""
    import sim

    loss, seed, duration = job
    result = sim.run(
        "smart_grid",
        seed=seed,
        duration=duration,
        overrides={"network.default.loss": loss, "faults": []},
        inline=True,
        compare=False,
        record=False,
    )
    if result.status != "completed":
        raise RuntimeError(f"loss {loss} seed {seed}: {result.status} {result.agent_failures}")
    return {name: metric.value for name, metric in result.metrics.items()}


def interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over seeds and half width of its 95 % interval, within seeds (Loftus and Masson 1994).

    Shapes: values [losses, seeds] -> [losses], [losses].
    """
    losses, seeds = values.shape
    within = values - values.mean(axis=0) + values.mean()
    spread = within.std(axis=1, ddof=1) * np.sqrt(losses / (losses - 1))
    return values.mean(axis=1), student.ppf(0.975, seeds - 1) * spread / np.sqrt(seeds)


def draw(shown: dict[str, Any]) -> None:
    """One panel per metric."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(shown), figsize=(3.4 * len(shown), 2.8), layout="constrained"
    )
    for axis, (name, values) in zip(axes, shown.items(), strict=True):
        mean, half = np.array(values["mean"]), np.array(values["half"])
        percent = 100 * np.array(LOSSES)
        axis.fill_between(percent, mean - half, mean + half, alpha=0.25, lw=0)
        axis.plot(percent, mean, marker="o", ms=3)
        axis.set(title=name.replace("_", " "), xlabel="messages lost, %", ylabel=values["unit"])
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "resilience.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--duration", default="24h")
    parser.add_argument("--metrics", nargs="+", default=["cost", "overload_minutes", "welfare"])
    options = parser.parse_args()
    jobs = [(x, seed, options.duration) for x in LOSSES for seed in range(options.seeds)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(outcome, jobs))
    shown = {}
    for name in options.metrics:
        values = np.array([row[name] for row in found]).reshape(len(LOSSES), options.seeds)
        mean, half = interval(values)
        shown[name] = {"unit": "", "mean": mean.tolist(), "half": half.tolist()}
    units = _units(options.duration)
    for name, values in shown.items():
        values["unit"] = units.get(name, "")
    (HERE / "resilience.json").write_text(
        json.dumps({"loss": LOSSES, "seeds": options.seeds, "metrics": shown}, indent=1)
    )
    draw(shown)


def _units(duration: str) -> dict[str, str]:
    from sim.runner import load, prepare

    metrics = prepare(load("smart_grid", duration=duration)).world.metrics()
    return {name: metric.unit for name, metric in metrics.items()}


if __name__ == "__main__":
    main()
