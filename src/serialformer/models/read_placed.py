"""Reading a Llama whose tokens say where they stand: what its embedding says that each position reads and writes.

That is a guess, which the proof then checks: the program that was read becomes a construction, and the weights must
realise it.
"""

from __future__ import annotations

import numpy as np

from serialformer.architecture import Shape
from serialformer.arrays import Int64
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.constructions.program import Program
from serialformer.errors import CheckpointError, CompileError
from serialformer.models.lower import certify_weights
from serialformer.targets.llama import llama_to_placement
from serialformer.targets.llama_layout import MAX_LOOK_UPS, LlamaLayout, lay_out_llama
from serialformer.transformer.transformer import Transformer


def read_placed_program(transformer: Transformer, placed: PlacedTokens, num_inputs: int) -> Program:
    """The program that the weights provably run.

    Args:
        transformer: the weights.
        placed: the tokens.
        num_inputs: bits of the prompt.

    Raises:
        CheckpointError: they cannot be read.
    """
    architecture = transformer.architecture
    shape = Shape(
        head_width=architecture.head_width,
        hidden=architecture.width,
        key_heads=architecture.num_key_heads,
        layers=architecture.num_layers,
    )
    failures = []
    for num_reads in range(1, MAX_LOOK_UPS + 1):
        try:
            empty = _program(num_inputs, np.zeros((placed.num_positions - num_inputs - 1, num_reads), dtype=np.int64))
            layout = lay_out_llama(program_to_construction(empty), placed, shape)
        except CompileError:
            continue
        if layout.num_heads != architecture.num_heads:
            continue
        program = _read(transformer, layout, num_inputs, num_reads)
        if program is None:
            continue
        placement = llama_to_placement(lay_out_llama(program_to_construction(program), placed, shape))
        certificate = certify_weights(transformer, placement)
        if certificate.holds:
            return program
        failures.append(f"gates of {num_reads} inputs: {certificate.failure}")
    raise CheckpointError(
        f"the weights cannot be read: {'; '.join(failures) or 'the embedding holds no names of positions'}",
        hint="serialformer certify says more; compile it again",
    )


def _program(num_inputs: int, reads: Int64[np.ndarray, "chain K"], table: np.ndarray | None = None) -> Program:
    return Program(
        num_inputs=num_inputs,
        reads=reads.astype(np.int32),
        arity=np.full(len(reads), reads.shape[1], dtype=np.uint8),
        table=np.zeros(len(reads), dtype=np.uint64) if table is None else table,
    )


def _read(transformer: Transformer, layout: LlamaLayout, num_inputs: int, num_reads: int) -> Program | None:
    """What the embedding of each writing position says; None if it does not say it in these codes."""
    ids = layout.placed.ids
    rows = transformer.token_embedding[ids.max(axis=1)[num_inputs:-1]]
    codes = layout.codings["name"].codes
    place = {code.tobytes(): number for number, code in enumerate(codes)}
    reads = np.zeros((len(rows), num_reads), dtype=np.int64)
    for head in range(num_reads):
        found = rows[:, layout.span(f"read[{head}]")].astype(np.int8)
        reads[:, head] = [place.get(code.tobytes(), -1) for code in found]
    if (reads < 0).any():
        return None
    table = np.zeros(len(rows), dtype=np.uint64)
    for entry in range(1 << num_reads):
        bit = rows[:, layout.starts[f"table[{entry}]"]].astype(np.float64) > 0
        table |= bit.astype(np.uint64) << np.uint64(entry)
    return _program(num_inputs, reads, table)
