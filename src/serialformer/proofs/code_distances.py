"""Codes of which every two are far enough apart, without going through all pairs of them."""

from __future__ import annotations

import numpy as np

from serialformer.proofs.stream import RealisationError

ROWS_PER_BLOCK = 1 << 16


def check_codes(codes: np.ndarray, levels: np.ndarray, name: str) -> tuple[float, float]:
    """Checks that codes are all different points of a grid with one norm.

    Returns:
        Their square norm, and by how much the product of a code with itself exceeds that with another at least.

    >>> check_codes(np.array([[1, 1], [1, -1]], dtype=np.int8), np.array([-1.0, 1.0]), "name")
    (2.0, 2.0)
    """
    step = float(np.diff(levels).min(initial=np.inf))
    sums, squares = _extremes(codes)
    on_grid = bool((np.remainder(levels - levels[0], step) == 0).all())
    if not (squares[0] == squares[1] and on_grid and _all_different(codes)):
        raise RealisationError(f"the codes of {name} are not all different points of a grid with one norm")
    # The products differ by half the square distance. Codes that differ are a step apart, of one sum sqrt(2) steps.
    return float(squares[0]), step**2 if sums[0] == sums[1] else step**2 / 2


def _extremes(codes: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """The least and the largest sum and square norm of codes."""
    sums, squares = [], []
    for start in range(0, len(codes), ROWS_PER_BLOCK):
        block = codes[start : start + ROWS_PER_BLOCK].astype(np.int32)
        total, square = block.sum(axis=1), np.einsum("rc,rc->r", block, block)
        sums += [int(total.min()), int(total.max())]
        squares += [int(square.min()), int(square.max())]
    return (min(sums), max(sums)), (min(squares), max(squares))


def _all_different(codes: np.ndarray) -> bool:
    """Whether no two codes are equal."""
    length = codes.shape[1]
    padded = np.zeros((len(codes), -(-length // 8) * 8), dtype=np.uint8)
    padded[:, :length] = codes.view(np.uint8) ^ 0x80  # in the order of the numbers
    words = padded.view(">u8").astype(np.uint64)
    order = np.arange(len(words))
    for _ in range(2):
        later, earlier = words[order[1:]], words[order[:-1]]
        rises, equal = np.zeros(len(later), dtype=bool), np.ones(len(later), dtype=bool)
        for column in range(words.shape[1]):
            rises |= equal & (later[:, column] > earlier[:, column])
            equal &= later[:, column] == earlier[:, column]
        if rises.all():
            return True
        order = np.lexsort(words.T[::-1])
    return False
