"""Whether two circuits compute the same: on all inputs of small ones, on random inputs of large ones."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from tests.cases import every_input


def input_rows(num_inputs: int, *, rows: int = 1024, seed: int = 0) -> np.ndarray:
    """All rows of up to 10 inputs; else random ones, with all zeros and all ones."""
    if num_inputs <= 10:
        return every_input(num_inputs)
    random = np.random.default_rng(seed).integers(0, 2, (rows, num_inputs), dtype=np.uint8)
    random[0], random[1] = 0, 1
    return random


def assert_same_outputs(first: Circuit, second: Circuit) -> None:
    """Fails unless the circuits have the same outputs, bit for bit in the order of the arrays."""
    assert (first.num_inputs, first.num_outputs) == (second.num_inputs, second.num_outputs)
    rows = input_rows(first.num_inputs)
    np.testing.assert_array_equal(evaluate_outputs(first, rows), evaluate_outputs(second, rows))


def assert_same_words(first: Circuit, second: Circuit) -> None:
    """Fails unless inputs and outputs have the same names, widths and places."""
    assert first.input_words == second.input_words
    assert first.output_words == second.output_words


def random_circuit(seed: int, *, num_inputs: int = 6, num_gates: int = 20, num_outputs: int = 5) -> Circuit:
    """Gates of 0 to 6 inputs with random tables; some outputs are inputs or repeats."""
    random = np.random.default_rng(seed)
    arity = random.integers(0, 7, num_gates).astype(np.uint8)
    fan_in = np.full((num_gates, 6), -1, dtype=np.int32)
    table = np.zeros(num_gates, dtype=np.uint64)
    for gate in range(num_gates):
        fan_in[gate, : arity[gate]] = random.permutation(num_inputs + gate)[: arity[gate]]
        table[gate] = int.from_bytes(random.bytes(8), "little") & ((1 << (1 << int(arity[gate]))) - 1)
    outputs = random.integers(0, num_inputs + num_gates, num_outputs).astype(np.int32)
    return Circuit(num_inputs=num_inputs, fan_in=fan_in, arity=arity, table=table, outputs=outputs)
