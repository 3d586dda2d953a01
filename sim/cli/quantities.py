"""What options take: quantities, counts and seeds, with their complaints."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def quantity(read: Callable[[str], object]) -> Callable[[str], str]:
    """An option's type: text that `read` takes; its complaint is the message."""

    def check(text: str) -> str:
        try:
            read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return check


def positive(text: str) -> int:
    """A whole number from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return number


def seed(text: str) -> int:
    """A whole number from 0 that fits 63 bits."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, found {text!r}")
    return number


def frames(text: str) -> int:
    """A number of frames, also as 2e6."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 1e13 or number != int(number):
        raise argparse.ArgumentTypeError(f"expected a whole number such as 2e6, found {text!r}")
    return int(number)


def inches(text: str) -> float:
    """A width, as 3.4in, 86mm or 8.6cm; a bare number is inches."""
    units = {"in": 1.0, "mm": 1 / 25.4, "cm": 1 / 2.54}
    unit = text[-2:] if text[-2:] in units else ""
    try:
        number = float(text.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        number = 0.0
    if not 0.5 <= number <= 40:
        raise argparse.ArgumentTypeError(f"expected a width such as 3.4in or 86mm, found {text!r}")
    return number
