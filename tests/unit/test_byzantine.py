"""Agents that lie: which numbers of which payloads become what, and that nothing else changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play
from checkers.scenes import MS, text
from checkers.script import Script, Stage

from broker.kernel import Kernel
from sim.rng import generator
from sim.wire.codec import decode_payload, encode_payload
from sim.worlds.smart_grid_spaces import OFFER, rounds

Said = list[tuple[int, str, Any]]
NAN = math.nan


def told(said: Said, faults: str, more: str = "") -> tuple[list[Any], Kernel]:
    """The payloads that agent-2 gets of what agent-1 says, (ms, topic, payload)."""
    sends = tuple((t * MS, topic, "agent-2", encode_payload(p)) for t, topic, p in said)
    stage = Stage({"agent-1": Script(sends), "agent-2": Script(awaits=True)})
    kernel = kernel_of(text(faults=faults, more=f"seed: 4\n{more}"))
    completed(play(kernel, stage.transport(), check_books))
    return [decode_payload(h.body) for h in stage.heard["agent-2"]], kernel


def lie(payload: Any, how: str, topic: str = "offer", before: Any = None) -> Any:
    """What becomes of one payload on a topic, said in the middle of the fault."""
    said = [(10, topic, payload if before is None else before), (200, topic, payload)]
    heard, _ = told(said, f"{{at: 100ms, byzantine: agent-1, {how}}}")
    assert len(heard) == 2
    return heard[1]


def same(a: Any, b: Any) -> bool:
    """Equal in value and type, with NaN equal to itself."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, True)
    return repr(a) == repr(b)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (2.5, -2.5),
        (7, -7),
        (-(2**63), 2**63),
        ({"price": 0.3, "n": 4, "who": "ev", "is_on": True}, {"price": -0.3, "n": -4, "who": "ev",
                                                             "is_on": True}),
        ([1.0, [2, {"x": 3}], None], [-1.0, [-2, {"x": -3}], None]),
        (np.array([1.0, NAN, -2.0]), np.array([-1.0, NAN, 2.0])),
        (np.array([[1, 2], [3, -4]], dtype=np.int16), np.array([[-1, -2], [-3, 4]], np.int16)),
        (np.array([1, 2], dtype=np.uint8), np.array([0, 0], dtype=np.uint8)),
        (np.array([True, False]), np.array([True, False])),
        ("text", "text"),
        (b"bytes", b"bytes"),
        (None, None),
        (True, True),
        (math.inf, -math.inf),
    ],
)  # fmt: skip
def test_every_number_changes_its_sign_and_nothing_else_does(payload: Any, expected: Any) -> None:
    assert same(lie(payload, "mode: sign-flip"), expected)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (2.5, 7.5),
        (2**62, 3 * 2**62),
        (2**63, 2**64 - 1),
        (np.array([100, -100, 3], dtype=np.int8), np.array([127, -128, 9], dtype=np.int8)),
        (np.array([2**62], dtype=np.int64), np.array([2**63 - 1024], dtype=np.int64)),
        (np.array([3e38], dtype=np.float32), np.array([math.inf], dtype=np.float32)),
        ({"a": [1.0, NAN]}, {"a": [3.0, NAN]}),
    ],
)
def test_numbers_are_inflated_within_their_type(payload: Any, expected: Any) -> None:
    assert same(lie(payload, "mode: inflate:3"), expected)
    assert same(lie({"k": payload}, "mode: 'inflate:3', field: k"), {"k": expected})


def test_random_numbers_are_keyed_by_agent_topic_and_serial() -> None:
    said = [(t, "offer", np.array([1.0, NAN, -3.0])) for t in (10, 200, 300)]
    said.insert(2, (250, "price", {"x": 2.0, "n": 10}))
    heard, _ = told(said, "{at: 100ms, byzantine: agent-*, mode: random}")
    for serial, got in ((0, heard[1]), (1, heard[3])):
        draws = generator(4, "byzantine", "agent-1", "offer", 0, serial).uniform(-2, 2, size=3)
        assert same(got, draws * np.array([1.0, NAN, 3.0]))
        assert np.nanmax(np.abs(got) / [1, 1, 3]) <= 2
    draws = generator(4, "byzantine", "agent-1", "price", 0, 0)
    x, n = (draws.uniform(-2, 2, size=1)[0] for _ in range(2))
    assert heard[2] == {"x": 2.0 * x, "n": round(10 * n)}
    assert same(heard[0], said[0][2])


def test_stale_repeats_what_was_said_before_the_fault_until_it_is_lifted() -> None:
    said = [(t, "price", {"x": float(t), "text": str(t)}) for t in range(0, 1000, 100)]
    heard, _ = told(said, "{at: 250ms, byzantine: agent-1, mode: stale, for: 400ms}")
    expected = [200.0 if 250 <= t < 650 else float(t) for t in range(0, 900 + 1, 100)]
    assert [p["x"] for p in heard] == expected
    assert [p["text"] for p in heard] == [p["text"] for _, _, p in said]


def test_who_said_nothing_yet_repeats_the_first_it_says() -> None:
    said = [(t, topic, t) for t in range(100, 500, 100) for topic in ("a", "b")]
    heard, _ = told(said, "{at: 0s, byzantine: agent-1, mode: stale, topic: a, for: 350ms}")
    assert heard == [100, 100, 100, 200, 100, 300, 400, 400]


