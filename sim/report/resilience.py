"""The resilience curve: an outcome against what makes it hard, with bands, ready for a paper.

Fonts are embedded as outlines that stay text (TrueType, not Type 3), as journals ask for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sim.errors import ScenarioError, SimError
from sim.outcome import NO_CONTROL
from sim.report.colours import COLOURS, REFERENCES

FORMATS: Final = (".pdf", ".svg", ".png", ".eps")
_HEIGHT_SHARE: Final = 0.75
_DPI: Final = 200
_MARKERS: Final = "osD^vP"
_NOBODY: Final = REFERENCES[NO_CONTROL]
"""Nobody's line is dashed and grey: the others are read against it."""
_LETTER_IN: Final = 0.062
_HANDLE_LETTERS: Final = 7
"""How wide a legend's letters are at their size, and what stands before them."""
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
    """One metric. label: with its unit."""

    label: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Axis:
    """What stands below. ticks: names at 0, 1, 2, ... where the values are no numbers.
    is_share: shown in percent.
    """

    label: str
    ticks: Sequence[str] = ()
    is_share: bool = False


def check_figure(path: Path) -> None:
    """Makes the file's folder. Raises: ScenarioError for a file that cannot be drawn into."""
    if path.suffix.lower() not in FORMATS:
        raise ScenarioError(f"--figure {path}: expected a name that ends in {', '.join(FORMATS)}")
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(
            f"--figure {path}: cannot make the folder {folder}: {error.strerror}"
        ) from None
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise ScenarioError(f"--figure {path}: cannot write there")


def draw_curves(path: Path, panels: Sequence[Panel], axis: Axis, width_in: float) -> Path:
    """Draws the panels side by side, each `width_in` inches wide, into a file of `FORMATS`.

    Raises: ScenarioError for another format; SimError if it cannot be written.
    """
    check_figure(path)
    with mpl.rc_context(_STYLE):
        size = (width_in * len(panels), width_in * _HEIGHT_SHARE)
        figure = Figure(figsize=size, layout="constrained")
        every: Any = figure.subplots(1, len(panels), squeeze=False)
        for axes, panel in zip(every[0], panels, strict=True):
            _draw(axes, panel, axis, has_title=len(panels) > 1)
        if len(panels[0].lines) > 1:
            _name_lines(figure, every[0][0], size[0])
        nothing = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        try:
            figure.savefig(path, dpi=_DPI, metadata=nothing.get(path.suffix.lower(), {}))
        except OSError as error:
            raise SimError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def _name_lines(figure: Figure, axes: Any, width_in: float) -> None:
    """One legend above all panels, which have the same lines, in as many columns as there is room
    for: inside a panel it would lie on a line.
    """
    lines, labels = axes.get_legend_handles_labels()
    room = int(width_in / (_LETTER_IN * (max(map(len, labels)) + _HANDLE_LETTERS)))
    figure.legend(lines, labels, loc="outside upper center", ncols=max(min(room, len(labels)), 1),
                  handlelength=2.0, borderaxespad=0.1, columnspacing=1.6)  # fmt: skip


def _draw(axes: Any, panel: Panel, axis: Axis, has_title: bool) -> None:
    scale = 100.0 if axis.is_share else 1.0
    played = [line.label for line in panel.lines if line.label != NO_CONTROL]
    for line in panel.lines:
        is_nobody = line.label == NO_CONTROL
        i = 0 if is_nobody else played.index(line.label)
        colour = _NOBODY if is_nobody else COLOURS[i % len(COLOURS)]
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
        how = {"ls": (0, (4, 2)), "zorder": 1.5} if is_nobody else {"marker": marker}
        axes.plot(x, line.mean, color=colour, label=line.label, **how)
    if axis.ticks:
        axes.set_xticks(range(len(axis.ticks)), axis.ticks)
        axes.margins(x=0.15)
    axes.set_xlabel(axis.label)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if has_title:
        # Upright beside the axis it would say the same again, and take width from every panel.
        axes.set_title(panel.label, loc="left")
    else:
        axes.set_ylabel(panel.label)
