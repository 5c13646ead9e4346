"""Rounded arithmetic against rational numbers, ml_dtypes' casts and the statements of the paper."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.architecture import Arithmetic
from serialformer.errors import ArithmeticRangeError, SerialformerError
from serialformer.transformer import precision_kernels
from serialformer.transformer.exponential import exponential_bounds
from serialformer.transformer.precision import (
    MAX_EXPONENT_BITS,
    MAX_PRECISION,
    NumberFormat,
    arithmetic_to_format,
    fixed_point,
    float_format,
    paper_format,
)
from tests.effort import effort, later
from tests.transformer.slow_numbers import SlowFormat, fixed_values, floating_values, slow_exponential

SMALL = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (3, 1)]
FLOATS = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


@lru_cache
def slow_format(exponent_bits: int, precision: int) -> SlowFormat:
    return SlowFormat(floating_values(precision, exponent_bits) if exponent_bits else fixed_values(precision))


def fast_format(exponent_bits: int, precision: int) -> NumberFormat:
    return paper_format(precision=precision, exponent_bits=exponent_bits)


def to_floats(values: list[Fraction]) -> np.ndarray:
    floats = np.array([float(value) for value in values])
    assert all(Fraction(number) == value for number, value in zip(floats.tolist(), values, strict=True))
    return floats


@pytest.mark.parametrize(("exponent_bits", "precision"), [*SMALL, (0, 4), (3, 2), (4, 2)])
def test_the_numbers_are_those_of_the_definition(exponent_bits: int, precision: int) -> None:
    chosen, slow = fast_format(exponent_bits, precision), slow_format(exponent_bits, precision)
    assert np.array_equal(chosen.numbers(), to_floats(slow.values))
    assert chosen.largest == float(slow.values[-1])
    assert chosen.evenly_spaced == (exponent_bits == 0 or len({*np.diff(chosen.numbers())}) == 1)
    assert chosen.holds(chosen.numbers()).all()


def test_the_largest_number_and_the_name() -> None:
    for precision in range(1, MAX_PRECISION + 1):
        chosen = fixed_point(precision)
        assert Fraction(chosen.largest) == 2**precision - Fraction(1, 2**precision)
        assert chosen.name == f"F_{precision}"
    assert fast_format(2, 3).name == "F_{2,3}"
    assert arithmetic_to_format(Arithmetic(precision=3, exponent_bits=2)) == fast_format(2, 3)
    assert arithmetic_to_format(Arithmetic(precision=3)) == fixed_point(3)


@pytest.mark.parametrize("size", later(SMALL, [size for size in SMALL if size != (0, 3)]), ids=str)
def test_all_operations_on_all_pairs(size: tuple[int, int]) -> None:
    exponent_bits, precision = size
    chosen, slow = fast_format(exponent_bits, precision), slow_format(exponent_bits, precision)
    pairs = list(product(slow.values, repeat=2))
    a, b = to_floats([pair[0] for pair in pairs]), to_floats([pair[1] for pair in pairs])
    assert np.array_equal(chosen.add(a, b), to_floats([slow.round(p + q) for p, q in pairs]))
    assert np.array_equal(chosen.multiply(a, b), to_floats([slow.round(p * q) for p, q in pairs]))
    divisible = b != 0
    quotients = to_floats([slow.round(p / q) for p, q in pairs if q])
    assert np.array_equal(chosen.divide(a[divisible], b[divisible]), quotients)
    assert np.array_equal(chosen.exp(to_floats(slow.values)), to_floats([slow.exp(x) for x in slow.values]))


@st.composite
def formats_and_numbers(draw: st.DrawFn) -> tuple[NumberFormat, list[float]]:
    """A format and some of its numbers, small and large, from its steps."""
    exponent_bits = draw(st.sampled_from([0, 0, 1, 2, 5, MAX_EXPONENT_BITS]))
    chosen = fast_format(exponent_bits, draw(st.integers(1, MAX_PRECISION)))
    significands = st.integers(-(2**chosen.digits) + 1, 2**chosen.digits - 1)
    shifts = st.integers(0, int(math.log2(chosen.largest / chosen.step)) + 1 - chosen.digits)
    number = st.builds(lambda s, e: float(s) * 2.0 ** (chosen.step_exponent + e), significands, shifts)
    return chosen, draw(st.lists(number, min_size=2, max_size=12))


def nearest(chosen: NumberFormat, x: Fraction) -> Fraction:
    """[x] without any float: quantum by comparing powers of two, ties to the smaller absolute value."""
    quantum = Fraction(2) ** chosen.step_exponent
    while abs(x) >= quantum * 2**chosen.digits:
        quantum *= 2
    whole, rest = divmod(abs(x), quantum)
    result = min((whole + (rest > quantum / 2)) * quantum, Fraction(chosen.largest))
    return result if x >= 0 else -result


def slow_sum(chosen: NumberFormat, terms: list[Fraction]) -> Fraction:
    total = Fraction(0)
    for term in terms:
        total = nearest(chosen, total + term)
    return total


@given(formats_and_numbers())
def test_large_formats_against_rational_numbers(case: tuple[NumberFormat, list[float]]) -> None:
    chosen, numbers = case
    x, exact = np.array(numbers), [Fraction(number) for number in numbers]
    assert chosen.holds(x).all()
    a, b = x[:-1], x[1:]
    pairs = list(pairwise(exact))
    assert chosen.add(a, b).tolist() == [float(nearest(chosen, p + q)) for p, q in pairs]
    products = [nearest(chosen, p * q) for p, q in pairs]
    assert chosen.multiply(a, b).tolist() == [float(value) for value in products]
    if all(b):
        assert chosen.divide(a, b).tolist() == [float(nearest(chosen, p / q)) for p, q in pairs]
    assert float(chosen.sum(x)) == float(slow_sum(chosen, exact))
    assert float(chosen.inner(a, b)) == float(slow_sum(chosen, products))


@effort(0.25)
@given(formats_and_numbers())
def test_exponentials_of_large_formats(case: tuple[NumberFormat, list[float]]) -> None:
    chosen, numbers = case
    for number in numbers:
        if abs(number) > 400:
            expected = chosen.largest if number > 0 else 0.0
        else:
            low, high = slow_exponential(Fraction(number))
            assert nearest(chosen, low) == nearest(chosen, high)
            expected = float(nearest(chosen, low))
        assert chosen.exp(np.array([number])).tolist() == [expected]


@given(st.integers(1, 6), st.data())
def test_sums_products_and_softmax(precision: int, data: st.DataObject) -> None:
    chosen, slow = fixed_point(precision), slow_format(0, precision)
    index = st.integers(0, len(slow.values) - 1)
    rows, inner, columns = (data.draw(st.integers(1, 4)) for _ in range(3))

    def matrix(height: int, width: int) -> list[list[Fraction]]:
        return [[slow.values[data.draw(index)] for _ in range(width)] for _ in range(height)]

    a, b = matrix(rows, inner), matrix(inner, columns)
    expected = [[float(slow.inner(row, column)) for column in zip(*b, strict=True)] for row in a]
    found = chosen.matmul(np.array([to_floats(row) for row in a]), np.array([to_floats(row) for row in b]))
    assert found.tolist() == expected
    for row in a:
        weights = slow.softmax(row)
        if weights is None:
            with pytest.raises(ArithmeticRangeError, match="division by zero in F_"):
                chosen.softmax(to_floats(row))
        else:
            assert chosen.softmax(to_floats(row)).tolist() == [float(weight) for weight in weights]


def test_loops_receive_arrays_that_may_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba looks at the flag of each array, and numpy warns of that for what its broadcasting returns."""
    seen: list[bool] = []

    def look(*arguments: Any) -> np.ndarray:
        seen.extend(array.flags.writeable for array in arguments[:-1])
        return arguments[0]

    monkeypatch.setattr(precision_kernels, "add_all", look)
    fixed_point(1).add(np.zeros((1, 3)), np.ones(3))
    fixed_point(1).add(np.zeros((2, 3)), np.ones(3))
    assert seen == [True] * 4


