"""Any rounded sum as a cascade of resets: the letters of each level.

A summand acts on the N values of a chain as an increasing map. Such a map is the identity, or it leaves out a value.
Level k of the cascade holds which of its N - k values the last map left out that was not the identity: the state is one
of the others, and among those, their order kept, the next map is again an increasing map, of N - k - 1 values.
That map is the letter of level k + 1. After N - 1 levels one value is left, and it is the sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serialformer.arrays import Bool, Int, Int64
from serialformer.errors import ArithmeticRangeError

MAX_LETTERS = 1 << 14
"""Of one level."""


class ResetLetters(NamedTuple):
    """The letters of all levels, level after level.

    Attributes:
        start: where the letters of each level begin; one more entry than levels.
        missing: the value that a letter leaves out, counted from 0 among its level's values; -1 for the identity.
        following: for the value that the level held before, the letter of the next level, counted from that level's
            first; 0 where the level never holds the value, and on the last level.
        holds: for each level the values that it may hold: those that its letters leave out, and enough others that
            there are two, for it to begin with one that is not the state.
    """

    start: Int64[np.ndarray, " starts"]
    missing: Int64[np.ndarray, " letters"]
    following: Int64[np.ndarray, "letters values"]
    holds: Bool[np.ndarray, "levels values"]


def reset_letters(maps: Int[np.ndarray, "letters values"]) -> ResetLetters:
    """The cascade of increasing maps of a chain into itself.

    Args:
        maps: for each letter of the first level the value that each value goes to, counted from 0.

    Raises:
        ArithmeticRangeError: a map is not increasing, or a level has more than ``MAX_LETTERS`` letters.

    >>> letters = reset_letters(np.array([[0, 0, 1], [0, 1, 2], [1, 2, 2]]))  # -1, 0 and +1 on three values
    >>> letters.start.tolist(), letters.missing.tolist()
    ([0, 3, 6], [2, -1, 0, -1, 1, 0])
    """
    if (np.diff(maps, axis=1) < 0).any():
        raise ArithmeticRangeError("expected increasing maps: a larger sum before may not become a smaller one after")
    num_values = maps.shape[1]
    start, missing, following = [0], [], []
    holds = np.zeros((num_values - 1, num_values), dtype=np.bool_)
    while maps.shape[1] > 1:
        size = maps.shape[1]
        left_out = np.array([_left_out(row) for row in maps], dtype=np.int64)
        held_values = sorted({*left_out[left_out >= 0].tolist()})
        held_values += [value for value in (0, 1) if value not in held_values][: max(0, 2 - len(held_values))]
        holds[num_values - size, held_values] = True
        targets = np.zeros((len(maps), num_values), dtype=np.int64)
        known: dict[bytes, int] = {}
        rows: list[np.ndarray] = []
        if size > 2:
            for letter, row in enumerate(maps):
                for held in held_values:
                    gone = held if left_out[letter] < 0 else int(left_out[letter])
                    rest = np.delete(row, held)
                    relative = (rest - (rest > gone)).astype(np.int64)
                    key = relative.tobytes()
                    if key not in known:
                        if len(rows) == MAX_LETTERS:
                            raise ArithmeticRangeError(
                                f"a level of the cascade has more than {MAX_LETTERS:,} letters",
                                hint="a format of fewer numbers",
                            )
                        known[key] = len(rows)
                        rows.append(relative)
                    targets[letter, held] = known[key]
        start.append(start[-1] + len(maps))
        missing.append(left_out)
        following.append(targets)
        maps = np.array(rows) if rows else np.zeros((1, 1), dtype=np.int64)
    return ResetLetters(
        start=np.array(start, dtype=np.int64),
        missing=np.concatenate([np.zeros(0, np.int64), *missing]),
        following=np.concatenate([np.zeros((0, num_values), np.int64), *following]),
        holds=holds,
    )


def _left_out(row: Int[np.ndarray, " values"]) -> int:
    """A value that the map does not reach, or -1 for the identity: the least if it moves up, else the greatest."""
    moves = row - np.arange(len(row))
    if not moves.any():
        return -1
    absent = np.setdiff1d(np.arange(len(row)), row)
    return int(absent[0] if moves.sum() > 0 else absent[-1])
