"""The agents as a table: trouble first, with the age of the last message each has got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sim.console.board import Panel
from sim.console.ink import Picture, Row, left, right, selected
from sim.console.state import State
from sim.console.words import action, age, count, memory, short_number
from sim.wire.live import Frame

SORTS: Final = ("trouble", "name", "role", "score", "age", "memory")
STATES: Final = {
    "up": ("● up", "good"),
    "down": ("✗ DOWN", "bad"),
    "hung": ("‖ HUNG", "bad"),
    "failed": ("✗ FAILED", "bad"),
    "finished": ("○ done", "dim"),
    "absent": ("· nobody", "faint"),
}
_TROUBLE: Final = {"failed": 0, "down": 1, "hung": 2, "up": 3, "finished": 4, "absent": 5}


class _Column(NamedTuple):
    """rank: the higher, the sooner it goes. grows: cells more if there is room."""

    title: str
    width: int
    is_right: bool
    rank: int
    text: Callable[[State, Frame, int], tuple[str, str]]
    grows: int = 0


def is_stale(state: State, frame: Frame, i: int) -> bool:
    """Whether the last message is older than this agent's messages usually are: is it cut off?"""
    usual = state.gaps[i] if i < len(state.gaps) else 0
    return usual > 0 and frame.agents.age_ns[i] > 2 * usual + state.intro.dt_ns


