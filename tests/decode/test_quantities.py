"""Quantities: what can occur together, whatever they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.decode.quantities import MAX_VALUES, Quantities
from serialformer.errors import EngineError


def test_equal_quantities_are_one() -> None:
    made = Quantities(6)
    token = made.of_token(np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]))
    assert made.of_token(np.array([-3, 5, -3, -3, 5, -3])) is token and token.size == 2
    assert made.of_position(np.array([0, 1, 0, 0, 1, 0])) is not token
    assert made.fetched(0, 1, token) is made.fetched(0, 1, token) is not made.fetched(0, 0, token)


def test_bits_of_one_number_are_as_many_values_as_the_number() -> None:
    made, numbers = Quantities(5), np.arange(5)
    bits = [made.of_token(numbers >> place & 1) for place in range(3)]
    joint = made.joint(bits)
    assert joint.size == 5 and len(joint.parts) == 1
    assert {tuple(column) for column in np.stack([joint.values[bit] for bit in bits], axis=1).tolist()} == {
        (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)
    }  # fmt: skip
    fetched = [made.fetched(2, 0, bit) for bit in bits]
    assert made.joint(fetched).size == 5
    # What two heads fetch, and what they fetch and the token, is independent.
    assert made.joint([*fetched, made.fetched(2, 1, bits[0])]).size == 10
    assert made.joint([*fetched, *bits]).size == 25


def test_a_label_is_made_where_the_quantity_is() -> None:
    made = Quantities(4)
    token, place = made.of_token(np.array([0, 1, 2, 0])), made.of_position(np.array([0, 1, 1]))
    fetched = made.fetched(1, 0, token)
    joint = made.joint([fetched])
    label = made.label(joint, np.array([1, 0, 1]))
    assert label.source is not None and label.source.of_token is not None
    assert label.source.of_token.tolist() == [1, 0, 1, 1] and label.level == 2
    both = made.joint([token, place])
    table = made.label(both, (both.values[token] == both.values[place]).astype(np.int64))
    assert table.table is not None and table.inputs == both.parts and table.level == 0
    assert made.label(made.joint([table]), np.array([0, 0])).table is not None
    assert made.label(made.joint([]), np.array([3])).of_token is not None


def test_labels_follow_values() -> None:
    """A table's entry for given inputs is the label of the combination in which they have these values."""
    random = np.random.default_rng(1)
    made = Quantities(7)
    tokens = [made.of_token(random.integers(0, 3, 7)) for _ in range(2)]
    places = [made.of_position(random.integers(0, 2, 9)) for _ in range(3)]
    joint = made.joint([*tokens, *places])
    labels = random.integers(0, 5, joint.size)
    table = made.label(joint, labels)
    for token in range(7):
        for position in range(9):
            rows = np.ones(joint.size, dtype=bool)
            for quantity in tokens:
                assert quantity.of_token is not None
                rows &= joint.values[quantity] == quantity.of_token[token]
            for quantity in places:
                assert quantity.of_position is not None
                rows &= joint.values[quantity] == quantity.of_position[position]
            (row,) = np.flatnonzero(rows)
            entry = 0
            for part in table.inputs:
                column = part.of_token[token] if part.of_token is not None else None
                if part.of_position is not None:
                    column = part.of_position[position]
                assert column is not None
                entry = entry * part.size + int(column)
            assert table.table is not None and table.table[entry] == labels[row]


def test_too_many_values_are_refused() -> None:
    made = Quantities(200)
    token, place = made.of_token(np.arange(200)), made.of_position(np.arange(MAX_VALUES))
    assert made.num_combinations([token, place]) > MAX_VALUES
    with pytest.raises(EngineError, match="too many values"):
        made.joint([token, place])
    assert made.joint([place]).size == MAX_VALUES
