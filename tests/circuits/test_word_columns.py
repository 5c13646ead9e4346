"""Columns of values: the same bits as one value at a time, whatever the widths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.word_columns import bits_to_columns, columns_to_bits
from serialformer.circuits.words import ABSENT, Word, bits_to_values, values_to_bits
from serialformer.errors import InputError

WIDTHS = st.sampled_from([1, 2, 7, 8, 9, 63, 64, 65, 72, 100, 200])


@st.composite
def words_over_bits(draw: st.DrawFn) -> tuple[tuple[Word, ...], int]:
    """Words with their bits in any order, some bits absent."""
    widths = draw(st.lists(WIDTHS, max_size=4))
    present = [draw(st.lists(st.booleans(), min_size=width, max_size=width)) for width in widths]
    num_bits = sum(map(sum, present))
    places = iter(draw(st.permutations(range(num_bits))))
    words = tuple(
        Word(name=f"w{index}", bits=tuple(next(places) if is_there else ABSENT for is_there in bits))
        for index, bits in enumerate(present)
    )
    return words, num_bits


@given(words_over_bits(), st.data(), st.integers(0, 5))
def test_columns_are_what_values_are(case: tuple[tuple[Word, ...], int], data: st.DataObject, num_rows: int) -> None:
    words, num_bits = case
    columns = [
        data.draw(st.lists(st.integers(0, (1 << word.width) - 1), min_size=num_rows, max_size=num_rows))
        for word in words
    ]
    bits = columns_to_bits(words, columns, num_rows, num_bits)
    try:
        expected = [
            values_to_bits(
                words, {word.name: column[row] for word, column in zip(words, columns, strict=True)}, num_bits
            )
            for row in range(num_rows)
        ]
    except InputError:
        assert bits is None  # an absent bit is set
        return
    assert bits is not None and bits.shape == (num_rows, num_bits)
    assert all(np.array_equal(row, other) for row, other in zip(bits, expected, strict=True))
    back = bits_to_columns(words, bits)
    assert back == columns
    for row in range(num_rows):
        assert bits_to_values(words, bits[row]) == {
            word.name: column[row] for word, column in zip(words, back, strict=True)
        }


@pytest.mark.parametrize("width", [1, 8, 63, 64, 65, 71, 72, 73])
@pytest.mark.parametrize("value", ["too large", "far too large", "negative"])
def test_values_that_do_not_fit(width: int, value: str) -> None:
    wrong = {"too large": 1 << width, "far too large": 1 << 300, "negative": -1}[value]
    word = Word(name="a", bits=tuple(range(width)))
    assert columns_to_bits([word], [[1, (1 << width) - 1]], 2, width) is not None
    assert columns_to_bits([word], [[1, wrong]], 2, width) is None
