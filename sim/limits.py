"""Every bound in one place, with its unit and its reason."""

from __future__ import annotations

from typing import Final

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""One activation or yield between broker and host."""
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""One message between agents; larger things are sent in parts."""
ARRAY_ITEMS_MAX: Final = 4096
"""Items of one list in a payload; arrays travel as raw buffers and are not bound by this."""
MAP_ITEMS_MAX: Final = 1024
NESTING_MAX: Final = 32
INBOX_MESSAGES_MAX: Final = 4096
"""Unread messages kept per agent and topic; the oldest go first."""
CALLBACKS_PER_INSTANT_MAX: Final = 100_000
"""Callbacks of one agent without virtual time passing: more is a loop that never waits."""
ROUNDS_PER_INSTANT_MAX: Final = 1_000
"""Message rounds at one instant over links without latency: more is a cycle of agents."""
MESSAGES_BURST_MAX: Final = 20_000
MESSAGES_PER_SECOND_MAX: Final = 10_000
"""Token bucket of one agent, in virtual time."""
SENT_BYTES_BURST_MAX: Final = 32 * 1024 * 1024
SENT_BYTES_PER_SECOND_MAX: Final = 32 * 1024 * 1024
"""The same for the bytes of an agent's messages: what it sends in a window fits into a frame."""
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Messages kept by the broker for agents that do not wait for them; above it, they get them."""
LOG_LINES_PER_ACTIVATION_MAX: Final = 1_000
SCENARIO_BYTES_MAX: Final = 256 * 1024
SLOW_BASE_SECONDS: Final = 0.1
"""Virtual time that a `slow` fault multiplies for an agent without a `processing` latency."""
HANDLER_CPU_SECONDS: Final = 10.0
"""Processor time of one activation before an agent counts as hung."""
HANDLER_BLOCKED_SECONDS: Final = 60.0
"""Real time of one activation without any processor time used: blocked, not slow."""
MEMORY_BYTES: Final = 2 * 1024**3
"""Private memory of one process of agents."""
STALL_REPORT_SECONDS: Final = 2.0
"""Real time without progress before the broker says who holds the clock."""
