"""Position codes: the vectors that stand for positions (and other values), so that attention can look one up.

A code of length c is an arrangement of a fixed multiset of the levels -3, -1, 1, 3 (as many 3s as -3s, as many 1s as
-1s). All codes of one length therefore have the same sum, 0, and the same square norm: layer norm treats them all
alike. Two different codes differ in at least two places by at least 2 each, so

    <code, code> - <code, other> = |code - other|^2 / 2 >= (2^2 + 2^2) / 2 = 4,

which is the gap that attention builds on. There are c! / (a! b! b! a!) codes, so a code for one of T positions takes
c = log2(T) / 2 + O(log log T) dimensions, against log2(T) for one of signs.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from serialformer.arrays import Int8, Integer
from serialformer.errors import CompileError

LEVELS = (-3, -1, 1, 3)
MIN_CODE_GAP = 4
"""The least difference between a code's product with itself and with another code of its length."""

MAX_CODE_LENGTH = 20


def level_counts(length: int) -> tuple[int, int, int, int]:
    """How often each level occurs in a code of this (even) length.

    >>> level_counts(10)
    (2, 3, 3, 2)
    """
    outer = length // 4
    return outer, length // 2 - outer, length // 2 - outer, outer


def num_codes(length: int) -> int:
    """How many codes of this (even) length there are.

    >>> [num_codes(length) for length in (2, 4, 6, 8, 10, 12, 14)]
    [2, 24, 180, 2520, 25200, 369600, 4204200]
    """
    total = factorial(length)
    for count in level_counts(length):
        total //= factorial(count)
    return total


def code_length(num_positions: int) -> int:
    """The least length of which there are ``num_positions`` codes.

    Raises:
        CompileError: more positions than the longest codes can tell apart.

    >>> code_length(2521)
    10
    """
    for length in range(2, MAX_CODE_LENGTH + 1, 2):
        if num_codes(length) >= num_positions:
            return length
    raise CompileError(f"{num_positions:,} positions, at most {num_codes(MAX_CODE_LENGTH):,} can be told apart")


def code_norm(length: int) -> int:
    """The square norm that all codes of this length share.

    >>> code_norm(10)
    42
    """
    return sum(count * level * level for count, level in zip(level_counts(length), LEVELS, strict=True))


def position_codes(positions: Integer[np.ndarray, " P"], length: int) -> Int8[np.ndarray, "P length"]:
    """The codes of these positions: position p has the p-th arrangement in lexicographic order.

    >>> position_codes(np.arange(3), 4)
    array([[-3, -1,  1,  3],
           [-3, -1,  3,  1],
           [-3,  1, -1,  3]], dtype=int8)
    """
    codes = np.empty((len(positions), length), dtype=np.int8)
    rank = positions.astype(np.int64)
    left = np.tile(np.array(level_counts(length), dtype=np.int64), (len(positions), 1))
    arrangements = np.full(len(positions), num_codes(length), dtype=np.int64)
    for place in range(length):
        chosen = np.full(len(positions), -1)
        for index in range(len(LEVELS)):
            # Of the arrangements of what is left, this share starts with this level.
            starting = arrangements * left[:, index] // (length - place)
            here = (chosen < 0) & (rank < starting)
            chosen[here] = index
            rank -= np.where(chosen < 0, starting, 0)
        arrangements = arrangements * np.take_along_axis(left, chosen[:, None], 1)[:, 0] // (length - place)
        left[np.arange(len(positions)), chosen] -= 1
        codes[:, place] = np.array(LEVELS, dtype=np.int8)[chosen]
    return codes
