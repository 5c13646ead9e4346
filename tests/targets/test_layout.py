"""Fields: sums and norms of codes, and a ballast for every square norm."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.compile.fields import NUM_BALLAST, Field, anagram_field, gold_field, lay_out_stream
from serialformer.compile.residual import balanced


@pytest.mark.parametrize(
    "field", [anagram_field("f", 2), anagram_field("f", 120), gold_field("f", 97), gold_field("f", 1023)]
)
def test_codes_add_up_to_nothing(field: Field) -> None:
    codes = field.codes.astype(int)
    norms = np.square(codes).sum(axis=1)
    assert not codes.sum(axis=1).any()
    some = np.arange(field.num_values) != field.nothing
    assert len(np.unique(norms[some])) == 1 and not norms[~some].any()
    assert len(np.unique(codes, axis=0)) == field.num_values


def test_every_even_number_is_a_square_norm_of_the_ballast() -> None:
    """The 290 theorem (Bhargava and Hanke): a form that represents 1 to 290 represents every positive number."""
    for half in range(1, 291):
        numbers = balanced(2 * half, NUM_BALLAST)
        assert numbers is not None and len(numbers) == NUM_BALLAST
        assert sum(numbers) == 0 and sum(number**2 for number in numbers) == 2 * half


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_stream(heads: int) -> None:
    fields = [anagram_field("one", 5), gold_field("two", 100), anagram_field("three", 700)]
    before = 20 + 64 + 40
    stream = lay_out_stream(fields, heads, 7, before, before + 60)
    used = 4 + 34 + 8 + NUM_BALLAST
    assert stream.width % heads == 0 and used <= stream.width < used + heads
    assert stream.span("two") == slice(4, 38) and stream.ballast == slice(46, 51)
    assert sum(number**2 for number in stream.ballast_before) == 16 * stream.width - before
    assert sum(number**2 for number in stream.ballast_after) == 16 * stream.width - before - 60
    labels = stream.directions()
    assert len(labels) == stream.width == len(set(labels)) and labels[37:39] == ["two.33", "three.0"]
