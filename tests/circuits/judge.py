"""Judging two circuits by all their inputs, or by many."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs


def input_rows(num_inputs: int) -> np.ndarray:
    """All 2^n rows of input bits up to ten inputs, 1,024 random ones beyond."""
    if num_inputs <= 10:
        return (np.arange(1 << num_inputs)[:, None] >> np.arange(num_inputs) & 1).astype(np.uint8)
    return np.random.default_rng(0).integers(0, 2, (1024, num_inputs), dtype=np.uint8)


def assert_same_function(first: Circuit, second: Circuit) -> None:
    """Fails unless both have the same output bits on those rows; ports in order, whatever their names."""
    assert (first.num_inputs, first.num_outputs) == (second.num_inputs, second.num_outputs)
    rows = input_rows(first.num_inputs)
    assert (evaluate_outputs(first, rows) == evaluate_outputs(second, rows)).all()


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
