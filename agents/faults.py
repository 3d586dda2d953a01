"""How an agent's failure is told: the cause, and the author's own frames."""

from __future__ import annotations

import traceback
from pathlib import Path

from sim.errors import AgentError

_OURS = {str(Path(__file__).parent), str(Path(__file__).parent.parent / "sim")}


def _is_authors(filename: str) -> bool:
    path = Path(filename)
    if "behaviours" in path.parts:
        return True
    is_ours = any(filename.startswith(f"{folder}/") for folder in _OURS)
    return not is_ours and "asyncio" not in path.parts and not filename.startswith("<frozen")


def describe_failure(fault: BaseException) -> str:
    """Cause first, then the author's frames, innermost last: what to show a person."""
    if isinstance(fault, AgentError):
        cause = str(fault)
    elif isinstance(fault, SystemExit):
        cause = f"called sys.exit({fault.code!r})"
    elif type(fault).__name__ == "Deadline":
        cause = "used up its processor time in one handler (it loops without awaiting)"
    elif isinstance(fault, ExceptionGroup):
        cause = "; ".join(f"{type(e).__name__}: {e}" for e in fault.exceptions)
    else:
        text = str(fault)
        cause = f"{type(fault).__name__}: {text}" if text else type(fault).__name__
    innermost: BaseException = fault
    while isinstance(innermost, BaseExceptionGroup):
        innermost = innermost.exceptions[0]
    frames = [
        f'  File "{f.filename}", line {f.lineno}, in {f.name}\n    {f.line}'
        for f in traceback.extract_tb(innermost.__traceback__)
        if _is_authors(f.filename)
    ]
    return "\n".join([cause, *frames])