def _name(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return state.intro.agents[i].name, "bold" if frame.agents.state[i] != "up" else ""


def _role(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return state.intro.agents[i].role or "-", "dim"


def player_text(player: str) -> str:
    """Who plays, in short: the class of a behaviour, the file of a policy."""
    if player.startswith("policy:"):
        return player.rpartition("/")[2].removeprefix("policy:")
    head, _, name = player.rpartition(":")
    is_own = head and not head.startswith("agents.")
    return f"{head.rpartition('/')[2]}:{name}" if is_own else name or player


def _player(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return player_text(state.intro.agents[i].player), "dim"


def _state(state: State, frame: Frame, i: int) -> tuple[str, str]:
    if state.is_lost:
        return "? unknown", "faint"
    text, ink = STATES.get(frame.agents.state[i], (frame.agents.state[i], "warn"))
    return (f"▲{text[1:]}", "mark") if ink == "good" and i in state.struck() else (text, ink)


def _action(state: State, frame: Frame, i: int) -> tuple[str, str]:
    note = frame.agents.note[i]
    if note and frame.agents.state[i] != "up":
        return note, "red"
    fields = state.intro.actions.get(state.intro.agents[i].role, [])
    return action(frame.agents.action[i], fields), ""


def _reward(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return short_number(frame.agents.reward[i], 6), "dim"


def _score(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return short_number(frame.agents.score[i], 6), ""


def _many(value: int) -> str:
    return f"{value:,}" if value < 100_000 else f"{value / 1000:,.0f}k"


def _sent(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return _many(frame.agents.sent[i]), "dim"


def _received(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return _many(frame.agents.received[i]), "dim"


def _age(state: State, frame: Frame, i: int) -> tuple[str, str]:
    is_old = is_stale(state, frame, i)
    return age(frame.agents.age_ns[i]) + "!" * is_old, "warn" if is_old else ""


def _late(state: State, frame: Frame, i: int) -> tuple[str, str]:
    missed = frame.agents.late[i] + frame.agents.missing[i]
    return count(missed), "warn" if missed else "faint"


def _restarts(state: State, frame: Frame, i: int) -> tuple[str, str]:
    many = frame.agents.restarts[i]
    return count(many), "warn" if many else "faint"


def _pid(state: State, frame: Frame, i: int) -> tuple[str, str]:
    pid = frame.agents.pid[i]
    return (str(pid), "dim") if pid else ("-", "faint")


def _memory(state: State, frame: Frame, i: int) -> tuple[str, str]:
    return memory(frame.agents.rss_bytes[i]), "dim"


_COLUMNS: Final = (
    _Column("name", 12, False, 0, _name, 9),
    _Column("role", 7, False, 3, _role, 4),
    _Column("player", 9, False, 6, _player, 9),
    _Column("state", 8, False, 0, _state, 1),
    _Column("action", 16, False, 0, _action, 60),
    _Column("reward", 6, True, 5, _reward, 1),
    _Column("score", 6, True, 1, _score, 1),
    _Column("in", 5, True, 5, _received, 2),
    _Column("out", 5, True, 6, _sent, 2),
    _Column("age", 4, True, 1, _age, 1),
    _Column("late", 4, True, 10, _late),
    _Column("rest", 4, True, 7, _restarts, 4),
    _Column("pid", 7, True, 4, _pid),
    _Column("MB", 3, True, 8, _memory),
)
_GROWING: Final = (
    "age", "state", "role", "score", "name", "action", "player", "reward", "in", "out", "rest"
)  # fmt: skip
_FIXED: Final = ("name", "state")
_NARROW: Final = 80
"""Up to here a table that is as wide as the terminal still leaves some out."""
_STEPS: Final = (8, 100)
"""Cells that each column grows by at most, in the order above, the first time and the second."""


def columns_for(width: int, names: int = 12, pids: int = 7, passed: int = 0) -> list[_Column]:
    """Columns that fit, those that say least gone first; what is left over makes some wider.

    names, pids: characters of the longest of them. passed: columns that were moved past.
    """
    sizes = {"name": min(max(names, 6), 14), "pid": min(max(pids, 3), 7)}
    columns = [c._replace(width=sizes.get(c.title, c.width)) for c in _COLUMNS]
    for column in [c for c in columns if c.title not in _FIXED][:passed]:
        columns.remove(column)
    while len(columns) > 4 and _width(columns) > width:
        columns.remove(max(columns, key=lambda c: c.rank))
    for limit in _STEPS:
        for title in _GROWING:
            spare = width - _width(columns)
            columns = [
                c._replace(width=c.width + more, grows=c.grows - more)
                if c.title == title and (more := min(max(spare, 0), c.grows, limit)) > 0
                else c
                for c in columns
            ]
    return columns


def _width(columns: list[_Column]) -> int:
    return sum(c.width + 1 for c in columns) - 1


class Agents(Panel):
    """The table. What is selected is `state.selected`, wherever sorting puts it."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state
        self.sort = SORTS[0]
        self.find = ""
        self._first = 0
        self._shown: list[int] = []
        self._page = 5
        self._has_moved = False
        self._passed = 0

    def next_sort(self) -> str:
        """The next order."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        return self.sort

    def order(self) -> list[int]:
        """Agents as listed."""
        cards, frame = self.state.intro.agents, self.state.frame
        found = [i for i, card in enumerate(cards) if _matches(self.find, card.name, card.role)]
        if frame is None or self.sort == "name":
            return found
        agents = frame.agents
        keys: dict[str, Callable[[int], object]] = {
            "trouble": lambda i: (
                _TROUBLE.get(agents.state[i], 3),
                agents.state[i] == "up" and not is_stale(self.state, frame, i),
                agents.state[i] == "up" and i not in self.state.struck(),
            ),
            "role": lambda i: cards[i].role,
            "score": lambda i: _or_last(agents.score[i]),
            "age": lambda i: -agents.age_ns[i],
            "memory": lambda i: -agents.rss_bytes[i],
        }  # fmt: skip
        return sorted(found, key=keys[self.sort])  # type: ignore[arg-type]

    def move(self, lines: int, pages: int = 0) -> bool:
        """Selects another agent."""
        order = self.order()
        self._has_moved = True
        if not order:
            return True
        at = order.index(self.state.selected) if self.state.selected in order else -1
        at = min(max(at + lines + pages * self._page, 0), len(order) - 1)
        self.state.selected = order[at]
        return True

    def turn(self, columns: int) -> bool:
        """To the columns on the right, where not all have room."""
        if self.state.intro.is_recorded:
            return False
        self._passed = min(max(self._passed + columns, 0), len(_COLUMNS) - len(_FIXED) - 4)
        return True

    def jump(self, is_end: bool) -> bool:
        """Selects the first or last."""
        order = self.order()
        if order and not self.state.intro.is_recorded:
            self.state.selected = order[-1 if is_end else 0]
            return True
        return False

    def point(self, x: int, y: int, width: int) -> bool:
        """A click on a row selects."""
        at = y - 1
        if not 0 <= at < len(self._shown):
            return False
        self.state.selected = self._shown[at]
        self._has_moved = True
        return True

    def draw(self, width: int, height: int) -> Picture:
        """A heading and a row per agent."""
        frame = self.state.frame
        if frame is None:
            return Picture([], [("agents", "title")])
        order = self.order()
        if order and not self._has_moved:
            self.state.selected = order[0]
        room = max(height - 1, 1)
        self._page = room
        at = order.index(self.state.selected) if self.state.selected in order else 0
        self._first = min(max(self._first, at - room + 1), at, max(len(order) - room, 0))
        self._first = max(self._first, 0)
        self._shown = order[self._first : self._first + room]
        names = max(len(self.state.intro.agents[i].name) for i in order) if order else 0
        pids = len(str(max(frame.agents.pid, default=0)))
        columns = columns_for(width, names, pids, self._passed)
        rows: list[Row] = [_titles(columns, self.sort)]
        for i in self._shown:
            row: Row = []
            for column in columns:
                text, ink = column.text(self.state, frame, i)
                fit = right if column.is_right else left
                row += [(fit(text, column.width), ink), (" ", "")]
            row.pop()
            rows.append(selected(row, width) if i == self.state.selected else row)
        if not order:
            rows.append([(f"nobody is called *{self.find}*", "dim")])
        is_part = len(columns) < len(_COLUMNS)
        is_near = width > _NARROW and not self._passed
        hint = ("x", " all columns") if is_near else ("← →", " columns")
        note = self._note(len(order), width - 20 * is_part)
        return Picture(rows, self._title(frame, hint if is_part else None), note)

    def _title(self, frame: Frame, hint: tuple[str, str] | None) -> Row:
        states = frame.agents.state
        up = states.count("up")
        rest = sum(states.count(s) for s in ("down", "hung", "failed"))
        done = states.count("finished")
        if self.state.is_lost:
            return [("agents", "title"), ("  as last seen", "bad")]
        title: Row = [("agents", "title"), (f"  {up} up", "good")]
        if rest:
            title.append((f"  {rest} down", "bad"))
        if done:
            title.append((f"  {done} finished", "dim"))
        if self.find:
            title.append((f"  / {self.find}", "accent"))
        if hint:
            title += [(f"  [{hint[0]}]", "key"), (hint[1], "dim")]
        return title

    def _note(self, many: int, width: int) -> Row:
        below = many - self._first - len(self._shown)
        more = f"↑{self._first} " * (self._first > 0) + f"↓{below} " * (below > 0)
        keys: Row = [(f"{more}", "dim"), ("[s]", "key"), (f" by {self.sort} ", "dim")]
        if width >= 70:
            keys += [("[/]", "key"), (" find ", "dim"), ("[Enter]", "key"), (" inspect", "dim")]
        return keys


def _titles(columns: list[_Column], sort: str) -> Row:
    row: Row = []
    for column in columns:
        is_long = column.title == "rest" and column.width >= 8
        title = "restarts" if is_long else column.title
        text = (right if column.is_right else left)(title, column.width)
        row += [(text, "accent" if column.title == sort else "dim"), (" ", "")]
    return row


def _matches(pattern: str, name: str, role: str) -> bool:
    wanted = pattern.lower().strip("*")
    return wanted in name.lower() or (bool(wanted) and wanted in role.lower())


def _or_last(value: float) -> float:
    return value if value == value else float("inf")
