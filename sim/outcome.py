"""What came of a run: the figures, beside the columns they are read against."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.schema import YOU
from sim.worlds.world import Metric

if TYPE_CHECKING:
    import pandas as pd

NO_CONTROL: Final = "no control"
RULE: Final = "rule"
BOUNDS: Final = ("bound", "optimum")
"""Columns that no run can beat, as worlds name them."""
GAP: Final = "gap"
NO_MESSAGES: Final = {"sent": 0, "delivered": 0, "dropped": {}, "in_flight": 0, "bytes": 0}

ACCOUNTS_MAX: Final = 1_000
"""Lines of the books in what `--json` prints."""
_ENDS: Final = ("source", "destination", "topic")


@dataclass
class Result:
    """A run that has ended. status: completed, failed or interrupted.

    metrics:   the outcome by name, with units; `gap` where there is a bound and a `no control`.
    reference: other columns of the same metrics: no control, rule, bound or optimum.
    messages:  the books of the whole network; `accounts` are their lines, one per source,
               destination and topic, `topics` their sums by topic; see `links`.
    folds:     (virtual time in ns, chain of the digest) at each grid point.
    actions:   per agent that ever was late or missed a decision: {"late": n, "missing": n}.
    events:    the story: time (virtual seconds), kind, agent, text.
    learning:  of a run that learned: tap, is_privileged, and the last version of each group.
    error:     why it failed; `exit_code` is what the command line makes of it.
    """

    scenario: str
    seed: int
    status: str
    virtual_seconds: float = 0.0
    wall_seconds: float = 0.0
    steps: int = 0
    agents: int = 0
    processes: int = 0
    digest: str = ""
    messages: dict[str, Any] = field(default_factory=lambda: dict(NO_MESSAGES))
    agent_failures: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    reference: dict[str, dict[str, float]] = field(default_factory=dict)
    activations: int = 0
    real_time_decisions: int = 0
    actions: dict[str, dict[str, int]] = field(default_factory=dict)
    folds: list[tuple[int, str]] = field(default_factory=list, repr=False)
    accounts: Sequence[Any] = field(default=(), repr=False)
    topics: Sequence[Any] = field(default=(), repr=False)
    events: list[dict[str, Any]] = field(default_factory=list, repr=False)
    learning: dict[str, Any] = field(default_factory=dict)
    run_dir: Path | None = None
    error: str = ""
    exit_code: int = 0

    @property
    def is_disturbed(self) -> bool:
        """Whether a person did something to it while it went on."""
        return any(fault.get("cause") == YOU for fault in self.faults)

    def bytes_per_gain(self, over: str = NO_CONTROL) -> float | None:
        """What coordination cost: bytes sent per unit by which the objective beats a column.

        over: a column of `reference`. None if it is not there, or not beaten.
        Raises: UnknownKeyError for what is no column.
        """
        columns = (NO_CONTROL, RULE, *BOUNDS)
        if over not in self.reference and over not in columns:
            raise UnknownKeyError(f"there is no column {over!r}; {did_you_mean(over, columns)}")
        for name, metric in self.metrics.items():
            other = self.reference.get(over, {}).get(name)
            if metric.objective and other is not None:
                sign = 1 if metric.better == "higher" else -1
                gain = sign * (metric.value - other)
                return float(self.messages["bytes"]) / gain if gain > 0 else None
        return None

    def bytes_per_gains(self) -> dict[str, float]:
        """`bytes_per_gain` over nobody acting and over the rule, where these are beaten."""
        found = {name: self.bytes_per_gain(name) for name in (NO_CONTROL, RULE)}
        return {name: value for name, value in found.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """The document that `--json` prints and `summary.json` holds, but for its `accounts`: the
        `ACCOUNTS_MAX` of most bytes, and in `accounts_left_out` how many more there are, if any.

        Units: metrics as `sim show` states them; `bytes` of payloads as sent; delays in seconds,
        `goodput` in delivered bytes per virtual second. `learning` and `error` are there only if
        the run learned or failed.
        """
        lines = sorted(self.accounts, key=lambda account: -account.bytes)
        document: dict[str, Any] = {
            "scenario": self.scenario,
            "seed": self.seed,
            "status": self.status,
            "virtual_seconds": self.virtual_seconds,
            "wall_seconds": round(self.wall_seconds, 3),
            "steps": self.steps,
            "agents": self.agents,
            "processes": self.processes,
            "digest": self.digest,
            "messages": self.messages,
            "topics": {account.topic: self._line(account, _ENDS) for account in self.topics},
            "accounts": [self._line(account) for account in lines[:ACCOUNTS_MAX]],
            "agent_failures": self.agent_failures,
            "faults": self.faults,
            "metrics": {name: metric.value for name, metric in self.metrics.items()},
            "reference": self.reference,
            "bytes_per_gain": self.bytes_per_gains(),
            "activations": self.activations,
            "real_time_decisions": self.real_time_decisions,
        }
        if len(lines) > ACCOUNTS_MAX:
            document["accounts_left_out"] = len(lines) - ACCOUNTS_MAX
        if self.learning:
            document["learning"] = self.learning
        return {**document, "error": self.error} if self.error else document

    def record(self) -> dict[str, Any]:
        """What `summary.json` holds: the summary, with all lines of the books."""
        document = {**self.summary(), "accounts": [self._line(each) for each in self.accounts]}
        document.pop("accounts_left_out", None)
        return document

    def _line(self, account: Any, without: Iterable[str] = ()) -> dict[str, Any]:
        """A line of the books as plain data, with its goodput."""
        line = {name: v for name, v in dataclasses.asdict(account).items() if name not in without}
        seconds = self.virtual_seconds
        return {**line, "goodput": round(account.delivered_bytes / seconds, 3) if seconds else 0.0}

    @property
    def links(self) -> pd.DataFrame:
        """A row per source, destination and topic: sent, delivered, in_flight, dropped and, by
        reason, `dropped.<reason>`; bytes and delivered_bytes, goodput (bytes per virtual second),
        quantiles of the delay in seconds. The columns of `RunData.links`, without its recording.
        """
        import pandas as pd

        rows = []
        for account in self.accounts:
            line = self._line(account)
            reasons = line.pop("dropped")
            by_reason = {f"dropped.{reason}": number for reason, number in reasons.items()}
            rows.append({**line, "dropped": sum(reasons.values()), **by_reason})
        frame = pd.DataFrame(rows)
        counts = [name for name in frame.columns if name.startswith("dropped")]
        return frame.astype(dict.fromkeys(counts, "Int64")).fillna(dict.fromkeys(counts, 0))

    def metrics_frame(self) -> pd.DataFrame:
        """A row per metric: unit, better, this run, then the reference columns."""
        import pandas as pd

        metrics = self.metrics
        frame = pd.DataFrame(
            {
                "unit": {name: m.unit for name, m in metrics.items()},
                "better": {name: m.better for name, m in metrics.items()},
                "run": {name: m.value for name, m in metrics.items()},
                **{
                    column: {name: values.get(name, float("nan")) for name in metrics}
                    for column, values in self.reference.items()
                },
            }
        )
        frame.index.name = "metric"
        return frame

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        head = (
            f"<p><b>{self.scenario}</b> seed {self.seed}: {self.status}, "
            f"{self.virtual_seconds:g} s in {self.wall_seconds:.1f} s, "
            f"digest <code>{self.digest}</code></p>"
        )
        return head + str(self.metrics_frame().to_html(float_format="{:.4g}".format))


def in_order(reference: Iterable[str]) -> list[str]:
    """Names of the columns in the order they are read: no control, rule, the bound, any others."""
    names = list(reference)
    known = [name for name in (NO_CONTROL, RULE, *BOUNDS) if name in names]
    return known + [name for name in names if name not in known]


def bound_of(reference: Mapping[str, Mapping[str, float]]) -> str | None:
    """The column of `reference` that no run can beat."""
    return next((name for name in BOUNDS if name in reference), None)


def add_gap(result: Result) -> None:
    """Adds `gap` to the run and to its columns, where the objective has a bound and `no control`.

    gap = (J - J_bound) / (J_no_control - J_bound): 0 at the bound, 1 as good as doing nothing.
    """
    objective = next((n for n, metric in result.metrics.items() if metric.objective), None)
    bound = bound_of(result.reference)
    nothing = result.reference.get(NO_CONTROL, {}).get(objective or "")
    best = result.reference.get(bound or "", {}).get(objective or "")
    if objective is None or nothing is None or best is None or nothing == best:
        return
    for column in result.reference.values():
        if objective in column:
            column[GAP] = (column[objective] - best) / (nothing - best) + 0.0
    value = (result.metrics[objective].value - best) / (nothing - best) + 0.0
    text = f"({objective} - {bound}) / ({NO_CONTROL} - {bound})"
    result.metrics[GAP] = Metric(value, "", "lower", False, text)
