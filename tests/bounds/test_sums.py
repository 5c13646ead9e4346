"""Sums as circuits against the automaton: exhaustively for few terms, random beyond; never deeper than the formula."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.architecture import Arithmetic
from serialformer.bounds.resets import reset_letters
from serialformer.bounds.sums import denominator_depth, make_sum, sum_depth
from serialformer.bounds.tables import METHODS, make_sum_rule
from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded
from serialformer.errors import ArithmeticRangeError
from serialformer.transformer.precision import NumberFormat, fixed_point, float_format, paper_format
from tests.bounds.models import slow_format
from tests.transformer.slow_numbers import SlowFormat

THREE = NumberFormat(name="three numbers", digits=1, step_exponent=0, largest=1.0)
FLOAT = NumberFormat(name="a float of 4 bits", digits=2, step_exponent=-1, largest=6.0, ties="even")
F_1, F_11 = fixed_point(1), paper_format(precision=1, exponent_bits=1)


def summed(circuit: UnboundedCircuit, ranks: np.ndarray, largest: int) -> np.ndarray:
    bits = (ranks[:, :, None] >= np.arange(1 - largest, largest + 1)).astype(np.uint8)
    return evaluate_unbounded(circuit, bits.reshape(len(ranks), -1)).astype(np.int64).sum(axis=1) - largest


def automaton(number_format: NumberFormat, ranks: np.ndarray, initial: int) -> np.ndarray:
    """The same by the format's own sum."""
    numbers = number_format.numbers()
    largest = len(numbers) // 2
    start = np.full((len(ranks), 1), initial, dtype=np.int64)
    totals = number_format.sum(numbers[np.concatenate([start, ranks], axis=1) + largest])
    return np.searchsorted(numbers, totals) - largest


def check(number_format: NumberFormat, method: str, ranks: np.ndarray, initial: int = 0) -> None:
    largest = len(number_format.numbers()) // 2
    circuit = make_sum(number_format, ranks.shape[1], method=method, initial=initial)
    np.testing.assert_array_equal(summed(circuit, ranks, largest), automaton(number_format, ranks, initial))
    assert circuit.depth <= sum_depth(largest, method, num_terms=ranks.shape[1] + 1)


def every_row(largest: int, num_terms: int) -> np.ndarray:
    return np.array(list(product(range(-largest, largest + 1), repeat=num_terms)), dtype=np.int64)


@pytest.mark.parametrize("method", METHODS)
def test_every_sum_of_few_terms(method: str) -> None:
    for num_terms in range(1, 8):
        check(THREE, method, every_row(1, num_terms))
    for num_terms in range(1, 5):
        check(F_1, method, every_row(3, num_terms))
    for initial in (-3, -1, 2, 3):
        check(F_1, method, every_row(3, 3), initial)


@pytest.mark.parametrize("method", ["resets", "serial"])
@pytest.mark.parametrize("number_format", [F_11, FLOAT], ids=str)
def test_every_sum_of_three_terms_in_formats_with_exponents(number_format: NumberFormat, method: str) -> None:
    largest = len(number_format.numbers()) // 2
    check(number_format, method, every_row(largest, 3))
    check(number_format, method, np.random.default_rng(1).integers(-largest, largest + 1, (1000, 7)), initial=-2)


@given(data=st.data(), method=st.sampled_from(["flip-flops", "resets", "thresholds"]))
def test_long_sums(data: st.DataObject, method: str) -> None:
    num_terms = data.draw(st.integers(5, 60 if method == "flip-flops" else 20))
    least = data.draw(st.integers(-3, 0))
    most = data.draw(st.integers(least, 3))
    ranks = np.random.default_rng(data.draw(st.integers(0, 1000))).integers(least, most + 1, (256, num_terms))
    check(F_1, method, ranks, data.draw(st.integers(-3, 3)))


def test_a_finer_format_and_long_sums() -> None:
    random = np.random.default_rng(3)
    check(fixed_point(2), "flip-flops", random.integers(-15, 16, (1000, 9)))
    check(fixed_point(2), "thresholds", random.integers(-15, 16, (1000, 9)))
    check(F_1, "flip-flops", random.integers(-3, 4, (1000, 200)))


