"""Large tables of rows, such as the positions of a long chain: kept in a file, with few of their rows in memory.

A table of a million positions is most of a model. It is made, proven and written block by block, so only some of its
rows need be in memory at a time. It is an ordinary array whose numbers lie in an unnamed file; after each block,
``forget_rows`` gives the memory back, and the system reads what is asked for again from the file.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator

import numpy as np

from serialformer.arrays import Shaped

LEAST_BYTES = 1 << 25
"""Of a table that is kept in a file."""

BLOCK_BYTES = 1 << 22


def make_table(
    num_rows: int, width: int, dtype: np.dtype, *, least_bytes: int = LEAST_BYTES
) -> Shaped[np.ndarray, "rows width"]:
    """A table of zeros, in a file if it has ``least_bytes`` or more and there is room for one, else in memory.

    >>> make_table(3, 2, np.dtype(np.float32), least_bytes=0)
    array([[0., 0.],
           [0., 0.],
           [0., 0.]], dtype=float32)
    """
    num_bytes = num_rows * width * dtype.itemsize
    if not num_bytes or num_bytes < least_bytes:
        return np.zeros((num_rows, width), dtype=dtype)
    try:
        with tempfile.TemporaryFile(prefix="serialformer-") as file:
            # Without this a full disk would end the process when a page is written.
            os.posix_fallocate(file.fileno(), 0, num_bytes)
            pages = mmap.mmap(file.fileno(), num_bytes)
    except (OSError, AttributeError):  # no room, or a system that cannot reserve any
        return np.zeros((num_rows, width), dtype=dtype)
    return np.ndarray((num_rows, width), dtype=dtype, buffer=pages)


def forget_rows(table: np.ndarray) -> None:
    """Gives back the memory of a table that is kept in a file; the numbers stay. Does nothing to other arrays."""
    base = table
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def blocks_of(table: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows of an array of any shape, in order; their memory is given back after each."""
    if table.ndim == 0:
        yield table
        return
    num_rows = max(1, BLOCK_BYTES // max(1, table.nbytes // max(1, len(table))))
    for start in range(0, len(table), num_rows):
        yield table[start : start + num_rows]
        forget_rows(table)


def is_finite(weight: np.ndarray) -> bool:
    """Whether a weight holds numbers alone, no infinities."""
    return all(bool(np.isfinite(block).all()) for block in blocks_of(weight))
