"""Colours of the pages: of words and lines, of several things, of states, of columns."""

from __future__ import annotations

from typing import Final

from sim.outcome import BOUNDS, NO_CONTROL, RULE

INK, SOFT, FAINT, LINE, FAULT = "#1c2434", "#5b667a", "#8d97a8", "#e3e7ee", "#d9480f"
COLOURS: Final = (
    "#2f5fd0", "#dd7a2b", "#22967f", "#b5478d", "#7b61d9", "#b8941f", "#4d7c9e", "#c8474f",
    "#6b8e23", "#8a5a44", "#3aa0c8", "#5c6b7a",
)  # fmt: skip
STATES: Final = {
    "up": "#bcd0f2", "down": "#e5683b", "hung": "#e9b44c", "failed": "#a61b1b",
    "finished": "#d5dae3", "absent": "#ffffff",
}  # fmt: skip
RUN, PALE = "#2f5fd0", "#c3cad6"
REFERENCES: Final = {NO_CONTROL: "#a3adbd", RULE: "#dd7a2b", **dict.fromkeys(BOUNDS, "#22967f")}
