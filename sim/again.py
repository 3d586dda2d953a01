"""Running again what was run: to check it (`verify`), or to go on where it broke off (`resume`).

Both are the same idea: the scenario, its seed and what the log says came from outside make the
same run, fold by fold. A log may be cut off anywhere; what is left of it is enough.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from broker.history import History
from broker.kernel import Kernel
from broker.pace import Pace
from broker.server import drive
from broker.tape import Columns, Tape
from sim.clock import monotonic
from sim.digest import MARK_BYTES, STREAMS
from sim.errors import AgentError, CheckpointError, SimError
from sim.live import OnLive
from sim.outcome import Result
from sim.prepare import Prepared, prepare
from sim.process import Interrupts, no_collector, one_thread
from sim.progress import PROGRESS_SECONDS, OnProgress, Progress
from sim.runner import conduct, make_transport
from sim.scenario.load import load_scenario
from sim.scenario.schema import Scenario
from sim.store.capture import FILE
from sim.store.recorder import Recorder
from sim.store.recording import DELIVERED, Messages, Recording, open_recording
from sim.store.rundir import RunDirectory, address_of, manifest, refuse_other_kinds
from sim.store.runlog import (
    VERSION,
    Decision,
    End,
    Fold,
    Header,
    Input,
    Record,
    RunLog,
    damage,
    scan_log,
)
from sim.units import NEVER, SECOND, format_ns
from sim.wire.payload import payload_text

Parting: TypeAlias = tuple[int, int, int, str]
"""A difference: when, a message sent otherwise before one that ended otherwise, which, in words."""
_AGAIN: Final = ("events.mcap", "events.jsonl", "summary.json")
"""Files that a resumed run writes anew: they follow from the log."""


@dataclass(frozen=True)
class Past:
    """What a run's directory tells of it.

    end: how the run ended, None if it broke off. keep: bytes of the log that stand. damaged: where
    the log is damaged, and not just cut off; -1 if nowhere.
    """

    path: Path
    scenario: Scenario
    manifest: dict[str, Any]
    records: list[Record]
    end: End | None
    keep: int
    damaged: int = -1

    @property
    def agents_per_host(self) -> int:
        return int(self.manifest.get("packing", {}).get("agents_per_host", 1))

    @property
    def inline(self) -> bool:
        return bool(self.manifest.get("packing", {}).get("inline", False))

    @property
    def reached_ns(self) -> int:
        """How far the log goes."""
        return max((r.time_ns for r in self.records if isinstance(r, Fold)), default=0)

    def differences(self) -> list[str]:
        """What a digest depends on and is not as it was, a sentence each."""
        found, now = [], manifest()
        for name, version in self.manifest.get("versions", {}).items():
            here = now["versions"].get(name)
            if here != version:
                found.append(f"{name} was {version}, here it is {here or 'missing'}")
        processor = self.manifest.get("machine", {}).get("processor")
        here = now["machine"]["processor"]
        if processor not in (None, here):
            found.append(f"the processor was {processor}, here it is {here}")
        for file, mark in self.manifest.get("behaviours", {}).items():
            path = Path(file)
            if not path.is_file():
                found.append(f"{file} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != mark:
                found.append(f"{file} has changed since")
        return found


def read_past(path: Path) -> Past:
    """A run's directory. Raises: CheckpointError if it is not one that can be run again."""
    log, scenario = path / "run.log", path / "scenario.yaml"
    refuse_other_kinds(path)
    if not scenario.is_file():
        raise CheckpointError(f"{path} has no scenario.yaml: it broke off before it began")
    data = log.read_bytes() if log.is_file() else b""
    found = scan_log(data, str(log))
    header = found[0][0] if found else None
    plain: dict[str, Any] = header.manifest if isinstance(header, Header) else {}
    if not plain:
        try:
            plain = json.loads((path / "manifest.json").read_text())
        except (OSError, ValueError):
            raise CheckpointError(f"{path} has neither a manifest nor a whole log") from None
    end = next((r for r, _ in reversed(found) if isinstance(r, End)), None)
    standing = [(r, at) for r, at in found if not isinstance(r, End)]
    is_ended = bool(found) and isinstance(found[-1][0], End)
    keep = standing[-1][1] if standing else 0
    return Past(
        path, load_scenario(str(scenario)), plain, [r for r, _ in standing],
        end if is_ended else None, keep, damage(data, found[-1][1] if found else 0),
    )  # fmt: skip


# --- resume -------------------------------------------------------------------------------------


