"""What a person does becomes what the source is asked; nothing they type breaks the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from console.fakes import FakeRecording, FakeSource, detail_of, replace, stored
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from sim.console.app import DETACHED, OVER, STOPPED, Console
from sim.console.board import Board
from sim.console.forms import ChoiceScreen, FormScreen, LineScreen
from sim.console.screens import HelpScreen, InspectScreen, MainScreen, OutcomeScreen
from sim.console.source import RecordedSource

pytestmark = pytest.mark.asyncio
WIDE = (160, 45)
SMALL = (80, 24)


def live(name: str = "quickstart", many: int = 10, is_read_only: bool = False) -> FakeSource:
    intro, frames = stored(name)
    return FakeSource(intro, frames[:many], is_read_only)


@asynccontextmanager
async def shown(
    source: FakeSource | RecordedSource, size: tuple[int, int] = WIDE, is_owner: bool = True
) -> AsyncIterator[tuple[Console, Pilot[str]]]:
    app = Console(source, is_owner)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        app.tick()
        await pilot.pause()
        yield app, pilot
        assert "cannot be drawn" not in screen_text(app)


async def settle(app: Console, pilot: Pilot[str]) -> None:
    """Until what was asked is answered."""
    await app.workers.wait_for_complete()
    await pilot.pause()


async def press(app: Console, pilot: Pilot[str], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(app, pilot)


async def type_in(pilot: Pilot[str], text: str) -> None:
    names = {" ": "space", "-": "minus", "*": "asterisk", ".": "full_stop", ":": "colon",
             "%": "percent_sign", ">": "greater_than_sign"}  # fmt: skip
    await pilot.press(*(names.get(char, char) for char in text))
    await pilot.pause()


def screen_text(app: Console) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def told(app: Console) -> str:
    return "\n".join(note.message for note in app._notifications)


@pytest.mark.parametrize(
    ("key", "ask"),
    [
        ("space", ("pause", "")),
        ("full_stop", ("step", "")),
        ("comma", ("window", "")),
        ("plus", ("speed", "1800x")),
        ("minus", ("speed", "600x")),
        ("h", ("inject", "{heal: true}")),
    ],
)
async def test_a_key_is_an_ask(key: str, ask: tuple[str, str]) -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, key)
        assert source.asked == [ask]


async def test_a_paused_run_goes_on_by_the_same_key() -> None:
    source = live()
    source.frames[-1] = replace(source.frames[-1], status="paused")
    async with shown(source) as (app, pilot):
        assert "PAUSED" in screen_text(app)
        await press(app, pilot, "space")
        assert source.asked == [("go", "")]


async def test_what_the_broker_refuses_is_told() -> None:
    source = live()
    source.refuses["step"] = "not now: [bold]the run[/] ends"
    async with shown(source) as (app, pilot):
        await press(app, pilot, "full_stop")
        assert "not now: [bold]the run[/] ends" in told(app)


@pytest.mark.parametrize(
    ("key", "typed", "entry"),
    [
        ("k", "10s", "{kill: agent-1, for: 10s}"),
        ("z", "10s", "{hang: agent-1, for: 10s}"),
        ("k", "", "{kill: agent-1}"),
        ("r", "", "{restart: agent-1}"),
        ("p", "2min", "{partition: [agent-1, '*'], for: 2min}"),
    ],
)
async def test_a_dialog_is_a_fault(key: str, typed: str, entry: str) -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, key)
        assert isinstance(app.screen, FormScreen)
        await type_in(pilot, typed)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == [("inject", entry)]


async def test_the_link_dialog() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "l")
        form = app.screen
        assert isinstance(form, FormScreen)
        form.query_one("#field-to", Input).value = "agent-2"
        await type_in(pilot, "30%")
        form.query_one("#field-burst", Input).value = "10%:200ms"
        form.query_one("#field-for", Input).value = "60s"
        await press(app, pilot, "enter")
        assert source.asked == [
            ("inject", "{link: [agent-1, agent-2], loss: 30%, burst: '10%:200ms', for: 60s}")
        ]


async def test_a_dialog_says_what_is_wrong_and_how_long_it_is_for_you() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "k")
        await type_in(pilot, "1h")
        assert "1 h = 4 s for you" in screen_text(app)
        app.screen.query_one("#field-agent", Input).value = "agnt-1"
        await pilot.pause()
        assert "did you mean 'agent-1'" in screen_text(app)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, FormScreen)
        await press(app, pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == []


async def test_a_dialog_takes_keys_faster_than_it_shows_them() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "l")
        for key in ("3", "0", "%", *["down"] * 3, "2", "0", "s", "up", "5", "m", "s", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settle(app, pilot)
        await settle(app, pilot)
        assert source.asked == [
            ("inject", "{link: [agent-1, '*'], loss: 30%, latency: 5ms, for: 20s}")
        ]


async def test_noise_begins_with_its_amount() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "n")
        assert "▸ noise" in screen_text(app)
        await type_in(pilot, "25%")
        await press(app, pilot, "enter")
        assert source.asked == [("inject", "{noise: 25%}")]


async def test_noise_needs_no_topic() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "n", "enter")
        assert source.asked == [("inject", "{noise: 10%}")]


async def test_the_palette_completes_and_injects() -> None:
    source = live("smart_grid")
    async with shown(source) as (app, pilot):
        await press(app, pilot, "colon")
        assert isinstance(app.screen, LineScreen)
        await type_in(pilot, "kill ba")
        assert "kill battery-2" in screen_text(app)
        await press(app, pilot, "down", "down", "tab")
        assert app.screen.query_one(Input).value == "kill battery-2 "
        await type_in(pilot, "--for 10min")
        assert "{kill: battery-2, for: 10min}" in screen_text(app)
        await press(app, pilot, "enter")
        assert source.asked == [("inject", "{kill: battery-2, for: 10min}")]


async def test_the_palette_keeps_what_means_nothing() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "colon")
        await type_in(pilot, "kil agent-1")
        await press(app, pilot, "enter")
        assert isinstance(app.screen, LineScreen)
        assert "did you mean 'kill'" in screen_text(app)
        assert source.asked == []
        app.screen.query_one(Input).cursor_position = len("kil")
        await type_in(pilot, "l")
        assert app.screen.query_one(Input).value == "kill agent-1"
        app.screen.query_one(Input).value = "kil agent-1"
        await press(app, pilot, "enter", "escape")
        assert isinstance(app.screen, MainScreen), "one key leaves it"


@pytest.mark.parametrize(
    ("line", "ask"),
    [("pause", ("pause", "")), ("speed max", ("speed", "max")), ("step", ("step", ""))],
)
async def test_the_palette_takes_words_of_the_console(line: str, ask: tuple[str, str]) -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "colon")
        await type_in(pilot, line)
        await press(app, pilot, "enter")
        assert source.asked == [ask]


async def test_inspecting_an_agent() -> None:
    source = live()
    async with shown(source, SMALL) as (app, pilot):
        await press(app, pilot, "down", "enter")
        assert isinstance(app.screen, InspectScreen)
        assert source.asked == [("inspect", "agent-2")]
        assert app.state.frame is not None
        source.frames = [replace(app.state.frame, serial=99, detail=detail_of("agent-2"))]
        app.tick()
        await pilot.pause()
        text = screen_text(app)
        assert "v_pu" in text
        assert "✗ loss" in text
        await press(app, pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert source.asked[-1] == ("inspect", "")


async def test_a_fault_can_be_aimed_from_the_inspection() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "down", "enter", "k", "enter")
        assert source.changes == [("inject", "{kill: agent-2}")]


async def test_inspecting_a_link_from_the_matrix() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        app.main.query_one("#links", Board).focus()
        await pilot.pause()
        await press(app, pilot, "enter")
        assert source.asked == [("inspect", "agent-1 > agent-2")]


async def test_finding_an_agent() -> None:
    source = live("large_grid", 3)
    async with shown(source) as (app, pilot):
        await press(app, pilot, "slash")
        await type_in(pilot, "battery-1")
        await press(app, pilot, "enter")
        assert app.state.agent == "battery-1"
        assert "household-1" not in screen_text(app)
        await press(app, pilot, "escape")
        assert app.main.agents.find == ""


async def test_sorting_filtering_and_figures() -> None:
    source = live("smart_grid")
    async with shown(source) as (app, pilot):
        await press(app, pilot, "s", "f", "m", "c")
        assert app.main.agents.sort == "name"
        assert app.main.story.filter == "faults"
        assert app.main.links.mode == "delay"
        text = screen_text(app)
        assert "by name" in text
        assert "only faults" in text
        assert "delay p95" in text


async def test_a_small_terminal_shows_links_and_charts_at_its_foot() -> None:
    async with shown(live("smart_grid"), SMALL) as (app, pilot):
        assert "events" in screen_text(app)
        await press(app, pilot, "m")
        await pilot.pause()
        assert "loss % lately" in screen_text(app)
        await press(app, pilot, "c")
        await pilot.pause()
        assert "charts" in screen_text(app)
        await press(app, pilot, "e")
        await pilot.pause()
        assert "events" in screen_text(app)


async def test_a_panel_as_large_as_it_goes() -> None:
    async with shown(live("smart_grid"), SMALL) as (app, pilot):
        await press(app, pilot, "x")
        await pilot.pause()
        assert app.main.query_one("#agents").size.height == 21
        await press(app, pilot, "escape")
        await pilot.pause()
        assert app.main.query_one("#agents").size.height < 21


async def test_below_the_smallest_size_a_line_of_progress_is_left() -> None:
    source = live("quickstart", 30)
    async with shown(source, (60, 3)) as (app, pilot):
        text = screen_text(app)
        assert "00:00:2" in text
        assert "1 down" in text
        assert "RUNNING" in text
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert "agents" in screen_text(app)
        await pilot.resize_terminal(20, 1)
        await pilot.pause()
        assert "RUNNING" in screen_text(app)


async def test_read_only_looks_but_changes_nothing() -> None:
    source = live(is_read_only=True)
    async with shown(source) as (app, pilot):
        await press(app, pilot, "space", "full_stop", "plus", "h", "k", "l", "n")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == []
        assert "read-only" in told(app)
        await press(app, pilot, "enter")
        assert source.asked == [("inspect", "agent-1")]


@pytest.mark.parametrize(
    ("key", "left", "asked"),
    [("s", STOPPED, [("stop", "")]), ("d", DETACHED, [])],
)
async def test_the_owner_is_asked_what_becomes_of_the_run(
    key: str, left: str, asked: list[tuple[str, str]]
) -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "q")
        assert isinstance(app.screen, ChoiceScreen)
        await press(app, pilot, key)
        assert app.return_value == left
        assert source.asked == asked


async def test_quitting_can_be_taken_back() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        await press(app, pilot, "ctrl+c")
        assert isinstance(app.screen, ChoiceScreen)
        await press(app, pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        await press(app, pilot, "q")
        app.screen.query_one(OptionList).highlighted = 2
        await press(app, pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == []


async def test_who_only_watches_leaves_at_once() -> None:
    source = live()
    async with shown(source, is_owner=False) as (app, pilot):
        await press(app, pilot, "q")
        assert app.return_value == DETACHED
        assert source.asked == []


async def test_the_end_shows_the_outcome_until_it_is_left() -> None:
    source = live("smart_grid", 30)
    async with shown(source) as (app, pilot):
        await pilot.pause()
        assert isinstance(app.screen, OutcomeScreen)
        text = screen_text(app)
        assert "COMPLETED" in text
        assert "rule" in text
        await press(app, pilot, "escape", "space")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == []
        await press(app, pilot, "o")
        assert isinstance(app.screen, OutcomeScreen)
        await press(app, pilot, "q")
        assert app.return_value == OVER


async def test_what_happens_behind_a_dialog_is_seen() -> None:
    source = live("smart_grid", 5)
    _, frames = stored("smart_grid")
    async with shown(source) as (app, pilot):
        await press(app, pilot, "k")
        source.frames = frames[5:9]
        app.tick()
        await pilot.pause()
        drawn = app.main.query_one("#top", Board).render_line(0).text
        assert "08:00" in drawn
        source.frames = frames[9:]
        app.tick()
        await press(app, pilot, "escape")
        app.tick()
        await pilot.pause()
        assert isinstance(app.screen, OutcomeScreen)


async def test_a_broker_that_vanishes_is_said_not_thrown() -> None:
    source = live()
    async with shown(source) as (app, pilot):
        source.lost = "the run was lost: its broker (pid 1) is gone"
        app.tick()
        await pilot.pause()
        text = screen_text(app)
        assert "LOST" in text
        assert "broker lost at 00:00:09 (virtual); sim resume" in text
        assert "up" not in text.split("agents")[1].splitlines()[0]
        await press(app, pilot, "k")
        assert isinstance(app.screen, MainScreen)
        await press(app, pilot, "q")
        assert app.return_value == OVER


async def test_help_lists_every_key_and_command() -> None:
    async with shown(live()) as (app, pilot):
        await press(app, pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "kill, hang, restart" in screen_text(app)
        await press(app, pilot, "escape")
        assert isinstance(app.screen, MainScreen)


async def test_a_picture_goes_into_the_run_directory(tmp_path: Path) -> None:
    source = live()
    source.intro = replace(source.intro, directory=str(tmp_path))
    async with shown(source) as (app, pilot):
        await press(app, pilot, "S", "S")
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["console-00-00-09-1.svg", "console-00-00-09.svg"]
        assert (tmp_path / names[0]).read_text("utf-8").startswith("<svg")
        assert str(tmp_path) in told(app)


async def test_clicking_selects() -> None:
    async with shown(live()) as (app, pilot):
        agents = app.main.query_one("#agents", Board)
        await pilot.click(agents, offset=(6, 4))
        assert app.state.agent == "agent-3"


async def test_names_with_markup_are_only_names() -> None:
    source = live()
    cards = [replace(source.intro.agents[0], name="[red]x"), *source.intro.agents[1:]]
    source.intro = replace(source.intro, agents=cards, scenario="[/bold]")
    async with shown(source) as (app, pilot):
        assert "[red]x" in screen_text(app)
        await press(app, pilot, "k")
        assert isinstance(app.screen, FormScreen)
        await press(app, pilot, "enter", "escape", "enter")
        assert isinstance(app.screen, InspectScreen)


# --- recorded -----------------------------------------------------------------------------------


@asynccontextmanager
async def replay(
    name: str = "quickstart", size: tuple[int, int] = WIDE
) -> AsyncIterator[tuple[Console, Pilot[str], Callable[[], int]]]:
    intro, frames = stored(name)
    source = RecordedSource(FakeRecording(intro, frames), lambda: 0.0)
    async with shown(source, size) as (app, pilot):
        yield app, pilot, lambda: app.state.now_ns // 1_000_000_000


async def test_a_recording_steps_and_seeks() -> None:
    async with replay() as (app, pilot, now):
        assert "RECORDED" in screen_text(app)
        assert "REPLAY" in screen_text(app)
        await press(app, pilot, "full_stop", "full_stop", "full_stop")
        assert now() == 3
        await press(app, pilot, "comma")
        assert now() == 2
        await press(app, pilot, "right", "left", "left")
        assert now() == 1
        assert "PAUSED" in screen_text(app)
        await press(app, pilot, "end")
        assert now() == 60
        assert isinstance(app.screen, MainScreen)
        assert any("restarted" in line.text for line in app.state.lines)
        await press(app, pilot, "home")
        assert now() == 0
        assert not app.state.lines


async def test_a_recording_goes_to_a_time_that_is_typed() -> None:
    async with replay("smart_grid") as (app, pilot, now):
        await press(app, pilot, "t")
        await type_in(pilot, "13:45")
        assert "to 13:45:00" in screen_text(app)
        await press(app, pilot, "enter")
        assert now() == 13 * 3600
        assert any("cut off" in line.text for line in app.state.lines)
        await press(app, pilot, "t")
        await type_in(pilot, "soon")
        await press(app, pilot, "enter")
        assert "expected a time" in screen_text(app)
        await press(app, pilot, "escape")
        await press(app, pilot, "colon")
        await type_in(pilot, "goto 6h10min")
        await press(app, pilot, "enter")
        assert now() == 6 * 3600


async def test_a_click_on_the_line_goes_there() -> None:
    async with replay() as (app, pilot, now):
        start, length = app.main.top.span
        await pilot.click("#top", offset=(start + length // 2, 0))
        await settle(app, pilot)
        assert 29 <= now() <= 31


async def test_a_recording_is_not_changed() -> None:
    async with replay() as (app, pilot, _):
        await press(app, pilot, "k", "l", "h")
        assert isinstance(app.screen, MainScreen)
        assert "recorded: it can be watched, not changed" in told(app)
        await press(app, pilot, "q")
        assert app.return_value == DETACHED


async def test_an_agent_of_a_recording_can_be_looked_at() -> None:
    async with replay() as (app, pilot, now):
        await press(app, pilot, "full_stop", "full_stop", "enter")
        assert isinstance(app.screen, InspectScreen)
        assert "agent-1" in screen_text(app)
        await press(app, pilot, "full_stop")
        assert now() == 3


async def test_what_is_done_while_paused_is_said_to_strike_later() -> None:
    source = live()
    source.frames[-1] = replace(source.frames[-1], status="paused")
    async with shown(source) as (app, pilot):
        await press(app, pilot, "k", "enter")
        assert "strikes when the run goes on" in told(app)
