"""Pictures of a run as SVG inside a page: one look for all, text stays text.

The only place that draws with matplotlib; no display, no state between pictures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.report.page import Raw
from sim.report.words import number, span

INK, SOFT, FAINT, LINE, FAULT = "#1c2434", "#5b667a", "#8d97a8", "#e3e7ee", "#d9480f"
COLOURS: Final = (
    "#2f5fd0", "#dd7a2b", "#22967f", "#b5478d", "#7b61d9", "#b8941f", "#4d7c9e", "#c8474f",
    "#6b8e23", "#8a5a44", "#3aa0c8", "#5c6b7a",
)  # fmt: skip
STATES: Final = {
    "up": "#bcd0f2", "down": "#e5683b", "hung": "#e9b44c", "failed": "#a61b1b",
    "finished": "#d5dae3", "absent": "#ffffff",
}  # fmt: skip
WIDTH: Final = 936 / 72
"""Of a picture, in inches: a point is a pixel of the page."""
_POINTS_MAX: Final = 500
_FONTS: Final = ("Inter", "Segoe UI", "Helvetica Neue", "Liberation Sans", "Arial", "DejaVu Sans")


def _style() -> dict[str, Any]:
    known = {font.name for font in fontManager.ttflist}
    return {
        "font.family": [next((name for name in _FONTS if name in known), "DejaVu Sans")],
        "font.size": 11, "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": "#c5ccd8",
        "axes.linewidth": 0.9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.titlepad": 7, "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True,
        "axes.labelsize": 10.5, "grid.color": "#edf0f5", "grid.linewidth": 0.9,
        "xtick.color": "#c5ccd8", "ytick.color": "#c5ccd8", "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT, "xtick.labelsize": 10, "ytick.labelsize": 10,
        "xtick.major.size": 3.5, "ytick.major.size": 0, "lines.linewidth": 1.6,
        "lines.solid_capstyle": "round", "lines.solid_joinstyle": "round",
        "axes.xmargin": 0.0, "axes.ymargin": 0.08, "figure.facecolor": "none",
        "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
        "path.simplify_threshold": 0.4, "axes.unicode_minus": True,
    }  # fmt: skip


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


# --- drawing ------------------------------------------------------------------------------------


def draw(name: str, alt: str, make: Callable[[], Figure]) -> Raw:
    """A picture as markup. name: unlike that of any other picture of the page."""
    settings: Any = {**_style(), "svg.hashsalt": name}
    with mpl.rc_context(settings):
        buffer = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        make().savefig(buffer, format="svg", metadata=nothing)
    return Raw(_clean(buffer.getvalue(), alt))


def _clean(document: str, alt: str) -> str:
    """SVG as it stands inside HTML: no prolog, no namespaces, only names that are referred to."""
    markup = document[document.index("<svg") :]
    markup = re.sub(r"<(metadata|style).*?</\1>", "", markup, flags=re.DOTALL)
    markup = re.sub(r"<!--.*?-->\s*", "", markup, flags=re.DOTALL)
    markup = re.sub(r' xmlns(:\w+)?="[^"]*"', "", markup).replace("xlink:href", "href")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', markup))
    markup = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", markup)
    markup = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", markup)
    markup = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, markup)
    head = re.sub(r'(width|height)="[^"]*pt"\s*', "", markup[: markup.index(">")])
    head = re.sub(r'\s*version="[^"]*"', "", head)
    words = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'{head} role="img" aria-label="{words}"{markup[markup.index(">") :]}'


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", attribute[0])


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
) -> Raw:
    """Small pictures over one time, side by side. Height in points each."""
    rows = -(-len(all_panels) // columns)

    def make() -> Figure:
        pitch, top, bottom = height + 62, 30, 34
        total = rows * pitch - 62 + top + bottom
        figure = Figure((WIDTH, total / 72))
        for at, panel in enumerate(all_panels):
            row, column = divmod(at, columns)
            gap, left = 0.062, 0.044
            width = (1 - left - 0.008 - gap * (columns - 1)) / columns
            low = total - top - row * pitch - height
            x = left + column * (width + gap)
            axes = figure.add_axes((x, low / total, width, height / total))
            _panel(axes, panel, end, marks)
            is_last = at + columns >= len(all_panels)
            has_own = bool(panel.end) and time_unit(panel.end)[1] != time_unit(end)[1]
            _time_axis(axes, panel.end or end, has_label=is_last or has_own)
            _marks(axes, marks)
        return figure

    return draw(name, "; ".join(panel.title for panel in all_panels) + " over time", make)


def wide(
    name: str, panel: Panel, end: float, marks: Sequence[Mark] = (), height: float = 215
) -> Raw:
    """One large picture over time, its faults numbered and its curves named at their ends."""
    has_words = bool(panel.levels) or len(panel.curves) > 1

    def make() -> Figure:
        total = height + 74
        figure = Figure((WIDTH, total / 72))
        right = 0.16 if has_words else 0.012
        axes = figure.add_axes((0.044, 40 / total, 0.956 - right, height / total))
        _panel(axes, panel, end, marks)
        axes.title.set_position((0, 1))
        axes.set_title(panel.title, pad=18)
        _time_axis(axes, panel.end or end)
        _marks(axes, marks, has_labels=True)
        if has_words:
            _name_ends(axes, panel)
        return figure

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
        figure = Figure((WIDTH, total / 72))
        left = min(0.02 + 0.0078 * max(len(label) for label, _ in rows), 0.3)
        axes = figure.add_axes((left, 40 / total, 0.99 - left, len(rows) * pitch / total))
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
        return figure

    return draw(name, "who was up when", make)


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


def strip(values: Sequence[tuple[float, str]], width: int = 190) -> Raw:
    """Dots of several columns on one line, in one row of a table: (value, colour)s, the largest
    first."""
    known = [value for value, _ in values if np.isfinite(value)]
    if len(set(known)) < 2:
        return Raw("")
    low, high = min(known), max(known)
    dots = []
    for at, (value, colour) in enumerate(values):
        if np.isfinite(value):
            x = 8 + (width - 16) * (value - low) / (high - low)
            size = 'r="6"' if at == 0 else 'r="3.4" stroke="#fff" stroke-width="1.2"'
            dots.append(f'<circle cx="{x:.1f}" cy="11" {size} fill="{colour}"/>')
    line = f'<line x1="8" y1="11" x2="{width - 8}" y2="11" stroke="{LINE}" stroke-width="2"/>'
    inner = line + "".join(dots)
    return Raw(f'<svg viewBox="0 0 {width} 22" width="{width}" height="22">{inner}</svg>')


def shade(share: float, colour: tuple[int, int, int] = (217, 72, 15)) -> str:
    """Background of a cell of a heat map, and its ink; share in [0, 1]."""
    strength = 0.06 + 0.84 * min(max(share, 0.0), 1.0) ** 0.6 if share > 0 else 0.0
    mixed = [round(255 + (c - 255) * strength) for c in colour]
    ink = "#fff" if strength > 0.6 else INK
    return f"background:rgb({mixed[0]},{mixed[1]},{mixed[2]});color:{ink}"