@pytest.mark.parametrize("arithmetic", [Arithmetic(precision=1), Arithmetic(precision=1, exponent_bits=1)], ids=str)
def test_against_rational_numbers(arithmetic: Arithmetic) -> None:
    """The oracle above is ours; this one knows a list of fractions only."""
    slow: SlowFormat = slow_format(arithmetic)
    number_format = paper_format(precision=1, exponent_bits=arithmetic.exponent_bits)
    largest = len(slow.values) // 2
    ranks = np.random.default_rng(2).integers(-largest, largest + 1, (200, 6))
    found = summed(make_sum(number_format, 6), ranks, largest)
    for row, rank in zip(ranks.tolist(), found.tolist(), strict=True):
        total: Fraction = slow.sum([slow.values[term + largest] for term in row])
        assert slow.values[rank + largest] == total


def test_depth_does_not_grow_with_the_number_of_terms_but_serially() -> None:
    depths = {
        method: [make_sum(F_1, count, method=method).depth for count in (30, 60, 120)]
        for method in ("flip-flops", "thresholds", "serial")
    }
    assert max(depths["flip-flops"]) <= sum_depth(3, "flip-flops") == 40
    assert depths["thresholds"] == [3, 3, 3]
    assert depths["serial"] == [58, 118, 238]


def test_wires_of_the_cascade_grow_less_than_quadratically() -> None:
    few, many = (make_sum(F_1, count).num_literals for count in (50, 200))
    assert many < 4**2 * few


def test_terms_that_are_not_negative_take_fewer_levels() -> None:
    """What a softmax sums: the entries of a thermometer up to 0 are true."""
    from serialformer.bounds.making import Limit, input_signal, make_circuit
    from serialformer.bounds.sum_kernels import sum_terms

    rule = make_sum_rule(F_1, "flip-flops")

    def make(limit: Limit) -> list[int]:
        terms = np.ones((50, 6), dtype=np.int64)
        terms[:, 3:] = [[input_signal(3 * term + bit) for bit in range(3)] for term in range(50)]
        out = np.empty(6, dtype=np.int64)
        sum_terms(limit.sink, terms, rule, out)
        return [int(signal) for signal in out]

    circuit = make_circuit(150, make)
    assert circuit.depth <= denominator_depth(3, "flip-flops") == 16
    ranks = np.random.default_rng(4).choice([0, 0, 0, 0, 0, 0, 1, 2, 3], (500, 50))
    bits = (ranks[:, :, None] >= np.arange(1, 4)).astype(np.uint8).reshape(500, -1)
    found = evaluate_unbounded(circuit, bits).sum(axis=1).astype(np.int64) - 3
    np.testing.assert_array_equal(found, np.minimum(ranks.sum(axis=1), 3))


def test_letters_of_a_saturating_sum_hold_a_sign() -> None:
    """On every level a step is left out at one end: these resets are the flip-flops."""
    letters = reset_letters(make_sum_rule(F_1, "resets").sums)
    assert np.diff(letters.start).tolist() == [7, 7, 7, 7, 5, 3]
    assert [np.flatnonzero(row).tolist() for row in letters.holds] == [[0, 6], [0, 5], [0, 4], [0, 3], [0, 2], [0, 1]]


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(ArithmeticRangeError, match="no method 'tree'\nhint: one of flip-flops, resets, thresholds"):
        make_sum(F_1, 3, method="tree")
    with pytest.raises(ArithmeticRangeError, match="flip-flops need numbers that are equally spaced"):
        make_sum(F_11, 3, method="flip-flops")
    with pytest.raises(ArithmeticRangeError, match="expected a format that saturates, found float8_e5m2"):
        make_sum(float_format("float8_e5m2"), 3)
    with pytest.raises(ArithmeticRangeError, match="a level of the cascade has more than 16,384 letters"):
        make_sum(paper_format(precision=1, exponent_bits=3), 3)
    with pytest.raises(ArithmeticRangeError, match="expected increasing maps"):
        reset_letters(np.array([[1, 0]]))
