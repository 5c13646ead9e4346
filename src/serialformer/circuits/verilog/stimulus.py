"""Random inputs for a design: whole words at random, single bits as often as not or hardly ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.words import Word

STRETCH = 16
"""For how many rows a single bit keeps its habit; a reset that comes every other cycle would let nothing happen."""

HABITS = (0.5, 0.06, 0.94)
"""How often a single bit may be 1."""


def random_stimulus(
    words: Sequence[Word], num_rows: int, generator: np.random.Generator
) -> UInt8[np.ndarray, "rows inputs"]:
    """Rows of random bits, a column an input bit.

    Args:
        words: the input words; the first of their places is column 0.
        num_rows: how many rows.
        generator: where the bits come from.
    """
    places = [place for word in words for place in word.places]
    rows = generator.integers(0, 2, (num_rows, len(places)), dtype=np.uint8)
    first = min(places, default=0)
    for word in words:
        if word.width != 1 or not word.places:
            continue
        for start in range(0, num_rows, STRETCH):
            stop = min(start + STRETCH, num_rows)
            habit = HABITS[generator.integers(0, len(HABITS))]
            rows[start:stop, word.places[0] - first] = generator.random(stop - start) < habit
    return rows
