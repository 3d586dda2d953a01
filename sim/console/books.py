"""Where every message is, as one equation; and the digest that two equal runs share."""

from __future__ import annotations

from sim.console.board import Panel
from sim.console.ink import Picture, Row, spread, width_of
from sim.console.state import State
from sim.console.words import count
from sim.units import size_text


class Books(Panel):
    """One line."""

    is_framed = False

    def __init__(self, state: State) -> None:
        self.state = state

    def draw(self, width: int, height: int) -> Picture:
        """Reasons and bytes only where there is room."""
        frame = self.state.frame
        if self.state.is_lost:
            return Picture([[(f" {self.state.lost_text}"[: width - 1], "bad")]])
        if frame is None:
            return Picture([[]])
        books = frame.books
        dropped = {k: int(v) for k, v in books.get("dropped", {}).items() if v}
        lost = sum(dropped.values())
        twice = int(books.get("duplicated", 0))
        copies: Row = [(" + duplicated ", "dim"), (count(twice), "bold")] if twice else []
        head: Row = [
            (" sent ", "dim"), (count(int(books.get("sent", 0))), "bold"),
            *copies, (" = delivered ", "dim"), (count(int(books.get("delivered", 0))), "bold"),
            (" + dropped ", "dim"), (count(lost), "warn" if lost else "bold"),
        ]  # fmt: skip
        flight: Row = [(" + in flight ", "dim"), (count(int(books.get("in_flight", 0))), "bold")]
        why: Row = [(f" ({', '.join(f'{k} {count(v)}' for k, v in dropped.items())})", "dim")]
        digest, windows = frame.digest, f" (window {count(frame.windows)})"
        is_wide = width >= 132
        tail: Row = [("digest ", "dim"), (_short(digest, 16 if is_wide else 4), "bold")]
        if is_wide:
            tail = [(f"{size_text(books.get('bytes', 0))}   ", "dim"), *tail, (windows, "dim")]
        tail.append((" ", ""))
        body = [*head, *(why if dropped else []), *flight]
        if width_of(body) + width_of(tail) + 1 > width:
            body = [*head, *flight]
        return Picture([spread(body, tail, width)])


def _short(digest: str, digits: int) -> str:
    """Enough of it to compare by eye."""
    if len(digest) <= digits + 2:
        return digest
    head = " ".join(digest[i : i + 4] for i in range(0, digits, 4))
    return f"{head}…{digest[-2:]}"
