"""A circuit as a chain: one position per gate, one layer (Theorem 3.3 of arXiv 2402.12875).

The circuit lies in the position: each position knows its own name, the names of the positions that it reads, and the
truth table of the token that it writes. One look-up for each input of a gate brings a bit; for each combination of
bits there is a unit table that copies that combination's entry of the truth table to the token. Where a position has
no truth table, no unit fires and ``=`` is written, which ends the chain.
"""

from __future__ import annotations

import numpy as np

from serialformer.constructions.claim import BitClaim
from serialformer.constructions.construction import (
    NOTHING,
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    PositionValues,
    exact_table,
)
from serialformer.constructions.fixed_distances import at_fixed_distances
from serialformer.constructions.program import EQUALS, VOCABULARY, Program

BIT, EQUALS_VALUE = (0, 1), 2
"""The values of the field ``token``; ``<unk>`` has none."""


def program_to_construction(program: Program, *, by_distance: bool = False) -> Construction:
    """The construction of a program.

    Args:
        program: what each position is to write.
        by_distance: whether look-ups find what they read by its distance (``fixed_distances``), not by its name.

    Raises:
        CompileError: it is to be found by its distance, and there are too many distances, or too large ones.
    """
    claim = BitClaim(num_inputs=program.num_inputs, reads=program.reads, arity=program.arity, table=program.table)
    distances: tuple[int, ...] = ()
    if by_distance:
        program, distances = at_fixed_distances(program)
    num_heads, num_entries = program.num_heads, 1 << program.num_heads
    token = Field(name="token", num_values=3, origin="token", values=np.array([0, 1, EQUALS_VALUE, NOTHING]))
    positions = [
        *(Field(name=f"table[{entry}]", num_values=2, origin="position", values=_entry(program, entry))
          for entry in range(num_entries)),
        Field(name="name", num_values=program.num_positions, origin="position", values=_own),
        *(Field(name=f"read[{head}]", num_values=program.num_positions, origin="position", values=_read(program, head))
          for head in range(num_heads) if not distances),
    ]  # fmt: skip
    fetched = [Field(name=f"fetched[{head}]", num_values=2, origin="layers") for head in range(num_heads)]
    look_ups = tuple(
        LookUp(
            name=f"{distances[head]} positions back" if distances else f"input {head}",
            clauses=() if distances else (Clause(key="name", asked=f"read[{head}]"),),
            distance=distances[head] if distances else None,
            # A gate without inputs reads "=", which counts as 0.
            brings=(Bring(source="token", target=f"fetched[{head}]", of_value=(0, 1, 0)),),
        )
        for head in range(num_heads)
    )
    tables = []
    for combination in range(num_entries):
        bits = [combination >> head & 1 for head in range(num_heads)]
        tables.append(
            exact_table(
                f"bits {', '.join(map(str, bits))}",
                [*(part.name for part in fetched), f"table[{combination}]"],
                [[*bits, value] for value in BIT],
                ["token"],
                [[value] for value in BIT],
            )
        )
    return Construction(
        name="circuit",
        vocabulary=VOCABULARY,
        end_token=EQUALS,
        num_positions=program.num_positions,
        fields=(token, *positions, *fetched),
        layers=(ConstructionLayer(look_ups=look_ups, tables=tuple(tables)),),
        default={"token": EQUALS_VALUE},
        prompts=f"all 2^{program.num_inputs}",
        num_chain_tokens=program.num_chain_tokens,
        claims=lambda: iter([claim]),
    )


def _own(rows: slice) -> np.ndarray:
    return np.arange(rows.start, rows.stop, dtype=np.int32)


def _read(program: Program, head: int) -> PositionValues:
    """The position that a head reads; a position that writes nothing reads itself."""

    def values(rows: slice) -> np.ndarray:
        reads = np.arange(rows.start, rows.stop, dtype=np.int32)
        chain, writers = _writers(program, rows)
        reads[writers] = program.reads[chain, head]
        return reads

    return values


def _entry(program: Program, entry: int) -> PositionValues:
    """An entry of the truth table; a position that writes nothing has none."""

    def values(rows: slice) -> np.ndarray:
        table = np.full(rows.stop - rows.start, NOTHING, dtype=np.int8)
        chain, writers = _writers(program, rows)
        if chain.start < chain.stop:
            table[writers] = program.entry(chain, entry)
        return table

    return values


def _writers(program: Program, rows: slice) -> tuple[slice, slice]:
    """Which chain tokens the positions of a range write, and which of those positions do.

    Position p writes the token at p + 1, which is chain token p - num_inputs; the last position writes none.
    """
    first = program.num_inputs
    chain = slice(max(0, rows.start - first), max(0, min(rows.stop, program.num_positions - 1) - first))
    return chain, slice(chain.start + first - rows.start, chain.stop + first - rows.start)
