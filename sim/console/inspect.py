"""One agent or one link, closely: what it saw, did and got, its messages newest first, its log."""

from __future__ import annotations

from typing import Final

from sim.console.agents import STATES, player_text
from sim.console.board import Panel, ScrolledPanel
from sim.console.ink import Picture, Row, cut, join, left, plain, right
from sim.console.state import State
from sim.console.story import line_row
from sim.console.words import action, age, clock, count, delay, number
from sim.units import SECOND, size_text
from sim.wire.live import Detail, Passed

_VALUES: Final = 6


class Subject:
    """What is inspected, and the newest that is known of it."""

    def __init__(self, state: State, agent: str, target: str = "") -> None:
        self.state = state
        self.agent = agent
        self.target = target
        self.detail: Detail | None = None

    @property
    def ask(self) -> str:
        """The text of the request."""
        return f"{self.agent} > {self.target}" if self.target else self.agent

    def take(self) -> None:
        """Looks for news in the newest frame."""
        frame = self.state.frame
        found = frame.detail if frame else None
        if found is not None and (found.agent, found.target) == (self.agent, self.target):
            self.detail = found

    @property
    def place(self) -> int:
        """Of the agent in the intro, -1 if it is a role or a relay."""
        names = [card.name for card in self.state.intro.agents]
        return names.index(self.agent) if self.agent in names else -1


class Head(Panel):
    """Who it is, and how it is."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def draw(self, width: int, height: int) -> Picture:
        """Two rows."""
        subject, frame, i = self.subject, self.subject.state.frame, self.subject.place
        title: Row = [("link" if subject.target else "agent", "dim"), (f" {subject.ask}", "title")]
        note: Row = [("[Esc]", "key"), (" back", "dim")]
        if subject.target:
            return Picture(self._link(width, height), title, note)
        if i < 0 or frame is None:
            return Picture([[("a role: its agents are in the table", "dim")]], title, note)
        card, agents = subject.state.intro.agents[i], frame.agents
        text, ink = STATES.get(agents.state[i], (agents.state[i], "warn"))
        first: Row = [
            (text, ink), ("  role ", "dim"), (card.role or "-", ""), ("  played by ", "dim"),
            (player_text(card.player), ""),
        ]  # fmt: skip
        if agents.note[i]:
            first.append((f"  {cut(plain(agents.note[i]), 40)}", "red"))
        facts = (
            ("out", count(agents.sent[i])), ("in", count(agents.received[i])),
            ("last message", age(agents.age_ns[i])), ("late", count(agents.late[i])),
            ("missing", count(agents.missing[i])), ("restarts", count(agents.restarts[i])),
            ("pid", str(agents.pid[i] or "-")), ("memory", size_text(agents.rss_bytes[i])),
            ("processor", f"{agents.cpu_seconds[i]:.1f} s"),
        )  # fmt: skip
        parts: list[Row] = [[(f"{name} ", "dim"), (value, "")] for name, value in facts]
        second = join(parts, width, "  ")
        return Picture([first, second][:height], title, note)

    def _link(self, width: int, height: int) -> list[Row]:
        detail = self.subject.detail
        if detail is None:
            return [[("waiting for the broker to tell", "dim")]]
        row: Row = []
        for name, value in detail.link.items():
            row += [(f"{plain(name)} ", "dim"), (f"{plain(value)}  ", "")]
        return [row or [("an ordinary link", "dim")]]


class Seen(ScrolledPanel):
    """Observation, action and rewards; of a link its books."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject

    def draw(self, width: int, height: int) -> Picture:
        """A row per field, values and units in columns."""
        detail = self.subject.detail
        is_link = bool(self.subject.target)
        title: Row = [("books" if is_link else "observed, done, paid", "title")]
        if detail is None:
            return Picture([self._short(width)], title)
        rows = _accounts(detail, width) if is_link else self._fields(detail, width)
        seen, note = self.seen(len(rows), height)
        return Picture(rows[seen], title, note)

    def _short(self, width: int) -> Row:
        """What the table knows, as long as the broker has told nothing."""
        subject, frame, i = self.subject, self.subject.state.frame, self.subject.place
        if i < 0 or frame is None:
            return [("waiting for the broker to tell", "dim")]
        fields = subject.state.intro.actions.get(subject.state.intro.agents[i].role, [])
        said = action(frame.agents.action[i], fields)
        return [("action ", "dim"), (cut(said, max(width - 7, 1)), "")]

    def _fields(self, detail: Detail, width: int) -> list[Row]:
        rows: list[Row] = []
        when = f"at {clock(detail.observed_ns)}" if detail.observed_ns >= 0 else "nothing yet"
        rows.append([("observed ", "accent"), (when, "dim")])
        label = min(max([len(n) for n, _, _ in (*detail.observed, *detail.action)] or [8]) + 4, 24)
        rows += [_field(*each, label, width) for each in detail.observed]
        rows.append([("action in force", "accent"), ("" if detail.action else "  none", "dim")])
        rows += [_field(*each, label, width) for each in detail.action]
        rewards = " ".join(number(v, 3) for v in detail.rewards) or "-"
        rows.append([("rewards ", "accent"), (cut(rewards, max(width - 8, 1)), "")])
        if detail.accounts:
            rows.append([("messages by topic", "accent")])
            rows += _accounts(detail, width)
        return rows


