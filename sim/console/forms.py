"""Small screens above the main one: a form that becomes a command, a choice, a line to type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from sim.console.ink import over
from sim.errors import SimError

_TYPED_SECONDS: Final = 1.0
_BOX: Final = """
    align: center middle;
    background: #10151b 60%;
"""


@dataclass(frozen=True)
class Field:
    """A line of a form. is_first: typed into first; else the first that is empty."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    is_first: bool = False


class FormScreen(ModalScreen[str]):
    """Fields that become the words of a command; gives the command line, "" if cancelled.

    line: the command of the values. check: raises SimError if it means nothing; returns what to
    say of it. Keys that are pressed faster than they are shown still go where they belong: moving
    is done before the next key is given to a field.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "dismiss('')", "cancel"),
        Binding("down,tab", "move(1)", "next", priority=True),
        Binding("up,shift+tab", "move(-1)", "previous", priority=True),
        Binding("enter", "do", "do it", priority=True),
    ]
    DEFAULT_CSS = f"""
    FormScreen {{ {_BOX} }}
    FormScreen > Vertical {{
        width: 70; height: auto; padding: 1 2; border: round #56c8e0; background: #18202a;
    }}
    FormScreen Horizontal {{ height: 1; margin: 0 0 0 0; }}
    FormScreen Label {{ width: 13; color: #7f8b99; }}
    FormScreen Input {{
        width: 1fr; height: 1; border: none; padding: 0; background: #0b0f14; color: #d3d9e0;
    }}
    FormScreen Input:focus {{ border: none; background: #26384a; }}
    FormScreen Static {{ height: auto; }}
    FormScreen #says {{ margin: 1 0 0 0; }}
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        line: Callable[[dict[str, str]], str],
        check: Callable[[str], str],
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._line = line
        self._check = check

    def compose(self) -> ComposeResult:
        """Title, fields, what it means."""
        with Vertical():
            yield Static(Text(self._title, over("title")))
            yield Static("")
            for field in self._fields:
                with Horizontal():
                    yield Label(Text(f"  {field.label}"), id=f"label-{field.name}")
                    yield Input(
                        field.value, placeholder=field.hint, id=f"field-{field.name}",
                        select_on_focus=True,
                    )  # fmt: skip
            yield Static("", id="says")

    def on_mount(self) -> None:
        """The first field is typed into."""
        first = next((i for i, f in enumerate(self._fields) if f.is_first), None)
        if first is None:
            first = next((i for i, f in enumerate(self._fields) if not f.value), 0)
        self.set_focus(self._inputs()[first])
        self._mark()
        self._say()

    def _inputs(self) -> list[Input]:
        return [self.query_one(f"#field-{field.name}", Input) for field in self._fields]

    def _mark(self) -> None:
        """Marks the field that is typed into."""
        for field, typed in zip(self._fields, self._inputs(), strict=True):
            mark, ink = ("▸ ", "accent") if typed is self.focused else ("  ", "dim")
            text = Text(f"{mark}{field.label}", over(ink))
            self.query_one(f"#label-{field.name}", Label).update(text)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """By a click, too."""
        self._mark()

    def action_move(self, step: int) -> None:
        """To another field, at once."""
        inputs = self._inputs()
        at = next((i for i, typed in enumerate(inputs) if typed is self.focused), 0)
        self.set_focus(inputs[(at + step) % len(inputs)], scroll_visible=False)

    def values(self) -> dict[str, str]:
        """What is typed."""
        return {
            field.name: self.query_one(f"#field-{field.name}", Input).value.strip()
            for field in self._fields
        }

    def on_input_changed(self, event: Input.Changed) -> None:
        """Says at once what it would mean."""
        self._say()

    async def action_do(self) -> None:
        """Enter does it, if it means something; after what was typed before."""
        taken = [asyncio.Event() for _ in self._fields]
        for typed, event in zip(self._inputs(), taken, strict=True):
            typed.call_later(event.set)
        waits = [asyncio.ensure_future(event.wait()) for event in taken]
        await asyncio.wait(waits, timeout=_TYPED_SECONDS)
        line = self._line(self.values())
        try:
            self._check(line)
        except SimError as error:
            self._say(str(error))
        else:
            self.dismiss(line)

    def _say(self, error: str = "") -> None:
        line = self._line(self.values())
        text = Text()
        try:
            said = self._check(line)
            text.append(line, over("accent"))
            if said:
                text.append(f"\n{said}", over("dim"))
        except SimError as problem:
            text.append(line, over("dim"))
            text.append(f"\n! {error or problem}", over("red"))
        text.append("\n\n[Enter]", over("key"))
        text.append(" do it   ", over("dim"))
        text.append("[Esc]", over("key"))
        text.append(" cancel   ", over("dim"))
        text.append("[↑ ↓]", over("key"))
        text.append(" fields", over("dim"))
        self.query_one("#says", Static).update(text)


class ChoiceScreen(ModalScreen[str]):
    """One of a few; gives its key, "" if cancelled."""

    BINDINGS = [Binding("escape", "dismiss('')", "cancel")]  # noqa: RUF012
    DEFAULT_CSS = f"""
    ChoiceScreen {{ {_BOX} }}
    ChoiceScreen > Vertical {{
        width: 72; height: auto; padding: 1 2; border: round #56c8e0; background: #18202a;
    }}
    ChoiceScreen OptionList {{
        height: auto; max-height: 12; border: none; padding: 0; margin: 1 0 0 0;
        background: #18202a;
    }}
    ChoiceScreen OptionList:focus {{ border: none; }}
    ChoiceScreen OptionList > .option-list--option-highlighted {{ background: #26384a; }}
    """

    def __init__(self, title: str, choices: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title = title
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Choices as (key, word, what it does)."""
        with Vertical():
            yield Static(Text(self._title, over("title")))
            options = []
            for key, word, what in self._choices:
                text = Text(f"[{key}] ", over("key"))
                text.append(f"{word}  ", over("bold"))
                text.append(what, over("dim"))
                options.append(Option(text, id=word))
            yield OptionList(*options)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        self._choose(event.option.id or "")

    def on_key(self, event: events.Key) -> None:
        """The key of a choice."""
        for key, word, _ in self._choices:
            if event.key == key:
                event.stop()
                self._choose(word)

    def _choose(self, word: str) -> None:
        """Once: a second key may come before the first has taken effect."""
        if self.app.screen is self:
            self.dismiss(word)


class LineScreen(ModalScreen[str]):
    """A line to type at the foot, with what it may become above it; gives it, "" if cancelled.

    complete: whole lines that the typed one may become. check: raises SimError if it means
    nothing, else what to say of it. changed: called while typing.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "dismiss('')", "cancel"),
        Binding("tab", "complete", "complete", priority=True),
        Binding("down", "next(1)", "next", priority=True),
        Binding("up", "next(-1)", "previous", priority=True),
    ]
    DEFAULT_CSS = """
    LineScreen { align: left bottom; background: #10151b 25%; }
    LineScreen > Vertical {
        width: 100%; height: auto; background: #18202a; border-top: solid #56c8e0;
    }
    LineScreen Horizontal { height: 1; }
    LineScreen Label { width: auto; color: #56c8e0; text-style: bold; padding: 0 0 0 1; }
    LineScreen Input {
        width: 1fr; height: 1; border: none; padding: 0; background: #18202a; color: #d3d9e0;
    }
    LineScreen Input:focus { border: none; background: #26384a; }
    LineScreen Static { height: auto; padding: 0 1; }
    """
    _SHOWN: Final = 8

    def __init__(
        self,
        prompt: str,
        complete: Callable[[str], list[str]] | None = None,
        check: Callable[[str], str] | None = None,
        changed: Callable[[str], None] | None = None,
        value: str = "",
        past: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._prompt = prompt
        self._complete = complete
        self._check = check
        self._changed = changed
        self._value = value
        self._past = past
        self._found: list[str] = []
        self._at = -1

    def compose(self) -> ComposeResult:
        """Suggestions above the line."""
        with Vertical():
            yield Static("", id="found")
            with Horizontal():
                yield Label(Text(f"{self._prompt} "))
                yield Input(self._value, select_on_focus=False)

    def on_mount(self) -> None:
        """Typed into at once."""
        self.query_one(Input).focus()
        self._look()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Suggests and checks."""
        if self._changed is not None:
            self._changed(event.value)
        self._look()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter does it; on a suggestion that was moved to, takes that first."""
        if self._at >= 0:
            self.action_complete()
            return
        line = event.value.strip()
        if self._check is not None and line:
            try:
                self._check(line)
            except SimError as error:
                self._show(str(error))
                return
        self.dismiss(line)

    def action_next(self, step: int) -> None:
        """The next suggestion; lines typed before where nothing is typed."""
        some = self._found
        if not some:
            return
        self._at = (self._at + step) % len(some) if self._at >= 0 or step > 0 else len(some) - 1
        self._show()

    def action_complete(self) -> None:
        """Takes the suggestion."""
        if self._found:
            field = self.query_one(Input)
            chosen = self._found[max(self._at, 0)]
            field.value = chosen + " "
            field.cursor_position = len(field.value)

    def _look(self) -> None:
        line = self.query_one(Input).value
        self._found = self._complete(line) if self._complete else []
        if not line and self._past:
            self._found = [*reversed(self._past[-3:]), *self._found]
        self._at = -1
        self._show()

    def _show(self, error: str = "") -> None:
        line = self.query_one(Input).value.strip()
        text = Text()
        first = max(self._at - self._SHOWN + 1, 0)
        for i, found in enumerate(self._found[first : first + self._SHOWN], first):
            style = over("bold sel") if i == self._at else over("dim")
            text.append(f"{'▸' if i == self._at else ' '} {found}\n", style)
        if len(self._found) > first + self._SHOWN:
            text.append(f"  and {len(self._found) - first - self._SHOWN} more\n", over("faint"))
        if error:
            text.append(f"! {error}", over("red"))
        elif self._check is not None and line:
            try:
                text.append(self._check(line), over("accent"))
            except SimError as problem:
                text.append(f"… {problem}", over("dim"))
        elif self._complete:
            text.append("[Tab] completes  [↑ ↓] choose  [Enter] does it  [Esc] leaves", over("dim"))
        text.rstrip()
        self.query_one("#found", Static).update(text)
