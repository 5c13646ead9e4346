"""Vectors of sixteen lanes against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from serialformer.arrays import Float
from serialformer.transformer.lane_kernels import (
    LANES,
    add_outer,
    exp2,
    inner,
    larger,
    load,
    load_all,
    read,
    reciprocal,
    spread,
    store,
    store_all,
    turn,
    up_to,
    write,
)


def draw(*shape: int) -> Float[np.ndarray, "..."]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@njit
def _each(first, second, results):
    """A row of results for each operation on two vectors."""
    a, b = load(first, 0), load(second, 0)
    operations = (a + b, a - b, a * b, larger(a, b), reciprocal(b), up_to(a, np.float32(0.5), a, b), spread(first[3]))
    store_all(results, operations)


def test_operations_are_numpys() -> None:
    first, second = draw(2, LANES)
    results = np.zeros((7, LANES), np.float32)
    _each(first, second, results)
    expected = [first + second, first - second, first * second, np.maximum(first, second), np.float32(1) / second]
    expected += [np.where(first >= 0.5, first, second), np.full(LANES, first[3])]
    assert np.array_equal(results, expected)


def test_the_larger_of_a_nan_and_a_number_is_the_second() -> None:
    results = np.zeros((7, LANES), np.float32)
    none, ones = np.full(LANES, np.nan, np.float32), np.ones(LANES, np.float32)
    _each(none, ones, results)
    assert np.array_equal(results[3], ones)
    _each(ones, none, results)
    assert np.isnan(results[3]).all()


@njit
def _exponentials(numbers, results):
    for index in range(len(numbers) // LANES):
        store(results, index, exp2(load(numbers, index)))


def test_powers_of_two_are_right_to_float32() -> None:
    numbers = np.linspace(-126, 126, 1 << 16, dtype=np.float32)
    results = np.empty_like(numbers)
    _exponentials(numbers, results)
    expected = np.exp2(numbers.astype(np.float64))
    assert np.abs(results / expected - 1).max() < 2e-7
    whole = numbers == np.round(numbers)
    assert whole.sum() >= 2
    assert np.array_equal(results[whole], expected[whole])


def test_powers_below_normal_numbers_are_zero_and_nan_stays() -> None:
    numbers = np.full(LANES, -126.5, np.float32)
    numbers[1:5] = -1e4, -1e30, -np.inf, np.nan
    results = np.empty_like(numbers)
    _exponentials(numbers, results)
    assert np.isnan(results[4])
    assert not np.delete(results, 4).any()


@njit
def _turn(block, turned):
    turn(block, turned)


def test_turning_is_transposing() -> None:
    block, turned = draw(LANES, LANES), np.empty((LANES, LANES), np.float32)
    before = block.copy()
    _turn(block, turned)
    assert np.array_equal(turned, before.T)
    assert np.array_equal(block, before)
    _turn(block, block)
    assert np.array_equal(block, before.T)


@njit
def _products(block, numbers, index, places, results):
    vectors = load_all(block, places)
    store(results, len(places), inner(vectors, numbers, index))
    store_all(results, add_outer(vectors, load(block, 15), numbers, index))


@njit
def _copied(numbers, offset, places, wide, part):
    store(wide, 0, read(numbers, offset, places))
    write(part, offset, places, read(numbers, offset, places))


@pytest.mark.parametrize("count", [4, 12, 16])
def test_as_many_places_as_the_compiler_is_told(count: int) -> None:
    block, numbers, places = draw(LANES, LANES), draw(3, count), tuple(range(count))
    results = np.zeros((count + 1, LANES), np.float32)
    _products(block, numbers, 2, places, results)
    assert np.allclose(results[count], numbers[2] @ block[:count], rtol=1e-5, atol=1e-5)
    assert np.allclose(results[:count], block[:count] + np.outer(numbers[2], block[15]), rtol=1e-6, atol=1e-6)
    row, wide, part = draw(40), np.ones(LANES, np.float32), np.zeros(40, np.float32)
    _copied(row, 5, places, wide, part)
    assert np.array_equal(wide[:count], row[5 : 5 + count])
    assert not wide[count:].any()
    assert np.array_equal(part[5 : 5 + count], row[5 : 5 + count])
    assert not part[:5].any()
    assert not part[5 + count :].any()
