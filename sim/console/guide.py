"""The help screen's text: how to read the console, and every key."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from sim.console.ink import style_of
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
        ("Enter", "agent, link, event under the cursor, closely; other panels: as large as they go"),
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
_PALETTE_ONLY: Final = (
    ("pause, go, step, window", "as the keys"),
    ("speed 900x", "or max, or realtime"),
    ("inspect NAME", "an agent, or `inspect A > B` for a link"),
    ("goto 13:45", "in a recorded run"),
)


def guide() -> Text:
    """All of it."""
    text = Text()
    for title, keys in KEYS:
        text.append(f"{title}\n", style_of("accent"))
        for key, what in keys:
            text.append(f"  {key:<13}", style_of("key"))
            text.append(f" {what}\n")
        text.append("\n")
    text.append("signs\n", style_of("accent"))
    for sign, what in SIGNS:
        text.append(f"  {sign:<16}", style_of("mark"))
        text.append(f" {what}\n")
    text.append("\ncommands, after [:] and for `sim inject`\n", style_of("accent"))
    for command in COMMANDS.values():
        text.append(f"  {command.example}\n", style_of("bold"))
        text.append(f"      {command.help}\n", style_of("dim"))
    for line, what in _PALETTE_ONLY:
        text.append(f"  {line}", style_of("bold"))
        text.append(f"  {what}\n", style_of("dim"))
    text.append(
        "\nA paused run stands still for as long as you like: agents wait without a deadline, and\n"
        "nothing they do can depend on it. Durations after `for` are virtual; dialogs say how long\n"
        "that is for you. The console is a process of its own: closing it changes nothing.\n",
        style_of("dim"),
    )
    return text
