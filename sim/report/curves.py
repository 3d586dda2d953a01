"""Pictures over virtual time: large, small and many, and who was in which state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.report.colours import COLOURS, FAINT, FAULT, INK, STATES
from sim.report.drawing import WIDTH, draw
from sim.report.page import Raw, figure
from sim.report.words import number

_POINTS_MAX: Final = 500
_PANELS: Final = 12
"""Small pictures in one figure, which a printed page keeps together."""


@dataclass(frozen=True)
class Mark:
    """A fault on a time axis. end: when it was lifted, or of the run. label: its number."""

    begin: float
    end: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A line over time. low, high: a band around it. level: drawn as a dashed level instead."""

    label: str
    x: Any
    y: Any
    colour: str = COLOURS[0]
    low: Any = None
    high: Any = None


@dataclass(frozen=True)
class Panel:
    """One of several small pictures. levels: (value, words, colour) of horizontal lines. end: of
    its time axis, if that is not the end of all.
    """

    title: str
    curves: Sequence[Curve]
    unit: str = ""
    levels: Sequence[tuple[float, str, str]] = field(default_factory=tuple)
    end: float = 0.0


# --- axes, marks and lines ----------------------------------------------------------------------


def is_still(values: Any) -> bool:
    """Whether a course is not worth a picture: constant, or never known. Shapes: values [n]."""
    known = values[np.isfinite(values)]
    return not len(known) or bool(np.ptp(known) <= 1e-9 * max(abs(known).max(), 1e-9))


