"""Evaluating a circuit: 64 inputs a machine word, gate after gate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, UInt8, UInt64
from numba import njit

from serialformer.circuits.circuit import MAX_FAN_IN, Circuit

WORDS_A_BLOCK = 8
"""512 inputs a pass: a gate's row of words is one cache line."""


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
    num_rows = len(inputs)
    result = np.empty((num_rows, len(wires)), dtype=np.uint8)
    rows_a_block = 64 * WORDS_A_BLOCK
    values = np.zeros((circuit.num_wires, WORDS_A_BLOCK), dtype=np.uint64)
    for start in range(0, num_rows, rows_a_block):
        block = inputs[start : start + rows_a_block]
        values[: circuit.num_inputs] = pack_rows(block, WORDS_A_BLOCK)
        evaluate_packed(circuit.num_inputs, circuit.fan_in, circuit.arity, circuit.table, values)
        kept = values[wires].view(np.uint8)
        result[start : start + rows_a_block] = np.unpackbits(kept, axis=1, bitorder="little")[:, : len(block)].T
    return result


def pack_rows(rows: UInt8[np.ndarray, "rows bits"], num_words: int) -> UInt64[np.ndarray, "bits words"]:
    """Rows of bits turned into columns of machine words: bit r of a bit's words is that bit in row r."""
    packed = np.zeros((rows.shape[1], 8 * num_words), dtype=np.uint8)
    columns = np.packbits(rows.T, axis=1, bitorder="little")
    packed[:, : columns.shape[1]] = columns
    return packed.view("<u8").astype(np.uint64, copy=False)


@njit(cache=True, nogil=True)
def evaluate_packed(
    num_inputs: int, fan_in: np.ndarray, arity: np.ndarray, table: np.ndarray, values: np.ndarray
) -> None:
    """Fills rows num_inputs.. of ``values`` (uint64[wires, words]) from the rows before them."""
    num_words = values.shape[1]
    entries = np.empty(1 << MAX_FAN_IN, dtype=np.uint64)
    for gate in range(len(arity)):
        row = values[num_inputs + gate]
        if arity[gate] == 2:
            # The table as a polynomial over GF(2): t0 + (t0+t1) a + (t0+t2) b + (t0+t1+t2+t3) ab.
            bits = np.int64(table[gate])
            t0, t1, t2, t3 = bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1
            constant, on_a = np.uint64(-t0), np.uint64(-(t0 ^ t1))
            on_b, on_ab = np.uint64(-(t0 ^ t2)), np.uint64(-(t0 ^ t1 ^ t2 ^ t3))
            a, b = values[fan_in[gate, 0]], values[fan_in[gate, 1]]
            for word in range(num_words):
                row[word] = constant ^ (a[word] & on_a) ^ (b[word] & (on_b ^ (a[word] & on_ab)))
        else:
            for word in range(num_words):
                size = 1 << arity[gate]
                for entry in range(size):
                    entries[entry] = np.uint64(-np.int64(table[gate] >> np.uint64(entry) & np.uint64(1)))
                for column in range(arity[gate]):
                    select = values[fan_in[gate, column], word]
                    size >>= 1
                    for entry in range(size):
                        low, high = entries[2 * entry], entries[2 * entry + 1]
                        entries[entry] = low ^ (select & (low ^ high))
                row[word] = entries[0]


@njit(cache=True, nogil=True)
def wire_levels(num_inputs: int, fan_in: np.ndarray, arity: np.ndarray) -> np.ndarray:
    """For each wire the longest path of gates behind it (int32[wires])."""
    levels = np.zeros(num_inputs + len(arity), dtype=np.int32)
    for gate in range(len(arity)):
        level = 0
        for column in range(arity[gate]):
            level = max(level, levels[fan_in[gate, column]] + 1)
        levels[num_inputs + gate] = level
    return levels
