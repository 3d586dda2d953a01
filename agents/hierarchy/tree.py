"""A tree of groups: who coordinates each, in which order they stand in, and who is in it.

    {"all":   {"line": ["root-1", "root-2"], "members": ["north", "south"]},
     "north": {"line": "north-*", "members": ["house-1", "house-2"]},
     "south": {"line": "south-*", "members": "shop-*"}}

A member is another group or an agent. What is no group is a name, or a pattern over all names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.errors import AgentError
from sim.ids import did_you_mean, matching


@dataclass(frozen=True)
class Group:
    """line: who coordinates it, the first that lives. members: groups and agents, in order."""

    line: tuple[str, ...]
    members: tuple[str, ...]


class Tree:
    """Groups by name, and of which group each member is.

    root: the group that is in no other. parent: the group of each member but the root.

    Raises: AgentError for names that are unknown, members of two groups, circles, two roots.
    """

    def __init__(self, groups: Mapping[str, Any], names: Sequence[str]) -> None:
        self.groups = {name: _group(name, found, groups, names) for name, found in groups.items()}
        self.parent: dict[str, str] = {}
        for name, group in self.groups.items():
            for member in group.members:
                if member in self.parent:
                    raise AgentError(f"tree: {member!r} is in {self.parent[member]!r} and {name!r}")
                self.parent[member] = name
        roots = [name for name in self.groups if name not in self.parent]
        if len(roots) != 1:
            found = ", ".join(map(repr, roots)) or "none"
            raise AgentError(f"tree: expected one group that is in no other, found {found}")
        self.root = roots[0]
        for name in self.groups:
            if self.root not in self.above(name):
                raise AgentError(f"tree: group {name!r} is not below {self.root!r}: a circle")

    def above(self, name: str) -> list[str]:
        """A member and the groups over it, upwards; ends where it would come round."""
        found = [name]
        while (over := self.parent.get(found[-1])) is not None and over not in found:
            found.append(over)
        return found

    def standing_for(self, member: str) -> tuple[str, ...]:
        """The agents who hear what is meant for a member: itself, or the line of a group."""
        return self.groups[member].line if member in self.groups else (member,)

    def height(self, member: str) -> int:
        """Levels below a member: 0 for an agent."""
        if member not in self.groups:
            return 0
        return 1 + max(map(self.height, self.groups[member].members))

    def led_by(self, name: str) -> list[str]:
        """The groups in whose line an agent stands."""
        return [group for group, found in self.groups.items() if name in found.line]


def _group(name: str, given: Any, groups: Mapping[str, Any], names: Sequence[str]) -> Group:
    if not isinstance(given, Mapping) or set(given) != {"line", "members"}:
        found = sorted(map(str, given)) if isinstance(given, Mapping) else given
        raise AgentError(f"tree: group {name!r}: expected line and members, found {found}")
    line = tuple(_named(f"tree: line of {name!r}", given["line"], (), names))
    members = tuple(_named(f"tree: members of {name!r}", given["members"], groups, names))
    for what, found in (("line", line), ("members", members)):
        if not found or len(set(found)) < len(found):
            problem = "nobody" if not found else "somebody twice"
            raise AgentError(f"tree: {what} of {name!r}: {problem}")
    return Group(line, members)


def _named(
    where: str, given: Any, groups: Mapping[str, Any] | tuple[()], names: Sequence[str]
) -> Iterator[str]:
    for pattern in (given,) if isinstance(given, str) else given:
        found = [pattern] if pattern in groups else matching(pattern, names)
        if not found:
            known = [*groups, *names]
            raise AgentError(f"{where}: nobody is {pattern!r}; {did_you_mean(pattern, known)}")
        yield from found