def thinned(x: Any, y: Any) -> tuple[Any, Any]:
    """At most so many points that a screen shows them; the last is always there."""
    step = max(-(-len(x) // _POINTS_MAX), 1)
    keep = np.arange(0, len(x), step)
    if len(x) and keep[-1] != len(x) - 1:
        keep = np.append(keep, len(x) - 1)
    return np.asarray(x)[keep], np.asarray(y)[keep]


def time_unit(seconds: float) -> tuple[float, str, Sequence[float]]:
    """Seconds of the unit that a time axis counts, its name, and steps of its ticks."""
    if seconds > 3 * 86_400:
        return 86_400.0, "days", (1, 2, 5, 10)
    if seconds > 2 * 3600:
        return 3600.0, "hours", (1, 2, 3, 4, 6, 10)
    if seconds > 120:
        return 60.0, "minutes", (1, 2, 3, 5, 10)
    return (1.0, "seconds", (1, 2, 5, 10)) if seconds > 0.2 else (1e-3, "ms", (1, 2, 5, 10))


def _axis(axes: Any, end: float, counts: str, has_label: bool = True) -> None:
    """The axis below: of virtual time, or of what is counted."""
    if not counts:
        _time_axis(axes, end, has_label)
        return
    axes.set_xlim(0, max(end, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _many(v)))
    if has_label:
        axes.set_xlabel(counts, loc="right")


def _many(value: float) -> str:
    """A count: 200, 20k, 1.5M."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def _time_axis(axes: Any, end: float, has_label: bool = True) -> None:
    scale, unit, steps = time_unit(end)
    axes.set_xlim(0, max(end, 1e-9))
    if unit == "hours" and end <= 25 * 3600:
        step = next((s for s in (1, 2, 3, 4, 6) if end / 3600 / s <= 8), 6)
        axes.set_xticks(np.arange(0, end + 1, step * 3600))
    else:
        inner = MaxNLocator(8, steps=list(steps)).tick_values(0, end / scale)
        axes.set_xticks([t * scale for t in inner if t * scale <= end * 1.0001])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / scale:g}"))
    if has_label:
        axes.set_xlabel(unit, loc="right")


def _value_axis(axes: Any, ticks: int = 4) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v)))


def _tick(value: float) -> str:
    if value == 0 or abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M".replace("-", "−")
    return f"{value:,.6g}".replace("-", "−") if abs(value) >= 1e-3 else number(value)


def _marks(axes: Any, marks: Sequence[Mark], has_labels: bool = False) -> None:
    for mark in marks:
        if mark.end > mark.begin:
            axes.axvspan(mark.begin, mark.end, color=FAULT, alpha=0.075, lw=0, zorder=0)
        axes.axvline(mark.begin, color=FAULT, lw=0.9, alpha=0.75, zorder=1)
    if not has_labels:
        return
    left, right = axes.get_xlim()
    last = -1e18
    for mark in marks:
        if mark.begin - last > 0.012 * (right - left):
            axes.annotate(
                mark.label, (mark.begin, 1.0), xycoords=("data", "axes fraction"),
                xytext=(0, 2), textcoords="offset points", color=FAULT, fontsize=9.5,
                ha="center", va="bottom", annotation_clip=False,
            )  # fmt: skip
            last = mark.begin


def _panel(axes: Any, panel: Panel, end: float, marks: Sequence[Mark]) -> None:
    for curve in panel.curves:
        x, y = thinned(curve.x, curve.y)
        if curve.low is not None:
            low, high = thinned(curve.x, curve.low)[1], thinned(curve.x, curve.high)[1]
            axes.fill_between(x, low, high, color=curve.colour, alpha=0.16, lw=0)
        axes.plot(x, y, color=curve.colour, label=curve.label)
    for value, words, colour in panel.levels:
        axes.axhline(value, color=colour, lw=1.1, ls=(0, (4, 3)))
        axes.annotate(
            words, (1.0, value), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", color=colour, fontsize=10, va="center",
        )  # fmt: skip
    axes.set_title(panel.title)
    if panel.unit:
        axes.annotate(
            panel.unit, (1.0, 1.0), xycoords="axes fraction", xytext=(0, 7),
            textcoords="offset points", color=FAINT, fontsize=10, ha="right", va="bottom",
        )  # fmt: skip
    _value_axis(axes)


# --- the kinds of pictures ----------------------------------------------------------------------


def panels(
    name: str,
    all_panels: Sequence[Panel],
    end: float,
    marks: Sequence[Mark] = (),
    columns: int = 3,
    height: float = 112,
    counts: str = "",
) -> Raw:
    """Small pictures over one time, side by side. Height in points each. counts: what the axis
    counts, where that is not time.
    """
    rows = -(-len(all_panels) // columns)

    def make() -> Figure:
        pitch, top, bottom = height + 62, 30, 34
        total = rows * pitch - 62 + top + bottom
        drawn = Figure((WIDTH, total / 72))
        for at, panel in enumerate(all_panels):
            row, column = divmod(at, columns)
            gap, left = 0.062, 0.044
            width = (1 - left - 0.008 - gap * (columns - 1)) / columns
            low = total - top - row * pitch - height
            x = left + column * (width + gap)
            axes = drawn.add_axes((x, low / total, width, height / total))
            _panel(axes, panel, end, marks)
            is_last = at + columns >= len(all_panels)
            has_own = bool(panel.end) and time_unit(panel.end)[1] != time_unit(end)[1]
            _axis(axes, panel.end or end, counts, has_label=is_last or (has_own and not counts))
            _marks(axes, marks)
        return drawn

    return draw(name, "; ".join(panel.title for panel in all_panels) + " over time", make)


def figures(
    name: str,
    all_panels: Sequence[Panel],
    end: float,
    marks: Sequence[Mark] = (),
    counts: str = "",
) -> list[Raw]:
    """Any number of small pictures, in as many figures as they take."""
    parts = [all_panels[at : at + _PANELS] for at in range(0, len(all_panels), _PANELS)]
    return [
        figure(panels(f"{name}{i * _PANELS}", part, end, marks, counts=counts))
        for i, part in enumerate(parts)
    ]


def wide(
    name: str,
    panel: Panel,
    end: float,
    marks: Sequence[Mark] = (),
    height: float = 215,
    counts: str = "",
) -> Raw:
    """One large picture over time, its faults numbered and its curves named at their ends."""
    has_words = bool(panel.levels) or len(panel.curves) > 1

    def make() -> Figure:
        total = height + 74
        drawn = Figure((WIDTH, total / 72))
        right = 0.16 if has_words else 0.012
        axes = drawn.add_axes((0.044, 40 / total, 0.956 - right, height / total))
        _panel(axes, panel, end, marks)
        axes.title.set_position((0, 1))
        axes.set_title(panel.title, pad=18)
        _axis(axes, panel.end or end, counts)
        _marks(axes, marks, has_labels=True)
        if has_words:
            _name_ends(axes, panel)
        return drawn

    return draw(name, f"{panel.title} over time", make)


def _name_ends(axes: Any, panel: Panel) -> None:
    """Names of curves and levels at the right edge, moved apart where they would overlap."""
    for text in list(axes.texts):
        if text.get_text() in {words for _, words, _ in panel.levels}:
            text.remove()
    wanted = [(value, words, colour) for value, words, colour in panel.levels]
    for curve in panel.curves:
        known = np.asarray(curve.y, dtype=float)
        known = known[np.isfinite(known)]
        if curve.label and len(known):
            wanted.append((float(known[-1]), curve.label, curve.colour))
    low, high = axes.get_ylim()
    room = 0.068 * (high - low)
    at = -1e300
    wanted.sort(key=lambda w: w[0])
    places = []
    for value, _, _ in wanted:
        at = max(value, at + room)
        places.append(at)
    over = max(places[-1] - high, 0.0) if places else 0.0
    for i in reversed(range(len(places))):
        limit = high if i == len(places) - 1 else places[i + 1] - room
        places[i] = min(places[i], limit) if over else places[i]
    for (_, words, colour), place in zip(wanted, places, strict=True):
        axes.annotate(
            words, (1.0, place), xycoords=("axes fraction", "data"), xytext=(7, 0),
            textcoords="offset points", color=colour, fontsize=10.5, va="center",
            annotation_clip=False,
        )  # fmt: skip


def timeline(
    name: str,
    rows: Sequence[tuple[str, Sequence[tuple[float, float, str]]]],
    end: float,
    marks: Sequence[Mark] = (),
) -> Raw:
    """Who was in which state when: a row per name, of (begin, end, state)."""

    def make() -> Figure:
        pitch = 17 if len(rows) > 12 else 21
        total = len(rows) * pitch + 64
        drawn = Figure((WIDTH, total / 72))
        left = min(0.02 + 0.0078 * max(len(label) for label, _ in rows), 0.3)
        axes = drawn.add_axes((left, 40 / total, 0.99 - left, len(rows) * pitch / total))
        for at, (_, spans) in enumerate(rows):
            for begin, stop, state in spans:
                axes.barh(
                    at, max(stop - begin, 0.0015 * end), left=begin, height=0.62,
                    color=STATES.get(state, "#999999"), lw=0, zorder=2,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        _time_axis(axes, end)
        _marks(axes, marks, has_labels=True)
        return drawn

    return draw(name, "who was up when", make)
