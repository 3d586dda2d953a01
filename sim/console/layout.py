"""Which panel stands where, by the size of the terminal alone."""

from __future__ import annotations

from typing import Final, NamedTuple

SMALLEST: Final = (80, 24)
WIDE: Final = (132, 36)


class Box(NamedTuple):
    """Cells of a panel."""

    x: int
    y: int
    width: int
    height: int


def is_tiny(width: int, height: int) -> bool:
    """Whether only the progress line fits."""
    return width < SMALLEST[0] or height < SMALLEST[1]


def is_wide(width: int, height: int) -> bool:
    """Whether everything is shown at once."""
    return width >= WIDE[0] and height >= WIDE[1]


def arrange(width: int, height: int, foot: str = "events", large: str = "") -> dict[str, Box]:
    """Boxes by panel; who is not named is hidden.

    foot: which of events, links and charts the smaller layout shows at its foot.
    large: a panel that takes the place of all others.
    """
    if is_tiny(width, height):
        return {"tiny": Box(0, 0, width, height)}
    rest = {
        "top": Box(0, 0, width, 1),
        "books": Box(0, height - 2, width, 1),
        "keys": Box(0, height - 1, width, 1),
    }
    room = height - 3
    if large:
        return {**rest, large: Box(0, 1, width, room)}
    if is_wide(width, height):
        return {**rest, **_wide(width, room)}
    return {**rest, **_narrow(width, room, foot)}


def _narrow(width: int, room: int, foot: str) -> dict[str, Box]:
    upper = 10 + (room - 21) // 3
    middle = 6 + (room - 21 + 1) // 3
    lower = room - upper - middle
    first = min(max(width // 2, 40), 64)
    return {
        "world": Box(0, 1, first, upper),
        "outcome": Box(first, 1, width - first, upper),
        "agents": Box(0, 1 + upper, width, middle),
        foot: Box(0, 1 + upper + middle, width, lower),
    }


def _wide(width: int, room: int) -> dict[str, Box]:
    spare = room - 33
    upper = 12 + spare // 4
    middle = 13 + (spare + 1) * 2 // 5
    lower = room - upper - middle
    outcome = min(max(width * 7 // 20, 50), 64)
    links = min(max(width * 13 // 40, 47), 64)
    charts = width * 21 // 50
    second, third = 1 + upper, 1 + upper + middle
    return {
        "world": Box(0, 1, width - outcome, upper),
        "outcome": Box(width - outcome, 1, outcome, upper),
        "agents": Box(0, second, width - links, middle),
        "links": Box(width - links, second, links, middle),
        "charts": Box(0, third, charts, lower),
        "events": Box(charts, third, width - charts, lower),
    }
