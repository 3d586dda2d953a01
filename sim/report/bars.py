"""Pictures without time: how many took how long, and who used how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sim.report.colours import COLOURS, INK, SOFT
from sim.report.drawing import WIDTH, draw
from sim.report.page import Raw
from sim.report.words import span


def histograms(name: str, groups: Mapping[str, Any], columns: int = 3, height: float = 92) -> Raw:
    """Delays in seconds per group, on one logarithmic axis; median and 95 % are marked."""
    values = {label: np.asarray(v)[np.asarray(v) > 0] for label, v in groups.items()}
    values = {label: v for label, v in values.items() if len(v)}
    if not values:
        return Raw("")
    low = min(np.quantile(v, 0.0005) for v in values.values())
    high = max(v.max() for v in values.values())
    low, high = low / 1.06, max(high, low * 1.5) * 1.06
    most = max(len(v) for v in values.values())
    bins = np.geomspace(low, high, int(np.clip(2 * most**0.5, 16, 70)) + 1)
    rows = -(-len(values) // columns)

    def make() -> Figure:
        pitch, top, bottom = height + 58, 30, 36
        total = rows * pitch - 58 + top + bottom
        figure = Figure((WIDTH, total / 72))
        for at, (label, delays) in enumerate(values.items()):
            row, column = divmod(at, columns)
            width = (1 - 0.016 - 0.045 * (columns - 1)) / columns
            x = 0.008 + column * (width + 0.045)
            y = (total - top - row * pitch - height) / total
            axes = figure.add_axes((x, y, width, height / total))
            counts, _ = np.histogram(delays, bins)
            axes.stairs(counts, bins, fill=True, color=COLOURS[0], alpha=0.8, lw=0)
            axes.set_xscale("log")
            axes.set_xlim(low, high)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            p50, p95 = np.quantile(delays, [0.5, 0.95])
            for value, style in ((p50, "-"), (p95, (0, (3, 2)))):
                axes.axvline(value, color=INK, lw=1, ls=style)
            axes.set_title(label)
            axes.annotate(
                f"median {span(p50)}, 95 % {span(p95)}", (1, 1), xycoords="axes fraction",
                xytext=(0, 7), textcoords="offset points", ha="right", va="bottom", color=SOFT,
                fontsize=10,
            )  # fmt: skip
            _log_ticks(axes, low, high)
        return figure

    return draw(name, "delays of delivered messages", make)


def _log_ticks(axes: Any, low: float, high: float) -> None:
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    factors: tuple[float, ...] = (
        (1, 2, 5) if high / low < 300 else (1, 3) if high / low < 3000 else (1,)
    )
    if high / low < 4:
        factors = (1, 1.5, 2, 3, 4, 5, 6, 8)
    ticks = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
    axes.set_xticks(ticks, [span(t) for t in ticks])
    axes.minorticks_off()


def bars(
    name: str, groups: Sequence[tuple[str, Sequence[tuple[str, float]], Callable[[float], str]]]
) -> Raw:
    """Bars with their values, one block per (title, (name, value)s, words), side by side."""
    most = max(len(entries) for _, entries, _ in groups)

    def make() -> Figure:
        total = most * 19 + 40
        figure = Figure((WIDTH, total / 72))
        share = 1 / len(groups)
        for at, (title, entries, words) in enumerate(groups):
            letters = max((len(label) for label, _ in entries), default=1)
            left = at * share + min(0.012 + 0.0078 * letters, 0.2)
            height = len(entries) * 19 / total
            axes = figure.add_axes(
                (left, 1 - 32 / total - height, (at + 1) * share - left - 0.085, height)
            )
            values = [value for _, value in entries]
            axes.barh(range(len(entries)), values, height=0.62, color=COLOURS[0], alpha=0.82, lw=0)
            for i, value in enumerate(values):
                axes.annotate(
                    words(value), (value, i), xytext=(5, 0), textcoords="offset points",
                    va="center", color=SOFT, fontsize=10, annotation_clip=False,
                )  # fmt: skip
            axes.set_yticks(range(len(entries)), [label for label, _ in entries])
            axes.set_ylim(len(entries) - 0.5, -0.5)
            axes.set_xlim(0, max([*values, 1e-12]))
            axes.set_xticks([])
            axes.grid(visible=False)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="y", labelcolor=INK)
            axes.set_title(title)
        return figure

    return draw(name, "; ".join(title for title, _, _ in groups), make)