@pytest.mark.parametrize("name", FLOATS)
def test_floats_round_as_their_casts_do(name: str) -> None:
    chosen, dtype = float_format(name), np.dtype(name)
    random = np.random.default_rng(0)
    wide = random.normal(size=20_000) * 2.0 ** random.integers(-160, 140, 20_000)
    if dtype.itemsize < 4:
        with np.errstate(invalid="ignore"):
            bits = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype).astype(np.float64)
        bits = np.sort(bits[np.isfinite(bits)])
        assert np.array_equal(np.unique(bits), chosen.numbers())
        wide = np.concatenate([wide, bits, (bits[1:] + bits[:-1]) / 2])
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype.itemsize < 4:
            # ml_dtypes may go by way of float32; only doubles that float32 holds are compared.
            wide = wide.astype(np.float32).astype(np.float64)
        expected = wide.astype(dtype).astype(np.float64)
    assert np.array_equal(chosen.round(wide), expected, equal_nan=True)


@pytest.mark.parametrize("name", FLOATS)
def test_floats_calculate_as_numpy_and_ml_dtypes_do(name: str) -> None:
    chosen, dtype = float_format(name), np.dtype(name)
    random = np.random.default_rng(1)
    a, b = (random.normal(size=5_000) * 2.0 ** random.integers(-6, 6, 5_000) for _ in range(2))
    a, b = chosen.round(a), chosen.round(b)
    b = np.where(b == 0, 1.0, b)
    small = a.astype(dtype), b.astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        theirs = small[0] + small[1], small[0] * small[1], small[0] / small[1]
    ours = chosen.add(a, b), chosen.multiply(a, b), chosen.divide(a, b)
    for found, expected in zip(ours, theirs, strict=True):
        assert np.array_equal(found, expected.astype(np.float64), equal_nan=True)
    total = np.zeros((), dtype=dtype)
    for term in small[0][:300]:
        total = (total + term).astype(dtype)
    assert float(chosen.sum(a[:300])) == float(total)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_exponentials_of_floats(name: str) -> None:
    chosen = float_format(name)
    x = chosen.numbers()[:: 1 if name.startswith("float8") else 97]
    found = chosen.exp(x)
    with np.errstate(over="ignore"):
        double = np.exp(x)
    # Where float64 is far from a tie, by a thousand of its steps, it decides alike.
    low, high = chosen.round(double * (1 - 1e-12)), chosen.round(double * (1 + 1e-12))
    sure = (low == high) | (np.isnan(low) & np.isnan(high))
    assert np.count_nonzero(sure) > 0.9 * len(x)
    assert np.array_equal(found[sure], chosen.round(double)[sure], equal_nan=True)


