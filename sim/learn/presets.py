"""Algorithms by name: a family with its parts chosen, and what each name refuses.

What a preset cannot do is refused here, by its name, before anything runs.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeVar, get_type_hints

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.family import Family
from sim.learn.networks import Shape
from sim.learn.ppo import PPO, PPOFamily
from sim.learn.q import Q, QFamily
from sim.learn.record import Side

Options = TypeVar("Options", PPO, Q)


@dataclass(frozen=True)
class Preset:
    """One name. critics: what its critic may see, the first by default; none for action values.

    options: hyperparameters and defaults. mixer: of action values.
    """

    help: str
    options: PPO | Q
    critics: tuple[str, ...] = ()
    mixer: str = ""


_PRESETS: Final[Mapping[str, Preset]] = types.MappingProxyType(
    {
        "ppo": Preset(
            "proximal policy optimisation; the critic sees what you choose",
            PPO(),
            ("own", "observations", "state"),
        ),
        "ippo": Preset(
            "independent PPO: every agent's critic sees what the agent sees", PPO(), ("own",)
        ),
        "mappo": Preset(
            "multi-agent PPO: the critic sees the whole state in training, and acts nowhere",
            PPO(),
            ("state", "observations"),
        ),
        "iql": Preset("independent Q-learning, one choice per decision", Q()),
        "hysteretic": Preset(
            "independent Q-learning that weighs disappointments less", Q(hysteresis=0.2)
        ),
        "lenient": Preset(
            "independent Q-learning that overlooks disappointments at first", Q(leniency=2.0)
        ),
        "vdn": Preset("value decomposition: the team's value is the sum of its agents'", Q(),
                      mixer="vdn"),
        "qmix": Preset("QMIX: the team's value grows with each of its agents'", Q(), mixer="qmix"),
    }
)  # fmt: skip

PRESETS: Final[Mapping[str, str]] = types.MappingProxyType(
    {name: preset.help for name, preset in _PRESETS.items()}
)
"""Name -> what it is, in one line."""

SHARES: Final = ("group", "none", "all")
REWARDS: Final = ("team", "own")


def preset_options(preset: str) -> dict[str, Any]:
    """The hyperparameters of a preset with its defaults; what they are is said in their class.

    Raises: UnknownKeyError.
    """
    return asdict(_preset(preset).options)


def default_critic(preset: str) -> str:
    """What the preset's critic sees if nothing is said; "" if it has none."""
    critics = _preset(preset).critics
    return critics[0] if critics else ""


def make_family(
    preset: str,
    sides: Sequence[Side],
    state_size: int,
    *,
    options: Mapping[str, Any] | None = None,
    shape: Shape | None = None,
    share: str = "group",
    critic_sees: str = "",
    reward: str | float = "team",
    seed: int = 0,
    device: str = "cpu",
) -> Family:
    """The family that a preset names, for these sides.

    options:     hyperparameters by the name of the field, instead of the preset's.
    critic_sees: "own", "observations" or "state"; "" is the preset's own.
    reward:      "team", "own", or the team's part of a mixture, between 0 and 1.
    share:       "group", "none" (parameters per agent), "all" (one network for all sides).
    Raises: ScenarioError for whatever the preset does not support, UnknownKeyError, BoundError.
    """
    chosen = _preset(preset)
    if not sides:
        raise ScenarioError(f"{preset}: no group to train")
    shape = Shape() if shape is None else shape
    _check_choice(preset, "share", share, SHARES)
    _check_share(preset, sides, share)
    _check_reward(preset, reward)
    shape = replace(shape, share=share)  # type: ignore[arg-type]
    is_one = share == "all" and len(sides) > 1
    if isinstance(chosen.options, PPO):
        sees = critic_sees or chosen.critics[0]
        _check_critic(preset, sees, chosen.critics, state_size)
        ppo = _with(preset, chosen.options, options or {})
        return PPOFamily(
            sides, state_size, ppo, shape, sees, reward, is_one, seed, device  # type: ignore[arg-type]
        )  # fmt: skip
    if critic_sees:
        raise ScenarioError(
            f"{preset}: has no critic, so critic_sees: {critic_sees} means nothing; mappo has one"
        )
    for side in sides:
        _check_choices(preset, side)
    if chosen.mixer:
        _check_mixed(preset, sides, reward, state_size, chosen.mixer)
    q = _with(preset, chosen.options, options or {})
    if chosen.mixer and (q.hysteresis != 1.0 or q.leniency):
        raise ScenarioError(
            f"{preset}: learns one value of the whole; hysteresis and leniency are for "
            "independent learners (iql, hysteretic, lenient)"
        )
    return QFamily(sides, state_size, q, shape, chosen.mixer, reward, is_one, seed, device)


def _preset(name: str) -> Preset:
    found = _PRESETS.get(name)
    if found is None:
        raise UnknownKeyError(f"no algorithm {name!r}; {did_you_mean(name, _PRESETS)}")
    return found


