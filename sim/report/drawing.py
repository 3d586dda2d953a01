"""Pictures as SVG inside a page: one look for all, text stays text.

The only place that sets up matplotlib; no display, no state between pictures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from sim.report.colours import INK, SOFT
from sim.report.page import Raw

WIDTH: Final = 936 / 72
"""Of a picture, in inches: a point is a pixel of the page."""
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
