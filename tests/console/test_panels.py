"""Every panel at every size, for every bundled world: no crash, right width, what matters is there.

Panels know nothing of widgets, so no terminal is needed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from console.fakes import replace, stored

from sim.console.agents import Agents
from sim.console.board import Panel, strip_of
from sim.console.books import Books
from sim.console.braille import Canvas, scale
from sim.console.charts import Charts
from sim.console.drawings import Drawing, figures
from sim.console.ended import Ended
from sim.console.foot import Foot
from sim.console.history import DELIVERED, History
from sim.console.ink import width_of
from sim.console.inspect import Head, Log, Messages, Seen, Subject
from sim.console.layout import arrange
from sim.console.links import MODES, Links
from sim.console.outcome import Outcome
from sim.console.state import State
from sim.console.story import Story
from sim.console.top import Tiny, Top
from sim.console.words import (
    action,
    clock,
    delay,
    for_you,
    number,
    short_name,
    short_number,
    span,
)
from sim.console.world import World
from sim.online import told_of
from sim.wire.live import ActiveFault, Frame, Intro, Line

RUNS = ("quickstart", "smart_grid", "microgrid", "rendezvous", "large_grid")
PANELS: tuple[Callable[[State], Panel], ...] = (
    Top, Tiny, World, Outcome, Agents, Links, Charts, Story, Books, Foot, Ended,
)  # fmt: skip
SECOND = 1_000_000_000
DEVICE: dict[str, Any] = {"name": "g", "role": "generator", "kw": 1.0}


def state_of(name: str, many: int | None = None) -> State:
    intro, frames = stored(name)
    state = State(intro, False, lambda: 0.0)
    for frame in frames[:many]:
        state.take(frame)
    return state


def text_of(panel: Panel, width: int = 100, height: int = 20) -> str:
    picture = panel.draw(width, height)
    rows = [picture.title, picture.note, *picture.rows]
    return "\n".join("".join(text for text, _ in row) for row in rows)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("size", [(36, 4), (40, 8), (76, 5), (100, 12), (160, 40), (8, 1)])
def test_every_panel_draws_every_world(name: str, size: tuple[int, int]) -> None:
    width, height = size
    state = state_of(name)
    for make in PANELS:
        picture = make(state).draw(width, height)
        for row in picture.rows:
            assert strip_of(row, width).cell_length == width


@pytest.mark.parametrize("name", RUNS)
def test_every_world_is_drawn_by_its_own_drawing(name: str) -> None:
    _, frames = stored(name)
    kind = frames[-1].scene.get("kind")
    assert kind in ("feeders", "bus", "points")
    rows = Drawing().draw(frames[-1].scene, 100, 12)
    assert "not as expected" not in str(rows)
    assert all(width_of(row) <= 100 for row in rows)


def test_before_the_first_frame_nothing_is_known() -> None:
    intro, _ = stored("quickstart")
    state = State(intro, False)
    for make in PANELS:
        make(state).draw(60, 10)
    assert state.status == "connecting"


@pytest.mark.parametrize(
    "scene",
    [
        {},
        {"kind": "balloon", "title": 3, "height": [1.0, math.nan], "crew": [{"name": "ada"}]},
        {"kind": "feeders"},
        {"kind": "market", "venues": []},
        {"kind": "bus", "frequency_hz": "fast", "devices": []},
        {"kind": "bus", "frequency_hz": math.nan, "devices": [dict(DEVICE, kw=math.nan)]},
        {"kind": "points", "points": [{"name": "a", "at": [math.nan, math.inf]}]},
        {"kind": "points", "points": [{"name": "a", "at": [0.5]}]},
        {"kind": "points", "points": []},
        {"kind": "shares", "shares": {"links": [], "of": [{"name": "a", "value": 2, "most": 0}]}},
        {"kind": "shares", "shares": {"links": [{"name": "a", "value": math.nan, "most": 1.0}]}},
        {"kind": "shares", "shares": [1]},
        {"kind": "points", "points": [3]},
        {"kind": ["odd"], "actions": [[1, 2], [3, 4]]},
        {"actions": list(range(500)), "deep": {"a": {"b": {"c": {"d": 1}}}}, "ok": True},
    ],
)  # fmt: skip
def test_no_scene_breaks_the_drawing(scene: dict[str, Any]) -> None:
    drawing = Drawing()
    for size in ((40, 6), (100, 12), (10, 1)):
        drawing.see(scene)
        rows = drawing.draw(scene, *size)
        assert len(rows) <= size[1]
    figures(scene)


def test_not_a_number_is_shown_as_nothing() -> None:
    intro, frames = stored("smart_grid")
    frame = frames[5]
    nan = math.nan
    scene = dict(frame.scene)
    scene["buses"] = [dict(bus, v_pu=nan, loading_percent=nan) for bus in scene["buses"]]
    scene["devices"] = [dict(device, kw=nan) for device in scene["devices"]]
    scene["transformer"] = dict.fromkeys(scene["transformer"], nan)
    scene["prices"] = dict.fromkeys(scene["prices"], nan)
    broken = replace(
        frame, scene=scene, metrics=dict.fromkeys(frame.metrics, nan), speed=nan, possible=nan,
        agents=replace(
            frame.agents, reward=[nan] * 30, score=[nan] * 30, action=[[nan]] * 30,
        ),
    )  # fmt: skip
    state = State(intro, False, lambda: 0.0)
    state.take(broken)
    state.take(replace(broken, now_ns=broken.now_ns + SECOND))
    for make in PANELS:
        for size in ((40, 8), (150, 30)):
            make(state).draw(*size)


def test_the_feeder_says_what_is_open_dark_and_loaded() -> None:
    _, frames = stored("smart_grid")
    scene = dict(frames[12].scene)
    scene["buses"] = [
        dict(bus, is_open=True, v_pu=0.0) if bus["bus"] == scene["devices"][0]["bus"] else bus
        for bus in scene["buses"]
    ]
    scene["transformer"] = scene["transformer"] | {"loading_percent": 130.0}
    text = str(Drawing().draw(scene, 100, 14))
    assert "OVERLOAD" in text
    assert "╳" in text
    assert "1 dark" in text
    assert "pv-3" in text


def test_outcome_stands_beside_its_columns_and_says_which_are_of_the_whole_run() -> None:
    text = text_of(Outcome(state_of("smart_grid", 14)), 52, 11)
    assert "outcome so far" in text
    assert "rule*" in text
    assert "bound*" in text
    assert "of the whole run" in text
    assert "cost EUR ↓" in text.replace("  ", " ")
    over = text_of(Outcome(state_of("smart_grid")), 52, 11)
    assert "so far" not in over
    assert any(sign in over for sign in "✓✗=")


def test_trouble_comes_first() -> None:
    state = state_of("quickstart", 32)
    agents = Agents(state)
    assert state.frame is not None
    assert state.frame.agents.state[1] == "down"
    assert agents.order()[0] == 1
    text = text_of(agents)
    assert "1 down" in text
    assert "✗ DOWN" in text
    agents.sort = "name"
    assert agents.order() == [0, 1, 2]


def test_who_hears_nothing_any_more_is_marked() -> None:
    state = state_of("smart_grid", 14)
    assert "60m!" in text_of(Agents(state), 100, 14)
    first = state.intro.agents[Agents(state).order()[0]].name
    assert first == "household-2"  # cut off at noon


def test_a_found_agent_is_the_only_one() -> None:
    agents = Agents(state_of("large_grid"))
    assert len(agents.order()) == 125
    agents.find = "pv-1"
    assert all("pv-1" in agents.state.intro.agents[i].name for i in agents.order())
    agents.find = "nobody here"
    assert "nobody is called" in text_of(agents)


def test_losses_are_those_of_late_and_a_cut_is_a_cross() -> None:
    state = state_of("quickstart", 52)
    links = Links(state)
    assert "╳" in text_of(links, 50, 12)
    assert state.frame is not None
    assert any(any(row) for row in state.frame.links.is_cut)
    for mode in MODES[1:]:
        links.mode = mode
        text_of(links, 50, 12)
    links.move(2)
    links.turn(9)
    assert links.ends == ("agent-3", "agent-3")


def test_the_foot_tells_all_of_a_link() -> None:
    state = state_of("quickstart", 52)
    assert state.frame is not None
    matrix = state.frame.links
    links, size = Links(state), range(len(matrix.ends))
    old = text_of(links, 140, 12).splitlines()[-1]
    assert "half in" in old
    assert "99 %" not in old, "older recordings do not have it"
    each = [[i + 10 * j for i in size] for j in size]
    matrix.reasons = {"loss": each, "queue": each}
    matrix.p99_ns = [[7_000_000 for _ in size] for _ in size]
    matrix.delivered_bytes = [
        [round(2e3 * state.frame.now_ns / SECOND) for _ in size] for _ in size
    ]
    links.move(1)
    links.turn(1)
    links.turn(1)
    foot = text_of(links, 140, 12).splitlines()[-1]
    assert "lost (loss 12, queue 12)" in foot
    assert "99 % in 7ms, 2 kB/s" in foot
    links.mode = "goodput"
    assert text_of(links, 50, 12).count("2.0k") == np.count_nonzero(matrix.sent)


def test_charts_mark_faults() -> None:
    text = text_of(Charts(state_of("smart_grid")), 70, 14)
    assert "▲" in text
    assert "cost" in text
    assert DELIVERED in text


def test_what_a_person_did_is_marked() -> None:
    state = state_of("quickstart", 10)
    state.add_lines([Line(900, SECOND, "fault", "", "agent-1 killed for 10s", "you, recorded")])
    assert "(you, recorded)" in text_of(Story(state))
    assert (SECOND, True) in state.fault_times()
    story = Story(state)
    while story.filter != "yours":
        story.next_filter()
    assert len(story.lines()) == 1


def test_a_fault_in_force_says_how_long_it_lasts() -> None:
    state = state_of("quickstart", 10)
    assert state.frame is not None
    now = state.now_ns
    state.frame = replace(
        state.frame,
        faults=[
            ActiveFault(1, "kill", "agent-1 killed", now, now + 600 * SECOND, "scenario"),
            ActiveFault(2, "noise", "noise", now, -1, "you, recorded"),
        ],
    )
    text = text_of(World(state), 100, 10)
    assert "10 min left" in text
    assert "until healed (you, recorded)" in text


def test_the_books_are_an_equation() -> None:
    text = text_of(Books(state_of("quickstart")), 120, 1)
    assert "sent" in text
    assert "= delivered" in text
    assert "(loss" in text
    assert "digest" in text


def test_names_and_texts_never_become_markup_or_escapes() -> None:
    intro, frames = stored("quickstart")
    agents = [replace(intro.agents[0], name="[bold]x[/]"), *intro.agents[1:]]
    state = State(replace(intro, agents=agents), False, lambda: 0.0)
    evil = Line(0, 0, "print", "[bold]x[/]", "\x1b[2Jgone [/red]\nnext")
    state.take(replace(frames[0], lines=[evil]))
    text = text_of(Story(state))
    assert "\x1b" not in text
    assert "[/red]" in text
    assert "[bold]x[/]" in text_of(Agents(state))


def test_details_are_shown_with_units() -> None:
    from console.fakes import detail_of

    state = state_of("quickstart", 5)
    assert state.frame is not None
    subject = Subject(state, "agent-1")
    for panel in (Head(subject), Seen(subject), Messages(subject), Log(subject)):
        panel.draw(80, 8)
    state.frame = replace(state.frame, detail=detail_of("agent-1"))
    subject.take()
    assert "1.046 p.u." in text_of(Seen(subject))
    messages = text_of(Messages(subject))
    assert messages.index("market") < messages.index("operator")
    assert "✗ loss" in messages
    assert "charged [red]3 kWh[/]" in text_of(Log(subject))
    subject = Subject(state, "agent-1", "agent-2")
    subject.take()
    assert subject.detail is None
    text_of(Head(subject))


def test_gaps_in_the_numbers_are_skipped_frames() -> None:
    intro, frames = stored("quickstart")
    state = State(intro, False, lambda: 0.0)
    for i, serial in enumerate((5, 6, 9)):
        state.take(replace(frames[i], serial=serial))
    assert state.skipped == 2
    assert "skipped 2 frames" in text_of(Top(state), 200, 1)


def test_a_clock_that_stands_is_waiting() -> None:
    intro, frames = stored("quickstart")
    now = 0.0
    state = State(intro, False, lambda: now)
    state.take(frames[3])
    assert state.status == "running"
    now = 5.0
    assert state.status == "waiting"
    state.take(replace(frames[3], status="paused"))
    assert state.status == "paused"


def test_turning_back_forgets_what_has_not_happened() -> None:
    intro, frames = stored("quickstart")
    state = State(replace(intro, is_recorded=True), False, lambda: 0.0)
    for frame in frames[:40]:
        state.take(frame)
    assert any("restarted" in line.text for line in state.lines)
    state.take(replace(frames[27], lines=[]))
    assert state.lines[-1].time_ns <= frames[27].now_ns
    assert not any("restarted" in line.text for line in state.lines)
    assert state.history.samples[-1].now_ns == frames[27].now_ns
    for frame in frames[28:40]:
        state.take(frame)
    assert sum("restarted" in line.text for line in state.lines) == 1


def test_history_stays_small() -> None:
    _, frames = stored("quickstart")
    history = History(figures)
    for i in range(9000):
        history.add(replace(frames[0], now_ns=i))
    assert len(history.samples) <= 4001
    times = [sample.now_ns for sample in history.samples]
    assert times == sorted(set(times))
    assert times[-1] == 8999


@pytest.mark.parametrize(
    "size", [(79, 24), (80, 24), (100, 30), (131, 50), (132, 36), (160, 45), (240, 80)]
)
def test_panels_neither_overlap_nor_leave_the_screen(size: tuple[int, int]) -> None:
    for foot in ("events", "links", "charts"):
        boxes = arrange(*size, foot)
        cells = [
            (x, y)
            for box in boxes.values()
            for x in range(box.x, box.x + box.width)
            for y in range(box.y, box.y + box.height)
        ]
        assert len(cells) == len(set(cells)) == size[0] * size[1]
        assert all(0 <= x < size[0] and 0 <= y < size[1] for x, y in cells)
        if size[0] >= 132:
            assert {"world", "outcome", "agents", "links", "charts", "events"} <= boxes.keys()


def test_braille_goes_from_corner_to_corner() -> None:
    canvas = Canvas(3, 2)
    canvas.line([0.0, 1.0], [0.0, 1.0])
    top, bottom = canvas.rows()
    assert top[0] == " "
    assert bottom[0] != " "
    assert top[2] != " "
    canvas.line([0.0, math.nan, 1.0], [0.0, math.nan, 1.0])
    assert scale([math.nan]) == (0.0, 1.0)
    assert scale([2.0, 2.0]) == (1.9, 2.1)


def test_words() -> None:
    assert [number(v) for v in (41.2, 18204, 0.0031, math.nan, None, -0.0, 0.5, math.inf)] == [
        "41.2", "18,204", "0.0031", "-", "-", "0", "0.5", "∞",
    ]  # fmt: skip
    assert clock(13 * 3600 * SECOND) == "13:00:00"
    assert clock(25 * 3600 * SECOND, True) == "d2 01:00"
    assert delay(80e6) == "80ms"
    assert span(47 * 60) == "47 min"
    assert short_name("household-12", 5) == "hou12"
    assert action([3.0], [("charge_kw", "kW", 1)]) == "charge_kw 3"
    assert action([5.0, 1.25], [("limit", "kW", 1), ("q", "kvar", 1)]) == "limit 5 kW, q 1.25 kvar"
    assert action([], []) == "-"


def test_a_virtual_time_is_said_in_real_time(frame_of: Callable[..., Frame]) -> None:
    assert for_you(3600, frame_of(speed=900.0, wanted=900.0)) == "1 h = 4 s for you"
    assert for_you(3600, frame_of(speed=1800.0, wanted=math.inf)) == "1 h = 2 s for you"
    paused = frame_of(status="paused", speed=0.0, wanted=900.0)
    assert for_you(3600, paused) == "1 h = 4 s for you once it goes on"
    assert for_you(3600, None) == "1 h"


@pytest.fixture(name="frame_of")
def make_frame_of() -> Callable[..., Frame]:
    _, frames = stored("quickstart")
    return lambda **fields: replace(frames[1], **fields)


def test_episodes_are_counted() -> None:
    intro: Intro = replace(stored("quickstart")[0], episodes=3)
    state = State(intro, False, lambda: 0.0)
    state.take(replace(stored("quickstart")[1][4], episode=1))
    assert "episode 2/3" in text_of(Top(state), 160, 1)


def test_the_agents_show_every_column_that_has_room() -> None:
    state = state_of("smart_grid", 14)
    assert state.frame is not None
    many = len(state.intro.agents)
    columns = replace(state.frame.agents, pid=[4_123_456] * many)  # type: ignore[arg-type]
    state.frame = replace(state.frame, agents=columns)
    box = arrange(160, 45)["agents"]
    heading = text_of(Agents(state), box.width - 4, 12).splitlines()[2].split()
    wanted = "name role player state action reward score in out age rest pid MB"
    assert heading == wanted.split()
    assert "[x] all columns" in text_of(Agents(state), box.width - 4, 12)
    heading = text_of(Agents(state), 156, 12).splitlines()[2].split()
    assert {"late", "restarts"} <= set(heading)
    assert "all columns" not in text_of(Agents(state), 156, 12)
    heading = text_of(Agents(state), 76, 12).splitlines()[2].split()
    assert {"name", "role", "state", "action", "score", "age"} <= set(heading)
    panel = Agents(state)
    for _ in range(9):
        panel.turn(1)
    heading = text_of(panel, 76, 12).splitlines()[2].split()
    assert heading == "name state late restarts pid MB".split()


def test_an_agent_that_is_struck_is_marked_and_comes_first() -> None:
    state = state_of("smart_grid", 14)
    assert state.frame is not None
    fault = ActiveFault(9, "slow", "battery-1, ev-3 slowed down 10 times for 1h", 0, -1, "scenario")
    state.frame = replace(state.frame, faults=[fault], agents=replace(
        state.frame.agents, age_ns=[0] * len(state.intro.agents)
    ))  # type: ignore[arg-type]  # fmt: skip
    rows = text_of(Agents(state), 100, 12).splitlines()[3:]
    assert [row.split()[0] for row in rows if "▲ up" in row] == ["battery-1", "ev-3"]
    assert "▲ up" in rows[0]
    assert "▲ up" in rows[1]


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [36, 46, 60])
def test_numbers_of_the_outcome_never_touch(name: str, width: int) -> None:
    state = state_of(name)
    assert state.frame is not None
    small = {"a": 0.00068, "b": -0.00012345, "c": 123_456.7, "d": -98_765_432.1, "e": 1e-12}
    rows = dict.fromkeys(("no control", "rule", "bound"), small)
    state.frame = replace(state.frame, metrics=small, reference=rows, whole=[])
    for row in text_of(Outcome(state), width, 20).splitlines()[3:]:
        if row[:2] in ("a ", "b ", "c ", "d ", "e "):
            numbers = row.split("↓")[1].replace("✓", "").replace("=", "").split()
            assert len(set(numbers)) == 1
            assert float(numbers[0].replace(",", "").replace("k", "e3"))


def test_short_numbers_keep_what_fits() -> None:
    assert [short_number(0.00068, w) for w in (7, 6, 5)] == ["0.00068", "6.8e-4", "7e-4"]
    assert short_number(12_345.6, 5) == "12k"
    assert short_number(-98_765_432.1, 6) == "-9.9e7"
    assert short_number(math.nan, 3) == "-"


def test_charts_say_since_when_a_late_watcher_knows() -> None:
    intro, frames = stored("smart_grid")
    state = State(intro, False, lambda: 0.0)
    for frame in frames[14:20]:
        state.take(frame)
    first = clock(frames[14].now_ns, True)
    assert f"since {first}" in text_of(Charts(state))
    assert "whole run so far" in text_of(Charts(state_of("smart_grid", 20)))


def test_many_faults_are_counted() -> None:
    state = state_of("quickstart", 10)
    assert state.frame is not None
    faults = [ActiveFault(i, "kill", f"agent-{i} killed", 0, -1, "scenario") for i in range(13)]
    state.frame = replace(state.frame, faults=faults)
    text = text_of(World(state), 36, 8)
    assert "+12 more" in text
    assert "faults now 13" in text_of(Outcome(state), 36, 8)


def test_a_failure_is_told_first() -> None:
    state = state_of("quickstart", 10)
    assert state.frame is not None
    state.add_lines([Line(900, 8 * SECOND, "error", "agent-2", "ValueError: no such target")])
    state.frame = replace(state.frame, status="failed", text="ValueError: no such target")
    rows = text_of(Ended(state), 78, 20).splitlines()[2:]
    assert "FAILED" in rows[0]
    assert "agent-2 at 00:00:08: ValueError: no such target" in rows[1]


def test_what_is_learned_is_told_beside_the_outcome_and_forgotten_with_the_time() -> None:
    state = state_of("rendezvous")
    figures_ = {"version": 7, "arrived": 0.5, "staleness": 2.25, "policy_loss": -0.0123,
                "value_loss": 0.5, "reward": -1.5}  # fmt: skip
    serial = state.lines[-1].serial + 1 if state.lines else 1

    def line(time: int, version: int, number_: int) -> Line:
        text = told_of("agent", figures_ | {"version": version})
        return Line(serial + number_, time, "learn", "learner", text, "")

    last = state.now_ns
    state.add_lines([line(last - 5, 6, 0), line(last, 7, 1)])
    shown = ["".join(text for text, _ in row) for row in Outcome(state).draw(60, 14).rows]
    assert any("agent learns v7  behind 2.2  arrived 50%" in row for row in shown)
    assert any("reward -1.5  loss -0.012  critic 0.5" in row for row in shown), shown
    assert any("↗" in "".join(t for t, _ in row) for row in Story(state).draw(90, 4).rows)
    assert state.frame is not None
    state.take(replace(state.frame, now_ns=last - 1, lines=[]))
    assert state.learned["agent"]["version"] == 6
