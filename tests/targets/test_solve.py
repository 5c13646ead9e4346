"""Exact linear maps: right whenever there is one, None whenever there is none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serialformer.targets.solve import solve_evenly, solve_exactly, split_rank_one

SMALL = st.integers(-3, 3)


def exact_product(inputs: np.ndarray, weights: np.ndarray) -> list[list[Fraction]]:
    """In rational arithmetic, with the weights as the fractions that they stand for."""
    fractions = [[Fraction(value).limit_denominator(10_000) for value in row] for row in weights.tolist()]
    return [
        [sum((x * fractions[k][j] for k, x in enumerate(row)), Fraction(0)) for j in range(weights.shape[1])]
        for row in inputs.tolist()
    ]


def matrices(rows: int, columns: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.int64, (rows, columns), elements=SMALL)


@given(inputs=matrices(4, 3), weights=matrices(3, 2))
def test_a_map_that_exists_is_found(inputs: np.ndarray, weights: np.ndarray) -> None:
    outputs = inputs @ weights
    found = solve_exactly(inputs, outputs)
    assert found is not None and exact_product(inputs, found) == outputs.tolist()


@given(inputs=matrices(4, 3), outputs=matrices(4, 2))
def test_what_is_found_is_right_and_what_is_not_found_does_not_exist(inputs: np.ndarray, outputs: np.ndarray) -> None:
    found = solve_exactly(inputs, outputs)
    # A system has a solution exactly if the outputs do not raise the rank; these small ranks numpy gets right.
    exists = np.linalg.matrix_rank(np.hstack([inputs, outputs])) == np.linalg.matrix_rank(inputs)
    assert (found is not None) == exists
    if found is not None:
        assert exact_product(inputs, found) == outputs.tolist()


@given(inputs=matrices(3, 4), weights=matrices(4, 2))
def test_inputs_that_depend_on_earlier_ones_get_no_weight(inputs: np.ndarray, weights: np.ndarray) -> None:
    found = solve_exactly(inputs, inputs @ weights)
    assert found is not None
    for column in range(4):
        if np.linalg.matrix_rank(inputs[:, : column + 1]) == np.linalg.matrix_rank(inputs[:, :column]):
            assert not found[column].any()


@given(inputs=matrices(4, 3), outputs=matrices(4, 2))
def test_even_maps_are_exact_and_of_least_norm(inputs: np.ndarray, outputs: np.ndarray) -> None:
    found = solve_evenly(inputs, outputs)
    if found is None:
        return
    assert np.array_equal(inputs @ found, outputs) and np.array_equal(found * 64, np.rint(found * 64))
    least = np.linalg.pinv(inputs) @ outputs
    assert np.allclose(found, least, atol=1 / 64)


def test_even_maps_share_what_pairs_say_alike() -> None:
    bits = np.array([[-1, 1], [1, -1]])
    assert solve_evenly(bits, np.array([[-1, 1], [1, -1]])) == pytest.approx(np.array([[0.5, -0.5], [-0.5, 0.5]]))
    assert solve_evenly(np.array([[3]]), np.array([[1]])) is None, "a third is no multiple of 1/64"
    assert solve_evenly(np.array([[1], [1]]), np.array([[1], [2]])) is None


@given(left=matrices(3, 1), right=matrices(1, 4))
def test_a_map_of_rank_one_goes_by_way_of_one_number(left: np.ndarray, right: np.ndarray) -> None:
    weights = (left @ right).astype(float)
    reads, writes = split_rank_one(weights)
    assert np.allclose(reads @ writes, weights)
    if weights[:, 0].any():
        assert reads.shape == (3, 1) and writes[0, 0] == 1


def test_other_maps_stay_as_they_are() -> None:
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    reads, writes = split_rank_one(weights)
    assert np.array_equal(reads, weights) and np.array_equal(writes, np.eye(2))
    late = np.array([[0.0, 2.0], [0.0, 1.0]])  # outputs are no multiples of the first, which is 0
    reads, writes = split_rank_one(late)
    assert np.array_equal(reads, late) and np.array_equal(writes, np.eye(2))
