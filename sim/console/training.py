"""Training for people: what is trained by what, one live line, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sim.clock import monotonic
from sim.console.line import Line, print_next, span
from sim.console.summary import number
from sim.learn.plan import Plan
from sim.learn.presets import PRESETS
from sim.learn.record import Rollout
from sim.learn.train import Outcome, Progress

_PLAIN_SECONDS: Final = 10.0
_SHOWN: Final = ("policy_loss", "value_loss", "q_loss", "entropy", "approx_kl")
"""Figures of a learner that fit a line, as far as it has them."""
_STYLES: Final = {"completed": "bold green", "failed": "bold red"}
_REASONS: Final = {
    "frames": "all frames that were asked for",
    "plateau": "the return has come to rest, see learn.plateau",
    "interrupted": "after a whole update, which is kept",
    "interrupted during an update": "during an update, which is lost",
}


def print_plan(
    console: Console, plan: Plan, rollout: Rollout, frames: int, device: str, run: str
) -> None:
    """What is trained by what, on which rollout and why. frames: asked for."""
    grid = _grid()
    for preset in dict.fromkeys(plan.groups.values()):
        sides = [side for side in rollout.sides if plan.groups[side.group] == preset]
        who = ", ".join(f"{side.group} ({len(side.agents)})" for side in sides)
        grid.add_row("trains", f"{who} by {preset}: {PRESETS[preset]}")
    grid.add_row("rollout", f"{rollout.kind}, {_copies(rollout.copies)}: {rollout.reason}")
    grid.add_row("on", device)
    grid.add_row("frames", f"{frames:,}")
    if plan.spec.train_days is not None:
        grid.add_row("days", " to ".join(plan.spec.train_days))
    grid.add_row("run", run)
    console.print(grid)


def _grid() -> Table:
    """Labels, and what stands beside them."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _copies(count: int) -> str:
    return f"{count:,} {'copies' if count != 1 else 'copy'}"


class TrainingDisplay(Line):
    """Shows the progress it is called with. Use as a context manager.

    is_live: lines that change; otherwise a plain line about every ten seconds.
    """

    def __init__(self, name: str, console: Console, is_live: bool) -> None:
        super().__init__(console, is_live)
        self._name = name
        self._due = 0.0
        self._progress: Progress | None = None
        self._is_stopping = False
        self._does("prepares the copies of the world and the learner")

    def first(self, copies: int, decisions: int, rate: float | None) -> None:
        """The first update begins. decisions: of each copy. rate: frames per second of an earlier
        run of the same kind, None if there was none.
        """
        frames = copies * decisions
        time = f", about {span(frames / rate)}" if rate else ""
        self._does(f"plays {frames:,} frames ({_copies(copies)}) for the first update{time}")

    def stop(self) -> None:
        """Ctrl-C was pressed: says what happens now."""
        self._is_stopping = True
        self._console.print("Ctrl-C: finishes this update and saves; again stops at once")

    def __call__(self, progress: Progress) -> None:
        """Takes news."""
        self._progress, self._since = progress, monotonic()
        if not self._is_live and self._since >= self._due:
            self._due = self._since + _PLAIN_SECONDS
            self._console.print(self._words(progress), soft_wrap=True)

    def _does(self, what: str) -> None:
        """What goes on before there are figures."""
        self._doing, self._since = what, monotonic()
        if not self._is_live:
            words = Text.assemble((f"{self._name}  ", "bold"), what)
            self._console.print(words, soft_wrap=True)

    def _shown(self) -> RenderableType:
        if self._progress is not None:
            return self._lines(self._progress)
        spent = span(monotonic() - self._since)
        return _line(
            Text.assemble((f"{self._name}  ", "bold"), f"{self._doing}  ", (spent, "cyan"))
        )

    def _words(self, progress: Progress) -> Text:
        text = Text(f"{self._name}  ", style="bold")
        share = min(progress.frames / progress.total, 1.0)
        text.append(f"{progress.frames:,} frames {share:.0%}", style="none")
        text.append(f"  {self._left(progress)}", style="cyan")
        if progress.score is not None:
            text.append(f"  score {progress.score:.2f}", style="bold green")
        if progress.returns is not None:
            text.append(f"  team return {number(progress.returns)}", style="green")
        else:
            text.append(f"  reward {number(progress.reward)}", style="green")
        text.append(f"  {progress.rate:,.0f}/s", style="dim")
        return text

    def _left(self, progress: Progress) -> str:
        if self._is_stopping:
            return "ends after this update"
        if progress.left is None:
            return "? left"
        return f"{span(max(progress.left - (monotonic() - self._since), 0.0))} left"

    def _lines(self, progress: Progress) -> Group:
        named = {
            name: value
            for name, value in progress.figures.items()
            if name.rpartition("/")[2] in _SHOWN
        }
        is_one = len({name.partition("/")[0] for name in named}) == 1
        figures = [
            f"{(name.partition('/')[2] if is_one else name).replace('_', ' ')} {number(value)}"
            for name, value in named.items()
        ]
        kept = f"checkpoint at {progress.checkpoint:,}" if progress.checkpoint > 0 else ""
        bar = Table.grid()
        bar.add_row(ProgressBar(total=progress.total, completed=progress.frames, width=40))
        below = Text("   ".join(filter(None, (kept, *figures))), style="dim")
        return Group(_line(self._words(progress)), bar, _line(below))


def _line(text: Text) -> Text:
    """Cut where the terminal ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def print_outcome(console: Console, outcome: Outcome, commands: Sequence[Sequence[str]]) -> None:
    """How training ended, and what to type next."""
    text = Text(f"{outcome.scenario} ", style="bold")
    text.append(f" {outcome.status}", style=_STYLES.get(outcome.status, "bold yellow"))
    text.append(f"  {_REASONS.get(outcome.reason, outcome.reason)}", style="none")
    console.print(text)
    grid = _grid()
    if outcome.error:
        grid.add_row("error", Text(outcome.error, style="red"))
    grid.add_row("frames", _frames(outcome))
    if outcome.returns is not None:
        grid.add_row("team return", f"{number(outcome.returns)}, mean of the newest episodes")
    kept = f"at frame {outcome.checkpoint:,}" if outcome.checkpoint >= 0 else "none was written"
    grid.add_row("checkpoint", kept)
    grid.add_row("run", str(outcome.run_dir))
    console.print(grid)
    for i, words in enumerate(commands):
        print_next(console, "next" if i == 0 else "", words)


def _frames(outcome: Outcome) -> str:
    if not outcome.frames:
        return f"0 of {outcome.total:,}: the first update did not come to its end"
    rate = f", {outcome.frames / outcome.seconds:,.0f} per second" if outcome.seconds else ""
    told = f"{outcome.frames:,} in {span(outcome.seconds)}{rate}"
    if outcome.frames > outcome.total:
        return f"{told} ({outcome.total:,} asked; updates are whole)"
    return told if outcome.frames == outcome.total else f"{told} ({outcome.total:,} asked for)"
