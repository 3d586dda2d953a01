"""A market: the ladder of every book, the course of price and value, and who has earned what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.braille import Canvas, scale
from sim.console.ink import Row, cut, left, right, width_of
from sim.console.words import number

_LADDER: Final = 30
_PRICE: Final = 8
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_GAP: Final = ("  ", "")


def figures_of_market(scene: Mapping[str, Any]) -> dict[str, float]:
    """The price and the value, and profits by kind."""
    price, value = scene["course"][-1] if scene["course"] else (math.nan, scene["value"])
    profits = {f"{kind['name']}s USD": float(kind["profit"]) for kind in scene["kinds"]}
    return {"price ticks": float(price), "value ticks": float(value), **profits}


def draw_market(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """Ladders at the left, as many venues as fit; the course and the kinds at the right."""
    venues = list(scene["venues"])
    most = max((width - 34) // (_LADDER + 2), 1)
    ladder = min(_LADDER, width)
    ladders = [_ladder(venue, ladder, height) for venue in venues[:most]]
    room = width - len(ladders) * (ladder + 2)
    if room < 24:
        return [_clipped(row, width) for row in ladders[0][:height]]
    table = _kinds(scene, room)
    chart = height - len(table) - 2
    beside = [*(_course(scene, room, chart) if chart >= 3 else []), *table]
    rows: list[Row] = []
    for y in range(height):
        row: Row = []
        for each in ladders:
            line = each[y] if y < len(each) else []
            row += [*line, (" " * (ladder - width_of(line)), ""), _GAP]
        rows.append(_clipped([*row, *(beside[y] if y < len(beside) else [])], width))
    return rows


def _clipped(row: Row, width: int) -> Row:
    """The first `width` characters of a row."""
    found: Row = []
    for text, ink in row:
        found.append((text[:width], ink))
        width -= len(text)
        if width <= 0:
            break
    return found


def _ladder(venue: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """Sellers above, the cheapest lowest; buyers below. Bars are lots."""
    side = max((height - 2) // 2, 1)
    asks, bids = venue["asks"][:side], venue["bids"][:side]
    most = max([lots for _, lots in (*asks, *bids)], default=1)
    state: tuple[str, str] = ("HALTED", "lost") if venue["halted"] else ("", "")
    name = cut(str(venue["name"]), 10)
    head: Row = [(name, "title"), (f"  last {venue['last']:,}  ", "dim"), state]
    empty: list[Row] = [[] for _ in range(side - len(asks))]
    above = [_level(level, most, width, "c7") for level in reversed(asks)]
    below = [_level(level, most, width, "c3") for level in bids]
    return [head, *empty, *above, _between(asks, bids, width), *below]


def _level(level: Sequence[int], most: int, width: int, ink: str) -> Row:
    price, lots = level
    span = max(width - _PRICE - 7, 1)
    eighths = max(round(lots / most * span * 8), 1)
    full, part = divmod(eighths, 8)
    bar = ("█" * full + (_EIGHTHS[part] if part else "")).ljust(span)
    return [(right(f"{price:,}", _PRICE), ""), (right(str(lots), 5), "dim"), ("  ", ""), (bar, ink)]


def _between(asks: Sequence[Sequence[int]], bids: Sequence[Sequence[int]], width: int) -> Row:
    if asks and bids:
        text = f" spread {asks[0][0] - bids[0][0]:,} "
    else:
        text = " nobody sells " if bids else " nobody buys " if asks else " empty "
    line = "─" * max((width - len(text)) // 2, 0)
    ink = "dim" if asks and bids else "bad"
    return [(line, "line"), (text, ink), (line, "line")]


def _course(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """The price over what a share is worth, with the scale at the left."""
    points = list(scene["course"])
    if len(points) < 2:
        return [[("no price yet", "dim")], *([] for _ in range(height))]
    low, high = scale([float(v) for point in points for v in point])
    label = max(len(f"{v:,.0f}") for v in (low, high)) + 1
    span = max(width - label, 8)
    xs = [i / (len(points) - 1) for i in range(len(points))]
    layers = []
    for column, ink in ((1, "c5"), (0, "accent")):
        canvas = Canvas(span, height)
        canvas.line(xs, [(float(point[column]) - low) / (high - low) for point in points])
        layers.append((canvas.rows(), ink))
    seconds = scene["step_s"] * (len(points) - 1)
    rows: list[Row] = [
        [
            ("price ", "accent"), (f"{points[-1][0]:,.1f}", ""), ("  value ", "c5"),
            (f"{points[-1][1]:,.1f}", ""), (f"  last {seconds:.0f} s", "dim"),
        ]
    ]  # fmt: skip
    for y in range(height):
        told = f"{high:,.0f}" if y == 0 else f"{low:,.0f}" if y == height - 1 else ""
        row: Row = [(right(told, label - 1) + " ", "dim")]
        for x in range(span):
            over = [(rows_of[y][x], ink) for rows_of, ink in layers if rows_of[y][x] != " "]
            row.append(over[-1] if over else (" ", ""))
        rows.append(row)
    return rows


def _kinds(scene: Mapping[str, Any], width: int) -> list[Row]:
    """Profit of each kind as a bar, and what makers gained from it by the trades themselves."""
    gains = {(a, b): float(gain) for a, b, gain in scene["gains"]}
    kinds = [*scene["kinds"], {"name": "venue", "profit": scene["fees"]}]
    most = max([abs(kind["profit"]) for kind in kinds], default=1.0) or 1.0
    head: Row = [(left("profit, USD", 13), "title"), (right("", 10), "")]
    is_wide = width >= 50
    span = max(min(width - (46 if is_wide else 24), 20), 2)
    if is_wide:
        head += [(" " * (span + 1), ""), (right("lots held", 9), "dim")]
        head += [(right("to makers", 12), "dim")]
    rows = [head]
    for kind in kinds:
        profit = float(kind["profit"])
        ink = "c3" if profit >= 0 else "c7"
        eighths = round(abs(profit) / most * span * 8)
        bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
        name = left(str(kind["name"]), 12)
        row: Row = [(name, ""), ("▲" if profit >= 0 else "▼", ink)]
        row += [(right(number(profit), 10), ""), (" ", ""), (bar.ljust(span), ink)]
        if is_wide and "position" in kind:
            paid = gains.get(("maker", kind["name"]))
            row.append((right(f"{kind['position']:,}", 9), "dim"))
            row.append((right("-" if paid is None else number(paid), 12), "dim"))
            if kind["killed"]:
                row.append((f"  {kind['killed']} cut off", "bad"))
        rows.append(row)
    return rows
