"""The console: takes frames ten times a second, draws what they changed, passes on what is asked.

Everything a person does is a request to the source, answered in a worker thread; the screen never
waits. Nothing here knows whether the run is alive or recorded but by asking the source.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App, ScreenStackError
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from sim.console.board import Board
from sim.console.forms import ChoiceScreen, Field, FormScreen, LineScreen
from sim.console.inspect import Subject
from sim.console.screens import (
    BoardScreen,
    HelpScreen,
    InspectScreen,
    MainScreen,
    OutcomeScreen,
)
from sim.console.source import BACK, SEEK, Source, time_ns
from sim.console.state import State
from sim.console.words import clock, for_you, speed
from sim.errors import ScenarioError, SimError
from sim.scenario.commands import complete, parse_command, split_words
from sim.units import SECOND, duration_ns, speed_factor
from sim.wire.live import OPEN_ASKS

FRAMES_PER_SECOND: Final = 10
SPEEDS: Final = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18_000, 36_000,
    86_400,
)  # fmt: skip
STOPPED: Final = "stopped"
DETACHED: Final = "detached"
OVER: Final = "over"
"""What `run` returns: the owner stopped the run; it goes on without this console; it had ended."""
_OWN_WORDS: Final = ("pause", "go", "step", "window", "speed", "inspect", "find", "goto", "quit")


class Console(App[str]):
    """The application. is_owner: whether quitting may stop the run."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "sim"
    CSS = """
    Toast { background: #18202a; color: #d3d9e0; max-width: 70; }
    ToastRack { margin-bottom: 2; }
    """
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
        super().__init__()
        self.source = source
        self.is_owner = is_owner
        self.state = State(source.intro, source.is_read_only and not source.is_recorded)
        self.main = MainScreen(self.state)
        self._typed: list[str] = []
        self._has_told = False
        self._last_status = ""

    def on_mount(self) -> None:
        """Begins to look for frames."""
        self.push_screen(self.main)
        self.set_interval(1 / FRAMES_PER_SECOND, self.tick)

    # --- frames ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """Takes what has come; draws if that changed anything."""
        if not self._is_shown():
            return
        try:
            frames = self.source.news()
        except SimError as error:
            frames = []
            self.state.lost = self.state.lost or str(error)
        for frame in frames:
            self.state.take(frame)
        status = self.state.status
        if frames or status != self._last_status:
            self._last_status = status
            self.show()
        is_told = self._has_told or self.source.is_recorded or self.screen is not self.main
        if self.state.is_over and not is_told:
            self._has_told = True
            self.push_screen(OutcomeScreen(self.state))

    def _is_shown(self) -> bool:
        """Whether there is a screen; while the console closes there is none."""
        try:
            return self.screen is not None
        except ScreenStackError:
            return False

    def show(self) -> None:
        """Draws the screen that is seen; a dialog leaves the one below it alive."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BoardScreen):
                screen.show()
            if not screen.is_modal:
                break

    # --- asking ---------------------------------------------------------------------------------

    def ask(
        self,
        what: str,
        text: str = "",
        done: Callable[[], None] | None = None,
        refused: Callable[[], None] | None = None,
    ) -> None:
        """Asks the source from a worker thread; what it answers is told."""
        if self.state.is_read_only and what not in OPEN_ASKS:
            self.tell(f"read-only: this console looks on; {what!r} is for the run's owner", False)
            return
        if self.state.is_over and not self.source.is_recorded:
            if what not in OPEN_ASKS:
                self.tell("the run is over", False)
            return

        def work() -> None:
            try:
                answer = self.source.ask(what, text)
                is_ok, said = answer.is_ok, answer.text
            except SimError as error:
                is_ok, said = False, str(error)
            if not get_current_worker().is_cancelled:
                then = done if is_ok else refused
                self.call_from_thread(self._answered, what, is_ok, said, then)

        self.run_worker(work, thread=True, exit_on_error=False)

    def _answered(self, what: str, is_ok: bool, said: str, then: Callable[[], None] | None) -> None:
        if not self._is_shown():
            return
        if not is_ok:
            self.tell(said, False)
        elif what == "inject":
            self.tell(said or "done, and recorded")
        if then is not None:
            then()
        self.tick()

    def tell(self, text: str, is_ok: bool = True) -> None:
        """A word for the person, that goes by itself."""
        severity: Any = "information" if is_ok else "warning"
        self.notify(text, severity=severity, markup=False, timeout=4 if is_ok else 7)

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
        if math.isinf(wanted):
            if step > 0:
                return
            found = max(
                (s for s in SPEEDS if s < (frame.speed if frame else 0)), default=SPEEDS[-1]
            )
            if self.source.is_recorded:
                found = 900
        elif step > 0:
            found = next((s for s in SPEEDS if s > wanted * 1.001), math.inf)
        else:
            found = max((s for s in SPEEDS if s < wanted * 0.999), default=SPEEDS[0])
        text = "max" if math.isinf(found) else f"{found:g}x"
        self.ask("speed", text, lambda: self.tell(f"speed {speed(found)}"))

    def action_goto(self) -> None:
        """In a recording, to a time that is typed."""
        if not self.source.is_recorded:
            self.tell("only a recorded run can be moved through; a live one steps: [.]", False)
            return
        end = self.state.total_ns

        def check(line: str) -> str:
            try:
                return f"to {clock(min(time_ns(line, end), end))}"
            except ValueError as error:
                raise ScenarioError(str(error)) from None

        def seek(line: str | None) -> None:
            if line:
                self._seek(line)

        self.push_screen(LineScreen("go to", check=check), seek)

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

    def _form(self, title: str, fields: list[Field], line: Callable[[dict[str, str]], str]) -> None:
        if self._may_change():
            self.push_screen(FormScreen(title, fields, line, self.check), self._typed_line)

    def _for_field(self, value: str = "") -> Field:
        return Field("for", "for", value, "for ever, or a virtual time as 10min")

    def action_fault(self, kind: str) -> None:
        """Kill, hang or restart."""
        title = {
            "kill": "kill: its process dies, its memory is lost",
            "hang": "hang: its process is stopped, what it is sent waits",
            "restart": "restart: it starts anew, without memory",
        }[kind]
        fields = [Field("agent", "agent", self._subject(), "a name or a pattern as ev-*")]
        if kind != "restart":
            fields.append(self._for_field())
        self._form(title, fields, lambda v: _words(kind, v["agent"], for_=v.get("for", "")))

    def _subject(self) -> str:
        screen = self.screen
        if isinstance(screen, InspectScreen) and screen.subject.place >= 0:
            return screen.subject.agent
        return self.state.agent

    def action_link(self) -> None:
        """Degrade or cut links."""
        ends = self.main.links.ends if self._is_at_links() else None
        screen = self.screen
        if isinstance(screen, InspectScreen) and screen.subject.target:
            ends = screen.subject.agent, screen.subject.target
        first, second = ends or (self._subject(), "*")
        fields = [
            Field("from", "from", self._pattern(first), "a name, a pattern, or a,b"),
            Field("to", "to", self._pattern(second), "a name, a pattern, or a,b"),
            Field("loss", "loss", "", "30%, or 100% to cut"),
            Field("latency", "latency", "", "as it is, or 80ms"),
            self._for_field(),
        ]

        def line(v: dict[str, str]) -> str:
            return _words("link", v["from"], v["to"], loss=v["loss"], latency=v["latency"],
                          for_=v["for"])  # fmt: skip

        self._form("link: replace what messages meet on their way", fields, line)

    def _is_at_links(self) -> bool:
        focused = self.screen.focused
        return isinstance(focused, Board) and focused.id == "links"

    def _pattern(self, end: str) -> str:
        """An end of the matrix as a pattern: a role stands for its agents."""
        names = [card.name for card in self.state.intro.agents]
        if end in names or end == "*":
            return end
        return ",".join(c.name for c in self.state.intro.agents if c.role == end) or end

    def action_partition(self) -> None:
        """Cuts two sides off from each other."""
        fields = [
            Field("from", "one side", self._subject(), "a name, a pattern, or a,b"),
            Field("to", "the other", "*", "everybody else: *"),
            self._for_field(),
        ]
        self._form(
            "partition: no message crosses between two sides", fields,
            lambda v: _words("partition", v["from"], v["to"], for_=v["for"]),
        )  # fmt: skip

    def action_noise(self) -> None:
        """Noise on numbers."""
        fields = [
            Field("sigma", "noise", "10%", "relative to each number"),
            Field("topic", "topic", "", "all of them"),
            self._for_field(),
        ]
        self._form(
            "noise on the numbers in messages", fields,
            lambda v: _words("noise", v["sigma"], topic=v["topic"], for_=v["for"]),
        )  # fmt: skip

    def action_heal(self) -> None:
        """Lifts every fault."""
        if self._may_change():
            self.ask("inject", parse_command(["heal"], self.source.intro))

    def action_command(self) -> None:
        """Any command, typed."""
        screen = LineScreen(
            ":", complete=lambda line: complete(line, self.source.intro, _OWN_WORDS),
            check=self.check, past=self._typed,
        )  # fmt: skip
        self.push_screen(screen, self._typed_line)

    def check(self, line: str) -> str:
        """What a line means, for the person who types it. Raises: SimError."""
        words = split_words(line)
        if words and words[0] in _OWN_WORDS:
            return self._own_word(words, is_done=False)
        entry = parse_command(words, self.source.intro)
        for i, word in enumerate(words):
            span = word.partition("=")[2] if word.startswith("--for=") else ""
            span = words[i + 1] if word == "--for" else span
            if span:
                return f"{entry}   {for_you(duration_ns(span) / SECOND, self.state.frame)}"
        return entry

    def _typed_line(self, line: str | None) -> None:
        if not line:
            return
        self._typed = [*(x for x in self._typed if x != line), line][-50:]
        words = split_words(line)
        if words[0] in _OWN_WORDS:
            self._own_word(words, is_done=True)
        elif self._may_change():
            self.ask("inject", parse_command(words, self.source.intro))

    def _own_word(self, words: list[str], is_done: bool) -> str:
        """Commands of the console itself: checks, and does if that is wanted."""
        word, rest = words[0], " ".join(words[1:])
        if word == "speed":
            try:
                speed_factor(rest)
            except ValueError as error:
                raise ScenarioError(f"speed: {error}") from None
        if word == "goto":
            try:
                time_ns(rest, self.state.total_ns)
            except ValueError as error:
                raise ScenarioError(f"goto: {error}") from None
        ends = [end.strip() for end in rest.split(">")]
        if word == "inspect" and not all(ends):
            raise ScenarioError("inspect: expected an agent, or A > B")
        if is_done:
            acts: dict[str, Callable[[], None]] = {
                "speed": lambda: self.ask("speed", rest),
                "goto": lambda: self._seek(rest),
                "inspect": lambda: self.inspect(*ends[:2]),
                "find": lambda: self._find(rest),
                "quit": self.action_leave,
            }
            acts.get(word, lambda: self.ask(word))()
        return f"{word} {rest}".strip()

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
        if choice == "stop":
            self.ask("stop", done=lambda: self.exit(STOPPED))
        elif choice == "detach":
            self.exit(DETACHED)

    async def action_quit(self) -> None:
        """The framework's own way out asks as well."""
        self.action_leave()


def _words(command: str, *plain: str, **options: str) -> str:
    """A command line of what a form holds; empty options are left out."""
    words = [command, *(shlex.quote(word) if "*" not in word else word for word in plain if word)]
    for name, value in options.items():
        if value:
            words += [f"--{name.rstrip('_')}", shlex.quote(value)]
    return " ".join(words)
