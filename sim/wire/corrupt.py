"""What arrives in place of a payload whose bytes were changed on the way."""

from __future__ import annotations


class Corrupt:
    """The payload of a message that a link damaged, where no checksum found it (`integrity: off`).

    What was sent cannot be read any more; only how it is damaged is known: of its `size` bytes
    those numbered `first` to `first + count - 1` are wrong. It travels like any other value, so a
    message can be passed on as it came.
    """

    __slots__ = ("count", "first", "size")

    def __init__(self, size: int, first: int, count: int) -> None:
        self.size, self.first, self.count = size, first, count

    @property
    def wrong(self) -> range:
        """The numbers of the wrong bytes."""
        return range(self.first, self.first + self.count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Corrupt) and (self.size, self.wrong) == (other.size, other.wrong)

    def __hash__(self) -> int:
        return hash((self.size, self.wrong))

    def __repr__(self) -> str:
        return f"Corrupt(size={self.size}, first={self.first}, count={self.count})"
