"""Many values of words at once: a column of numbers a word, to rows of bits and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.words import ABSENT, Word

MACHINE_WORD = 64


def columns_to_bits(
    words: Sequence[Word], columns: Sequence[Sequence[int]], num_rows: int, num_bits: int
) -> UInt8[np.ndarray, "rows bits"] | None:
    """The bits that the values stand for, a row a value of each word; None if any value does not fit its word.

    >>> columns_to_bits([Word(name="a", bits=(0, 1)), Word(name="b", bits=(2,))], [[2, 3], [1, 0]], 2, 3)
    array([[0, 1, 1],
           [1, 1, 0]], dtype=uint8)
    """
    bits = np.zeros((num_rows, num_bits), dtype=np.uint8)
    for word, column in zip(words, columns, strict=True):
        try:
            if word.width <= MACHINE_WORD:
                stored = np.array(column, dtype="<u8").reshape(num_rows, 1).view(np.uint8)
            else:
                num_bytes = -(-word.width // 8)
                joined = b"".join([value.to_bytes(num_bytes, "little") for value in column])
                stored = np.frombuffer(joined, dtype=np.uint8).reshape(num_rows, num_bytes)
        except OverflowError:
            return None
        unpacked = np.unpackbits(stored, axis=1, bitorder="little")
        places = np.array(word.bits, dtype=np.int64)
        used = unpacked[:, : word.width]
        if unpacked[:, word.width :].any() or used[:, places == ABSENT].any():
            return None
        bits[:, places[places != ABSENT]] = used[:, places != ABSENT]
    return bits


def bits_to_columns(words: Sequence[Word], bits: UInt8[np.ndarray, "rows bits"]) -> list[list[int]]:
    """For each word its values, unsigned, one per row.

    >>> bits_to_columns([Word(name="s", bits=(0, 1))], np.array([[1, 1], [0, 1]], dtype=np.uint8))
    [[3, 2]]
    """
    columns: list[list[int]] = []
    num_rows = len(bits)
    for word in words:
        places = np.array(word.bits, dtype=np.int64)
        present = np.flatnonzero(places != ABSENT)
        used = np.zeros((num_rows, word.width), dtype=np.uint8)
        used[:, present] = bits[:, places[present]]
        packed = np.packbits(used, axis=1, bitorder="little")
        if word.width <= MACHINE_WORD:
            stored = np.zeros((num_rows, 8), dtype=np.uint8)
            stored[:, : packed.shape[1]] = packed
            columns.append(stored.view("<u8")[:, 0].tolist())
        else:
            joined, size = packed.tobytes(), packed.shape[1]
            columns.append([int.from_bytes(joined[at : at + size], "little") for at in range(0, len(joined), size)])
    return columns
