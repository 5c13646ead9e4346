"""Tables of names behave like the tuples of strings that they stand for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits import name_table
from serialformer.circuits.name_table import NameTable
from serialformer.errors import CircuitError

# With lone surrogates, which UTF-8 does not have, and with characters of one to four bytes.
NAMES = st.lists(st.text(st.characters(exclude_categories=()), max_size=6) | st.sampled_from(["", "a[0]", "\0", "π"]))


def lengths_of(numbers: Sequence[int], dtype: type = np.uint8) -> np.ndarray:
    return np.array(numbers, dtype=dtype)


@given(names=NAMES)
def test_reads_like_a_tuple(names: list[str]) -> None:
    table, expected = NameTable.from_strings(names), tuple(names)
    assert len(table) == len(names)
    assert tuple(table) == expected
    assert tuple(table[place] for place in range(len(names))) == expected
    assert tuple(table[place - len(names)] for place in range(len(names))) == expected
    assert table == expected and expected == table and table == names
    assert hash(table) == hash(expected)
    assert bool(table) == bool(names)
    assert table[1:] == expected[1:] and table[::-2] == expected[::-2]
    assert all(name in table for name in names)


@given(names=NAMES, other=NAMES)
def test_equality_is_that_of_the_strings(names: list[str], other: list[str]) -> None:
    table = NameTable.from_strings(names)
    assert (table == NameTable.from_strings(other)) == (names == other)
    assert (table == tuple(other)) == (names == other)
    assert NameTable.concatenate([table, NameTable.from_strings(other)]) == names + other


@given(names=NAMES, data=st.data())
def test_take(names: list[str], data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(-1, len(names) - 1)))
    taken = NameTable.from_strings(names).take(np.array(order, dtype=np.int64))
    assert taken == [names[place] if place >= 0 else "" for place in order]


@given(names=NAMES)
def test_comes_back_from_its_arrays(names: list[str]) -> None:
    table = NameTable.from_strings(names)
    assert NameTable.from_lengths(table.data, table.lengths.astype(np.uint8)) == names
    assert pickle.loads(pickle.dumps(table)) == names
    assert copy.deepcopy(table) == names


@given(text=st.binary(max_size=30), data=st.data())
def test_spans_of_any_bytes_read_as_text_does(text: bytes, data: st.DataObject) -> None:
    bounds = data.draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)))
    starts, ends = (np.array([bound[side] for bound in bounds], dtype=np.int32) for side in (0, 1))
    table = NameTable.from_spans(np.frombuffer(text, dtype=np.uint8), starts, ends - starts)
    assert table == [text[start:end].decode(errors="backslashreplace") for start, end in bounds]


def test_blocks_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_table, "_BLOCK", 2)
    names = ["a" * (place % 9) + "é" * (place % 5 == 0) for place in range(100)] + ["b" * 1000, ""]
    table = NameTable.from_strings(iter(names))
    assert table == names
    order = np.random.default_rng(0).permutation(len(names))
    assert table.take(order) == [names[place] for place in order]


def test_is_not_a_string_or_a_set() -> None:
    table = NameTable.from_strings("ab")
    assert table == ["a", "b"]
    assert table != "ab" and table != {"a", "b"} and table != b"ab"
    assert NameTable() == () and NameTable() == []


def test_places_out_of_range() -> None:
    table = NameTable.from_strings(["a"])
    for place in (1, -2, np.int64(7)):
        with pytest.raises(IndexError, match=r"expected a name from 0 to 0, found"):
            table[place]


def test_cannot_be_changed() -> None:
    table = NameTable.from_strings(["a"])
    with pytest.raises(AttributeError, match="cannot be changed"):
        table._data = np.zeros(1, dtype=np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        table.data[0] = 0


@pytest.mark.parametrize(
    ("data", "lengths", "message"),
    [
        (b"abc", lengths_of([1, 1]), "add up to 3 bytes"),
        (b"abc", lengths_of([1, 3]), "add up to 3 bytes"),
        (b"", lengths_of([2**32 - 1, 1], np.uint32), "add up to 0 bytes"),
        (b"abc", lengths_of([4, -1], np.int32), "the unsigned length of each"),
        (b"abc", lengths_of([3], np.uint64), "add up to 3 bytes"),
        (b"abc", lengths_of([3]).reshape(1, 1), "the unsigned length of each"),
        (b"a\xff", lengths_of([2]), "found byte 1 that is not"),
        ("aé".encode(), lengths_of([2, 1]), "one that begins inside a character"),
    ],
)
def test_damaged_arrays_are_refused(data: bytes, lengths: np.ndarray, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        NameTable.from_lengths(np.frombuffer(data, dtype=np.uint8), lengths)


def test_repr_is_short() -> None:
    assert repr(NameTable.from_strings(["a", ""])) == "NameTable(['a', ''])"
    assert repr(NameTable.from_strings(["a"] * 9)) == "NameTable(['a', 'a', 'a', 'a', 'a', 'a', ...])"
