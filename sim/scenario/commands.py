"""What a person may do to a run, typed as words: one table, read by `sim inject` and the console.

`parse_command` turns `kill battery-2 --for 10min` into one entry of `faults:` without `at`, in
flow-style YAML: `{kill: battery-2, for: 10min}`. That is what the broker reads, records and
applies; it checks once more. Here a typing mistake is told early, with the nearest name.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yaml import safe_dump

from sim import units
from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, hint, matching, nearest
from sim.scenario.bursts import burst_of_text
from sim.scenario.link_presets import PRESETS

if TYPE_CHECKING:
    from sim.wire.live import Intro

_MODES: Final = ("random", "sign-flip", "stale", "inflate:3")


@dataclass(frozen=True)
class Option:
    """A word that begins with `--`. read: checks its value, "" if it takes none; key: in YAML."""

    name: str
    key: str
    metavar: str
    help: str
    read: Callable[[str], object] | None = None
    is_many: bool = False
    value: Any = True
    """What the key is set to where the option takes no value."""


@dataclass(frozen=True)
class Command:
    """A command. words: its plain arguments, each agents, ends, event, target or value.

    required: options without which it means nothing. one_of: exactly one of these is expected.
    """

    name: str
    usage: str
    help: str
    example: str
    words: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("expected a word, found nothing")
    return value


def _share(value: str) -> float:
    found = units.fraction(value)
    if not 0 <= found <= 1:
        raise ValueError(f"expected a share from 0 to 1, or 0% to 100%, found {value!r}")
    return found


def _not_negative(value: str) -> float:
    found = units.fraction(value)
    if found < 0:
        raise ValueError(f"expected a value from 0, found {value!r}")
    return found


def _factor(value: str) -> float:
    found = _number(value.removesuffix("x"))
    if found < 1:
        raise ValueError(f"expected a factor from 1, found {value!r}")
    return found


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise ValueError(f"expected a number, found {value!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"expected a finite number, found {value!r}")
    return found


def _above_0(value: str) -> int:
    found = units.duration_ns(value)
    if found == 0:
        raise ValueError(f"expected a duration above 0, found {value!r}")
    return found


def _signed_duration(value: str) -> int:
    return units.duration_ns(value.removeprefix("-"))


def _drift(value: str) -> float:
    return _number(value.removesuffix("ppm").strip())


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"expected a whole number from 1, found {value!r}")
    return int(value)


def _mode(value: str) -> str:
    name, colon, factor = value.partition(":")
    if value in _MODES[:3]:
        return value
    if name != "inflate" or not colon:
        raise ValueError(f"expected {', '.join(_MODES)}, found {value!r}{hint(value, _MODES)}")
    _number(factor)
    return value


def _preset(value: str) -> str:
    if value not in PRESETS:
        raise ValueError(f"there is no preset {value!r}; {did_you_mean(value, PRESETS)}")
    return value


_FOR: Final = Option("for", "for", "DURATION", "lifted after this virtual time", _above_0)
_CHOOSE: Final = Option("choose", "choose", "N", "only so many of them, drawn by the seed", _count)
_TOPICS: Final = Option("topic", "topics", "TOPIC", "only this topic; may be repeated", _text, True)
_FIELD: Final = Option("field", "field", "FIELD", "only this one; may be repeated", _text, True)
_LINK: Final = (
    Option("loss", "loss", "SHARE", "probability that a message is lost, as 0.3 or 30%", _share),
    Option(
        "burst",
        "burst",
        "LOSS:LENGTH",
        "further losses in bursts, as 10%:5 or 10%:200ms; or none",
        burst_of_text,
    ),
    Option("duplicate", "duplicate", "SHARE", "probability of a second copy", _share),
    Option("corrupt", "corrupt", "SHARE", "probability that bytes are changed", _share),
    Option("preset", "preset", "NAME", "a technology's figures, as wifi or lora", _preset),
    Option("latency", "latency", "DURATION", "no message is faster", units.duration_ns),
    Option("rate", "rate", "RATE", "bandwidth, as 250kbit/s", units.rate_bytes_per_s),
    Option("queue", "queue", "SIZE", "bytes that may wait, as 64KiB", units.size_bytes),
)

COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command(
            "kill", "kill AGENT... [--for D] [--choose N]",
            "Kills the process of an agent; it starts anew after --for, without memory.",
            "kill battery-2 --for 10min", ("agents",), (_FOR, _CHOOSE),
        ),
        Command(
            "hang", "hang AGENT... [--for D] [--choose N]",
            "Stops the process of an agent; what it is sent waits.",
            "hang market --for 90s", ("agents",), (_FOR, _CHOOSE),
        ),
        Command(
            "restart", "restart AGENT... [--choose N]",
            "Starts an agent anew, without memory.",
            "restart battery-2", ("agents",), (_CHOOSE,),
        ),
        Command(
            "slow", "slow AGENT... [--factor F] [--for D]",
            "Makes an agent think longer by a factor.",
            "slow 'ev-*' --factor 10 --for 1h", ("agents",),
            (
                Option("factor", "factor", "F", "times its processing time; default 10", _factor),
                _FOR, _CHOOSE,
            ),
        ),
        Command(
            "link", "link FROM TO [--loss P] [--burst P:L] [--duplicate P] [--corrupt P] [--preset NAME] [--latency D] [--rate R] [--queue S] [--one-way] [--for D]",  # noqa: E501
            "Replaces what links between two ends are like; --loss 1 cuts them.",
            "link battery-2 market --loss 30% --latency 80ms --for 60s", ("ends", "ends"),
            (
                *_LINK,
                Option("one-way", "both", "", "only from FROM to TO", None, False, False),
                _FOR,
            ),
        ),
        Command(
            "partition", "partition SIDE SIDE [--for D]",
            "Cuts two sides off from each other; who is on the first is not on the second.",
            "partition 'a-*' '*' --for 2min", ("ends", "ends"), (_FOR,),
        ),
        Command(
            "heal", "heal",
            "Lifts every fault in force; who was killed or hung runs again.",
            "heal",
        ),
        Command(
            "noise", "noise SIGMA [--topic T] [--for D]",
            "Adds relative noise to the numbers in messages.",
            "noise 10% --topic offer --for 1h", ("sigma",), (_TOPICS, _FOR),
        ),
        Command(
            "skew", "skew AGENT... [--offset D] [--drift PPM] [--for D]",
            "Sets an agent's own clock off, by an offset, a drift, or both.",
            "skew ev-3 --offset 2s --drift 50ppm", ("agents",),
            (
                Option("offset", "offset", "DURATION", "ahead by this; behind with a minus",
                       _signed_duration),
                Option("drift", "drift", "PPM", "gains so many parts in a million", _drift),
                _FOR, _CHOOSE,
            ),
        ),
        Command(
            "sensor", "sensor AGENT... --freeze | --noise S | --drop P [--field F] [--for D]",
            "Spoils what an agent observes: frozen, noisy, or now and then missing.",
            "sensor ev-3 --noise 0.2 --for 1h", ("agents",),
            (
                Option("freeze", "freeze", "", "it sees the last values again and again"),
                Option("noise", "noise", "SIGMA", "relative to each number", _not_negative),
                Option("drop", "drop", "SHARE", "so many observations never come", _share),
                _FIELD, _FOR, _CHOOSE,
            ),
            (), ("freeze", "noise", "drop"),
        ),
        Command(
            "actuator", "actuator AGENT... --stuck [--for D]",
            "Leaves a device where it is, whatever its agent says.",
            "actuator pv-1 --stuck --for 1h", ("agents",),
            (Option("stuck", "stuck", "", "holds the action in force"), _FOR, _CHOOSE),
            (), ("stuck",),
        ),
        Command(
            "byzantine", "byzantine AGENT... --mode M [--topic T] [--field F] [--for D]",
            "Makes an agent lie: what it sends is changed on the way out.",
            "byzantine meter-4 --topic offer --field price --mode random", ("agents",),
            (
                Option("mode", "mode", "MODE", ", ".join(_MODES), _mode),
                Option("topic", "topic", "TOPIC", "only on this one; may be repeated", _text, True),
                _FIELD, _FOR, _CHOOSE,
            ),
            ("mode",),
        ),
        Command(
            "world", "world EVENT [TARGET] [--for D]",
            "A physical event of the world, such as a line that trips.",
            "world line-trip 'LV3.101 Line 26' --for 20min", ("event", "target"), (_FOR, _CHOOSE),
        ),
        Command(
            "broker", "broker kill",
            "Kills the broker itself; `sim resume` goes on from its log.",
            "broker kill", ("kill",),
        ),
    )
}  # fmt: skip
"""Every command by its name, in the order of `sim inject --list`."""


def split_words(line: str) -> list[str]:
    """The words of a typed line, quotes as in a shell. Raises: ScenarioError."""
    try:
        return shlex.split(line)
    except ValueError:
        raise ScenarioError(f"a quote is not closed: {line}") from None


def parse_command(words: Sequence[str], intro: Intro) -> str:
    """The entry of `faults:` that the words mean, as flow-style YAML without `at`.

    Raises: ScenarioError, UnknownKeyError: what was typed, what is expected, the nearest name.
    """
    if not words:
        raise ScenarioError(f"expected a command; {did_you_mean('', COMMANDS)}")
    command = COMMANDS.get(words[0])
    if command is None:
        raise UnknownKeyError(f"unknown command {words[0]!r}; {did_you_mean(words[0], COMMANDS)}")
    plain, options = _sort_out(command, words[1:])
    entry = _HEADS.get(command.name, _agents_entry)(command, plain, intro)
    _check_options(command, options)
    return _yaml({**entry, **options})


def complete(line: str, intro: Intro, more: Iterable[str] = ()) -> list[str]:
    """Whole lines that the typed one may become, nearest to its last word; at most 50.

    more: further commands than those of `COMMANDS`, each by its name.
    """
    head, _, last = line.rpartition(" ")
    typed = head.split()
    if not typed:
        return [name for name in (*COMMANDS, *more) if name.startswith(last)][:50]
    command = COMMANDS.get(typed[0])
    if command is None:
        return []
    return [f"{head} {word}" for word in _next_words(command, typed[1:], last, intro)][:50]


# --- reading ------------------------------------------------------------------------------------


def _sort_out(command: Command, words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Plain words, and the keys that options set."""
    known = {option.name: option for option in command.options}
    plain: list[str] = []
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        option = known.get(name)
        if option is None:
            raise UnknownKeyError(
                f"{command.name} has no option {word.partition('=')[0]!r}; "
                f"{did_you_mean('--' + name, [f'--{each}' for each in known])}"
            )
        if option.read is None:
            if equals:
                raise ScenarioError(f"--{name} takes no value, found {value!r}")
            found[option.key] = option.value
            continue
        if not equals:
            value = next(rest, "")
            if not value or value.startswith("--"):
                raise ScenarioError(f"--{name}: expected {option.metavar}: {option.help}")
        try:
            option.read(value)
        except ValueError as error:
            raise ScenarioError(f"--{name}: {error}") from None
        if option.is_many:
            found.setdefault(option.key, []).extend(_plain(v) for v in value.split(","))
        else:
            found[option.key] = _plain(value)
    return plain, {key: _one_or_all(v) if isinstance(v, list) else v for key, v in found.items()}


