"""Tables of rows in a file: arrays like any other, whose memory comes back."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from serialformer.transformer import row_table
from serialformer.transformer.row_table import LEAST_BYTES, blocks_of, forget_rows, is_finite, make_table

needs_files = pytest.mark.skipif(sys.platform != "linux", reason="only Linux reserves and forgets pages of files")


def is_in_a_file(table: np.ndarray) -> bool:
    return isinstance(table.base, mmap.mmap)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_files
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_numbers_stay_when_rows_are_forgotten(dtype: str) -> None:
    table = make_table(1000, 7, np.dtype(dtype), least_bytes=0)
    assert is_in_a_file(table) and not table.any() and table.flags.writeable and table.flags.c_contiguous
    expected = np.random.default_rng(1).normal(size=table.shape).astype(dtype)
    for start in range(0, 1000, 128):
        table[start : start + 128] = expected[start : start + 128]
        forget_rows(table[start:])
    assert np.array_equal(table, expected)
    assert np.array_equal(np.concatenate(list(blocks_of(table))), expected)
    assert is_finite(table)
    table[999, 6] = np.inf
    assert not is_finite(table)


@needs_files
def test_memory_comes_back() -> None:
    table = make_table(1 << 18, 64, np.dtype(np.float32))
    assert is_in_a_file(table)
    table += 1
    held = resident_bytes()
    forget_rows(table)
    assert held - resident_bytes() > table.nbytes // 2
    # One pass over all of it holds a few blocks at most.
    before, total, most = resident_bytes(), 0.0, 0
    for block in blocks_of(table):
        total += float(block.sum(dtype=np.float64))
        most = max(most, resident_bytes() - before)
    assert total == table.size and most < table.nbytes // 2


def test_small_tables_and_other_arrays_are_in_memory() -> None:
    table = make_table(10, 10, np.dtype(np.float32))
    assert not is_in_a_file(table) and table.nbytes < LEAST_BYTES
    forget_rows(table)
    assert is_finite(np.float32(1)[None][0:1]) and is_finite(np.zeros((0, 3))) and not is_finite(np.array(np.nan))
    assert make_table(0, 3, np.dtype(np.float32), least_bytes=0).shape == (0, 3)


def test_without_room_for_a_file_it_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(row_table.os, "posix_fallocate", refuse, raising=False)
    table = make_table(10, 10, np.dtype(np.float32), least_bytes=0)
    assert not is_in_a_file(table) and table.shape == (10, 10)
