"""What an agent may do before it counts as failed, and what happens then: parts of a scenario."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from sim import limits
from sim.scenario.keys import Key
from sim.units import SECOND

ON_FAILURE: Final = ("stop", "fallback", "restart")


class Supervision(msgspec.Struct, frozen=True, kw_only=True):
    """What happens when an agent fails."""

    on_failure: Annotated[
        str,
        Key("choice", "stop ends the run; fallback leaves the device to its own; restart starts "
            "the agent anew.", choices=ON_FAILURE),
    ] = "stop"  # fmt: skip
    restarts: Annotated[
        int, Key("integer", "Restarts of one agent `within` that time; after one more, `then`.",
                 low=0, high=1e9)
    ] = 3  # fmt: skip
    within_ns: Annotated[
        int, Key("duration", "Virtual time over which restarts are counted.", key="within")
    ] = 3600 * SECOND
    backoff_ns: Annotated[
        int, Key("duration", "Virtual time from a failure to the restart; doubled with each "
                 "further one `within` that time.", key="backoff")
    ] = SECOND  # fmt: skip
    then: Annotated[
        str,
        Key("choice", "What happens when there were more restarts than that: stop ends the run; "
            "fallback leaves the device to its own.", choices=("stop", "fallback")),
    ] = "stop"  # fmt: skip
    recover: Annotated[
        str,
        Key("choice", "How a process that died from outside comes back: afresh, as any agent that "
            "failed; replay feeds a new one what the old one was given, so that nothing changes.",
            choices=("afresh", "replay")),
    ] = "afresh"  # fmt: skip


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one agent (`memory`: on its process); more is a failure that names it."""

    handler_cpu_ns: Annotated[
        int, Key("duration", "Processor time of one activation.", key="handler_cpu")
    ] = int(limits.HANDLER_CPU_SECONDS * SECOND)
    handler_blocked_ns: Annotated[
        int, Key("duration", "Real time without use of the processor.", key="handler_blocked")
    ] = int(limits.HANDLER_BLOCKED_SECONDS * SECOND)
    memory_bytes_max: Annotated[
        int, Key("size", "Private memory of one process; not with --inline.", low=1e8, high=2**62,
                 key="memory")
    ] = limits.MEMORY_BYTES  # fmt: skip
    messages_per_second_max: Annotated[
        int, Key("integer", "Messages sent per virtual second, sustained.", low=1, high=1e12,
                 key="messages_per_second")
    ] = limits.MESSAGES_PER_SECOND_MAX  # fmt: skip
    callbacks_per_instant_max: Annotated[
        int, Key("integer", "Callbacks at one virtual instant.", low=1, high=1e12,
                 key="callbacks_per_instant")
    ] = limits.CALLBACKS_PER_INSTANT_MAX  # fmt: skip
    inbox_messages_max: Annotated[
        int, Key("integer", "Unread messages kept per topic; the oldest go first.", low=1,
                 high=1e9, key="inbox_messages")
    ] = limits.INBOX_MESSAGES_MAX  # fmt: skip