def _plain(value: str) -> Any:
    """A number as a number, so that YAML shows it as one."""
    try:
        number = float(value)
    except ValueError:
        return value
    return int(value) if value.lstrip("+-").isdecimal() else number


def _one_or_all(names: Sequence[Any]) -> Any:
    return names[0] if len(names) == 1 else list(names)


def _check_options(command: Command, options: dict[str, Any]) -> None:
    for name in command.required:
        if name not in options:
            raise ScenarioError(f"{command.name}: expected --{name}; {command.usage}")
    if command.one_of and len([name for name in command.one_of if name in options]) != 1:
        names = " or ".join(f"--{name}" for name in command.one_of)
        raise ScenarioError(f"{command.name}: expected {names}; {command.usage}")
    if command.name == "link" and not any(option.key in options for option in _LINK):
        names = ", ".join(f"--{option.name}" for option in _LINK)
        raise ScenarioError(f"link: expected at least one of {names}")
    if command.name == "skew" and not {"offset", "drift"} & options.keys():
        raise ScenarioError(f"skew: expected --offset or --drift; {command.usage}")


def _agents_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    if not plain:
        raise ScenarioError(f"{command.name}: expected an agent; {command.usage}")
    names = [name for word in plain for name in word.split(",") if name]
    known = [card.name for card in intro.agents]
    for name in names:
        _must_match(command.name, name, known)
    return {command.name: _one_or_all(names)}