class Checked(Recorder):
    """A recorder that compares with the log as far as it goes, and writes only what comes after.

    Raises: CheckpointError where the two part.
    """

    expected: list[Fold]
    has_parted: bool = False
    until_window: int = -1

    def end(self, status: str, digest: str) -> None:
        """The log of a run that parted from it stays as it is."""
        if not self.has_parted:
            super().end(status, digest)

    def add(self, record: Decision | Input) -> None:
        """Writes what is new from outside, once the log has been caught up with.

        Raises: CheckpointError before: what the log says came later would no longer fit.
        """
        if self.expected or record.window < self.until_window:
            if isinstance(record, Input):
                raise CheckpointError("the run still catches up with its log: ask again later")
            if record.kind != "recovered":
                self.has_parted = True
                raise CheckpointError(
                    f"while the run caught up with its log: {record.kind}, {record.text}; "
                    "the log is as it was, and can be resumed again"
                )
        super().add(record)

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        """Compares, or writes."""
        if not self.expected:
            super().fold(time_ns, chain, mark)
            return
        known = self.expected.pop(0)
        if (known.time_ns, known.chain) != (time_ns, chain):
            self.has_parted = True
            raise CheckpointError(
                f"the run parts from its log at {format_ns(known.time_ns)}: it cannot be resumed "
                f"here; `sim verify {self.path}` says where and why"
            )


def price(past: Past) -> str:
    """What resuming will cost, for people.

    Raises: CheckpointError if there is nothing to resume.
    """
    _check_open(past)
    total = past.scenario.duration_ns * past.scenario.episodes
    folds = sum(isinstance(r, Fold) for r in past.records)
    inputs = sum(isinstance(r, Input | Decision) for r in past.records)
    speed = _possible_speed(past)
    about = f", about {past.reached_ns / SECOND / speed:.0f} s" if speed else ""
    return (
        f"{past.path.name}: runs again the first {format_ns(past.reached_ns)} of "
        f"{format_ns(total)} at full speed{about}, with {inputs} inputs and decisions, and "
        f"checks {folds} folds; then it goes on"
    )


def _possible_speed(past: Past) -> float:
    """Virtual seconds per real second that the run could do, by its recording; 0 if unknown."""
    try:
        recording = open_recording(past.path)
        last = recording.part("/run", len(recording.times) - 1)
    except (CheckpointError, IndexError):
        return 0.0
    return float(last.get("possible") or 0.0)


def _check_open(past: Past) -> None:
    is_written = (past.path / "summary.json").is_file()
    if past.end is not None and past.end.status == "completed" and is_written:
        raise CheckpointError(f"{past.path} has come to its end; there is nothing to resume")
    if address_of(past.path) is not None:
        raise CheckpointError(f"{past.path} still goes on; `sim watch {past.path.name}`")


def resume(
    past: Past,
    *,
    speed: float = float("inf"),
    compare: bool = True,
    on_progress: OnProgress | None = None,
    on_live: OnLive | None = None,
) -> Result:
    """Goes on with a run that broke off or was stopped, in its own directory, to its end; one that
    came to its end and was killed before it had said so is run again for its summary.

    Raises: CheckpointError if it has come to its end, still goes on, or parts from its log.
    """
    _check_open(past)

    def recorder(prepared: Prepared) -> Recorder:
        for name in _AGAIN:
            (past.path / name).unlink(missing_ok=True)
        header = Header(
            version=VERSION, scenario=past.scenario.name, seed=past.scenario.seed,
            manifest=past.manifest,
        )  # fmt: skip
        log = RunLog(past.path / "run.log", header, at=past.keep)
        checked = Checked(RunDirectory(past.path), log)
        checked.expected = [r for r in past.records if isinstance(r, Fold)]
        checked.until_window = history.end_window
        return checked

    history = History(past.records)
    pace = Pace(speed, rush=history.end_window)
    return conduct(
        past.scenario, recorder, pace, inline=past.inline, agents_per_host=past.agents_per_host,
        history=history, compare=compare, on_progress=on_progress, on_live=on_live,
    )  # fmt: skip


