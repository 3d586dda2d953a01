"""The screens that fill the terminal: the main one, one subject closely, the outcome, the help."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from sim.console.agents import Agents
from sim.console.board import Board
from sim.console.books import Books
from sim.console.charts import Charts
from sim.console.ended import Ended
from sim.console.foot import Foot
from sim.console.guide import guide
from sim.console.inspect import Head, Log, Messages, Seen, Subject
from sim.console.layout import Box, arrange, is_tiny, is_wide
from sim.console.links import Links
from sim.console.outcome import Outcome
from sim.console.state import State
from sim.console.story import Story
from sim.console.top import Tiny, Top
from sim.console.world import World

_GROUND = "background: #10151b; color: #d3d9e0;"


class BoardScreen(Screen[None]):
    """Boards that stand where a function of the size says."""

    DEFAULT_CSS = f"BoardScreen {{ {_GROUND} layers: base; overflow: hidden; }}"

    def boards(self) -> Iterator[Board]:
        """All of them."""
        yield from self.query(Board)

    def boxes(self, width: int, height: int) -> dict[str, Box]:
        """Where each stands; who is not named is hidden."""
        raise NotImplementedError

    def place(self) -> None:
        """Puts the boards where they belong."""
        boxes = self.boxes(*self.app.size)
        for board in self.boards():
            box = boxes.get(board.id or "")
            board.display = box is not None and box.width > 0 and box.height > 0
            if box is not None:
                board.styles.offset = (box.x, box.y)
                board.styles.width, board.styles.height = box.width, box.height

    def show(self) -> None:
        """Draws what has changed."""
        for board in self.boards():
            board.show()

    def on_screen_resume(self) -> None:
        """Seen again: as things are now."""
        self.show()

    def on_resize(self) -> None:
        """A new size, a new arrangement."""
        self.place()

    def on_mount(self) -> None:
        """Placed before it is first seen."""
        self.place()


class MainScreen(BoardScreen):
    """Everything at once, or what matters most of it."""

    AUTO_FOCUS = "#agents"

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self.top = Top(state)
        self.agents = Agents(state)
        self.links = Links(state)
        self.charts = Charts(state)
        self.story = Story(state)
        self.foot = "events"
        self.large = ""

    def compose(self) -> ComposeResult:
        """A board per panel, in the order of Tab."""
        state = self.state
        yield Board(self.top, "top")
        yield Board(World(state), "world")
        yield Board(Outcome(state), "outcome")
        yield Board(self.agents, "agents")
        yield Board(self.links, "links")
        yield Board(self.charts, "charts")
        yield Board(self.story, "events")
        yield Board(Books(state), "books")
        yield Board(Foot(state), "keys")
        yield Board(Tiny(state), "tiny")

    def boxes(self, width: int, height: int) -> dict[str, Box]:
        """By the size, and what is wanted large."""
        return arrange(width, height, self.foot, self.large)

    @property
    def is_small(self) -> bool:
        """Whether only one of events, links and charts is shown."""
        return not is_wide(*self.app.size) and not is_tiny(*self.app.size)

    def bring(self, name: str) -> bool:
        """Shows one of events, links and charts. Returns whether it was not to be seen before."""
        if self.large or not self.is_small or self.foot == name:
            return False
        self.foot = name
        self.place()
        self.call_after_refresh(self.show)
        return True

    def enlarge(self, name: str) -> None:
        """A panel as large as it goes; "" for all of them again."""
        self.large = "" if name == self.large else name
        self.place()
        if self.large:
            self.query_one(f"#{self.large}", Board).focus()
        self.call_after_refresh(self.show)


class InspectScreen(BoardScreen):
    """One agent or link."""

    AUTO_FOCUS = "#messages"

    BINDINGS = [Binding("escape", "app.leave_inspect", "back")]  # noqa: RUF012

    def __init__(self, state: State, subject: Subject) -> None:
        super().__init__()
        self.state = state
        self.subject = subject
        self.top = Top(state)

    def compose(self) -> ComposeResult:
        """Who, what it saw and did, its messages, its log."""
        yield Board(self.top, "top")
        yield Board(Head(self.subject), "head")
        yield Board(Seen(self.subject), "seen")
        yield Board(Messages(self.subject), "messages")
        yield Board(Log(self.subject), "log")
        yield Board(Books(self.state), "books")
        yield Board(Tiny(self.state), "tiny")

    def boxes(self, width: int, height: int) -> dict[str, Box]:
        """Two columns if it is wide, else one below the other."""
        if is_tiny(width, height):
            return {"tiny": Box(0, 0, width, height)}
        room = height - 6
        found = {
            "top": Box(0, 0, width, 1),
            "head": Box(0, 1, width, 4),
            "books": Box(0, height - 1, width, 1),
        }
        if is_wide(width, height):
            first, upper = width * 2 // 5, room * 3 // 5
            return found | {
                "seen": Box(0, 5, first, room),
                "messages": Box(first, 5, width - first, upper),
                "log": Box(first, 5 + upper, width - first, room - upper),
            }
        seen = max(room * 2 // 5, 6)
        messages = max((room - seen) * 3 // 5, 4)
        return found | {
            "seen": Box(0, 5, width, seen),
            "messages": Box(0, 5 + seen, width, messages),
            "log": Box(0, 5 + seen + messages, width, room - seen - messages),
        }

    def show(self) -> None:
        """Draws what has changed."""
        self.subject.take()
        super().show()


class OutcomeScreen(BoardScreen):
    """The outcome as a whole."""

    AUTO_FOCUS = "#ended"

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "app.pop_screen", "back"), Binding("o", "app.pop_screen", "back"),
    ]  # fmt: skip

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def compose(self) -> ComposeResult:
        """One page."""
        yield Board(Top(self.state), "top")
        yield Board(Ended(self.state), "ended")
        yield Board(Foot(self.state), "keys")

    def boxes(self, width: int, height: int) -> dict[str, Box]:
        """All of it."""
        return {
            "top": Box(0, 0, width, 1),
            "ended": Box(0, 1, width, max(height - 2, 3)),
            "keys": Box(0, max(height - 1, 0), width, 1),
        }


class HelpScreen(ModalScreen[None]):
    """How to read it, and every key."""

    BINDINGS = [  # noqa: RUF012
        Binding(key, "dismiss", "back") for key in ("escape", "q", "question_mark", "enter")
    ]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: #10151b 60%; }
    HelpScreen > VerticalScroll {
        width: 104; max-width: 100%; height: 100%; max-height: 54; padding: 0 2;
        border: round #56c8e0; background: #18202a; scrollbar-size-vertical: 1;
        scrollbar-color: #56c8e0; scrollbar-background: #18202a;
    }
    """

    def compose(self) -> ComposeResult:
        """A page to scroll."""
        with VerticalScroll() as page:
            page.border_title = "help"
            page.border_subtitle = "Esc closes"
            yield Static(guide())

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one(VerticalScroll).focus()