def _must_match(what: str, pattern: str, known: Sequence[str], kind: str = "agent") -> None:
    if not matching(pattern, known):
        raise UnknownKeyError(f"{what}: no {kind} {pattern!r}; {did_you_mean(pattern, known)}")


def _ends_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    """Two ends, each a name, a pattern, or several with commas between. Relays are not known here,
    so a name that resembles no agent is left to the broker."""
    if len(plain) != 2:
        raise ScenarioError(
            f"{command.name}: expected two ends, found {len(plain)}; {command.usage}; "
            "several names of one end: a,b"
        )
    known = [card.name for card in intro.agents]
    sides = [[name for name in word.split(",") if name] for word in plain]
    for name in (name for side in sides for name in side):
        if nearest(name, known):
            _must_match(command.name, name, known)
    if not all(sides):
        raise ScenarioError(f"{command.name}: expected two ends; {command.usage}")
    return {command.name: [_one_or_all(side) for side in sides]}


def _noise_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    if len(plain) != 1:
        raise ScenarioError(f"noise: expected one number, as 0.1 or 10%; {command.usage}")
    try:
        _not_negative(plain[0])
    except ValueError as error:
        raise ScenarioError(f"noise: {error}") from None
    return {"noise": _plain(plain[0])}


def _world_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    """The event and its target; the words of a target need no quotes."""
    if not plain:
        raise ScenarioError(f"world: expected an event; {did_you_mean('', intro.events)}")
    event, target = plain[0], " ".join(plain[1:])
    if event not in intro.events:
        raise UnknownKeyError(
            f"world: this world has no event {event!r}; {did_you_mean(event, intro.events)}"
        )
    targets = intro.events[event]
    if target:
        _must_match(f"world {event}", target, targets, "target")
        return {"world": event, "target": target}
    if len(targets) > 1:
        raise ScenarioError(f"world {event}: expected a target; {did_you_mean('', targets)}")
    return {"world": event}