def test_infinities_and_nothing() -> None:
    half = float_format("float16")
    assert half.exp(np.array([12.0, -np.inf, np.inf])).tolist() == [np.inf, 0.0, np.inf]
    assert np.isnan(half.exp(np.array([np.nan]))).all()
    assert np.isnan(float_format("float8_e4m3fn").add(np.array([448.0]), np.array([448.0]))).all()
    assert fixed_point(2).round(np.array([np.inf, -np.inf])).tolist() == [3.75, -3.75]
    assert fixed_point(2).sum(np.zeros((3, 0))).tolist() == [0, 0, 0]
    assert math.copysign(1, fixed_point(1).round(np.array([-0.1]))[0]) == 1


def test_exponential_bounds_are_close_and_right() -> None:
    for numerator, shift in ((1, 0), (1, 13), (3, 1), (200, 0), (12345, 7)):
        low, high = slow_exponential(Fraction(numerator, 2**shift))
        lower, upper = exponential_bounds(numerator, shift, 96)
        assert Fraction(lower, 2**96) <= high and low <= Fraction(upper, 2**96)
        assert Fraction(upper - lower, lower) < Fraction(1, 2**60)


def test_facts_of_the_paper() -> None:
    F_1 = fixed_point(1)
    assert F_1.add(np.array([1.0]), np.array([1.0])).tolist() == [1.5]
    for precision in range(1, MAX_PRECISION + 1):
        chosen = fixed_point(precision)
        assert chosen.exp(np.array([-chosen.largest, 0.0])).tolist() == [0.0, 1.0]
    # relu(u + w - 1) does not compute AND in F_1; relu(t/2 + u/2 + w/2 - 1), twice, does.
    assert F_1.add(F_1.add(np.array([1.0]), np.array([1.0])), np.array([-1.0])).tolist() == [0.5]
    # Order: 1 + 1 - 1.5 is 0, 1 - 1.5 + 1 is 0.5.
    assert F_1.sum(np.array([[1.0, 1.0, -1.5], [1.0, -1.5, 1.0]])).tolist() == [0.0, 0.5]


def test_refusals() -> None:
    for precision, exponent_bits, message in (
        (0, 0, "expected precision from 1 to 13, found 0"),
        (14, 0, "expected precision from 1 to 13, found 14"),
        (3, -1, "expected exponent bits from 0 to 9, found -1"),
        (3, 10, "expected exponent bits from 0 to 9, found 10"),
    ):
        with pytest.raises(ArithmeticRangeError, match=message):
            paper_format(precision=precision, exponent_bits=exponent_bits)
    with pytest.raises(ArithmeticRangeError, match="no float 'float64'\nhint: one of float32, float16"):
        float_format("float64")
    with pytest.raises(ArithmeticRangeError, match=r"division by zero in F_1, at \[1\]\nhint: in a softmax"):
        fixed_point(1).divide(np.array([1.0, 1.0]), np.array([1.0, 0.0]))
    with pytest.raises(ArithmeticRangeError, match=r"division by zero in F_1, at \[1, 0\]"):
        fixed_point(1).softmax(np.array([[0.0, 0.0], [-1.5, -1.5]]))
    with pytest.raises(SerialformerError, match="float32 has more than 2\\^20 numbers"):
        float_format("float32").numbers()


def test_every_float_that_is_known_has_its_facts() -> None:
    for name in FLOATS:
        facts, chosen = ml_dtypes.finfo(name), float_format(name)
        assert chosen.largest == float(facts.max)
        assert chosen.step == float(facts.smallest_subnormal)