def _field(name: str, values: list[float], unit: str, label: int, width: int) -> Row:
    shown = "  ".join(right(number(v), 7) for v in values[:_VALUES])
    if len(values) > _VALUES:
        finite = [v for v in values if v == v] or [float("nan")]
        shown = f"{len(values)} values, {number(min(finite))} … {number(max(finite))}"
    room = max(width - label - len(unit) - 1, 7)
    return [
        (left(f"  {plain(name)}", label), ""),
        (cut(shown, room), "bold"),
        (f" {plain(unit)}", "dim"),
    ]


def _accounts(detail: Detail, width: int) -> list[Row]:
    rows: list[Row] = []
    for topic, books in detail.accounts.items():
        row: Row = [(left(f"  {plain(topic)}", 27), "bold"), (" ", "")]
        for name, value in books.items():
            is_loss = name not in ("sent", "delivered", "duplicated")
            row += [(f"{name} ", "dim"), (f"{value:,}  ", "warn" if is_loss and value else "")]
        shares = ("half in", "95 % in", "99 % in")
        for name, seconds in zip(shares, detail.delays.get(topic, ()), strict=False):
            row += [(f"{name} ", "dim"), (f"{delay(round(seconds * SECOND))}  ", "")]
        rows.append(row)
    return rows or [[("nothing was sent", "dim")]]


class Messages(ScrolledPanel):
    """What passed, newest first, with its fate."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject

    def draw(self, width: int, height: int) -> Picture:
        """A row per message."""
        detail = self.subject.detail
        title: Row = [("messages", "title"), ("  newest first", "dim")]
        if detail is None or not detail.messages:
            is_told = detail is not None
            said = "none yet" if is_told else "not known here"
            return Picture([[(said, "dim")]], title)
        seen, note = self.seen(len(detail.messages), height)
        return Picture([self._message(m, width) for m in detail.messages[seen]], title, note)

    def _message(self, m: Passed, width: int) -> Row:
        is_mine = m.sender == self.subject.agent
        other = m.receiver if is_mine else m.sender
        arrow, ink = ("→", "c1") if is_mine else ("←", "c3")
        took = delay(m.arrived_ns - m.sent_ns) if m.fate == "delivered" else ""
        fate_ink = {"delivered": "good", "in flight": "dim"}.get(m.fate, "bad")
        sign = {"delivered": "✓", "in flight": "…"}.get(m.fate, "✗")
        row: Row = [
            (f"{clock(m.sent_ns)} ", "dim"), (f"{arrow} ", ink), (left(other, 13), ""),
            (f" {left(plain(m.topic), 9)}", "accent"), (f" {sign} ", fate_ink),
            (left(took or m.fate, 9), fate_ink), (right(f"{m.bytes} B", 7), "dim"), ("  ", ""),
        ]  # fmt: skip
        used = sum(len(text) for text, _ in row)
        return [*row, (cut(plain(m.payload), max(width - used, 0)), "")]


class Log(ScrolledPanel):
    """What the agent logged and what happened to it."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject

    def draw(self, width: int, height: int) -> Picture:
        """Newest first."""
        subject = self.subject
        detail = subject.detail
        lines = list(detail.log) if detail and detail.log else []
        if not lines:
            lines = [
                line for line in reversed(subject.state.lines)
                if line.agent == subject.agent or subject.agent in line.text.split()
            ][:200]  # fmt: skip
        seen, _ = self.seen(len(lines), height)
        rows = [line_row(line, width, False) for line in lines[seen]]
        title: Row = [("log", "title")]
        return Picture(rows or [[("nothing yet", "dim")]], title)