# --- verify -------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What running again found. parting: where the two part, "" if nowhere. doubts: what the log
    or the summary say that does not fit, though the runs do not part.
    """

    folds: int
    reached_ns: int
    is_whole: bool
    parting: str = ""
    details: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        return not self.parting

    @property
    def is_proven(self) -> bool:
        """Whether nothing speaks against it, in the log or in the summary."""
        return self.is_same and not self.doubts


class _Parted(Exception):
    """The first fold that differs. after: virtual time of the last that did not."""

    def __init__(self, fold: Fold, mark: bytes, number: int, after: int) -> None:
        super().__init__(fold.time_ns)
        self.fold, self.mark, self.number, self.after = fold, mark, number, after


class _Enough(Exception):
    """All that the log holds has been compared."""


@dataclass
class _Comparer:
    """Takes the place of a log, and compares."""

    expected: list[Fold]
    is_whole: bool
    kept: list[Columns] = field(default_factory=list)
    count: int = 0
    time_ns: int = -1

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        if self.count >= len(self.expected):
            if not self.is_whole:
                raise _Enough
            raise _Parted(Fold(time_ns, ""), mark, self.count, self.time_ns)
        known = self.expected[self.count]
        if (known.time_ns, known.chain) != (time_ns, chain):
            raise _Parted(known, mark, self.count, self.time_ns)
        self.count += 1
        self.time_ns = time_ns
        self.kept.clear()

    def add(self, record: Decision) -> None:
        """Nothing new comes from outside; what dies here is the machine's fault."""
        raise SimError(f"while it was run again: {record.kind}, {record.text}")


def verify(past: Past, *, inline: bool = True, on_progress: OnProgress | None = None) -> Verdict:
    """Runs a run again from its log, in memory or in processes, and compares fold by fold."""
    report = on_progress or (lambda progress: None)
    folds = [r for r in past.records if isinstance(r, Fold)]
    is_whole = past.end is not None and past.end.status != "interrupted"
    comparer = _Comparer(folds, is_whole)
    with Interrupts() as interrupts:
        transport = make_transport(past.scenario, inline, report)
        try:
            prepared = prepare(past.scenario)
            kernel = prepared.kernel(past.agents_per_host)
            tape = kernel.network.tape = Tape()
            due = 0.0

            def tick(kernel: Kernel) -> None:
                nonlocal due
                interrupts.check()
                comparer.kept.append(tape.take())
                if monotonic() >= due:
                    due = monotonic() + PROGRESS_SECONDS
                    total = past.scenario.duration_ns * past.scenario.episodes
                    report(Progress("comparing", kernel.now, total, text="with its log"))

            history = History(past.records)
            with one_thread(), no_collector(inline):
                transport.start(range(len(kernel.agents.hosts)))
                drive(kernel, transport, comparer, history=history, on_window=tick)
        except (_Enough, AgentError):
            pass  # what ended the run then ends it now
        except _Parted as parted:
            comparer.kept.append(tape.take())
            return _where(past, prepared, kernel, comparer, parted)
        finally:
            transport.close()
    verdict = Verdict(comparer.count, comparer.time_ns, past.end is not None)
    if is_whole and past.end is not None and kernel.digest.chain.hex() != past.end.digest:
        verdict.parting = "the last digest is another: the log lacks folds"
    verdict.doubts = _doubts(past, kernel, verdict)
    return verdict


def _doubts(past: Past, kernel: Kernel, verdict: Verdict) -> list[str]:
    """What the log and the summary claim, and running again does not show."""
    found = []
    if past.damaged >= 0:
        found.append(
            f"run.log is damaged at byte {past.damaged:,}: nothing after "
            f"{format_ns(max(verdict.reached_ns, 0))} is proven"
        )
    try:
        said = json.loads((past.path / "summary.json").read_text())
    except (OSError, ValueError):
        return found
    if said.get("status") == "completed" and not verdict.is_whole:
        found.append("summary.json says that the run was completed, its log does not go so far")
    if not verdict.is_whole or kernel.status == "running":
        return found
    here: dict[str, Any] = {
        "digest": kernel.digest.chain.hex(), "status": kernel.status,
        "messages": kernel.network.totals(),
    }  # fmt: skip
    for name, value in here.items():
        if said.get(name) != value:
            found.append(f"summary.json: {name} is {said.get(name)}, here it is {value}")
    metrics = said.get("metrics", {})
    for name, metric in kernel.world.metrics().items():
        value = metric.value if math.isfinite(metric.value) else None
        if metrics.get(name) != value:
            found.append(f"summary.json: {name} is {metrics.get(name)}, here it is {value}")
    return found


