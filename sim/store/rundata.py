"""A run that has ended, as tables: `sim.load("last").metrics.plot()`.

Everything is read when it is first asked for. Times are virtual seconds, sizes bytes.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from sim.errors import CheckpointError
from sim.store.capture import FILE
from sim.store.columns import FILE as COLUMNS_FILE
from sim.store.columns import read_columns
from sim.store.recording import DELIVERED, IN_FLIGHT, Recording, open_recording
from sim.store.rundir import find_run
from sim.store.runlog import Decision, End, Fold, Input, Record, scan_log
from sim.units import SECOND
from sim.wire.messages import COPIED

TABLES: Final = ("metrics", "agents", "messages", "links", "faults", "events", "frames")
"""Properties of `RunData` that are tables."""
UNFINISHED: Final = "unfinished"
_PLAIN: Final = (
    "state", "reward", "score", "sent", "received", "late", "missing", "restarts", "pid", "note",
)  # fmt: skip


class RunData:
    """One run's files as pandas frames and plain data.

    path: its directory. Raises: CheckpointError from what is not there, saying what is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<run {self.path}: {self.status}>"

    # --- as it stands in the directory ----------------------------------------------------------

    @functools.cached_property
    def summary(self) -> dict[str, Any]:
        """The outcome, as `sim run --json` prints it; {} if the run never came to an end."""
        return self._json("summary.json")

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """Versions, machine, options; {} if there is none."""
        return self._json("manifest.json")

    @functools.cached_property
    def scenario(self) -> str:
        """The resolved scenario's text; "" if there is none."""
        path = self.path / "scenario.yaml"
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else ""
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved scenario as plain data."""
        try:
            return yaml.safe_load(self.scenario) or {}
        except yaml.YAMLError as error:
            raise CheckpointError(f"{self.path / 'scenario.yaml'} is damaged: {error}") from None

    @property
    def name(self) -> str:
        """The scenario's name."""
        return str(self.summary.get("scenario") or self.manifest.get("scenario") or self.path.name)

    @property
    def kind(self) -> str:
        """training, evaluation or sweep; "" for a run of the scenario itself."""
        return str(self.manifest.get("kind", ""))

    @property
    def seed(self) -> int:
        return int(self.summary.get("seed", self.manifest.get("seed", 0)))

    @property
    def status(self) -> str:
        """completed, failed, interrupted, or unfinished: still running, or the broker was ended."""
        if "status" in self.summary:
            return str(self.summary["status"])
        try:
            ends = [record.status for record in self.log if isinstance(record, End)]
        except CheckpointError:
            ends = []
        return ends[-1] if ends else UNFINISHED

    @functools.cached_property
    def reached(self) -> float:
        """Virtual seconds to which the run came."""
        if "virtual_seconds" in self.summary:
            return float(self.summary["virtual_seconds"])
        try:
            last = max(self.recording.times, default=0)
        except CheckpointError:
            last = 0
        try:
            last = max([last, *(time_ns for time_ns, _ in self.folds)])
        except CheckpointError:
            pass
        return last / SECOND

    @property
    def log(self) -> list[Record]:
        """Records of run.log, as far as it is whole."""
        return self._log[0]

    @property
    def log_damage(self) -> str:
        """What of run.log cannot be read, as a sentence; "" if it is whole."""
        return self._log[1]

    @functools.cached_property
    def _log(self) -> tuple[list[Record], str]:
        path = self.path / "run.log"
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
        found = scan_log(data, str(path))
        at = found[-1][1] if found else 0
        rest = len(data) - at
        words = f"{path} cannot be read from byte {at:,} on: its last {rest:,} bytes are damaged"
        return [record for record, _ in found], words if rest else ""

    @property
    def folds(self) -> list[tuple[int, str]]:
        """(virtual time in ns, chain of the digest) at each grid point."""
        return [(each.time_ns, each.chain) for each in self.log if isinstance(each, Fold)]

    @property
    def decisions(self) -> list[Decision]:
        """What real time or a person decided."""
        return [each for each in self.log if isinstance(each, Decision)]

    @property
    def inputs(self) -> list[Input]:
        """What a person asked for while the run went on, in order."""
        return [each for each in self.log if isinstance(each, Input)]

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise CheckpointError(f"{path} cannot be read: it is no document of a run")
        return found

    # --- recorded -------------------------------------------------------------------------------

    @property
    def has_recording(self) -> bool:
        """Whether there is an events.mcap."""
        return (self.path / FILE).is_file()

    @functools.cached_property
    def recording(self) -> Recording:
        """Frames and messages. Raises: CheckpointError if the run kept none."""
        try:
            return open_recording(self.path)
        except KeyError as error:
            raise CheckpointError(f"{self.path / FILE} is damaged: it lacks {error}") from None

    @functools.cached_property
    def frames(self) -> pd.DataFrame:
        """A row per frame: time, episode, status, steps, windows, speed, wall_seconds, digest."""
        rows = self.recording.parts("/run")
        table = pd.DataFrame({"time": self._times(), "serial": range(len(rows))})
        for name in ("episode", "status", "steps", "windows", "speed", "wall_seconds", "digest"):
            table[name] = [row[name] for row in rows]
        return table

    @functools.cached_property
    def metrics(self) -> pd.DataFrame:
        """The outcome so far over time: a column per metric, by seconds."""
        rows = [part["metrics"] for part in self.recording.parts("/metrics")]
        names = [card.name for card in self.recording.intro.metrics]
        columns = names or list(dict.fromkeys(name for row in rows for name in row))
        table = pd.DataFrame(rows, columns=columns, dtype=float)
        table.index = pd.Index(self._times(), name="time")
        return table

    @functools.cached_property
    def courses(self) -> dict[str, pd.DataFrame]:
        """The columns that the outcome is read against, over time as `metrics`, where they were
        run for themselves: no control, rule.
        """
        found = {}
        for name, column in read_columns(self.path / COLUMNS_FILE).items():
            if column.times_ns:
                index = pd.Index(np.array(column.times_ns) / SECOND, name="time")
                size = len(index)
                values = {n: v for n, v in column.series.items() if len(v) == size}
                found[name] = pd.DataFrame(values, index=index, dtype=float)
        return found

    @functools.cached_property
    def agents(self) -> pd.DataFrame:
        """A row per frame and agent: state, reward, score, sent, received, age, late, missing,
        restarts, pid, rss (bytes), cpu (seconds), note, and `action.<field>`.
        """
        cards, parts = self.recording.intro.agents, self.recording.parts("/agents")
        frames, size = len(parts), len(cards)

        def repeated(values: list[str]) -> Any:
            names = list(dict.fromkeys(values))
            return _named(np.tile([names.index(value) for value in values], frames), names)

        columns: dict[str, Any] = {
            "time": np.repeat(self._times(), size),
            "agent": repeated([card.name for card in cards]),
            "role": repeated([card.role for card in cards]),
            "player": repeated([card.player for card in cards]),
        }
        for name in _PLAIN:
            columns[name] = [value for part in parts for value in part[name]]
        columns["age"] = _seconds([v for part in parts for v in part["age_ns"]])
        columns["rss"] = [value for part in parts for value in part["rss_bytes"]]
        columns["cpu"] = [value for part in parts for value in part["cpu_seconds"]]
        return pd.DataFrame({**columns, **self._actions(parts)})

    def _actions(self, parts: list[Any]) -> dict[str, Any]:
        intro, size = self.recording.intro, len(self.recording.intro.agents)
        columns: dict[str, Any] = {}
        for role, fields in intro.actions.items():
            places = [i for i, card in enumerate(intro.agents) if card.role == role]
            width = sum(number for _, _, number in fields)
            none = [np.nan] * width
            values = np.array(
                [[part["action"][i] or none for i in places] for part in parts], dtype=float
            ).reshape(len(parts), len(places), width)
            at = 0
            for field, _, number in fields:
                for k in range(number):
                    name = f"action.{field}" + (f".{k}" if number > 1 else "")
                    column = columns.setdefault(name, np.full((len(parts), size), np.nan))
                    column[:, places] = values[:, :, at]
                    at += 1
        return {name: column.ravel() for name, column in columns.items()}

    @functools.cached_property
    def messages(self) -> pd.DataFrame:
        """A row per message: sequence, sent, arrived, delay, sender, receiver, topic, kind, bytes,
        fate (delivered, in flight, or the reason it was dropped).
        """
        recording = self._with_messages()
        m = recording.messages
        fates = ["in flight", "delivered", *recording.reasons]
        arrived = _seconds(m.arrived)
        return pd.DataFrame(
            {
                "sequence": m.sequence,
                "sent": m.sent / SECOND,
                "arrived": arrived,
                "delay": np.where(m.arrived < 0, np.nan, (m.arrived - m.sent) / SECOND),
                "sender": _named(m.sender, recording.names),
                "receiver": _named(m.to, recording.names),
                "topic": _named(m.topic, recording.topics),
                "kind": _named(m.kind, recording.kinds),
                "bytes": m.length,
                "fate": _named(m.fate - IN_FLIGHT, fates),
            }
        )

    @functools.cached_property
    def links(self) -> pd.DataFrame:
        """A row per source, destination and topic: sent, delivered, in_flight, dropped and, by
        reason, `dropped.<reason>`; `duplicated`, if any was; bytes, and those delivered; quantiles
        of the delay of what was delivered.
        """
        recording = self._with_messages()
        m = recording.messages
        topics, size = max(len(recording.topics), 1), len(recording.names)
        key = (m.sender * size + m.to) * topics + m.topic
        keys, row = np.unique(key, return_inverse=True)

        def count(chosen: Any, weights: Any = None) -> Any:
            found = np.bincount(row[chosen], weights, minlength=len(keys))
            return found.astype(np.int64)

        is_dropped, is_first = m.fate > 0, m.kind != COPIED
        table = pd.DataFrame(
            {
                "source": _named(keys // topics // size, recording.names),
                "destination": _named(keys // topics % size, recording.names),
                "topic": _named(keys % topics, recording.topics),
                "sent": count(is_first),
                "delivered": count(m.fate == DELIVERED),
                "in_flight": count(m.fate == IN_FLIGHT),
                "dropped": count(is_dropped),
            }
        )
        for number, reason in enumerate(recording.reasons, start=1):
            if (m.fate == number).any():
                table[f"dropped.{reason}"] = count(m.fate == number)
        if not is_first.all():
            table["duplicated"] = count(~is_first)
        table["bytes"] = count(is_first, m.length[is_first])
        is_there = m.fate == DELIVERED
        table["delivered_bytes"] = count(is_there, m.length[is_there])
        delays = pd.Series((m.arrived - m.sent)[is_there] / SECOND).groupby(row[is_there])
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            table[f"delay_{name}"] = delays.quantile(q).reindex(range(len(keys))).to_numpy()
        return table

    @functools.cached_property
    def faults(self) -> pd.DataFrame:
        """A row per fault that struck or was lifted: time, kind, targets, is_on, text."""
        names = ["time", "kind", "targets", "is_on", "text"]
        rows = self.summary.get("faults")
        if rows is None:
            told = self.events[self.events["kind"] == "fault"]
            rows = [
                {"time": t, "kind": "", "targets": [], "is_on": True, "text": text}
                for t, text in zip(told["time"], told["text"], strict=True)
            ]
        table = pd.DataFrame(rows, columns=names)
        table["targets"] = [", ".join(targets) for targets in table["targets"]]
        return table

    @functools.cached_property
    def events(self) -> pd.DataFrame:
        """A row per line of the story: time, kind, agent, text, cause."""
        names = ["time", "kind", "agent", "text", "cause"]
        try:
            story = self.recording.story
        except CheckpointError:
            story = []
        if story:
            rows = [(e.time_ns / SECOND, e.kind, e.agent, e.text, e.cause) for e in story]
            return pd.DataFrame(rows, columns=names)
        told = [{"cause": "", **line} for line in _lines(self.path / "events.jsonl")]
        return pd.DataFrame(told, columns=names)

    def _times(self) -> Any:
        return np.array(self.recording.times, dtype=np.int64) / SECOND

    def _with_messages(self) -> Recording:
        if not self.recording.has_messages:
            raise CheckpointError(
                f"{self.path} has no messages: it was recorded with `record: {{messages: none}}`"
            )
        return self.recording


def load(run: str | Path = "last") -> RunData:
    """A run's tables and documents. run: its directory, its name under runs/, or `last`.

    Raises: UnknownKeyError that names the nearest run.
    """
    return RunData(find_run(run))


def _named(codes: Any, names: list[str]) -> Any:
    """A column of few words, stored as numbers."""
    return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), pd.Index(names))


def _seconds(values: Any) -> Any:
    """Seconds of nanoseconds; not a number where those are negative, for none."""
    array = np.asarray(values, dtype=np.int64)
    return np.where(array < 0, np.nan, array / SECOND)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Documents of a file, one a line, up to the first that is torn."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found
