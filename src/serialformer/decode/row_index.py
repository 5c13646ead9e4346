"""Indices of the rows of a map: if the rows consist of few patterns, a look-up finds the largest product.

Hidden units that watch for values of fields, and tokens that stand for numbers, are codes: field by field their weights
take few patterns. What a position holds favours one pattern of each field, and at most one row has all of them. So it
is found by its hash, and the others are bounded by what the second best pattern costs (``row_kernels.find_row``).
Nothing is assumed of how the weights came about: the fields are guessed from them, and a bad guess only proves less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.decode.flat import SparseMap
from serialformer.decode.quantities import renumber
from serialformer.decode.records import RowIndex

FEWEST_ROWS = 4
"""Of a group that is worth an index."""

MAX_PATTERNS = 64
"""Of a block."""

SAMPLE_ROWS = 1 << 12
"""The number of rows that are sampled to see that two blocks do not belong together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Columns of a group that are looked at together: which pattern each row shows in them, and the patterns."""

    columns: np.ndarray
    pattern: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """Rows of a map that read the same inputs, and their blocks; none where there is no index."""

    rows: np.ndarray
    size: tuple[float, float, float]
    blocks: Sequence[Block] = ()


def index_rows(maps: Sequence[SparseMap]) -> tuple[RowIndex, Int64[np.ndarray, "maps 2"]]:
    """The groups of all rows of some maps, and for each map its first group and one past its last."""
    groups: list[_Group] = []
    spans = []
    for sparse in maps:
        first = len(groups)
        groups += _split(sparse)
        spans.append((first, len(groups)))
    blocks = [block for group in groups for block in group.blocks]
    num_patterns = [len(block.values) for block in blocks]
    mark = np.random.default_rng(0).integers(0, 2**64, sum(num_patterns), dtype=np.uint64)
    widest = max((len(group.blocks) for group in groups), default=0)
    pattern = np.zeros((sum(len(group.rows) for group in groups), max(1, widest)), dtype=np.uint8)
    slots, filled, first_mark = [], 0, 0
    for group in groups:
        hashes = np.zeros(len(group.rows), dtype=np.uint64)
        for place, block in enumerate(group.blocks):
            pattern[filled : filled + len(group.rows), place] = block.pattern
            hashes ^= mark[first_mark + block.pattern]
            first_mark += len(block.values)
        slots.append(_hash_table(hashes, filled) if group.blocks else np.zeros(0, dtype=np.int32))
        filled += len(group.rows)
    rows, blocks_of = _starts([len(group.rows) for group in groups]), _starts([len(group.blocks) for group in groups])
    first_slot, columns = _starts([len(table) for table in slots]), _starts([len(block.columns) for block in blocks])
    patterns, values = _starts(num_patterns), _starts([block.values.size for block in blocks])
    return RowIndex(
        group=np.stack(
            [rows[:-1], rows[1:], blocks_of[:-1], blocks_of[1:], first_slot[:-1], np.diff(first_slot)], axis=1
        ),
        group_size=np.array([group.size for group in groups], dtype=np.float64).reshape(-1, 3),
        row=_joined([group.rows for group in groups], np.int32),
        pattern=pattern,
        block=np.stack([columns[:-1], columns[1:], patterns[:-1], patterns[1:], values[:-1]], axis=1),
        column=_joined([block.columns for block in blocks], np.int32),
        largest=_joined([np.abs(block.values).max(axis=0) for block in blocks], np.float64),
        mark=mark,
        value=_joined([block.values.ravel() for block in blocks], np.float64),
        slots=_joined(slots, np.int32),
    ), np.array(spans, dtype=np.int64).reshape(-1, 2)


def _split(sparse: SparseMap) -> list[_Group]:
    """The rows of a map in groups that read the same inputs."""
    found: dict[bytes, list[int]] = {}
    for row in range(sparse.num_outputs):
        inputs = sparse.index[sparse.start[row] : sparse.start[row + 1]]
        found.setdefault(inputs.tobytes(), []).append(row)
    return [_make_group(sparse, np.array(rows, dtype=np.int64)) for rows in found.values()]


def _make_group(sparse: SparseMap, rows: np.ndarray) -> _Group:
    """Rows that read the same inputs, with blocks if those say less than the rows, and tell them apart."""
    size = (*sparse.size[rows, :2].max(axis=0).tolist(), float(sparse.bias[rows].max()))
    first, count = sparse.start[rows[0]], sparse.start[rows[0] + 1] - sparse.start[rows[0]]
    if len(rows) < FEWEST_ROWS or not count:
        return _Group(rows=rows, size=size)
    weight = sparse.value[sparse.start[rows][:, None] + np.arange(count)]
    blocks = find_blocks(weight, sparse.index[first : first + count])
    work = sum(block.values.size for block in blocks)
    if not blocks or 2 * work > weight.size:
        return _Group(rows=rows, size=size)
    codes = np.stack([block.pattern for block in blocks], axis=1)
    if len(np.unique(codes, axis=0)) < len(rows):
        return _Group(rows=rows, size=size)
    return _Group(rows=rows, size=size, blocks=blocks)


def find_blocks(weight: np.ndarray, columns: np.ndarray) -> list[Block]:
    """The columns in blocks: those that tell the same, and then those of codes like one-hot ones.

    Blocks are put together where that makes no more patterns than both have by themselves: if each of two tells
    something apart that the other does not, only one of them does so in any row.
    """
    alike: dict[bytes, list[int]] = {}
    patterns: dict[bytes, np.ndarray] = {}
    for place in range(len(columns)):
        pattern = renumber(weight[:, place])
        if pattern.max() >= MAX_PATTERNS:
            return []
        key = pattern.tobytes()
        alike.setdefault(key, []).append(place)
        patterns[key] = pattern
    parts = [(places, patterns[key]) for key, places in alike.items()]
    done: list[tuple[list[int], np.ndarray]] = []
    for places, pattern in parts:
        for number, (others, other) in enumerate(done):
            limit = min(MAX_PATTERNS, int(pattern.max()) + int(other.max()) + 1)
            joint = pattern * MAX_PATTERNS + other
            if len(np.unique(joint[:SAMPLE_ROWS])) <= limit and len(np.unique(joint)) <= limit:
                done[number] = ([*others, *places], renumber(joint))
                break
        else:
            done.append((places, pattern))
    result = []
    for places, pattern in done:
        _, first = np.unique(pattern, return_index=True)
        result.append(Block(columns=columns[places], pattern=pattern, values=weight[first][:, places]))
    return result


def _hash_table(hashes: np.ndarray, offset: int) -> np.ndarray:
    """Open addressing: the number of each row, from the offset on, at the first free slot from its hash on."""
    num_slots = 16
    while num_slots < 2 * len(hashes):
        num_slots *= 2
    slots = np.full(num_slots, -1, dtype=np.int32)
    for number, place in enumerate((hashes & np.uint64(num_slots - 1)).tolist()):
        while slots[place] >= 0:
            place = (place + 1) % num_slots
        slots[place] = offset + number
    return slots


def _starts(lengths: Sequence[int]) -> Int64[np.ndarray, " lengths_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(parts: Sequence[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts]).astype(dtype)
