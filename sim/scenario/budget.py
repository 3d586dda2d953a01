"""What an agent may spend on the network, as a scenario writes it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sim.scenario.keys import Key
from sim.units import SECOND, duration_text


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most so much per span of virtual time; what is beyond it drops as `budget`."""

    messages: Annotated[
        int | None, Key("integer", "Messages per that span.", low=0, high=1e12)
    ] = None  # fmt: skip
    bytes_max: Annotated[
        int | None, Key("size", "Bytes of payload per that span.", low=0, high=2**62, key="bytes")
    ] = None  # fmt: skip
    per_ns: Annotated[
        int, Key("duration", "The span: a bucket of tokens, full at first, that fills evenly.",
                 low=1, key="per")
    ] = SECOND  # fmt: skip

    @property
    def text(self) -> str:
        """`10 messages, 1000 B per 1s`."""
        parts = [] if self.messages is None else [f"{self.messages:,} messages"]
        parts += [] if self.bytes_max is None else [f"{self.bytes_max:,} B"]
        return f"{', '.join(parts)} per {duration_text(self.per_ns)}" if parts else ""

    @property
    def row(self) -> tuple[int, int, int]:
        """As it travels to the agent: messages, bytes, nanoseconds; -1 for no bound."""
        messages, size = (-1 if n is None else n for n in (self.messages, self.bytes_max))
        return messages, size, self.per_ns
