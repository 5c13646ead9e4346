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
from serialformer.targets.llama_layout import MAX_LOOK_UPS, ONE, LlamaLayout, addressing_of, lay_out_llama
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
        tied=architecture.tied,
    )
    failures = []
    by_distance = addressing_of(architecture) != "names"
    writers = np.arange(num_inputs, placed.num_positions - 1)
    for num_reads in range(1, MAX_LOOK_UPS + 1):
        # Any program that reads at so many places: where fields lie depends on their number only.
        reads = writers[:, None] - np.arange(num_reads) if by_distance else np.zeros((len(writers), num_reads))
        try:
            empty = program_to_construction(_program(num_inputs, reads.astype(np.int64)), by_distance=by_distance)
            layout = lay_out_llama(empty, placed, shape)
        except CompileError:
            continue
        if layout.num_heads != architecture.num_heads:
            continue
        program = _read(transformer, layout, num_inputs, num_reads, by_distance=by_distance)
        if program is None:
            continue
        try:
            construction = program_to_construction(program, by_distance=by_distance)
        except CompileError as error:
            failures.append(f"gates of {num_reads} inputs: {error.message}")
            continue
        placement = llama_to_placement(lay_out_llama(construction, placed, shape))
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


def _read(
    transformer: Transformer, layout: LlamaLayout, num_inputs: int, num_reads: int, *, by_distance: bool
) -> Program | None:
    """What the embedding of each writing position says; None if it does not say it in these codes."""
    ids = layout.placed.ids
    rows = transformer.token_embedding[ids.max(axis=1)[num_inputs:-1]]
    codes = layout.codings["name"].codes
    place = {code.tobytes(): number for number, code in enumerate(codes)}
    reads = np.zeros((len(rows), num_reads), dtype=np.int64)
    for head in range(num_reads if by_distance else 0):
        reads[:, head] = num_inputs + np.arange(len(rows)) - _distance(transformer, layout, head)
    for head in range(0 if by_distance else num_reads):
        found = rows[:, layout.span(f"read[{head}]")].astype(np.int8)
        reads[:, head] = [place.get(code.tobytes(), -1) for code in found]
    if (reads < 0).any():
        return None
    table = np.zeros(len(rows), dtype=np.uint64)
    for entry in range(1 << num_reads):
        bit = rows[:, layout.starts[f"table[{entry}]"]].astype(np.float64) > 0
        table |= bit.astype(np.uint64) << np.uint64(entry)
    return _program(num_inputs, reads, table)


def _distance(transformer: Transformer, layout: LlamaLayout, look_up: int) -> int:
    """The distance at which the first head of a look-up has its largest score."""
    shape = transformer.architecture
    layer, head = next((layer, heads.index(look_up)) for layer, heads in enumerate(layout.heads) if look_up in heads)
    maps = transformer.layers[layer]
    bias, weight = maps.attention_in_bias, maps.attention_in_weight[layout.starts[ONE]]
    row = (bias if bias.size else weight).astype(np.float64)
    group = shape.num_heads + head // (shape.num_heads // shape.num_key_heads)
    half = shape.head_width // 2
    query, key = (row[number * shape.head_width :][: shape.head_width] for number in (head, group))
    products = (query[:half] + 1j * query[half:]) * (key[:half] - 1j * key[half:])
    turns = shape.rotary_base ** (-np.arange(half) / half)
    seen = np.arange(shape.window or layout.placed.num_positions)[:, None]
    return int((np.exp(1j * seen * turns) @ products).real.argmax())