def _broker_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    if plain != ["kill"]:
        raise ScenarioError(f"broker: expected kill, found {' '.join(plain) or 'nothing'}")
    return {"broker": "kill"}


def _heal_entry(command: Command, plain: list[str], intro: Intro) -> dict[str, Any]:
    if plain:
        raise ScenarioError(f"heal lifts everything and takes no name, found {plain[0]!r}")
    return {"heal": True}


_HEADS: Final[dict[str, Callable[[Command, list[str], Intro], dict[str, Any]]]] = {
    "link": _ends_entry,
    "partition": _ends_entry,
    "noise": _noise_entry,
    "world": _world_entry,
    "broker": _broker_entry,
    "heal": _heal_entry,
}


def _yaml(entry: dict[str, Any]) -> str:
    return safe_dump(
        entry, default_flow_style=True, sort_keys=False, width=math.inf, allow_unicode=True
    ).strip()


# --- completing ---------------------------------------------------------------------------------


def _next_words(command: Command, typed: list[str], last: str, intro: Intro) -> list[str]:
    options = {f"--{option.name}": option for option in command.options}
    if typed and (option := options.get(typed[-1])) is not None and option.read is not None:
        return [mode for mode in _MODES if option.name == "mode" and mode.startswith(last)]
    if last.startswith("--"):
        unused = [o for o in options if o not in typed or options[o].is_many]
        return [option for option in unused if option.startswith(last)]
    plain = [word for word in typed if not word.startswith("--")]
    names: list[str] = []
    if command.name == "world":
        known = list(intro.events) if not plain else intro.events.get(plain[0], [])
        names = [name if " " not in name else shlex.quote(name) for name in known]
    elif command.words[:1] in (("agents",), ("ends",)):
        names = [card.name for card in intro.agents]
        roles = dict.fromkeys(card.role for card in intro.agents if card.role)
        names += [f"{role}-*" for role in roles if matching(f"{role}-*", names)]
    elif command.words:
        names = list(command.words) if command.name == "broker" else []
    begun, comma, part = last.rpartition(",")
    begun += comma
    found = [begun + name for name in names if name.lower().startswith(part.lower())]
    found += [
        begun + name for name in names if part and part.lower() in name.lower()[1:]
    ]  # fmt: skip
    is_full = len(plain) >= len(command.words) and command.words[:1] != ("agents",)
    if is_full or (not last and plain):
        unused = [option for option in options if option not in typed]
        return unused if is_full else [*unused, *found]
    return list(dict.fromkeys(found))