@pytest.mark.parametrize(
    ("before", "payload", "expected"),
    [
        ([1, 2.5, "a"], [5, 6.5, "b", 9], [1, 2.5, "b", 9]),
        ({"x": 1, "y": {"z": 2}}, {"y": {"z": 7, "w": 8}, "v": 3}, {"y": {"z": 2, "w": 8}, "v": 3}),
        (np.array([1.0, NAN, 3.0]), np.array([NAN, 5.0, 6.0]), np.array([NAN, 5.0, 3.0])),
        (np.array([1.0, 2.0]), np.array([3.0]), np.array([3.0])),
        ("nothing", 4.0, 4.0),
        (True, 4, 4),
    ],
)
def test_stale_repeats_what_stood_in_the_same_place(
    before: Any, payload: Any, expected: Any
) -> None:
    assert same(lie(payload, "mode: stale", before=before), expected)


@pytest.mark.parametrize(
    ("field", "payload", "expected"),
    [
        ("price", {"price": 1.0, "energy": 2.0}, {"price": -1.0, "energy": 2.0}),
        ("[price, 3]", {"price": [1.0, 2.0], 3: 4, "x": 5}, {"price": [-1.0, -2.0], 3: -4, "x": 5}),
        ("1", [1.0, 2.0, 3.0], [1.0, -2.0, 3.0]),
        ("1", np.array([1.0, 2.0, 3.0]), np.array([1.0, -2.0, 3.0])),
        ("0", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[-1.0, -2.0], [3.0, 4.0]])),
        ("9", np.array([1.0, 2.0]), np.array([1.0, 2.0])),
        ("price", np.array([1.0, 2.0]), np.array([1.0, 2.0])),
        ("prise", {"price": 1.0}, {"price": 1.0}),
        ("price", 4.0, 4.0),
    ],
)
def test_a_field_is_a_key_or_an_index_and_without_effect_where_it_is_not(
    field: str, payload: Any, expected: Any
) -> None:
    assert same(lie(payload, f"mode: sign-flip, field: {field}"), expected)


def test_only_the_topics_named_are_lied_on() -> None:
    said = [(200, topic, 1.0) for topic in ("offer", "offer-2", "price", "alarm")]
    heard, _ = told(said, "{at: 0s, byzantine: agent-1, mode: sign-flip, topic: ['offer*', price]}")
    assert heard == [-1.0, -1.0, -1.0, 1.0]


def test_of_two_lies_the_later_alters_what_the_earlier_made() -> None:
    faults = (
        "{at: 100ms, byzantine: agent-1, mode: stale}, "
        "{at: 300ms, byzantine: agent-1, mode: 'inflate:10', for: 300ms}"
    )
    heard, _ = told([(t, "x", float(t)) for t in range(0, 900, 200)], faults)
    assert heard == [0.0, 0.0, 0.0, 0.0, 0.0]
    heard, _ = told([(t, "x", float(t + 1)) for t in range(0, 900, 200)], faults)
    assert heard == [1.0, 1.0, 10.0, 1.0, 1.0]


def test_what_nobody_could_read_passes_unchanged() -> None:
    sends = ((200 * MS, "x", "agent-2", b"\xc1"), (300 * MS, "x", "agent-2", encode_payload(1)))
    stage = Stage({"agent-1": Script(sends), "agent-2": Script(awaits=True)})
    faults = "{at: 0s, byzantine: agent-1, mode: 'inflate:2'}, {at: 1ms, byzantine: agent-1, "
    kernel = kernel_of(text(faults=f"{faults} mode: stale}}"))
    completed(play(kernel, stage.transport()))
    assert [h.body for h in stage.heard["agent-2"]] == [b"\xc1", encode_payload(1)]


def test_everybody_is_honest_in_the_next_episode() -> None:
    said = [(t, "x", 1.0) for t in (400, 900, 1400, 1900)]
    faults = "{at: 500ms, byzantine: agent-1, mode: sign-flip}"
    heard, kernel = told(said, faults, "episodes: 2")
    assert heard == [1.0, -1.0, 1.0, -1.0]
    assert kernel.digest.chain != told(said, "", "episodes: 2")[1].digest.chain


def test_an_offer_of_the_smart_grid_is_wrong_in_its_prices_alone() -> None:
    class Roster:
        names = ("ev-1",)

    (round_,) = rounds(Roster())  # type: ignore[arg-type]
    assert round_.fields == OFFER == ("energy", "price") * 3
    assert len(round_.fields) == round_.width
    assert len(round_.reply_fields) == round_.reply_width
    kernel = kernel_of(
        """
duration: 31min
world: {kind: smart_grid, households: 2, evs: 1}
network: {default: {latency: 20ms}}
faults: [{at: 0s, byzantine: ev-1, topic: offer, field: price, mode: sign-flip}]
"""
    )
    sent: list[tuple[str, Any]] = []
    pass_on = kernel.board.byzantine.pass_on

    def listen(sends: Any) -> Any:
        before = [s[3].body for s in sends]
        after = pass_on(sends)
        for (_, agent, _, send), body in zip(after, before, strict=True):
            if send.topic == "offer":
                name = kernel.agents.names[agent]
                sent.append((name, decode_payload(body), decode_payload(send.body)))
        return after

    kernel.board.byzantine.pass_on = listen  # type: ignore[method-assign]
    completed(play(kernel))
    assert {name for name, *_ in sent} > {"ev-1"}
    for name, true, said in sent:
        signs = [1, -1] * 3 if name == "ev-1" else [1] * 6
        assert same(said, true * signs)
