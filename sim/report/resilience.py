"""The resilience curve: an outcome against what makes it hard, with bands, ready for a paper.

Fonts are embedded as outlines that stay text (TrueType, not Type 3), as journals ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sim.errors import ScenarioError, SimError
from sim.report.colours import COLOURS

FORMATS: Final = (".pdf", ".svg", ".png", ".eps")
_HEIGHT_SHARE: Final = 0.75
_DPI: Final = 200
_MARKERS: Final = "osD^vP"
_STYLE: Final[Any] = {
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "font.family": "DejaVu Sans",
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "legend.fontsize": 7, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "lines.linewidth": 1.2,
    "lines.markersize": 3.2, "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e6e9ef",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
    "svg.hashsalt": "resilience",
}  # fmt: skip


class Line(Protocol):
    """One line: its points, and half of the interval around each."""

    @property
    def label(self) -> str: ...
    @property
    def x(self) -> list[float]: ...
    @property
    def mean(self) -> list[float]: ...
    @property
    def half(self) -> list[float]: ...


@dataclass(frozen=True)
class Panel:
    """One metric. ylabel: with its unit."""

    title: str
    ylabel: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Axis:
    """What stands below. ticks: names at 0, 1, 2, ... where the values are no numbers.
    is_share: shown in percent.
    """

    label: str
    ticks: Sequence[str] = ()
    is_share: bool = False


def check_format(path: Path) -> None:
    """Raises: ScenarioError for a file that cannot be drawn into."""
    if path.suffix.lower() not in FORMATS:
        raise ScenarioError(f"--figure {path}: expected a name that ends in {', '.join(FORMATS)}")


def draw_curves(path: Path, panels: Sequence[Panel], axis: Axis, width_in: float) -> Path:
    """Draws the panels side by side, each `width_in` inches wide, into a file of `FORMATS`.

    Raises: ScenarioError for another format; SimError if it cannot be written.
    """
    check_format(path)
    with mpl.rc_context(_STYLE):
        size = (width_in * len(panels), width_in * _HEIGHT_SHARE)
        figure = Figure(figsize=size, layout="constrained")
        every: Any = figure.subplots(1, len(panels), squeeze=False)
        for axes, panel in zip(every[0], panels, strict=True):
            _draw(axes, panel, axis, has_title=len(panels) > 1)
        if len(panels[0].lines) > 1:
            every[0][0].legend(handlelength=1.6, borderaxespad=0.2)
        nothing = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=_DPI, metadata=nothing.get(path.suffix.lower(), {}))
        except OSError as error:
            raise SimError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def _draw(axes: Any, panel: Panel, axis: Axis, has_title: bool) -> None:
    scale = 100.0 if axis.is_share else 1.0
    for i, line in enumerate(panel.lines):
        colour = COLOURS[i % len(COLOURS)]
        x = [scale * value for value in line.x]
        low = [m - h for m, h in zip(line.mean, line.half, strict=True)]
        high = [m + h for m, h in zip(line.mean, line.half, strict=True)]
        marker = _MARKERS[i % len(_MARKERS)]
        if axis.ticks:
            axes.errorbar(x, line.mean, line.half, fmt=marker, color=colour, label=line.label,
                          capsize=2, lw=0.9)  # fmt: skip
            continue
        if any(line.half):
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(x, line.mean, marker=marker, color=colour, label=line.label)
    if axis.ticks:
        axes.set_xticks(range(len(axis.ticks)), axis.ticks)
        axes.margins(x=0.15)
    axes.set_xlabel(axis.label)
    axes.set_ylabel(panel.ylabel)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if has_title:
        axes.set_title(panel.title, loc="left")
