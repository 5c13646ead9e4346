"""Truth tables in one form, in which equal functions are equal arrays."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from serialformer.arrays import Int32, UInt8, UInt64
from serialformer.proofs.token_kernels import MAX_FAN_IN, canonical_tables

Canonical: TypeAlias = tuple[Int32[np.ndarray, "rows 6"], UInt8[np.ndarray, " rows"], UInt64[np.ndarray, " rows"]]
"""Of each row the positions that make a difference, in order and without any twice, their number, and its table."""


def canonical_functions(reads: np.ndarray, arity: np.ndarray, table: np.ndarray) -> Canonical:
    """Truth tables over distinct positions in order, of which each makes a difference.

    Args:
        reads: the positions that each row reads, ``rows`` by ``columns``.
        arity: how many of its columns each row reads.
        table: the truth table of each row over these columns.

    >>> sources, fan_in, table = canonical_functions(np.array([[5, 3], [4, 4]]), np.array([2, 2]), np.array([8, 6]))
    >>> [(sources[row, : fan_in[row]].tolist(), int(table[row])) for row in range(2)]
    [([3, 5], 8), ([], 0)]
    """
    sources, fan_in = np.zeros((len(reads), MAX_FAN_IN), dtype=np.int32), np.zeros(len(reads), dtype=np.uint8)
    canonical = np.zeros(len(reads), dtype=np.uint64)
    # Copies of one type: numba would compile the loop again for read-only arrays and for other integers.
    canonical_tables(
        np.array(reads, dtype=np.int32, order="C"),
        np.array(arity, dtype=np.uint8),
        np.array(table, dtype=np.uint64),
        sources,
        fan_in,
        canonical,
    )
    return sources, fan_in, canonical
