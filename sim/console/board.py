"""The one widget of the main screen: a panel drawn as lines, of which only changed ones move."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from sim.console.ink import Picture, Row, plain, style_of


class Panel(ABC):
    """What a board shows. Knows nothing of widgets; a panel draws, and may be moved in."""

    is_framed = True
    is_movable = False

    @abstractmethod
    def draw(self, width: int, height: int) -> Picture:
        """Shapes: at most `height` rows of `width` cells, without the frame."""

    def move(self, lines: int, pages: int = 0) -> bool:
        """Down by lines, or by pages. Returns whether the panel knows such a thing."""
        return False

    def turn(self, columns: int) -> bool:
        """To the right by columns."""
        return False

    def jump(self, is_end: bool) -> bool:
        """To the beginning or the end."""
        return False

    def point(self, x: int, y: int, width: int) -> bool:
        """A click within the frame."""
        return False


class ScrolledPanel(Panel):
    """A panel of more rows than it has room for; scrolls by lines, or five of them as a page."""

    is_movable = True

    def __init__(self) -> None:
        self._first = 0

    def move(self, lines: int, pages: int = 0) -> bool:
        """Scrolls."""
        self._first = max(self._first + lines + 5 * pages, 0)
        return True

    def seen(self, count: int, room: int) -> tuple[slice, Row]:
        """Which of so many have room, and a note of how many have not."""
        self._first = min(self._first, max(count - room, 0))
        hidden = count - room
        note: Row = [(f"↕ {hidden} more", "dim")] if hidden > 0 else []
        return slice(self._first, self._first + room), note


def strip_of(row: Row, width: int) -> Strip:
    """A row as what the compositor takes, exactly `width` cells."""
    strip = Strip([Segment(text, style_of(ink)) for text, ink in row if text])
    return strip.simplify().adjust_cell_length(width, style_of(""))


class _FromBoard(Message):
    """Something happened on a board."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board

    @property
    def control(self) -> Board:
        """Whose message it is."""
        return self.board


class Board(Widget):
    """A panel on the screen. `show` draws it anew and repaints the lines that differ."""

    DEFAULT_CSS = """
    Board { position: absolute; padding: 0; border: none; }
    """

    class Entered(_FromBoard):
        """Enter, or a second click, on what is selected."""

    class Moved(_FromBoard):
        """What is selected has changed."""

    def __init__(self, panel: Panel, id: str) -> None:
        super().__init__(id=id)
        self.panel = panel
        self.can_focus = panel.is_movable
        self._rows: list[Row] = []
        self._strips: list[Strip] = []
        self._drawn = (0, 0)

    def show(self) -> None:
        """Draws the panel; cheap where nothing has changed."""
        width, height = self.size
        if not self.display or width <= 0 or height <= 0:
            return
        rows = self._framed(width, height) if self.panel.is_framed else self._bare(width, height)
        if self._drawn != (width, height):
            self._drawn = (width, height)
            self._rows, self._strips = rows, [strip_of(row, width) for row in rows]
            self.refresh()
            return
        changed = []
        for y, (row, old) in enumerate(zip(rows, self._rows, strict=True)):
            if row != old:
                self._strips[y] = strip_of(row, width)
                changed.append(Region(0, y, width, 1))
        self._rows = rows
        if changed:
            self.refresh(*changed)

    def _picture(self, width: int, height: int) -> Picture:
        """What the panel draws. A mistake in one panel must not end the console."""
        try:
            return self.panel.draw(width, height)
        except Exception as error:
            name = type(self.panel).__name__.lower()
            text = f"this cannot be drawn: {type(error).__name__}: {error}"
            return Picture([[(plain(text)[:width], "bad")]], [(name, "title")])

    def _bare(self, width: int, height: int) -> list[Row]:
        rows = self._picture(width, height).rows[:height]
        return rows + [[] for _ in range(height - len(rows))]

    def _framed(self, width: int, height: int) -> list[Row]:
        inner = max(width - 4, 1)
        picture = self._picture(inner, max(height - 2, 0))
        line = "focus" if self.has_focus else "line"
        rows = [self._head(picture, width, line)]
        for y in range(height - 2):
            row = picture.rows[y] if y < len(picture.rows) else []
            rows.append([("│ ", line), *_fit(row, inner), (" │", line)])
        rows.append([("╰" + "─" * (width - 2) + "╯", line)])
        return rows[:height]

    def _head(self, picture: Picture, width: int, line: str) -> Row:
        mark = "▸" if self.has_focus else " "
        title = _clip(picture.title, width - 6)
        used = 5 + _width(title)
        note = picture.note if _width(picture.note) + used + 4 <= width else []
        tail: Row = [(" ", ""), *note, (" ─╮", line)] if note else [("─╮", line)]
        gap = width - used - _width(tail)
        return [("╭─", line), (mark, "focus"), *title, (" ", ""), ("─" * (gap + 1), line), *tail]

    def render_line(self, y: int) -> Strip:
        """A line for the compositor."""
        if self._drawn != tuple(self.size):
            self.show()
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, style_of(""))

    def on_resize(self) -> None:
        """A new size is drawn at once."""
        self.show()

    def on_focus(self) -> None:
        """The frame tells."""
        self.show()

    def on_blur(self) -> None:
        """The frame tells."""
        self.show()

    def on_key(self, event: events.Key) -> None:
        """Moves within the panel."""
        panel, key = self.panel, event.key
        moves = {
            "up": lambda: panel.move(-1), "down": lambda: panel.move(1),
            "pageup": lambda: panel.move(0, -1), "pagedown": lambda: panel.move(0, 1),
            "left": lambda: panel.turn(-1), "right": lambda: panel.turn(1),
            "home": lambda: panel.jump(False), "end": lambda: panel.jump(True),
        }  # fmt: skip
        if key == "enter":
            self.post_message(self.Entered(self))
        elif key not in moves or not moves[key]():
            return
        else:
            self.post_message(self.Moved(self))
        event.stop()
        event.prevent_default()
        self.show()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        if self.panel.move(3):
            event.stop()
            self.show()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        if self.panel.move(-3):
            event.stop()
            self.show()

    def on_click(self, event: events.Click) -> None:
        """Selects; a second click enters."""
        inset = (2, 1) if self.panel.is_framed else (0, 0)
        width = self.size.width - 2 * inset[0]
        if self.panel.point(event.x - inset[0], event.y - inset[1], width):
            self.post_message(self.Moved(self))
            if event.chain == 2:
                self.post_message(self.Entered(self))
        self.show()


def _width(row: Row) -> int:
    return sum(Segment(text).cell_length for text, _ in row)


def _clip(row: Row, width: int) -> Row:
    found: Row = []
    for text, ink in row:
        if width <= 0:
            break
        found.append((text[:width], ink))
        width -= len(text)
    return found


def _fit(row: Row, width: int) -> Row:
    """Exactly `width` cells, whatever is in them."""
    cells = _width(row)
    if cells == width:
        return row
    if cells < width:
        return [*row, (" " * (width - cells), "")]
    strip = Strip([Segment(text, style_of(ink)) for text, ink in row]).crop(0, width)
    inks = {style_of(ink): ink for _, ink in row}
    fitted = [(s.text, inks.get(s.style, "")) for s in strip if s.style is not None]
    missing = width - _width(fitted)
    return [*fitted, (" " * missing, "")] if missing > 0 else fitted
