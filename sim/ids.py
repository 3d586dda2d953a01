"""Names: what may be one, which match a pattern, which was probably meant."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def is_name(text: str) -> bool:
    """Whether `text` may name an agent, a topic or a link end."""
    return NAME.fullmatch(text) is not None


def matching(pattern: str | Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that match a shell-style pattern, or any of several, in the order of `names`."""
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The closest existing name, for 'did you mean'; None if nothing is close."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


def hint(name: str, names: Iterable[str]) -> str:
    """What ends an error that has listed the names already: `; did you mean 'x'?`, or nothing.

    Nearer than for a list that is not seen: `no` is not meant as `on`.
    """
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A clause for an error message: the nearest name, or the list of what exists."""
    known = list(names)
    close = nearest(name, known)
    if close:
        return f"did you mean {close!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"there is: {shown}" if known else "there is none"
