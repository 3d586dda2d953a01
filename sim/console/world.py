"""The first box: the world drawn, and below it what is wrong with it at the moment."""

from __future__ import annotations

from sim.console.board import Panel
from sim.console.ink import Picture, Row, cut, plain
from sim.console.state import State
from sim.console.words import span
from sim.units import NEVER, SECOND
from sim.wire.live import ActiveFault


class World(Panel):
    """The scene by its kind; faults in force as the last rows."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state

    def draw(self, width: int, height: int) -> Picture:
        """Faults take at most a third of the rows."""
        frame = self.state.frame
        if frame is None:
            return Picture([[("waiting for the first frame", "dim")]], [("world", "title")])
        most = max(height // 3, 1)
        hidden = len(frame.faults) - most
        if hidden > 0 and most > 1:
            hidden, most = hidden + 1, most - 1
        faults = frame.faults[-most:]
        room = height - len(faults) - (hidden > 0)
        rows = [*self.state.drawing.draw(frame.scene, width, room)][:room]
        rows += [[] for _ in range(room - len(rows))]
        rows += [self._fault(fault, width) for fault in reversed(faults)]
        if hidden > 0:
            rows.append([("▲ ", "mark"), (f"+{hidden} more", "warn"), (" faults in force", "dim")])
        about = frame.scene.get("title", "")
        title: Row = [("world", "title")]
        if isinstance(about, str) and about:
            title.append((f"  {cut(plain(about), max(width - 10, 4))}", "dim"))
        return Picture(rows, title)

    def _fault(self, fault: ActiveFault, width: int) -> Row:
        if 0 <= fault.until_ns < NEVER:
            left = span(max(fault.until_ns - self.state.now_ns, 0) / SECOND)
            tail = f" {left} left"
        else:
            tail = " until healed"
        ink = "you" if fault.cause.startswith("you") else "dim"
        if width >= 60 and fault.cause:
            tail += f" ({fault.cause})"
        text = cut(plain(fault.text), max(width - len(tail) - 2, 6))
        return [("▲ ", "mark"), (text, "warn"), (tail, ink)]
