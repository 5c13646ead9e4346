"""The binary part of an AIGER file: each AND as two differences of literals, seven bits a byte."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int, Int64
from serialformer.circuits.kernels import decode_differences
from serialformer.errors import FormatError

MAX_BYTES = 9
"""Of one number: 63 bits; literals of any file that fits a disk are far smaller."""


def decode_ands(
    data: bytes, *, start: int, first_literal: int, num_ands: int, name: str
) -> tuple[Int[np.ndarray, "ands 2"], int]:
    """The right-hand literals of the ANDs, and where the section ends.

    AND i has the literal ``first_literal + 2 i`` and is written as ``lhs - rhs0`` and ``rhs0 - rhs1``, where
    ``lhs > rhs0 >= rhs1``. A byte holds seven bits, least significant first, and its top bit says that more follow.

    Raises:
        FormatError: the section is cut short, or a difference leads out of the range of literals.
    """
    section = np.frombuffer(data, dtype=np.uint8, offset=start) if start < len(data) else np.zeros(0, dtype=np.uint8)
    largest = first_literal + 2 * num_ands
    rhs = np.empty((num_ands, 2), dtype=np.int32 if largest < 2**31 else np.int64)
    numbers, end, long, long_start, long_length, wrong, wrong_start, delta0, delta1 = decode_differences(
        section, first_literal, MAX_BYTES, rhs
    ).tolist()
    if numbers < 2 * num_ands:
        raise FormatError(
            f"expected {num_ands} ANDs from byte {start} on, found the end of the file in AND {numbers // 2}",
            where=f"{name}:byte {len(data)}",
            hint="the file is cut short, or the header counts too many ANDs",
        )
    if long >= 0:
        raise FormatError(
            f"expected a difference of at most {MAX_BYTES} bytes in AND {long // 2}, found {long_length}",
            where=f"{name}:byte {start + long_start}",
            hint="this does not look like the binary format",
        )
    if wrong >= 0:
        raise FormatError(
            f"expected AND {wrong}, literal {first_literal + 2 * wrong}, to read smaller literals,"
            f" found the differences {delta0} and {delta1}",
            where=f"{name}:byte {start + wrong_start}",
            hint="the file is damaged, or lines were converted on the way (it is binary)",
        )
    return rhs, start + end


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
