"""The records of a scenario: what a file may say, and what the broker reads.

Each field that a file may set carries a `Key`: how it is written there, its bounds and its help.
The reader (`sim.scenario.read`), the JSON Schema (`sim.scenario.editor`) and the reference in
docs/scenarios.md all follow from these records: a default or a bound stands in one place only.
Records are frozen; durations are integer nanoseconds, losses probabilities in [0, 1].
Fields without a `Key` are filled by the reader: where a record was written, for later messages.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import msgspec

from sim.scenario.budget import Budget
from sim.scenario.keys import Key
from sim.scenario.learning import LearnSpec, NetworkShape
from sim.scenario.link import LinkRule, LinkValues
from sim.scenario.supervision import ON_FAILURE, Limits, Supervision

TOPOLOGIES: Final = (
    "complete", "star", "ring", "line", "tree", "grid", "random_geometric", "small_world",
    "scale_free", "edges", "file", "world",
)  # fmt: skip
ROUTINGS: Final = ("fixed", "reroute")
FAULTS: Final = (
    "kill", "restart", "hang", "slow", "skew", "sensor", "actuator", "byzantine",
    "partition", "link", "noise", "world", "broker", "heal",
)  # fmt: skip
SENSOR_MODES: Final = ("freeze", "noise", "drop")
LIES: Final = ("random", "sign-flip", "stale", "inflate")
"""What a byzantine agent makes of its numbers; inflate takes a factor, as inflate:3."""
AGENTS_MAX: Final = 10_000
"""Agents one entry may make by `count`."""


LIVE_ID: Final = 2**40
"""Faults injected while a run goes on are numbered from here: after all of the scenario's."""
YOU: Final = "you, recorded"
"""The cause of what a person did to a run."""


class FileLink(LinkValues, frozen=True, kw_only=True):
    """A link of a network's file: two nodes, and what the file says of it; or one node alone."""

    source: Annotated[str, Key("name", "A node: an agent, or a relay.", key="from")]
    target: Annotated[str, Key("name", "The node it is linked with.", key="to")] = ""
    where: str = ""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Noise on the numbers of a topic's payloads, drawn anew for each receiver and message."""

    topic: str
    noise: Annotated[
        float,
        Key("fraction", "Standard deviation relative to each number, as 0.02 or 2%.", low=0.0),
    ] = 0.0
    noise_absolute: Annotated[
        float, Key("number", "Standard deviation in the unit of the numbers themselves.", low=0.0)
    ] = 0.0
    where: str = ""


class MediumSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A medium that senders share in slots: of those that speak in one slot nobody is heard."""

    slot_ns: Annotated[
        int, Key("duration", "Length of a slot; what is sent in it is decided, and goes on, at its "
                 "end.", key="slot", low=1)
    ]  # fmt: skip
    group: Annotated[
        tuple[str, ...], Key("patterns", "Who shares it: agents and relays; default all.")
    ] = ("*",)  # fmt: skip
    where: str = ""
    members: frozenset[str] = frozenset()
    """Who that is, by name."""


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who is linked to whom, and how well."""

    default: Annotated[
        LinkValues, Key("record", "Every link, before `links`; `latency` is required.",
                        of="LinkValues")
    ]  # fmt: skip
    topology: Annotated[
        str, Key("choice", "Which links there are.", choices=TOPOLOGIES)
    ] = "complete"  # fmt: skip
    hub: Annotated[
        str, Key("name", "Centre of a star: an agent, or a new name that only passes on.")
    ] = ""
    branching: Annotated[
        int, Key("integer", "Children of each node of a tree, in roster order.", low=1, high=1e6)
    ] = 2
    rows: Annotated[
        int, Key("integer", "Rows of a grid; nodes fill it row by row, in roster order.", low=1,
                 high=1e6)
    ] = 0  # fmt: skip
    columns: Annotated[
        int, Key("integer", "Columns of a grid; rows or columns are enough.", low=1, high=1e6)
    ] = 0
    wrap: Annotated[bool, Key("flag", "Whether the ends of a grid's rows and columns meet.")] = (
        False
    )
    radius: Annotated[
        float,
        Key("number", "Distance within which nodes of a random_geometric network are linked, drawn "
            "in a square of side 1; default: the smallest that leaves nobody out.", low=0.0),
    ] = 0.0  # fmt: skip
    k: Annotated[
        int, Key("integer", "Neighbours of each node of a small_world before some are rewired.",
                 low=2, high=1e6)
    ] = 4  # fmt: skip
    p: Annotated[
        float, Key("fraction", "Share of a small_world's links that are rewired.", low=0.0,
                   high=1.0)
    ] = 0.1  # fmt: skip
    m: Annotated[
        int, Key("integer", "Links that each further node of a scale_free network brings.", low=1,
                 high=1e6)
    ] = 2  # fmt: skip
    file: Annotated[
        tuple[FileLink, ...],
        Key("graph", "A network's file (topology: file), relative to this one: .graphml, or a list "
            "of links, .csv, .edges or .txt; or the links themselves.", of="FileLink"),
    ] = ()  # fmt: skip
    edges: Annotated[
        tuple[tuple[str, str], ...],
        Key("pairs", "Pairs of names or patterns, linked in both directions (topology: edges; or "
            "in addition to file and world)."),
    ] = ()  # fmt: skip
    relays: Annotated[
        tuple[str, ...], Key("names", "Further nodes that only pass messages on.")
    ] = ()  # fmt: skip
    links: Annotated[
        tuple[LinkRule, ...],
        Key("records", "Exceptions from `default`; later entries win, key by key.", of="LinkRule"),
    ] = ()
    medium: Annotated[
        MediumSpec | None,
        Key("record", "A medium shared in slots, as radio on one channel: {slot: 1ms, group: "
            '"meter-*"}; messages that meet on it are lost.', of="MediumSpec"),
    ] = None  # fmt: skip
    topics: Annotated[
        tuple[TopicSpec, ...],
        Key("table", "Noise of topics, by name or pattern.", of="TopicSpec", key="topics"),
    ] = ()
    routing: Annotated[
        str,
        Key("choice", "Whether ways stay as they are, or lead round what is cut or down.",
            choices=ROUTINGS),
    ] = "fixed"  # fmt: skip
    detection_ns: Annotated[
        int, Key("duration", "How long it takes until messages go another way (routing: reroute).",
                 key="detection")
    ] = 0  # fmt: skip
    where: str = ""
    pairs: tuple[tuple[str, str], ...] | None = None
    """The links that `sim.scenario.layouts.laid_out` made of the topology, where it must."""


class WorldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The world's catalogue name and its own parameters, as the world documents them."""

    kind: Annotated[
        str, Key("text", "Name of the world in the catalogue; or a file, as my_world.py.")
    ]
    params: Annotated[dict[str, Any], Key("rest", "Every other key: the world's own.")]
    where: str = ""
    places: dict[str, str] = {}
    """File and line of each parameter, for the world's messages."""


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `agents`, by pattern. Later entries win, key by key; None leaves a key as it is.

    An entry that names a behaviour starts from no parameters.
    """

    pattern: str
    behaviour: Annotated[
        str | None,
        Key("behaviour", "Who plays: rule (the world's own; the default), none (nobody: the "
            "device's fall-back), my_agents.py:Class, package.module:Class, or policy:FILE."),
    ] = None  # fmt: skip
    params: Annotated[
        dict[str, Any] | None, Key("params", "Parameters of the behaviour, as it documents them.")
    ] = None
    processing_ns: Annotated[
        int | None,
        Key("duration", "Virtual time from an activation to what it sends and does; default 0.",
            key="processing"),
    ] = None  # fmt: skip
    on_failure: Annotated[
        str | None,
        Key("choice", "What happens if it fails; default supervision.on_failure.",
            choices=ON_FAILURE),
    ] = None  # fmt: skip
    budget: Annotated[
        Budget | None,
        Key("record", "What it may send: messages and bytes per span of time.", of="Budget"),
    ] = None
    count: Annotated[
        int | None,
        Key("integer", "Makes so many agents without a slot in the world; `*` in the name becomes "
            "1, 2, ...", low=0, high=AGENTS_MAX),
    ] = None  # fmt: skip
    where: str = ""
    folder: str = ""
    """Folder of the file that named the behaviour; "" for an option: the working folder."""


class FaultSpec(LinkValues, frozen=True, kw_only=True):
    """An entry of `faults`: when, exactly one of the kinds of `FAULTS`, and what belongs to it."""

    at_ns: Annotated[
        int | None, Key("duration", "Virtual time of the fault, or of its first one.", key="at")
    ] = None
    every_ns: Annotated[
        int | None, Key("duration", "Repeats the fault until the end.", key="every")
    ] = None
    for_ns: Annotated[
        int | None, Key("duration", "Lifts the fault after this time; a killed agent restarts.",
                        key="for")
    ] = None  # fmt: skip
    kill: Annotated[
        tuple[str, ...], Key("patterns", "Agents whose process is killed; or relays.")
    ] = ()
    restart: Annotated[tuple[str, ...], Key("patterns", "Agents started anew; or relays.")] = ()
    hang: Annotated[tuple[str, ...], Key("patterns", "Agents whose process is stopped.")] = ()
    slow: Annotated[tuple[str, ...], Key("patterns", "Agents that take longer to act.")] = ()
    factor: Annotated[
        float,
        Key("number", "How often the `processing` of the agent a `slow` one takes, or 100ms if it "
            "has none; default 10.", low=1.0, high=1e6),
    ] = 10.0  # fmt: skip
    skew: Annotated[tuple[str, ...], Key("patterns", "Agents whose own clock is wrong.")] = ()
    offset_ns: Annotated[
        int | None,
        Key("offset", "How far a skewed clock is ahead, as 2s; behind, as -2s.", key="offset"),
    ] = None
    drift: Annotated[
        float, Key("drift", "How much faster a skewed clock runs, as 50ppm or 0.00005.")
    ] = 0.0
    sensor: Annotated[
        tuple[str, ...],
        Key("patterns", "Agents that observe wrongly: with freeze, noise or drop beside it."),
    ] = ()
    freeze: Annotated[bool, Key("flag", "The sensor repeats its last reading.")] = False
    drop: Annotated[
        float,
        Key("fraction", "Probability that an observation does not arrive.", low=0.0, high=1.0),
    ] = 0.0
    actuator: Annotated[tuple[str, ...], Key("patterns", "Agents whose actions do nothing.")] = ()
    stuck: Annotated[bool, Key("flag", "The action in force stays as it is; the default.")] = True
    byzantine: Annotated[
        tuple[str, ...], Key("patterns", "Agents that send wrong numbers: how, says `mode`.")
    ] = ()
    topic: Annotated[
        tuple[str, ...], Key("patterns", "Topics on which a byzantine agent lies; default all.")
    ] = ()
    field: Annotated[
        tuple[str | int, ...],
        Key("fields", "What is wrong: a key, an index or a column of the payload, or a field of "
            "the observation; default every number."),
    ] = ()  # fmt: skip
    mode: Annotated[
        tuple[str, float],
        Key("mode", "What becomes of the numbers of a byzantine agent: random, sign-flip, stale or "
            "inflate:3."),
    ] = ("", 0.0)  # fmt: skip
    partition: Annotated[
        tuple[tuple[str, ...], ...],
        Key("ends", "Two sides that no message crosses; who is on the first is not on the second."),
    ] = ()
    link: Annotated[
        tuple[tuple[str, ...], ...],
        Key("ends", "Two ends of links; the link keys beside it replace theirs."),
    ] = ()
    noise: Annotated[
        float | None,
        Key("fraction", "Standard deviation relative to each number of the `topics`, or of what a "
            "`sensor` reads.", low=0.0),
    ] = None  # fmt: skip
    world: Annotated[str, Key("text", "A physical event of the world, by its name.")] = ""
    target: Annotated[tuple[str, ...], Key("patterns", "What the world's event strikes.")] = ()
    topics: Annotated[tuple[str, ...], Key("patterns", "Topics of `noise`; default all.")] = ()
    broker: Annotated[
        str, Key("choice", "Kills the broker's own process; the run can be resumed.",
                 choices=("kill",))
    ] = ""  # fmt: skip
    heal: Annotated[
        bool | None, Key("flag", "Lifts everything in force; who was killed starts again.")
    ] = None
    both: Annotated[bool, Key("flag", "Whether `link` counts in both directions.")] = True
    choose: Annotated[
        int | None,
        Key("integer", "Strikes only so many of those that match, drawn by the seed.", low=1,
            high=AGENTS_MAX),
    ] = None  # fmt: skip
    where: str = ""

    @property
    def kind(self) -> str:
        """Which of the kinds of `FAULTS` the entry is."""
        return next(kind for kind in FAULTS if getattr(self, kind) not in ((), "", None))

    @property
    def values(self) -> LinkValues:
        """The link keys of the entry."""
        return LinkValues(**{name: getattr(self, name) for name in LinkValues.__struct_fields__})


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault at its instant, with names. What is lifted again is a second record, `is_on` false.

    targets, targets_b: agents, but for partition: the two sides, disjoint; link: from and to (and
        back, if `both`); noise: topic patterns; world: what the event strikes; broker: -.
    id:      the same for what is applied and what lifts it; larger for later entries, which win.
    number:  standard deviation of noise, factor of slow and inflate, drift, probability of drop.
    mode:    of a sensor or byzantine fault. topics, fields: patterns and names it is about.
    event:   name of the world's physical event.
    """

    time_ns: int
    id: int
    kind: str
    targets: tuple[str, ...]
    targets_b: tuple[str, ...] = ()
    is_on: bool = True
    both: bool = True
    values: LinkValues = LinkValues()
    number: float = 0.0
    offset_ns: int = 0
    mode: str = ""
    topics: tuple[str, ...] = ()
    fields: tuple[str | int, ...] = ()
    event: str = ""
    text: str = ""

    @property
    def cause(self) -> str:
        """Who brought it about."""
        return YOU if self.id >= LIVE_ID else "scenario"


class ConsoleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the run is shown."""

    speed: Annotated[
        float,
        Key("speed", "Virtual seconds per real second: max, realtime, or as 900x."),
    ] = math.inf


class RecordSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run is recorded for people; `run.log` is always written."""

    every_ns: Annotated[
        int | None,
        Key("duration", "Virtual time between recorded frames; 0 records nothing; default at most "
            "1,500 in a run.", key="every"),
    ] = None  # fmt: skip
    messages: Annotated[
        str, Key("choice", "Whether every message is recorded.", choices=("all", "none"))
    ] = "all"  # fmt: skip
    payloads: Annotated[bool, Key("flag", "Whether with what it said.")] = True


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario, resolved as far as it can be without making its world."""

    name: Annotated[str, Key("name", "Name of the scenario; default the name of the file.")] = ""
    seed: Annotated[
        int, Key("integer", "Seed of everything random.", low=0, high=2**63 - 1)
    ] = 0  # fmt: skip
    duration_ns: Annotated[
        int, Key("duration", "Virtual time of an episode.", key="duration", low=1)
    ]
    episodes: Annotated[int, Key("integer", "How often it runs.", low=1, high=1e6)] = 1
    world: Annotated[WorldSpec, Key("record", "The world and its parameters.", of="WorldSpec")]
    agents: Annotated[
        tuple[AgentSpec, ...],
        Key("table", "Who plays which slot of the world, by name or pattern; further agents by "
            "`count`.", of="AgentSpec"),
    ] = ()  # fmt: skip
    assignments: Annotated[
        tuple[AgentSpec, ...],
        Key("assignments", "Behaviours by name or pattern, applied after `agents`: what --as "
            "writes.", key="as"),
    ] = ()  # fmt: skip
    network: Annotated[NetworkSpec, Key("record", "The links.", of="NetworkSpec")]
    supervision: Annotated[
        Supervision, Key("record", "What happens when an agent fails.", of="Supervision")
    ] = Supervision()
    limits: Annotated[Limits, Key("record", "Bounds on one agent.", of="Limits")] = Limits()
    faults: Annotated[
        tuple[FaultSpec, ...], Key("records", "What goes wrong, and when.", of="FaultSpec")
    ] = ()
    console: Annotated[ConsoleSpec, Key("record", "How it is shown.", of="ConsoleSpec")] = (
        ConsoleSpec()
    )
    record: Annotated[
        RecordSpec, Key("record", "What of it is recorded.", of="RecordSpec")
    ] = RecordSpec()  # fmt: skip
    learn: Annotated[
        LearnSpec | None,
        Key("record", "Who is trained by `sim train`, and on what.", of="LearnSpec"),
    ] = None
    source: str = ""
    folder: str = ""
    """Folder of the scenario's file; relative paths are found there, then in the working folder."""
    description: str = ""
    """The comment that opens the file."""
    document: dict[str, Any] = {}
    """The merged document as plain data; `sim.scenario.load.dump` writes it as a file."""


RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    record.__name__: record
    for record in (
        LinkValues, LinkRule, FileLink, MediumSpec, TopicSpec, NetworkSpec, WorldSpec, AgentSpec,
        Budget, Supervision, Limits, FaultSpec, ConsoleSpec, RecordSpec, NetworkShape, LearnSpec,
        Scenario,
    )
}  # fmt: skip
TABLE_KEYS: Final = {"AgentSpec": "pattern", "TopicSpec": "topic"}
"""Records that stand in a mapping: the field that takes the mapping's key."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file as users write it, for editors."""
    from sim.scenario.editor import scenario_schema

    return scenario_schema()
