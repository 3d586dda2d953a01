"""What a fault or a link is, in words: for the schedule, the story, the summary, onlookers."""

from __future__ import annotations

import math

from sim.scenario.link import LinkSpec
from sim.scenario.radio import NO_RADIO
from sim.scenario.schema import Fault
from sim.units import NEVER, duration_text

_OUTAGES_SHOWN = 3


def people(names: tuple[str, ...]) -> str:
    """Names as a message shows them."""
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def sentence(fault: Fault, for_ns: int | None, is_on: bool = True) -> str:
    """What happens, for people."""
    span = f" for {duration_text(for_ns)}" if for_ns else ""
    return (_begins(fault) if is_on else _ends(fault)) + span


def _begins(fault: Fault) -> str:
    a, b, number = people(fault.targets), people(fault.targets_b), fault.number
    match fault.kind:
        case "partition":
            return f"{a} cut off from {b}"
        case "link":
            return f"links {a} {'<->' if fault.both else '->'} {b} degraded"
        case "noise":
            return f"noise of {100 * number:.3g} % on {a}"
        case "world":
            return f"{fault.event} at {a}" if a else fault.event
        case "slow":
            return f"{a} slowed down {number:.6g} times"
        case "skew":
            return f"clock of {a} {_skewed(fault)}"
        case "sensor":
            how = {"freeze": "frozen", "noise": f"with noise of {100 * number:.3g} %"}
            lost = f"losing {100 * number:.3g} % of what they read"
            return f"sensors of {a} {how.get(fault.mode, lost)}{_about(fault)}"
        case "actuator":
            return f"actuators of {a} stuck"
        case "byzantine":
            how = {"random": "random", "sign-flip": "of the wrong sign", "stale": "stale"}
            return f"numbers from {a} {how.get(fault.mode, f'{number:.6g} times as large')}" + (
                _about(fault)
            )
        case "broker":
            return "broker killed"
        case "heal":
            return "everything lifted"
        case _:
            verbs = {"kill": "killed", "restart": "restarted", "hang": "stopped"}
            return f"{a} {verbs[fault.kind]}"


def _ends(fault: Fault) -> str:
    a, b = people(fault.targets), people(fault.targets_b)
    match fault.kind:
        case "partition":
            return f"{a} {'reaches' if len(fault.targets) == 1 else 'reach'} {b} again"
        case "link":
            return f"links {a} {'<->' if fault.both else '->'} {b} as before"
        case "noise":
            return f"no more noise on {a}"
        case "world":
            return f"{_begins(fault)} over"
        case "slow":
            return f"{a} as fast as before"
        case "skew":
            return f"clock of {a} right again"
        case "sensor":
            return f"sensors of {a} as before"
        case "actuator":
            return f"actuators of {a} free again"
        case "byzantine":
            return f"numbers from {a} as they are{_about(fault)}"
        case _:
            return f"{a} continued"


def _skewed(fault: Fault) -> str:
    parts = []
    if fault.offset_ns:
        way = "ahead" if fault.offset_ns > 0 else "behind"
        parts.append(f"{duration_text(abs(fault.offset_ns))} {way}")
    if fault.number:
        way = "fast" if fault.number > 0 else "slow"
        parts.append(f"{abs(fault.number) * 1e6:.6g} ppm {way}")
    return " and ".join(parts) or "as it is"


def _about(fault: Fault) -> str:
    """The fields and topics of a fault, where it is not about all."""
    fields = f" in {people(tuple(map(str, fault.fields)))}" if fault.fields else ""
    return fields + (f" on {people(fault.topics)}" if fault.topics else "")


def link_text(spec: LinkSpec) -> str:
    """`20ms + exponential 5ms, loss 1 %, 250 kB/s (queue 64 kB)`."""
    parts = [duration_text(spec.floor_ns)]
    if spec.preset:
        parts[0] = f"{spec.preset}: {parts[0]}"
    first = duration_text(spec.a_ns)
    if spec.jitter == "normal":
        parts[0] += f" + normal {first} +- {duration_text(round(spec.b))}"
    elif spec.jitter == "lognormal":
        parts[0] += f" + lognormal {first}, sigma {spec.b:g}"
    elif spec.jitter == "pareto":
        parts[0] += f" + pareto {first}, shape {spec.b:g}"
    elif spec.jitter == "empirical":
        quantiles = (spec.table[round(q * (len(spec.table) - 1))] for q in (0.5, 0.99))
        half, most = map(duration_text, quantiles)
        parts[0] += f" + measured (half within {half}, 99 % within {most})"
    elif spec.jitter != "none":
        parts[0] += f" + {spec.jitter} {first}"
    if spec.loss_probability:
        parts.append(f"loss {spec.loss_probability * 100:g} %")
    if spec.burst.loss:
        parts.append(spec.burst.text)
    if math.isfinite(spec.rate_bytes_per_s):
        parts.append(f"{spec.rate_bytes_per_s:,.0f} B/s (queue {spec.queue_bytes:,} B)")
    if spec.radio != NO_RADIO:
        parts.append(spec.radio.text)
    if spec.order == "keep":
        parts.append("in order")
    if spec.duplicate:
        parts.append(f"duplicates {spec.duplicate * 100:g} %")
    if spec.corrupt:
        fate = "dropped" if spec.integrity == "on" else "delivered"
        parts.append(f"corrupts {spec.corrupt * 100:g} % ({fate})")
    if spec.expiry_ns < NEVER:
        parts.append(f"expires after {duration_text(spec.expiry_ns)}")
    parts += [outage.text for outage in spec.outages[:_OUTAGES_SHOWN]]
    if len(spec.outages) > _OUTAGES_SHOWN:
        parts.append(f"and {len(spec.outages) - _OUTAGES_SHOWN} more outages")
    return ", ".join(parts)
