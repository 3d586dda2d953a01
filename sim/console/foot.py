"""The last line: the keys that matter now."""

from __future__ import annotations

from sim.console.board import Panel
from sim.console.ink import Picture, Row, join, width_of
from sim.console.state import State


class Foot(Panel):
    """Keys, as many as fit; what is said matters first."""

    is_framed = False

    def __init__(self, state: State) -> None:
        self.state = state

    def draw(self, width: int, height: int) -> Picture:
        """One row."""
        keys = [*self._keys()]
        parts: list[Row] = [[(f"[{key}]", "key"), (f" {word}", "dim")] for key, word in keys]
        word = " help" if width >= 100 else ""
        last: list[Row] = [[("[?]", "key"), (word, "dim")], [("[q]", "key"), (" quit", "dim")]]
        gap = "  " if sum(map(width_of, parts)) + 2 * len(parts) + 24 <= width else " "
        first = join(parts, width - 13 - len(word) - 2 * len(gap), gap)
        return Picture([[(" ", ""), *first, (gap, ""), *join(last, 30, gap)]])

    def _keys(self) -> list[tuple[str, str]]:
        state = self.state
        look = [("Enter", "inspect"), ("/", "find"), ("s", "sort"), ("f", "filter")]
        more = [("m", "matrix"), ("c", "charts"), ("S", "picture")]
        pause = ("space", "go" if state.is_paused else "pause")
        if state.intro.is_recorded:
            return [pause, (",", "back"), (".", "step"), ("+ -", "speed"), ("t", "go to a time"),
                    *look, ("Home End", "ends"), *more]  # fmt: skip
        if state.is_over:
            return [("o", "outcome"), *look, *more]
        if state.is_read_only:
            return [*look, *more]
        return [pause, (".", "step"), ("+ -", "speed"), ("k", "kill"), ("l", "link"), ("p", "cut"),
                ("n", "noise"), ("h", "heal"), (":", "command"), ("r", "restart"), ("z", "hang"),
                look[0], *more, look[3]]  # fmt: skip
