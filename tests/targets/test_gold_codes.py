"""Nearly orthogonal codes: every product, and that a threshold tells two words from all others."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.errors import CompileError
from serialformer.targets.gold_codes import gold_degree, gold_words


@pytest.mark.parametrize(("degree", "num_words", "largest"), [(5, 1023, 8), (7, 2000, 16)])
def test_products(degree: int, num_words: int, largest: int) -> None:
    words = gold_words(num_words, degree).astype(np.float32)
    assert set(np.unique(words)) == {-1, 1}
    products = words @ words.T
    assert (np.diag(products) == 1 << degree).all()
    np.fill_diagonal(products, 0)
    assert set(np.unique(products)) == {-largest, 0, largest}
    assert set(np.unique(words.sum(axis=1))) == {-largest, 0, largest}


def test_two_words_at_once() -> None:
    """Any two words, all others below the threshold by a quarter of the norm or more."""
    words = gold_words(1023, 5).astype(np.float32)
    random = np.random.default_rng(0)
    pairs = np.array([random.choice(1023, 2, replace=False) for _ in range(4000)])
    products = (words[pairs[:, 0]] + words[pairs[:, 1]]) @ words.T
    rows = np.arange(len(pairs))
    on = products[rows, pairs[:, 0]]
    assert np.array_equal(on, products[rows, pairs[:, 1]])
    products[rows[:, None], pairs] = -np.inf
    assert (on - products.max(axis=1)).min() == 8


def test_degree_of_the_largest() -> None:
    assert gold_degree((1 << 14) - 1) == 7
    with pytest.raises(CompileError) as error:
        gold_degree(1 << 14)
    assert str(error.value) == "expected fewer than 16,384 words, found 16,384"
