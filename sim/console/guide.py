"""The help screen's text: how to read the console, and every key."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sim.console.ink import over
from sim.scenario.commands import COMMANDS

KEYS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    ("time", (
        ("space", "pause, go on; agents notice nothing, deadlines stand still with the clock"),
        (".", "to the next step of the world, then pause; recorded: a frame forward"),
        (",", "to the end of the next window, then pause; recorded: a frame back"),
        ("+ -", "faster, slower; above the last step: as fast as it goes"),
        ("t", "recorded: to a time as 13:45, 6h10min, 50%; Home and End: the ends; ← → a frame"),
    )),
    ("look", (
        ("Tab ↑ ↓ ← →", "from panel to panel; within a panel"),
        ("Enter", "agent, link, event under the cursor, closely; other panels as large as can be"),
        ("/", "find an agent by a part of its name or role"),
        ("s", "sort agents: trouble, name, role, score, age, memory"),
        ("m", "links: loss lately, delay, messages sent; in a small terminal shows them first"),
        ("c", "charts: the next figures; ← → the time they cover"),
        ("f", "events: all, faults, trouble, market, said by agents, yours"),
        ("e", "in a small terminal: back to the events"),
        ("x", "the panel with the cursor as large as it goes, and back"),
        ("o", "the whole outcome, faults and failures"),
        ("S", "a picture of the screen (SVG) into the run's directory"),
    )),
    ("do", (
        ("k z r", "kill, hang, restart the selected agent"),
        ("l p", "degrade or cut links; cut two sides off from each other"),
        ("n h", "noise on the numbers in messages; heal: lift every fault"),
        (":", "any command, names completed by Tab; see below"),
        ("q", "quit: stop the run, or leave it running"),
    )),
)  # fmt: skip
SIGNS: Final = (
    ("▲", "a fault; in the bar and the charts where it struck"),
    ("●", "a market's result, or an agent that is up"),
    ("✗ ‖ ○", "an agent killed or failed, hung, finished"),
    ("╳", "a link that is cut, a line that is open"),
    ("✓ ✗ =", "the run against the column `rule`: better, worse, within half a percent"),
    ("*", "a column of the whole run, beside a run that is not over"),
    ("(you, recorded)", "what you did; a replay does it again at the same virtual time"),
)
_CLOSING: Final = (
    "A paused run stands still for as long as you like: agents wait without a deadline, and "
    "nothing they do can depend on it. Durations after `for` are virtual; dialogs say how long "
    "that is for you. The console is a process of its own: closing it changes nothing."
)
_PALETTE_ONLY: Final = (
    ("pause, go, step, window", "as the keys"),
    ("speed 900x", "or max, or realtime"),
    ("inspect NAME", "an agent, or `inspect A > B` for a link"),
    ("goto 13:45", "in a recorded run"),
)


def guide() -> Group:
    """All of it; what is long goes on below itself."""
    parts: list[RenderableType] = []
    for title, keys in KEYS:
        parts += [_title(title), _table([(key, what) for key, what in keys], "key", 13)]
    parts += [_title("signs"), _table(list(SIGNS), "mark", 15)]
    commands = [(command.example, command.help) for command in COMMANDS.values()]
    parts += [_title("commands, after [:] and for `sim inject`")]
    for example, what in [*commands, *_PALETTE_ONLY]:
        parts.append(Text(f"  {example}", over("bold")))
        parts.append(Padding(Text(what, over("dim")), (0, 0, 0, 6)))
    parts += [Text(), Text(_CLOSING, over("dim"))]
    return Group(*parts)


def _title(text: str) -> Text:
    return Text(f"\n{text}", over("accent"))


def _table(rows: list[tuple[str, str]], ink: str, width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=width + 2)
    table.add_column(overflow="fold")
    for key, what in rows:
        table.add_row(Text(f"  {key}", over(ink)), Text(what))
    return table
