"""Position codes: as many as promised, all different, of one sum and norm, at least the promised gap apart."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from serialformer.errors import CompileError
from serialformer.targets.position_codes import (
    LEVELS,
    MIN_CODE_GAP,
    code_length,
    code_norm,
    level_counts,
    num_codes,
    position_codes,
)


@pytest.mark.parametrize("length", [2, 4, 6, 8])
def test_codes_are_all_arrangements_in_order(length: int) -> None:
    multiset = [level for level, count in zip(LEVELS, level_counts(length), strict=True) for _ in range(count)]
    expected = sorted(set(permutations(multiset)))
    assert len(expected) == num_codes(length)
    assert [tuple(code) for code in position_codes(np.arange(num_codes(length)), length).tolist()] == expected


@pytest.mark.parametrize("length", [2, 4, 6, 8])
def test_codes_keep_their_distance(length: int) -> None:
    codes = position_codes(np.arange(num_codes(length)), length).astype(np.int64)
    products = codes @ codes.T
    assert (np.diag(products) == code_norm(length)).all()
    assert (codes.sum(axis=1) == 0).all()
    np.fill_diagonal(products, -(10**9))
    assert code_norm(length) - products.max() == MIN_CODE_GAP


@pytest.mark.parametrize("length", [14, 16, 18, 20])
def test_long_codes_are_arrangements_too(length: int) -> None:
    random = np.random.default_rng(length)
    positions = np.unique(np.append(random.integers(0, num_codes(length), 1000), [0, num_codes(length) - 1]))
    codes = position_codes(positions, length).astype(np.int64)
    assert len(np.unique(codes, axis=0)) == len(positions)
    for level, count in zip(LEVELS, level_counts(length), strict=True):
        assert ((codes == level).sum(axis=1) == count).all()
    # Lexicographic order is the order of positions.
    ranks = [tuple(code) for code in codes.tolist()]
    assert ranks == sorted(ranks)


def test_code_length_is_the_least() -> None:
    for length in range(4, 22, 2):
        assert code_length(num_codes(length)) == length
        assert code_length(num_codes(length - 2) + 1) == length
    with pytest.raises(CompileError, match="can be told apart"):
        code_length(num_codes(20) + 1)
