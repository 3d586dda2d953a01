"""How far a run has come: one live line in a terminal, plain lines otherwise.

Faults, failures, warnings and what agents print or log stay on the screen as lines of their own;
the rest of the story passes through the last line. Nothing here is asked for by the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.population import Event
from sim.clock import monotonic
from sim.console import words
from sim.progress import Progress
from sim.units import SECOND, clock_text

SIGNS: Final = {
    "fault": "▲",
    "error": "!",
    "warning": "!",
    "stall": "…",
    "market": "●",
    "print": "·",
    "info": "·",
}
_STYLES: Final = {"fault": "yellow", "error": "bold red", "warning": "yellow", "stall": "magenta"}
_KEPT: Final = ("fault", "error", "warning", "print", "info")
_KEPT_MAX: Final = 60
"""Lines of one kind that a run may leave on the screen; its directory has them all."""
_PLAIN_SECONDS: Final = 10.0
_RATE_SECONDS: Final = 1.0


class Rates:
    """Virtual seconds and messages per real second, over about the last second."""

    def __init__(self) -> None:
        self._at: tuple[float, int, int] | None = None
        self.speed = 0.0
        self.messages_per_s = 0.0

    def update(self, progress: Progress) -> None:
        """Takes the latest figures."""
        now = monotonic()
        if self._at is None:
            self._at = (now, progress.done, progress.sent)
            return
        began, done, sent = self._at
        if now - began < (_RATE_SECONDS if self.speed else _RATE_SECONDS / 4):
            return
        self.speed = (progress.done - done) / SECOND / (now - began)
        self.messages_per_s = (progress.sent - sent) / (now - began)
        self._at = (now, progress.done, progress.sent)


def event_text(event: Event) -> Text:
    """A line of the story: when, what, who, and for a failure the author's frames below."""
    sign = SIGNS.get(event.kind, " ")
    who = f"{event.agent}: " if event.agent else ""
    text = Text(f"{clock_text(event.time_ns)} ", style="dim")
    text.append(f"{sign} {who}{event.text}", style=_STYLES.get(event.kind, "none"))
    return text


class Display:
    """Shows the progress it is called with. Use as a context manager.

    is_live: one line that changes; otherwise plain lines, about every tenth or ten seconds.
    """

    def __init__(self, name: str, console: Console, is_live: bool) -> None:
        self._name = name
        self._console = console
        self._rates = Rates()
        self._last = Text("")
        self._is_stalled = False
        self._done = 0
        self._kept: Counter[str] = Counter()
        self._live = (
            Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                redirect_stderr=False,
            )
            if is_live
            else None
        )  # fmt: skip
        self._phase = ""
        self._next_tenth = 0
        self._next_time = 0.0

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
            self._live.update(Text(f"{self._name}  making the world", style="bold"), refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.update(Text(""), refresh=True)
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Takes news."""
        if self._is_stalled and progress.done > self._done:
            self._last, self._is_stalled = Text(""), False
        self._done = progress.done
        self._keep(progress.events)
        if progress.phase == "running":
            self._rates.update(progress)
        if self._live:
            self._live.update(self._line(progress), refresh=True)
        else:
            self._plain(progress)

    def _keep(self, events: Iterable[Event]) -> None:
        for event in events:
            is_plain_stall = event.kind == "stall" and self._live is None
            if event.kind in _KEPT or is_plain_stall:
                self._kept[event.kind] += 1
                if self._kept[event.kind] <= _KEPT_MAX:
                    self._console.print(event_text(event), soft_wrap=self._live is None)
                elif self._kept[event.kind] == _KEPT_MAX + 1:
                    sign = SIGNS[event.kind]
                    self._console.print(f"{sign} more of these in events.jsonl of the directory")
            else:
                self._last, self._is_stalled = event_text(event), event.kind == "stall"

    # --- live -----------------------------------------------------------------------------------

    def _line(self, progress: Progress) -> Group:
        total = max(progress.total, 1)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=total, completed=min(progress.done, total))
        grid.add_row(Text(self._left(progress), style="bold"), bar, self._right(progress))
        last = self._last.copy()
        last.truncate(max(self._console.width - 1, 10), overflow="ellipsis")
        return Group(grid, last)

    def _left(self, progress: Progress) -> str:
        if progress.phase == "starting":
            return f"{self._name}  starting agents"
        if progress.phase == "comparing":
            return f"{self._name}  for comparison: {progress.text}"
        return f"{self._name}  {clock_text(progress.done // SECOND * SECOND)}"

    def _right(self, progress: Progress) -> Text:
        share = f"{progress.done / max(progress.total, 1):4.0%}"
        if progress.phase == "starting":
            return Text(f"{progress.done} of {progress.total}")
        if progress.phase == "comparing":
            return Text(share)
        speed = f"{words.speed(self._rates.speed)}  " if self._rates.speed else ""
        text = Text(f"{share}  {speed}{progress.up} up")
        if progress.ended:
            text.append(f"  {progress.ended} ended")
        if progress.down:
            text.append(f"  {progress.down} down", style="bold yellow")
        if self._rates.messages_per_s:
            text.append(f"  {self._rates.messages_per_s:,.0f} msg/s", style="dim")
        return text

    # --- plain ----------------------------------------------------------------------------------

    def _plain(self, progress: Progress) -> None:
        now, total = monotonic(), max(progress.total, 1)
        tenths = 10 * progress.done // total
        label = progress.phase + progress.text
        if label != self._phase:
            is_run = progress.phase == "running"
            self._phase, self._next_tenth = label, 0 if is_run else 10
            self._next_time = now if is_run else now + _PLAIN_SECONDS / 5
        if self._next_tenth > 10 or (tenths < self._next_tenth and now < self._next_time):
            return
        self._next_time, self._next_tenth = now + _PLAIN_SECONDS, tenths + 1
        share = f"{progress.done / total:.0%}"
        if progress.phase == "running":
            counts = {"down": progress.down, "ended": progress.ended}
            others = "".join(f", {count} {state}" for state, count in counts.items() if count)
            speed = f"  {words.speed(self._rates.speed)}" if self._rates.speed else ""
            line = (
                f"{clock_text(progress.done // SECOND * SECOND)}  {share:>4}{speed}  "
                f"{progress.up} up{others}  {progress.sent:,} messages"
            )
        elif progress.phase == "starting":
            line = f"starting agents: {progress.done} of {progress.total}"
        else:
            line = f"for comparison: {progress.text} {share}"
        self._console.print(line, soft_wrap=True, highlight=False)
