"""Anagrams: the vectors that name positions, so that attention can look one up.

A name of length c is an arrangement of a fixed multiset of the levels -3, -1, 1, 3 (as many 3s as -3s, as many 1s as
-1s). All names of one length therefore have the same sum, 0, and the same square norm: layer norm treats them all
alike. Two different names differ in at least two places by at least 2 each, so

    <name, name> - <name, other> = |name - other|^2 / 2 >= (2^2 + 2^2) / 2 = 4,

which is the gap that ``attention`` builds on. There are c! / (a! b! b! a!) names, so a name for one of T positions
takes c = log2(T) / 2 + O(log log T) dimensions, against log2(T) for a name of signs.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from jaxtyping import Int8, Integer

from serialformer.errors import CompileError

LEVELS = (-3, -1, 1, 3)
MIN_NAME_GAP = 4
"""The least difference between a name's product with itself and with another name of its length."""

MAX_NAME_LENGTH = 20


def name_counts(length: int) -> tuple[int, int, int, int]:
    """How often each level occurs in a name of this (even) length.

    >>> name_counts(10)
    (2, 3, 3, 2)
    """
    outer = length // 4
    return outer, length // 2 - outer, length // 2 - outer, outer


def num_names(length: int) -> int:
    """How many names of this (even) length there are.

    >>> [num_names(length) for length in (2, 4, 6, 8, 10, 12, 14)]
    [2, 24, 180, 2520, 25200, 369600, 4204200]
    """
    total = factorial(length)
    for count in name_counts(length):
        total //= factorial(count)
    return total


def name_length(num_positions: int) -> int:
    """The least length of which there are ``num_positions`` names.

    Raises:
        CompileError: more positions than the longest names can tell apart.

    >>> name_length(2521)
    10
    """
    for length in range(2, MAX_NAME_LENGTH + 1, 2):
        if num_names(length) >= num_positions:
            return length
    raise CompileError(f"{num_positions:,} positions, at most {num_names(MAX_NAME_LENGTH):,} can be told apart")


def name_norm(length: int) -> int:
    """The square norm that all names of this length share.

    >>> name_norm(10)
    42
    """
    return sum(count * level * level for count, level in zip(name_counts(length), LEVELS, strict=True))


def position_names(positions: Integer[np.ndarray, " P"], length: int) -> Int8[np.ndarray, "P length"]:
    """The names of these positions: position p has the p-th arrangement in lexicographic order.

    >>> position_names(np.arange(3), 4)
    array([[-3, -1,  1,  3],
           [-3, -1,  3,  1],
           [-3,  1, -1,  3]], dtype=int8)
    """
    names = np.empty((len(positions), length), dtype=np.int8)
    rank = positions.astype(np.int64)
    left = np.tile(np.array(name_counts(length), dtype=np.int64), (len(positions), 1))
    arrangements = np.full(len(positions), num_names(length), dtype=np.int64)
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
        names[:, place] = np.array(LEVELS, dtype=np.int8)[chosen]
    return names
