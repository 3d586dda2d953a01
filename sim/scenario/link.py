"""The records of links: what a file may say of one, and what the broker reads.

`LINK_KEYS` are written alike in `network.default`, in `network.links` and in link faults. A key of
`LinkValues` that has the name of a field of `LinkSpec` replaces it.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

from sim.scenario.bursts import Burst
from sim.scenario.jitters import Jitter
from sim.scenario.keys import Key, keys_of
from sim.scenario.link_presets import PRESETS
from sim.scenario.outages import Outage
from sim.scenario.radio import NO_RADIO, Radio
from sim.units import NEVER

ORDERS: Final = ("overtake", "keep")
INTEGRITY: Final = ("on", "off")


class LinkSpec(msgspec.Struct, frozen=True):
    """One directed link, resolved. `jitter`, `a_ns`, `b` and `table` are those of `Jitter`."""

    floor_ns: int
    jitter: str = "none"
    a_ns: int = 0
    b: float = 0.0
    loss_probability: float = 0.0
    burst: Burst = Burst()
    rate_bytes_per_s: float = math.inf
    queue_bytes: int = 16 * 1024 * 1024
    table: tuple[int, ...] = ()
    order: str = "overtake"
    duplicate: float = 0.0
    corrupt: float = 0.0
    integrity: str = "on"
    expiry_ns: int = NEVER
    outages: tuple[Outage, ...] = ()
    preset: str = ""
    radio: Radio = NO_RADIO


class LinkValues(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entry says of a link; None leaves a key as it is.

    Encoded without what it does not say, so that digests of faults do not know of further keys.
    """

    latency_ns: Annotated[
        int | None,
        Key("duration", "Floor of the latency: no message is faster. 0 is allowed, and slow.",
            key="latency"),
    ] = None  # fmt: skip
    jitter: Annotated[
        Jitter | None,
        Key("jitter", "Random part added to the floor: one of {constant: d}, {uniform: d} (0 to "
            "d), {normal: [mean, std]} (truncated at 0), {exponential: mean}, "
            "{lognormal: [median, sigma]}, {pareto: [scale, shape]}, {empirical: FILE.csv} "
            "(measured ones, in milliseconds or the unit in the heading), or none."),
    ] = None  # fmt: skip
    loss_probability: Annotated[
        float | None,
        Key("fraction", "Probability that a message is lost, as 0.01 or 1%; default 0.",
            key="loss", low=0.0, high=1.0),
    ] = None  # fmt: skip
    burst: Annotated[
        Burst | None,
        Key("burst", "Further losses that come in bursts: {loss: 10%, length: 5} (messages) or "
            "{loss: 10%, length: 200ms}, for short 10%:5 and 10%:200ms; {enter: 0.01, leave: 0.2} "
            "per message; `good` and `bad`: losses outside and within (0 and 1); or none."),
    ] = None  # fmt: skip
    rate_bytes_per_s: Annotated[
        float | None,
        Key("rate", "Bandwidth, as 250kbit/s; a bare number is bytes per second; default "
            "unlimited.", key="rate"),
    ] = None  # fmt: skip
    queue_bytes: Annotated[
        int | None,
        Key("size", "Bytes that may wait for the bandwidth, as 64KiB; more is dropped; default "
            "16MiB.", key="queue"),
    ] = None  # fmt: skip
    order: Annotated[
        str | None,
        Key("choice", "overtake: jitter may let a later message overtake an earlier one; keep: "
            "none arrives before one that entered this link before it. Default overtake.",
            choices=ORDERS),
    ] = None  # fmt: skip
    duplicate: Annotated[
        float | None,
        Key("fraction", "Probability that a second copy of a message is sent along, with a latency "
            "and a fate of its own; default 0.", low=0.0, high=1.0),
    ] = None  # fmt: skip
    corrupt: Annotated[
        float | None,
        Key("fraction", "Probability that bytes of a message are changed on the way; default 0.",
            low=0.0, high=1.0),
    ] = None  # fmt: skip
    integrity: Annotated[
        str | None,
        Key("choice", "on: a checksum finds corrupt messages, which are dropped; off: they arrive, "
            "with a sim.Corrupt in place of what they said. Default on.", choices=INTEGRITY),
    ] = None  # fmt: skip
    expiry_ns: Annotated[
        int | None,
        Key("expiry", "A message that is older when it arrives is dropped, as 500ms; or none, the "
            "default.", key="expiry"),
    ] = None  # fmt: skip
    outages: Annotated[
        tuple[Outage, ...] | None,
        Key("outages", "When nothing passes: {every: 1h, for: 30s, offset: 5min}, a list of such "
            "and of [from, to] since the episode began, or none."),
    ] = None  # fmt: skip
    radio: Annotated[
        Radio | None,
        Key("radio", "Reception by the distance of the two agents, in a world that has positions: "
            "{power_dbm: 20, frequency: 5.9GHz, exponent: 2, reference_distance: 1m, "
            "shadowing_db: 0, fading: none, sensitivity_dbm: -82, range: 1km}, or none."),
    ] = None  # fmt: skip
    preset: Annotated[
        str | None,
        Key("choice", "A technology's figures for latency, jitter, loss, burst, rate and queue; "
            "keys beside it count before them.", choices=tuple(PRESETS)),
    ] = None  # fmt: skip


class LinkRule(LinkValues, frozen=True, kw_only=True):
    """An entry of `network.links`: later entries win, key by key."""

    source: Annotated[
        tuple[str, ...], Key("patterns", "Sending ends: a name, a pattern, or a list.", key="from")
    ]
    target: Annotated[
        tuple[str, ...], Key("patterns", "Receiving ends: a name, a pattern, or a list.", key="to")
    ]
    both: Annotated[bool, Key("flag", "Whether the entry counts in both directions.")] = False
    where: str = ""


LINK_KEYS: Final = tuple(keys_of(LinkValues))
"""Keys that a link fault takes, and of which an exception has at least one."""
