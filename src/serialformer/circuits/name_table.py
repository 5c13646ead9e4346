"""Many names in two arrays: a million gates' names take the bytes of their letters and four bytes each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from operator import index
from typing import Any, SupportsIndex, overload

import numpy as np

from serialformer.arrays import Int, UInt8
from serialformer.errors import CircuitError

_BLOCK = 1 << 14
"""Names that are worked on together: enough to be fast, few enough to take no memory to speak of."""

_INT32_MAX = 2**31 - 1


class NameTable(Sequence[str]):
    """An immutable sequence of names; equal to any sequence of the same strings, and hashed as their tuple.

    Names are held as UTF-8. A lone surrogate, which no UTF-8 has, is held as its three bytes, so that every string
    comes back as it was.

    >>> names = NameTable.from_strings(["a", "", "carry"])
    >>> names[2], len(names), names == ("a", "", "carry")
    ('carry', 3, True)
    >>> names.take(np.array([2, -1, 0]))
    NameTable(['carry', '', 'a'])
    """

    __slots__ = ("_data", "_offsets")
    _data: np.ndarray
    _offsets: np.ndarray

    def __init__(self) -> None:
        """The table of no names; the class methods make the others."""
        self._set(np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int32))

    def _set(self, data: np.ndarray, offsets: np.ndarray) -> None:
        for array, name in ((data, "_data"), (offsets, "_offsets")):
            array = array.view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a NameTable cannot be changed; expected no assignment to {name!r}")

    def __getstate__(self) -> tuple[Any, ...]:
        return self._data, self._offsets

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._set(*state)

    @classmethod
    def _of(cls, data: np.ndarray, offsets: np.ndarray) -> NameTable:
        table = cls()
        table._set(data, offsets)
        return table

    @classmethod
    def from_strings(cls, names: Iterable[str]) -> NameTable:
        """The table of these names."""
        if isinstance(names, NameTable):
            return names
        pieces, lengths = [], []
        iterator = iter(names)
        while block := list(islice(iterator, _BLOCK)):
            joined = "".join(block)
            if joined.isascii():
                pieces.append(joined.encode())
                counts = map(len, block)
            else:  # each by itself: the surrogates of two neighbours must not become one character
                encoded = [name.encode("utf-8", "surrogatepass") for name in block]
                pieces.append(b"".join(encoded))
                counts = map(len, encoded)
            lengths.append(np.fromiter(counts, dtype=np.int64, count=len(block)))
        return cls._of(np.frombuffer(b"".join(pieces), dtype=np.uint8), _offsets_of(lengths))

    @classmethod
    def from_lengths(cls, data: UInt8[np.ndarray, " bytes"], lengths: np.ndarray) -> NameTable:
        """The table of names that stand one after the other in ``data``; for arrays that come from a file.

        Args:
            data: the names as UTF-8.
            lengths: how many bytes each takes, unsigned.

        Raises:
            CircuitError: the arrays do not fit together, or the bytes are not UTF-8.
        """
        if data.ndim != 1 or data.dtype != np.uint8 or lengths.ndim != 1 or lengths.dtype.kind != "u":
            raise CircuitError("expected names as bytes and the unsigned length of each")
        if lengths.dtype.itemsize > 4 or int(lengths.sum(dtype=np.int64)) != len(data):
            raise CircuitError(f"expected names whose lengths add up to {len(data)} bytes")
        offsets = _offsets_of([lengths])
        starts = offsets[:-1][lengths > 0]
        try:
            data.tobytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise CircuitError(f"expected names as UTF-8, found byte {error.start} that is not") from None
        if (data[starts] & 0xC0 == 0x80).any():
            raise CircuitError("expected names as UTF-8, found one that begins inside a character")
        return cls._of(data, offsets)

    @classmethod
    def from_spans(
        cls,
        data: UInt8[np.ndarray, " bytes"],
        starts: Int[np.ndarray, " names"],
        lengths: Int[np.ndarray, " names"],
    ) -> NameTable:
        r"""The table of pieces of a text, in the order given; bytes that are no UTF-8 become ``\xhh``.

        >>> data = np.frombuffer(b"y = AND(a, b)", dtype=np.uint8)
        >>> NameTable.from_spans(data, np.array([8, 0]), np.array([1, 1]))
        NameTable(['a', 'y'])
        """
        offsets = _offsets_of([lengths])
        table = cls._of(_gather(data, starts, offsets), offsets)
        if len(table._data) and int(table._data.max()) >= 0x80:
            # Rare. What is not UTF-8 is spelled out now, so that equal names have equal bytes.
            return cls.from_strings(list(table._decoded("backslashreplace")))
        return table

    @classmethod
    def concatenate(cls, tables: Sequence[NameTable]) -> NameTable:
        """The names of all tables, one table after the other."""
        if len(tables) == 1:
            return tables[0]
        data = [table._data for table in tables]
        lengths = [np.diff(table._offsets) for table in tables]
        return cls._of(np.concatenate([np.zeros(0, np.uint8), *data]), _offsets_of(lengths))

    def take(self, order: Int[np.ndarray, " chosen"]) -> NameTable:
        """The names at these places; -1 stands for an empty one."""
        if not len(self):
            assert (order < 0).all()
            return NameTable._of(self._data, np.zeros(len(order) + 1, dtype=np.int32))
        lengths = np.diff(self._offsets)[order]
        lengths[order < 0] = 0
        offsets = _offsets_of([lengths])
        return NameTable._of(_gather(self._data, self._offsets[:-1][order], offsets), offsets)

    @property
    def data(self) -> UInt8[np.ndarray, " bytes"]:
        """All names as UTF-8, one after the other."""
        return self._data

    @property
    def lengths(self) -> Int[np.ndarray, " names"]:
        """How many bytes each name takes."""
        return np.diff(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, place: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> NameTable: ...

    def __getitem__(self, place: SupportsIndex | slice) -> str | NameTable:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        number = index(place)
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected a name from 0 to {len(self) - 1}, found {number}")
        number %= len(self)
        piece = self._data[int(self._offsets[number]) : int(self._offsets[number + 1])]
        return piece.tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return self._decoded("surrogatepass")

    def _decoded(self, errors: str) -> Iterator[str]:
        for first in range(0, len(self), _BLOCK):
            bounds = (self._offsets[first : first + _BLOCK + 1].astype(np.int64) - self._offsets[first]).tolist()
            piece = self._data[self._offsets[first] : self._offsets[first] + bounds[-1]].tobytes()
            for start, end in pairwise(bounds):
                yield piece[start:end].decode("utf-8", errors)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, NameTable):
            return np.array_equal(self._offsets, other._offsets) and np.array_equal(self._data, other._data)
        if not isinstance(other, Sequence) or isinstance(other, str | bytes | bytearray):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 6)))
        return f"NameTable([{shown}{', ...' if len(self) > 6 else ''}])"


def _offsets_of(lengths: Sequence[np.ndarray]) -> np.ndarray:
    """Where each name starts and the last ends, as small integers as hold that."""
    total = sum(int(part.sum(dtype=np.int64)) for part in lengths)
    offsets = np.zeros(1 + sum(map(len, lengths)), dtype=np.int32 if total <= _INT32_MAX else np.int64)
    place, end = 1, 0
    for part in lengths:
        target = offsets[place : place + len(part)]
        np.cumsum(part, out=target, dtype=offsets.dtype)
        np.add(target, end, out=target)
        place, end = place + len(part), int(offsets[place + len(part) - 1])
    return offsets


def _gather(data: np.ndarray, starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The bytes from each of ``starts``, as many as ``offsets`` say, one piece after the other."""
    result = np.empty(int(offsets[-1]), dtype=np.uint8)
    first, stop = 0, len(starts)
    while first < stop:
        # A block is so many bytes, or else one long name.
        limit = int(offsets[first]) + 16 * _BLOCK
        last = min(max(first + 1, int(np.searchsorted(offsets, limit, side="right")) - 1), stop)
        low, high = int(offsets[first]), int(offsets[last])
        if last == first + 1:
            result[low:high] = data[int(starts[first]) : int(starts[first]) + high - low]
        else:
            bounds = offsets[first : last + 1].astype(np.int64)
            places = np.repeat(starts[first:last].astype(np.int64) - bounds[:-1], np.diff(bounds))
            places += np.arange(low, high)
            result[low:high] = data[places]
        first = last
    return result
