"""What onlookers are told of a run, and what they may ask of it.

One ROUTER of the broker serves consoles and commands alike: an `Ask` is answered by an `Answer`
with its number, and whoever has asked to `watch` is sent frames. A frame that an onlooker does not
take in time is dropped for it alone; `serial` shows the gap. The run waits for nobody.
A recorded run is made of the same parts, so the console shows either.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

LIVE: Final = 1
"""Version of these records."""
ASKS: Final = (
    "intro", "watch", "leave", "inspect", "pause", "go", "step", "window", "speed", "inject", "stop"
)  # fmt: skip
"""What may be asked. The first four change nothing; a read-only onlooker may ask no others."""
OPEN_ASKS: Final = ASKS[:4]


class AgentCard(msgspec.Struct, frozen=True):
    """Who an agent is. role: its group in the world, "" if none. player: its behaviour."""

    name: str
    role: str
    player: str
    host: int


class MetricCard(msgspec.Struct, frozen=True):
    """A figure of the outcome, as in `sim.worlds.world.Metric`."""

    name: str
    unit: str
    better: str
    objective: bool
    help: str


class Intro(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run does not change. Sent as data of the answer to `intro`.

    actions, observations: per role (name, unit, size) of each field. events: the world's physical
    events with their targets. scheduled: (time_ns, text) of the scenario's faults.
    speed: virtual seconds per real second asked for at the start; infinity for as fast as it goes.
    """

    live: int
    scenario: str
    seed: int
    directory: str
    pid: int
    started: str
    duration_ns: int
    episodes: int
    dt_ns: int
    speed: float
    agents: list[AgentCard]
    metrics: list[MetricCard]
    actions: dict[str, list[tuple[str, str, int]]]
    observations: dict[str, list[tuple[str, str, int]]]
    events: dict[str, list[str]]
    scheduled: list[tuple[int, str]]
    is_recorded: bool = False


class AgentColumns(msgspec.Struct, kw_only=True):
    """The agents now, in the order of the intro. Shapes: every list has one item per agent.

    state: up, down, hung, failed, finished or absent (nobody plays). action: numbers in force,
    [] if none. reward: sum of the last decision's components; score: of all. sent, received:
    messages so far. age_ns: time since the last message arrived, -1 if none ever. late, missing:
    actions. pid, rss_bytes, cpu_seconds: of its process, 0 if unknown. note: why it is not well.
    """

    state: list[str]
    action: list[list[float]]
    reward: list[float]
    score: list[float]
    sent: list[int]
    received: list[int]
    age_ns: list[int]
    late: list[int]
    missing: list[int]
    restarts: list[int]
    pid: list[int]
    rss_bytes: list[int]
    cpu_seconds: list[float]
    note: list[str]


class LinkMatrix(msgspec.Struct, kw_only=True):
    """Messages between ends: agents if they are few, roles otherwise. Sums since the start.

    Shapes: [ends][ends], row sends to column. p95_ns: 95 % of what was delivered was faster, within
    3 %; -1 if nothing was. is_cut: some pair of them is cut now. delivered_bytes: of payloads.
    reasons: what was lost by reason. What older recordings do not have is empty.
    """

    ends: list[str]
    sent: list[list[int]]
    delivered: list[list[int]]
    lost: list[list[int]]
    p50_ns: list[list[int]]
    p95_ns: list[list[int]]
    is_cut: list[list[bool]]
    p99_ns: list[list[int]] = []
    delivered_bytes: list[list[int]] = []
    reasons: dict[str, list[list[int]]] = {}


class ActiveFault(msgspec.Struct, frozen=True):
    """A fault in force. until_ns: when it is lifted, -1 if never. cause: scenario, or you."""

    id: int
    kind: str
    text: str
    since_ns: int
    until_ns: int
    cause: str


class Line(msgspec.Struct, frozen=True):
    """A line of the run's story. cause: scenario; you, recorded; supervisor; "" if it is plain."""

    serial: int
    time_ns: int
    kind: str
    agent: str
    text: str
    cause: str = ""


class Frame(msgspec.Struct, kw_only=True):
    """The run at one moment.

    status: running, paused, comparing (its columns), or completed, failed, interrupted.
    speed: virtual per real second now; possible: what it would be unpaced; wanted: asked for.
    metrics: the outcome so far; reference: other columns of it (rule, no control, bound), so far
    where that is known, else of the whole run (`whole` names those columns).
    lines: news since the last frame sent to this onlooker. detail: of what it inspects.
    """

    serial: int
    now_ns: int
    status: str
    episode: int
    steps: int
    windows: int
    speed: float
    possible: float
    wanted: float
    wall_seconds: float
    metrics: dict[str, float]
    reference: dict[str, dict[str, float]]
    whole: list[str]
    scene: dict[str, Any]
    agents: AgentColumns
    links: LinkMatrix
    faults: list[ActiveFault]
    books: dict[str, Any]
    digest: str
    decisions: int
    text: str = ""
    lines: list[Line] = []
    detail: Detail | None = None


class Passed(msgspec.Struct, frozen=True):
    """A message that an inspected agent or link carried. fate: delivered, in flight or a reason."""

    sent_ns: int
    arrived_ns: int
    sender: str
    receiver: str
    topic: str
    bytes: int
    fate: str
    payload: str


class Detail(msgspec.Struct, kw_only=True):
    """One agent (`target` is empty) or one link, looked at closely; newest messages first.

    observed: (field, values, unit) as it last saw them, at observed_ns. link: what the link is
    now, by key, as a person reads it. accounts: topic -> sent, delivered, dropped by reason.
    delays: of a link, topic -> seconds in which half, 95 and 99 % of what was delivered came.
    """

    agent: str
    target: str = ""
    observed_ns: int = -1
    observed: list[tuple[str, list[float], str]] = []
    action: list[tuple[str, list[float], str]] = []
    rewards: list[float] = []
    messages: list[Passed] = []
    log: list[Line] = []
    link: dict[str, str] = {}
    accounts: dict[str, dict[str, int]] = {}
    delays: dict[str, list[float]] = {}


class Ask(msgspec.Struct, frozen=True):
    """A request. text: its argument, as a factor for `speed`, `agent` or `from > to` for
    `inspect`, an entry of `faults:` as YAML for `inject`; `step` and `window` take none.
    """

    number: int
    what: str
    text: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """The reply to a request. text: for a person; if not `is_ok`, what was wrong."""

    number: int
    is_ok: bool
    text: str = ""
    intro: Intro | None = None


class News(msgspec.Struct, frozen=True, tag="news"):
    """A frame on its way to an onlooker."""

    frame: Frame
