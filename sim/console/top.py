"""The first line: which run, how far, how fast, and in what state."""

from __future__ import annotations

import math
from pathlib import Path

from sim.console.board import Panel
from sim.console.ink import Picture, Row, cut, width_of
from sim.console.state import State
from sim.console.words import clock, count, end_clock, is_coarse, number, speed

_INKS = {
    "running": "running", "paused": "paused", "waiting": "lost", "comparing": "paused",
    "completed": "ended", "failed": "lost", "interrupted": "paused", "lost": "lost",
    "connecting": "paused", "replay": "running",
}  # fmt: skip


def status_mark(state: State) -> Row:
    """The state in one word."""
    status = state.status
    word = "replay" if state.intro.is_recorded and status == "running" else status
    return [(f" {word.upper()} ", _INKS.get(word, "paused"))]


def bar(state: State, width: int) -> Row:
    """The whole duration: what is done, and where faults are."""
    width = max(width, 4)
    share = min(max(state.now_ns / state.total_ns, 0.0), 1.0)
    done = int(share * width)
    cells = [("━", "accent")] * done + [("─", "line")] * (width - done)
    if done < width:
        cells[done] = ("╸", "accent")
    for time, is_own in state.fault_times():
        place = min(int(time / state.total_ns * width), width - 1)
        if 0 <= time <= state.total_ns:
            cells[place] = ("▲", "you" if is_own else "warn" if time <= state.now_ns else "dim")
    return cells


class Top(Panel):
    """The first line. A recorded run is moved through here, by keys and clicks."""

    is_framed = False

    def __init__(self, state: State) -> None:
        self.state = state
        self.is_movable = state.intro.is_recorded
        self.span = (0, 1)
        self.wanted_ns: int | None = None
        """Where a click on the line has asked to go."""

    def draw(self, width: int, height: int) -> Picture:
        """One row."""
        state, intro = self.state, self.state.intro
        is_short = is_coarse(intro)
        head: Row = [(" ", ""), (cut(intro.scenario, 24), "title"), (f"  seed {intro.seed}", "dim")]
        if width >= 132 and intro.directory:
            head.append((f"  {cut(Path(intro.directory).name, 24)}", "dim"))
        if intro.is_recorded:
            head.append(("  RECORDED", "you"))
        elif state.is_read_only:
            head.append(("  read-only", "you"))
        if intro.episodes > 1 and state.frame:
            head.append((f"  episode {state.frame.episode + 1}/{intro.episodes}", "dim"))
        head.append((f"  {self._clock(is_short)} ", "bold"))
        tail: Row = [(f" {end_clock(state.total_ns, is_short)}", "dim"), *self._rates(width)]
        tail += [("  ", ""), *status_mark(state), (" ", "")]
        room = width - width_of(head) - width_of(tail)
        self.span = (width_of(head), max(room, 1))
        return Picture([[*head, *bar(state, room), *tail]])

    def _clock(self, is_short: bool) -> str:
        state = self.state
        is_end = state.now_ns == state.total_ns
        return (end_clock if is_end else clock)(state.now_ns, is_short)

    def _rates(self, width: int) -> Row:
        frame = self.state.frame
        if frame is None:
            return []
        row: Row = []
        if self.state.is_paused or self.state.is_over:
            row.append((f"  {speed(frame.wanted)}", "dim"))
        elif math.isfinite(frame.wanted):
            row.append((f"  {speed(frame.wanted)}", "bold"))
        else:
            row += [("  max", "bold"), (f" {speed(frame.speed)}", "dim")]
        if width >= 110 and frame.possible > 1.2 * frame.wanted and frame.possible < math.inf:
            row.append((f", could do {speed(frame.possible)}", "dim"))
        if self.state.skipped and width >= 100:
            row.append((f"  skipped {count(self.state.skipped)} frames", "warn"))
        return row

    def point(self, x: int, y: int, width: int) -> bool:
        """A place on the line is a time."""
        start, length = self.span
        if not self.is_movable or not start <= x < start + length:
            return False
        self.wanted_ns = round((x - start + 0.5) / length * self.state.total_ns)
        return True


class Tiny(Panel):
    """What is said where nothing else fits."""

    is_framed = False

    def __init__(self, state: State) -> None:
        self.state = state

    def draw(self, width: int, height: int) -> Picture:
        """A line of progress; what matters most below it, as far as there is room."""
        state, intro, frame = self.state, self.state.intro, self.state.frame
        mark = status_mark(state)
        clock_now = clock(state.now_ns, is_coarse(intro))
        down = sum(s in ("down", "hung", "failed") for s in frame.agents.state) if frame else 0
        head: Row = [(clock_now, "bold"), (f" {state.now_ns / state.total_ns:.0%} ", "dim")]
        tail: Row = [
            (f" {len(intro.agents) - down} up", ""),
            *([(f" {down} down", "bad")] * (down > 0)),
        ]
        if state.is_lost:
            tail = []
        if frame and width >= 50:
            tail.append((f" {speed(frame.wanted)}", "dim"))
        tail += [(" ", ""), *mark]
        room = width - width_of(head) - width_of(tail)
        line = [*head, *(bar(state, room) if room >= 4 else []), *tail]
        if width_of(line) > width:
            line = [(clock_now, "bold"), (" ", ""), *mark]
        rows: list[Row] = [line]
        if state.is_lost:
            rows.append([(state.lost_text, "bad")])
        if frame is None or height == 1:
            return Picture(rows)
        for card in sorted(intro.metrics, key=lambda m: not m.objective)[:2]:
            value = number(frame.metrics.get(card.name))
            rows.append([(f"{card.name} ".replace("_", " "), "dim"), (f"{value} {card.unit}", "")])
        for fault in frame.faults[-2:]:
            rows.append([("▲ ", "mark"), (cut(fault.text, width - 2), "")])
        for i, name in enumerate(frame.agents.state):
            if name in ("down", "hung", "failed"):
                rows.append([(f"! {intro.agents[i].name} {name.upper()}", "bad")])
        rows.append([("a larger terminal shows more: 80 x 24", "faint")])
        return Picture(rows[:height])
