"""The console: what each key does.

Everything a person does is a request to the source. Nothing here knows whether the run is alive or
recorded but by asking the source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from sim.console.board import Board
from sim.console.fault_forms import (
    Form,
    link_form,
    noise_form,
    partition_form,
    pattern_of,
    process_form,
)
from sim.console.forms import ChoiceScreen, FormScreen, LineScreen
from sim.console.inspect import Subject
from sim.console.screens import HelpScreen, InspectScreen, OutcomeScreen
from sim.console.shell import Shell
from sim.console.source import BACK, SEEK, Source
from sim.console.speeds import next_speed
from sim.console.typed import OWN_WORDS, check_own, ends_of, meaning, time_meaning
from sim.console.words import clock, speed
from sim.scenario.commands import complete, parse_command, split_words
from sim.units import SECOND

STOPPED: Final = "stopped"
DETACHED: Final = "detached"
OVER: Final = "over"
"""What `run` returns: the owner stopped the run; it goes on without this console; it had ended."""


class Console(Shell):
    """The application. is_owner: whether quitting may stop the run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause"),
        Binding("full_stop", "step", "step"),
        Binding("comma", "window", "window"),
        Binding("plus,equals_sign", "speed(1)", "faster"),
        Binding("minus,underscore", "speed(-1)", "slower"),
        Binding("slash", "find", "find"),
        Binding("k", "fault('kill')", "kill"),
        Binding("z", "fault('hang')", "hang"),
        Binding("r", "fault('restart')", "restart"),
        Binding("l", "link", "link"),
        Binding("p", "partition", "partition"),
        Binding("n", "noise", "noise"),
        Binding("h", "heal", "heal"),
        Binding("f", "filter", "filter"),
        Binding("s", "sort", "sort"),
        Binding("m", "matrix", "matrix"),
        Binding("c", "charts", "charts"),
        Binding("e", "events", "events"),
        Binding("x", "enlarge", "enlarge"),
        Binding("o", "outcome", "outcome"),
        Binding("t", "goto", "go to"),
        Binding("S", "picture", "picture"),
        Binding("colon", "command", "command"),
        Binding("question_mark,f1", "help", "help"),
        Binding("home", "end(False)", "start"),
        Binding("end", "end(True)", "end"),
        Binding("left", "frame(-1)", "back"),
        Binding("right", "frame(1)", "forward"),
        Binding("escape", "out", "back"),
        Binding("q,ctrl+c,ctrl+q", "leave", "quit", priority=False),
    ]

    def __init__(self, source: Source, is_owner: bool = False) -> None:
        super().__init__(source)
        self.is_owner = is_owner
        self._typed: list[str] = []

    # --- time -----------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Pauses, or goes on."""
        self.ask("go" if self.state.is_paused or self._is_at_end() else "pause")

    def _is_at_end(self) -> bool:
        return self.source.is_recorded and self.state.is_over

    def action_step(self) -> None:
        """To the next step of the world."""
        self.ask("step")

    def action_window(self) -> None:
        """To the end of the next window; in a recording a frame back."""
        self.ask(BACK if self.source.is_recorded else "window")

    def action_frame(self, step: int) -> None:
        """In a recording, a frame on or back."""
        if self.source.is_recorded:
            self.ask("step" if step > 0 else BACK)

    def action_end(self, is_end: bool) -> None:
        """In a recording, its end or its start."""
        if self.source.is_recorded:
            self.ask(SEEK, "end" if is_end else "start")

    def action_speed(self, step: int) -> None:
        """The next speed up or down."""
        frame = self.state.frame
        wanted = frame.wanted if frame else self.state.intro.speed
        found = next_speed(step, wanted, frame.speed if frame else 0, self.source.is_recorded)
        if found is None:
            return
        text = "max" if math.isinf(found) else f"{found:g}x"
        self.ask("speed", text, lambda: self.tell(f"speed {speed(found)}"))

    def action_goto(self) -> None:
        """In a recording, to a time that is typed."""
        if not self.source.is_recorded:
            self.tell("only a recorded run can be moved through; a live one steps: [.]", False)
            return
        end = self.state.total_ns

        def seek(line: str | None) -> None:
            if line:
                self._seek(line)

        self.push_screen(LineScreen("go to", check=lambda line: time_meaning(line, end)), seek)

    def _seek(self, text: str) -> None:
        """To a time, to look at it there."""
        self.ask(SEEK, text, lambda: self.ask("pause"))

    # --- looking --------------------------------------------------------------------------------

    def action_find(self) -> None:
        """Filters the agents while typing."""
        agents = self.main.agents

        def changed(text: str) -> None:
            agents.find = text.strip()
            order = agents.order()
            if order and self.state.selected not in order:
                self.state.selected = order[0]
            self.show()

        def done(text: str | None) -> None:
            changed(text or "")
            self.main.query_one("#agents", Board).focus()

        self.push_screen(LineScreen("find an agent /", changed=changed, value=agents.find), done)

    def action_sort(self) -> None:
        """The next order of agents."""
        self.main.agents.next_sort()
        self.show()

    def action_filter(self) -> None:
        """The next kind of events."""
        if not self.main.bring("events"):
            self.main.story.next_filter()
        self.show()

    def action_events(self) -> None:
        """The events, where there is no room for all."""
        self.main.bring("events")

    def action_matrix(self) -> None:
        """The links, or their next figure."""
        if not self.main.bring("links"):
            self.main.links.next_mode()
        self.show()

    def action_charts(self) -> None:
        """The charts, or the next of them."""
        if not self.main.bring("charts"):
            self.main.charts.next_page()
        self.show()

    def action_enlarge(self) -> None:
        """The panel with the cursor as large as it goes."""
        board = self.main.focused
        name = board.id if isinstance(board, Board) and board.id != "top" else ""
        self.main.enlarge(name or "agents")

    def action_outcome(self) -> None:
        """The outcome as a whole."""
        if not isinstance(self.screen, OutcomeScreen):
            self.push_screen(OutcomeScreen(self.state))

    def action_help(self) -> None:
        """How to read it."""
        self.push_screen(HelpScreen())

    def action_out(self) -> None:
        """Out of what is large or filtered."""
        if self.main.large:
            self.main.enlarge("")
        elif self.main.agents.find:
            self.main.agents.find = ""
            self.show()

    def on_board_entered(self, event: Board.Entered) -> None:
        """Enter: closely, or large."""
        name = event.board.id
        if self.screen is not self.main:
            return
        if name == "agents" and self.state.agent:
            self.inspect(self.state.agent)
        elif name == "links" and (ends := self.main.links.ends):
            self._inspect_link(*ends)
        elif name == "events" and (line := self.main.story.selected):
            self.tell(f"{clock(line.time_ns)} {line.agent} {line.text}".strip())
        elif name == "outcome":
            self.action_outcome()
        elif name and name != "top":
            self.main.enlarge(name)

    def on_board_moved(self, event: Board.Moved) -> None:
        """A click on the line of time goes there."""
        panel = self.main.top
        if event.board.panel is panel and panel.wanted_ns is not None:
            wanted, panel.wanted_ns = panel.wanted_ns, None
            self.ask(SEEK, f"{wanted / SECOND:.3f}s")

    def _inspect_link(self, first: str, second: str) -> None:
        """A link between two agents; the agents of a role where the matrix is one of roles."""
        if {first, second} <= {card.name for card in self.state.intro.agents}:
            self.inspect(first, second)
            return
        self._find(first)
        self.main.query_one("#agents", Board).focus()
        self.tell(f"the table shows {first}; a link: [:] inspect {first}-1 > {second}")

    def inspect(self, agent: str, target: str = "") -> None:
        """Looks at an agent or a link closely."""
        subject = Subject(self.state, agent, target)
        screen = InspectScreen(self.state, subject)
        self.push_screen(screen)
        self.ask("inspect", subject.ask, refused=lambda: self._leave_screen(screen))

    def _leave_screen(self, screen: InspectScreen) -> None:
        """Back from a subject that there is nothing to tell of."""
        if self.screen is screen:
            self.pop_screen()

    def action_leave_inspect(self) -> None:
        """Back, and no more details."""
        self.pop_screen()
        self.ask("inspect", "")

    def action_picture(self) -> None:
        """The screen as an SVG, in the run's directory or here."""
        folder = Path(self.source.intro.directory or ".")
        if not folder.is_dir():
            folder = Path()
        stem = re.sub(r"[^0-9a-z]+", "-", f"console-{clock(self.state.now_ns)}")
        path = next(
            p for i in range(10_000)
            if not (p := folder / f"{stem}{f'-{i}' * bool(i)}.svg").exists()
        )  # fmt: skip
        try:
            path.write_text(self.export_screenshot(title=self.source.intro.scenario), "utf-8")
        except OSError as error:
            self.tell(f"no picture: {error.strerror}: {path}", False)
        else:
            self.tell(f"picture: {path}")

    # --- doing ----------------------------------------------------------------------------------

    def _may_change(self) -> bool:
        """Whether faults may be injected; if not, says why."""
        if self.source.is_recorded:
            self.tell("this run is recorded: it can be watched, not changed", False)
        elif self.state.is_read_only:
            self.tell("read-only: this console looks on", False)
        elif self.state.is_over or self.state.lost:
            self.tell("the run is over", False)
        else:
            return True
        return False

    def _ask_form(self, form: Form) -> None:
        """Shows a form, if it may be done what it is for."""
        if self._may_change():
            screen = FormScreen(form.title, form.fields, form.line, self.check)
            self.push_screen(screen, self._typed_line)

    def _subject(self) -> str:
        screen = self.screen
        if isinstance(screen, InspectScreen) and screen.subject.place >= 0:
            return screen.subject.agent
        return self.state.agent

    def _ends(self) -> tuple[str, str]:
        """The link that is looked at; else those of the agent that is."""
        screen = self.screen
        if isinstance(screen, InspectScreen) and screen.subject.target:
            return screen.subject.agent, screen.subject.target
        focused = screen.focused
        is_at_links = isinstance(focused, Board) and focused.id == "links"
        return (self.main.links.ends if is_at_links else None) or (self._subject(), "*")

    def action_fault(self, kind: str) -> None:
        """Kill, hang or restart."""
        self._ask_form(process_form(kind, self._subject()))

    def action_link(self) -> None:
        """Degrade or cut links."""
        first, second = (pattern_of(end, self.state.intro) for end in self._ends())
        self._ask_form(link_form(first, second))

    def action_partition(self) -> None:
        """Cuts two sides off from each other."""
        self._ask_form(partition_form(self._subject()))

    def action_noise(self) -> None:
        """Noise on numbers."""
        self._ask_form(noise_form())

    def action_heal(self) -> None:
        """Lifts every fault."""
        if self._may_change():
            self.ask("inject", parse_command(["heal"], self.source.intro))

    def action_command(self) -> None:
        """Any command, typed."""
        screen = LineScreen(
            ":", complete=lambda line: complete(line, self.source.intro, OWN_WORDS),
            check=self.check, past=self._typed,
        )  # fmt: skip
        self.push_screen(screen, self._typed_line)

    def check(self, line: str) -> str:
        """What a line means, for the person who types it. Raises: SimError."""
        return meaning(line, self.state)

    def _typed_line(self, line: str | None) -> None:
        if not line:
            return
        self._typed = [*(x for x in self._typed if x != line), line][-50:]
        words = split_words(line)
        if words[0] in OWN_WORDS:
            self._do_own(words)
        elif self._may_change():
            self.ask("inject", parse_command(words, self.source.intro))

    def _do_own(self, words: list[str]) -> None:
        """Does one of the console's own words. Raises: ScenarioError if that cannot be."""
        check_own(words, self.state.total_ns)
        word, rest = words[0], " ".join(words[1:])
        acts: dict[str, Callable[[], None]] = {
            "speed": lambda: self.ask("speed", rest),
            "goto": lambda: self._seek(rest),
            "inspect": lambda: self.inspect(*ends_of(rest)[:2]),
            "find": lambda: self._find(rest),
            "quit": self.action_leave,
        }
        acts.get(word, lambda: self.ask(word))()

    def _find(self, text: str) -> None:
        self.main.agents.find = text
        self.show()

    # --- leaving --------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Quits; the owner of a run that goes on is asked what becomes of it."""
        if self.state.is_over or self.state.lost:
            self.exit(OVER)
        elif self.source.is_recorded or not self.is_owner or self.state.is_read_only:
            self.exit(DETACHED)
        else:
            without = "it stays paused" if self.state.is_paused else "it goes on without a console"
            choices = [
                ("s", "stop", "the run ends now; what it has is kept"),
                ("d", "detach", f"{without}; `sim watch` looks again"),
                ("c", "cancel", "stay here"),
            ]
            self.push_screen(ChoiceScreen("quit: and the run?", choices), self._leave)

    def _leave(self, choice: str | None) -> None:
        if self.state.lost:
            self.exit(OVER)
        elif choice == "stop":
            self.ask("stop", done=lambda: self.exit(STOPPED))
        elif choice == "detach":
            self.exit(DETACHED)

    async def action_quit(self) -> None:
        """The framework's own way out asks as well."""
        self.action_leave()
