"""Quantities: what people write is what the kernel counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.units import (
    NEVER,
    SECOND,
    clock_text,
    duration_ns,
    duration_text,
    format_ns,
    fraction,
    number_text,
    rate_bytes_per_s,
    seconds_ns,
    size_bytes,
    size_text,
    speed_factor,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("20ms", 20_000_000),
        ("15min", 900 * SECOND),
        ("24h", 86_400 * SECOND),
        ("6h10min", 22_200 * SECOND),
        ("1d 2h 3min 4s 5ms 6us 7ns", 93_784_005_006_007),
        ("1.5h", 5_400 * SECOND),
        ("1h0.5s", 3_600_500_000_000),
        ("3", 3 * SECOND),
        (3, 3 * SECOND),
        (0.25, SECOND // 4),
        ("0s", 0),
        ("0.1ns", 1),
        ("5 µs", 5_000),
    ],
)
def test_duration(text: str | float, ns: int) -> None:
    assert duration_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "h", "10m", "6h10", "1h2h", "10min6h", "6h-1min", "-1s", "1e400s", "nan", "6h10min!"],
)
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration_ns(text)


@pytest.mark.parametrize("value", [True, math.nan, math.inf, -1, 1e300, None, [1]])
def test_not_a_duration_at_all(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration_ns(value)  # type: ignore[arg-type]


@given(st.integers(0, 2**52))
def test_duration_text_is_exact(ns: int) -> None:
    assert duration_ns(duration_text(ns)) == ns


@given(st.integers(0, 86_400 * 365))
def test_duration_text_of_seconds(seconds: int) -> None:
    assert duration_ns(duration_text(seconds * SECOND)) == seconds * SECOND


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1%", 0.01),
        ("30%", 0.3),
        (0.3, 0.3),
        ("0.3", 0.3),
        (0, 0.0),
        ("100 %", 1.0),
        ("2e-1%", 2e-3),
    ],
)
def test_fraction(text: str | float, value: float) -> None:
    assert fraction(text) == value


@pytest.mark.parametrize("text", ["one", "1%%", "%", True, math.nan, math.inf, "1 per cent"])
def test_not_a_fraction(text: object) -> None:
    with pytest.raises(ValueError, match="expected a fraction"):
        fraction(text)  # type: ignore[arg-type]


def test_rates_and_sizes() -> None:
    assert rate_bytes_per_s("250kbit/s") == 31_250
    assert rate_bytes_per_s("1MB/s") == 1e6
    assert rate_bytes_per_s(10) == 10
    assert rate_bytes_per_s("unlimited") == math.inf
    assert size_bytes("64KiB") == 65_536
    assert size_bytes("1.5kB") == 1_500
    for wrong in (0, -1, "0kbit/s", math.nan, "fast"):
        with pytest.raises(ValueError, match="expected a data rate"):
            rate_bytes_per_s(wrong)
    for wrong in (-1, math.inf, math.nan, "1e400MB", "64 apples"):
        with pytest.raises(ValueError, match="expected a size"):
            size_bytes(wrong)


def test_speed() -> None:
    assert speed_factor("max") == math.inf
    assert speed_factor("realtime") == 1
    assert speed_factor("900x") == speed_factor(900) == 900
    for wrong in ("fast", 0, "-1x", math.nan, True, "x"):
        with pytest.raises(ValueError, match="expected max, realtime, or a factor"):
            speed_factor(wrong)


def test_seconds() -> None:
    assert seconds_ns(1.5) == 1_500_000_000
    assert seconds_ns(1e-12) == 1
    assert seconds_ns(math.inf) == NEVER
    with pytest.raises(ValueError, match="nan"):
        seconds_ns(math.nan)


def test_format() -> None:
    assert format_ns(49_506 * SECOND) == "13:45:06"
    assert format_ns(93_600 * SECOND) == "1 d 02:00:00"
    assert format_ns(20_000_000) == "20 ms"
    assert format_ns(NEVER) == "never"


def test_quantities_read_well() -> None:
    assert clock_text(250_000_000) == "00:00:00.250"
    assert clock_text(93_600 * SECOND) == "1 d 02:00:00"
    assert [size_text(n) for n in (31_700_000, 2_000, 12)] == ["31.7 MB", "2 kB", "12 B"]
    assert [number_text(n) for n in (41.2, -18_204.4, 0.00312)] == ["41.2", "-18,204", "0.00312"]
