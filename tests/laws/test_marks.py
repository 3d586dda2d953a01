"""Marks are conserved, spread like heat, fade exactly, and are read where they were left."""

from __future__ import annotations

import math

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import BoundError
from sim.worlds.marks import deposit, read, spread, steps_for

CELL = 0.5


def noise(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, dtype=torch.float64, generator=generator)


def places(*points: tuple[float, float]) -> torch.Tensor:
    return torch.tensor([points], dtype=torch.float64)


@settings(max_examples=tries(30), deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.0, 0.25), st.integers(0, 99))
def test_diffusion_keeps_the_sum_and_the_range(h: int, w: int, rate: float, seed: int) -> None:
    field = noise(2, h, w, seed)
    after = field
    for _ in range(20):
        after = spread(after, rate * CELL**2, 0.0, 1.0, CELL)
    assert after.sum((1, 2)) == pytest.approx(field.sum((1, 2)), rel=1e-12)
    assert float(after.min()) >= float(field.min()) - 1e-12
    assert float(after.max()) <= float(field.max()) + 1e-12


def test_a_point_spreads_to_a_gaussian_of_variance_2dt() -> None:
    size, diffusion, dt, steps = 81, 0.3, 0.1, 200
    field = torch.zeros(1, size, size, dtype=torch.float64)
    field[0, size // 2, size // 2] = 1.0
    for _ in range(steps):
        field = spread(field, diffusion, 0.0, dt, CELL)
    along = (torch.arange(size, dtype=torch.float64) - size // 2) * CELL
    assert float(field.sum()) == pytest.approx(1.0, rel=1e-12)
    for axis in (1, 2):
        variance = float((field.sum(axis)[0] * along**2).sum())
        assert variance == pytest.approx(2 * diffusion * steps * dt, rel=1e-6)
    peak = CELL**2 / (4 * math.pi * diffusion * steps * dt)
    assert float(field.max()) == pytest.approx(peak, rel=0.02)


def test_decay_is_exact_however_time_is_divided() -> None:
    field = noise(1, 4, 5)
    once = spread(field, 0.0, 0.7, 2.0, CELL)
    assert torch.allclose(once, field * math.exp(-1.4), rtol=1e-12)
    parts = field
    for _ in range(8):
        parts = spread(parts, 0.0, 0.7, 0.25, CELL)
    assert torch.allclose(parts, once, rtol=1e-12)


def test_what_would_not_be_stable_is_refused_with_a_number_of_steps_that_is() -> None:
    with pytest.raises(BoundError, match="13 shorter steps"):
        spread(noise(1, 3, 3), 0.8, 0.0, 1.0, CELL)
    assert steps_for(0.8, 1.0, CELL) == 13
    spread(noise(1, 3, 3), 0.8, 0.0, 1.0 / 13, CELL)


@settings(max_examples=tries(50), deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 4), st.floats(-1, 4)), min_size=1, max_size=6), st.booleans()
)
def test_what_is_left_is_there_in_whole(points: list[tuple[float, float]], smooth: bool) -> None:
    field, amount = noise(1, 5, 6), torch.arange(1.0, len(points) + 1, dtype=torch.float64)[None]
    after = deposit(field, places(*points), amount, CELL, smooth)
    assert float(after.sum()) == pytest.approx(float(field.sum() + amount.sum()), rel=1e-12)
    assert (after >= field).all()


def test_marks_lie_in_the_cells_that_they_were_left_in() -> None:
    empty = torch.zeros(1, 4, 4, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    # x is along the second axis: the middle of row 2, column 1.
    middle = places((1.5 * CELL, 2.5 * CELL))
    for smooth in (True, False):
        assert float(deposit(empty, middle, one, CELL, smooth)[0, 2, 1]) == 1.0
    between = deposit(empty, places((2.0 * CELL, 2.5 * CELL)), one, CELL)
    assert between[0, 2].tolist() == [0.0, 0.5, 0.5, 0.0]
    assert float(deposit(empty, places((1.9 * CELL, 0.1)), one, CELL, False)[0, 0, 1]) == 1.0


def test_a_plane_is_read_exactly_with_its_slope() -> None:
    h, w = 6, 7
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) * CELL for n in (h, w))
    field = (3.0 + 2.0 * x[None, :] - 1.5 * y[:, None])[None]
    points = places((1.1, 0.9), (0.26, 2.0), (2.9, 1.37))
    value, slope = read(field, points, CELL)
    expected = 3.0 + 2.0 * points[..., 0] - 1.5 * points[..., 1]
    assert torch.allclose(value, expected)
    assert torch.allclose(slope, torch.tensor([2.0, -1.5], dtype=torch.float64))
    value, slope = read(field, places((-5.0, 1.0), (1.0, 99.0)), CELL)
    assert float(slope[0, 0, 0]) == 0.0
    assert float(slope[0, 1, 1]) == 0.0
    assert float(value[0, 0]) == pytest.approx(3.0 + 2.0 * CELL / 2 - 1.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_grids_of_one_row_or_cell(shape: tuple[int, int]) -> None:
    field = noise(1, *shape)
    after = deposit(field, places((0.3, 0.2)), torch.ones(1, 1, dtype=torch.float64), CELL)
    assert float(after.sum() - field.sum()) == pytest.approx(1.0)
    value, slope = read(field, places((0.25, 0.25)), CELL)
    assert float(value) == pytest.approx(float(field[0, 0, 0]))
    assert slope.isfinite().all()


def test_rows_do_not_depend_on_the_batch_nor_sums_on_the_order() -> None:
    field, where = noise(4, 6, 6), 3.0 * noise(4, 5, 2, 1)
    amount = noise(4, 5, 1, 2)[..., 0]

    def through(rows: slice, order: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        marked = deposit(field[rows], where[rows][:, order], amount[rows][:, order], CELL)
        after = spread(marked, 0.2, 0.1, 0.2, CELL)
        return after, read(after, where[rows], CELL)[0]

    together = through(slice(0, 4), [0, 1, 2, 3, 4])
    for b in range(4):
        alone = through(slice(b, b + 1), [0, 1, 2, 3, 4])
        assert all(torch.equal(x[0], y[b]) for x, y in zip(alone, together, strict=True))
    turned = through(slice(0, 4), [4, 2, 0, 3, 1])
    assert all(torch.allclose(x, y, rtol=1e-13) for x, y in zip(turned, together, strict=True))


def test_arrays_that_are_no_tensors_are_told() -> None:
    field, position, amount = torch.zeros(1, 2, 2), torch.ones(1, 1, 2), torch.ones(1, 1)
    with pytest.raises(TypeError, match=r"position: expected a torch\.Tensor, found ndarray"):
        deposit(field, position.numpy(), amount, 1.0)  # type: ignore[arg-type]
