"""Sign codes: one-hot exactly when interleaved, exhaustively for small formats and codes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from serialformer.targets.sign_codes import code_length, interleave, sign_codes
from serialformer.transformer.precision import fixed_point
from tests.transformer.slow_numbers import SlowFormat, fixed_values


def all_scores(precision: int, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The score of every query with every key."""
    return fixed_point(precision).inner(queries[:, None, :], keys[None, :, :])


def orders(precision: int, length: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Queries and keys of all ids: interleaved, with the constants first in each pair, and one after the other."""
    codes = sign_codes(np.arange(1 << length), length).astype(np.float64)
    ones = np.ones_like(codes)
    largest = fixed_point(precision).largest
    return {
        "interleaved": (interleave(codes, ones), largest * interleave(codes, -ones)),
        "constant first": (interleave(ones, codes), largest * interleave(-ones, codes)),
        "concatenated": (np.hstack([codes, ones]), largest * np.hstack([codes, -ones])),
    }


@pytest.mark.parametrize("precision", [1, 2, 3])
@pytest.mark.parametrize("length", range(1, 8))
def test_interleaved_codes_are_one_hot(precision: int, length: int) -> None:
    rounded = fixed_point(precision)
    scores = all_scores(precision, *orders(precision, length)["interleaved"])
    same = np.eye(1 << length, dtype=bool)
    assert (scores[same] == 0).all()
    assert (scores[~same] == -rounded.largest).all()
    assert np.array_equal(rounded.softmax(scores), same.astype(float))


@pytest.mark.parametrize("precision", [1, 2, 3])
@pytest.mark.parametrize("length", range(1, 8))
@pytest.mark.parametrize("order", ["constant first", "concatenated"])
def test_other_orders_fail_from_two_signs_on(precision: int, length: int, order: str) -> None:
    rounded = fixed_point(precision)
    exponentials = rounded.exp(all_scores(precision, *orders(precision, length)[order]))
    others = ~np.eye(1 << length, dtype=bool)
    one_hot = (np.diag(exponentials) > 0).all() and (exponentials[others] == 0).all()
    assert one_hot == (length == 1)


@pytest.mark.parametrize("precision", [1, 2])
def test_the_same_by_rational_numbers(precision: int) -> None:
    slow = SlowFormat(fixed_values(precision))
    length = 3
    queries, keys = orders(precision, length)["interleaved"]
    exact = [
        [[slow.round(x) for x in map(type(slow.values[0]), row)] for row in side.tolist()] for side in (queries, keys)
    ]
    for place, query in enumerate(exact[0]):
        weights = slow.softmax([slow.inner(query, key) for key in exact[1]])
        assert weights is not None and weights == [Fraction(int(other == place)) for other in range(1 << length)]


def test_codes_are_the_bits() -> None:
    assert code_length(1) == code_length(2) == 1
    for num_ids in range(2, 70):
        length = code_length(num_ids)
        codes = sign_codes(np.arange(num_ids), length)
        assert len(np.unique(codes, axis=0)) == num_ids
        assert ((codes + 1) // 2 @ (1 << np.arange(length)) == np.arange(num_ids)).all()
        assert 2 ** (length - 1) < num_ids <= 2**length or num_ids == 2
