"""How an agent's failure is told: the cause, and the author's own frames."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Any

from sim.errors import AgentError

_OURS = tuple(f"{folder}/" for folder in (Path(__file__).parent, Path(__file__).parents[1] / "sim"))
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "purelib", "platlib")})


def _is_foreign(filename: str) -> bool:
    """Whether a file is the simulator's or Python's own."""
    if filename.startswith(_OURS):
        return "behaviours" not in Path(filename).parts
    return filename.startswith("<frozen") or "asyncio" in Path(filename).parts


def _authors(frames: list[traceback.FrameSummary]) -> list[str]:
    """The frames of the author's own files, or else of what the author installed."""
    candidates = [f for f in frames if not _is_foreign(f.filename)]
    own = [f for f in candidates if not f.filename.startswith(_LIBRARIES)]
    return [
        f'  File "{f.filename}", line {f.lineno}, in {f.name}\n    {f.line}'
        for f in own or candidates
    ]


def suspended_frames(coroutine: Any) -> str:
    """Where a coroutine waits: its own frame, then those of what it awaits."""
    found: list[tuple[Any, int]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            found.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return "\n".join(_authors(list(traceback.StackSummary.extract(iter(found)))))


def is_of_the_machine(fault: BaseException) -> bool:
    """Whether another machine may not have failed there: out of time, out of memory."""
    if isinstance(fault, BaseExceptionGroup):
        return any(is_of_the_machine(each) for each in fault.exceptions)
    return isinstance(fault, MemoryError) or type(fault).__name__ == "Deadline"


def describe_failure(fault: BaseException) -> str:
    """Cause first, then the author's frames, innermost last: what to show a person."""
    if isinstance(fault, AgentError):
        cause = str(fault)
    elif isinstance(fault, SystemExit):
        cause = f"called sys.exit({fault.code!r})"
    elif type(fault).__name__ == "Deadline":
        cause = (
            str(fault) or "used up its processor time in one handler (it loops without awaiting)"
        )
    elif isinstance(fault, MemoryError):
        text = str(fault) or "its process may have no more"
        cause = f"MemoryError: {text} (limits.memory in the scenario)"
    elif isinstance(fault, BaseExceptionGroup):
        cause = "; ".join(f"{type(e).__name__}: {e}" for e in fault.exceptions)
    else:
        text = str(fault)
        cause = f"{type(fault).__name__}: {text}" if text else type(fault).__name__
    innermost: BaseException = fault
    while isinstance(innermost, BaseExceptionGroup):
        innermost = innermost.exceptions[0]
    notes = [note for note in getattr(fault, "__notes__", []) if note]
    return "\n".join([cause, *_authors(traceback.extract_tb(innermost.__traceback__)), *notes])
