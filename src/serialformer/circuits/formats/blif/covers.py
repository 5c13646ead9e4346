"""Covers: the rows of ``.names`` as truth tables, and truth tables as short covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from serialformer.arrays import Bool, Int, UInt8, UInt64
from serialformer.circuits.circuit import MAX_FAN_IN
from serialformer.circuits.formats.gate_list import GateList

VARIABLE = tuple(
    sum(1 << entry for entry in range(1 << MAX_FAN_IN) if entry >> variable & 1) for variable in range(MAX_FAN_IN)
)
"""The truth table of each variable among six: bit i of the j-th is bit j of i."""

ZERO, ONE, EITHER = ord("0"), ord("1"), ord("-")

NO_NET = -1


def rows_to_tables(
    planes: UInt8[np.ndarray, "rows columns"],
    row_gate: Int[np.ndarray, " rows"],
    complement: Bool[np.ndarray, " gates"],
    arity: Int[np.ndarray, " gates"],
) -> UInt64[np.ndarray, " gates"]:
    """Truth tables of gates of up to six inputs.

    Args:
        planes: the characters of each row, ``-`` after the inputs that its gate has.
        row_gate: the gate that each row belongs to.
        complement: for each gate whether its rows say where it is 0 .
        arity: for each gate how many inputs it has.

    >>> planes = np.frombuffer(b"1-01", dtype=np.uint8).reshape(2, 2)
    >>> rows_to_tables(planes, np.array([0, 0]), np.array([False]), np.array([2]))
    array([14], dtype=uint64)
    """
    cubes = np.full(len(planes), 2**64 - 1, dtype=np.uint64)
    for column in range(planes.shape[1]):
        variable = np.uint64(VARIABLE[column])
        cubes[planes[:, column] == ONE] &= variable
        cubes[planes[:, column] == ZERO] &= ~variable
    table = np.zeros(len(arity), dtype=np.uint64)
    np.bitwise_or.at(table, row_gate, cubes)
    table[complement] ^= np.uint64(2**64 - 1)
    entries = np.uint64(1) << arity.astype(np.uint64)
    mask = np.where(arity < MAX_FAN_IN, (np.uint64(1) << (entries & np.uint64(63))) - np.uint64(1), ~np.uint64(0))
    return table & mask


def add_wide_covers(
    gates: GateList,
    *,
    driven: Int[np.ndarray, " wide"],
    complement: Bool[np.ndarray, " wide"],
    lines: Int[np.ndarray, " wide"],
    row_gate: Int[np.ndarray, " rows"],
    literal_row: Int[np.ndarray, " literals"],
    literal_net: Int[np.ndarray, " literals"],
    literal_inverted: Bool[np.ndarray, " literals"],
) -> None:
    """Adds covers of more inputs than a gate may have: a tree of ANDs per row and a tree of ORs of a cover's rows.

    Complemented literals cost nothing: they are in the tables of the gates that read them.

    Args:
        gates: where the two-input gates go.
        driven: the net that each cover drives.
        complement: whether its rows say where it is 0.
        lines: its line.
        row_gate: the cover of each row, ascending.
        literal_row: the row of each literal, ascending; a row of don't-cares has none.
        literal_net: the net of each literal.
        literal_inverted: whether the literal is true where the net is 0.
    """
    num_rows = np.bincount(row_gate, minlength=len(driven))
    num_literals = np.bincount(literal_row, minlength=len(row_gate))
    always = np.zeros(len(driven), dtype=bool)
    always[row_gate[num_literals == 0]] = True
    constant = always | (num_rows == 0)
    no_wires = np.zeros((int(constant.sum()), 0), dtype=np.int64)
    gates.add(driven[constant], no_wires, (always != complement)[constant].astype(np.uint64), lines[constant])

    kept_rows, row_gate_of_all = ~constant[row_gate], row_gate
    kept = kept_rows[literal_row]
    row_gate = row_gate[kept_rows]
    alone = num_rows[row_gate] == 1
    nets, inverted = _reduce_segments(
        gates,
        literal_net[kept],
        literal_inverted[kept],
        num_literals[kept_rows],
        is_or=False,
        lines=lines[row_gate],
        roots=np.where(alone, driven[row_gate], NO_NET),
        complement=complement[row_gate],
    )
    nets, inverted = _reduce_segments(
        gates,
        nets,
        inverted,
        num_rows[~constant],
        is_or=True,
        lines=lines[~constant],
        roots=driven[~constant],
        complement=complement[~constant],
    )
    bare = np.bincount(row_gate_of_all[literal_row], minlength=len(driven))[~constant] == 1  # one row of one literal
    table = np.where(inverted != complement[~constant], np.uint64(0b01), np.uint64(0b10))
    gates.add(driven[~constant][bare], nets[bare, None], table[bare], lines[~constant][bare])


def _reduce_segments(
    gates: GateList,
    nets: Int[np.ndarray, " literals"],
    inverted: Bool[np.ndarray, " literals"],
    lengths: Int[np.ndarray, " segments"],
    *,
    is_or: bool,
    lines: Int[np.ndarray, " segments"],
    roots: Int[np.ndarray, " segments"],
    complement: Bool[np.ndarray, " segments"],
) -> tuple[Int[np.ndarray, " segments"], Bool[np.ndarray, " segments"]]:
    """Joins each segment of one or more literals by a balanced tree; all segments level by level together.

    The last gate of a segment drives the net in ``roots``, complemented where asked, unless that is ``NO_NET``.
    """
    while len(lengths) and int(lengths.max()) > 1:
        segment = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(nets)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        even = place % 2 == 0
        first = np.flatnonzero(even & (place + 1 < lengths[segment]))
        owner = segment[first]
        is_root = (lengths[owner] == 2) & (roots[owner] != NO_NET)
        # AND is true only where both literals are; OR is false only where both are false.
        entry = 2 * ~inverted[first + 1] + 1 * ~inverted[first]
        table = np.uint64(0b1111) ^ np.uint64(1) << (3 - entry).astype(np.uint64) if is_or else None
        if table is None:
            table = np.uint64(1) << entry.astype(np.uint64)
        table = np.where(is_root & complement[owner], table ^ np.uint64(0b1111), table)
        driven = np.where(is_root, roots[owner], gates.new_nets(len(first)))
        gates.add(driven, np.stack([nets[first], nets[first + 1]], axis=1), table, lines[owner])
        nets, inverted = nets.copy(), inverted.copy()
        nets[first], inverted[first] = driven, False
        nets, inverted, lengths = nets[even], inverted[even], (lengths + 1) // 2
    return nets, inverted


@lru_cache(maxsize=1 << 16)
def table_to_cover(table: int, arity: int) -> tuple[tuple[str, ...], int]:
    """A short cover of a truth table: rows, and the value that the gate has where a row matches.

    The rows form an irredundant cover of the 1s or of the 0s, whichever takes fewer rows (Minato and Morreale's
    recursion: what only one cofactor has is covered with that literal, the rest without it).

    >>> table_to_cover(0b1110, 2)
    (('00',), 0)
    >>> table_to_cover(0b0110, 2)
    (('10', '01'), 1)
    """
    full = (1 << (1 << arity)) - 1
    if not table and arity:
        return ("-" * arity,), 0  # some readers, ABC's among them, refuse inputs without rows
    ones, _ = _irredundant_cover(table, table, arity)
    if table == full:
        return ones, 1
    zeros, _ = _irredundant_cover(full ^ table, full ^ table, arity)
    return (zeros, 0) if table and len(zeros) < len(ones) else (ones, 1)


def _irredundant_cover(lower: int, upper: int, arity: int) -> tuple[tuple[str, ...], int]:
    """Rows of a function between two tables, and its table."""
    full = (1 << (1 << arity)) - 1
    if not lower:
        return (), 0
    if upper == full:
        return ("-" * arity,), full
    half = 1 << (arity - 1)
    mask = (1 << half) - 1
    lower0, lower1, upper0, upper1 = lower & mask, lower >> half, upper & mask, upper >> half
    rows0, table0 = _irredundant_cover(lower0 & ~upper1, upper0, arity - 1)
    rows1, table1 = _irredundant_cover(lower1 & ~upper0, upper1, arity - 1)
    rest = lower0 & ~table0 | lower1 & ~table1
    rows, table = _irredundant_cover(rest, upper0 & upper1, arity - 1)
    covered = (table0 | table) | (table1 | table) << half
    return tuple([row + "0" for row in rows0] + [row + "1" for row in rows1] + [row + "-" for row in rows]), covered
