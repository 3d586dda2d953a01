"""What there is of a run to report on, and what is missing of it."""

from __future__ import annotations

from typing import Any, Final

from sim.errors import CheckpointError
from sim.report.curves import Mark
from sim.report.strikes import strikes
from sim.report.words import clock
from sim.store.rundata import RunData
from sim.store.runlog import Decision, Fold, Input, Record
from sim.units import SECOND

FEW: Final = 12
"""Agents that are told one by one; more of them are summed."""


class Evidence:
    """What several sections need of a run. missing: what its recording lacks, and why; damage: what
    of its files cannot be read, a sentence each.

    unreadable: what is known to be wrong with the recording, which is then left alone.
    Raises: CheckpointError if there is neither a log nor a recording nor a summary to be read.
    """

    def __init__(self, data: RunData, unreadable: str = "") -> None:
        self.data = data
        self.missing = unreadable
        self.intro: Any = None
        self.damage: list[str] = []
        self._read_log()
        if not data.has_recording:
            self.missing = "the run kept no recording (events.mcap)"
        elif not unreadable:
            self._read_recording()
        if not self.log and not data.summary and not self.intro:
            why = self.damage[0] if self.damage else f"{data.path} has no run.log"
            raise CheckpointError(
                f"{why}; without a summary and a recording too there is nothing to report"
            )
        self.has_frames = not self.missing
        self.has_messages = self.has_frames and data.recording.has_messages
        self.end = data.reached
        self.faults = self._fault_marks()
        self.units, self.better, self.objective, self.help = self._cards()

    def _read_log(self) -> None:
        """The records of run.log: none, if it cannot be read."""
        self.log: list[Record] = []
        try:
            self.log = self.data.log
            words = self.data.log_damage
        except CheckpointError as error:
            words = str(error)
        if words:
            self.damage.append(words)

    def _read_recording(self) -> None:
        data = self.data
        try:
            self.intro = data.recording.intro
            if not data.recording.times:
                self.missing = "the recording breaks off before its first frame"
            elif not data.recording.is_whole:
                self.damage.append(
                    "The recording breaks off at "
                    f"{clock(data.recording.times[-1] / SECOND)}; what is below ends there."
                )
        except CheckpointError as error:
            self.missing = str(error)

    @property
    def folds(self) -> list[Fold]:
        """The digest's values, as far as the log can be read."""
        return [each for each in self.log if isinstance(each, Fold)]

    @property
    def decisions(self) -> list[Decision]:
        """What real time decided, as far as the log can be read."""
        return [each for each in self.log if isinstance(each, Decision)]

    @property
    def inputs(self) -> list[Input]:
        """Commands by hand, as far as the log can be read."""
        return [each for each in self.log if isinstance(each, Input)]

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
        return [
            (Mark(s.begin, max(s.begin, s.end or s.begin), str(number)), s.text, s.cause)
            for number, s in enumerate(strikes(self.data), start=1)
        ]

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
