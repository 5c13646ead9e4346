"""Decompilation: the circuit read back out of the weights."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int32, UInt64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.words import Word
from serialformer.errors import CheckpointError
from serialformer.proofs.canonical import canonical_functions
from serialformer.proofs.float_reading import read_floats
from serialformer.proofs.reading import Reading
from serialformer.proofs.rounded_reading import read_rounded
from serialformer.proofs.rounding import covered_rounding
from serialformer.transformer.transformer import Transformer

IDENTITY = 0b10


def decompile_chain(
    transformer: Transformer,
    *,
    num_inputs: int,
    num_chain_tokens: int,
    num_outputs: int,
    input_words: tuple[Word, ...] | None = None,
    output_words: tuple[Word, ...] | None = None,
    token_names: list[str] | None = None,
) -> Circuit:
    """The circuit that a model evaluates: a gate for each chain token that is no copy of an earlier one.

    Args:
        transformer: the model.
        num_inputs: bits of the prompt.
        num_chain_tokens: tokens of the chain, of which the last are the outputs.
        num_outputs: how many these are.
        input_words: names for the bits of the prompt.
        output_words: names for the outputs.
        token_names: a name for the gate of each chain token; "" for none.

    Raises:
        CheckpointError: the weights cannot be read; says where and why.
    """
    if transformer.architecture.arithmetic is not None:
        reading = read_rounded(transformer, num_inputs=num_inputs, num_chain_tokens=num_chain_tokens)
    else:
        reading = read_floats(
            transformer,
            num_inputs=num_inputs,
            num_chain_tokens=num_chain_tokens,
            rounding=covered_rounding(transformer.architecture.dtype),
        )
    if reading.failure is not None:
        raise CheckpointError(
            f"the weights cannot be read: {reading.failure}", hint="serialformer certify says more; compile it again"
        )
    return reading_to_circuit(
        reading,
        num_outputs=num_outputs,
        input_words=input_words,
        output_words=output_words,
        token_names=token_names,
    )


def program_to_reading(
    num_inputs: int, reads: Int32[np.ndarray, "chain K"], table: UInt64[np.ndarray, " chain"]
) -> Reading:
    """The reading of a chain in which every token has a table over all K positions that it reads, ``=`` being 0."""
    num_tokens, columns = reads.shape
    tables = table.copy()
    for column in range(columns):
        clear = np.uint64(sum(1 << c for c in range(1 << columns) if not c >> column & 1))
        constant = reads[:, column] == num_inputs
        low = tables[constant] & clear
        tables[constant] = low | low << np.uint64(1 << column)
    arity = np.full(num_tokens, columns, dtype=np.uint8)
    sources, fan_in, canonical = canonical_functions(reads, arity, tables)
    nothing = np.zeros((0, 2))
    return Reading(
        num_inputs=num_inputs,
        sources=sources,
        fan_in=fan_in,
        table=canonical,
        gaps=nothing,
        margins=nothing,
        norms=np.zeros((0, 3)),
        failure=None,
    )


def reading_to_circuit(
    reading: Reading,
    *,
    num_outputs: int,
    input_words: tuple[Word, ...] | None = None,
    output_words: tuple[Word, ...] | None = None,
    token_names: list[str] | None = None,
) -> Circuit:
    """The circuit of a chain that has been read; the arguments are those of ``decompile_chain``."""
    num_inputs, num_chain_tokens = reading.num_inputs, reading.num_chain_tokens
    is_gate = (reading.fan_in != 1) | (reading.table != IDENTITY)
    wire = _positions_to_wires(reading, is_gate)
    fan_in = np.where(np.arange(6) < reading.fan_in[:, None], wire[reading.sources], NO_WIRE)[is_gate]
    columns = max(2, int(reading.fan_in[is_gate].max(initial=0)))
    names = [name for name, kept in zip(token_names or [], is_gate.tolist(), strict=False) if kept]
    first_output = num_inputs + 1 + num_chain_tokens - num_outputs
    return Circuit(
        num_inputs=num_inputs,
        fan_in=np.ascontiguousarray(fan_in[:, :columns], dtype=np.int32),
        arity=reading.fan_in[is_gate],
        table=reading.table[is_gate],
        outputs=wire[first_output:].astype(np.int32),
        input_words=input_words,
        output_words=output_words,
        gate_names=names,
    )


def _positions_to_wires(reading: Reading, is_gate: np.ndarray) -> Int32[np.ndarray, " positions"]:
    """For each position the wire whose value it holds; that of ``=`` is never asked for."""
    first = reading.num_inputs + 1
    wire = np.full(first + reading.num_chain_tokens, NO_WIRE, dtype=np.int32)
    wire[: reading.num_inputs] = np.arange(reading.num_inputs)
    wire[first:][is_gate] = reading.num_inputs + np.arange(int(is_gate.sum()))
    for token in np.flatnonzero(~is_gate):  # in order, so that a copy of a copy is known
        wire[first + token] = wire[reading.sources[token, 0]]
    return wire