def _where(
    past: Past, prepared: Prepared, kernel: Kernel, comparer: _Comparer, parted: _Parted
) -> Verdict:
    """The fold, the stream and, from the recording, the event and the agent."""
    fold = parted.fold
    verdict = Verdict(comparer.count, max(parted.after, 0), past.end is not None)
    span = f"after {format_ns(max(parted.after, 0))} and before {format_ns(fold.time_ns)}"
    pairs = [
        name
        for i, name in enumerate(STREAMS)
        if fold.mark[i * MARK_BYTES :][:MARK_BYTES] != parted.mark[i * MARK_BYTES :][:MARK_BYTES]
    ]
    what = f" in its {', '.join(pairs)}" if fold.mark and pairs else ""
    verdict.parting = f"fold {parted.number}{what}: the runs part {span}"
    if (past.path / FILE).is_file():
        try:
            verdict.details = list(_first_event(past, kernel, comparer.kept, parted))
        except CheckpointError as error:
            verdict.details = [f"the recording does not help: {error}"]
    if not verdict.details and pairs == ["payloads"]:
        verdict.details = _unheard(kernel, comparer.kept)
    if not verdict.details and "world" in pairs:
        verdict.details = ["every message is the same: it is the world that went another way"]
    return verdict


def _first_event(past: Past, kernel: Kernel, kept: Sequence[Columns], parted: _Parted) -> list[str]:
    """The first message of the span that is not as it was recorded."""
    recording = open_recording(past.path)
    if not recording.has_messages:
        return []
    old, names, topics = recording.messages, kernel.network.table.names, kernel.network.topics
    row_of = {int(s): i for i, s in enumerate(old.sequence.tolist())}
    is_in = (old.sent > parted.after) & (old.sent < parted.fold.time_ns)
    missing = {int(s) for s in old.sequence[is_in]}
    found: list[Parting] = []
    for columns in kept:
        sent = columns.sent
        for i, sequence in enumerate(sent["sequence"].tolist()):
            missing.discard(sequence)
            time, a, b = int(sent["sent"][i]), names[sent["sender"][i]], names[sent["to"][i]]
            topic, body = topics[sent["topic"][i]], columns.bodies[i]
            row = row_of.get(sequence)
            said = f"{a} sends {topic!r} to {b}: {payload_text(body)}"
            if row is None:
                found.append((time, 0, sequence, f"{said}; the record has no such message"))
                continue
            was = (int(old.sent[row]), recording.names[old.sender[row]],
                   recording.names[old.to[row]], recording.topics[old.topic[row]])  # fmt: skip
            if was != (time, a, b, topic):
                told = f"{was[1]} sends {was[3]!r} to {was[2]} at {format_ns(was[0])}"
                found.append((min(time, was[0]), 0, sequence, f"{said}; the record has: {told}"))
            elif (before := recording.payload(row)) is not None and before != body:
                text = f"{said}; the record has: {payload_text(before)}"
                found.append((time, 0, sequence, text))
        found += _other_fates(columns, old, row_of, recording)
    for sequence in sorted(missing)[:1]:
        row = row_of[sequence]
        text = f"{recording.names[old.sender[row]]} sent {recording.topics[old.topic[row]]!r}"
        found.append((int(old.sent[row]), 0, sequence, f"{text} in the record, and does not here"))
    if not found:
        return []
    time, _, _, text = min(found)
    return [f"{format_ns(time)}: {text}"] if time < NEVER else [text]


def _other_fates(
    columns: Columns, old: Messages, row_of: dict[int, int], recording: Recording
) -> list[Parting]:
    """Messages that ended otherwise here than in the record, with the time of sending."""
    arrived, dropped = columns.arrived, columns.dropped
    ends = [
        *zip(arrived["sequence"].tolist(), arrived["arrival"].tolist(), strict=True),
        *((s, -r) for s, r in zip(*(dropped[n].tolist() for n in dropped), strict=True)),
    ]
    found = []
    for sequence, end in ends:
        row = row_of.get(sequence)
        if row is None:
            continue
        fate, was_at = int(old.fate[row]), int(old.arrived[row])
        was = was_at if fate == DELIVERED else -fate if fate > 0 else None
        if was != end:
            here, there = (
                "in flight" if e is None else f"delivered at {format_ns(e)}" if e >= 0
                else f"dropped ({recording.reasons[-e - 1]})"
                for e in (end, was)
            )  # fmt: skip
            names, topic = recording.names, recording.topics[old.topic[row]]
            who = f"{topic!r} of {names[old.sender[row]]} to {names[old.to[row]]}"
            text = f"{who} is {here}; in the record it is {there}"
            found.append((int(old.sent[row]), 1, sequence, text))
    return found


def _unheard(kernel: Kernel, kept: Sequence[Columns]) -> list[str]:
    """Who said something that nobody hears: the recording does not have it."""
    names = kernel.network.table.names
    said = dict.fromkeys((names[a], topic) for c in kept for _, a, topic in c.unheard)
    if not said:
        return []
    who = ", ".join(f"{topic!r} of {name}" for name, topic in said)
    return [f"the difference is in what nobody subscribes to: {who}"]
