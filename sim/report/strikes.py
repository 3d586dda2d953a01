"""What struck a run, and until when each fault held: of the records of what lifted it.

What lifts a fault is no fault of its own: the end of its time, the restart of who was killed for a
time, what `heal` does. `heal` itself and a restart that was asked for are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sim.errors import CheckpointError
from sim.scenario.schema import Fault
from sim.store.rundata import RunData
from sim.store.runlog import Input
from sim.units import SECOND, duration_text, seconds_ns

_OVER: Final = "over: "
"""How the words of what `heal` lifts begin; those of the fault follow."""
_MOMENTS: Final = ("restart", "heal")
"""Kinds that hold for no time."""


@dataclass
class Strike:
    """A fault that struck. end: when it was lifted, None if that is not known."""

    begin: float
    kind: str
    targets: tuple[str, ...]
    text: str
    cause: str
    end: float | None = None
    left: set[str] = field(default_factory=set)

    def ends_by_plan(self, time: float) -> bool:
        """Whether its own words say that it ends at a time."""
        lasted = seconds_ns(time) - seconds_ns(self.begin)
        return self.text.endswith(f" for {duration_text(lasted)}")


def strikes(data: RunData) -> list[Strike]:
    """Faults that struck, in order, each with its end; of a run without a summary, as far as its
    frames and its log tell.
    """
    shown: list[Strike] = []
    kills: set[int] = set()
    try:
        if data.has_recording:
            shown, kills = _shown(data)
    except CheckpointError:
        pass  # who reads the recording for itself says what is wrong
    rows = data.summary.get("faults")
    if rows is not None:
        found = match(rows)
        known = {(seconds_ns(s.begin), s.text): s.end for s in shown}
        for strike in found:
            if strike.end is None:
                strike.end = known.get((seconds_ns(strike.begin), strike.text), data.reached)
        return found
    if not shown:
        shown = _told(data)
    try:
        shown += _by_hand(data.inputs, kills, shown, data.reached)
    except CheckpointError:
        pass
    return sorted(shown, key=lambda strike: strike.begin)


def match(rows: Iterable[dict[str, Any]]) -> list[Strike]:
    """Strikes of the faults of a summary, in which what lifts them stands beside them."""
    found: list[Strike] = []
    healed = -1.0
    for row in rows:
        names = tuple(row["targets"])
        strike = Strike(
            row["time"], row["kind"], names, row["text"], row.get("cause", ""), left=set(names)
        )
        if not row["is_on"]:
            healed = strike.begin if strike.text.startswith(_OVER) else healed
            _lift(found, strike)
        elif strike.kind == "restart":
            is_end = strike.begin == healed or any(
                s.kind == "kill" and s.ends_by_plan(strike.begin) and {*names} <= {*s.targets}
                for s in found
            )
            _restart(found, strike)
            if not is_end:
                strike.end = strike.begin
                found.append(strike)
        else:
            if strike.kind == "heal":
                healed = strike.end = strike.begin
            found.append(strike)
    return found


def _lift(strikes_: Sequence[Strike], lift: Strike) -> None:
    alike = [
        s for s in strikes_ if s.end is None and (s.kind, s.targets) == (lift.kind, lift.targets)
    ]
    if lift.text.startswith(_OVER):
        chosen = [s for s in alike if lift.text == _OVER + s.text]
    else:
        chosen = [s for s in alike if s.ends_by_plan(lift.begin)]
        chosen = chosen or [s for s in alike if " for " not in s.text]
    if chosen:
        chosen[0].end = lift.begin


def _restart(strikes_: Sequence[Strike], restart: Strike) -> None:
    for strike in strikes_:
        if strike.end is None and strike.kind in ("kill", "hang"):
            was_struck = bool(strike.left)
            strike.left -= restart.left
            if was_struck and not strike.left:
                strike.end = restart.begin


# --- without a summary --------------------------------------------------------------------------


def _shown(data: RunData) -> tuple[list[Strike], set[int]]:
    """Faults in force in the frames, and the ids of kills among them."""
    seen: dict[int, tuple[dict[str, Any], float]] = {}
    times = [*data.recording.times[1:], round(data.reached * SECOND)]
    for later, part in zip(times, data.recording.parts("/faults"), strict=False):
        for fault in part["faults"]:
            seen[fault["id"]] = (fault, later / SECOND)
    events = data.events
    lines = events[(events["kind"] == "fault") & events["text"].str.startswith(_OVER)]
    lifts = list(zip(lines["time"], lines["text"], strict=True))
    found = []
    for fault, gone in sorted(seen.values(), key=lambda f: (f[0]["since_ns"], f[0]["id"])):
        begin, until = fault["since_ns"] / SECOND, fault["until_ns"] / SECOND
        end = min(until, gone) if until > begin else gone
        healed = [t for t, text in lifts if t >= begin and text == _OVER + fault["text"]]
        end = min([end, *healed])
        found.append(Strike(begin, fault["kind"], (), fault["text"], fault["cause"], end))
    return found, {fault["id"] for fault, _ in seen.values() if fault["kind"] == "kill"}


def _told(data: RunData) -> list[Strike]:
    """Faults of the story, whose ends it does not tell."""
    faults = data.faults
    return [
        Strike(time, kind, (), text, "", time)
        for time, kind, is_on, text in zip(
            faults["time"], faults["kind"], faults["is_on"], faults["text"], strict=True
        )
        if is_on and not text.startswith(_OVER)
    ]


def _by_hand(
    inputs: Iterable[Input], kills: set[int], shown: Sequence[Strike], end: float
) -> list[Strike]:
    """What a person asked for and no frame shows in force: restarts and heals, and what came and
    went between two frames.
    """
    faults = [f for record in inputs for f in record.faults if f.time_ns <= seconds_ns(end)]
    kills = kills | {fault.id for fault in faults if fault.kind == "kill"}
    known = {(seconds_ns(s.begin), s.text) for s in shown}
    found = []
    for f in faults:
        is_lift = not f.is_on or (f.kind == "restart" and f.id in kills)
        if is_lift or (f.time_ns, f.text) in known:
            continue
        ends = [f.time_ns] if f.kind in _MOMENTS else [g.time_ns for g in faults if _ends(g, f)]
        stop = min(ends, default=seconds_ns(end)) / SECOND
        found.append(Strike(f.time_ns / SECOND, f.kind, f.targets, f.text, f.cause, stop))
    return found


def _ends(lift: Fault, fault: Fault) -> bool:
    """Whether one of the log's faults lifts another."""
    if lift.time_ns < fault.time_ns or lift is fault:
        return False
    is_own = lift.id == fault.id and (not lift.is_on or lift.kind == "restart")
    is_again = lift.kind == "restart" and fault.kind in ("kill", "hang")
    return is_own or lift.kind == "heal" or (is_again and {*fault.targets} <= {*lift.targets})
