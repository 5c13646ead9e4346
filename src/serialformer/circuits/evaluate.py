"""Evaluating a circuit: 64 inputs a machine word, gate after gate."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int32, UInt8, UInt64
from serialformer.circuits.circuit import Circuit

WORDS_PER_BLOCK = 32
"""At most 2,048 inputs per pass: wide enough that a gate's loop pays, narrow enough for the caches of a core."""


def evaluate_outputs(circuit: Circuit, inputs: UInt8[np.ndarray, "rows inputs"]) -> UInt8[np.ndarray, "rows outputs"]:
    """The output bits for each row of input bits.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.input("a"), build.input("b")
    >>> build.output("xor", build.xor(a, b))
    >>> evaluate_outputs(build.circuit(), np.array([[0, 0], [0, 1], [1, 1]], dtype=np.uint8)).T
    array([[0, 1, 0]], dtype=uint8)
    """
    return _evaluate(circuit, inputs, circuit.outputs)


def evaluate_wires(circuit: Circuit, inputs: UInt8[np.ndarray, "rows inputs"]) -> UInt8[np.ndarray, "rows wires"]:
    """The value of every wire for each row of input bits."""
    return _evaluate(circuit, inputs, np.arange(circuit.num_wires, dtype=np.int32))


def _evaluate(
    circuit: Circuit, inputs: UInt8[np.ndarray, "rows inputs"], wires: Int32[np.ndarray, " kept"]
) -> UInt8[np.ndarray, "rows kept"]:
    # Numba takes half a second to import, which only those pay who evaluate.
    from serialformer.circuits.kernels import evaluate_packed

    num_rows = len(inputs)
    result = np.empty((num_rows, len(wires)), dtype=np.uint8)
    num_words = words_per_pass(num_rows)
    rows_per_block = 64 * num_words
    values = np.zeros((circuit.num_wires, num_words), dtype=np.uint64)
    for start in range(0, num_rows, rows_per_block):
        block = inputs[start : start + rows_per_block]
        values[: circuit.num_inputs] = pack_rows(block, num_words)
        evaluate_packed(circuit.num_inputs, circuit.fan_in, circuit.arity, circuit.table, values)
        kept = values[wires].view(np.uint8)
        result[start : start + rows_per_block] = np.unpackbits(kept, axis=1, bitorder="little")[:, : len(block)].T
    return result


def words_per_pass(num_rows: int) -> int:
    """The number of machine words per wire to evaluate together for a number of rows.

    >>> words_per_pass(1), words_per_pass(65), words_per_pass(10**6)
    (1, 2, 32)
    """
    return max(1, min(WORDS_PER_BLOCK, -(-num_rows // 64)))


def pack_rows(rows: UInt8[np.ndarray, "rows bits"], num_words: int) -> UInt64[np.ndarray, "bits words"]:
    """Rows of bits turned into columns of machine words: bit r of a bit's words is that bit in row r."""
    packed = np.zeros((rows.shape[1], 8 * num_words), dtype=np.uint8)
    columns = np.packbits(rows.T, axis=1, bitorder="little")
    packed[:, : columns.shape[1]] = columns
    return packed.view("<u8").astype(np.uint64, copy=False)
