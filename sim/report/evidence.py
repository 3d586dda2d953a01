"""What there is of a run to report on, and what is missing of it."""

from __future__ import annotations

from typing import Any, Final

from sim.errors import CheckpointError
from sim.report.curves import Mark
from sim.report.words import clock
from sim.store.rundata import RunData
from sim.units import SECOND

FEW: Final = 12
"""Agents that are told one by one; more of them are summed."""


class Evidence:
    """What several sections need of a run. missing, damage: what its recording lacks, and why."""

    def __init__(self, data: RunData) -> None:
        self.data = data
        self.missing = ""
        self.intro: Any = None
        self.damage = ""
        if not data.has_recording:
            self.missing = "the run kept no recording (events.mcap)"
        else:
            try:
                self.intro = data.recording.intro
                if not data.recording.times:
                    self.missing = "the recording breaks off before its first frame"
                elif not data.recording.is_whole:
                    self.damage = (
                        "The recording breaks off at "
                        f"{clock(data.recording.times[-1] / SECOND)}; what is below ends there."
                    )
            except CheckpointError as error:
                self.missing = str(error)
        self.has_frames = not self.missing
        self.has_messages = self.has_frames and data.recording.has_messages
        self.end = data.reached
        self.faults = self._fault_marks()
        self.units, self.better, self.objective, self.help = self._cards()

    def _cards(self) -> tuple[dict[str, str], dict[str, str], str, dict[str, str]]:
        cards = self.intro.metrics if self.intro else ()
        objective = next((c.name for c in cards if c.objective), "")
        return (
            {c.name: c.unit for c in cards},
            {c.name: c.better for c in cards},
            objective,
            {c.name: c.help for c in cards},
        )

    def _fault_marks(self) -> list[tuple[Mark, str, str]]:
        """Faults that struck, with their numbers, their words, and until when they held."""
        found: list[tuple[Mark, str, str]] = []
        if self.has_frames:
            seen: dict[int, tuple[dict[str, Any], float]] = {}
            times = [*self.data.recording.times[1:], round(self.end * SECOND)]
            for later, part in zip(times, self.data.recording.parts("/faults"), strict=True):
                for fault in part["faults"]:
                    seen[fault["id"]] = (fault, later / SECOND)
            told = sorted(seen.values(), key=lambda f: (f[0]["since_ns"], f[0]["id"]))
            for fault, last in told:
                begin, until = fault["since_ns"] / SECOND, fault["until_ns"] / SECOND
                stop = min(until, self.end) if until > begin else last
                found.append(
                    (Mark(begin, stop, str(len(found) + 1)), fault["text"], fault["cause"])
                )
        else:
            faults = self.data.faults
            for time, is_on, text in zip(
                faults["time"], faults["is_on"], faults["text"], strict=True
            ):
                if is_on:
                    found.append((Mark(time, time, str(len(found) + 1)), text, ""))
        return found

    @property
    def marks(self) -> list[Mark]:
        return [mark for mark, _, _ in self.faults]

    @property
    def last_books(self) -> dict[str, Any]:
        """Where every message stood in the last frame; {} without frames."""
        if not self.has_frames:
            return {}
        books: dict[str, Any] = self.data.recording.part(
            "/books", len(self.data.recording.times) - 1
        )
        return books
