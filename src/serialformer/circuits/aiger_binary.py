"""The binary part of an AIGER file: each AND as two differences of literals, seven bits a byte."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from serialformer.errors import FormatError

MAX_BYTES = 9
"""Of one number: 63 bits; literals of any file that fits a disk are far smaller."""


def decode_ands(
    data: bytes, *, start: int, first_literal: int, num_ands: int, name: str
) -> tuple[Int64[np.ndarray, "2 ands"], Int64[np.ndarray, " ands"], int]:
    """The right-hand literals of the ANDs, the byte offset of each AND, and where the section ends.

    AND i has the literal ``first_literal + 2 i`` and is written as ``lhs - rhs0`` and ``rhs0 - rhs1``, where
    ``lhs > rhs0 >= rhs1``. A byte holds seven bits, least significant first, and its top bit says that more follow.

    Raises:
        FormatError: the section is cut short, or a difference leads out of the range of literals.
    """
    section = np.frombuffer(data, dtype=np.uint8, offset=start) if start < len(data) else np.zeros(0, dtype=np.uint8)
    last = np.flatnonzero(section < 0x80)[: 2 * num_ands]  # the last byte of each number
    if len(last) < 2 * num_ands:
        raise FormatError(
            f"expected {num_ands} ANDs from byte {start} on, found the end of the file in AND {len(last) // 2}",
            where=f"{name}:byte {len(data)}",
            hint="the file is cut short, or the header counts too many ANDs",
        )
    first = np.concatenate([np.zeros(1, dtype=np.int64), last[:-1] + 1])[: len(last)]
    length = last - first + 1
    if (length > MAX_BYTES).any():
        number = int(np.argmax(length > MAX_BYTES))
        raise FormatError(
            f"expected a difference of at most {MAX_BYTES} bytes in AND {number // 2}, found {int(length[number])}",
            where=f"{name}:byte {start + int(first[number])}",
            hint="this does not look like the binary format",
        )
    delta = np.zeros(len(last), dtype=np.int64)
    active = np.arange(len(last))
    for place in range(int(length.max(initial=0))):
        active = active[length[active] > place]
        delta[active] |= (section[first[active] + place] & 0x7F).astype(np.int64) << (7 * place)
    offset = start + first[::2]
    lhs = first_literal + 2 * np.arange(num_ands, dtype=np.int64)
    rhs0 = lhs - delta[::2]
    rhs1 = rhs0 - delta[1::2]
    wrong = (delta[::2] < 1) | (rhs0 < 0) | (rhs1 < 0)
    if wrong.any():
        number = int(np.argmax(wrong))
        raise FormatError(
            f"expected AND {number}, literal {int(lhs[number])}, to read smaller literals,"
            f" found the differences {int(delta[2 * number])} and {int(delta[2 * number + 1])}",
            where=f"{name}:byte {int(offset[number])}",
            hint="the file is damaged, or lines were converted on the way (it is binary)",
        )
    end = start + (int(last[-1]) + 1 if num_ands else 0)
    return np.stack([rhs0, rhs1]), offset, end


def encode_ands(first_literal: int, rhs: Int64[np.ndarray, "ands 2"]) -> bytes:
    """The ANDs as bytes; AND i has the literal ``first_literal + 2 i`` and reads smaller ones.

    >>> encode_ands(6, np.array([[4, 2], [7, 3]])).hex()
    '02020104'
    """
    lhs = first_literal + 2 * np.arange(len(rhs), dtype=np.int64)
    rhs0, rhs1 = rhs.max(axis=1, initial=0), rhs.min(axis=1, initial=2 * first_literal + 2 * len(rhs))
    delta = np.stack([lhs - rhs0, rhs0 - rhs1], axis=1).ravel()
    length = np.ones(len(delta), dtype=np.int64)
    for place in range(1, MAX_BYTES):
        length += delta >> (7 * place) > 0
    first = np.cumsum(length) - length
    section = np.zeros(int(length.sum()), dtype=np.uint8)
    for place in range(int(length.max(initial=0))):
        active = np.flatnonzero(length > place)
        more = np.where(length[active] > place + 1, 0x80, 0)
        section[first[active] + place] = (delta[active] >> (7 * place) & 0x7F) | more
    return section.tobytes()
