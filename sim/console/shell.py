"""The console without its keys: takes frames ten times a second, draws what they changed, asks.

Everything asked of the source is answered in a worker thread; the screen never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from textual.app import App, ScreenStackError
from textual.worker import get_current_worker

from sim.console import terminal
from sim.console.screens import BoardScreen, MainScreen, OutcomeScreen
from sim.console.source import Source
from sim.console.state import State
from sim.errors import SimError
from sim.wire.live import OPEN_ASKS

FRAMES_PER_SECOND: Final = 10


class Shell(App[str]):
    """A source, what is known of its run, and the screens that show it."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "sim"
    CSS = """
    Toast { background: #18202a; color: #d3d9e0; max-width: 70; }
    ToastRack { margin-bottom: 2; }
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.state = State(source.intro, source.is_read_only and not source.is_recorded)
        self.main = MainScreen(self.state)
        self._has_told = False
        self._last_status = ""

    def on_mount(self) -> None:
        """Begins to look for frames."""
        self.push_screen(self.main)
        self.set_interval(1 / FRAMES_PER_SECOND, self.tick)

    def panic(self, *renderables: Any) -> None:
        """A mistake of the framework's or ours; none if the terminal is gone."""
        terminal.end_if_gone(*renderables)
        super().panic(*renderables)

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
            said = said or "done, and recorded"
            if self.state.is_paused and not said.startswith("nothing"):
                self.tell(f"{said}; strikes when the run goes on", seconds=12)
            else:
                self.tell(said)
        if then is not None:
            then()
        self.tick()

    def tell(self, text: str, is_ok: bool = True, seconds: float = 0) -> None:
        """A word for the person, that goes by itself."""
        severity: Any = "information" if is_ok else "warning"
        seconds = seconds or (4 if is_ok else 7)
        self.notify(text, severity=severity, markup=False, timeout=seconds)