def _check_choice(preset: str, key: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise UnknownKeyError(f"{preset}: {key}: {value!r}; {did_you_mean(str(value), known)}")


def _check_critic(preset: str, sees: str, critics: Sequence[str], state_size: int) -> None:
    _check_choice(preset, "critic_sees", sees, ("own", "observations", "state"))
    if sees not in critics:
        other = "ippo" if sees == "own" else "mappo"
        raise ScenarioError(
            f"{preset}: its critic sees {' or '.join(critics)}, not {sees}; that is {other}"
        )
    if sees == "state" and not state_size:
        raise ScenarioError(
            f"{preset}: critic_sees: state, but there is no central state here; "
            "try critic_sees: observations"
        )


def _check_reward(preset: str, reward: Any) -> None:
    if isinstance(reward, str):
        _check_choice(preset, "reward", reward, REWARDS)
    elif isinstance(reward, bool) or not 0.0 <= float(reward) <= 1.0:
        raise BoundError(f"{preset}: reward: the team's part lies between 0 and 1, not {reward!r}")


def _check_share(preset: str, sides: Sequence[Side], share: str) -> None:
    """One network for several sides needs them to see, decide and do so alike."""
    first = sides[0]
    for side in sides[1:] if share == "all" else ():
        for what, ours, theirs in (
            ("see", (first.layout, first.role.sees), (side.layout, side.role.sees)),
            ("decide", first.decides, side.decides),
            ("act every", first.every_ns, side.every_ns),
        ):
            if ours != theirs:
                raise ScenarioError(
                    f"{preset}: share: all needs groups that are alike; {first.group} and "
                    f"{side.group} do not {what} the same; use share: group"
                )


def _check_choices(preset: str, side: Side) -> None:
    """Values of actions are kept for exactly one decision among choices."""
    found = side.decides.fields
    continuous = [f.name for f in found if not f.choices]
    if continuous:
        raise ScenarioError(
            f"{preset}: learns values of choices, and {side.group} decides "
            f"{', '.join(continuous)} as a number; ppo, ippo and mappo can"
        )
    if len(found) != 1 or found[0].size != 1:
        names = ", ".join(f"{f.name} ({f.size})" if f.size > 1 else f.name for f in found)
        raise ScenarioError(
            f"{preset}: takes one choice per decision, and {side.group} decides "
            f"{names or 'nothing'}; ppo, ippo and mappo take several"
        )


def _check_mixed(
    preset: str, sides: Sequence[Side], reward: str | float, state_size: int, mixer: str
) -> None:
    if reward != "team":
        what = f"reward: {reward}" if isinstance(reward, str) else f"reward: mix of {reward}"
        raise ScenarioError(
            f"{preset}: mixes all values into the team's, so reward is team, not {what}; "
            "iql learns from own rewards"
        )
    periods = {side.every_ns for side in sides}
    if len(periods) > 1:
        listed = ", ".join(f"{s.group} every {s.every_ns / 1e9:g} s" for s in sides)
        raise ScenarioError(
            f"{preset}: mixes decisions of the same instant, and these decide at different ones: "
            f"{listed}; iql or mappo can"
        )
    if mixer == "qmix" and not state_size:
        raise ScenarioError(f"{preset}: mixes by the central state, and there is none; vdn can")


def _with(preset: str, base: Options, given: Mapping[str, Any]) -> Options:
    """The options with those given, checked against the fields' types and bounds."""
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name not in hints:
            raise UnknownKeyError(f"{preset}: no option {name!r}; {did_you_mean(name, hints)}")
        changes[name] = _typed(preset, name, value, hints[name])
    return replace(base, **changes)


_FROM_ONE: Final = frozenset(
    ("decisions", "updates", "epochs", "minibatches", "sequence", "n_step", "batch", "capacity",
     "target_every", "embed", "temperature_half_life")
)  # fmt: skip
_PARTS: Final = frozenset(
    ("gamma", "lambda_", "target_tau", "epsilon_start", "epsilon_end", "hysteresis")
)


def _typed(preset: str, name: str, value: Any, kind: type) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise BoundError(f"{preset}: {name} is true or false, not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BoundError(f"{preset}: {name} is a number, not {value!r}")
    if kind is int and value != int(value):
        raise BoundError(f"{preset}: {name} is a whole number, not {value!r}")
    low = 1 if name in _FROM_ONE else 0
    high = 1.0 if name in _PARTS else float("inf")
    if name == "deviation" and value <= 0:
        raise BoundError(f"{preset}: deviation is above 0, not {value!r}")
    if not low <= value <= high:
        bounds = f"between {low} and {high:g}" if high <= 1.0 else f"at least {low}"
        raise BoundError(f"{preset}: {name} is {bounds}, not {value!r}")
    return kind(value)
