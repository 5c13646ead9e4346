"""Names: as many as promised, all different, of one sum and norm, at least the promised gap apart."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from serialformer.compile.names import (
    LEVELS,
    MIN_NAME_GAP,
    name_counts,
    name_length,
    name_norm,
    num_names,
    position_names,
)
from serialformer.errors import CompileError


@pytest.mark.parametrize("length", [2, 4, 6, 8])
def test_names_are_all_arrangements_in_order(length: int) -> None:
    multiset = [level for level, count in zip(LEVELS, name_counts(length), strict=True) for _ in range(count)]
    expected = sorted(set(permutations(multiset)))
    assert len(expected) == num_names(length)
    assert [tuple(name) for name in position_names(np.arange(num_names(length)), length).tolist()] == expected


@pytest.mark.parametrize("length", [2, 4, 6, 8])
def test_names_keep_their_distance(length: int) -> None:
    names = position_names(np.arange(num_names(length)), length).astype(np.int64)
    products = names @ names.T
    assert (np.diag(products) == name_norm(length)).all()
    assert (names.sum(axis=1) == 0).all()
    np.fill_diagonal(products, -(10**9))
    assert name_norm(length) - products.max() == MIN_NAME_GAP


@pytest.mark.parametrize("length", [14, 16, 18, 20])
def test_long_names_are_arrangements_too(length: int) -> None:
    random = np.random.default_rng(length)
    positions = np.unique(np.append(random.integers(0, num_names(length), 1000), [0, num_names(length) - 1]))
    names = position_names(positions, length).astype(np.int64)
    assert len(np.unique(names, axis=0)) == len(positions)
    for level, count in zip(LEVELS, name_counts(length), strict=True):
        assert ((names == level).sum(axis=1) == count).all()
    # Lexicographic order is the order of positions.
    ranks = [tuple(name) for name in names.tolist()]
    assert ranks == sorted(ranks)


def test_name_length_is_the_least() -> None:
    for length in range(4, 22, 2):
        assert name_length(num_names(length)) == length
        assert name_length(num_names(length - 2) + 1) == length
    with pytest.raises(CompileError, match="can be told apart"):
        name_length(num_names(20) + 1)
