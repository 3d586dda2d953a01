"""The records of a scenario's `learn` block: who is trained, by what, and on what."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from sim.scenario.keys import Key

SHARES: Final = ("group", "none", "all")
CRITICS: Final = ("state", "observations", "own")
TAPS: Final = ("agents", "broker")
ACTIVATIONS: Final = ("tanh", "relu")
FROZEN: Final = "frozen"
"""Of a group: it keeps who plays it."""


class Ranges(msgspec.Struct, frozen=True):
    """Links of training drawn anew for every episode of every copy, uniformly between two bounds.

    What is None stays as the scenario says.
    """

    loss: tuple[float, float] | None = None
    latency_ns: tuple[int, int] | None = None


class NetworkShape(msgspec.Struct, frozen=True, kw_only=True):
    """The networks of the learners."""

    hidden: Annotated[
        tuple[int, ...],
        Key("integers", "Width of each hidden layer.", low=1, high=65536),
    ] = (64, 64)
    activation: Annotated[
        str, Key("choice", "After each hidden layer.", choices=ACTIVATIONS)
    ] = "tanh"  # fmt: skip
    recurrent: Annotated[
        int, Key("integer", "Width of a recurrent layer (GRU); 0 is none.", low=0, high=65536)
    ] = 0
    attention: Annotated[
        int,
        Key("integer", "Width of the attention over what was heard; 0 reads the inbox as numbers "
            "in a row.", low=0, high=65536),
    ] = 0  # fmt: skip
    identity: Annotated[
        bool, Key("flag", "Whether a shared network is told which agent it plays.")
    ] = False


class LearnSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who is trained, by which algorithm, on what."""

    groups: Annotated[
        dict[str, str],
        Key("players", "Per group of the world its algorithm, as mappo; or policy:FILE, which "
            "plays it without learning; or frozen, which leaves it as it is. Default every group "
            "that has a role, by --algorithm."),
    ] = {}  # fmt: skip
    share: Annotated[
        str,
        Key("choice", "Who has parameters in common: the agents of a group, none, or all.",
            choices=SHARES),
    ] = "group"  # fmt: skip
    critic_sees: Annotated[
        str,
        Key("choice", "What the value function is told in training: the world's state, all "
            "observations, or an agent's own; default by the algorithm.", choices=CRITICS),
    ] = ""  # fmt: skip
    reward: Annotated[
        str | float,
        Key("reward", "Whose reward counts: team (that of all), own, or {mix: x}: x of the team's "
            "and 1 - x of the own."),
    ] = "team"  # fmt: skip
    links: Annotated[
        str | Ranges,
        Key("training_links", "Links in training: ideal (nothing is lost or late), scenario (as "
            "`network` says), or {loss: [0, 0.4], latency: [0s, 10s]}: drawn for every episode."),
    ] = "scenario"  # fmt: skip
    frames: Annotated[
        int, Key("count", "Decisions of copies after which training ends.", low=1, high=1e13)
    ] = 1_000_000  # fmt: skip
    copies: Annotated[
        int | None,
        Key("integer", "Copies of the world that go on side by side; default by what rolls out.",
            low=1, high=1_000_000),
    ] = None  # fmt: skip
    seed: Annotated[
        int | None, Key("integer", "Seed of training; default that of the scenario.", low=0,
                        high=2**63 - 1)
    ] = None  # fmt: skip
    train_days: Annotated[
        tuple[str, str] | None,
        Key("days", "First and last day of the record that training sees, as "
            "2016-01-01..2016-10-31; for worlds that have days."),
    ] = None  # fmt: skip
    held_out: Annotated[
        tuple[str, str] | None,
        Key("days", "First and last day that only evaluation sees."),
    ] = None  # fmt: skip
    plateau: Annotated[
        float,
        Key("fraction", "Training ends early once the return has not improved over this share of "
            "`frames`; 0 never ends it early.", low=0.0, high=1.0),
    ] = 0.0  # fmt: skip
    options: Annotated[
        dict[str, dict[str, Any]],
        Key("tables", "Hyperparameters, per algorithm: {mappo: {learning_rate: 0.0005}}."),
    ] = {}  # fmt: skip
    network: Annotated[NetworkShape, Key("record", "The networks.", of="NetworkShape")] = (
        NetworkShape()
    )
    roles: Annotated[
        dict[str, dict[str, Any]],
        Key("tables", "Per group, parameters of its role; of the plain one {speaks: {topic: "
            "width}, hears: {topic: width}}."),
    ] = {}  # fmt: skip
    online: Annotated[
        bool,
        Key("flag", "Whether `sim run` learns from the agents as they run: what --learn sets. An "
            "agent `learner` joins, on links like any other."),
    ] = False  # fmt: skip
    tap: Annotated[
        str,
        Key("choice", "What the learner of a run learns from: what agents tell it, or also the "
            "state and the rewards, from the broker (privileged).", choices=TAPS),
    ] = "agents"  # fmt: skip
    update: Annotated[
        int,
        Key("integer", "Decisions of a group after which the learner of a run updates.", low=2,
            high=1_000_000),
    ] = 256  # fmt: skip
    wait_ns: Annotated[
        int | None,
        Key("duration", "Time for which a joint sample waits for what is missing of it, beyond "
            "that in which agents tell of it; default 4 decisions.", key="wait"),
    ] = None  # fmt: skip
    where: str = ""
    folder: str = ""
    """Folder of the file that wrote the block, for its policy files."""
